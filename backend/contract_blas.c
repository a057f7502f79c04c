/*
 * Contractions by OpenBLAS: packing, blocks of k and the epilogue stay as they are, and sgemm does
 * what the register tiles do otherwise, a column panel at a time, onto sums in scratch. So every
 * contraction has this form, whatever its access.
 */
#include "backend/contract.h"

#include <string.h>

static LLVMValueRef sgemm_function(KdEmit *e, LLVMTypeRef *type) {
    LLVMTypeRef args[] = { e->i32, e->i32, e->i64, e->i64, e->i64, e->ptr,
                           e->i64, e->ptr, e->i64, e->f32, e->ptr, e->i64 };
    *type = LLVMFunctionType(e->none, args, sizeof args / sizeof *args, 0);
    LLVMValueRef known = LLVMGetNamedFunction(e->mod, "kdrt_sgemm");
    return known ? known : LLVMAddFunction(e->mod, "kdrt_sgemm", *type);
}

void kd_blas_panel(KdContraction *c, LLVMValueRef s, LLVMValueRef rows, int nv, LLVMValueRef to) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int64_t columns = (int64_t)nv * p->lanes, width = (int64_t)p->col_panels.size[0] * p->lanes;
    int64_t row = p->s_packed ? p->kpad : p->row_s;
    bool transposed = p->s_step != 1; /* then rows are neighbours */
    int64_t lda = transposed ? p->s_step : row;
    if (lda < 1) { /* one row, or one step */
        lda = transposed ? kd_flat_most(p, &p->rows) : p->kc;
    }
    LLVMTypeRef type;
    LLVMValueRef sgemm = sgemm_function(e, &type);
    LLVMValueRef args[] = { kd_emit_i32(e, transposed),
                            kd_emit_i32(e, 0),
                            rows,
                            kd_emit_i64(e, columns),
                            c->k_count,
                            s,
                            kd_emit_i64(e, lda),
                            c->panel,
                            kd_emit_i64(e, columns),
                            kd_emit_f32(e, 1),
                            to,
                            kd_emit_i64(e, width) };
    LLVMBuildCall2(e->b, type, sgemm, args, sizeof args / sizeof *args, "");
}
