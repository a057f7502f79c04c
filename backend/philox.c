/*
 * Philox 4x32-10 and Box–Muller on vectors, the numbers of runtime/random.c: counter = (element /
 * 4, index, epoch, stream), key = the seed; element e uses word e % 4. Where four neighbouring
 * lanes want the four words of one block, they hold its state together:
 *
 *     w0 w1 w2 w3  ->  hi(m1 w2) ^ w1 ^ k0,  lo(m1 w2),  hi(m0 w0) ^ w3 ^ k1,  lo(m0 w0)
 *
 * which is a round in a product of even lanes, a shuffle, a shift and two xors. Elsewhere each lane
 * runs a block of its own and keeps one word of it (two for a normal).
 */
#include "backend/emit.h"

#define MAX_LANES 64

typedef struct Words {
    LLVMValueRef w[4];
} Words;

static LLVMValueRef all(KdEmit *e, LLVMValueRef like, uint32_t x) {
    return kd_emit_splat(e, LLVMConstInt(e->i32, x, 0), kd_lanes_of(like));
}

/* The same of a vector: even and odd lanes apart, as machines multiply 32 bits to 64. */
static void multiply_pairs(KdEmit *e, LLVMValueRef x, uint32_t m, LLVMValueRef *high,
                           LLVMValueRef *low) {
    int lanes = kd_lanes_of(x), high_lanes[MAX_LANES], low_lanes[MAX_LANES];
    LLVMTypeRef pairs = kd_vector_type(e->i64, lanes / 2), words = LLVMTypeOf(x);
    LLVMValueRef by = kd_emit_splat(e, LLVMConstInt(e->i64, m, 0), lanes / 2);
    LLVMValueRef half = kd_emit_splat(e, LLVMConstInt(e->i64, 0xffffffffu, 0), lanes / 2);
    LLVMValueRef shift = kd_emit_splat(e, kd_emit_i64(e, 32), lanes / 2);
    LLVMValueRef both = LLVMBuildBitCast(e->b, x, pairs, "");
    LLVMValueRef even = LLVMBuildMul(e->b, LLVMBuildAnd(e->b, both, half, ""), by, "");
    LLVMValueRef odd = LLVMBuildMul(e->b, LLVMBuildLShr(e->b, both, shift, ""), by, "");
    for (int l = 0; l < lanes; l++) {
        low_lanes[l] = l / 2 * 2 + l % 2 * lanes;
        high_lanes[l] = low_lanes[l] + 1;
    }
    even = LLVMBuildBitCast(e->b, even, words, "");
    odd = LLVMBuildBitCast(e->b, odd, words, "");
    *low = kd_emit_shuffle(e, even, odd, lanes, low_lanes);
    *high = kd_emit_shuffle(e, even, odd, lanes, high_lanes);
}

/* High and low 32 bits of x * m. */
static void multiply(KdEmit *e, LLVMValueRef x, uint32_t m, LLVMValueRef *high, LLVMValueRef *low) {
    int lanes = kd_lanes_of(x);
    if (lanes > 1) {
        multiply_pairs(e, x, m, high, low);
        return;
    }
    LLVMTypeRef wide = kd_vector_type(e->i64, lanes), narrow = LLVMTypeOf(x);
    LLVMValueRef by = kd_emit_splat(e, LLVMConstInt(e->i64, m, 0), lanes);
    LLVMValueRef product = LLVMBuildMul(e->b, LLVMBuildZExt(e->b, x, wide, ""), by, "");
    LLVMValueRef shift = kd_emit_splat(e, kd_emit_i64(e, 32), lanes);
    *low = LLVMBuildTrunc(e->b, product, narrow, "");
    *high = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, product, shift, ""), narrow, "");
}

static Words draw(KdEmit *e, LLVMValueRef element, LLVMValueRef index, LLVMValueRef epoch,
                  uint32_t stream) {
    int lanes = kd_lanes_of(element);
    LLVMValueRef seed = kd_emit_member(e, e->frame, offsetof(KdrtFrame, seed), e->i64);
    LLVMValueRef upper = LLVMBuildLShr(e->b, seed, kd_emit_i64(e, 32), "");
    LLVMValueRef k0 = LLVMBuildTrunc(e->b, seed, e->i32, "");
    LLVMValueRef k1 = LLVMBuildTrunc(e->b, upper, e->i32, "");
    LLVMValueRef quarter = LLVMBuildLShr(e->b, element, all(e, element, 2), "");
    Words c = { { quarter, index, epoch, all(e, element, stream) } };
    for (int round = 0; round < 10; round++) {
        LLVMValueRef high0, low0, high1, low1;
        multiply(e, c.w[0], 0xD2511F53u, &high0, &low0);
        multiply(e, c.w[2], 0xCD9E8D57u, &high1, &low1);
        LLVMValueRef key0 = kd_emit_splat(e, k0, lanes), key1 = kd_emit_splat(e, k1, lanes);
        c.w[0] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, high1, c.w[1], ""), key0, "");
        c.w[2] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, high0, c.w[3], ""), key1, "");
        c.w[1] = low1;
        c.w[3] = low0;
        k0 = LLVMBuildAdd(e->b, k0, LLVMConstInt(e->i32, 0x9E3779B9u, 0), "");
        k1 = LLVMBuildAdd(e->b, k1, LLVMConstInt(e->i32, 0xBB67AE85u, 0), "");
    }
    return c;
}

