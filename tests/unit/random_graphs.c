/*
 * Random well-typed graphs: whatever the passes do, the interpreter must see the same function, the
 * text must come back to the byte, and the JIT must agree with the interpreter. Every second graph
 * is a loss with its gradients. A failure prints its seed; KD_GRAPH_SEED runs that one alone,
 * KD_GRAPHS another number of them.
 *
 * Values stay within about [-4, 4], since every op that could let them grow is followed by one that
 * does not, and no op jumps where a computed value rounds (choices depend on arguments alone).
 */
#include <math.h>

#include "ir/interp.h"
#include "ir/verify.h"
#include "jit_support.h"
#include "passes/pass.h"

enum { MAX_VALUES = 64, FEW_ROWS = 5, MANY_ROWS = 70 };

typedef struct Graph {
    uint64_t state;
    KdBuilder b;
    KdModule *m;
    KdFunc *f;
    KdDiag diag;
    int n;
    KdValue *value[MAX_VALUES]; /* f32, to choose operands from */
    KdValue *index, *epoch;
} Graph;

static int64_t pick(Graph *g, int64_t n) {
    g->state = g->state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((g->state >> 33) % (uint64_t)n);
}

static KdValue *any(Graph *g) {
    /* later ones more often, so that graphs are deep too */
    int64_t k = pick(g, g->n), j = pick(g, g->n);
    return g->value[k > j ? k : j];
}

static void keep(Graph *g, KdValue *v) {
    assert_non_null(v);
    if (g->n < MAX_VALUES) g->value[g->n++] = v;
}

/* x or a function of it that stays small. */
static KdValue *tame(Graph *g, KdValue *x, double scale) {
    KdValue *scaled = kd_binary(&g->b, KD_OP_MUL, x, kd_constant_like(&g->b, x, scale));
    static const KdOp ops[] = { KD_OP_TANH, KD_OP_SIN, KD_OP_COS };
    return kd_unary(&g->b, ops[pick(g, 3)], scaled);
}

/* --- one step of growth each ---------------------------------------------------------------- */

static void grow_unary(Graph *g) {
    static const KdOp ops[] = { KD_OP_NEG, KD_OP_ABS, KD_OP_TANH, KD_OP_SIN, KD_OP_DETACH };
    KdValue *x = any(g);
    int64_t k = pick(g, 8);
    if (k < 5) {
        keep(g, kd_unary(&g->b, ops[k], x));
    } else if (k == 5) {
        keep(g, kd_unary(&g->b, KD_OP_EXP, tame(g, x, 1)));
    } else {
        KdValue *one = kd_constant_like(&g->b, x, 1);
        KdValue *positive = kd_binary(&g->b, KD_OP_ADD, kd_unary(&g->b, KD_OP_ABS, x), one);
        keep(g, kd_unary(&g->b, k == 6 ? KD_OP_LOG : KD_OP_SQRT, positive));
    }
}

/* y brought to the shape of x: as it is, from a scalar, or along some dims of x. */
static KdValue *like(Graph *g, KdValue *y, const KdValue *x) {
    if (kd_shape_equal(y->type, x->type)) return y;
    int map[KD_MAX_RANK], next = 0;
    for (int k = 0; k < x->type.rank && next < y->type.rank; k++) {
        if (x->type.dim[k] == y->type.dim[next]) map[next++] = k;
    }
    if (next < y->type.rank) return NULL;
    return kd_broadcast(&g->b, y, x->type, map);
}

static void grow_binary(Graph *g) {
    static const KdOp ops[] = { KD_OP_ADD, KD_OP_SUB, KD_OP_MUL, KD_OP_MAX, KD_OP_MIN, KD_OP_DIV };
    KdValue *x = any(g), *y = like(g, any(g), x);
    if (!y) return;
    KdOp op = ops[pick(g, 6)];
    if (op == KD_OP_DIV) {
        KdValue *square = kd_binary(&g->b, KD_OP_MUL, y, y);
        y = kd_binary(&g->b, KD_OP_ADD, square, kd_constant_like(&g->b, y, 1));
    }
    KdValue *r = kd_binary(&g->b, op, x, y);
    keep(g, op == KD_OP_MAX || op == KD_OP_MIN ? r : tame(g, r, 0.5));
}

