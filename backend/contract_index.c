/*
 * Where a contraction stands: flattened indices of rows, columns and sums taken apart, vectors of
 * columns, and where the pieces of rows and columns begin.
 */
#include "backend/arith.h"
#include "backend/contract_unit.h"

/* --- flattened indices ------------------------------------------------------------------------ */

LLVMValueRef kd_flat_extent(KdEmit *e, const KdPlan *p, const KdFlat *x) {
    LLVMValueRef product = kd_emit_i64(e, 1);
    for (int k = 0; k < x->n; k++)
        product = LLVMBuildMul(e->b, product, kd_emit_extent(e, p->extent[x->iter[k]]), "");
    return product;
}

/* Only the first of x may be dynamic, so positions are constants. */
static void decode(KdContraction *c, const KdFlat *x, KdIdx whole, KdIdx *at) {
    int64_t below = 1;
    for (int k = x->n - 1; k >= 0; k--) {
        int64_t extent = c->p->extent[x->iter[k]];
        at[x->iter[k]] = kd_idx_part(c->e, whole, below, k == 0 ? 0 : extent);
        below *= extent;
    }
}

void kd_flat_decode(KdContraction *c, const KdFlat *x, LLVMValueRef index, KdIdx *at) {
    decode(c, x, kd_idx_uniform(index, 1), at);
}

LLVMValueRef kd_flat_offset(KdEmit *e, const KdFlat *x, const KdIdx *at, const int64_t *lin) {
    LLVMValueRef sum = kd_emit_i64(e, 0);
    for (int k = 0; k < x->n; k++) {
        if (lin[x->iter[k]] == 0) continue;
        LLVMValueRef index = kd_idx_value(e, 1, at[x->iter[k]], e->i64);
        sum = add(e, sum, scaled(e, index, lin[x->iter[k]]));
    }
    return sum;
}

void kd_column_at(KdContraction *c, LLVMValueRef cv, KdColumn *out) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    *out = (KdColumn){ .outer = LLVMBuildUDiv(e->b, cv, c->inner_vectors, "") };
    LLVMValueRef nth = LLVMBuildURem(e->b, cv, c->inner_vectors, "");
    out->first = scaled(e, nth, p->lanes);
    LLVMValueRef left = sub(e, c->inner_extent, out->first);
    bool full = LLVMIsAConstantInt(c->inner_extent) &&
                LLVMConstIntGetSExtValue(c->inner_extent) % p->lanes == 0;
    out->active = full ? NULL : kd_emit_tail_mask(e, left, p->lanes);
    kd_flat_decode(c, &p->outer, out->outer, out->at);
    decode(c, &p->inner, kd_idx_lanes(e, out->first, p->lanes), out->at);
}

/* --- pieces ----------------------------------------------------------------------------------- */

KdPieces kd_pieces_of(KdEmit *e, const KdSplit *s, LLVMValueRef total) {
    KdPieces x = { .split = s };
    if (s->dynamic) {
        LLVMValueRef size = kd_emit_i64(e, s->size[0]);
        x.count[0] = LLVMBuildUDiv(e->b, total, size, "");
        x.count[1] = s->size[1] ? LLVMBuildURem(e->b, total, size, "") : kd_emit_i64(e, 0);
    } else {
        for (int k = 0; k < 2; k++) x.count[k] = kd_emit_i64(e, s->count[k]);
    }
    x.total = add(e, x.count[0], x.count[1]);
    return x;
}

bool kd_has_size(const KdSplit *s, int k) {
    return s->size[k] > 0 && (s->dynamic || s->count[k] > 0);
}

/* Where piece `nth` begins. */
LLVMValueRef kd_piece_start(KdEmit *e, const KdPieces *x, LLVMValueRef nth) {
    LLVMValueRef large = kd_emit_min(e, nth, x->count[0]);
    LLVMValueRef small = sub(e, nth, large);
    return add(e, scaled(e, large, x->split->size[0]), scaled(e, small, x->split->size[1]));
}

/* The part of pieces [lo, hi) that has size number k. */
void kd_piece_range(KdEmit *e, const KdPieces *x, int k, LLVMValueRef *lo, LLVMValueRef *hi) {
    if (k == 0)
        *hi = kd_emit_min(e, *hi, x->count[0]);
    else
        *lo = kd_emit_max(e, *lo, x->count[0]);
}
