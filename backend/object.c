/*
 * Compiles functions to object files. The kernels are dealt out over a few jobs, each with its own
 * LLVM context, module, target machine and emitter, which run on as many threads; a job ends with
 * the bytes of an object file. Which kernel goes where depends on the module alone, so the bytes do
 * not depend on the number of threads.
 */
#include "backend/job.h"
#include "backend/machine.h"
#include "backend/tune.h"
#include "ir/guard.h"
#include "ir/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAX_JOBS 8

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

/* Deals the kernels out, the contractions apart from the others so that both halves take long. */
static void deal(int njobs, KdJob *jobs, const KdPieces *pieces, KdArena *a) {
    int next = 0;
    for (int j = 0; j < njobs; j++)
        jobs[j].pieces = KD_NEW_ARRAY(a, const KdPiece *, pieces->n + 1);
    for (int heavy = 1; heavy >= 0; heavy--) {
        for (int k = 0; k < pieces->n; k++) {
            if (pieces->piece[k].contract != (heavy == 1)) continue;
            KdJob *job = &jobs[next++ % njobs];
            job->pieces[job->npieces++] = &pieces->piece[k];
        }
    }
}

typedef struct Queue {
    KdJob *jobs;
    int njobs;
    atomic_int next;
} Queue;

static void *run_queue(void *user) {
    Queue *q = user;
    for (int j = atomic_fetch_add(&q->next, 1); j < q->njobs; j = atomic_fetch_add(&q->next, 1))
        kd_job_run(&q->jobs[j]);
    return NULL;
}

/* Runs the jobs on up to `threads` threads, each of which takes the next job. */
static void run_jobs(int njobs, KdJob *jobs, int threads) {
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
                   KdDiag *d, const char *text, KdJob jobs[MAX_JOBS]) {
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
        jobs[j] = (KdJob){ .main = j == 0, .nentries = n, .entries = entries, .text = text };
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
    KdJob jobs[MAX_JOBS];
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
    KdJob jobs[MAX_JOBS];
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
