/*
 * Words about the lanes of a vector: which are active, and reductions across them in a fixed tree.
 */
#include "backend/eval.h"

LLVMValueRef kd_emit_mask(KdEmit *e, const KdPoint *at) {
    if (!at->dead) {
        return at->mask;
    }
    LLVMValueRef *alive = KD_NEW_ARRAY(e->arena, LLVMValueRef, at->lanes);
    for (int l = 0; l < at->lanes; l++) {
        alive[l] = LLVMConstInt(e->i1, !at->dead[l], 0);
    }
    LLVMValueRef constant = LLVMConstVector(alive, (unsigned)at->lanes);
    return at->mask ? LLVMBuildAnd(e->b, at->mask, constant, "") : constant;
}

LLVMValueRef kd_emit_active(KdEmit *e, const KdPoint *at, LLVMValueRef value, LLVMValueRef other) {
    LLVMValueRef mask = kd_emit_mask(e, at);
    return mask ? LLVMBuildSelect(e->b, mask, value, other, "") : value;
}

LLVMValueRef kd_emit_greater(KdEmit *e, const KdInstr *i, LLVMValueRef a, LLVMValueRef b) {
    if (i->args[0]->type.dtype == KD_F32) return LLVMBuildFCmp(e->b, LLVMRealOGT, a, b, "");
    return LLVMBuildICmp(e->b, LLVMIntSGT, a, b, "");
}

/* Halves on halves: (0 8) (1 9) …, then (0 4) …, until one is left. */
LLVMValueRef kd_emit_across(KdEmit *e, const KdInstr *i, LLVMValueRef x) {
    for (int width = kd_lanes_of(x); width > 1; width /= 2) {
        int half = width / 2;
        int *low = KD_NEW_ARRAY(e->arena, int, half), *high = KD_NEW_ARRAY(e->arena, int, half);
        for (int l = 0; l < half; l++) {
            low[l] = l;
            high[l] = half + l;
        }
        LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(x));
        LLVMValueRef a = half > 1 ? kd_emit_shuffle(e, x, none, half, low)
                                  : LLVMBuildExtractElement(e->b, x, kd_emit_i32(e, 0), "");
        LLVMValueRef b = half > 1 ? kd_emit_shuffle(e, x, none, half, high)
                                  : LLVMBuildExtractElement(e->b, x, kd_emit_i32(e, 1), "");
        x = kd_emit_combine(e, i, a, b);
    }
    return x;
}
