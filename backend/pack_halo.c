/*
 * A factor with its padding: the elements that a block of k reads, copied to scratch with zeros for
 * those outside of the tensor. Tiles read the copy as if it were the factor. All taps of a window
 * share it, so it costs what one of them would.
 *
 *      a b c d           copy   0 0 0 0 0 0
 *      e f g h                  0 a b c d 0
 *                               0 e f g h 0
 *                               0 0 0 0 0 0
 */
#include "backend/contract.h"

static LLVMValueRef add(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildAdd(e->b, a, b, "");
}

static LLVMValueRef scaled(KdEmit *e, LLVMValueRef a, int64_t by) {
    return by == 1 ? a : LLVMBuildMul(e->b, a, kd_emit_i64(e, by), "");
}

static bool contains(const KdFlat *x, int it) {
    for (int k = 0; k < x->n; k++)
        if (x->iter[k] == it) return true;
    return false;
}

/* Indices that iterator `it` takes within a block: 1 when it stands still there. */
static int64_t reach_of(const KdPlan *p, const KdFlat *across, int it) {
    if (contains(across, it)) return p->extent[it];
    for (int k = p->level; k < p->sum.n; k++)
        if (p->sum.iter[k] == it) return k == p->level ? p->chunk : p->extent[it];
    return 1;
}

KdHalo *kd_halo_plan(KdEmit *e, const KdPlan *p, KdFactor *f, const KdFlat *across) {
    KdHalo *h = KD_NEW(e->arena, KdHalo);
    *h = (KdHalo){ .from = *f, .across = *across, .elements = 1 };
    f->offset = 0;
    f->inside = true;
    for (int i = 0; i < KD_PLAN_ITERS; i++) f->lin[i] = 0;
    for (int d = f->type.rank - 1; d >= 0; d--) {
        const KdIndex *x = &f->access->dim[d];
        int64_t low = 0, high = 0;
        h->stride[d] = h->elements;
        for (int k = 0; k < x->nterms; k++) {
            int64_t indices = reach_of(p, across, x->term[k].iter);
            int64_t reach = x->term[k].coeff * (indices - 1);
            *(reach < 0 ? &low : &high) += reach;
            if (indices > 1) f->lin[x->term[k].iter] += x->term[k].coeff * h->stride[d];
        }
        h->low[d] = x->offset + low;
        h->size[d] = high - low + 1;
        h->elements *= h->size[d];
        f->offset -= low * h->stride[d];
        f->checked[d] = false;
    }
    return h;
}

/* Where dim d of the copy begins in the tensor. */
static LLVMValueRef first_index(const KdContraction *c, const KdHalo *h, int d) {
    KdEmit *e = c->e;
    const KdIndex *x = &h->from.access->dim[d];
    LLVMValueRef at = kd_emit_i64(e, h->low[d]);
    for (int k = 0; k < x->nterms; k++) {
        int it = x->term[k].iter;
        if (contains(&h->across, it) || c->p->extent[it] == 1) continue;
        LLVMValueRef index = kd_idx_value(e, 1, c->at[it], e->i64);
        at = add(e, at, scaled(e, index, x->term[k].coeff));
    }
    return at;
}

/* Its extent: less where the block is a short one. */
static LLVMValueRef extent_of(const KdContraction *c, const KdHalo *h, int d) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdIndex *x = &h->from.access->dim[d];
    LLVMValueRef size = kd_emit_i64(e, h->size[d]);
    for (int k = 0; k < x->nterms; k++) {
        if (x->term[k].iter != p->sum.iter[p->level] || x->term[k].coeff < 0) continue;
        LLVMValueRef missing = LLVMBuildSub(e->b, kd_emit_i64(e, p->chunk), c->chunk_count, "");
        size = LLVMBuildSub(e->b, size, scaled(e, missing, x->term[k].coeff), "");
    }
    return size;
}

static LLVMValueRef in_range(KdEmit *e, LLVMValueRef index, int64_t extent) {
    LLVMValueRef limit = LLVMBuildTrunc(e->b, kd_emit_extent(e, extent), e->i32, "");
    limit = kd_emit_splat(e, limit, kd_lanes_of(index));
    return LLVMBuildICmp(e->b, LLVMIntULT, index, limit, "");
}

/* One line of the last dim: `from` is its start in the tensor, `to` in the copy. */
static void copy_line(const KdContraction *c, const KdHalo *h, LLVMValueRef from, LLVMValueRef to,
                      LLVMValueRef inside) {
    KdEmit *e = c->e;
    int last = h->from.type.rank - 1, lanes = c->p->lanes;
    LLVMValueRef first = first_index(c, h, last), extent = extent_of(c, h, last);
    KdLoop along;
    kd_loop_begin(e, &along, kd_emit_i64(e, 0), extent, lanes);
    LLVMValueRef at = add(e, first, along.index);
    LLVMValueRef active = kd_emit_tail_mask(e, LLVMBuildSub(e->b, extent, along.index, ""), lanes);
    LLVMValueRef narrow = kd_emit_splat(e, LLVMBuildTrunc(e->b, at, e->i32, ""), lanes);
    narrow = add(e, narrow, kd_emit_lane_ids(e, e->i32, lanes));
    active = LLVMBuildAnd(e->b, active, in_range(e, narrow, h->from.type.dim[last]), "");
    if (inside) active = LLVMBuildAnd(e->b, active, kd_emit_splat(e, inside, lanes), "");
    LLVMValueRef base = kd_emit_base(e, h->from.memory);
    LLVMValueRef source = kd_emit_element(e, e->f32, base, add(e, from, at));
    LLVMValueRef target = kd_emit_element(e, e->f32, to, along.index);
    /* What is written behind the line is overwritten by the next one. */
    kd_emit_store(e, kd_emit_load(e, e->f32, lanes, source, active), target, NULL);
    kd_loop_end(e, &along);
}

void kd_halo_copy(const KdContraction *c, const KdHalo *h, LLVMValueRef copy) {
    KdEmit *e = c->e;
    int64_t stride[KD_MAX_RANK];
    kd_type_strides(h->from.type, 1, stride);
    LLVMValueRef from = kd_emit_i64(e, 0), to = from, inside = NULL;
    KdLoop loop[KD_MAX_RANK];
    for (int d = 0; d + 1 < h->from.type.rank; d++) {
        LLVMValueRef first = first_index(c, h, d);
        kd_loop_begin(e, &loop[d], kd_emit_i64(e, 0), extent_of(c, h, d), 1);
        LLVMValueRef at = add(e, first, loop[d].index);
        from = add(e, from, scaled(e, at, stride[d]));
        to = add(e, to, scaled(e, loop[d].index, h->stride[d]));
        LLVMValueRef narrow = LLVMBuildTrunc(e->b, at, e->i32, "");
        LLVMValueRef here = in_range(e, narrow, h->from.type.dim[d]);
        inside = inside ? LLVMBuildAnd(e->b, inside, here, "") : here;
    }
    copy_line(c, h, from, kd_emit_element(e, e->f32, copy, to), inside);
    for (int d = h->from.type.rank - 2; d >= 0; d--) kd_loop_end(e, &loop[d]);
}