/* A vector of which each four lanes are these. */
static LLVMValueRef four(KdEmit *e, int lanes, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c,
                         LLVMValueRef d) {
    LLVMValueRef all_four[] = { a, b, c, d }, x = LLVMGetPoison(kd_vector_type(e->i32, 4));
    int lane[MAX_LANES];
    for (int l = 0; l < lanes; l++) lane[l] = l % 4;
    for (int k = 0; k < 4; k++)
        x = LLVMBuildInsertElement(e->b, x, all_four[k], kd_emit_i32(e, k), "");
    return kd_emit_shuffle(e, x, LLVMGetPoison(LLVMTypeOf(x)), lanes, lane);
}

/* Lane l of each four is that lane of the l-th vector. */
static LLVMValueRef blend(KdEmit *e, LLVMValueRef const x[4]) {
    int lanes = kd_lanes_of(x[0]), lane[MAX_LANES];
    LLVMValueRef w = x[0];
    for (int k = 1; k < 4; k++) {
        for (int l = 0; l < lanes; l++) lane[l] = l % 4 == k ? lanes + l : l;
        w = kd_emit_shuffle(e, w, x[k], lanes, lane);
    }
    return w;
}

static LLVMValueRef number(KdEmit *e, uint32_t x) {
    return LLVMConstInt(e->i32, x, 0);
}

/* Lane l of each four is lane from[l] of it. */
static LLVMValueRef among_four(KdEmit *e, LLVMValueRef x, const int from[4]) {
    int lanes = kd_lanes_of(x), lane[MAX_LANES];
    for (int l = 0; l < lanes; l++) lane[l] = l / 4 * 4 + from[l % 4];
    return kd_emit_shuffle(e, x, LLVMGetPoison(LLVMTypeOf(x)), lanes, lane);
}

/* The words of blocks that four lanes each have together, in order. */
static LLVMValueRef draw_fours(KdEmit *e, LLVMValueRef element, LLVMValueRef index,
                               LLVMValueRef epoch, uint32_t stream) {
    int lanes = kd_lanes_of(element);
    static const int turned[] = { 3, 2, 1, 0 };
    LLVMTypeRef words = LLVMTypeOf(element), pairs = kd_vector_type(e->i64, lanes / 2);
    LLVMValueRef seed = kd_emit_member(e, e->frame, offsetof(KdrtFrame, seed), e->i64);
    LLVMValueRef upper_seed = LLVMBuildLShr(e->b, seed, kd_emit_i64(e, 32), "");
    LLVMValueRef none = number(e, 0);
    LLVMValueRef key = four(e, lanes, LLVMBuildTrunc(e->b, seed, e->i32, ""), none,
                            LLVMBuildTrunc(e->b, upper_seed, e->i32, ""), none);
    LLVMValueRef next = four(e, lanes, number(e, 0x9E3779B9u), none, number(e, 0xBB67AE85u), none);
    LLVMValueRef by = LLVMBuildBitCast(
        e->b, four(e, lanes, number(e, 0xD2511F53u), none, number(e, 0xCD9E8D57u), none), pairs,
        "");
    LLVMValueRef half = kd_emit_splat(e, LLVMConstInt(e->i64, 0xffffffffu, 0), lanes / 2);
    LLVMValueRef shift = kd_emit_splat(e, kd_emit_i64(e, 32), lanes / 2);
    LLVMValueRef quarter = LLVMBuildLShr(e->b, element, all(e, element, 2), "");
    LLVMValueRef counter[] = { quarter, index, epoch, all(e, element, stream) };
    LLVMValueRef w = blend(e, counter);
    for (int round = 0; round < 10; round++) {
        LLVMValueRef both = LLVMBuildBitCast(e->b, w, pairs, "");
        LLVMValueRef product = LLVMBuildMul(e->b, LLVMBuildAnd(e->b, both, half, ""), by, "");
        LLVMValueRef odd = LLVMBuildBitCast(e->b, LLVMBuildLShr(e->b, both, shift, ""), words, "");
        product = among_four(e, LLVMBuildBitCast(e->b, product, words, ""), turned);
        w = LLVMBuildXor(e->b, LLVMBuildXor(e->b, product, odd, ""), key, "");
        key = LLVMBuildAdd(e->b, key, next, "");
    }
    return w;
}

