/*
 * Measuring contractions. Each kernel that holds one is put into a module of its own, compiled both
 * ways and run on made-up data, the two in turn, so that what disturbs one disturbs the other. The
 * least time counts. OpenBLAS must win clearly: a tie is native.
 */
#include "backend/tune.h"

#include "backend/contract.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 3, MAX_OPERANDS = 32 };
static const double ROUND_SECONDS = 0.004, CLEARLY = 0.95;

/* --- keys and the table ---------------------------------------------------------------------- */

/* 2d1-d3+4 */
static const char *append_index(KdArena *a, const char *text, const KdIndex *x) {
    for (int k = 0; k < x->nterms; k++) {
        long long c = (long long)x->term[k].coeff;
        const char *sign = c < 0 ? "-" : k ? "+" : "";
        text = kd_arena_format(a, "%s%s", text, sign);
        if (c < 0) c = -c;
        text = c == 1 ? text : kd_arena_format(a, "%s%lld", text, c);
        text = kd_arena_format(a, "%sd%d", text, x->term[k].iter);
    }
    if (x->offset || !x->nterms)
        text = kd_arena_format(a, x->nterms ? "%s%+lld" : "%s%lld", text, (long long)x->offset);
    return x->divisor == 1 ? text : kd_arena_format(a, "%s/%lld", text, (long long)x->divisor);
}

static const char *append_operand(KdArena *a, const char *text, const KdType *t,
                                  const KdAccess *access) {
    char type[KD_TYPE_TEXT];
    text = kd_arena_format(a, "%s %s at [", text, kd_type_text(*t, type));
    for (int k = 0; k < access->rank; k++) {
        text = append_index(a, k ? kd_arena_format(a, "%s,", text) : text, &access->dim[k]);
    }
    return kd_arena_format(a, "%s]", text);
}

const char *kd_contraction_key(const KdInstr *i, KdArena *a) {
    char type[KD_TYPE_TEXT];
    const KdContract *c = i->contract;
    const char *text =
        kd_arena_format(a, "%s B<=%lld over [", kd_type_text(i->results[0]->type, type),
                        (long long)i->func->max_batch);
    for (int k = 0; k < c->nover; k++) {
        text = kd_arena_format(a, c->over[k] == KD_BATCH ? "%s%sB" : "%s%s%lld", text, k ? "," : "",
                               (long long)c->over[k]);
    }
    text = append_operand(a, kd_arena_format(a, "%s]", text), &i->args[0]->type, &c->a);
    return append_operand(a, kd_arena_format(a, "%s x", text), &i->args[1]->type, &c->b);
}

const KdChoice *kd_tuning_find(const KdTuning *t, const char *key) {
    for (int k = 0; t && k < t->n; k++) {
        if (strcmp(t->choice[k].key, key) == 0) return &t->choice[k];
    }
    return NULL;
}

void kd_tuning_add(KdTuning *t, const KdChoice *choice) {
    KdChoice *old = (KdChoice *)kd_tuning_find(t, choice->key);
    if (!old && t->n == t->room) {
        KdChoice *more = KD_NEW_ARRAY(t->arena, KdChoice, 2 * t->room + 16);
        if (t->n) memcpy(more, t->choice, (size_t)t->n * sizeof *more);
        t->choice = more;
        t->room = 2 * t->room + 16;
    }
    if (!old) old = &t->choice[t->n++];
    const char *key = kd_arena_string(t->arena, choice->key);
    *old = *choice;
    old->key = key;
}

/* --- one kernel alone ------------------------------------------------------------------------ */

/* A module whose function @kernel runs a copy of the kernel on its arguments. */
static KdModule *isolate(const KdInstr *kernel, KdDiag *d) {
    const KdModule *from = kernel->func->module;
    KdModule *m = kd_module_create(from->source);
    m->target = from->target;
    for (int k = 0; k < from->nhypers; k++) {
        kd_module_add_hyper(m, from->hypers[k]->name, from->hypers[k]->value, from->hypers[k]->loc);
    }
    KdFunc *f = kd_func_create(m, "kernel", kernel->func->max_batch);
    KdValue **map = KD_NEW_ARRAY(m->arena, KdValue *, kernel->func->nvalues);
    for (int k = 0; k < kernel->nargs; k++) {
        const KdValue *old = kernel->args[k];
        const char *kind = kd_type_has(old->type, KD_ROWS) ? KD_ARG_DATA : KD_ARG_INPUT;
        if (!map[old->id]) map[old->id] = kd_func_add_arg(f, old->name, old->type, kind);
    }
    KdBuilder b = kd_builder(f, d);
    KdInstr *copy = kd_instr_clone(&b, kernel, map);
    for (int k = 0; k < copy->nresults; k++) {
        copy->results[k]->buffer = (KdBuffer){ KD_PLACE_RESULT, k, 0 };
    }
    kd_func_set_results(f, copy->nresults, copy->results);
    f->planned = true;
    return m;
}

typedef struct Variant {
    KdObject *object;
    KdJit *jit;
    KdrtFunction *run;
    double best; /* seconds a call */
} Variant;

