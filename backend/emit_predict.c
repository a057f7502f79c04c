/*
 * The exported function of an inference object:
 *
 *   int SYMBOL_predict(const float *x, int n, float *logits, const void *weights, void *scratch)
 *
 *     while rows are left:  variant = the first that holds them, else the last
 *                           frame = { its arguments, scratch }; variant(frame)
 *
 * Kernels may read a little behind what they are given, so the rows of the last block, behind which
 * the caller's memory may end, are copied into scratch first:
 *
 *   scratch = arena | a worker's scratch | rows of the last block, slack
 */
#include "backend/debug.h"
#include "backend/func.h"
#include "backend/predict.h"

#include <string.h>

enum { PARAM_X, PARAM_N, PARAM_LOGITS, PARAM_WEIGHTS, PARAM_SCRATCH };

static int64_t aligned(int64_t bytes) {
    return (bytes + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
}

static int64_t arena_bytes(const KdPredict *p) {
    int64_t most = 0;
    for (int k = 0; k < p->nvariants; k++) {
        if (p->variant[k]->arena_bytes > most) most = p->variant[k]->arena_bytes;
    }
    return aligned(most + KDRT_SLACK);
}

static int64_t row_bytes(const KdValue *v) {
    return kd_type_bytes(v->type, 1, 1);
}

int64_t kd_predict_scratch(const KdPredict *p, int64_t kernel_bytes) {
    const KdFunc *last = p->variant[p->nvariants - 1];
    int64_t rows = row_bytes(last->args[0]) * last->max_batch;
    return arena_bytes(p) + aligned(kernel_bytes + KDRT_SLACK) + aligned(rows + KDRT_SLACK);
}

static void put(KdEmit *e, LLVMValueRef object, size_t offset, LLVMValueRef value) {
    LLVMBuildStore(e->b, value, kd_emit_byte_offset(e, object, kd_emit_i64(e, (int64_t)offset)));
}

static LLVMBasicBlockRef block(KdEmit *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->cx, e->fn, name);
}

/* Returns `code` where the condition holds, and goes on where it does not. */
static void refuse(KdEmit *e, LLVMValueRef condition, int code) {
    LLVMBasicBlockRef bad = block(e, "refuse"), good = block(e, "go_on");
    LLVMBuildCondBr(e->b, condition, bad, good);
    LLVMPositionBuilderAtEnd(e->b, bad);
    LLVMBuildRet(e->b, kd_emit_i32(e, code));
    LLVMPositionBuilderAtEnd(e->b, good);
}

static void check_pointer(KdEmit *e, LLVMValueRef p, bool align) {
    refuse(e, LLVMBuildIsNull(e->b, p, ""), KD_PREDICT_BAD_ARGUMENT);
    if (!align) return;
    LLVMValueRef low = LLVMBuildAnd(e->b, LLVMBuildPtrToInt(e->b, p, e->i64, ""),
                                    kd_emit_i64(e, KDRT_ALIGN - 1), "");
    refuse(e, LLVMBuildICmp(e->b, LLVMIntNE, low, kd_emit_i64(e, 0), ""), KD_PREDICT_MISALIGNED);
}

/* --- one block of rows ----------------------------------------------------------------------- */

typedef struct Predict {
    const KdPredict *p;
    LLVMValueRef frame, args, results, weights, scratch;
    int64_t kernel_bytes;
} Predict;

/* Calls the variant; its parameters lie in the slab. */
static void call_variant(KdEmit *e, const Predict *c, const KdFunc *f, LLVMValueRef x) {
    for (int k = 0; k < f->nargs; k++) {
        const KdParam *p = k ? kd_param_of_value(f->module, f->args[k]) : NULL;
        LLVMValueRef at = x;
        if (p && c->p->weights) continue; /* kernels name them as constants */
        if (p) {
            int64_t offset = kd_slab_offset(f->module, p) * 4;
            at = kd_emit_byte_offset(e, c->weights, kd_emit_i64(e, offset));
        }
        LLVMBuildStore(e->b, at, kd_emit_element(e, e->ptr, c->args, kd_emit_i64(e, k)));
    }
    LLVMTypeRef type = LLVMFunctionType(e->i32, &e->ptr, 1, 0);
    LLVMValueRef run = LLVMGetNamedFunction(e->mod, kd_function_symbol(e, f));
    if (!run) kd_bug(e->diag, "@%s was not emitted", f->name);
    LLVMValueRef frame = c->frame;
    LLVMBuildCall2(e->b, type, run, &frame, 1, "");
}

/* The variants by a chain of comparisons. */
static void run_rows(KdEmit *e, const Predict *c, LLVMValueRef x, LLVMValueRef rows) {
    LLVMBasicBlockRef after = block(e, "ran");
    for (int k = 0; k < c->p->nvariants; k++) {
        const KdFunc *f = c->p->variant[k];
        LLVMBasicBlockRef here = block(e, f->name), other = NULL;
        if (k + 1 < c->p->nvariants) {
            other = block(e, "larger");
            LLVMValueRef most = kd_emit_i64(e, f->max_batch);
            LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLE, rows, most, ""), here, other);
        } else {
            LLVMBuildBr(e->b, here);
        }
        LLVMPositionBuilderAtEnd(e->b, here);
        call_variant(e, c, f, x);
        LLVMBuildBr(e->b, after);
        if (other) LLVMPositionBuilderAtEnd(e->b, other);
    }
    LLVMPositionBuilderAtEnd(e->b, after);
}

