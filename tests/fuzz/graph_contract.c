/*
 * Random contractions: matrix products, convolutions of one and two dims with strides, padding,
 * dilation and groups, and whatever else two affine accesses can say.
 */
#include "tests/fuzz/graph.h"

#include <string.h>

enum { MOST_RESULTS = 2000, MOST_ITERATIONS = 60000 }; /* with five rows */

/* A number for each output channel of the weights, dim 0, which they alone decide. */
static KdValue *channel_numbers(Graph *g, KdValue *w) {
    int axes[KD_MAX_RANK];
    for (int k = 1; k < w->type.rank; k++) axes[k - 1] = k;
    return graph_tame(g, kd_reduce(&g->b, KD_OP_REDUCE_SUM, w, w->type.rank - 1, axes), 0.3);
}

/* What may stand behind a product with weights, whose output channels are dim 1: a bias, and a
 * scale and a shift as of a batch normalisation in inference form. */
static KdValue *normalised(Graph *g, KdValue *x, KdValue *w) {
    static const KdOp ops[] = { KD_OP_ADD, KD_OP_MUL, KD_OP_ADD };
    const int channel = 1;
    for (int k = 0; k < 3 && x; k++) {
        if (graph_pick(g, 4) == 0) continue;
        KdValue *each = channel_numbers(g, w);
        x = kd_binary(&g->b, ops[k], x, kd_broadcast(&g->b, each, x->type, &channel));
    }
    return x;
}

/* Sums over all but the output channels, dim 1, as a bias's gradient has them. */
static void keep_channel_sums(Graph *g, KdValue *x) {
    int axes[KD_MAX_RANK] = { 0 };
    if (!x || graph_pick(g, 2)) return;
    for (int k = 2; k < x->type.rank; k++) axes[k - 1] = k;
    KdOp op = graph_pick(g, 4) ? KD_OP_REDUCE_SUM : KD_OP_REDUCE_MAX;
    KdValue *sums = kd_reduce(&g->b, op, x, x->type.rank - 1, axes);
    graph_keep(g, op == KD_OP_REDUCE_SUM ? graph_tame_sum(g, sums, x) : sums);
}

/* Maxima or sums of windows that lie side by side in x, behind dim 1. */
static void keep_pooled(Graph *g, KdValue *x) {
    if (!x || x->type.rank < 3 || x->type.rank > 4 || graph_pick(g, 2)) return;
    KdType t = x->type;
    KdAccess access = { .rank = t.rank };
    int64_t dim[KD_MAX_RANK];
    int rank = t.rank, axes[2], n = 0;
    for (int k = 0; k < t.rank; k++) {
        int64_t size = k < 2 ? 1 : 1 + graph_pick(g, 3);
        access.dim[k] = kd_index_constant(0);
        dim[k] = t.dim[k];
        if (size == 1 || t.dim[k] % size) size = 1;
        kd_index_add(&access.dim[k], k, size);
        if (size == 1) continue;
        dim[k] = t.dim[k] / size;
        kd_index_add(&access.dim[k], rank, 1);
        axes[n++] = rank;
        dim[rank++] = size;
    }
    if (n == 0) return;
    KdValue *windows = kd_view(&g->b, x, rank, dim, &access, 0);
    KdOp op = graph_pick(g, 2) ? KD_OP_REDUCE_MAX : KD_OP_REDUCE_SUM;
    KdValue *pooled = kd_reduce(&g->b, op, windows, n, axes);
    graph_keep(g, op == KD_OP_REDUCE_SUM ? graph_tame_sum(g, pooled, x) : pooled);
}

static bool is_parameter(const KdValue *v) {
    return !v->def && v->kind && strcmp(v->kind, KD_ARG_PARAM) == 0;
}

