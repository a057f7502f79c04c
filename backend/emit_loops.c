/*
 * Emit rules that loop where the point stands: reductions and products of one element (or of a
 * vector of them, a lane each). Few constant elements are unrolled, as pooling windows are; more
 * run in loops. Each sum is in iteration order, but for those of a row: these are in the order in
 * which lanes along the row sum it (emit_row.c, emit_reduce.c), whatever kernel they are in.
 */
#include "backend/eval.h"

#define MAX_UNROLL 64

typedef struct Nest {
    int n;
    int64_t extent[KD_MAX_ITERS];
} Nest;

/* What is done at each element: `index` are the nest's iterators; acc[] is updated. */
typedef void NestBody(KdEval *ev, const KdIdx *index, LLVMValueRef *acc, const void *user);

static void unrolled(KdEval *ev, const Nest *nest, NestBody *body, LLVMValueRef *acc,
                     const void *user) {
    KdIdx index[KD_MAX_ITERS];
    for (int k = 0; k < nest->n; k++) {
        index[k] = kd_idx_constant(0);
    }
    for (;;) {
        body(ev, index, acc, user);
        int k = nest->n - 1;
        while (k >= 0 && ++index[k].offset == nest->extent[k]) {
            index[k--].offset = 0;
        }
        if (k < 0) {
            return;
        }
    }
}

static void looped(KdEval *ev, const Nest *nest, NestBody *body, LLVMValueRef *acc, int nacc,
                   const void *user) {
    KdEmit *e = ev->e;
    KdIdx index[KD_MAX_ITERS];
    KdLoop *loop = KD_NEW_ARRAY(e->arena, KdLoop, nest->n);
    int mark = kd_eval_mark(ev);
    for (int k = 0; k < nest->n; k++) {
        kd_loop_begin(e, &loop[k], kd_emit_i64(e, 0), kd_emit_extent(e, nest->extent[k]), 1);
        for (int a = 0; a < nacc; a++) {
            acc[a] = kd_loop_carry(e, &loop[k], acc[a]);
        }
        index[k] = kd_idx_uniform(loop[k].index, 1);
    }
    body(ev, index, acc, user);
    for (int k = nest->n - 1; k >= 0; k--) {
        for (int a = 0; a < nacc; a++) {
            kd_loop_next(&loop[k], a, acc[a]);
        }
        kd_loop_end(e, &loop[k]);
        for (int a = 0; a < nacc; a++) {
            acc[a] = kd_loop_result(&loop[k], a);
        }
    }
    kd_eval_release(ev, mark);
}

static void run_nest(KdEval *ev, const Nest *nest, NestBody *body, LLVMValueRef *acc, int nacc,
                     const void *user) {
    int64_t count = 1;
    for (int k = 0; k < nest->n; k++) {
        count =
            nest->extent[k] < 0 || count > MAX_UNROLL ? MAX_UNROLL + 1 : count * nest->extent[k];
    }
    if (count <= MAX_UNROLL) {
        unrolled(ev, nest, body, acc, user);
    } else {
        looped(ev, nest, body, acc, nacc, user);
    }
}

/* --- reductions ------------------------------------------------------------------------------- */

typedef struct Reduction {
    const KdInstr *i;
    const KdPoint *at;
} Reduction;

int kd_reduced_axes(const KdInstr *i, bool reduced[KD_MAX_RANK]) {
    const KdAttr *axes = kd_attr_find(i->attrs, "axes");
    for (int k = 0; k < KD_MAX_RANK; k++) {
        reduced[k] = false;
    }
    for (int k = 0; axes && k < axes->nints; k++) {
        reduced[axes->ints[k]] = true;
    }
    return axes ? axes->nints : 0;
}

static Nest reduction_nest(const KdInstr *i) {
    bool reduced[KD_MAX_RANK];
    Nest nest = { 0 };
    kd_reduced_axes(i, reduced);
    for (int k = 0; k < i->args[0]->type.rank; k++) {
        if (reduced[k]) {
            nest.extent[nest.n++] = i->args[0]->type.dim[k];
        }
    }
    return nest;
}