/* Is that bit of the element number set? */
static LLVMValueRef bit(KdEmit *e, LLVMValueRef element, uint32_t mask) {
    LLVMValueRef masked = LLVMBuildAnd(e->b, element, all(e, element, mask), "");
    return LLVMBuildICmp(e->b, LLVMIntNE, masked, all(e, element, 0), "");
}

/* (word >> 8) + plus, times 2^-24. */
static LLVMValueRef fraction(KdEmit *e, LLVMValueRef word, uint32_t plus) {
    LLVMTypeRef type = kd_vector_type(e->f32, kd_lanes_of(word));
    LLVMValueRef x = LLVMBuildLShr(e->b, word, all(e, word, 8), "");
    x = plus ? LLVMBuildAdd(e->b, x, all(e, word, plus), "") : x;
    LLVMValueRef scale = kd_emit_splat(e, kd_emit_f32(e, 0x1p-24), kd_lanes_of(word));
    return LLVMBuildFMul(e->b, LLVMBuildSIToFP(e->b, x, type, ""), scale, "");
}

/* Of a block of its own in each lane: the element's word. */
static LLVMValueRef word_of(KdEmit *e, const Words *c, LLVMValueRef element) {
    LLVMValueRef odd = bit(e, element, 1);
    LLVMValueRef first = LLVMBuildSelect(e->b, odd, c->w[1], c->w[0], "");
    LLVMValueRef second = LLVMBuildSelect(e->b, odd, c->w[3], c->w[2], "");
    return LLVMBuildSelect(e->b, bit(e, element, 2), second, first, "");
}

LLVMValueRef kd_emit_uniform(KdEmit *e, LLVMValueRef element, LLVMValueRef index,
                             LLVMValueRef epoch, uint32_t stream, bool fours) {
    if (fours) return fraction(e, draw_fours(e, element, index, epoch, stream), 0);
    Words c = draw(e, element, index, epoch, stream);
    return fraction(e, word_of(e, &c, element), 0);
}

/* The words of the pair that the element is of. */
static void draw_pair(KdEmit *e, LLVMValueRef element, LLVMValueRef index, LLVMValueRef epoch,
                      uint32_t stream, bool fours, LLVMValueRef pair[2]) {
    static const int first[] = { 0, 0, 2, 2 }, second[] = { 1, 1, 3, 3 };
    if (fours) {
        LLVMValueRef words = draw_fours(e, element, index, epoch, stream);
        pair[0] = among_four(e, words, first);
        pair[1] = among_four(e, words, second);
        return;
    }
    Words c = draw(e, element, index, epoch, stream);
    LLVMValueRef upper = bit(e, element, 2);
    pair[0] = LLVMBuildSelect(e->b, upper, c.w[2], c.w[0], "");
    pair[1] = LLVMBuildSelect(e->b, upper, c.w[3], c.w[1], "");
}

/* Of a pair: r = sqrt(-2 ln u1); even elements r cos(2 pi u2), odd ones r sin(2 pi u2). */
LLVMValueRef kd_emit_normal(KdEmit *e, LLVMValueRef element, LLVMValueRef index, LLVMValueRef epoch,
                            uint32_t stream, bool fours) {
    LLVMValueRef pair[2];
    draw_pair(e, element, index, epoch, stream, fours, pair);
    LLVMValueRef u1 = fraction(e, pair[0], 1), u2 = fraction(e, pair[1], 0);
    LLVMValueRef minus2 = kd_emit_splat(e, kd_emit_f32(e, -2), kd_lanes_of(element));
    LLVMValueRef square = LLVMBuildFMul(e->b, minus2, kd_emit_log(e, u1), "");
    LLVMTypeRef type = LLVMTypeOf(square);
    LLVMValueRef radius = kd_emit_intrinsic(e, "llvm.sqrt", &type, 1, &square, 1);
    LLVMValueRef odd = LLVMBuildAnd(e->b, element, all(e, element, 1), "");
    LLVMValueRef quarter = LLVMBuildXor(e->b, odd, all(e, element, 1), ""); /* cosine: one on */
    return LLVMBuildFMul(e->b, radius, kd_emit_sine_of_turns(e, u2, quarter), "");
}
