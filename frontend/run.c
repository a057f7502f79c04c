/*
 * `kdc run`: one function of an IR text, by the interpreter or as machine code. A function that is
 * not planned yet goes through the default passes before it is compiled.
 */
#include "frontend/commands.h"
#include "frontend/inputs.h"
#include "ir/half.h"

#include "backend/backend.h"
#include "ir/guard.h"
#include "runtime/host/blas.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const KdLoc nowhere = { NULL, 0 };

/* --fn, or the only function; NULL after an error. */
static KdFunc *choose(const KdModule *m, const KdOptions *o, KdDiag *d) {
    KdLoc loc = { o->file, 0 };
    if (m->first && (!m->first->next && !o->fn)) return m->first;
    KdFunc *f = o->fn ? kd_module_func(m, o->fn) : NULL;
    if (f) return f;
    const char *names[64];
    char list[512] = "";
    int n = 0;
    for (const KdFunc *g = m->first; g && n < 64; g = g->next) {
        size_t at = strlen(list);
        names[n++] = g->name;
        snprintf(list + at, sizeof list - at, " @%s", g->name);
    }
    const char *near = o->fn ? kd_nearest(o->fn, names, n) : NULL;
    if (!o->fn) {
        kd_error(d, loc, "%s: name one with --fn:%s", n ? "several functions" : "no function",
                 list);
    } else if (near) {
        kd_error(d, loc, "no function @%s; did you mean '%s'?", o->fn, near);
    } else {
        kd_error(d, loc, "no function @%s, only%s", o->fn, list);
    }
    return NULL;
}

static bool choose_batch(const KdFunc *f, const KdOptions *o, int64_t *n, KdDiag *d) {
    *n = o->batch > 0 ? o->batch : f->max_batch;
    if (o->batch > 0 && !f->max_batch) {
        return kd_error(d, nowhere, "@%s has no batch: --batch does not apply", f->name);
    }
    if (*n > f->max_batch) {
        return kd_error(d, nowhere, "--batch %" PRId64 ": @%s takes at most %" PRId64 " rows", *n,
                        f->name, f->max_batch);
    }
    if (!*n) *n = 1; /* without a batch only N reads it */
    return true;
}

static uint64_t seed_of(const KdOptions *o) {
    return o->seed >= 0 ? (uint64_t)o->seed : 0;
}

/* --- by the interpreter -------------------------------------------------------------------- */

static void from_tensor(KdBlock *b, const KdTensor *t) {
    for (int64_t k = 0; k < b->count; k++) {
        switch (b->type.dtype) {
        case KD_F32: ((float *)b->data)[k] = (float)t->data[k]; break;
        case KD_I32: ((int32_t *)b->data)[k] = (int32_t)t->data[k]; break;
        case KD_U8:
        case KD_BOOL: ((uint8_t *)b->data)[k] = (uint8_t)t->data[k]; break;
        case KD_I8: ((int8_t *)b->data)[k] = (int8_t)t->data[k]; break;
        case KD_F16: ((uint16_t *)b->data)[k] = kd_half_from(t->data[k]); break;
        case KD_NUM_DTYPES: break;
        }
    }
}

static bool interpret(const KdFunc *f, const KdOptions *o, const KdBlock *args, KdBlock *results,
                      KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdTensor *in = KD_NEW_ARRAY(a, KdTensor, f->nargs),
             *out = KD_NEW_ARRAY(a, KdTensor, f->nresults);
    KdInterp interp = { .arena = a, .seed = seed_of(o), .n = results[0].n, .print = stderr };
    for (int k = 0; k < f->nargs; k++) in[k] = kd_block_tensor(&args[k], a);
    bool good = kd_interpret(&interp, f, in, out, d);
    for (int k = 0; k < f->nresults && good; k++) from_tensor(&results[k], &out[k]);
    kd_arena_destroy(a);
    return good;
}

/* --- as machine code ----------------------------------------------------------------------- */

/* The memory of one call; results that take over an argument's memory point there. */
typedef struct Call {
    void **args, **results;
    unsigned char *arena, *scratch;
    KdrtPool *pool;
} Call;

