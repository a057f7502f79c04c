/*
 * Elementary functions as polynomials on floats or vectors of them. LLVM turns llvm.exp of a vector
 * into scalar calls, so these are spelled out: range reduction, a polynomial by Horner's rule in
 * explicit fma, reconstruction. Machines that cannot fuse or round need no call for them either.
 * Special values (0, infinities, nan) come out as libm's.
 *
 *              largest error (tests/unit/jit_math.c)  for
 *   exp        2 ulp                                  all x (0 below -103.97, inf above 88.72)
 *   log        2 ulp                                  all x > 0, denormals included
 *   tanh       4 ulp                                  all x
 *   sin, cos   2 ulp, or 1e-7 absolute near zeros     all x (nan for infinities)
 *   pow        1 ulp                                  a >= 0; nan for a < 0
 */
#include "backend/emit.h"

#include <math.h>

/* Constant of x's type. */
static LLVMValueRef number(KdEmit *e, LLVMValueRef x, double value) {
    LLVMTypeRef t = LLVMTypeOf(x);
    bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;
    LLVMTypeRef element = vector ? LLVMGetElementType(t) : t;
    return kd_emit_splat(e, LLVMConstReal(element, value), kd_lanes_of(x));
}

static LLVMValueRef integer(KdEmit *e, LLVMValueRef x, LLVMTypeRef type, int64_t value) {
    return kd_emit_splat(e, LLVMConstInt(type, (unsigned long long)value, 1), kd_lanes_of(x));
}

/* To the next whole number, ties to even; |x| < 2^22 for floats, 2^51 for doubles. */
static LLVMValueRef rounded(KdEmit *e, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    if (LLVMGetTypeKind(t) == LLVMVectorTypeKind) t = LLVMGetElementType(t);
    LLVMValueRef large = number(e, x, t == e->f32 ? 0x1.8p23 : 0x1.8p52);
    return LLVMBuildFSub(e->b, LLVMBuildFAdd(e->b, x, large, ""), large, "");
}

/* A whole number of less than half a mantissa: added to 1.5 of the magnitude whose last bit is
 * one, it stands in the low bits. (LLVM converts vectors lane by lane where nan must be defined;
 * here it gives some number.) `type`: e->i32 for floats, e->i64 for doubles. */
static LLVMValueRef to_int(KdEmit *e, LLVMValueRef x, LLVMTypeRef type) {
    bool wide = type == e->i64;
    LLVMValueRef large = LLVMBuildFAdd(e->b, x, number(e, x, wide ? 0x1.8p52 : 0x1.8p23), "");
    LLVMValueRef bits = LLVMBuildBitCast(e->b, large, kd_vector_type(type, kd_lanes_of(x)), "");
    return LLVMBuildSub(e->b, bits, integer(e, x, type, wide ? 0x4338000000000000 : 0x4b400000),
                        "");
}

/* c[0] x^(n-1) + … + c[n-1] */
static LLVMValueRef polynomial(KdEmit *e, LLVMValueRef x, int n, const double *c) {
    LLVMValueRef sum = number(e, x, c[0]);
    for (int k = 1; k < n; k++) {
        sum = kd_emit_multiply_add(e, sum, x, number(e, x, c[k]));
    }
    return sum;
}

static LLVMValueRef compare(KdEmit *e, LLVMRealPredicate p, LLVMValueRef x, double value) {
    return LLVMBuildFCmp(e->b, p, x, number(e, x, value), "");
}

static LLVMValueRef choose(KdEmit *e, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(e->b, c, x, y, "");
}

/* From the next whole number, which is right or one too large; beyond 2^23 floats have no fraction.
 */
LLVMValueRef kd_emit_floor(KdEmit *e, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef size = kd_emit_intrinsic(e, "llvm.fabs", &type, 1, &x, 1);
    LLVMValueRef large = number(e, x, 0x1p23);
    LLVMValueRef n = LLVMBuildFSub(e->b, LLVMBuildFAdd(e->b, size, large, ""), large, "");
    LLVMValueRef args[] = { n, x };
    n = kd_emit_intrinsic(e, "llvm.copysign", &type, 1, args, 2);
    LLVMValueRef above = LLVMBuildFCmp(e->b, LLVMRealOGT, n, x, "");
    n = choose(e, above, LLVMBuildFSub(e->b, n, number(e, x, 1), ""), n);
    return choose(e, compare(e, LLVMRealOLT, size, 0x1p23), n, x);
}