/* [.., k] times [.., k] over their last dims, or over the batch where both have it. */
void graph_grow_matmul(Graph *g) {
    KdValue *x = graph_any(g), *y = graph_any(g);
    KdType s = x->type, t = y->type;
    if (s.rank != 2 || t.rank != 2) return;
    KdContract c = { .nover = 1, .a = { .rank = 2 }, .b = { .rank = 2 } };
    int over; /* which dim of both is summed */
    if (s.dim[1] == t.dim[1] && t.dim[0] != KD_BATCH) {
        over = 1;
    } else if (s.dim[0] == t.dim[0] && s.dim[1] * t.dim[1] <= MOST_RESULTS) {
        over = 0;
    } else {
        return;
    }
    c.over[0] = s.dim[over];
    int64_t dim[2] = { s.dim[1 - over], t.dim[1 - over] };
    c.a.dim[1 - over] = kd_index_iter(0);
    c.b.dim[1 - over] = kd_index_iter(1);
    c.a.dim[over] = c.b.dim[over] = kd_index_iter(2);
    KdValue *r = kd_contract(&g->b, x, y, 2, dim, &c);
    if (over == 1 && is_parameter(y) && graph_pick(g, 2)) r = normalised(g, r, y);
    r = graph_tame(g, r, 0.2);
    graph_keep(g, r);
    keep_channel_sums(g, r);
}

/* [B, c, l…] with [o, c, k…], in one group or, where o and c allow it, in c groups of one channel:
 * iterators are n, o (or group and o within it), places…, channels, taps…. */
void graph_grow_convolution(Graph *g) {
    KdValue *w = graph_pick(g, 2) ? g->u : g->k;
    KdValue *x = graph_pick(g, 2) ? g->f->args[w == g->u ? 1 : 2] : graph_any(g); /* y or z */
    for (int tries = 0; tries < 6 && x->type.rank != w->type.rank; tries++) x = graph_any(g);
    KdType t = x->type, f = w->type;
    if (t.rank != f.rank || t.dim[0] != KD_BATCH || t.dim[1] != f.dim[1]) return;
    int places = t.rank - 2;
    KdContract c = { .nover = 1 + places, .a = { .rank = t.rank }, .b = { .rank = f.rank } };
    bool depthwise = graph_pick(g, 3) == 0 && f.dim[0] == f.dim[1];
    int64_t dim[KD_MAX_RANK] = { t.dim[0], f.dim[0] };
    c.over[0] = depthwise ? 1 : f.dim[1];
    c.a.dim[0] = kd_index_iter(0);
    c.a.dim[1] = depthwise ? kd_index_iter(1) : kd_index_iter(2 + places);
    c.b.dim[0] = kd_index_iter(1);
    c.b.dim[1] = kd_index_iter(2 + places);
    for (int k = 0; k < places; k++) {
        int64_t step = 1 + graph_pick(g, 2), apart = 1 + graph_pick(g, 2), pad = graph_pick(g, 3);
        int64_t reach = t.dim[2 + k] + 2 * pad - apart * (f.dim[2 + k] - 1) - 1;
        if (reach < 0) return;
        dim[2 + k] = reach / step + 1;
        c.over[1 + k] = f.dim[2 + k];
        KdIndex *at = &c.a.dim[2 + k];
        *at = kd_index_constant(-pad);
        kd_index_add(at, 2 + k, step);
        kd_index_add(at, 3 + places + k, apart);
        c.b.dim[2 + k] = kd_index_iter(3 + places + k);
    }
    KdValue *r = kd_contract(&g->b, x, w, t.rank, dim, &c);
    if (graph_pick(g, 2)) r = normalised(g, r, w);
    r = graph_tame(g, r, 0.2);
    graph_keep(g, r);
    keep_channel_sums(g, r);
    keep_pooled(g, r);
}

/* --- any two accesses ------------------------------------------------------------------------ */

typedef struct Nest {
    int n;
    int64_t extent[KD_MAX_ITERS];
    bool over[KD_MAX_ITERS];
} Nest;

