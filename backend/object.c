/*
 * Compiles functions to object files. The kernels are dealt out over a few jobs, each with its own
 * LLVM context, module, target machine and emitter, which run on as many threads; a job ends with
 * the bytes of an object file. Which kernel goes where depends on the module alone, so the bytes do
 * not depend on the number of threads.
 */
#include "backend/debug.h"
#include "backend/dispatch.h"
#include "backend/embed.h"
#include "backend/entry.h"
#include "backend/func.h"
#include "backend/machine.h"
#include "backend/pieces.h"
#include "backend/predict.h"
#include "backend/tune.h"
#include "ir/guard.h"
#include "ir/text.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAX_JOBS 8

typedef struct Job {
    KdEmit e;
    int npieces;
    const KdPiece **pieces;
    bool main; /* holds the functions that call the kernels */
    int nentries;
    const KdEntry *entries;
    const char *text; /* NULL: object bytes; "llvm-ir" or "asm" */
    LLVMTargetMachineRef machine;
    bool failed;
    char *message;
    char *bytes; /* malloc'ed */
    size_t size;
} Job;

struct KdObject {
    int count;
    struct {
        char *bytes;
        size_t size;
    } file[MAX_JOBS];
    size_t scratch;
    int64_t weight_bytes;
    KdSgemm *sgemm;
    KdParallel *parallel;
    KdDebugKind debug;
};

/* --- one job ---------------------------------------------------------------------------------- */

/* The module's; what it names for the passes of a sanitizer has its vectors. */
static const KdTarget *code_target(KdEmit *e) {
    const char *cpu = KD_SANITIZE_CPU;
    if (!e->options->sanitize || !cpu) return &e->m->target;
    KdTarget *plain = KD_NEW(e->arena, KdTarget);
    *plain = e->m->target;
    plain->cpu = cpu;
    plain->dot = KD_DOT_PLAIN; /* another processor's instructions; all ways give the same sums */
    return plain;
}

static void open_emitter(Job *job) {
    KdEmit *e = &job->e;
    e->arena = kd_arena_create();
    e->cx = LLVMContextCreate();
    e->mod = LLVMModuleCreateWithNameInContext(e->m->source ? e->m->source : "kdc", e->cx);
    e->b = LLVMCreateBuilderInContext(e->cx);
    e->f32 = LLVMFloatTypeInContext(e->cx);
    e->i1 = LLVMInt1TypeInContext(e->cx);
    e->i8 = LLVMInt8TypeInContext(e->cx);
    e->i32 = LLVMInt32TypeInContext(e->cx);
    e->i64 = LLVMInt64TypeInContext(e->cx);
    e->ptr = LLVMPointerTypeInContext(e->cx, 0);
    e->none = LLVMVoidTypeInContext(e->cx);
    e->suffix = "";
    kd_emit_target(e, code_target(e));
}

static void close_emitter(Job *job) {
    LLVMDisposeBuilder(job->e.b);
    LLVMDisposeModule(job->e.mod);
    LLVMContextDispose(job->e.cx);
    if (job->machine) {
        LLVMDisposeTargetMachine(job->machine);
    }
    kd_arena_destroy(job->e.arena);
}

static bool fail(Job *job, const char *message) {
    job->failed = true;
    if (!job->message) {
        job->message = strdup(message);
        if (!job->message) kd_out_of_memory(strlen(message));
    }
    return false;
}

/* A kernel's code, and calls of it where several kernels share it. */
static void emit_phase(KdEmit *e, const KdPiece *piece, int phase) {
    if (!piece->same) {
        kd_emit_kernel(e, piece->kernel, phase);
        return;
    }
    LLVMValueRef code = kd_emit_shared_kernel(e, piece->kernel, phase);
    for (const KdPiece *k = piece; k; k = k->same) {
        e->f = k->f;
        kd_emit_kernel_call(e, k->kernel, phase, code);
    }
    e->f = piece->f;
}

static void remark_piece(KdEmit *e, const KdPiece *piece) {
    kd_remark_kernel(e, piece->kernel);
    const char *code = kd_kernel_symbol(e->arena, piece->f, piece->kernel, 0);
    for (const KdPiece *k = piece->same; k; k = k->same) {
        e->f = k->f;
        kd_remark_shared(e, k->kernel, code);
    }
}