/* 2^n as a float, for -126 <= n <= 127. */
static LLVMValueRef power_of_two(KdEmit *e, LLVMValueRef n, LLVMTypeRef like) {
    LLVMValueRef bias = integer(e, n, e->i32, 127), shift = integer(e, n, e->i32, 23);
    LLVMValueRef bits = LLVMBuildShl(e->b, LLVMBuildAdd(e->b, n, bias, ""), shift, "");
    return LLVMBuildBitCast(e->b, bits, like, "");
}

/* x = n ln 2 + r, |r| <= ln 2 / 2; e^x = 2^n e^r. 2^n in two factors, so that results may be
 * denormal. */
LLVMValueRef kd_emit_exp(KdEmit *e, LLVMValueRef x) {
    static const double c[] = { 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
                                4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1 };
    x = choose(e, compare(e, LLVMRealOGT, x, 89.5), number(e, x, 89.5), x);
    x = choose(e, compare(e, LLVMRealOLT, x, -105), number(e, x, -105), x);
    LLVMValueRef turns = LLVMBuildFMul(e->b, x, number(e, x, 1.44269504088896341), "");
    LLVMValueRef n = rounded(e, turns);
    LLVMValueRef r = kd_emit_multiply_add(e, n, number(e, x, -0.693359375), x);
    r = kd_emit_multiply_add(e, n, number(e, x, 2.12194440e-4), r);
    LLVMValueRef square = LLVMBuildFMul(e->b, r, r, "");
    LLVMValueRef y = kd_emit_multiply_add(e, polynomial(e, r, 6, c), square, r);
    y = LLVMBuildFAdd(e->b, y, number(e, x, 1), "");
    LLVMValueRef k = to_int(e, n, e->i32);
    LLVMValueRef half = LLVMBuildAShr(e->b, k, integer(e, x, e->i32, 1), "");
    LLVMValueRef other = LLVMBuildSub(e->b, k, half, "");
    y = LLVMBuildFMul(e->b, y, power_of_two(e, half, LLVMTypeOf(x)), "");
    return LLVMBuildFMul(e->b, y, power_of_two(e, other, LLVMTypeOf(x)), "");
}

/* x = 2^n m with sqrt(1/2) <= m < sqrt(2); log x = n ln 2 + log(1 + (m - 1)). */
LLVMValueRef kd_emit_log(KdEmit *e, LLVMValueRef x) {
    static const double c[] = { 7.0376836292e-2,  -1.1514610310e-1, 1.1676998740e-1,
                                -1.2420140846e-1, 1.4249322787e-1,  -1.6668057665e-1,
                                2.0000714765e-1,  -2.4999993993e-1, 3.3333331174e-1 };
    LLVMTypeRef type = LLVMTypeOf(x), ints = kd_vector_type(e->i32, kd_lanes_of(x));
    LLVMValueRef tiny = compare(e, LLVMRealOLT, x, 0x1p-126);
    LLVMValueRef scaled = LLVMBuildFMul(e->b, x, number(e, x, 0x1p23), "");
    LLVMValueRef normal = choose(e, tiny, scaled, x);
    LLVMValueRef bits = LLVMBuildBitCast(e->b, normal, ints, "");
    /* Counted from the bits of sqrt(1/2), the exponent field is n + 1 below it and m's range is
     * right. */
    LLVMValueRef from = LLVMBuildSub(e->b, bits, integer(e, x, e->i32, 0x3f3504f3), "");
    LLVMValueRef n = LLVMBuildAShr(e->b, from, integer(e, x, e->i32, 23), "");
    LLVMValueRef exponent = LLVMBuildShl(e->b, n, integer(e, x, e->i32, 23), "");
    LLVMValueRef m = LLVMBuildBitCast(e->b, LLVMBuildSub(e->b, bits, exponent, ""), type, "");
    LLVMValueRef shift = choose(e, tiny, number(e, x, -23), number(e, x, 0));
    LLVMValueRef power = LLVMBuildFAdd(e->b, LLVMBuildSIToFP(e->b, n, type, ""), shift, "");
    LLVMValueRef f = LLVMBuildFSub(e->b, m, number(e, x, 1), "");
    LLVMValueRef square = LLVMBuildFMul(e->b, f, f, "");
    LLVMValueRef y = LLVMBuildFMul(e->b, polynomial(e, f, 9, c), f, "");
    y = LLVMBuildFMul(e->b, y, square, "");
    y = kd_emit_fma(e, power, number(e, x, -2.12194440e-4), y);
    y = kd_emit_fma(e, square, number(e, x, -0.5), y);
    y = LLVMBuildFAdd(e->b, f, y, "");
    y = kd_emit_fma(e, power, number(e, x, 0.693359375), y);
    LLVMValueRef fine = compare(e, LLVMRealOGT, x, 0);
    LLVMValueRef other = choose(e, compare(e, LLVMRealOEQ, x, 0), number(e, x, -INFINITY),
                                number(e, x, (double)NAN));
    y = choose(e, compare(e, LLVMRealOEQ, x, INFINITY), x, y);
    return choose(e, fine, y, other);
}