static bool prepare(Call *c, const KdFunc *f, KdrtFrame *frame, KdArena *a, KdDiag *d) {
    const KdModule *m = f->module;
    float *hyper = KD_NEW_ARRAY(a, float, m->nhypers + 1);
    for (int k = 0; k < m->nhypers; k++) hyper[k] = (float)m->hypers[k]->value;
    size_t workers = (size_t)kdrt_pool_threads(c->pool);
    c->arena = kdrt_alloc((size_t)f->arena_bytes);
    c->scratch = kdrt_alloc(workers * frame->scratch_stride + KDRT_ALIGN);
    if (!c->arena || !c->scratch) {
        return kd_error(d, nowhere, "no memory for the %" PRId64 " bytes @%s works in",
                        f->arena_bytes, f->name);
    }
    kd_arena_guard(f, c->arena, (size_t)f->arena_bytes);
    frame->args = c->args;
    frame->results = c->results;
    frame->arena = c->arena;
    frame->scratch = c->scratch;
    frame->hyper = hyper;
    frame->pool = c->pool;
    return true;
}

static void bind(Call *c, const KdFunc *f, KdBlock *args, KdBlock *results, KdArena *a) {
    c->args = KD_NEW_ARRAY(a, void *, f->nargs + 1);
    c->results = KD_NEW_ARRAY(a, void *, f->nresults + 1);
    for (int k = 0; k < f->nargs; k++) c->args[k] = args[k].data;
    for (int k = 0; k < f->nresults; k++) {
        int taken = f->in_place ? f->in_place[k] : -1;
        c->results[k] = taken >= 0 ? args[taken].data : results[k].data;
    }
}

/* Results that were computed in place, from the arguments they took over. */
static void collect(const KdFunc *f, const KdBlock *args, KdBlock *results) {
    for (int k = 0; f->in_place && k < f->nresults; k++) {
        if (f->in_place[k] < 0) continue;
        memcpy(results[k].data, args[f->in_place[k]].data,
               (size_t)results[k].count * kd_dtype_size(results[k].type.dtype));
    }
}

static bool execute(const KdFunc *f, const KdOptions *o, KdBlock *args, KdBlock *results,
                    KdDiag *d) {
    KdrtError error;
    if (!kd_inputs_check_rows(f, args, d)) return false;
    if (o->gemm && strcmp(o->gemm, "openblas") == 0 && !kdrt_blas_start(&error))
        return kd_error(d, nowhere, "%s", error.text);
    const KdBackendOptions options = {
        .gemm = o->gemm, .sgemm = kdrt_sgemm, .debug = o->debug, .threads = 1
    };
    const KdEntry entry = { .f = f };
    d->module = f->module; /* what a fault of the backend is reproduced from */
    KdObject *object = kd_compile(f->module, 1, &entry, &options, d);
    KdJit *jit = object ? kd_jit_create(object, d) : NULL;
    KdArena *a = kd_arena_create();
    Call c = { .pool = jit ? kd_threads_start(o->threads, d) : NULL };
    KdrtFrame frame = { .seed = seed_of(o), .n = (int32_t)results[0].n };
    bool good = c.pool != NULL;
    if (good) {
        size_t scratch = kd_object_scratch(object);
        frame.scratch_stride = (scratch + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
        bind(&c, f, args, results, a);
        good = prepare(&c, f, &frame, a, d);
    }
    if (good) {
        void *symbol = kd_jit_symbol(jit, f->name);
        KdrtFunction *call;
        if (!symbol) kd_bug(d, "@%s was compiled but is not in its object", f->name);
        memcpy(&call, &symbol, sizeof call); /* C has no cast from void * to a function */
        good =
            call(&frame) == KDRT_OK || kd_error(d, nowhere, "@%s: its loss is not finite", f->name);
        collect(f, args, results);
    }
    kdrt_pool_destroy(c.pool);
    kdrt_free(c.arena);
    kdrt_free(c.scratch);
    d->module = NULL;
    if (jit) kd_jit_destroy(jit);
    if (object) kd_object_destroy(object);
    kd_arena_destroy(a);
    return good;
}

/* --- the command --------------------------------------------------------------------------- */

static bool any_planned(const KdModule *m) {
    KD_EACH_FUNC(f, m) {
        if (f->planned) return true;
    }
    return false;
}

/* Zeroed room for the results of f; NULL after an error. */
static KdBlock *make_results(const KdFunc *f, int64_t n, KdArena *a, KdDiag *d) {
    KdBlock *results = KD_NEW_ARRAY(a, KdBlock, f->nresults);
    for (int k = 0; k < f->nresults; k++) {
        results[k] = kd_block_create(f->results[k]->type, n, 2 * n, d);
        if (results[k].data) continue;
        while (k > 0) kd_block_free(&results[--k]);
        return NULL;
    }
    return results;
}

static void free_blocks(int n, KdBlock *blocks) {
    for (int k = 0; blocks && k < n; k++) kd_block_free(&blocks[k]);
}

/* Does every element agree with what is meant? Floats to a ten-thousandth of the largest one, since
 * the interpreter rounds nothing; all others exactly. */
static bool agrees(const KdBlock *found, const KdBlock *meant, const char *name, KdDiag *d) {
    double largest = 0, worst = 0;
    int64_t where = 0;
    for (int64_t k = 0; k < meant->count; k++) {
        double x = kd_block_get(found, k), y = kd_block_get(meant, k);
        double off = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y);
        if (isfinite(y) && fabs(y) > largest) largest = fabs(y);
        if (off <= worst) continue; /* not so for nan, which stays the worst */
        worst = off;
        where = k;
        if (!isfinite(off)) break;
    }
    bool exact = meant->type.dtype != KD_F32 && meant->type.dtype != KD_F16;
    if (worst <= (exact ? 0 : 1e-4 * largest)) {
        printf("%%%s: agrees to %.2g, of values up to %.6g\n", name, worst, largest);
        return true;
    }
    return kd_error(d, nowhere, "%%%s: element %" PRId64 " is %.9g, by the interpreter %.9g", name,
                    where, kd_block_get(found, where), kd_block_get(meant, where));
}

