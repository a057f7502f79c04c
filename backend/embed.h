/* Inside the backend: weights as constants of an inference object. */
#ifndef KD_BACKEND_EMBED_H
#define KD_BACKEND_EMBED_H

#include "backend/emit.h"

/* The parameter whose embedded values v (of e->f) is, or NULL: it is none, or its caller passes
 * them. */
const KdParam *kd_embedded_param(const KdEmit *e, const KdValue *v);
/* Its values row-major; behind them others or KDRT_SLACK bytes. A stand-in until kd_embed_finish.
 */
LLVMValueRef kd_embed_raw(KdEmit *e, const KdParam *p);
/* Columns that lie next to each other in packed V: a vector of the widest target's. */
int kd_stream_lanes(const KdEmit *e);
/* V of a plan with v_constant, packed. */
struct KdPlan;
LLVMValueRef kd_embed_panels(KdEmit *e, const struct KdPlan *p);
/* Lays down what kd_embed_raw was asked for, when all kernels are emitted. */
void kd_embed_finish(KdEmit *e);

#endif
