/*
 * Short words for sums and products of indices, for the files that compute many of them.
 */
#ifndef KD_BACKEND_ARITH_H
#define KD_BACKEND_ARITH_H

#include "backend/emit.h"

static inline LLVMValueRef add(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildAdd(e->b, a, b, "");
}

static inline LLVMValueRef sub(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSub(e->b, a, b, "");
}

static inline LLVMValueRef scaled(KdEmit *e, LLVMValueRef a, int64_t by) {
    return by == 1 ? a : LLVMBuildMul(e->b, a, kd_emit_i64(e, by), "");
}

#endif