/* An argument decides, so that rounding does not. */
static void grow_select(Graph *g) {
    KdValue *x = any(g), *y = like(g, any(g), x), *c = like(g, g->value[pick(g, 4)], x);
    if (!y || !c) return;
    KdValue *below = kd_binary(&g->b, KD_OP_LT, c, kd_constant_like(&g->b, c, 0.125));
    keep(g, kd_select(&g->b, below, x, y));
}

static void grow_movement(Graph *g) {
    KdValue *x = any(g);
    KdType t = x->type;
    if (t.rank < 1) return;
    int last = t.rank - 1;
    KdAccess access = { .rank = t.rank };
    for (int k = 0; k < t.rank; k++) access.dim[k] = kd_index_iter(k);
    switch (pick(g, 6)) {
    case 0: /* turned around */
        if (t.dim[last] < 0) return;
        access.dim[last] = kd_index_constant(t.dim[last] - 1);
        kd_index_add(&access.dim[last], last, -1);
        break;
    case 1: /* padded or cut in front */
        if (t.dim[last] < 3) return;
        access.dim[last].offset = pick(g, 2) ? 1 : -2;
        t.dim[last] += pick(g, 3) - 1;
        break;
    case 2: /* every second */
        if (t.dim[last] < 4) return;
        access.dim[last] = kd_index_constant(1);
        kd_index_add(&access.dim[last], last, 2);
        t.dim[last] /= 2;
        break;
    case 3: /* spread by two */
        if (t.dim[last] < 0 || t.dim[last] > 12) return;
        access.dim[last].divisor = 2;
        t.dim[last] *= 2;
        break;
    case 4: /* windows of two */
        if (t.dim[last] < 3 || t.rank > 3) return;
        kd_index_add(&access.dim[last], t.rank, 1);
        t.dim[last] -= 1;
        t.dim[t.rank++] = 2;
        break;
    default: { /* transposed, but for the batch */
        if (t.rank < 2 || (t.rank == 2 && t.dim[0] < 0)) return;
        int64_t swap = t.dim[last];
        t.dim[last] = t.dim[last - 1];
        t.dim[last - 1] = swap;
        if (t.dim[last] < 0 || swap < 0) return;
        access.dim[last] = kd_index_iter(last - 1);
        access.dim[last - 1] = kd_index_iter(last);
    }
    }
    keep(g, kd_view(&g->b, x, t.rank, t.dim, &access, pick(g, 2) ? 0 : 0.5));
}

static void grow_reshape(Graph *g) {
    KdValue *x = any(g);
    int64_t dim[2] = { x->type.rank && x->type.dim[0] == KD_BATCH ? KD_BATCH : 1, 1 };
    if (kd_type_has(x->type, KD_BATCH) && dim[0] != KD_BATCH) return;
    for (int k = 0; k < x->type.rank; k++) dim[1] *= x->type.dim[k] < 0 ? 1 : x->type.dim[k];
    if (dim[1] <= 400) keep(g, kd_reshape(&g->b, x, 2, dim));
}

static void grow_concat(Graph *g) {
    KdValue *x = any(g), *y = any(g);
    int axis = x->type.rank - 1;
    if (axis < 1 || !kd_shape_equal(x->type, y->type) || x->type.dim[axis] > 40) return;
    keep(g, kd_concat(&g->b, 2, (KdValue *[]){ x, y }, axis));
}

static void grow_reduction(Graph *g) {
    KdValue *x = any(g);
    if (x->type.rank == 0) return;
    int axes[KD_MAX_RANK], n = 0;
    for (int k = 0; k < x->type.rank; k++) {
        if (pick(g, 2)) axes[n++] = k;
    }
    if (n == 0) axes[n++] = x->type.rank - 1;
    if (pick(g, 3) == 0) {
        keep(g, kd_reduce(&g->b, KD_OP_REDUCE_MAX, x, n, axes));
    } else {
        keep(g, tame(g, kd_reduce(&g->b, KD_OP_REDUCE_SUM, x, n, axes), 0.05));
    }
}