static bool compile(Variant *v, const KdModule *m, const char *gemm, const KdBackendOptions *o,
                    KdDiag *d) {
    KdBackendOptions options = *o;
    options.gemm = gemm;
    const KdEntry entry = { m->first, false };
    v->best = INFINITY;
    v->object = kd_compile(m, 1, &entry, &options, d);
    v->jit = v->object ? kd_jit_create(v->object, d) : NULL;
    if (!v->jit) return false;
    void *symbol = kd_jit_symbol(v->jit, "kernel");
    memcpy(&v->run, &symbol, sizeof symbol);
    return true;
}

static void release(Variant *v) {
    if (v->jit) kd_jit_destroy(v->jit);
    if (v->object) kd_object_destroy(v->object);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Calls it for a while, the first time once more to warm up. */
static void time_round(Variant *v, const KdrtFrame *frame) {
    if (isinf(v->best)) v->run(frame);
    double start = now(), last = start;
    do {
        v->run(frame);
        double end = now();
        if (end - last < v->best) v->best = end - last;
        last = end;
    } while (last - start < ROUND_SECONDS);
}

/* Memory for a value of that type, filled with small numbers; as integers they are row 0. */
static void *operand(KdType t, int64_t rows) {
    float *data = kdrt_alloc((size_t)kd_type_bytes(t, rows, rows));
    if (!data || t.dtype != KD_F32) return data;
    int64_t n = kd_type_elements(t, rows, rows);
    for (int64_t k = 0; k < n; k++) data[k] = (float)(k * 7 % 17 - 8) / 8;
    return data;
}

/* Runs both variants in turn. False when there is no memory. */
static bool race(const KdModule *m, Variant *native, Variant *openblas, KdrtPool *pool) {
    const KdFunc *f = m->first;
    void *args[MAX_OPERANDS], *results[MAX_OPERANDS];
    float *hyper = KD_NEW_ARRAY(m->arena, float, m->nhypers + 1);
    size_t one = kd_object_scratch(native->object), two = kd_object_scratch(openblas->object);
    size_t stride = ((one > two ? one : two) + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
    int64_t rows = f->max_batch ? f->max_batch : 1;
    KdrtFrame frame = { .args = args, .results = results, .hyper = hyper, .pool = pool };
    frame.n = (int32_t)rows;
    frame.scratch_stride = stride;
    frame.scratch = kdrt_alloc(stride * (size_t)(pool ? kdrt_pool_threads(pool) : 1));
    frame.arena = kdrt_alloc(KDRT_ALIGN);
    bool ok = frame.scratch && frame.arena;
    for (int k = 0; k < f->nargs; k++) ok = (args[k] = operand(f->args[k]->type, rows)) && ok;
    for (int k = 0; k < f->nresults; k++) {
        ok = (results[k] = operand(f->results[k]->type, rows)) && ok;
    }
    for (int k = 0; k < ROUNDS && ok; k++) {
        time_round(native, &frame);
        time_round(openblas, &frame);
    }
    for (int k = 0; k < f->nargs; k++) kdrt_free(args[k]);
    for (int k = 0; k < f->nresults; k++) kdrt_free(results[k]);
    kdrt_free(frame.scratch);
    kdrt_free(frame.arena);
    return ok;
}

static bool measure(const KdInstr *kernel, KdChoice *choice, const KdBackendOptions *o,
                    KdrtPool *pool, KdDiag *d) {
    KdModule *m = isolate(kernel, d);
    Variant native = { 0 }, openblas = { 0 };
    bool ok = compile(&native, m, "native", o, d) && compile(&openblas, m, "openblas", o, d);
    if (ok && !race(m, &native, &openblas, pool)) {
        ok = kd_error(d, kernel->loc, "no memory to measure a contraction");
    }
    choice->native_seconds = native.best;
    choice->openblas_seconds = openblas.best;
    choice->openblas = openblas.best < CLEARLY * native.best;
    release(&native);
    release(&openblas);
    kd_module_destroy(m);
    return ok;
}

/* --- all of a program ------------------------------------------------------------------------ */

int kd_tune(int n, const KdEntry *entries, const KdBackendOptions *o, KdrtPool *pool, KdTuning *t,
            KdDiag *d) {
    int measured = 0;
    for (int e = 0; e < n; e++) {
        KD_EACH_INSTR(i, entries[e].f) {
            const KdInstr *contract = kd_contraction_of(i);
            if (!contract || i->nargs > MAX_OPERANDS || i->nresults > MAX_OPERANDS) continue;
            if (kd_attr_find(contract->attrs, "round")) continue; /* OpenBLAS has no such product */
            KdChoice choice = { .key = kd_contraction_key(contract, t->arena) };
            if (kd_tuning_find(t, choice.key)) continue;
            if (!measure(i, &choice, o, pool, d)) return -1;
            kd_tuning_add(t, &choice);
            measured++;
        }
    }
    return measured;
}

const char *kd_tuning_plan(const KdTuning *t, int n, const KdEntry *entries, KdArena *a) {
    const char *text = "";
    for (int e = 0; e < n; e++) {
        KD_EACH_INSTR(i, entries[e].f) {
            const KdInstr *contract = kd_contraction_of(i);
            const KdChoice *c =
                contract ? kd_tuning_find(t, kd_contraction_key(contract, a)) : NULL;
            if (c && c->openblas) text = kd_arena_format(a, "%s%s\n", text, c->key);
        }
    }
    return text;
}
