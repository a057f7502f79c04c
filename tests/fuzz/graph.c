/*
 * The making of random graphs: arguments, elementwise steps, reductions, random numbers, and the
 * loss with its gradients. Movement and contractions are in graph_movement.c and graph_contract.c.
 */
#include "tests/fuzz/graph.h"

#include "passes/pass.h"

int64_t graph_pick(Graph *g, int64_t n) {
    g->state = g->state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((g->state >> 33) % (uint64_t)n);
}

KdValue *graph_any(Graph *g) {
    int64_t k = graph_pick(g, g->n), j = graph_pick(g, g->n);
    return g->value[k > j ? k : j];
}

void graph_keep(Graph *g, KdValue *v) {
    if (v && g->n < GRAPH_VALUES) g->value[g->n++] = v;
}

KdValue *graph_tame(Graph *g, KdValue *x, double scale) {
    static const KdOp ops[] = { KD_OP_TANH, KD_OP_SIN, KD_OP_COS };
    if (!x) return NULL;
    KdValue *scaled = kd_binary(&g->b, KD_OP_MUL, x, kd_constant_like(&g->b, x, scale));
    return kd_unary(&g->b, ops[graph_pick(g, 3)], scaled);
}

/* --- one step of growth each ---------------------------------------------------------------- */

