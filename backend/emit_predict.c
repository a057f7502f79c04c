/*
 * The exported function of an inference object:
 *
 *   int SYMBOL_predict(const float *x, int n, float *logits, const void *weights, void *scratch)
 *
 *     while rows are left:  variant = the first that holds them, else the last
 *                           frame = { its arguments, scratch }; variant(frame)
 *
 * and those of SYMBOL_probabilities and SYMBOL_classes, which call it for a block of rows at a time
 * and then a function of those logits.
 *
 * Kernels may read a little behind what they are given, so the rows of the last blocks, behind
 * which the caller's memory may end, are copied into scratch first; all rows where they are
 * normalised on the way:
 *
 *   scratch = arena | a worker's scratch | rows of a block, slack | a block's logits, slack
 */
#include "backend/debug.h"
#include "backend/embed.h"
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
    for (int k = 1; k < KD_PREDICT_OUTPUTS; k++) {
        if (p->of_logits[k] && p->of_logits[k]->arena_bytes > most)
            most = p->of_logits[k]->arena_bytes;
    }
    return aligned(most + KDRT_SLACK);
}

char *kd_predict_name(const KdPredict *p, int output, KdArena *a) {
    static const char *const names[] = { "predict", "probabilities", "classes" };
    return kd_arena_format(a, "%s_%s", p->symbol, names[output]);
}

char *kd_pack_name(const KdPredict *p, KdArena *a) {
    return kd_arena_format(a, "%s_pack", p->symbol);
}

char *kd_statistic_name(const KdPredict *p, int which, KdArena *a) {
    return kd_arena_format(a, "%s_%s", p->symbol, which == KD_PREDICT_MEAN ? "mean" : "rate");
}

bool kd_predict_packs(const KdPredict *p) {
    return p && (p->weights || p->packs);
}

bool kd_predict_has(const KdPredict *p, const KdFunc *f) {
    bool found = false;
    for (int k = 1; p && k < KD_PREDICT_OUTPUTS; k++) found |= f == p->of_logits[k];
    for (int k = 0; p && k < p->nvariants; k++) found |= f == p->variant[k];
    return found;
}

static int64_t row_bytes(const KdValue *v) {
    return kd_type_bytes(v->type, 1, 1);
}

/* Where a block's logits lie in scratch. */
static int64_t logits_place(const KdPredict *p, int64_t kernel_bytes) {
    const KdFunc *last = p->variant[p->nvariants - 1];
    int64_t rows = row_bytes(last->args[0]) * last->max_batch;
    return arena_bytes(p) + aligned(kernel_bytes + KDRT_SLACK) + aligned(rows + KDRT_SLACK);
}

int64_t kd_predict_scratch(const KdPredict *p, int64_t kernel_bytes) {
    const KdFunc *last = p->variant[p->nvariants - 1];
    int64_t logits = aligned(row_bytes(last->results[0]) * last->max_batch + KDRT_SLACK);
    return logits_place(p, kernel_bytes) + logits;
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

void kd_predict_check_pointer(KdEmit *e, LLVMValueRef p, bool align) {
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

/* Calls it with the frame. */
static void call_function(KdEmit *e, const Predict *c, const KdFunc *f) {
    LLVMTypeRef type = LLVMFunctionType(e->i32, &e->ptr, 1, 0);
    LLVMValueRef run = LLVMGetNamedFunction(e->mod, kd_function_symbol(e, f)), frame = c->frame;
    if (!run) kd_bug(e->diag, "@%s was not emitted", f->name);
    LLVMBuildCall2(e->b, type, run, &frame, 1, "");
}

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
    call_function(e, c, f);
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

/* Where rows lie in scratch. */
static LLVMValueRef rows_in_scratch(KdEmit *e, const Predict *c) {
    int64_t behind = arena_bytes(c->p) + aligned(c->kernel_bytes + KDRT_SLACK);
    return kd_emit_byte_offset(e, c->scratch, kd_emit_i64(e, behind));
}

/* x, or its copy in scratch where less than the slack lies behind these rows. */
static LLVMValueRef safe_rows(KdEmit *e, const Predict *c, LLVMValueRef x, LLVMValueRef rows,
                              LLVMValueRef left) {
    LLVMValueRef size = kd_emit_i64(e, row_bytes(c->p->variant[0]->args[0]));
    LLVMValueRef copy = rows_in_scratch(e, c);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b), last = block(e, "last");
    LLVMBasicBlockRef join = block(e, "rows");
    LLVMValueRef rest = LLVMBuildMul(e->b, LLVMBuildSub(e->b, left, rows, ""), size, "");
    LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLT, rest, kd_emit_i64(e, KDRT_SLACK), "");
    LLVMBuildCondBr(e->b, few, last, join);
    LLVMPositionBuilderAtEnd(e->b, last);
    LLVMValueRef bytes = LLVMBuildMul(e->b, rows, size, "");
    LLVMBuildMemCpy(e->b, copy, KDRT_ALIGN, x, 4, bytes);
    LLVMBuildBr(e->b, join);
    LLVMPositionBuilderAtEnd(e->b, join);
    LLVMValueRef phi = LLVMBuildPhi(e->b, e->ptr, "x");
    LLVMValueRef values[] = { x, copy };
    LLVMBasicBlockRef blocks[] = { before, last };
    LLVMAddIncoming(phi, values, blocks, 2);
    return phi;
}

