/* Inside the backend: weights as constants of an inference object. */
#ifndef KD_BACKEND_EMBED_H
#define KD_BACKEND_EMBED_H

#include "backend/emit.h"

/* The parameter whose embedded values v (of e->f) is, or NULL: it is none, or its caller passes
 * them. */
const KdParam *kd_embedded_param(const KdEmit *e, const KdValue *v);
/* The same for values whose panels are made before predict runs, embedded or by SYMBOL_pack. */
const KdParam *kd_packed_param(const KdEmit *e, const KdValue *v);
/* Its values row-major; behind them others or KDRT_SLACK bytes. A stand-in until kd_embed_finish.
 */
LLVMValueRef kd_embed_raw(KdEmit *e, const KdParam *p);
/* Columns that lie next to each other in packed V: a vector of the widest target's. */
int kd_stream_lanes(const KdEmit *e);
/* V of a plan with v_constant, packed, or weights of Winograd's products, transformed: a constant,
 * or in the block that SYMBOL_pack fills; and how many elements that is. */
struct KdPlan;
int64_t kd_embed_elements(const struct KdPlan *p);
LLVMValueRef kd_embed_panels(KdEmit *e, const struct KdPlan *p);
/* Lays down what kd_embed_raw was asked for, when all kernels are emitted. */
void kd_embed_finish(KdEmit *e);

/* emit_pack.c: the panels of p, whose V is the parameter, in the block of weights at hand. */
LLVMValueRef kd_pack_panels(KdEmit *e, const struct KdPlan *p, const KdParam *param);
/* Bytes of the block, when all kernels are emitted. */
int64_t kd_pack_bytes(const KdEmit *e);
/* i1: the block is not one that SYMBOL_pack filled. */
LLVMValueRef kd_pack_is_missing(KdEmit *e, LLVMValueRef block);
/* SYMBOL_pack, when all kernels are emitted. */
void kd_emit_pack(KdEmit *e, const char *name);

#endif