static void grow_unary(Graph *g) {
    static const KdOp ops[] = { KD_OP_NEG, KD_OP_ABS, KD_OP_TANH, KD_OP_SIN, KD_OP_COS };
    KdValue *x = graph_any(g);
    int64_t k = graph_pick(g, 9);
    if (k < 5) {
        graph_keep(g, kd_unary(&g->b, ops[k], x));
    } else if (k == 5) {
        graph_keep(g, kd_unary(&g->b, KD_OP_EXP, graph_tame(g, x, 1)));
    } else if (k == 6 && !g->smooth) {
        graph_keep(g, kd_unary(&g->b, KD_OP_DETACH, x));
    } else {
        KdValue *one = kd_constant_like(&g->b, x, 1);
        KdValue *positive = kd_binary(&g->b, KD_OP_ADD, kd_unary(&g->b, KD_OP_ABS, x), one);
        graph_keep(g, kd_unary(&g->b, k == 7 ? KD_OP_LOG : KD_OP_SQRT, positive));
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
    static const KdOp ops[] = { KD_OP_ADD, KD_OP_SUB, KD_OP_MUL, KD_OP_MAX,
                                KD_OP_MIN, KD_OP_DIV, KD_OP_POW };
    KdValue *x = graph_any(g), *y = like(g, graph_any(g), x);
    if (!y) return;
    KdOp op = ops[graph_pick(g, 7)];
    if (op == KD_OP_DIV) {
        KdValue *square = kd_binary(&g->b, KD_OP_MUL, y, y);
        y = kd_binary(&g->b, KD_OP_ADD, square, kd_constant_like(&g->b, y, 1));
    } else if (op == KD_OP_POW) {
        KdValue *size = kd_unary(&g->b, KD_OP_ABS, x);
        x = kd_binary(&g->b, KD_OP_ADD, size, kd_constant_like(&g->b, x, 0.5));
        y = graph_tame(g, y, 1);
    }
    KdValue *r = kd_binary(&g->b, op, x, y);
    graph_keep(g, op == KD_OP_MAX || op == KD_OP_MIN ? r : graph_tame(g, r, 0.5));
}

/* Arguments decide, so that rounding does not. */
static KdValue *choice(Graph *g, const KdValue *x) {
    static const KdOp compare[] = { KD_OP_LT, KD_OP_LE, KD_OP_EQ, KD_OP_NE };
    KdValue *c = like(g, g->value[graph_pick(g, g->nargs)], x);
    if (!c) return NULL;
    if (graph_pick(g, 3) == 0) c = kd_unary(&g->b, KD_OP_FLOOR, c);
    return kd_binary(&g->b, compare[graph_pick(g, 4)], c, kd_constant_like(&g->b, c, 0));
}

static void grow_select(Graph *g) {
    static const KdOp logic[] = { KD_OP_AND, KD_OP_OR };
    KdValue *x = graph_any(g), *y = like(g, graph_any(g), x), *c = choice(g, x);
    if (!y || !c) return;
    if (graph_pick(g, 3) == 0) {
        KdValue *other = choice(g, x);
        if (other) c = kd_binary(&g->b, logic[graph_pick(g, 2)], c, other);
    }
    if (graph_pick(g, 3) == 0) c = kd_unary(&g->b, KD_OP_NOT, c);
    if (graph_pick(g, 4) == 0) x = kd_cast(&g->b, c, KD_F32);
    graph_keep(g, kd_select(&g->b, c, x, y));
}

/* Where an element lies, how many rows there are, a hyperparameter: each as a small number. */
static void grow_leaf(Graph *g) {
    KdValue *x = graph_any(g), *leaf;
    if (graph_pick(g, 2) && x->type.rank) {
        KdType t = x->type;
        t.dtype = KD_I32;
        int axis = (int)graph_pick(g, t.rank);
        leaf = kd_cast(&g->b, kd_iota(&g->b, t, axis), KD_F32);
    } else {
        leaf = graph_pick(g, 2) ? kd_rows(&g->b) : kd_hyper(&g->b, "sigma");
    }
    KdValue *r = kd_binary(&g->b, KD_OP_MUL, x, graph_tame(g, leaf, 0.01));
    graph_keep(g, r);
}

/* Up to all dims of x, at least one; returns how many. */
static int some_axes(Graph *g, const KdValue *x, int *axes) {
    int n = 0;
    for (int k = 0; k < x->type.rank; k++) {
        if (graph_pick(g, 2)) axes[n++] = k;
    }
    if (n == 0) axes[n++] = x->type.rank - 1;
    return n;
}

/* Sums stay below 4 where there is nothing larger than 1 in them: of the rounding of thousands a
 * cosine of hundreds would show the most. */
KdValue *graph_tame_sum(Graph *g, KdValue *sum, const KdValue *x) {
    if (!sum) return NULL;
    int64_t rows = g->f->max_batch;
    double terms =
        (double)kd_type_elements(x->type, rows, 1) / (double)kd_type_elements(sum->type, rows, 1);
    return graph_tame(g, sum, terms > 80 ? 4 / terms : 0.05);
}

static void grow_reduction(Graph *g) {
    KdValue *x = graph_any(g);
    if (x->type.rank == 0) return;
    int axes[KD_MAX_RANK], n = some_axes(g, x, axes);
    if (graph_pick(g, 3) == 0) {
        graph_keep(g, kd_reduce(&g->b, KD_OP_REDUCE_MAX, x, n, axes));
    } else {
        KdValue *sum = kd_reduce(&g->b, KD_OP_REDUCE_SUM, x, n, axes);
        graph_keep(g, graph_tame_sum(g, sum, x));
    }
}

/* The place of an argument's maximum (of an argument, so that rounding does not choose). */
static void grow_argmax(Graph *g) {
    KdValue *x = g->value[graph_pick(g, g->nargs)];
    int axes[KD_MAX_RANK], n = some_axes(g, x, axes);
    KdValue *place = kd_reduce(&g->b, KD_OP_ARGMAX, x, n, axes);
    graph_keep(g, graph_tame(g, kd_cast(&g->b, place, KD_F32), 0.1));
}

static void grow_softmax(Graph *g) {
    KdValue *x = graph_any(g);
    int last = x->type.rank - 1, rows[KD_MAX_RANK] = { 0 };
    if (last < 1 || x->type.dim[last] < 0) return;
    for (int k = 0; k < last; k++) rows[k] = k;
    KdValue *most = kd_reduce(&g->b, KD_OP_REDUCE_MAX, x, 1, &last);
    KdValue *below = kd_binary(&g->b, KD_OP_SUB, x, kd_broadcast(&g->b, most, x->type, rows));
    KdValue *e = kd_unary(&g->b, KD_OP_EXP, below);
    KdValue *sum = kd_reduce(&g->b, KD_OP_REDUCE_SUM, e, 1, &last);
    graph_keep(g, kd_binary(&g->b, KD_OP_DIV, e, kd_broadcast(&g->b, sum, x->type, rows)));
}

/* A sum over the batch and `others` elements of each sample, as a mean. */
static KdValue *mean_over(Graph *g, KdValue *sum, double others) {
    KdValue *rows = kd_broadcast(&g->b, kd_rows(&g->b), sum->type, NULL);
    sum = kd_binary(&g->b, KD_OP_MUL, sum, kd_constant_like(&g->b, sum, 1 / others));
    return kd_binary(&g->b, KD_OP_DIV, sum, rows);
}

/* Batch normalisation: x at mean 0 and deviation 1, but for its second dim's sake. */
static void grow_norm(Graph *g) {
    KdValue *x = graph_any(g);
    if (x->type.rank < 2 || x->type.dim[0] != KD_BATCH || x->type.dim[1] < 0) return;
    int axes[KD_MAX_RANK] = { 0 }, channel = 1, n = 1;
    double others = 1;
    for (int k = 2; k < x->type.rank; k++) {
        if (x->type.dim[k] < 0) return;
        axes[n++] = k;
        others *= (double)x->type.dim[k];
    }
    KdValue *mean = mean_over(g, kd_reduce(&g->b, KD_OP_REDUCE_SUM, x, n, axes), others);
    KdValue *off = kd_binary(&g->b, KD_OP_SUB, x, kd_broadcast(&g->b, mean, x->type, &channel));
    KdValue *square = kd_binary(&g->b, KD_OP_MUL, off, off);
    KdValue *var = mean_over(g, kd_reduce(&g->b, KD_OP_REDUCE_SUM, square, n, axes), others);
    var = kd_binary(&g->b, KD_OP_ADD, var, kd_constant_like(&g->b, var, 0.1));
    KdValue *root = kd_unary(&g->b, KD_OP_SQRT, var);
    graph_keep(g, kd_binary(&g->b, KD_OP_DIV, off, kd_broadcast(&g->b, root, x->type, &channel)));
}

static void grow_random(Graph *g) {
    KdValue *x = graph_any(g);
    bool rows = x->type.rank && x->type.dim[0] == KD_BATCH;
    KdOp op = graph_pick(g, 2) ? KD_OP_RNG_UNIFORM : KD_OP_RNG_NORMAL;
    KdValue *r = kd_rng(&g->b, op, rows ? g->index : g->epoch, g->epoch, x->type, "graph");
    graph_keep(g, graph_tame(g, kd_binary(&g->b, KD_OP_MUL, x, r), 0.5));
}

/* A call of a function of its own. Nothing differentiates it before it is inlined. */
static void grow_call(Graph *g) {
    KdValue *x = graph_any(g), *result;
    if (g->gradients || g->calls) return;
    KdFunc *callee = kd_func_create(g->m, "part", g->f->max_batch);
    Graph inside = { .state = g->state, .diag = g->diag, .b = kd_builder(callee, g->diag) };
    KdValue *y = graph_tame(&inside, kd_func_add_arg(callee, "a", x->type, KD_ARG_INPUT), 0.7);
    kd_func_set_results(callee, 1, &y);
    callee->next = g->f; /* who is called stands before who calls */
    g->m->first = callee;
    g->m->last = g->f;
    g->f->next = NULL;
    if (!kd_call(&g->b, callee, &x, &result)) return;
    g->calls = true;
    graph_keep(g, result);
}

/* A number is shown, now and then. */
static void grow_print(Graph *g) {
    KdValue *x = graph_any(g);
    if (x->type.rank == 0 && !g->gradients) graph_keep(g, kd_print(&g->b, x, "graph"));
}

static void grow(Graph *g) {
    static void (*const steps[])(Graph *) = {
        grow_unary,
        grow_unary,
        grow_unary,
        grow_binary,
        grow_binary,
        grow_binary,
        grow_select,
        grow_leaf,
        graph_grow_movement,
        graph_grow_movement,
        graph_grow_movement,
        graph_grow_reshape,
        graph_grow_concat,
        graph_grow_gather,
        graph_grow_scatter,
        graph_grow_slab,
        grow_reduction,
        grow_reduction,
        grow_reduction,
        grow_argmax,
        grow_softmax,
        grow_norm,
        grow_norm,
        grow_norm,
        graph_grow_matmul,
        graph_grow_matmul,
        graph_grow_convolution,
        graph_grow_convolution,
        graph_grow_convolution,
        graph_grow_contract,
        graph_grow_contract,
        grow_random,
        grow_call,
        grow_print,
    };
    steps[graph_pick(g, (int64_t)(sizeof steps / sizeof *steps))](g);
}

/* --- whole graphs ---------------------------------------------------------------------------- */

/* x's mean, but with the most rows there can be as the divisor. */
static KdValue *mean(Graph *g, KdValue *x) {
    int axes[KD_MAX_RANK];
    for (int j = 0; j < x->type.rank; j++) axes[j] = j;
    double size = (double)kd_type_elements(x->type, g->f->max_batch, 1);
    x = kd_binary(&g->b, KD_OP_MUL, x, kd_constant_like(&g->b, x, 1 / size));
    return x->type.rank ? kd_reduce(&g->b, KD_OP_REDUCE_SUM, x, x->type.rank, axes) : x;
}

/* The means of all values that nothing reads yet, summed: so that no step was in vain. */
static KdValue *rest(Graph *g) {
    KdArena *a = kd_arena_create();
    const int *uses = kd_count_uses(g->f, a);
    KdValue *y = mean(g, g->value[0]);
    for (int k = g->nargs; k < g->n - 2; k++) {
        if (uses[g->value[k]->id] == 0) y = kd_binary(&g->b, KD_OP_ADD, y, mean(g, g->value[k]));
    }
    kd_arena_destroy(a);
    return y;
}

KdValue *graph_loss(Graph *g, KdValue *const *results) {
    KdValue *y = mean(g, results[0]);
    for (int k = 1; k < GRAPH_RESULTS; k++) {
        y = kd_binary(&g->b, KD_OP_ADD, y, mean(g, results[k]));
    }
    return y;
}

/* The results become the sum of their means and its gradients by two arguments; `again`: the
 * gradients of that and of the means of its gradients. */
static bool take_gradients(Graph *g, KdValue **results, bool again) {
    KdValue *wrt[] = { g->f->args[g->wrt[0]], g->f->args[g->wrt[1]] };
    KdValue *y = graph_loss(g, results);
    if (again) {
        KdValue *first[2];
        if (!kd_append_gradients(&g->b, y, 2, wrt, first)) return false;
        for (int k = 0; k < 2; k++) {
            y = kd_binary(&g->b, KD_OP_ADD, y, mean(g, graph_tame(g, first[k], 1)));
        }
    }
    results[0] = y;
    return y && kd_append_gradients(&g->b, y, 2, wrt, results + 1);
}

static KdValue *argument(Graph *g, const char *name, KdType t, const char *kind) {
    KdValue *v = kd_func_add_arg(g->f, name, t, kind);
    if (t.dtype == KD_F32) graph_keep(g, v);
    return v;
}

static KdValue *parameter(Graph *g, const char *name, KdType t) {
    const KdParam *p = kd_module_add_param(g->m, "net", name, t);
    KdValue *v = kd_func_param(g->f, p);
    graph_keep(g, v);
    return v;
}

/* Extents differ from graph to graph, odd ones too; channels fit the filters. */
static void make_arguments(Graph *g) {
    static const int64_t few[] = { 1, 2, 3, 4, 5, 7, 8, 11 };
    static const int64_t many[] = { 3, 5, 6, 8, 16, 17, 33 };
    int64_t c = few[graph_pick(g, 8)], d = many[graph_pick(g, 7)], l = many[graph_pick(g, 6)],
            o = few[graph_pick(g, 8)], s = 3 + graph_pick(g, 7);
    const int64_t x[] = { KD_BATCH, d }, y[] = { KD_BATCH, c, l }, z[] = { KD_BATCH, c, s, s },
                  w[] = { many[graph_pick(g, 7)], d }, u[] = { o, c, 1 + graph_pick(g, 4) },
                  k[] = { o, c, 1 + graph_pick(g, 3), 1 + graph_pick(g, 3) },
                  table[] = { GRAPH_TABLE_ROWS, d };
    argument(g, "x", kd_type(KD_F32, 2, x), KD_ARG_INPUT);
    argument(g, "y", kd_type(KD_F32, 3, y), KD_ARG_INPUT);
    argument(g, "z", kd_type(KD_F32, 4, z), KD_ARG_INPUT);
    parameter(g, "w", kd_type(KD_F32, 2, w));
    g->u = parameter(g, "u", kd_type(KD_F32, 3, u));
    g->k = parameter(g, "k", kd_type(KD_F32, 4, k));
    g->table = parameter(g, "table", kd_type(KD_F32, 2, table));
    g->nargs = g->n;
    g->index = argument(g, "index", kd_type(KD_I32, 1, x), KD_ARG_INDEX);
    g->row = argument(g, "row", kd_type(KD_I32, 1, x), KD_ARG_INPUT);
    g->epoch = argument(g, "epoch", kd_scalar(KD_I32), KD_ARG_EPOCH);
}

bool graph_make(Graph *g, uint64_t seed, KdDiag *d) {
    static const int64_t rows[] = { 5, 1, 8, 5, 17, 33, 5, 70 };
    *g = (Graph){ .seed = seed, .state = seed * 2 + 1, .diag = d };
    for (int k = 0; k < 4; k++) graph_pick(g, 2); /* neighbouring seeds part */
    g->m = kd_module_create(NULL);
    g->gradients = seed % 2 == 1;
    g->smooth = seed % 16 != 3;
    kd_module_add_hyper(g->m, "sigma", 0.6, (KdLoc){ 0 });
    g->f = kd_func_create(g->m, "f", rows[graph_pick(g, 8)]);
    make_arguments(g);
    g->wrt[0] = (int)graph_pick(g, g->nargs);
    g->wrt[1] = (g->wrt[0] + 1 + (int)graph_pick(g, g->nargs - 1)) % g->nargs;
    g->b = kd_builder(g->f, d);
    int wanted = g->nargs + 2 + (int)graph_pick(g, 16);
    for (int tries = 0; g->n < wanted && tries < 400; tries++) grow(g);
    KdValue *results[GRAPH_RESULTS];
    for (int k = 0; k < 2; k++) results[k] = g->value[g->n - 2 + k];
    results[2] = rest(g);
    if (g->gradients && !take_gradients(g, results, seed % 8 == 7)) return false;
    kd_func_set_results(g->f, GRAPH_RESULTS, results);
    return d->errors == 0;
}

void graph_destroy(Graph *g) {
    if (g->m) kd_module_destroy(g->m);
    g->m = NULL;
}