/* --- normalised samples ---------------------------------------------------------------------- */

LLVMValueRef kd_emit_statistic(KdEmit *e, const KdPredict *p, int which) {
    const char *name = kd_statistic_name(p, which, e->arena);
    LLVMValueRef known = LLVMGetNamedGlobal(e->mod, name);
    if (known) return known;
    int64_t bytes = p->inputs * 4 + KDRT_SLACK;
    char *data = kd_arena_alloc(e->arena, (size_t)bytes);
    memset(data, 0, (size_t)bytes);
    memcpy(data, which == KD_PREDICT_MEAN ? p->mean : p->rate, (size_t)p->inputs * 4);
    LLVMValueRef global = kd_emit_bytes(e, name, data, bytes);
    LLVMSetLinkage(global, LLVMExternalLinkage);
    return global;
}

/* (x - mean) * rate, in scratch: rounded as where training gathers a batch. */
static LLVMValueRef normalized_rows(KdEmit *e, const Predict *c, LLVMValueRef x,
                                    LLVMValueRef rows) {
    int64_t size = row_bytes(c->p->variant[0]->args[0]), width = size / 4;
    LLVMValueRef copy = rows_in_scratch(e, c);
    LLVMValueRef mean = kd_emit_statistic(e, c->p, KD_PREDICT_MEAN);
    LLVMValueRef rate = kd_emit_statistic(e, c->p, KD_PREDICT_RATE);
    KdLoop row, column;
    kd_loop_begin(e, &row, kd_emit_i64(e, 0), rows, 1);
    LLVMValueRef at = LLVMBuildMul(e->b, row.index, kd_emit_i64(e, size), "");
    LLVMValueRef from = kd_emit_byte_offset(e, x, at), to = kd_emit_byte_offset(e, copy, at);
    kd_loop_begin(e, &column, kd_emit_i64(e, 0), kd_emit_i64(e, width), e->lanes);
    LLVMValueRef left = LLVMBuildSub(e->b, kd_emit_i64(e, width), column.index, "");
    LLVMValueRef mask = width % e->lanes ? kd_emit_tail_mask(e, left, e->lanes) : NULL;
    LLVMValueRef v[3], place[] = { from, mean, rate };
    for (int k = 0; k < 3; k++)
        v[k] = kd_emit_load(e, e->f32, e->lanes, kd_emit_element(e, e->f32, place[k], column.index),
                            mask);
    LLVMValueRef y = LLVMBuildFMul(e->b, LLVMBuildFSub(e->b, v[0], v[1], ""), v[2], "");
    kd_emit_store(e, y, kd_emit_element(e, e->f32, to, column.index), mask);
    kd_loop_end(e, &column);
    kd_loop_end(e, &row);
    return copy;
}

/* --- the function ---------------------------------------------------------------------------- */

static LLVMTypeRef exported_type(KdEmit *e) {
    LLVMTypeRef params[] = { e->ptr, e->i32, e->ptr, e->ptr, e->ptr };
    return LLVMFunctionType(e->i32, params, 5, 0);
}

void kd_predict_begin(KdEmit *e, const char *name, LLVMTypeRef type) {
    e->fn = LLVMAddFunction(e->mod, name, type);
    kd_emit_attributes(e, e->fn);
    e->entry = block(e, "entry");
    kd_debug_function(e, name, e->options->predict->variant[0]->loc);
    LLVMPositionBuilderAtEnd(e->b, e->entry);
}

static Predict begin(KdEmit *e, const KdPredict *p, const char *name) {
    Predict c = { .p = p, .kernel_bytes = (int64_t)e->scratch };
    kd_predict_begin(e, name, exported_type(e));
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
    kd_predict_check_pointer(e, LLVMGetParam(e->fn, PARAM_X), false);
    kd_predict_check_pointer(e, LLVMGetParam(e->fn, PARAM_LOGITS), false);
    kd_predict_check_pointer(e, LLVMGetParam(e->fn, PARAM_SCRATCH), true);
    LLVMValueRef weights = LLVMGetParam(e->fn, PARAM_WEIGHTS);
    if (!p->weights) kd_predict_check_pointer(e, weights, true);
    if (p->packs) refuse(e, kd_pack_is_missing(e, weights), KD_PREDICT_NOT_PACKED);
}

static bool reads_hyper(const KdFunc *f) {
    KD_EACH_INSTR(i, f) {
        if (i->op == KD_OP_HYPER || (i->body && reads_hyper(i->body))) return true;
    }
    return false;
}