static LLVMValueRef operand_at(KdEval *ev, const Reduction *r, const KdIdx *index) {
    bool reduced[KD_MAX_RANK];
    kd_reduced_axes(r->i, reduced);
    KdPoint to = *r->at;
    to.rank = r->i->args[0]->type.rank;
    int kept = 0, over = 0;
    for (int k = 0; k < to.rank; k++) {
        to.dim[k] = reduced[k] ? index[over++] : r->at->dim[kept++];
    }
    return kd_eval_arg(ev, r->i, 0, &to);
}

static bool is_integer(const KdInstr *i) {
    return i->args[0]->type.dtype != KD_F32;
}

LLVMValueRef kd_emit_combine(KdEmit *e, const KdInstr *i, LLVMValueRef a, LLVMValueRef b) {
    if (i->op == KD_OP_REDUCE_SUM || i->op == KD_OP_CONTRACT) {
        return is_integer(i) ? LLVMBuildAdd(e->b, a, b, "") : LLVMBuildFAdd(e->b, a, b, "");
    }
    /* nan in the running maximum stays, and a new nan becomes it */
    LLVMValueRef keep = is_integer(i) ? LLVMBuildICmp(e->b, LLVMIntSGE, a, b, "")
                                      : LLVMBuildFCmp(e->b, LLVMRealOGE, a, b, "");
    if (!is_integer(i)) {
        LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, "");
        keep = LLVMBuildOr(e->b, keep, nan, "");
    }
    return LLVMBuildSelect(e->b, keep, a, b, "");
}

LLVMValueRef kd_emit_identity(KdEmit *e, const KdInstr *i, int lanes) {
    KdDtype dtype = i->args[0]->type.dtype;
    if (i->op == KD_OP_REDUCE_SUM) {
        return kd_emit_constant(e, dtype, lanes, 0);
    }
    double least = dtype == KD_F32 ? -1.0 / 0.0 : (double)INT32_MIN;
    return kd_emit_constant(e, dtype, lanes, least);
}

static void reduce_body(KdEval *ev, const KdIdx *index, LLVMValueRef *acc, const void *user) {
    const Reduction *r = user;
    LLVMValueRef x = operand_at(ev, r, index);
    acc[0] = acc[0] ? kd_emit_combine(ev->e, r->i, acc[0], x) : x;
}

/* Is it a sum over all of the last dims that is unrolled? */
static bool is_row_sum(const KdInstr *i, const Nest *nest) {
    int64_t count = 1;
    int first = i->args[0]->type.rank - nest->n;
    for (int k = 0; k < nest->n && count <= MAX_UNROLL; k++) {
        if (nest->extent[k] < 0 || !kd_reduces(i, first + k)) return false;
        count *= nest->extent[k];
    }
    return i->op == KD_OP_REDUCE_SUM && !is_integer(i) && count <= MAX_UNROLL;
}

/* acc: of each lane that there would be along the row. */
static void row_body(KdEval *ev, const KdIdx *index, LLVMValueRef *acc, const void *user) {
    const Reduction *r = user;
    Nest nest = reduction_nest(r->i);
    int64_t element = 0;
    for (int k = 0; k < nest.n; k++) element = element * nest.extent[k] + index[k].offset;
    LLVMValueRef *lane = &acc[element % ev->e->lanes], x = operand_at(ev, r, index);
    *lane = *lane ? kd_emit_combine(ev->e, r->i, *lane, x) : x;
}