static void grow_softmax(Graph *g) {
    KdValue *x = any(g);
    int last = x->type.rank - 1, rows[KD_MAX_RANK] = { 0 };
    if (last < 1 || x->type.dim[last] < 0) return;
    for (int k = 0; k < last; k++) rows[k] = k;
    KdValue *most = kd_reduce(&g->b, KD_OP_REDUCE_MAX, x, 1, &last);
    KdValue *below = kd_binary(&g->b, KD_OP_SUB, x, kd_broadcast(&g->b, most, x->type, rows));
    KdValue *e = kd_unary(&g->b, KD_OP_EXP, below);
    KdValue *sum = kd_reduce(&g->b, KD_OP_REDUCE_SUM, e, 1, &last);
    keep(g, kd_binary(&g->b, KD_OP_DIV, e, kd_broadcast(&g->b, sum, x->type, rows)));
}

/* [.., k] times [.., k] over their last dims, or over the batch where both have it. */
static void grow_contract(Graph *g) {
    KdValue *x = any(g), *y = any(g);
    KdType s = x->type, t = y->type;
    if (s.rank != 2 || t.rank != 2) return;
    KdContract c = { .nover = 1, .a = { .rank = 2 }, .b = { .rank = 2 } };
    int64_t dim[2];
    int over; /* which dim of both is summed */
    if (s.dim[1] == t.dim[1] && t.dim[0] != KD_BATCH) {
        over = 1;
    } else if (s.dim[0] == t.dim[0] && s.dim[1] * t.dim[1] <= 400) {
        over = 0;
    } else {
        return;
    }
    c.over[0] = s.dim[over];
    dim[0] = s.dim[1 - over];
    dim[1] = t.dim[1 - over];
    c.a.dim[1 - over] = kd_index_iter(0);
    c.b.dim[1 - over] = kd_index_iter(1);
    c.a.dim[over] = c.b.dim[over] = kd_index_iter(2);
    keep(g, tame(g, kd_contract(&g->b, x, y, 2, dim, &c), 0.2));
}

/* A one-dimensional convolution of the last dim of [B, c, l] with [o, c, 3]. */
static void grow_convolution(Graph *g) {
    KdValue *x = any(g), *w = g->value[3];
    KdType t = x->type;
    if (t.rank != 3 || t.dim[1] != w->type.dim[1] || t.dim[2] < 2) return;
    KdContract c = { .nover = 2, .over = { t.dim[1], 3 }, .a = { .rank = 3 }, .b = { .rank = 3 } };
    c.a.dim[0] = kd_index_iter(0);
    c.a.dim[1] = kd_index_iter(3);
    c.a.dim[2] = kd_index_iter(2);
    kd_index_add(&c.a.dim[2], 4, 1);
    c.a.dim[2].offset = -1;
    c.b.dim[0] = kd_index_iter(1);
    c.b.dim[1] = kd_index_iter(3);
    c.b.dim[2] = kd_index_iter(4);
    int64_t dim[] = { t.dim[0], w->type.dim[0], t.dim[2] };
    keep(g, tame(g, kd_contract(&g->b, x, w, 3, dim, &c), 0.3));
}

static void grow_random(Graph *g) {
    KdValue *x = any(g);
    bool rows = x->type.rank && x->type.dim[0] == KD_BATCH;
    KdOp op = pick(g, 2) ? KD_OP_RNG_UNIFORM : KD_OP_RNG_NORMAL;
    KdValue *r = kd_rng(&g->b, op, rows ? g->index : g->epoch, g->epoch, x->type, "graph");
    keep(g, tame(g, kd_binary(&g->b, KD_OP_MUL, x, r), 0.5));
}

static void grow(Graph *g) {
    static void (*const steps[])(Graph *) = {
        grow_unary,    grow_unary,    grow_binary,      grow_binary, grow_binary,    grow_select,
        grow_movement, grow_movement, grow_reshape,     grow_concat, grow_reduction, grow_reduction,
        grow_softmax,  grow_contract, grow_convolution, grow_random,
    };
    steps[pick(g, (int64_t)(sizeof steps / sizeof *steps))](g);
}

