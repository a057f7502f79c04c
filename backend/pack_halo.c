/*
 * A factor with its padding: the elements that a block of k reads, copied to scratch with zeros for
 * those outside of the tensor. Tiles read the copy as if it were the factor. All taps of a window
 * share it, so it costs what one of them would.
 *
 *      a b c d           copy   0 0 0 0 0 0
 *      e f g h                  0 a b c d 0
 *                               0 e f g h 0
 *                               0 0 0 0 0 0
 *
 * Shifted, there is one for each tap of a line, of the columns alone, whose lines follow each other
 * without gaps. Then vectors of columns may run from one line into the next:
 *
 *      0 0 0 0    0 0 0 0    0 0 0 0
 *      0 a b c    a b c d    b c d 0
 *      0 e f g    e f g h    f g h 0
 *      0 0 0 0    0 0 0 0    0 0 0 0
 *
 * and where a stride leaves lines out, one for each tap of a column too.
 */
#include "backend/arith.h"
#include "backend/contract.h"
#include "backend/eval.h"

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

/* Dim d of shifted copies: the columns at the first step. */
static void shift_dim(const KdPlan *p, KdHalo *h, KdFactor *f, int d, KdShift *shift) {
    const KdIndex *x = &f->access->dim[d];
    h->stride[d] = h->elements;
    h->size[d] = 1;
    for (int k = 0; k < x->nterms; k++) {
        int it = x->term[k].iter;
        if (it == shift->iter) shift->hop = x->term[k].coeff;
        if (!contains(&h->across, it) || p->extent[it] == 1) continue;
        shift->pace = x->term[k].coeff;
        h->size[d] = p->extent[it];
        f->lin[it] = h->stride[d];
    }
    shift->steps = p->extent[shift->iter];
    h->low[d] = x->offset;
    h->elements *= h->size[d];
}

/* Dim d from the first index that is read to the last. */
static void span_dim(const KdPlan *p, KdHalo *h, KdFactor *f, int d) {
    const KdIndex *x = &f->access->dim[d];
    int64_t low = 0, high = 0;
    h->stride[d] = h->elements;
    for (int k = 0; k < x->nterms; k++) {
        int64_t indices = reach_of(p, &h->across, x->term[k].iter);
        int64_t reach = x->term[k].coeff * (indices - 1);
        *(reach < 0 ? &low : &high) += reach;
        if (indices > 1) f->lin[x->term[k].iter] += x->term[k].coeff * h->stride[d];
    }
    h->low[d] = x->offset + low;
    h->size[d] = high - low + 1;
    h->elements *= h->size[d];
    f->offset -= low * h->stride[d];
}

/* So many copies of what there is so far, one behind another. */
static void repeat(KdHalo *h, KdFactor *f, KdShift *shift) {
    shift->plane = h->elements;
    if (shift->iter == KD_UNSHIFTED) return;
    f->lin[shift->iter] = shift->plane;
    h->elements *= shift->steps;
}

