/*
 * From a run's module to functions that can be called, and the memory they work in: one arena,
 * large enough for the largest of them (they never run at the same time), and scratch per worker.
 */
#include "frontend/driver/session.h"

#include "frontend/commands.h"
#include "frontend/driver/object_cache.h"
#include "frontend/driver/tuning.h"
#include "ir/guard.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/host/blas.h"
#include "runtime/host/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t kd_run_seed(const KdRun *run) {
    return (uint64_t)run->seed;
}

KdrtFrame kd_frame(const KdCompiled *c, const KdFunc *f, void **args, void **results, int32_t n) {
    kd_arena_guard(f, c->arena, c->arena_bytes);
    return (KdrtFrame){
        .args = args,
        .results = results,
        .arena = c->arena,
        .scratch = c->scratch,
        .scratch_stride = c->scratch_stride,
        .hyper = c->hyper,
        .seed = kd_run_seed(c->run),
        .pool = c->pool,
        .n = n,
        .trace = c->trace,
    };
}

/* Measures what no table has yet, and tells how that went. */
static bool tune(KdCompiled *c, int n, const KdEntry *entries, const KdDriveOptions *o,
                 KdEngine *engine, KdDiag *d) {
    KdBackendOptions options = { .sgemm = kdrt_sgemm, .threads = kdrt_pool_threads(engine->pool) };
    KdTuning *t = &engine->tuning;
    double start = kdrt_seconds();
    int measured = kd_tune(n, entries, &options, engine->pool, t, d), openblas = 0;
    if (measured > 0) {
        for (int k = t->n - measured; k < t->n; k++) openblas += t->choice[k].openblas;
        kd_tuning_remember(t, &c->m->target, kdrt_pool_threads(engine->pool));
        if (!o->quiet)
            fprintf(stderr, "%-12s measured %d contractions in %.1f s: %d by OpenBLAS, %d native\n",
                    c->run->name, measured, kdrt_seconds() - start, openblas, measured - openblas);
    }
    return measured >= 0;
}

static bool generate(KdCompiled *c, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                     KdDiag *d) {
    KdEntry entry[3];
    int n = 0;
    entry[n++] = (KdEntry){ .f = c->step, .epoch = true };
    if (c->evaluate) entry[n++] = (KdEntry){ .f = c->evaluate };
    if (c->teacher) entry[n++] = (KdEntry){ .f = c->teacher };
    KdBackendOptions options = { .gemm = o->gemm,
                                 .sgemm = kdrt_sgemm,
                                 .debug = o->debug,
                                 .threads = kdrt_pool_threads(engine->pool) };
    if (engine->trace) options.parallel = kdrt_trace_parallel;
    c->plan = "";
    if (o->gemm && strcmp(o->gemm, "auto") == 0) {
        if (!tune(c, n, entry, o, engine, d)) return false;
        options.tuning = &engine->tuning;
        c->plan = kd_tuning_plan(&engine->tuning, n, entry, a);
    }
    c->how = kd_arena_format(a, "gemm %s %s, passes %s", o->gemm ? o->gemm : "native", c->plan,
                             o->passes ? o->passes : "");
    /* Remarks are made where code is, and debug information names the folder we are in. */
    if (kd_remarks_wanted(d, "codegen") || o->debug != KD_DEBUG_NONE)
        c->object = kd_compile(c->m, n, entry, &options, d);
    else
        kd_compile_cached(c, n, entry, &options, d);
    c->jit = c->object ? kd_jit_create(c->object, d) : NULL;
    if (!c->jit) return false;
    /* ISO C forbids casts from void * to function pointers; POSIX guarantees the copy. */
    void *symbol = kd_jit_symbol(c->jit, "step_epoch");
    memcpy(&c->run_epoch, &symbol, sizeof symbol);
    symbol = c->evaluate ? kd_jit_symbol(c->jit, "evaluate") : NULL;
    memcpy(&c->run_evaluate, &symbol, sizeof symbol);
    symbol = c->teacher ? kd_jit_symbol(c->jit, "teacher_logits") : NULL;
    memcpy(&c->run_teacher, &symbol, sizeof symbol);
    if (!c->run_epoch || (c->evaluate && !c->run_evaluate) || (c->teacher && !c->run_teacher))
        kd_bug(d, "a compiled function is missing from its object");
    return true;
}