/* The sum of the results' means, and its gradients by the two weights. */
static void take_gradients(Graph *g, KdValue **results) {
    KdValue *y = NULL;
    for (int k = 0; k < 3; k++) {
        KdValue *x = results[k];
        int axes[KD_MAX_RANK];
        for (int j = 0; j < x->type.rank; j++) axes[j] = j;
        double size = (double)kd_type_elements(x->type, g->f->max_batch, 1);
        x = kd_binary(&g->b, KD_OP_MUL, x, kd_constant_like(&g->b, x, 1 / size));
        if (x->type.rank) x = kd_reduce(&g->b, KD_OP_REDUCE_SUM, x, x->type.rank, axes);
        y = y ? kd_binary(&g->b, KD_OP_ADD, y, x) : x;
    }
    KdValue *wrt[] = { g->value[2], g->value[3] };
    results[0] = y;
    assert_true(kd_append_gradients(&g->b, y, 2, wrt, results + 1));
}

static void make(Graph *g, uint64_t seed) {
    *g = (Graph){ .state = seed * 2 + 1 };
    kd_diag_init(&g->diag, stderr, false);
    g->m = kd_module_create(NULL);
    g->m->target = kd_target_host(g->m->arena);
    KdFunc *f = g->f = kd_func_create(g->m, "f", seed % 4 < 3 ? FEW_ROWS : MANY_ROWS);
    const int64_t x[] = { KD_BATCH, 6 }, y[] = { KD_BATCH, 4, 5 }, w[] = { 7, 6 },
                  u[] = { 3, 4, 3 };
    keep(g, kd_func_add_arg(f, "x", kd_type(KD_F32, 2, x), KD_ARG_INPUT));
    keep(g, kd_func_add_arg(f, "y", kd_type(KD_F32, 3, y), KD_ARG_INPUT));
    keep(g, kd_func_add_arg(f, "w", kd_type(KD_F32, 2, w), KD_ARG_INPUT));
    keep(g, kd_func_add_arg(f, "u", kd_type(KD_F32, 3, u), KD_ARG_INPUT));
    g->index = kd_func_add_arg(f, "index", kd_type(KD_I32, 1, x), KD_ARG_INDEX);
    g->epoch = kd_func_add_arg(f, "epoch", kd_scalar(KD_I32), KD_ARG_EPOCH);
    g->b = kd_builder(f, &g->diag);
    int wanted = 8 + (int)pick(g, 14);
    for (int tries = 0; g->n < wanted && tries < 400; tries++) grow(g);
    /* The last three: what they do not need is dead. */
    KdValue *results[3] = { g->value[g->n - 3], g->value[g->n - 2], g->value[g->n - 1] };
    if (seed % 2) take_gradients(g, results);
    kd_func_set_results(f, 3, results);
}

/* --- running -------------------------------------------------------------------------------- */

typedef struct Values {
    KdArena *arena;
    KdTensor args[8], results[3];
} Values;

static void fill_args(Graph *g, Values *v, int64_t n) {
    v->arena = kd_arena_create();
    for (int k = 0; k < g->f->nargs; k++) {
        KdTensor *t = &v->args[k];
        *t = kd_tensor_create(v->arena, g->f->args[k]->type, n, 1);
        for (int64_t j = 0; j < t->count; j++) {
            double x = (double)(pick(g, 1 << 20) - (1 << 19)) / (1 << 18);
            t->data[j] = t->type.dtype == KD_F32 ? (double)(float)x : (double)(j * 7 % 11);
        }
    }
}

static void interpret(Graph *g, const Values *v, KdTensor *results) {
    KdInterp in = { .arena = v->arena, .n = v->args[0].n, .seed = 99 };
    assert_true(kd_interpret(&in, kd_module_func(g->m, "f"), v->args, results, &g->diag));
}

static void check_close(const KdTensor *found, const KdTensor *wanted, double tolerance,
                        uint64_t seed, const char *what) {
    for (int k = 0; k < 3; k++) {
        assert_int_equal(found[k].count, wanted[k].count);
        for (int64_t j = 0; j < wanted[k].count; j++) {
            double x = found[k].data[j], y = wanted[k].data[j];
            if (fabs(x - y) <= tolerance * (1 + fabs(y))) continue;
            fail_msg("seed %llu, %s: result %d[%d] is %.9g, not %.9g", (unsigned long long)seed,
                     what, k, (int)j, x, y);
        }
    }
}

