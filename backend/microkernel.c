/*
 * The loop over k of one register tile.
 *
 *     for k in 0 … count-1:            acc: MR x NV vectors, carried round in registers
 *         v[0 … NV-1] = panel[k][…]    NV loads, of neighbours or of as many streams
 *         for r in 0 … MR-1:
 *             s = splat(row[r][k])     one broadcast
 *             acc[r][…] = fma(s, v[…], acc[r][…])
 *
 * Of bytes, four steps are one: see dot.c. The loop is left as it is: unrolled by the optimiser,
 * the larger tiles spill their accumulators, and that costs half the speed. It has no way round it
 * either, for no steps at all: where the sums of both ways meet, accumulators would change
 * registers in every step.
 */
#include <llvm-c/DebugInfo.h>

#include "backend/contract.h"
#include "backend/dot.h"

/* Marks the loop that ends in `latch` as not to be unrolled. */
static void keep_rolled(KdEmit *e, LLVMBasicBlockRef latch) {
    LLVMMetadataRef name = LLVMMDStringInContext2(e->cx, "llvm.loop.unroll.disable", 24);
    LLVMMetadataRef disable = LLVMMDNodeInContext2(e->cx, &name, 1);
    LLVMMetadataRef self = LLVMTemporaryMDNode(e->cx, NULL, 0);
    LLVMMetadataRef parts[2] = { self, disable };
    LLVMMetadataRef loop = LLVMMDNodeInContext2(e->cx, parts, 2);
    LLVMMetadataReplaceAllUsesWith(self, loop); /* the node names itself first */
    LLVMSetMetadata(LLVMGetBasicBlockTerminator(latch),
                    LLVMGetMDKindIDInContext(e->cx, "llvm.loop", 9),
                    LLVMMetadataAsValue(e->cx, loop));
}

/* acc + s * v; of bytes as bits. */
static LLVMValueRef multiply_add(KdEmit *e, const KdTile *t, LLVMValueRef s, LLVMValueRef v,
                                 LLVMValueRef acc) {
    if (t->bf16) return kd_bf16_multiply_add(e, s, v, acc);
    if (!t->words) return kd_emit_multiply_add(e, s, v, acc);
    LLVMTypeRef real = LLVMTypeOf(acc), whole = kd_vector_type(e->i32, e->lanes);
    s = LLVMBuildBitCast(e->b, s, whole, "");
    v = LLVMBuildBitCast(e->b, v, whole, "");
    acc = LLVMBuildBitCast(e->b, acc, whole, "");
    acc = t->v_signed ? kd_emit_dot(e, s, v, acc) : kd_emit_dot(e, v, s, acc);
    return LLVMBuildBitCast(e->b, acc, real, "");
}

/* Distance of step `index`: that of the table, or `stride` each. */
static LLVMValueRef step_distance(KdEmit *e, LLVMValueRef table, int64_t stride,
                                  LLVMValueRef index) {
    if (!table) return LLVMBuildMul(e->b, index, kd_emit_i64(e, stride), "step");
    LLVMValueRef at = kd_emit_element(e, e->i32, table, index);
    return LLVMBuildSExt(e->b, kd_emit_load(e, e->i32, 1, at, NULL), e->i64, "step");
}

/* The vectors of V at step `index`. */
void kd_tile_columns(KdEmit *e, const KdTile *t, LLVMValueRef index, LLVMValueRef *v) {
    LLVMTypeRef type = kd_emit_type(e, t->stored);
    LLVMValueRef line = step_distance(e, t->panel ? NULL : t->column_table, t->step, index);
    for (int k = 0; k < t->nv; k++) {
        LLVMValueRef at = LLVMBuildAdd(e->b, line, kd_emit_i64(e, (int64_t)k * e->lanes), "");
        LLVMValueRef p = t->panel ? kd_emit_element(e, e->f32, t->panel, at)
                                  : kd_emit_element(e, type, t->column[k], line);
        v[k] = kd_emit_load(e, type, e->lanes, p, NULL);
        if (t->stored != KD_F32) v[k] = kd_emit_widen(e, t->stored, v[k]);
    }
}

/* Multiplies step `index` onto the accumulators. */
static void emit_step(KdEmit *e, const KdTile *t, LLVMValueRef index, LLVMValueRef *acc) {
    LLVMValueRef step = step_distance(e, t->table, t->stride, index), v[KD_MAX_NV] = { 0 };
    kd_tile_columns(e, t, index, v);
    kd_prefetch_step(e, t, index);
    for (int r = 0; r < t->mr; r++) {
        LLVMValueRef at = kd_emit_element(e, e->f32, t->row[r], step);
        LLVMValueRef s = kd_emit_splat(e, kd_emit_load(e, e->f32, 1, at, NULL), e->lanes);
        for (int k = 0; k < t->nv; k++) {
            int a = r * t->nv + k;
            acc[a] = multiply_add(e, t, s, v[k], acc[a]);
        }
    }
}

void kd_tile_run(KdEmit *e, KdTile *t) {
    LLVMBuilderRef b = e->b;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(e->cx, e->fn, "steps");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->cx, e->fn, "summed");
    LLVMBuildBr(b, body);
    LLVMPositionBuilderAtEnd(b, body);
    LLVMValueRef zero = kd_emit_i64(e, 0), index = LLVMBuildPhi(b, e->i64, "k");
    LLVMAddIncoming(index, &zero, &before, 1);
    LLVMValueRef phi[KD_MAX_MR * KD_MAX_NV], acc[KD_MAX_MR * KD_MAX_NV] = { 0 };
    for (int k = 0; k < t->mr * t->nv; k++) {
        acc[k] = phi[k] = LLVMBuildPhi(b, LLVMTypeOf(t->acc[k]), "");
        LLVMAddIncoming(phi[k], &t->acc[k], &before, 1);
    }
    emit_step(e, t, index, acc);
    for (int k = 0; k < t->mr * t->nv; k++) {
        LLVMAddIncoming(phi[k], &acc[k], &body, 1);
        t->acc[k] = acc[k];
    }
    LLVMValueRef next = LLVMBuildNSWAdd(b, index, kd_emit_i64(e, 1), "");
    LLVMAddIncoming(index, &next, &body, 1);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, t->count, ""), body, after);
    keep_rolled(e, body);
    LLVMPositionBuilderAtEnd(b, after);
}
