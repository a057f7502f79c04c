/*
 * Contractions whose operands are rounded to bf16: the upper half of an f32, so rounding is all
 * that it takes. Every two steps of k become one element of 32 bits, and the tile goes over half as
 * many steps. Panels and rows that lie in memory as lines are read there; others are packed as f32
 * first, by any way that there is.
 *
 *     [k][NR] of f32      [k/2][NR] of pairs
 *     a0 a1 a2 …          (a0,b0) (a1,b1) (a2,b2) …
 *     b0 b1 b2 …
 *
 * Where the CPU has it, one instruction adds both products of a pair to an f32: twice the speed of
 * fused multiply-adds.
 *
 * The odd step's product is added first, as that instruction does it (VDPBF16PS; it flushes
 * denormals, where two fma do not).
 */
#include "backend/contract.h"

#include <stdio.h>
#include <string.h>

/* Does the machine convert to bf16 and add products of pairs? */
static bool has_pairs(const KdEmit *e) {
    return strstr(e->features, "+avx512bf16") && strstr(e->features, "+avx512vl");
}

static LLVMTypeRef vector_of(LLVMTypeRef element, LLVMValueRef like) {
    int lanes = kd_lanes_of(like);
    return lanes == 1 ? element : kd_vector_type(element, lanes);
}

/* The bits of x rounded to its upper half, as i32; a NaN stays one, a quiet one, wherever its
 * payload is. */
static LLVMValueRef rounded_bits(KdEmit *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->b;
    int lanes = kd_lanes_of(x);
    LLVMValueRef bits = LLVMBuildBitCast(b, x, vector_of(e->i32, x), "");
    LLVMValueRef half = kd_emit_splat(e, kd_emit_i32(e, 16), lanes);
    LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, half, ""),
                                    kd_emit_splat(e, kd_emit_i32(e, 1), lanes), "");
    LLVMValueRef up = LLVMBuildAdd(b, kd_emit_splat(e, kd_emit_i32(e, 0x7fff), lanes), odd, "");
    LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, x, x, "");
    LLVMValueRef quiet = LLVMBuildOr(b, bits, kd_emit_splat(e, kd_emit_i32(e, 1 << 22), lanes), "");
    LLVMValueRef round = LLVMBuildSelect(b, nan, quiet, LLVMBuildAdd(b, bits, up, ""), "");
    return LLVMBuildAnd(b, round, kd_emit_splat(e, kd_emit_i32(e, -65536), lanes), "");
}

LLVMValueRef kd_emit_round_bf16(KdEmit *e, LLVMValueRef x) {
    return LLVMBuildBitCast(e->b, rounded_bits(e, x), LLVMTypeOf(x), "rounded");
}

LLVMValueRef kd_bf16_steps(KdEmit *e, LLVMValueRef steps) {
    return kd_emit_ceil_div(e, steps, 2);
}

/* <n x f32> to <n x i16>: bf16 where the CPU converts, else by hand. */
static LLVMValueRef narrowed(KdEmit *e, LLVMValueRef x) {
    LLVMTypeRef i16 = kd_vector_type(LLVMInt16TypeInContext(e->cx), kd_lanes_of(x));
    if (!has_pairs(e)) {
        LLVMValueRef half = kd_emit_splat(e, kd_emit_i32(e, 16), kd_lanes_of(x));
        return LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, rounded_bits(e, x), half, ""), i16, "");
    }
    LLVMTypeRef bf16 = vector_of(LLVMBFloatTypeInContext(e->cx), x);
    return LLVMBuildBitCast(e->b, LLVMBuildFPTrunc(e->b, x, bf16, ""), i16, "");
}

/* The shuffle of x and y, n lanes each, that takes lane k of its result from lane[k]. */
static LLVMValueRef shuffled(KdEmit *e, LLVMValueRef x, LLVMValueRef y, int n,
                             int (*lane)(int k, int n)) {
    int32_t *from = KD_NEW_ARRAY(e->arena, int32_t, n);
    for (int k = 0; k < n; k++) from[k] = lane(k, n);
    return LLVMBuildShuffleVector(e->b, x, y, kd_emit_lane_constants(e, e->i32, n, from), "");
}