/* The hyperparameters, where the network reads one: nobody changes them here. */
static LLVMValueRef hyper_values(KdEmit *e, const KdPredict *p) {
    int n = e->m->nhypers;
    LLVMValueRef known = LLVMGetNamedGlobal(e->mod, "predict.hyper");
    if (known) return known;
    if (!reads_hyper(p->variant[0])) return LLVMConstNull(e->ptr);
    float *value = KD_NEW_ARRAY(e->arena, float, n);
    for (int k = 0; k < n; k++) value[k] = (float)e->m->hypers[k]->value;
    return kd_emit_bytes(e, "predict.hyper", (const char *)value, n * (int64_t)sizeof *value);
}

static void fill_frame(KdEmit *e, const Predict *c) {
    LLVMValueRef zero = kd_emit_i64(e, 0);
    LLVMValueRef kernels = kd_emit_byte_offset(e, c->scratch, kd_emit_i64(e, arena_bytes(c->p)));
    put(e, c->frame, offsetof(KdrtFrame, args), c->args);
    put(e, c->frame, offsetof(KdrtFrame, results), c->results);
    put(e, c->frame, offsetof(KdrtFrame, arena), c->scratch);
    put(e, c->frame, offsetof(KdrtFrame, scratch), kernels);
    put(e, c->frame, offsetof(KdrtFrame, scratch_stride), zero);
    put(e, c->frame, offsetof(KdrtFrame, hyper), hyper_values(e, c->p));
    put(e, c->frame, offsetof(KdrtFrame, seed), zero);
    put(e, c->frame, offsetof(KdrtFrame, pool), LLVMConstNull(e->ptr));
}

static LLVMValueRef emit_logits(KdEmit *e, const KdPredict *p, const char *name) {
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
    x = p->mean ? normalized_rows(e, &c, x, rows) : safe_rows(e, &c, x, rows, left);
    put(e, c.results, 0, kd_emit_byte_offset(e, LLVMGetParam(e->fn, PARAM_LOGITS), out));
    put(e, c.frame, offsetof(KdrtFrame, n), LLVMBuildTrunc(e->b, rows, e->i32, ""));
    run_rows(e, &c, x, rows);
    kd_loop_end(e, &l);
    LLVMBuildRet(e->b, kd_emit_i32(e, KD_PREDICT_OK));
    return e->fn;
}

/* `predict` for a block of rows, then f of its logits. One block at least, so that predict sees
 * what is wrong with the arguments. */
static LLVMValueRef emit_output(KdEmit *e, const KdPredict *p, LLVMValueRef predict,
                                const KdFunc *f, const char *name) {
    const KdFunc *last = p->variant[p->nvariants - 1];
    Predict c = begin(e, p, name);
    LLVMValueRef out = LLVMGetParam(e->fn, PARAM_LOGITS);
    kd_predict_check_pointer(e, out, false);
    kd_predict_check_pointer(e, c.scratch, false);
    fill_frame(e, &c);
    LLVMValueRef n = LLVMBuildSExt(e->b, LLVMGetParam(e->fn, PARAM_N), e->i64, "n");
    LLVMValueRef place = kd_emit_i64(e, logits_place(p, c.kernel_bytes));
    LLVMValueRef logits = kd_emit_byte_offset(e, c.scratch, place);
    KdLoop l;
    kd_loop_begin(e, &l, kd_emit_i64(e, 0), kd_emit_max(e, n, kd_emit_i64(e, 1)), last->max_batch);
    LLVMValueRef rows = LLVMBuildSub(e->b, n, l.index, "");
    rows = LLVMBuildTrunc(e->b, kd_emit_min(e, rows, kd_emit_i64(e, last->max_batch)), e->i32, "");
    LLVMValueRef in = LLVMBuildMul(e->b, l.index, kd_emit_i64(e, row_bytes(last->args[0])), "");
    LLVMValueRef args[] = { kd_emit_byte_offset(e, LLVMGetParam(e->fn, PARAM_X), in), rows, logits,
                            c.weights, c.scratch };
    LLVMValueRef code = LLVMBuildCall2(e->b, exported_type(e), predict, args, 5, "code");
    LLVMBasicBlockRef failed = block(e, "failed"), good = block(e, "good");
    LLVMValueRef fine = LLVMBuildICmp(e->b, LLVMIntEQ, code, kd_emit_i32(e, KD_PREDICT_OK), "");
    LLVMBuildCondBr(e->b, fine, good, failed);
    LLVMPositionBuilderAtEnd(e->b, failed);
    LLVMBuildRet(e->b, code);
    LLVMPositionBuilderAtEnd(e->b, good);
    LLVMValueRef to = LLVMBuildMul(e->b, l.index, kd_emit_i64(e, row_bytes(f->results[0])), "");
    put(e, c.args, 0, logits);
    put(e, c.results, 0, kd_emit_byte_offset(e, out, to));
    put(e, c.frame, offsetof(KdrtFrame, n), rows);
    call_function(e, &c, f);
    kd_loop_end(e, &l);
    LLVMBuildRet(e->b, kd_emit_i32(e, KD_PREDICT_OK));
    return e->fn;
}

LLVMValueRef kd_emit_predict(KdEmit *e, const KdPredict *p, int output, LLVMValueRef predict,
                             const char *name) {
    if (output == KD_PREDICT_LOGITS) return emit_logits(e, p, name);
    return emit_output(e, p, predict, p->of_logits[output], name);
}