/* --verify: both ways. The interpreter is first: machine code may write over its arguments. */
static bool verify(const KdFunc *f, const KdOptions *o, KdBlock *args, KdBlock *results,
                   KdBlock *meant, KdDiag *d) {
    bool good = interpret(f, o, args, meant, d) && execute(f, o, args, results, d);
    for (int k = 0; k < f->nresults && good; k++)
        good = agrees(&results[k], &meant[k], f->results[k]->name, d);
    return good;
}

static bool call_and_print(const KdFunc *f, const KdOptions *o, KdArena *a, KdDiag *d) {
    int64_t n;
    if (!choose_batch(f, o, &n, d)) return false;
    if (!f->nresults) return kd_error(d, nowhere, "@%s returns nothing", f->name);
    KdBlock *args = kd_inputs_read(f, n, o->ninputs, o->inputs, a, d);
    KdBlock *results = args ? make_results(f, n, a, d) : NULL;
    KdBlock *meant = results && o->verify ? make_results(f, n, a, d) : NULL;
    bool good = results && (meant || !o->verify);
    if (good)
        good = o->verify      ? verify(f, o, args, results, meant, d)
               : o->interpret ? interpret(f, o, args, results, d)
                              : execute(f, o, args, results, d);
    for (int k = 0; k < f->nresults && good && !o->verify; k++)
        kd_block_print(&results[k], f->results[k]->name, stdout);
    free_blocks(f->nresults, meant);
    free_blocks(f->nresults, results);
    free_blocks(f->nargs, args);
    return good;
}

int kd_command_run(const KdOptions *o, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdModule *m = kd_load_module(o->file, a, d);
    /* What is interpreted stays as it is written; what is compiled has to be planned. */
    bool as_written = m && !o->passes && (o->interpret || any_planned(m));
    if (m && !o->interpret && !o->passes && !any_planned(m)) m->target = kd_target_host(m->arena);
    bool good = m && (as_written || kd_run_passes(m, o, NULL, stderr, d));
    KdFunc *f = good ? choose(m, o, d) : NULL;
    good = f && call_and_print(f, o, a, d);
    kd_module_destroy(m);
    kd_arena_destroy(a);
    return good ? KD_EXIT_DONE : KD_EXIT_WRONG;
}