/* Below 0.625 an odd polynomial; above 1 - 2 / (e^2|x| + 1). */
LLVMValueRef kd_emit_tanh(KdEmit *e, LLVMValueRef x) {
    static const double c[] = { -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2,
                                1.33314422036e-1, -3.33332819422e-1 };
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef size = kd_emit_intrinsic(e, "llvm.fabs", &type, 1, &x, 1);
    LLVMValueRef square = LLVMBuildFMul(e->b, x, x, "");
    LLVMValueRef cube = LLVMBuildFMul(e->b, square, x, "");
    LLVMValueRef small = kd_emit_multiply_add(e, polynomial(e, square, 5, c), cube, x);
    LLVMValueRef grown = kd_emit_exp(e, LLVMBuildFAdd(e->b, size, size, ""));
    grown = LLVMBuildFAdd(e->b, grown, number(e, x, 1), "");
    LLVMValueRef large = LLVMBuildFDiv(e->b, number(e, x, -2), grown, "");
    large = LLVMBuildFAdd(e->b, large, number(e, x, 1), "");
    LLVMValueRef args[] = { large, x };
    large = kd_emit_intrinsic(e, "llvm.copysign", &type, 1, args, 2);
    return choose(e, compare(e, LLVMRealOLT, size, 0.625), small, large);
}

/* sin and cos of r, |r| <= pi/4, turned by `quadrant` quarter turns: the sine, or the cosine. */
static LLVMValueRef turned(KdEmit *e, LLVMValueRef r, LLVMValueRef quadrant) {
    static const double s[] = { -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1 };
    static const double c[] = { 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2 };
    LLVMValueRef square = LLVMBuildFMul(e->b, r, r, "");
    LLVMValueRef cube = LLVMBuildFMul(e->b, square, r, "");
    LLVMValueRef sine = kd_emit_fma(e, polynomial(e, square, 3, s), cube, r);
    LLVMValueRef fourth = LLVMBuildFMul(e->b, square, square, "");
    LLVMValueRef cosine = kd_emit_fma(e, square, number(e, r, -0.5), number(e, r, 1));
    cosine = kd_emit_fma(e, polynomial(e, square, 3, c), fourth, cosine);
    LLVMValueRef zero = integer(e, r, e->i32, 0);
    LLVMValueRef odd = LLVMBuildAnd(e->b, quadrant, integer(e, r, e->i32, 1), "");
    odd = LLVMBuildICmp(e->b, LLVMIntNE, odd, zero, "");
    LLVMValueRef back = LLVMBuildAnd(e->b, quadrant, integer(e, r, e->i32, 2), "");
    back = LLVMBuildICmp(e->b, LLVMIntNE, back, zero, "");
    LLVMValueRef y = choose(e, odd, cosine, sine);
    return choose(e, back, LLVMBuildFNeg(e->b, y, ""), y);
}

/* |x| <= FAR: x = n pi/2 + r, pi/2 in three parts so that the products with n are exact enough. */
static LLVMValueRef near_sine(KdEmit *e, LLVMValueRef x, int quarter_turns) {
    LLVMValueRef n = rounded(e, LLVMBuildFMul(e->b, x, number(e, x, 0.636619772367581343), ""));
    LLVMValueRef r = kd_emit_fma(e, n, number(e, x, -0x1.921fb6p+0), x);
    r = kd_emit_fma(e, n, number(e, x, 0x1.777a5cp-25), r);
    r = kd_emit_fma(e, n, number(e, x, 0x1.ee59dap-50), r);
    LLVMValueRef k = to_int(e, n, e->i32);
    k = LLVMBuildAdd(e->b, k, integer(e, x, e->i32, quarter_turns), "");
    return turned(e, r, k);
}

