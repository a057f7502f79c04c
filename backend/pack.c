/*
 * Packing: a panel of the vector side as [k][NR], so that the microkernel reads it front to back,
 * and rows of the broadcast side as [row][k] where they cannot be read in place. Elements are asked
 * of the evaluator, so any access, padding and prologue works; pack_fast.c has the common cases.
 */
#include "backend/contract.h"
#include "backend/eval.h"

LLVMValueRef kd_factor_value(KdContraction *c, const KdFactor *f, int lanes, LLVMValueRef active) {
    KdIterators iters = { .n = c->p->niters };
    for (int i = 0; i < c->p->niters; i++) {
        iters.at[i] = c->p->extent[i] == 1 ? kd_idx_constant(0) : c->at[i];
        iters.extent[i] = c->p->extent[i];
    }
    KdPoint at = { .lanes = lanes, .mask = active, .prefix = active != NULL };
    return kd_eval_access(c->ev, f->value, f->access, &iters, &at);
}

/* Opens loops over the iterators of a block, outermost first, and gives the step's number in it.
 * The last `keep` iterators get no loop. */
static LLVMValueRef open_steps(KdContraction *c, KdLoop *loop, int keep) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef step = kd_emit_i64(e, 0);
    int64_t below = p->period;
    for (int k = p->level; k < p->sum.n - keep; k++) {
        int it = p->sum.iter[k];
        LLVMValueRef hi = k == p->level ? c->chunk_count : kd_emit_i64(e, p->extent[it]);
        KdLoop *l = &loop[k - p->level];
        kd_loop_begin(e, l, kd_emit_i64(e, 0), hi, 1);
        LLVMValueRef at = l->index;
        if (k == p->level)
            at = LLVMBuildAdd(e->b, at, c->at[it].base, "");
        else
            below /= p->extent[it];
        c->at[it] = kd_idx_uniform(at, 1);
        LLVMValueRef part = LLVMBuildMul(e->b, l->index, kd_emit_i64(e, below), "");
        step = LLVMBuildAdd(e->b, step, part, "");
    }
    return step;
}

static void close_steps(KdContraction *c, KdLoop *loop, int keep) {
    for (int k = c->p->sum.n - keep - 1; k >= c->p->level; k--)
        kd_loop_end(c->e, &loop[k - c->p->level]);
}

void kd_pack_panel(const KdContraction *from, LLVMValueRef first, int nv) {
    KdContraction here = *from, *c = &here; /* the caller stays where it is */
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int chunked = p->sum.iter[p->level];
    KdIdx start = c->at[chunked];
    int mark = kd_eval_mark(c->ev);
    KdLoop vector;
    kd_loop_begin(e, &vector, kd_emit_i64(e, 0), kd_emit_i64(e, nv), 1);
    KdColumn column;
    kd_column_at(c, LLVMBuildAdd(e->b, first, vector.index, ""), &column);
    for (int k = 0; k < p->outer.n; k++) c->at[p->outer.iter[k]] = column.at[p->outer.iter[k]];
    for (int k = 0; k < p->inner.n; k++) c->at[p->inner.iter[k]] = column.at[p->inner.iter[k]];
    KdLoop loop[KD_PLAN_ITERS];
    LLVMValueRef step = open_steps(c, loop, 0);
    LLVMValueRef value = p->joined ? kd_joined_value(c, &column) : NULL;
    if (!value) value = kd_factor_value(c, &p->v, p->lanes, column.active);
    LLVMValueRef to = LLVMBuildMul(e->b, step, kd_emit_i64(e, (int64_t)nv * p->lanes), "");
    LLVMValueRef across = LLVMBuildMul(e->b, vector.index, kd_emit_i64(e, p->lanes), "");
    to = LLVMBuildAdd(e->b, to, across, "");
    kd_emit_store(e, value, kd_emit_element(e, e->f32, c->panel, to), NULL);
    close_steps(c, loop, 0);
    c->at[chunked] = start;
    kd_loop_end(e, &vector);
    kd_eval_release(c->ev, mark);
}