static int in_order(int k, int n) {
    (void)n;
    return k;
}

static int alternating(int k, int n) {
    return k / 2 + k % 2 * (n / 2);
}

LLVMValueRef kd_bf16_pair(KdEmit *e, LLVMValueRef even, LLVMValueRef odd) {
    int n = 2 * e->lanes;
    LLVMValueRef both = narrowed(e, shuffled(e, even, odd, n, in_order));
    LLVMValueRef pairs = shuffled(e, both, LLVMGetPoison(LLVMTypeOf(both)), n, alternating);
    return LLVMBuildBitCast(e->b, pairs, LLVMTypeOf(even), "pairs");
}

/* Where the steps of a vector of the panel come from. */
typedef struct Source {
    LLVMValueRef first, active; /* pointer; <lanes x i1>, or NULL: all */
    int64_t stride;
} Source;

/* Are the columns of V in lines, which are at known distances from step to step? */
bool kd_bf16_has_lines(const KdPlan *p) {
    KdFlat whole = { .n = p->sum.n - p->level };
    for (int k = 0; k < whole.n; k++) whole.iter[k] = p->sum.iter[p->level + k];
    return p->v.memory && p->v.linear && p->v.inside && p->v_linear && p->inner.n > 0 &&
           p->v.lin[p->inner.iter[p->inner.n - 1]] == 1 && kd_flat_collapses(p, &whole, p->v.lin);
}

static Source line_of(KdContraction *c, LLVMValueRef vector) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    KdColumn column;
    kd_column_at(c, vector, &column);
    LLVMValueRef at = LLVMBuildAdd(e->b, column.first, kd_emit_i64(e, p->v.offset), "");
    at = LLVMBuildAdd(e->b, at, kd_flat_offset(e, &p->group, c->at, p->v.lin), "");
    at = LLVMBuildAdd(e->b, at, kd_flat_offset(e, &p->outer, column.at, p->v.lin), "");
    at = LLVMBuildAdd(e->b, at, kd_flat_offset(e, &p->sum, c->at, p->v.lin), "");
    return (Source){ kd_emit_element(e, e->f32, kd_emit_base(e, p->v.memory), at), column.active,
                     p->v.lin[p->sum.iter[p->sum.n - 1]] };
}

static LLVMValueRef load_step(KdEmit *e, const Source *x, LLVMValueRef step, LLVMValueRef there) {
    LLVMValueRef way = LLVMBuildMul(e->b, step, kd_emit_i64(e, x->stride), "");
    LLVMValueRef mask = x->active;
    if (there) mask = mask ? LLVMBuildAnd(e->b, there, mask, "") : there;
    return kd_emit_load(e, e->f32, e->lanes, kd_emit_element(e, e->f32, x->first, way), mask);
}

/* In place, where it is packed already, front to back: a pair's place is never behind its steps'.
 */
void kd_bf16_panel(const KdContraction *from, LLVMValueRef first, int nv) {
    KdContraction here = *from, *c = &here;
    KdEmit *e = c->e;
    int lanes = c->p->lanes;
    int64_t width = (int64_t)nv * lanes;
    Source source[KD_MAX_NV];
    for (int v = 0; v < nv; v++) {
        LLVMValueRef across = kd_emit_i64(e, (int64_t)v * lanes);
        source[v] = (Source){ kd_emit_element(e, e->f32, c->panel, across), NULL, width };
        if (first) source[v] = line_of(c, LLVMBuildAdd(e->b, first, kd_emit_i64(e, v), ""));
    }
    KdLoop pair;
    kd_loop_begin(e, &pair, kd_emit_i64(e, 0), kd_bf16_steps(e, c->k_count), 1);
    LLVMValueRef step = LLVMBuildAdd(e->b, pair.index, pair.index, "");
    LLVMValueRef next = LLVMBuildAdd(e->b, step, kd_emit_i64(e, 1), "");
    LLVMValueRef exists = LLVMBuildICmp(e->b, LLVMIntSLT, next, c->k_count, "");
    exists = kd_emit_splat(e, exists, lanes);
    LLVMValueRef line = LLVMBuildMul(e->b, pair.index, kd_emit_i64(e, width), "");
    for (int v = 0; v < nv; v++) {
        LLVMValueRef x = load_step(e, &source[v], step, NULL);
        LLVMValueRef y = load_step(e, &source[v], next, exists);
        LLVMValueRef to = LLVMBuildAdd(e->b, line, kd_emit_i64(e, (int64_t)v * lanes), "");
        kd_emit_store(e, kd_bf16_pair(e, x, y), kd_emit_element(e, e->f32, c->panel, to), NULL);
    }
    kd_loop_end(e, &pair);
}