#define FAR 8192.0

/* Word k: bits 8k - 16 to 8k + 15 behind the point of 2/pi. */
static const uint32_t two_over_pi[] = {
    0x0000517c, 0x00517cc1, 0x517cc1b7, 0x7cc1b727, 0xc1b72722, 0xb727220a, 0x27220a94, 0x220a94fe,
    0x0a94fe13, 0x94fe13ab, 0xfe13abe8, 0x13abe8fa, 0xabe8fa9a, 0xe8fa9a6e, 0xfa9a6ee0, 0x9a6ee06d,
    0x6ee06db1, 0xe06db14a, 0x6db14acc, 0xb14acc9e, 0x4acc9e21, 0xcc9e21c8, 0x9e21c820, 0x21c820ff,
};

static LLVMValueRef two_over_pi_table(KdEmit *e) {
    enum { N = sizeof two_over_pi / sizeof *two_over_pi };
    LLVMValueRef known = LLVMGetNamedGlobal(e->mod, "two_over_pi"), word[N];
    if (known) return known;
    for (int k = 0; k < N; k++) word[k] = LLVMConstInt(e->i32, two_over_pi[k], 0);
    return kd_emit_table(e, "two_over_pi", word, N);
}

/* The table's words number `at`, i32 each, as i64. */
static LLVMValueRef words(KdEmit *e, LLVMValueRef at) {
    int lanes = kd_lanes_of(at);
    LLVMValueRef index = LLVMBuildZExt(e->b, at, kd_vector_type(e->i64, lanes), "");
    LLVMValueRef p = LLVMBuildGEP2(e->b, e->i32, two_over_pi_table(e), &index, 1, "");
    LLVMValueRef w =
        lanes > 1 ? kd_emit_gather(e, e->i32, p, NULL) : kd_emit_load(e, e->i32, 1, p, NULL);
    return LLVMBuildZExt(e->b, w, kd_vector_type(e->i64, lanes), "");
}

/* The integer as a float, from three parts that are exact: machines of 32 bits would call libgcc.
 */
static LLVMValueRef wide_to_float(KdEmit *e, LLVMValueRef x, LLVMTypeRef type) {
    LLVMTypeRef narrow = kd_vector_type(e->i32, kd_lanes_of(x));
    static const int from[] = { 0, 16, 40 }, mask[] = { 0xffff, 0xffffff };
    LLVMValueRef sum = LLVMConstNull(type);
    for (int k = 0; k < 3; k++) {
        LLVMValueRef part = LLVMBuildAShr(e->b, x, integer(e, x, e->i64, from[k]), "");
        part = LLVMBuildTrunc(e->b, part, narrow, "");
        if (k < 2) part = LLVMBuildAnd(e->b, part, integer(e, x, e->i32, mask[k]), "");
        part = LLVMBuildSIToFP(e->b, part, type, "");
        sum = kd_emit_multiply_add(e, part, number(e, sum, ldexp(1, from[k])), sum);
    }
    return sum;
}

/* FAR < |x|, finite (Payne, Hanek 1983): |x| 2/pi = m 2^q 2/pi, m of 24 bits. The bits of 2/pi
 * before number q - 1 make multiples of 4, those behind the next 96 less than 2^-70; of m times
 * these 96 the upper 64 bits are the value modulo 4, times 2^62. */