/* x, or its copy in scratch where these are the last rows. */
static LLVMValueRef safe_rows(KdEmit *e, const Predict *c, LLVMValueRef x, LLVMValueRef rows,
                              LLVMValueRef left) {
    int64_t row = row_bytes(c->p->variant[0]->args[0]);
    int64_t behind = arena_bytes(c->p) + aligned(c->kernel_bytes + KDRT_SLACK);
    LLVMValueRef copy = kd_emit_byte_offset(e, c->scratch, kd_emit_i64(e, behind));
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), last = block(e, "last");
    LLVMBasicBlockRef join = block(e, "rows");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, rows, left, ""), last, join);
    LLVMPositionBuilderAtEnd(e->b, last);
    LLVMValueRef bytes = LLVMBuildMul(e->b, rows, kd_emit_i64(e, row), "");
    LLVMBuildMemCpy(e->b, copy, KDRT_ALIGN, x, 4, bytes);
    LLVMBuildBr(e->b, join);
    LLVMPositionBuilderAtEnd(e->b, join);
    LLVMValueRef phi = LLVMBuildPhi(e->b, e->ptr, "x");
    LLVMValueRef values[] = { x, copy };
    LLVMBasicBlockRef blocks[] = { before, last };
    LLVMAddIncoming(phi, values, blocks, 2);
    return phi;
}

/* --- the function ---------------------------------------------------------------------------- */

static Predict begin(KdEmit *e, const KdPredict *p, const char *name) {
    Predict c = { .p = p, .kernel_bytes = (int64_t)e->scratch };
    LLVMTypeRef params[] = { e->ptr, e->i32, e->ptr, e->ptr, e->ptr };
    e->fn = LLVMAddFunction(e->mod, name, LLVMFunctionType(e->i32, params, 5, 0));
    kd_emit_attributes(e, e->fn);
    e->entry = block(e, "entry");
    kd_debug_function(e, name, p->variant[0]->loc);
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMTypeRef pointers = LLVMArrayType2(e->ptr, (uint64_t)p->variant[0]->nargs);
    c.args = LLVMBuildAlloca(e->b, pointers, "args");
    c.results = LLVMBuildAlloca(e->b, e->ptr, "results");
    c.frame = LLVMBuildAlloca(e->b, LLVMArrayType2(e->i8, sizeof(KdrtFrame)), "frame");
    LLVMSetAlignment(c.frame, KDRT_ALIGN);
    c.scratch = LLVMGetParam(e->fn, PARAM_SCRATCH);
    c.weights = LLVMGetParam(e->fn, PARAM_WEIGHTS);
    return c;
}

static void check_arguments(KdEmit *e, const KdPredict *p) {
    LLVMValueRef n = LLVMGetParam(e->fn, PARAM_N);
    refuse(e, LLVMBuildICmp(e->b, LLVMIntSLT, n, kd_emit_i32(e, 0), ""), KD_PREDICT_BAD_ARGUMENT);
    check_pointer(e, LLVMGetParam(e->fn, PARAM_X), false);
    check_pointer(e, LLVMGetParam(e->fn, PARAM_LOGITS), false);
    check_pointer(e, LLVMGetParam(e->fn, PARAM_SCRATCH), true);
    if (!p->weights) check_pointer(e, LLVMGetParam(e->fn, PARAM_WEIGHTS), true);
}

static void fill_frame(KdEmit *e, const Predict *c) {
    LLVMValueRef zero = kd_emit_i64(e, 0);
    LLVMValueRef kernels = kd_emit_byte_offset(e, c->scratch, kd_emit_i64(e, arena_bytes(c->p)));
    put(e, c->frame, offsetof(KdrtFrame, args), c->args);
    put(e, c->frame, offsetof(KdrtFrame, results), c->results);
    put(e, c->frame, offsetof(KdrtFrame, arena), c->scratch);
    put(e, c->frame, offsetof(KdrtFrame, scratch), kernels);
    put(e, c->frame, offsetof(KdrtFrame, scratch_stride), zero);
    put(e, c->frame, offsetof(KdrtFrame, hyper), LLVMConstNull(e->ptr));
    put(e, c->frame, offsetof(KdrtFrame, seed), zero);
    put(e, c->frame, offsetof(KdrtFrame, pool), LLVMConstNull(e->ptr));
}

LLVMValueRef kd_emit_predict(KdEmit *e, const KdPredict *p, const char *name) {
    const KdFunc *last = p->variant[p->nvariants - 1];
    Predict c = begin(e, p, name);
    check_arguments(e, p);
    fill_frame(e, &c);
    LLVMValueRef n = LLVMBuildSExt(e->b, LLVMGetParam(e->fn, PARAM_N), e->i64, "n");
    KdLoop l;
    kd_loop_begin(e, &l, kd_emit_i64(e, 0), n, last->max_batch);
    LLVMValueRef left = LLVMBuildSub(e->b, n, l.index, "");
    LLVMValueRef rows = kd_emit_min(e, left, kd_emit_i64(e, last->max_batch));
    LLVMValueRef in = LLVMBuildMul(e->b, l.index, kd_emit_i64(e, row_bytes(last->args[0])), "");
    LLVMValueRef out = LLVMBuildMul(e->b, l.index, kd_emit_i64(e, row_bytes(last->results[0])), "");
    LLVMValueRef x = kd_emit_byte_offset(e, LLVMGetParam(e->fn, PARAM_X), in);
    x = safe_rows(e, &c, x, rows, left);
    put(e, c.results, 0, kd_emit_byte_offset(e, LLVMGetParam(e->fn, PARAM_LOGITS), out));
    put(e, c.frame, offsetof(KdrtFrame, n), LLVMBuildTrunc(e->b, rows, e->i32, ""));
    run_rows(e, &c, x, rows);
    kd_loop_end(e, &l);
    LLVMBuildRet(e->b, kd_emit_i32(e, KD_PREDICT_OK));
    return e->fn;
}