/* Everything for the target at hand. */
static void emit_pieces(Job *job) {
    for (int k = 0; k < job->npieces; k++) {
        const KdPiece *piece = job->pieces[k];
        job->e.f = piece->f;
        job->e.seen = (KdSeen){ 0 };
        int phases = kd_kernel_phases(&job->e, piece->kernel);
        for (int p = 0; p < phases; p++) emit_phase(&job->e, piece, p);
        if (kd_remarks_wanted(job->e.diag, "codegen")) remark_piece(&job->e, piece);
    }
    for (int k = 0; job->main && k < job->nentries; k++) {
        job->e.f = job->entries[k].f;
        kd_emit_function(&job->e);
        if (job->entries[k].epoch) {
            kd_emit_epoch(&job->e);
        }
    }
}

/* All but the functions of those names is for this object alone. */
static void hide_all(KdEmit *e, int n, const char *const *kept) {
    for (LLVMValueRef f = LLVMGetFirstFunction(e->mod); f; f = LLVMGetNextFunction(f)) {
        size_t length;
        const char *name = LLVMGetValueName2(f, &length);
        bool keep = LLVMIsDeclaration(f);
        for (int k = 0; k < n; k++) keep |= strcmp(name, kept[k]) == 0;
        if (keep) continue;
        LLVMSetVisibility(f, LLVMDefaultVisibility);
        LLVMSetLinkage(f, LLVMInternalLinkage);
    }
}

/* What an object exports: the outputs of predict, and what trains. */
typedef struct Exports {
    int n, noutputs; /* the first so many names are those of outputs */
    int output[KD_PREDICT_OUTPUTS];
    const char *name[KD_PREDICT_OUTPUTS + KD_MAX_TRAINER_SYMBOLS + 1]; /* and that of pack */
} Exports;

static Exports exports_of(KdEmit *e) {
    const KdPredict *p = e->options->predict;
    Exports x = { 0 };
    for (int out = 0; out < KD_PREDICT_OUTPUTS && p->nvariants; out++) {
        if (out != KD_PREDICT_LOGITS && !p->of_logits[out]) continue;
        x.output[x.noutputs] = out;
        x.name[x.noutputs++] = kd_predict_name(p, out, e->arena);
    }
    x.n = x.noutputs;
    if (e->options->trainer) x.n += kd_trainer_symbols(e->options->trainer, e->arena, x.name + x.n);
    return x;
}

/* The functions that the object exports, for the target at hand; `ending` goes behind their names.
 */
static void emit_exports(KdEmit *e, const Exports *x, const char *ending, LLVMValueRef *run) {
    const KdBackendOptions *o = e->options;
    LLVMValueRef network = o->trainer ? kd_emit_network(e, o->trainer) : NULL;
    for (int k = 0; k < x->n; k++) {
        LLVMValueRef other = LLVMGetNamedFunction(e->mod, x->name[k]);
        const char *name = kd_arena_format(e->arena, "%s%s", x->name[k], ending);
        if (other) LLVMSetValueName2(other, "", 0);
        run[k] = k < x->noutputs ? kd_emit_predict(e, o->predict, x->output[k], run[0], name)
                                 : kd_emit_entry(e, o->trainer, x->name[k], network, name);
    }
}

/* SYMBOL_pack, which every CPU runs, and the size of the block that it fills. */
static void emit_pack(KdEmit *e, bool dispatch, Exports *x) {
    const KdTarget *own = e->target;
    if (dispatch) kd_emit_target(e, &kd_any_x86);
    x->name[x->n] = kd_pack_name(e->options->predict, e->arena);
    kd_emit_pack(e, x->name[x->n++]);
    e->weight_bytes = kd_pack_bytes(e);
    kd_emit_target(e, own);
}

/* SYMBOL_predict and the others: where the CPU can be asked, each chooses among the levels, even of
 * one. */