static LLVMValueRef far_sine(KdEmit *e, LLVMValueRef x, int quarter_turns) {
    int lanes = kd_lanes_of(x);
    LLVMTypeRef narrow = kd_vector_type(e->i32, lanes), wide = kd_vector_type(e->i64, lanes);
    LLVMValueRef bits = LLVMBuildBitCast(e->b, x, narrow, ""), zero = LLVMConstNull(narrow);
    LLVMValueRef place = LLVMBuildLShr(e->b, bits, integer(e, x, e->i32, 23), "");
    place = LLVMBuildAnd(e->b, place, integer(e, x, e->i32, 255), "");
    place = LLVMBuildSub(e->b, place, integer(e, x, e->i32, 135), "");
    place = choose(e, LLVMBuildICmp(e->b, LLVMIntSLT, place, zero, ""), zero, place);
    LLVMValueRef at = LLVMBuildLShr(e->b, place, integer(e, x, e->i32, 3), "");
    LLVMValueRef m = LLVMBuildAnd(e->b, bits, integer(e, x, e->i32, 0x7fffff), "");
    m = LLVMBuildOr(e->b, m, integer(e, x, e->i32, 0x800000), "");
    place = LLVMBuildAnd(e->b, place, integer(e, x, e->i32, 7), "");
    m = LLVMBuildZExt(e->b, LLVMBuildShl(e->b, m, place, ""), wide, "");

    LLVMValueRef product = LLVMConstNull(wide); /* modulo 2^64 */
    for (int k = 0; k < 3; k++) {
        LLVMValueRef w =
            words(e, LLVMBuildAdd(e->b, at, integer(e, x, e->i32, INT64_C(4) * k), ""));
        LLVMValueRef part = LLVMBuildMul(e->b, m, w, "");
        if (k == 0) part = LLVMBuildShl(e->b, part, integer(e, x, e->i64, 32), "");
        if (k == 2) part = LLVMBuildLShr(e->b, part, integer(e, x, e->i64, 32), "");
        product = LLVMBuildAdd(e->b, product, part, "");
    }
    LLVMValueRef negative = LLVMBuildICmp(e->b, LLVMIntSLT, bits, zero, "");
    product = choose(e, negative, LLVMBuildNeg(e->b, product, ""), product);
    LLVMValueRef n = LLVMBuildAdd(e->b, product, integer(e, x, e->i64, (int64_t)1 << 61), "");
    n = LLVMBuildLShr(e->b, n, integer(e, x, e->i64, 62), "");
    LLVMValueRef whole = LLVMBuildShl(e->b, n, integer(e, x, e->i64, 62), "");
    LLVMValueRef r = LLVMBuildSub(e->b, product, whole, "");
    r = wide_to_float(e, r, LLVMTypeOf(x));
    r = LLVMBuildFMul(e->b, r, number(e, x, 0x1.921fb6p-62), "");
    n = LLVMBuildTrunc(e->b, n, narrow, "");
    return turned(e, r, LLVMBuildAdd(e->b, n, integer(e, x, e->i32, quarter_turns), ""));
}

/* Hardly any x is far: code for those is gone through only where there are some. */
static LLVMValueRef sine_of(KdEmit *e, LLVMValueRef x, int quarter_turns) {
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef size = kd_emit_intrinsic(e, "llvm.fabs", &type, 1, &x, 1);
    LLVMValueRef is_far = LLVMBuildAnd(e->b, compare(e, LLVMRealOGT, size, FAR),
                                       compare(e, LLVMRealOLT, size, INFINITY), "");
    LLVMValueRef near = near_sine(e, x, quarter_turns), any = is_far;
    LLVMTypeRef mask = LLVMTypeOf(is_far);
    if (kd_lanes_of(x) > 1)
        any = kd_emit_intrinsic(e, "llvm.vector.reduce.or", &mask, 1, &is_far, 1);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef some = LLVMAppendBasicBlockInContext(e->cx, e->fn, "far");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->cx, e->fn, "sine");
    LLVMBuildCondBr(e->b, any, some, after);
    LLVMPositionBuilderAtEnd(e->b, some);
    LLVMValueRef both = choose(e, is_far, far_sine(e, x, quarter_turns), near);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
    LLVMValueRef y = LLVMBuildPhi(e->b, type, "");
    LLVMAddIncoming(y, &near, &before, 1);
    LLVMAddIncoming(y, &both, &some, 1);
    return y;
}

LLVMValueRef kd_emit_sin(KdEmit *e, LLVMValueRef x) {
    return sine_of(e, x, 0);
}

LLVMValueRef kd_emit_cos(KdEmit *e, LLVMValueRef x) {
    return sine_of(e, x, 1);
}

LLVMValueRef kd_emit_sine_of_turns(KdEmit *e, LLVMValueRef turns, LLVMValueRef quarter_turns) {
    LLVMValueRef quarters = LLVMBuildFMul(e->b, turns, number(e, turns, 4), "");
    LLVMValueRef n = rounded(e, quarters);
    LLVMValueRef rest = LLVMBuildFSub(e->b, quarters, n, "");
    LLVMValueRef r = LLVMBuildFMul(e->b, rest, number(e, turns, 1.57079632679489662), "");
    return turned(e, r, LLVMBuildAdd(e->b, to_int(e, n, e->i32), quarter_turns, ""));
}