/* An iterator of that extent: one that is there, or a new one. -1: there are too many. */
static int iterator(Graph *g, Nest *nest, int64_t extent) {
    for (int k = 0; k < nest->n; k++) {
        if (nest->extent[k] == extent && graph_pick(g, 3)) return k;
    }
    if (nest->n >= 7) return -1;
    bool batch = false; /* one batch at most is a dim of the result */
    for (int k = 0; k < nest->n; k++) batch |= nest->extent[k] == KD_BATCH && !nest->over[k];
    nest->extent[nest->n] = extent;
    nest->over[nest->n] = (extent == KD_BATCH && batch) || graph_pick(g, 2);
    return nest->n++;
}

/* Each dim is an iterator, a sum of two, or a constant. */
static bool any_access(Graph *g, Nest *nest, const KdValue *x, KdAccess *access) {
    access->rank = x->type.rank;
    for (int k = 0; k < x->type.rank; k++) {
        int64_t extent = x->type.dim[k];
        KdIndex *at = &access->dim[k];
        int64_t form = extent > 2 ? graph_pick(g, 6) : 0;
        if (form == 4) {
            *at = kd_index_constant(graph_pick(g, extent));
            continue;
        }
        *at = kd_index_constant(form == 5 ? graph_pick(g, 3) - 1 : 0);
        int i = iterator(g, nest, form == 5 ? extent / 2 + 1 : extent);
        if (i < 0 || !kd_index_add(at, i, form == 5 ? 1 + graph_pick(g, 2) : 1)) return false;
        if (form == 5) {
            int j = iterator(g, nest, 2);
            if (j < 0 || j == i || !kd_index_add(at, j, 1)) return false;
        }
    }
    return true;
}

/* Iterators numbered anew: the result's first, its batch before all. */
static KdIndex renumbered(const KdIndex *x, const int *number) {
    KdIndex y = kd_index_constant(x->offset);
    for (int k = 0; k < x->nterms; k++) {
        kd_index_add(&y, number[x->term[k].iter], x->term[k].coeff);
    }
    return y;
}

static int number_results(const Nest *nest, int *number, int64_t *dim) {
    int n = 0;
    for (int batch = 1; batch >= 0; batch--) {
        for (int k = 0; k < nest->n; k++) {
            if (nest->over[k] || (nest->extent[k] == KD_BATCH) != (batch == 1)) continue;
            dim[n] = nest->extent[k];
            number[k] = n++;
        }
    }
    return n;
}

void graph_grow_contract(Graph *g) {
    KdValue *x = graph_any(g), *y = graph_any(g);
    Nest nest = { 0 };
    KdContract c = { 0 };
    if (!any_access(g, &nest, x, &c.a) || !any_access(g, &nest, y, &c.b)) return;
    int number[KD_MAX_ITERS];
    int64_t dim[KD_MAX_ITERS], results = 1, iterations = 1;
    double terms = 1; /* of a sum, at most: it stays near 1, for its rounding grows with it */
    int rank = number_results(&nest, number, dim);
    if (rank > 4) return;
    for (int k = 0; k < nest.n; k++) {
        int64_t extent = nest.extent[k] < 0 ? 5 : nest.extent[k];
        iterations *= extent;
        if (!nest.over[k]) {
            results *= extent;
            continue;
        }
        terms *= nest.extent[k] < 0 ? (double)g->f->max_batch : (double)extent;
        number[k] = rank + c.nover;
        c.over[c.nover++] = nest.extent[k];
    }
    if (results > MOST_RESULTS || iterations > MOST_ITERATIONS) return;
    for (int k = 0; k < c.a.rank; k++) c.a.dim[k] = renumbered(&c.a.dim[k], number);
    for (int k = 0; k < c.b.rank; k++) c.b.dim[k] = renumbered(&c.b.dim[k], number);
    KdValue *r = kd_contract(&g->b, x, y, rank, dim, &c);
    graph_keep(g, graph_tame(g, r, 1 / (1 + terms)));
}