static void check_text(Graph *g, uint64_t seed) {
    KdArena *a = kd_arena_create();
    const char *once = kd_module_text(g->m, a);
    KdModule *m = kd_parse_module(once, strlen(once), "graph.kir", &g->diag);
    if (!m) fail_msg("seed %llu: the text does not parse:\n%s", (unsigned long long)seed, once);
    const char *twice = kd_module_text(m, a);
    if (strcmp(once, twice) != 0) fail_msg("seed %llu: text", (unsigned long long)seed);
    kd_module_destroy(m);
    kd_arena_destroy(a);
}

static float *floats_of(const KdTensor *t) {
    float *data = kdrt_alloc((size_t)(t->count + 1) * sizeof(float));
    for (int64_t j = 0; j < t->count; j++) {
        int32_t whole = (int32_t)t->data[j];
        data[j] = (float)t->data[j];
        if (t->type.dtype == KD_I32) memcpy(&data[j], &whole, sizeof whole);
    }
    return data;
}

/* Compiled and run on the calling thread. */
static void run_jit(Graph *g, const Values *v, KdTensor *results) {
    const KdFunc *f = kd_module_func(g->m, "f");
    const KdEntry entry = { f, false };
    const KdBackendOptions options = { .threads = 1 };
    KdObject *object = kd_compile(g->m, 1, &entry, &options, &g->diag);
    assert_non_null(object);
    KdJit *jit = kd_jit_create(object, &g->diag);
    assert_non_null(jit);
    void *symbol = kd_jit_symbol(jit, "f"), *args[8], *out[3];
    KdrtFunction *run;
    memcpy(&run, &symbol, sizeof symbol);
    for (int k = 0; k < f->nargs; k++) args[k] = floats_of(&v->args[k]);
    for (int k = 0; k < 3; k++) out[k] = floats_of(&results[k]);
    KdrtFrame frame = { .args = args, .results = out, .seed = 99, .n = (int32_t)v->args[0].n };
    frame.arena = kdrt_alloc((size_t)f->arena_bytes + 64);
    kd_arena_guard(f, frame.arena, (size_t)f->arena_bytes + 64);
    frame.scratch_stride = kd_object_scratch(object);
    frame.scratch = kdrt_alloc(kd_object_scratch(object) + 64);
    assert_int_equal(run(&frame), KDRT_OK);
    for (int k = 0; k < 3; k++) {
        for (int64_t j = 0; j < results[k].count; j++) {
            results[k].data[j] = (double)((float *)out[k])[j];
        }
        kdrt_free(out[k]);
    }
    for (int k = 0; k < f->nargs; k++) kdrt_free(args[k]);
    kdrt_free(frame.arena);
    kdrt_free(frame.scratch);
    kd_jit_destroy(jit);
    kd_object_destroy(object);
}

static void check_seed(uint64_t seed) {
    static const char *const passes[] = { "canonicalize", "fuse", "plan-memory" };
    Graph g;
    make(&g, seed);
    if (getenv("KD_GRAPH_SEED")) kd_print_module(g.m, stderr);
    assert_true(kd_verify(g.m, &g.diag));
    check_text(&g, seed);
    Values v;
    fill_args(&g, &v, 1 + pick(&g, g.f->max_batch));
    interpret(&g, &v, v.results);
    KdTensor now[3];
    for (int k = 0; k < 3; k++) {
        const KdPipeline pipeline = { .passes = passes[k] };
        assert_true(kd_run_pipeline(g.m, &pipeline, &g.diag));
        if (getenv("KD_GRAPH_SEED")) kd_print_module(g.m, stderr);
        assert_true(kd_verify(g.m, &g.diag));
        check_text(&g, seed);
        interpret(&g, &v, now);
        check_close(now, v.results, 1e-6, seed, passes[k]); /* folded constants are f32 */
    }
    run_jit(&g, &v, now);
    check_close(now, v.results, 2e-4, seed, "JIT");
    kd_arena_destroy(v.arena);
    kd_module_destroy(g.m);
}

static void random_graphs(void **state) {
    (void)state;
    const char *one = getenv("KD_GRAPH_SEED"), *many = getenv("KD_GRAPHS");
    if (one) {
        check_seed(strtoull(one, NULL, 10));
        return;
    }
    uint64_t n = many ? strtoull(many, NULL, 10) : 24;
    for (uint64_t seed = 1; seed <= n; seed++) check_seed(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_graphs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