/* ln a of a double a > 0: 2 (s + s^3/3 + …), s = (m - 1) / (m + 1), |s| <= 0.172. */
static LLVMValueRef log_of_double(KdEmit *e, LLVMValueRef a) {
    static const double c[] = {
        2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3, 2
    };
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef bits = LLVMBuildBitCast(e->b, a, kd_vector_type(e->i64, kd_lanes_of(a)), "");
    LLVMValueRef from = LLVMBuildSub(e->b, bits, integer(e, a, e->i64, 0x3fe6a09e667f3bcd), "");
    LLVMValueRef n = LLVMBuildAShr(e->b, from, integer(e, a, e->i64, 52), "");
    LLVMValueRef exponent = LLVMBuildShl(e->b, n, integer(e, a, e->i64, 52), "");
    LLVMValueRef m = LLVMBuildBitCast(e->b, LLVMBuildSub(e->b, bits, exponent, ""), type, "");
    LLVMValueRef below = LLVMBuildFSub(e->b, m, number(e, a, 1), "");
    LLVMValueRef s = LLVMBuildFDiv(e->b, below, LLVMBuildFAdd(e->b, m, number(e, a, 1), ""), "");
    LLVMValueRef square = LLVMBuildFMul(e->b, s, s, "");
    LLVMValueRef y = LLVMBuildFMul(e->b, polynomial(e, square, 8, c), s, "");
    n = LLVMBuildTrunc(e->b, n, kd_vector_type(e->i32, kd_lanes_of(a)), ""); /* few convert i64 */
    LLVMValueRef power = LLVMBuildSIToFP(e->b, n, type, "");
    return kd_emit_fma(e, power, number(e, a, 0.693147180559945309417), y);
}

/* e^y of a double, |y| <= 800. */
static LLVMValueRef exp_of_double(KdEmit *e, LLVMValueRef y) {
    static const double c[] = {
        1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
        1.0 / 24,      1.0 / 6,      0.5,         1,          1
    };
    LLVMValueRef n = rounded(e, LLVMBuildFMul(e->b, y, number(e, y, 1.44269504088896341), ""));
    LLVMValueRef r = kd_emit_fma(e, n, number(e, y, -0.693147180559945309417), y);
    LLVMValueRef sum = polynomial(e, r, 11, c);
    LLVMValueRef k = to_int(e, n, e->i64);
    k = LLVMBuildAdd(e->b, k, integer(e, y, e->i64, 1023), "");
    k = LLVMBuildShl(e->b, k, integer(e, y, e->i64, 52), "");
    return LLVMBuildFMul(e->b, sum, LLVMBuildBitCast(e->b, k, LLVMTypeOf(y), ""), "");
}

/* e^(b ln a) in doubles, rounded once: in floats the error of ln a would grow by b ln a. */
LLVMValueRef kd_emit_pow(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef wide = kd_vector_type(LLVMDoubleTypeInContext(e->cx), kd_lanes_of(a));
    LLVMTypeRef narrow = LLVMTypeOf(a);
    LLVMValueRef log_a = log_of_double(e, LLVMBuildFPExt(e->b, a, wide, ""));
    LLVMValueRef y = LLVMBuildFMul(e->b, LLVMBuildFPExt(e->b, b, wide, ""), log_a, "");
    y = choose(e, compare(e, LLVMRealOGT, y, 200), number(e, y, 200), y);
    y = choose(e, compare(e, LLVMRealOLT, y, -200), number(e, y, -200), y);
    LLVMValueRef out = LLVMBuildFPTrunc(e->b, exp_of_double(e, y), narrow, "");
    LLVMValueRef up = compare(e, LLVMRealOGT, b, 0), nan = number(e, a, (double)NAN);
    LLVMValueRef zero = number(e, a, 0), infinite = number(e, a, INFINITY);
    LLVMValueRef of_zero = choose(e, up, zero, infinite);
    LLVMValueRef of_infinity = choose(e, up, infinite, zero);
    out = choose(e, compare(e, LLVMRealOEQ, a, 0), of_zero, out);
    out = choose(e, compare(e, LLVMRealOEQ, a, INFINITY), of_infinity, out);
    out = choose(e, compare(e, LLVMRealULT, a, 0), nan, out);
    out = choose(e, compare(e, LLVMRealUNO, b, 0), nan, out);
    /* a^0 and 1^b are 1, whatever the other one is */
    out = choose(e, compare(e, LLVMRealOEQ, b, 0), number(e, a, 1), out);
    return choose(e, compare(e, LLVMRealOEQ, a, 1), number(e, a, 1), out);
}