static void emit_shipped(Job *job, const KdPredict *p) {
    KdEmit *e = &job->e;
    int n = p->nlevels ? p->nlevels : 1;
    const KdTarget *level = p->nlevels ? p->level : e->target;
    Exports x = exports_of(e);
    LLVMValueRef *run = KD_NEW_ARRAY(e->arena, LLVMValueRef, n * x.n);
    LLVMValueRef *levels = KD_NEW_ARRAY(e->arena, LLVMValueRef, n);
    bool dispatch = kd_can_dispatch(e);
    for (int k = 0; k < n; k++) {
        e->suffix = n > 1 ? kd_arena_format(e->arena, ".%s", level[k].cpu) : "";
        kd_emit_target(e, &level[k]);
        emit_pieces(job);
        const char *ending = dispatch ? kd_arena_format(e->arena, ".run%s", e->suffix) : "";
        emit_exports(e, &x, ending, run + (size_t)k * (size_t)x.n);
    }
    if (p->weights) kd_embed_finish(e);
    for (int k = 0; dispatch && k < x.n; k++) {
        for (int j = 0; j < n; j++) levels[j] = run[j * x.n + k];
        kd_emit_dispatch(e, x.name[k], n, levels, level, KD_PREDICT_UNSUPPORTED_CPU);
    }
    if (p->packs) emit_pack(e, dispatch, &x);
    hide_all(e, x.n, x.name);
}

static void emit_module(Job *job) {
    kd_debug_open(&job->e);
    if (job->e.options->predict)
        emit_shipped(job, job->e.options->predict);
    else
        emit_pieces(job);
    kd_debug_close(&job->e);
}

/* The emitter leaves vectors and register tiles as they should be, so neither LLVM's vectorisers
 * nor its unroller run; what is left is cleaning up. */
static const char passes[] =
    "function<eager-inv>(sroa<modify-cfg>,early-cse<memssa>,instcombine<no-verify-fixpoint>,"
    "simplifycfg,"
    "loop-mssa(licm),gvn,loop-simplify,lcssa,loop(indvars,loop-deletion),instsimplify,dse,adce,"
    "simplifycfg)";