void kd_pack_rows(const KdContraction *from, LLVMValueRef lo, LLVMValueRef hi) {
    KdContraction here = *from, *c = &here; /* the caller stays where it is */
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int last = p->sum.iter[p->sum.n - 1];
    int chunked = p->sum.iter[p->level];
    KdIdx start = c->at[chunked];
    int mark = kd_eval_mark(c->ev);
    KdLoop row;
    kd_loop_begin(e, &row, lo, hi, 1);
    kd_flat_decode(c, &p->rows, row.index, c->at);
    LLVMValueRef line = LLVMBuildSub(e->b, row.index, lo, "");
    line = LLVMBuildMul(e->b, line, kd_emit_i64(e, p->kpad), "");
    /* Lanes run along the last iterator; what a store writes too much is overwritten by the next
     * one, or lies in the padding. */
    KdLoop loop[KD_PLAN_ITERS];
    bool whole = p->sum.n - 1 == p->level;
    LLVMValueRef step = open_steps(c, loop, 1);
    LLVMValueRef extent = whole ? c->chunk_count : kd_emit_i64(e, p->extent[last]);
    KdLoop along;
    kd_loop_begin(e, &along, kd_emit_i64(e, 0), extent, p->lanes);
    LLVMValueRef first = along.index;
    LLVMValueRef left = LLVMBuildSub(e->b, extent, first, "");
    c->at[last] = kd_idx_lanes(e, whole ? LLVMBuildAdd(e->b, first, start.base, "") : first,
                               whole ? 1 : p->lanes);
    LLVMValueRef active = kd_emit_tail_mask(e, left, p->lanes);
    LLVMValueRef value = kd_factor_value(c, &p->s, p->lanes, active);
    LLVMValueRef to = LLVMBuildAdd(e->b, LLVMBuildAdd(e->b, line, step, ""), first, "");
    kd_emit_store(e, value, kd_emit_element(e, e->f32, c->spack, to), NULL);
    kd_loop_end(e, &along);
    close_steps(c, loop, 1);
    c->at[chunked] = start;
    kd_loop_end(e, &row);
    kd_eval_release(c->ev, mark);
}

/* The step behind the even one at `source`, of pair `nth`; zero where it is one too many. */
static LLVMValueRef load_odd(const KdContraction *c, LLVMValueRef nth, LLVMValueRef source,
                             LLVMValueRef active) {
    KdEmit *e = c->e;
    LLVMValueRef odd = LLVMBuildAdd(e->b, LLVMBuildAdd(e->b, nth, nth, ""), kd_emit_i64(e, 1), "");
    LLVMValueRef exists = LLVMBuildICmp(e->b, LLVMIntSLT, odd, c->k_count, "");
    LLVMValueRef there = kd_emit_splat(e, exists, c->p->lanes);
    if (active) there = LLVMBuildAnd(e->b, there, active, "");
    LLVMValueRef at = kd_emit_element(e, e->f32, source, kd_emit_i64(e, c->p->hop));
    return kd_emit_load(e, e->f32, c->p->lanes, at, there);
}

void kd_pack_tile(const KdContraction *c, LLVMValueRef from, LLVMValueRef to, int mr) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    KdLoop step;
    LLVMValueRef steps = p->bf16 ? kd_bf16_steps(e, c->k_count) : c->k_count;
    kd_loop_begin(e, &step, kd_emit_i64(e, 0), steps, 1);
    LLVMValueRef hop =
        LLVMBuildMul(e->b, step.index, kd_emit_i64(e, p->hop * (p->bf16 ? 2 : 1)), "");
    LLVMValueRef line = LLVMBuildMul(e->b, step.index, kd_emit_i64(e, mr), "");
    for (int r = 0; r < mr; r += p->lanes) {
        LLVMValueRef left = kd_emit_i64(e, mr - r), at = kd_emit_i64(e, r);
        LLVMValueRef active = mr - r < p->lanes ? kd_emit_tail_mask(e, left, p->lanes) : NULL;
        LLVMValueRef source = kd_emit_element(e, e->f32, from, LLVMBuildAdd(e->b, hop, at, ""));
        LLVMValueRef target = kd_emit_element(e, e->f32, to, LLVMBuildAdd(e->b, line, at, ""));
        LLVMValueRef value = kd_emit_load(e, e->f32, p->lanes, source, active);
        if (p->bf16) value = kd_bf16_pair(e, value, load_odd(c, step.index, source, active));
        kd_emit_store(e, value, target, active);
    }
    kd_loop_end(e, &step);
}