void kd_bf16_rows(const KdContraction *c, LLVMValueRef s_base, LLVMValueRef lo, LLVMValueRef hi) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int lanes = p->lanes;
    KdLoop row, pair;
    kd_loop_begin(e, &row, lo, hi, 1);
    LLVMValueRef begin = LLVMBuildSub(e->b, row.index, lo, "");
    begin = LLVMBuildMul(e->b, begin, kd_emit_i64(e, p->kpad), "");
    LLVMValueRef line = kd_emit_element(e, e->f32, c->spack, begin), from = line;
    if (s_base) {
        KdContraction here = *c;
        KdIdx at[KD_PLAN_ITERS] = { { 0 } };
        kd_flat_decode(&here, &p->rows, row.index, at);
        from = kd_emit_element(e, e->f32, s_base, kd_flat_offset(e, &p->rows, at, p->s.lin));
    }
    kd_loop_begin(e, &pair, kd_emit_i64(e, 0), kd_bf16_steps(e, c->k_count), lanes);
    LLVMValueRef step = LLVMBuildAdd(e->b, pair.index, pair.index, "");
    LLVMValueRef there = kd_emit_tail_mask(e, LLVMBuildSub(e->b, c->k_count, step, ""), 2 * lanes);
    LLVMValueRef x =
        kd_emit_load(e, e->f32, 2 * lanes, kd_emit_element(e, e->f32, from, step), there);
    LLVMValueRef pairs = LLVMBuildBitCast(e->b, narrowed(e, x), kd_vector_type(e->f32, lanes), "");
    kd_emit_store(e, pairs, kd_emit_element(e, e->f32, line, pair.index), NULL);
    kd_loop_end(e, &pair);
    kd_loop_end(e, &row);
}

/* The upper or lower half of each lane as f32. */
static LLVMValueRef half_of(KdEmit *e, LLVMValueRef pairs, bool upper) {
    int lanes = kd_lanes_of(pairs);
    LLVMValueRef bits = LLVMBuildBitCast(e->b, pairs, kd_vector_type(e->i32, lanes), "");
    bits = upper ? LLVMBuildAnd(e->b, bits, kd_emit_splat(e, kd_emit_i32(e, -65536), lanes), "")
                 : LLVMBuildShl(e->b, bits, kd_emit_splat(e, kd_emit_i32(e, 16), lanes), "");
    return LLVMBuildBitCast(e->b, bits, LLVMTypeOf(pairs), "");
}

LLVMValueRef kd_bf16_multiply_add(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc) {
    int lanes = kd_lanes_of(acc);
    if (!has_pairs(e)) {
        acc = kd_emit_multiply_add(e, half_of(e, a, true), half_of(e, b, true), acc);
        return kd_emit_multiply_add(e, half_of(e, a, false), half_of(e, b, false), acc);
    }
    char name[40];
    snprintf(name, sizeof name, "llvm.x86.avx512bf16.dpbf16ps.%d", 32 * lanes);
    LLVMTypeRef type = kd_vector_type(LLVMBFloatTypeInContext(e->cx), 2 * lanes);
    a = LLVMBuildBitCast(e->b, a, type, "");
    b = LLVMBuildBitCast(e->b, b, type, "");
    return kd_emit_intrinsic(e, name, NULL, 0, (LLVMValueRef[]){ acc, a, b }, 3);
}
