/*
 * The step of an integer contraction: four products of a byte with a signed one, summed to 32 bits,
 * by what the machine has (KdTarget.dot). Every way gives the same numbers.
 *
 *   vpdpbusd, usdot   all of it in one instruction
 *   sdot              both bytes signed:  u s = (u - 128) s + 64 s + 64 s
 *   pmaddwd           two products of 16 bits: of the even bytes, and of the odd ones
 *   plain             four products of 32 bits
 */
#include "backend/dot.h"

#include <string.h>

static LLVMValueRef constant(KdEmit *e, LLVMValueRef like, int64_t x) {
    return kd_emit_splat(e, kd_emit_i32(e, x), kd_lanes_of(like));
}

/* An intrinsic that is not overloaded, whatever vectors it takes the bits in. */
static LLVMValueRef call(KdEmit *e, const char *name, int nargs, LLVMValueRef *args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) kd_bug(e->diag, "LLVM has no intrinsic %s", name);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->mod, id, NULL, 0);
    LLVMTypeRef type = LLVMGlobalGetValueType(fn), params[3];
    LLVMGetParamTypes(type, params);
    for (int k = 0; k < nargs; k++) args[k] = LLVMBuildBitCast(e->b, args[k], params[k], "");
    return LLVMBuildCall2(e->b, type, fn, args, (unsigned)nargs, "");
}

static LLVMValueRef by_vnni(KdEmit *e, LLVMValueRef u, LLVMValueRef s, LLVMValueRef acc) {
    LLVMValueRef args[] = { acc, u, s };
    const char *name = kd_arena_format(e->arena, "llvm.x86.avx512.vpdpbusd.%d", 32 * e->lanes);
    return call(e, name, 3, args);
}

static LLVMValueRef add_pairs(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc) {
    const char *name = e->lanes == 16  ? "llvm.x86.avx512.pmaddw.d.512"
                       : e->lanes == 8 ? "llvm.x86.avx2.pmadd.wd"
                                       : "llvm.x86.sse2.pmadd.wd";
    LLVMValueRef args[] = { a, b };
    return LLVMBuildAdd(e->b, acc, call(e, name, 2, args), "");
}

static LLVMValueRef by_pairs(KdEmit *e, LLVMValueRef u, LLVMValueRef s, LLVMValueRef acc) {
    LLVMTypeRef half = LLVMInt16TypeInContext(e->cx),
                pairs = LLVMVectorType(half, 2 * (unsigned)e->lanes);
    LLVMValueRef low = constant(e, u, 0x00ff00ff), eight = constant(e, u, 0x00080008);
    eight = LLVMBuildBitCast(e->b, eight, pairs, "");
    LLVMValueRef even = LLVMBuildAnd(e->b, u, low, "");
    LLVMValueRef odd = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, u, constant(e, u, 8), ""), low, "");
    LLVMValueRef s16 = LLVMBuildBitCast(e->b, s, pairs, "");
    LLVMValueRef s_odd = LLVMBuildAShr(e->b, s16, eight, "");
    LLVMValueRef s_even = LLVMBuildAShr(e->b, LLVMBuildShl(e->b, s16, eight, ""), eight, "");
    return add_pairs(e, odd, s_odd, add_pairs(e, even, s_even, acc));
}

static LLVMValueRef neon(KdEmit *e, const char *name, LLVMValueRef acc, LLVMValueRef a,
                         LLVMValueRef b) {
    LLVMTypeRef types[] = { LLVMTypeOf(acc), LLVMVectorType(e->i8, 4 * (unsigned)e->lanes) };
    LLVMValueRef args[] = { acc, LLVMBuildBitCast(e->b, a, types[1], ""),
                            LLVMBuildBitCast(e->b, b, types[1], "") };
    return kd_emit_intrinsic(e, name, types, 2, args, 3);
}

static LLVMValueRef by_sdot(KdEmit *e, LLVMValueRef u, LLVMValueRef s, LLVMValueRef acc) {
    LLVMValueRef sixty_four = constant(e, u, 0x40404040);
    LLVMValueRef centred = LLVMBuildXor(e->b, u, constant(e, u, 0x80808080), "");
    acc = neon(e, "llvm.aarch64.neon.sdot", acc, centred, s);
    acc = neon(e, "llvm.aarch64.neon.sdot", acc, sixty_four, s);
    return neon(e, "llvm.aarch64.neon.sdot", acc, sixty_four, s);
}

static LLVMValueRef by_words(KdEmit *e, LLVMValueRef u, LLVMValueRef s, LLVMValueRef acc) {
    LLVMValueRef byte = constant(e, u, 24);
    for (int k = 0; k < 4; k++) {
        LLVMValueRef up = constant(e, u, 24 - 8 * k);
        LLVMValueRef x = LLVMBuildLShr(e->b, LLVMBuildShl(e->b, u, up, ""), byte, "");
        LLVMValueRef y = LLVMBuildAShr(e->b, LLVMBuildShl(e->b, s, up, ""), byte, "");
        acc = LLVMBuildAdd(e->b, acc, LLVMBuildMul(e->b, x, y, ""), "");
    }
    return acc;
}

LLVMValueRef kd_emit_dot(KdEmit *e, LLVMValueRef u, LLVMValueRef s, LLVMValueRef acc) {
    switch (e->target->dot) {
    case KD_DOT_PLAIN: break;
    case KD_DOT_PAIRS: return by_pairs(e, u, s, acc);
    case KD_DOT_VNNI: return by_vnni(e, u, s, acc);
    case KD_DOT_SDOT: return by_sdot(e, u, s, acc);
    case KD_DOT_USDOT: return neon(e, "llvm.aarch64.neon.usdot", acc, u, s);
    }
    return by_words(e, u, s, acc);
}
