/*
 * Contractions whose operands are rounded to bf16: the upper half of an f32, so rounding is all
 * that it takes. Panels and rows are packed as f32 first, by any way that there is; then every two
 * steps of k become one element of 32 bits, and the tile goes over half as many steps.
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

/* The bits of x rounded to its upper half, as i32; a NaN stays one. */
static LLVMValueRef rounded_bits(KdEmit *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->b;
    int lanes = kd_lanes_of(x);
    LLVMValueRef bits = LLVMBuildBitCast(b, x, vector_of(e->i32, x), "");
    LLVMValueRef half = kd_emit_splat(e, kd_emit_i32(e, 16), lanes);
    LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, half, ""),
                                    kd_emit_splat(e, kd_emit_i32(e, 1), lanes), "");
    LLVMValueRef up = LLVMBuildAdd(b, kd_emit_splat(e, kd_emit_i32(e, 0x7fff), lanes), odd, "");
    LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, x, x, "");
    LLVMValueRef round = LLVMBuildSelect(b, nan, bits, LLVMBuildAdd(b, bits, up, ""), "");
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

/* In place, front to back: a pair's place is never behind its steps'. */
void kd_bf16_panel(const KdContraction *c, int nv) {
    KdEmit *e = c->e;
    int lanes = c->p->lanes;
    LLVMValueRef width = kd_emit_i64(e, (int64_t)nv * lanes);
    KdLoop pair;
    kd_loop_begin(e, &pair, kd_emit_i64(e, 0), kd_bf16_steps(e, c->k_count), 1);
    LLVMValueRef step = LLVMBuildAdd(e->b, pair.index, pair.index, "");
    LLVMValueRef next = LLVMBuildAdd(e->b, step, kd_emit_i64(e, 1), "");
    LLVMValueRef exists = LLVMBuildICmp(e->b, LLVMIntSLT, next, c->k_count, "");
    LLVMValueRef zero = LLVMConstNull(kd_vector_type(e->f32, lanes));
    for (int v = 0; v < nv; v++) {
        LLVMValueRef line =
            kd_emit_element(e, e->f32, c->panel, kd_emit_i64(e, (int64_t)v * lanes));
        LLVMValueRef from = LLVMBuildMul(e->b, step, width, "");
        LLVMValueRef even = kd_emit_element(e, e->f32, line, from);
        LLVMValueRef odd = kd_emit_element(e, e->f32, even, width);
        LLVMValueRef x = kd_emit_load(e, e->f32, lanes, even, NULL);
        LLVMValueRef y = kd_emit_load(e, e->f32, lanes, odd, NULL);
        y = LLVMBuildSelect(e->b, exists, y, zero, "");
        LLVMValueRef to = LLVMBuildMul(e->b, pair.index, width, "");
        kd_emit_store(e, kd_bf16_pair(e, x, y), kd_emit_element(e, e->f32, line, to), NULL);
    }
    kd_loop_end(e, &pair);
}

void kd_bf16_rows(const KdContraction *c, LLVMValueRef rows) {
    KdEmit *e = c->e;
    int lanes = c->p->lanes;
    KdLoop row, pair;
    kd_loop_begin(e, &row, kd_emit_i64(e, 0), rows, 1);
    LLVMValueRef begin = LLVMBuildMul(e->b, row.index, kd_emit_i64(e, c->p->kpad), "");
    LLVMValueRef line = kd_emit_element(e, e->f32, c->spack, begin);
    kd_loop_begin(e, &pair, kd_emit_i64(e, 0), kd_bf16_steps(e, c->k_count), lanes);
    LLVMValueRef step = LLVMBuildAdd(e->b, pair.index, pair.index, "");
    LLVMValueRef there = kd_emit_tail_mask(e, LLVMBuildSub(e->b, c->k_count, step, ""), 2 * lanes);
    LLVMValueRef x =
        kd_emit_load(e, e->f32, 2 * lanes, kd_emit_element(e, e->f32, line, step), there);
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