static bool run_passes(Job *job, const char *names) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(job->e.mod, names, job->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error) {
        return true;
    }
    char *message = LLVMGetErrorMessage(error);
    fail(job, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static void keep_bytes(Job *job, const char *bytes, size_t size) {
    job->bytes = malloc(size ? size : 1);
    if (!job->bytes) kd_out_of_memory(size);
    memcpy(job->bytes, bytes, size);
    job->size = size;
}

static void write_code(Job *job) {
    if (job->text && strcmp(job->text, "llvm-ir") == 0) {
        char *text = LLVMPrintModuleToString(job->e.mod);
        keep_bytes(job, text, strlen(text));
        LLVMDisposeMessage(text);
        return;
    }
    LLVMCodeGenFileType type = job->text ? LLVMAssemblyFile : LLVMObjectFile;
    LLVMMemoryBufferRef buffer;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(job->machine, job->e.mod, type, &message, &buffer)) {
        fail(job, message);
        LLVMDisposeMessage(message);
        return;
    }
    keep_bytes(job, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
    LLVMDisposeMemoryBuffer(buffer);
}

static void run_job(Job *job) {
    open_emitter(job);
    job->machine = kd_machine_create(job->e.target, job->e.features, job->e.diag);
    if (!job->machine) {
        job->failed = true;
        close_emitter(job);
        return;
    }
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(job->machine);
    LLVMSetModuleDataLayout(job->e.mod, layout);
    LLVMDisposeTargetData(layout);
    char *triple = LLVMGetTargetMachineTriple(job->machine), *message = NULL;
    LLVMSetTarget(job->e.mod, triple);
    LLVMDisposeMessage(triple);
    emit_module(job);
    if (LLVMVerifyModule(job->e.mod, LLVMReturnStatusAction, &message)) {
        fail(job, message);
    } else if ((job->e.options->unoptimized || run_passes(job, passes)) &&
               (!job->e.options->sanitize || run_passes(job, KD_SANITIZE_PASSES))) {
        write_code(job);
    }
    LLVMDisposeMessage(message);
    close_emitter(job);
}

/* --- all jobs --------------------------------------------------------------------------------- */

/* Deals the kernels out, the contractions apart from the others so that both halves take long. */
static void deal(int njobs, Job *jobs, const KdPieces *pieces, KdArena *a) {
    int next = 0;
    for (int j = 0; j < njobs; j++)
        jobs[j].pieces = KD_NEW_ARRAY(a, const KdPiece *, pieces->n + 1);
    for (int heavy = 1; heavy >= 0; heavy--) {
        for (int k = 0; k < pieces->n; k++) {
            if (pieces->piece[k].contract != (heavy == 1)) continue;
            Job *job = &jobs[next++ % njobs];
            job->pieces[job->npieces++] = &pieces->piece[k];
        }
    }
}

typedef struct Queue {
    Job *jobs;
    int njobs;
    atomic_int next;
} Queue;

static void *run_queue(void *user) {
    Queue *q = user;
    for (int j = atomic_fetch_add(&q->next, 1); j < q->njobs; j = atomic_fetch_add(&q->next, 1))
        run_job(&q->jobs[j]);
    return NULL;
}

/* Runs the jobs on up to `threads` threads, each of which takes the next job. */
static void run_jobs(int njobs, Job *jobs, int threads) {
    Queue q = { .jobs = jobs, .njobs = njobs };
    pthread_t thread[MAX_JOBS];
    int started = 0;
    while (started + 1 < threads && started + 1 < njobs &&
           pthread_create(&thread[started], NULL, run_queue, &q) == 0)
        started++;
    run_queue(&q);
    for (int k = 0; k < started; k++) pthread_join(thread[k], NULL);
}

static bool check_entries(const KdModule *m, int n, const KdEntry *entries, KdDiag *d) {
    for (int k = 0; k < n; k++) {
        const KdFunc *f = entries[k].f;
        if (!f->planned) {
            return kd_error(d, (KdLoc){ 0 },
                            "@%s is not planned: the passes must end with plan-memory", f->name);
        }
        bool loss =
            f->nresults && f->results[0]->type.rank == 0 && f->results[0]->type.dtype == KD_F32;
        if (entries[k].epoch && !loss) {
            return kd_error(d, f->loc, "@%s: a training step returns its loss first, f32[]",
                            f->name);
        }
    }
    return m->target.vector_bits >= 128 ||
           kd_error(d, (KdLoc){ 0 }, "target: vectors of %d bits", m->target.vector_bits);
}

static int compile(const KdModule *m, int n, const KdEntry *entries, const KdBackendOptions *o,
                   KdDiag *d, const char *text, Job jobs[MAX_JOBS]) {
    KdBackendOptions options = o ? *o : (KdBackendOptions){ 0 };
    /* A sanitized kdc sanitizes what it makes, but for objects that others link. */
    if (KD_SANITIZE && !options.predict) options.sanitize = true;
    if (!check_entries(m, n, entries, d)) {
        return -1;
    }
    kd_machine_initialize();
    KdArena *a = kd_arena_create();
    /* Shared code would have the lines of one of its kernels. */
    KdPieces pieces =
        kd_pieces_collect(n, entries, options.debug == KD_DEBUG_NONE, options.predict, a);
    bool remarks = kd_remarks_wanted(d, "codegen"); /* by one job: in order, one at a time */
    int njobs = remarks || text || options.predict || pieces.n < 4 ? 1 : pieces.n < 16 ? 2 : 4;
    for (int j = 0; j < njobs; j++) {
        jobs[j] = (Job){ .main = j == 0, .nentries = n, .entries = entries, .text = text };
        jobs[j].e.m = m;
        jobs[j].e.options = &options;
        jobs[j].e.diag = d;
    }
    deal(njobs, jobs, &pieces, a);
    run_jobs(njobs, jobs, options.threads);
    kd_arena_destroy(a);
    bool failed = false;
    for (int j = 0; j < njobs; j++) {
        if (jobs[j].failed && jobs[j].message) {
            kd_error(d, (KdLoc){ 0 }, "LLVM: %s", jobs[j].message);
        }
        failed = failed || jobs[j].failed;
        free(jobs[j].message);
    }
    for (int j = 0; failed && j < njobs; j++) {
        free(jobs[j].bytes);
    }
    return failed ? -1 : njobs;
}

static void take_callees(KdObject *object, const KdBackendOptions *o) {
    object->debug = o ? o->debug : KD_DEBUG_NONE;
    object->sgemm = o ? o->sgemm : NULL;
    object->parallel = o && o->parallel ? o->parallel : kdrt_parallel;
}

KdObject *kd_compile(const KdModule *m, int n, const KdEntry *entries, const KdBackendOptions *o,
                     KdDiag *d) {
    Job jobs[MAX_JOBS];
    KdObject *object = calloc(1, sizeof *object);
    if (!object) kd_out_of_memory(sizeof *object);
    int njobs = compile(m, n, entries, o, d, NULL, jobs);
    if (njobs < 0) {
        free(object);
        return NULL;
    }
    object->count = njobs;
    for (int j = 0; j < njobs; j++) {
        object->file[j].bytes = jobs[j].bytes;
        object->file[j].size = jobs[j].size;
        object->weight_bytes += jobs[j].e.weight_bytes;
        if (jobs[j].e.scratch > object->scratch) {
            object->scratch = jobs[j].e.scratch;
        }
    }
    take_callees(object, o);
    return object;
}

KdObject *kd_object_restore(int count, const KdObjectFile *files, size_t scratch,
                            const KdBackendOptions *o) {
    KdObject *object = count <= MAX_JOBS ? calloc(1, sizeof *object) : NULL;
    if (!object) return NULL;
    for (int k = 0; k < count; k++) {
        object->file[k].bytes = malloc(files[k].size + 1);
        if (!object->file[k].bytes) {
            kd_object_destroy(object);
            return NULL;
        }
        memcpy(object->file[k].bytes, files[k].bytes, files[k].size);
        object->file[k].size = files[k].size;
        object->count = k + 1;
    }
    object->scratch = scratch;
    take_callees(object, o);
    return object;
}

const char *kd_backend_version(KdArena *a) {
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    return kd_arena_format(a, "LLVM %u.%u.%u", major, minor, patch);
}

const char *kd_object_recipe(const KdModule *m, int n, const KdEntry *entries,
                             const KdBackendOptions *o, KdArena *a) {
    const KdTarget *t = &m->target;
    char *text = kd_arena_format(
        a, "%s, %s %s %s, %d bits, %d registers, caches %lld %lld, %s, %s, %d%d%d%d\n",
        kd_backend_version(a), t->triple ? t->triple : "host", t->cpu, kd_machine_features(t, a),
        t->vector_bits, t->registers, (long long)t->l1_bytes, (long long)t->l2_bytes,
        m->source ? m->source : "", o->gemm ? o->gemm : "native", o->parallel != NULL, o->sanitize,
        (int)o->debug, o->unoptimized);
    text = kd_arena_format(a, "%scheck %s\n", text, kd_attr_str(m->program, "check", "loss"));
    for (int k = 0; k < m->nhypers; k++)
        text = kd_arena_format(a, "%s %s", text, m->hypers[k]->name);
    const char *plan = o->tuning ? kd_tuning_plan(o->tuning, n, entries, a) : "";
    text = kd_arena_format(a, "%s\n%s\n", text, plan);
    for (int k = 0; k < n; k++)
        text = kd_arena_format(a, "%s%d %s", text, entries[k].epoch, kd_func_text(entries[k].f, a));
    return text;
}

bool kd_compile_text(const KdModule *m, int n, const KdEntry *entries, const KdBackendOptions *o,
                     const char *what, FILE *out, KdDiag *d) {
    Job jobs[MAX_JOBS];
    if (strcmp(what, "llvm-ir") != 0 && strcmp(what, "asm") != 0) {
        return kd_error(d, (KdLoc){ 0 }, "cannot emit %s: llvm-ir and asm are texts", what);
    }
    if (compile(m, n, entries, o, d, what, jobs) < 0) {
        return false;
    }
    bool written = fwrite(jobs[0].bytes, 1, jobs[0].size, out) == jobs[0].size;
    free(jobs[0].bytes);
    return written || kd_error(d, (KdLoc){ 0 }, "cannot write %s", what);
}

KdSgemm *kd_object_sgemm(const KdObject *o) {
    return o->sgemm;
}

KdParallel *kd_object_parallel(const KdObject *o) {
    return o->parallel;
}

KdDebugKind kd_object_debug(const KdObject *o) {
    return o->debug;
}

int kd_object_count(const KdObject *o) {
    return o->count;
}

const void *kd_object_bytes(const KdObject *o, int k, size_t *size) {
    *size = o->file[k].size;
    return o->file[k].bytes;
}

int64_t kd_object_weight_bytes(const KdObject *o) {
    return o->weight_bytes;
}

size_t kd_object_scratch(const KdObject *o) {
    return o->scratch;
}

void kd_object_destroy(KdObject *o) {
    for (int k = 0; o && k < o->count; k++) {
        free(o->file[k].bytes);
    }
    free(o);
}