static bool allocate(KdCompiled *c, KdArena *a, KdDiag *d) {
    kd_release_compiler();
    int64_t bytes = c->step->arena_bytes;
    if (c->evaluate && c->evaluate->arena_bytes > bytes) bytes = c->evaluate->arena_bytes;
    if (c->teacher && c->teacher->arena_bytes > bytes) bytes = c->teacher->arena_bytes;
    c->scratch_stride = (kd_object_scratch(c->object) + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
    c->arena_bytes = (size_t)bytes;
    c->arena = kdrt_alloc(c->arena_bytes);
    c->scratch = kdrt_reserve(c->scratch_stride * (size_t)kdrt_pool_threads(c->pool));
    c->hyper = KD_NEW_ARRAY(a, float, c->m->nhypers + 1);
    for (int k = 0; k < c->m->nhypers; k++) c->hyper[k] = (float)c->m->hypers[k]->value;
    if (c->arena && c->scratch) return true;
    return kd_error(d, c->run->loc, "%s: no memory for %lld bytes of activations", c->run->name,
                    (long long)bytes);
}

bool kd_engine_create(KdEngine *engine, const KdDriveOptions *o, KdArena *a, KdDiag *d) {
    KdrtError error;
    *engine = (KdEngine){ .tuning = { .arena = a } };
    engine->pool = kd_threads_start(o->threads, d);
    if (!engine->pool) return false;
    bool own = !o->gemm || strcmp(o->gemm, "native") == 0 || strcmp(o->gemm, "direct") == 0;
    if (own) return true;
    if (!kdrt_blas_start(&error)) return kd_error(d, (KdLoc){ 0 }, "%s", error.text);
    if (strcmp(o->gemm, "auto") == 0) {
        KdTarget target = kd_target_host(a);
        kd_tuning_recall(&engine->tuning, &target, kdrt_pool_threads(engine->pool), d);
    }
    return true;
}

void kd_engine_destroy(KdEngine *engine) {
    if (engine->pool) kdrt_pool_destroy(engine->pool);
    engine->pool = NULL;
}

static KdCompiled *run_passes(const KdRun *run, const KdDriveOptions *o, KdEngine *engine,
                              KdArena *a, KdDiag *d) {
    double start = kdrt_seconds();
    KdCompiled *c = KD_NEW(a, KdCompiled);
    c->run = run;
    c->pool = engine->pool;
    c->trace = engine->trace;
    c->m = run->module;
    c->text = kd_module_text(run->module, a);
    c->nsettings = run->module->nhypers;
    run->module->target = kd_target_host(run->module->arena);
    KdPipeline pipeline = { .passes = o->passes, .skip = o->skip };
    if (!kd_run_timed(run->module, &pipeline, o->time_passes ? stderr : NULL, d)) return NULL;
    c->step = kd_module_func(c->m, "step");
    c->evaluate = kd_module_func(c->m, "evaluate");
    c->teacher = kd_module_func(c->m, "teacher_logits");
    c->seconds = kdrt_seconds() - start;
    return c;
}

static bool make_code(KdCompiled *c, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                      KdDiag *d) {
    double start = kdrt_seconds();
    if (!generate(c, o, engine, a, d) || !allocate(c, a, d)) {
        kd_compiled_destroy(c);
        return false;
    }
    double seconds = kdrt_seconds() - start;
    c->seconds += seconds;
    if (o->time_passes)
        fprintf(stderr, "%-12s code %s in %.3f ms, ready to run after %.3f ms\n", c->run->name,
                c->recalled ? "taken from the cache" : "generated", 1e3 * seconds,
                1e3 * c->seconds);
    return true;
}

KdCompiled *kd_compile_run(const KdRun *run, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                           KdDiag *d) {
    KdCompiled *c = run_passes(run, o, engine, a, d);
    if (c && (!c->step || !c->evaluate)) {
        kd_error(d, run->loc, "%s: the passes leave no @step and @evaluate to compile", run->name);
        return NULL;
    }
    return c && make_code(c, o, engine, a, d) ? c : NULL;
}

KdCompiled *kd_compiled_for(const KdCompiled *c, const KdRun *run, KdArena *a) {
    KdCompiled *like = kd_arena_copy(a, c, sizeof *c);
    like->run = run;
    like->text = kd_module_text(run->module, a);
    like->hyper = KD_COPY_ARRAY(a, c->hyper, c->m->nhypers + 1);
    for (int k = 0; k < c->nsettings; k++) like->hyper[k] = (float)run->module->hypers[k]->value;
    return like;
}

bool kd_compile_together(const KdRun *run, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                         KdCompiled **c, KdDiag *d) {
    *c = run_passes(run, o, engine, a, d);
    if (!*c) return false;
    bool made = kd_module_param((*c)->m, run->network, KD_STUDENT_LOSSES) != NULL;
    bool ok = !made || make_code(*c, o, engine, a, d);
    if (!made || !ok) *c = NULL;
    return ok;
}

void kd_compiled_destroy(KdCompiled *c) {
    if (!c) return;
    if (c->jit) kd_jit_destroy(c->jit);
    if (c->object) kd_object_destroy(c->object);
    kdrt_free(c->arena);
    kdrt_free(c->scratch);
    c->jit = NULL;
    c->object = NULL;
    c->arena = NULL;
    c->scratch = NULL;
}
