/*
 * Activations of a large batch lie in main memory, whose latency a burst of packing cannot hide. So
 * while tiles are multiplied, what the next panel is packed from (or the next image that is copied)
 * is asked for, a share of it before each tile or panel. A prefetch never faults and changes no
 * value: where it goes astray, at the end of an image, it is a little work for nothing.
 */
#include "backend/contract.h"

#define LINE 64

static LLVMValueRef add(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildAdd(e->b, a, b, "");
}

static LLVMValueRef scaled(KdEmit *e, LLVMValueRef a, int64_t by) {
    return LLVMBuildMul(e->b, a, kd_emit_i64(e, by), "");
}

static void prefetch(KdEmit *e, LLVMValueRef p) { /* to read, into the second-level cache */
    LLVMValueRef args[] = { p, kd_emit_i32(e, 0), kd_emit_i32(e, 2), kd_emit_i32(e, 1) };
    kd_emit_intrinsic(e, "llvm.prefetch", &e->ptr, 1, args, 4);
}

/* Share `nth` of `count` of `total` pieces. */
static void share_of(KdEmit *e, int64_t total, LLVMValueRef nth, LLVMValueRef count,
                     LLVMValueRef *lo, LLVMValueRef *hi) {
    LLVMValueRef each = LLVMBuildUDiv(e->b, add(e, kd_emit_i64(e, total - 1), count), count, "");
    *lo = LLVMBuildMul(e->b, nth, each, "");
    *hi = kd_emit_min(e, add(e, *lo, each), kd_emit_i64(e, total));
}

/* Are tensors like V larger than caches? */
static bool is_large(const KdContraction *c) {
    int64_t bytes = kd_type_bytes(c->p->v.type, c->e->f->max_batch, 0);
    return bytes > 2 * c->e->target->l2_bytes;
}

bool kd_prefetch_fits(const KdContraction *c) {
    const KdPlan *p = c->p;
    return !p->bf16 && !p->words && !p->v_constant && !p->v_halo && !p->v_shared && !p->fold &&
           !p->blas && !p->empty && p->v.memory && p->v.linear && p->v_linear && p->one_block &&
           p->inner.n > 0 && p->v.lin[p->inner.iter[p->inner.n - 1]] == 1 &&
           kd_flat_is_static(p, &p->sum) && kd_flat_collapses(p, &p->sum, p->v.lin) && is_large(c);
}

void kd_prefetch_columns(const KdContraction *from, const KdColumn *column, int nv,
                         LLVMValueRef nth, LLVMValueRef count) {
    KdContraction here = *from, *c = &here;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef lo, hi;
    share_of(e, p->kc, nth, count, &lo, &hi);
    LLVMValueRef at = kd_flat_offset(e, &p->group, c->at, p->v.lin);
    at = add(e, at, kd_flat_offset(e, &p->outer, column[0].at, p->v.lin));
    at = add(e, at, add(e, column[0].first, kd_emit_i64(e, p->v.offset + (int64_t)nv * p->lanes)));
    LLVMValueRef first = kd_emit_element(e, e->f32, kd_emit_base(e, p->v.memory), at);
    KdLoop step;
    kd_loop_begin(e, &step, lo, hi, 1);
    LLVMValueRef line = scaled(e, step.index, p->v.lin[p->sum.iter[p->sum.n - 1]]);
    for (int64_t k = 0; k < (int64_t)nv * p->lanes * 4; k += LINE)
        prefetch(e, kd_emit_element(e, e->f32, first, add(e, line, kd_emit_i64(e, k / 4))));
    kd_loop_end(e, &step);
}

void kd_prefetch_image(const KdContraction *c, LLVMValueRef nth, LLVMValueRef count) {
    KdEmit *e = c->e;
    const KdFactor *f = &c->p->v_halo->from;
    int batch = c->p->group.n ? c->p->group.iter[0] : -1;
    if (batch < 0 || c->p->extent[batch] != KD_BATCH || !is_large(c)) return;
    LLVMValueRef lo, hi;
    share_of(e, f->lin[batch] * 4 / LINE, nth, count, &lo, &hi);
    LLVMValueRef next = add(e, kd_idx_value(e, 1, c->at[batch], e->i64), kd_emit_i64(e, 1));
    LLVMValueRef first =
        kd_emit_element(e, e->f32, kd_emit_base(e, f->memory), scaled(e, next, f->lin[batch]));
    KdLoop line;
    kd_loop_begin(e, &line, lo, hi, 1);
    prefetch(e, kd_emit_byte_offset(e, first, scaled(e, line.index, LINE)));
    kd_loop_end(e, &line);
}
