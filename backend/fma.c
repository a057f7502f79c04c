/*
 * a b + c rounded once, on machines that have no such instruction: there LLVM would call a function
 * of libm for each lane. The bits are the instruction's.
 *
 * A sum rounded to odd (of the two numbers around it that with the odd last digit, if it is neither
 * of them) and then to a format with at least two digits less is rounded as if once. So the product
 * of two floats, which is a double, plus c in doubles to odd, becomes a float. Of doubles the
 * product is one of two numbers, high + low (Dekker 1971), and Boldo & Melquiond 2008 say how they
 * and c are added:  high + c  =  sum + rest,  the result sum + odd(rest + low).
 */
#include "backend/emit.h"
#include "backend/subtarget.h"

#include <string.h>

static LLVMValueRef plus(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(e->b, a, b, "");
}

static LLVMValueRef minus(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(e->b, a, b, "");
}

static LLVMValueRef times(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFMul(e->b, a, b, "");
}

/* Does the machine fuse? */
static bool fuses(KdEmit *e) {
    static const char *const x86[] = { "fma", "fma4", "avx512f" }, *const arm[] = { "vfp4" };
    enum { MOST = 3 };
    const char *triple = LLVMGetTarget(e->mod);
    bool is_x86 = strncmp(triple, "x86_64", 6) == 0, has[MOST] = { false };
    if (strncmp(triple, "wasm", 4) == 0) return false;
    if (!is_x86 && strncmp(triple, "arm", 3) != 0) return true;
    if (e->fuses == 0 &&
        kd_subtarget_has(e->target, is_x86 ? MOST : 1, is_x86 ? x86 : arm, has, e->diag))
        e->fuses = has[0] || has[1] || has[2] ? 1 : -1;
    return e->fuses == 1;
}

/* --- exact sums and products of doubles, or vectors of them ------------------------------------
 */

typedef struct Pair {
    LLVMValueRef high, low; /* high + low is exact, and high is that rounded */
} Pair;

static Pair exact_sum(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef sum = plus(e, a, b), second = minus(e, sum, a);
    LLVMValueRef first = minus(e, sum, second);
    return (Pair){ sum, plus(e, minus(e, a, first), minus(e, b, second)) };
}

static LLVMValueRef constant_like(KdEmit *e, LLVMValueRef x, double value) {
    LLVMTypeRef element = LLVMDoubleTypeInContext(e->cx);
    return kd_emit_splat(e, LLVMConstReal(element, value), kd_lanes_of(x));
}

/* Halves of 26 digits. */
static Pair split(KdEmit *e, LLVMValueRef x) {
    LLVMValueRef large = times(e, x, constant_like(e, x, 0x1p27 + 1));
    LLVMValueRef high = minus(e, large, minus(e, large, x));
    return (Pair){ high, minus(e, x, high) };
}

static Pair exact_product(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    Pair x = split(e, a), y = split(e, b);
    LLVMValueRef product = times(e, a, b), rest = minus(e, times(e, x.high, y.high), product);
    rest = plus(e, plus(e, rest, times(e, x.high, y.low)), times(e, x.low, y.high));
    return (Pair){ product, plus(e, rest, times(e, x.low, y.low)) };
}

/* a + b, rounded to odd. */
static LLVMValueRef odd_sum(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    int lanes = kd_lanes_of(a);
    LLVMTypeRef type = LLVMTypeOf(a), whole = kd_vector_type(e->i64, lanes);
    LLVMValueRef one = kd_emit_splat(e, kd_emit_i64(e, 1), lanes), zero = LLVMConstNull(whole);
    Pair sum = exact_sum(e, a, b);
    LLVMValueRef bits = LLVMBuildBitCast(e->b, sum.high, whole, "");
    LLVMValueRef rest = LLVMBuildBitCast(e->b, sum.low, whole, "");
    LLVMValueRef even = LLVMBuildICmp(e->b, LLVMIntEQ, LLVMBuildAnd(e->b, bits, one, ""), zero, "");
    LLVMValueRef off = LLVMBuildFCmp(e->b, LLVMRealONE, sum.low, LLVMConstNull(type), "");
    LLVMValueRef signs = LLVMBuildXor(e->b, bits, rest, "");
    LLVMValueRef larger = LLVMBuildICmp(e->b, LLVMIntSGE, signs, zero, "");
    LLVMValueRef step = LLVMBuildSelect(e->b, larger, one, LLVMConstAllOnes(whole), "");
    step = LLVMBuildSelect(e->b, LLVMBuildAnd(e->b, off, even, ""), step, zero, "");
    return LLVMBuildBitCast(e->b, LLVMBuildAdd(e->b, bits, step, ""), type, "");
}

/* --- the function ------------------------------------------------------------------------------
 */

static LLVMValueRef of_floats(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMTypeRef wide = kd_vector_type(LLVMDoubleTypeInContext(e->cx), kd_lanes_of(a));
    LLVMValueRef product =
        times(e, LLVMBuildFPExt(e->b, a, wide, ""), LLVMBuildFPExt(e->b, b, wide, ""));
    LLVMValueRef sum = odd_sum(e, product, LLVMBuildFPExt(e->b, c, wide, ""));
    return LLVMBuildFPTrunc(e->b, sum, LLVMTypeOf(a), "");
}

static LLVMValueRef of_doubles(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    Pair product = exact_product(e, a, b), low = exact_sum(e, c, product.low);
    Pair high = exact_sum(e, product.high, low.high);
    return plus(e, high.high, odd_sum(e, low.low, high.low));
}

LLVMValueRef kd_emit_fma(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMTypeRef type = LLVMTypeOf(a), element = type;
    if (fuses(e)) return kd_emit_intrinsic(e, "llvm.fma", &type, 1, (LLVMValueRef[]){ a, b, c }, 3);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) element = LLVMGetElementType(type);
    return element == e->f32 ? of_floats(e, a, b, c) : of_doubles(e, a, b, c);
}
