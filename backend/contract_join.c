/*
 * Convolutions of small planes. A vector has columns of one sample, which for planes of 2 x 2 fill
 * 4 of 16 lanes, for 3 x 3 nine. Then the pixels of all samples are columns, one sample behind the
 * other, and no lane but the last ones is without work:
 *
 *     lanes   (n, 0) (n, 1) (n, 2) (n, 3) (n+1, 0) (n+1, 1) …
 *
 * Panels are put together from a piece of each sample; results are scattered. Sums stay what they
 * are, and which convolutions are so small depends on shapes alone, since those are not folded
 * (contract_fold.c), which would sum in another order.
 */
#include "backend/arith.h"
#include "backend/contract.h"

#define WIDEST_LANES 16
/* Of a vector: to pack it, from lines or by gathers, and to scatter what it becomes; two products
 * take one. By so much it must pay. */
#define LINE_CYCLES    8
#define GATHER_CYCLES  20
#define SCATTER_CYCLES 40
#define MARGIN         1.1

static bool may_join(const KdPlan *p) {
    return !p->winograd && !p->parts && !p->pool && !p->blas && !p->bf16 && !p->words &&
           p->v.memory && p->inner.n > 0 && kd_flat_is_static(p, &p->inner) && p->outer.n == 1 &&
           p->extent[p->outer.iter[0]] == KD_BATCH;
}

/* Pixels of a plane, when they lie one behind the other in V, all of them inside; else 0. */
static int64_t pixels_in_line(const KdPlan *p) {
    const int *plane = p->inner.iter + p->joined;
    KdFlat pixels = { .n = p->inner.n - p->joined };
    for (int k = 0; k < pixels.n; k++) pixels.iter[k] = plane[k];
    bool line = p->v.linear && p->v.inside && kd_flat_collapses(p, &pixels, p->v.lin) &&
                p->v.lin[plane[pixels.n - 1]] == 1;
    return line ? kd_flat_most(p, &pixels) : 0;
}

bool kd_has_small_planes(const KdPlan *p) {
    if (!may_join(p)) return false;
    double rows = (double)kd_flat_most(p, &p->rows), steps = (double)kd_flat_most(p, &p->sum);
    int64_t pixels = kd_flat_most(p, &p->inner);
    double full = (double)pixels / WIDEST_LANES,
           pack = pixels_in_line(p) ? LINE_CYCLES : GATHER_CYCLES;
    double now = (double)ceil_div(pixels, WIDEST_LANES) * rows * steps / 2;
    return now > MARGIN * full * (rows * steps / 2 + rows * SCATTER_CYCLES + pack * steps);
}

void kd_join_plan(KdPlan *p) {
    int64_t all = kd_flat_most(p, &p->inner) * kd_flat_most(p, &p->outer);
    if (p->empty || 2 * kd_panel_vectors(p) < 3 * ceil_div(all, p->lanes)) return;
    kd_flat_join(p, &p->inner, &p->outer);
    p->v_linear = false;
    p->joined = true;
}

/* <lanes x i1>: lanes from `lo` to below `hi`, of i64. */
static LLVMValueRef lanes_between(KdEmit *e, LLVMValueRef lo, LLVMValueRef hi) {
    LLVMTypeRef type = e->i64;
    LLVMValueRef ids = kd_emit_lane_ids(e, type, e->lanes);
    LLVMValueRef from = LLVMBuildICmp(e->b, LLVMIntSGE, ids, kd_emit_splat(e, lo, e->lanes), "");
    LLVMValueRef to = LLVMBuildICmp(e->b, LLVMIntSLT, ids, kd_emit_splat(e, hi, e->lanes), "");
    return LLVMBuildAnd(e->b, from, to, "");
}

LLVMValueRef kd_joined_value(const KdContraction *c, const KdColumn *column) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int64_t pixels = pixels_in_line(p), sample_step = p->v.lin[p->inner.iter[0]];
    if (!pixels) return NULL;
    LLVMValueRef per_sample = kd_emit_i64(e, pixels);
    LLVMValueRef sample = LLVMBuildUDiv(e->b, column->first, per_sample, "");
    LLVMValueRef pixel = LLVMBuildURem(e->b, column->first, per_sample, "");
    LLVMValueRef at = add(e, scaled(e, sample, sample_step), kd_emit_i64(e, p->v.offset));
    at = add(e, at, kd_flat_offset(e, &p->group, c->at, p->v.lin));
    at = add(e, at, kd_flat_offset(e, &p->sum, c->at, p->v.lin));
    int64_t most = p->lanes % pixels == 0 ? p->lanes / pixels : 1 + ceil_div(p->lanes - 1, pixels);
    LLVMValueRef value = LLVMConstNull(kd_vector_type(e->f32, p->lanes));
    for (int64_t k = 0; k < most; k++) { /* lane l is pixel `pixel` + l - k * pixels of sample k */
        LLVMValueRef first = sub(e, kd_emit_i64(e, k * pixels), pixel);
        LLVMValueRef mask = lanes_between(e, first, add(e, first, per_sample));
        if (column->active) mask = LLVMBuildAnd(e->b, mask, column->active, "");
        LLVMValueRef from = add(e, at, sub(e, kd_emit_i64(e, k * sample_step), first));
        from = kd_emit_element(e, e->f32, kd_emit_base(e, p->v.memory), from);
        LLVMValueRef part = kd_emit_load(e, e->f32, p->lanes, from, mask);
        value = LLVMBuildSelect(e->b, mask, part, value, "");
    }
    return value;
}
