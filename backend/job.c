/*
 * Some kernels become the bytes of an object file (or LLVM IR, or assembly), with an LLVM context,
 * module, target machine and emitter of their own. What belongs to what is told by pieces.h; which
 * kernels, by object.c.
 */
#include "backend/job.h"
#include "backend/debug.h"
#include "backend/dispatch.h"
#include "backend/embed.h"
#include "backend/entry.h"
#include "backend/func.h"
#include "backend/machine.h"
#include "backend/predict.h"
#include "ir/guard.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

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

static void open_emitter(KdJob *job) {
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

static void close_emitter(KdJob *job) {
    LLVMDisposeBuilder(job->e.b);
    LLVMDisposeModule(job->e.mod);
    LLVMContextDispose(job->e.cx);
    if (job->machine) {
        LLVMDisposeTargetMachine(job->machine);
    }
    kd_arena_destroy(job->e.arena);
}

static bool fail(KdJob *job, const char *message) {
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
static void emit_pieces(KdJob *job) {
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
static void emit_shipped(KdJob *job, const KdPredict *p) {
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
    for (int k = 0; k < KD_PREDICT_STATISTICS && p->mean; k++) kd_emit_statistic(e, p, k);
    hide_all(e, x.n, x.name);
}

static void emit_module(KdJob *job) {
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

static bool run_passes(KdJob *job, const char *names) {
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

static void keep_bytes(KdJob *job, const char *bytes, size_t size) {
    job->bytes = malloc(size ? size : 1);
    if (!job->bytes) kd_out_of_memory(size);
    memcpy(job->bytes, bytes, size);
    job->size = size;
}

static void write_code(KdJob *job) {
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

void kd_job_run(KdJob *job) {
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
