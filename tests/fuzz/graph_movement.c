/*
 * Random movement: views of all kinds, reshapes, concatenations, gathers, scatters and slabs.
 */
#include "tests/fuzz/graph.h"

enum { MOST_ELEMENTS = 3000 }; /* of a value, with five rows: the interpreter is slow */

static bool small(KdType t) {
    return kd_type_elements(t, 5, 1) <= MOST_ELEMENTS;
}

/* The last dim cut or padded by one or two, at either end. */
static void shift(Graph *g, KdType *t, KdIndex *x) {
    x->offset = graph_pick(g, 2) ? 1 : -2;
    t->dim[t->rank - 1] += graph_pick(g, 3) - 1;
}

/* Every second or third element, from the second on. */
static void stride(Graph *g, KdType *t, KdIndex *x) {
    int last = t->rank - 1;
    int64_t step = 2 + graph_pick(g, 2);
    *x = kd_index_constant(graph_pick(g, 2));
    kd_index_add(x, last, step);
    t->dim[last] = (t->dim[last] + step - 1) / step;
}

/* Zeros between the elements. */
static void spread(Graph *g, KdType *t, KdIndex *x) {
    x->divisor = 2 + graph_pick(g, 2);
    t->dim[t->rank - 1] *= x->divisor;
}

/* Windows of two or three, as a new last dim. */
static void window(Graph *g, KdType *t, KdIndex *x) {
    int64_t size = 2 + graph_pick(g, 2);
    kd_index_add(x, t->rank, 1 + graph_pick(g, 2));
    t->dim[t->rank - 1] -= 1;
    t->dim[t->rank++] = size;
}

/* The last two dims change places. */
static bool transpose(KdType *t, KdAccess *access) {
    int last = t->rank - 1;
    if (last < 1 || t->dim[last] < 0 || t->dim[last - 1] < 0) return false;
    int64_t swap = t->dim[last];
    t->dim[last] = t->dim[last - 1];
    t->dim[last - 1] = swap;
    access->dim[last] = kd_index_iter(last - 1);
    access->dim[last - 1] = kd_index_iter(last);
    return true;
}

/* One of the rows, or the diagonal of the last two dims. */
static bool drop(Graph *g, KdType *t, KdAccess *access) {
    int last = t->rank - 1;
    if (last < 1) return false;
    int64_t dim = t->dim[last];
    access->dim[last] =
        graph_pick(g, 2) ? kd_index_constant(graph_pick(g, dim)) : kd_index_iter(last - 1);
    t->rank--;
    return true;
}

void graph_grow_movement(Graph *g) {
    KdValue *x = graph_any(g);
    KdType t = x->type;
    int last = t.rank - 1;
    if (last < 0 || t.dim[last] < 0) return;
    KdAccess access = { .rank = t.rank };
    for (int k = 0; k < t.rank; k++) access.dim[k] = kd_index_iter(k);
    KdIndex *index = &access.dim[last];
    int64_t extent = t.dim[last];
    switch (graph_pick(g, 7)) {
    case 0: /* turned around */
        *index = kd_index_constant(extent - 1);
        kd_index_add(index, last, -1);
        break;
    case 1:
        if (extent < 3) return;
        shift(g, &t, index);
        break;
    case 2:
        if (extent < 4) return;
        stride(g, &t, index);
        break;
    case 3: spread(g, &t, index); break;
    case 4:
        if (extent < 3 || t.rank > 3) return;
        window(g, &t, index);
        break;
    case 5:
        if (!drop(g, &t, &access)) return;
        break;
    default:
        if (!transpose(&t, &access)) return;
    }
    if (!small(t)) return;
    graph_keep(g, kd_view(&g->b, x, t.rank, t.dim, &access, graph_pick(g, 2) ? 0 : 0.5));
}

void graph_grow_reshape(Graph *g) {
    KdValue *x = graph_any(g);
    bool batch = x->type.rank && x->type.dim[0] == KD_BATCH;
    if (kd_type_has(x->type, KD_BATCH) && !batch) return;
    int64_t rest = 1;
    for (int k = batch ? 1 : 0; k < x->type.rank; k++) rest *= x->type.dim[k];
    int64_t by = graph_pick(g, 3) + 1;
    int64_t dim[3] = { batch ? KD_BATCH : 1, rest % by == 0 ? by : 1, 0 };
    dim[2] = rest / dim[1];
    graph_keep(g, kd_reshape(&g->b, x, 3, dim));
}

void graph_grow_concat(Graph *g) {
    KdValue *x = graph_any(g), *y = graph_any(g);
    int axis = x->type.rank - 1;
    if (axis < 1 || !kd_shape_equal(x->type, y->type) || !small(x->type)) return;
    if (graph_pick(g, 2) && axis > 1) axis--;
    graph_keep(g, kd_concat(&g->b, 2, (KdValue *[]){ x, y }, axis));
}

void graph_grow_gather(Graph *g) {
    KdValue *x = g->table;
    for (int tries = 0; tries < 4; tries++) {
        KdValue *v = graph_any(g);
        if (v->type.rank && v->type.dim[0] == GRAPH_TABLE_ROWS) x = v;
    }
    graph_keep(g, kd_gather(&g->b, x, g->row));
}

void graph_grow_scatter(Graph *g) {
    KdValue *x = graph_any(g);
    if (!x->type.rank || x->type.dim[0] != KD_BATCH || x->type.rank > 3) return;
    graph_keep(g, graph_tame(g, kd_scatter_add(&g->b, x, g->row, GRAPH_TABLE_ROWS), 0.3));
}

void graph_grow_slab(Graph *g) {
    KdValue *x = graph_any(g), *y = graph_any(g);
    if (kd_type_has(x->type, KD_BATCH) || kd_type_has(y->type, KD_BATCH)) return;
    if (small(x->type) && small(y->type)) {
        graph_keep(g, kd_slab(&g->b, 2, (KdValue *[]){ x, y }));
    }
}
