/*
 * Pooling behind a contraction:
 *
 *     y[n,c,h,w] = max over i, j of x[n,c,2·h + i,2·w + j]         x: what the epilogue makes
 *
 * Windows of a plane lie in several tiles. So a unit has a sample of its own (or, by Winograd's
 * products, whole lines of windows of one), leaves x in scratch, where it stays in the second-level
 * cache, and then goes through the windows: results are those of the nest of a map. Where x is a
 * result too, it is read from there.
 */
#include "backend/arith.h"
#include "backend/contract_unit.h"
#include "backend/nest.h"

static const KdInstr *first_pooling(const KdInstr *kernel) {
    const KdInstr *op = kd_contraction_of(kernel);
    KD_EACH_INSTR(i, kernel->body)
    if (kd_op_has(i->op, KD_T_REDUCTION) && kd_pools(op, i)) return i;
    return NULL;
}

bool kd_has_pooling(const KdInstr *kernel) {
    return first_pooling(kernel) != NULL;
}

KdPool *kd_pool_plan(KdEmit *e, const KdPlan *p) {
    const KdInstr *i = first_pooling(p->kernel);
    if (!i) return NULL;
    KdPool *pool = KD_NEW(e->arena, KdPool);
    *pool = (KdPool){ .of = i, .x = i->args[0]->def->args[0], .result = -1 };
    for (int k = 0; k < p->kernel->nresults; k++)
        if (p->kernel->body->results[k] == pool->x) pool->result = k;
    return pool;
}

/* One sample of x. */
static KdType sample_type(const KdPool *pool) {
    KdType t = pool->x->type;
    t.dim[0] = 1;
    return t;
}

bool kd_pool_takes_lines(const KdPlan *p, int dim, int64_t lines) {
    int64_t high = kd_pool_window(p->pool->of, dim);
    int64_t wide = p->pool->of->results[0]->type.dim[dim + 1];
    int64_t rows = wide < p->lanes ? p->lanes / wide : 1; /* of a vector: see nest.h */
    return lines % high == 0 && lines / high % rows == 0;
}

int64_t kd_pool_elements(const KdPlan *p) {
    return p->pool && p->pool->result < 0 ? kd_type_elements(sample_type(p->pool), 1, 1) : 0;
}

void kd_pool_enter(KdContraction *c) {
    KdEmit *e = c->e;
    const KdPool *pool = c->p->pool;
    if (pool->result < 0) {
        c->sample = c->pooled;
        return;
    }
    const KdValue *whole = c->p->kernel->results[pool->result];
    int64_t stride[KD_MAX_RANK];
    kd_type_strides(whole->type, 1, stride);
    LLVMValueRef nth = kd_idx_value(e, 1, c->at[0], e->i64);
    c->sample = kd_emit_element(e, e->f32, kd_emit_base(e, whole), scaled(e, nth, stride[0]));
}

void kd_pool_keep(KdContraction *c, const KdPoint *at) {
    const KdPool *pool = c->p->pool;
    if (pool->result >= 0) return;
    KdPoint local = *at;
    local.dim[0] = kd_idx_constant(0);
    kd_emit_store_in(c->e, sample_type(pool), c->sample, &local, kd_eval(c->ev, pool->x, at));
}

/* --- the windows ------------------------------------------------------------------------------ */

/* Where the nest stands: sample and row. */
typedef struct Place {
    const KdContraction *c;
    int own[KD_MAX_RANK]; /* dims of the planes, which the nest goes through */
} Place;

static void pool_point(KdEval *ev, const KdPoint *plane, void *user) {
    const Place *x = user;
    const KdInstr *kernel = ev->kernel;
    KdType pooled = x->c->p->pool->of->results[0]->type;
    KdPoint at = *plane;
    at.rank = pooled.rank;
    for (int d = 0; d < at.rank; d++)
        at.dim[d] = pooled.dim[d] == 1 ? kd_idx_constant(0) : x->c->at[d];
    for (int k = 0; k < plane->rank; k++) at.dim[x->own[k]] = plane->dim[k];
    LLVMValueRef *value = KD_NEW_ARRAY(ev->e->arena, LLVMValueRef, kernel->nresults);
    for (int k = 0; k < kernel->nresults; k++) /* before the first store, as in maps */
        if (kd_shape_equal(kernel->results[k]->type, pooled))
            value[k] = kd_eval(ev, kernel->body->results[k], &at);
    for (int k = 0; k < kernel->nresults; k++)
        if (value[k]) kd_emit_store_at(ev->e, kernel->results[k], &at, value[k]);
}

/* The planes, of the dims that are neither the batch nor rows. */
static KdSpace planes_of(const KdPlan *p, const KdPlan *finishing, Place *x) {
    KdType pooled = p->pool->of->results[0]->type, planes = { 0 };
    const bool apart[KD_MAX_RANK] = { false };
    for (int d = 1; d < pooled.rank; d++) {
        bool own = p->pool->x->type.dim[d] > 1;
        for (int k = 0; k < finishing->rows.n; k++) own &= finishing->rows.iter[k] != d;
        if (!own) continue;
        x->own[planes.rank] = d;
        planes.dim[planes.rank++] = pooled.dim[d];
    }
    return kd_space(planes, apart);
}

void kd_pool_emit(const KdContraction *c, LLVMValueRef first, LLVMValueRef end) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p, *finishing = p->fold ? p->fold : p;
    KdContraction here = *c;
    Place place = { .c = &here };
    KdSpace planes = planes_of(p, finishing, &place);
    int64_t high = kd_pool_window(p->pool->of, place.own[0]);
    LLVMValueRef lo = kd_emit_i64(e, 0), hi = kd_group_extent(e, &planes.group[0]);
    if (first) {
        lo = LLVMBuildUDiv(e->b, first, kd_emit_i64(e, high), "");
        hi = kd_emit_min(e, hi, LLVMBuildUDiv(e->b, end, kd_emit_i64(e, high), ""));
    }
    c->ev->held = p->pool->x;
    c->ev->held_type = sample_type(p->pool);
    c->ev->held_base = c->sample;
    KdLoop row;
    kd_loop_begin(e, &row, kd_emit_i64(e, 0), kd_flat_extent(e, finishing, &finishing->rows), 1);
    int mark = kd_eval_mark(c->ev);
    kd_flat_decode(&here, &finishing->rows, row.index, here.at);
    kd_walk(c->ev, &planes, lo, hi, pool_point, &place);
    kd_eval_release(c->ev, mark);
    kd_loop_end(e, &row);
    c->ev->held = NULL;
}