/* As kd_emit_across adds lanes: those that have no element are left out. */
static LLVMValueRef sum_row(KdEval *ev, const KdInstr *i, const KdPoint *at, const Nest *nest) {
    KdEmit *e = ev->e;
    Reduction r = { i, at };
    LLVMValueRef *acc = KD_NEW_ARRAY(e->arena, LLVMValueRef, e->lanes);
    acc[0] = kd_emit_identity(e, i, at->lanes); /* a sum of -0 is 0 */
    unrolled(ev, nest, row_body, acc, &r);
    for (int half = e->lanes / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            if (acc[half + l]) acc[l] = kd_emit_combine(e, i, acc[l], acc[half + l]);
    return acc[0];
}

static LLVMValueRef emit_reduce(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    Reduction r = { i, at };
    Nest nest = reduction_nest(i);
    if (is_row_sum(i, &nest)) return sum_row(ev, i, at, &nest);
    LLVMValueRef acc[] = { kd_emit_identity(ev->e, i, at->lanes) };
    run_nest(ev, &nest, reduce_body, acc, 1, &r);
    return acc[0];
}

LLVMValueRef emit_reduce_sum(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return emit_reduce(ev, i, at);
}

LLVMValueRef emit_reduce_max(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return emit_reduce(ev, i, at);
}

/* acc: the maximum so far, its index, the index of the element now. */
static void argmax_body(KdEval *ev, const KdIdx *index, LLVMValueRef *acc, const void *user) {
    const Reduction *r = user;
    LLVMBuilderRef b = ev->e->b;
    LLVMValueRef x = operand_at(ev, r, index);
    LLVMValueRef more = is_integer(r->i) ? LLVMBuildICmp(b, LLVMIntSGT, x, acc[0], "")
                                         : LLVMBuildFCmp(b, LLVMRealOGT, x, acc[0], "");
    acc[0] = LLVMBuildSelect(b, more, x, acc[0], "");
    acc[1] = LLVMBuildSelect(b, more, acc[2], acc[1], "");
    LLVMValueRef one = kd_emit_splat(ev->e, kd_emit_i32(ev->e, 1), r->at->lanes);
    acc[2] = LLVMBuildAdd(b, acc[2], one, "");
}

LLVMValueRef emit_argmax(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    Reduction r = { i, at };
    Nest nest = reduction_nest(i);
    LLVMValueRef zero = kd_emit_splat(ev->e, kd_emit_i32(ev->e, 0), at->lanes);
    LLVMValueRef acc[] = { kd_emit_identity(ev->e, i, at->lanes), zero, zero };
    run_nest(ev, &nest, argmax_body, acc, 3, &r);
    return acc[1];
}

/* --- one element of a product ----------------------------------------------------------------- */

static LLVMValueRef widen_byte(KdEmit *e, const KdValue *v, LLVMValueRef x, int lanes) {
    LLVMTypeRef whole = kd_vector_type(e->i32, lanes);
    return v->type.dtype == KD_I8 ? LLVMBuildSExt(e->b, x, whole, "")
                                  : LLVMBuildZExt(e->b, x, whole, "");
}

/* acc += a * b: each operand is what a view with its access and fill 0 would give. */
static void contract_body(KdEval *ev, const KdIdx *index, LLVMValueRef *acc, const void *user) {
    const Reduction *r = user;
    const KdContract *c = r->i->contract;
    KdType t = r->i->results[0]->type;
    KdIterators iters = { .n = t.rank + c->nover };
    for (int k = 0; k < t.rank; k++) {
        iters.at[k] = r->at->dim[k];
        iters.extent[k] = t.dim[k];
    }
    for (int k = 0; k < c->nover; k++) {
        iters.at[t.rank + k] = index[k];
        iters.extent[t.rank + k] = c->over[k];
    }
    LLVMValueRef x = kd_eval_access(ev, r->i->args[0], &c->a, &iters, r->at);
    LLVMValueRef y = kd_eval_access(ev, r->i->args[1], &c->b, &iters, r->at);
    if (kd_attr_find(r->i->attrs, "round")) {
        x = kd_emit_round_bf16(ev->e, x);
        y = kd_emit_round_bf16(ev->e, y);
    }
    if (t.dtype == KD_F32) {
        acc[0] = kd_emit_multiply_add(ev->e, x, y, acc[0]);
        return;
    }
    x = widen_byte(ev->e, r->i->args[0], x, r->at->lanes);
    y = widen_byte(ev->e, r->i->args[1], y, r->at->lanes);
    acc[0] = LLVMBuildAdd(ev->e->b, acc[0], LLVMBuildMul(ev->e->b, x, y, ""), "");
}

LLVMValueRef kd_emit_contract_element(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    Reduction r = { i, at };
    Nest nest = { .n = i->contract->nover };
    for (int k = 0; k < nest.n; k++) {
        nest.extent[k] = i->contract->over[k];
    }
    LLVMValueRef acc[] = { kd_emit_constant(ev->e, i->results[0]->type.dtype, at->lanes, 0) };
    run_nest(ev, &nest, contract_body, acc, 1, &r);
    return acc[0];
}