KdHalo *kd_halo_plan(KdEmit *e, const KdPlan *p, KdFactor *f, const KdFlat *across, int along,
                     int lines) {
    KdHalo *h = KD_NEW(e->arena, KdHalo);
    *h = (KdHalo){ .from = *f, .across = *across, .elements = 1 };
    h->along = (KdShift){ .iter = along, .steps = 1, .pace = 1 };
    h->lines = (KdShift){ .iter = lines, .steps = 1, .pace = 1 };
    f->offset = 0;
    f->inside = true;
    for (int i = 0; i < KD_PLAN_ITERS; i++) f->lin[i] = 0;
    for (int d = f->type.rank - 1; d >= 0; d--) {
        KdShift *shift = d == f->type.rank - 1 ? &h->along : &h->lines;
        f->checked[d] = false;
        if (d >= f->type.rank - 2 && shift->iter != KD_UNSHIFTED)
            shift_dim(p, h, f, d, shift);
        else
            span_dim(p, h, f, d);
    }
    /* What is written behind a line must not be another copy's. */
    if (along != KD_UNSHIFTED) h->elements += p->lanes;
    repeat(h, f, &h->along);
    repeat(h, f, &h->lines);
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

/* One line of the last dim, of an extent known at run time alone: `from` is its start in the
 * tensor, `to` in the copy. */
static void copy_long_line(const KdContraction *c, const KdHalo *h, LLVMValueRef from,
                           LLVMValueRef to, LLVMValueRef inside) {
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

/* Does the block at hand read whole lines, from a place known now? Sets where they begin. */
static bool is_short_line(const KdContraction *c, const KdHalo *h, int64_t *first) {
    int last = h->from.type.rank - 1;
    if (h->from.type.dim[last] == KD_BATCH) return false;
    LLVMValueRef begin = first_index(c, h, last), extent = extent_of(c, h, last);
    if (!LLVMIsAConstantInt(begin) || !LLVMIsAConstantInt(extent)) return false;
    *first = LLVMConstIntGetSExtValue(begin);
    return h->size[last] > 1 && h->size[last] <= (int64_t)KD_LINE_VECTORS * c->p->lanes;
}

/* Elements k … k + lanes - 1 of the line of shift number `shift`; `at` is where it begins in the
 * tensor. Lanes outside of line or tensor are known now, and zero. */
static LLVMValueRef line_part(KdEmit *e, const KdHalo *h, KdPoint at, int64_t first, int64_t shift,
                              int64_t k) {
    KdType t = h->from.type;
    int32_t *lane = KD_NEW_ARRAY(e->arena, int32_t, at.lanes);
    int32_t *dead = KD_NEW_ARRAY(e->arena, int32_t, at.lanes);
    bool any = false;
    for (int l = 0; l < at.lanes; l++) {
        int64_t index = first + shift * h->along.hop + h->along.pace * (k + l);
        lane[l] = (int32_t)index;
        dead[l] = k + l >= h->size[t.rank - 1] || index < 0 || index >= t.dim[t.rank - 1];
        any |= dead[l];
    }
    at.dim[t.rank - 1] = kd_idx_pattern(e, NULL, 0, lane, at.lanes);
    at.dead = any ? dead : NULL;
    LLVMValueRef value = kd_emit_load_at(e, t, kd_emit_base(e, h->from.memory), &at);
    return kd_emit_active(e, &at, value, LLVMConstNull(LLVMTypeOf(value)));
}

/* All shifts of a line that is inside of the tensor, or (at NULL) zeros for one outside. */
static void copy_short_line(const KdContraction *c, const KdHalo *h, const KdPoint *at,
                            int64_t first, LLVMValueRef to) {
    KdEmit *e = c->e;
    int64_t size = h->size[h->from.type.rank - 1];
    int lanes = 2;
    while (lanes < c->p->lanes && lanes < size) lanes *= 2;
    for (int64_t shift = 0; shift < h->along.steps; shift++)
        for (int64_t k = 0; k < size; k += lanes) {
            LLVMValueRef value = LLVMConstNull(kd_vector_type(e->f32, lanes));
            KdPoint here = at ? *at : (KdPoint){ 0 };
            here.lanes = lanes;
            if (at) value = line_part(e, h, here, first, shift, k);
            LLVMValueRef place = kd_emit_i64(e, shift * h->along.plane + k);
            kd_emit_store(e, value, kd_emit_element(e, e->f32, to, place), NULL);
        }
}

/* Lines inside of the tensor one way, those outside another. */
static void copy_either(const KdContraction *c, const KdHalo *h, const KdPoint *at, int64_t first,
                        LLVMValueRef to, LLVMValueRef inside) {
    KdEmit *e = c->e;
    LLVMBasicBlockRef copy = LLVMAppendBasicBlockInContext(e->cx, e->fn, "copy");
    LLVMBasicBlockRef clear = LLVMAppendBasicBlockInContext(e->cx, e->fn, "clear");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->cx, e->fn, "copied");
    LLVMBuildCondBr(e->b, inside, copy, clear);
    LLVMPositionBuilderAtEnd(e->b, copy);
    copy_short_line(c, h, at, first, to);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, clear);
    copy_short_line(c, h, NULL, first, to);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
}

void kd_halo_copy(const KdContraction *c, const KdHalo *h, LLVMValueRef copy) {
    KdEmit *e = c->e;
    int64_t stride[KD_MAX_RANK], first;
    kd_type_strides(h->from.type, 1, stride);
    LLVMValueRef from = kd_emit_i64(e, 0), inside = NULL;
    KdPoint at = { .rank = h->from.type.rank };
    KdLoop loop[KD_MAX_RANK], step;
    kd_loop_begin(e, &step, kd_emit_i64(e, 0), kd_emit_i64(e, h->lines.steps), 1);
    LLVMValueRef to = scaled(e, step.index, h->lines.plane);
    for (int d = 0; d + 1 < h->from.type.rank; d++) {
        bool lines = d == h->from.type.rank - 2;
        kd_loop_begin(e, &loop[d], kd_emit_i64(e, 0), extent_of(c, h, d), 1);
        LLVMValueRef at_step = scaled(e, step.index, lines ? h->lines.hop : 0);
        LLVMValueRef index = scaled(e, loop[d].index, lines ? h->lines.pace : 1);
        index = add(e, add(e, first_index(c, h, d), at_step), index);
        from = add(e, from, scaled(e, index, stride[d]));
        to = add(e, to, scaled(e, loop[d].index, h->stride[d]));
        at.dim[d] = kd_idx_uniform(index, 1);
        if (!h->from.checked[d]) continue;
        LLVMValueRef narrow = LLVMBuildTrunc(e->b, index, e->i32, "");
        LLVMValueRef here = in_range(e, narrow, h->from.type.dim[d]);
        inside = inside ? LLVMBuildAnd(e->b, inside, here, "") : here;
    }
    to = kd_emit_element(e, e->f32, copy, to);
    if (!is_short_line(c, h, &first))
        copy_long_line(c, h, from, to, inside);
    else if (inside)
        copy_either(c, h, &at, first, to, inside);
    else
        copy_short_line(c, h, &at, first, to);
    for (int d = h->from.type.rank - 2; d >= 0; d--) kd_loop_end(e, &loop[d]);
    kd_loop_end(e, &step);
}
