/* Products of bytes, four at a time. */
#ifndef KD_BACKEND_DOT_H
#define KD_BACKEND_DOT_H

#include "backend/emit.h"

/* acc + Σ of 4 products, exactly, in each i32 lane: u and s are words of 4 bytes each, of u not
 * signed, of s signed. */
LLVMValueRef kd_emit_dot(KdEmit *e, LLVMValueRef u, LLVMValueRef s, LLVMValueRef acc);

#endif
