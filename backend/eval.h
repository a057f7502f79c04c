/*
 * Inside the evaluator: what eval.c, emit_ops.c and emit_move.c share.
 */
#ifndef KD_BACKEND_EVAL_H
#define KD_BACKEND_EVAL_H

#include "backend/emit.h"

/* A value computed at a point, or the point (and validity) that an access makes of another one. */
typedef struct KdMemo {
    int key; /* value id: what is remembered is its value; -1 - id: its access */
    KdPoint at;
    LLVMValueRef value; /* or where the access is in range: i1, <lanes x i1>, NULL: everywhere */
    KdPoint to;
    int older; /* entry of the same key made before, or -1 */
} KdMemo;

struct KdEval {
    KdEmit *e;
    const KdInstr *kernel;
    const KdFunc *body;
    int nmemo, capacity;
    KdMemo *memo;
    int *latest; /* per key: values first, then accesses; -1: none */
    /* A value that lies in memory, of which a sample is there, or NULL. */
    const KdValue *held;
    KdType held_type;
    LLVMValueRef held_base;
};

/* Every op's emit rule: the value of i's result at a point. */
typedef LLVMValueRef KdEmitRule(KdEval *ev, const KdInstr *i, const KdPoint *at);

LLVMValueRef kd_emit_op(KdEval *ev, const KdInstr *i, const KdPoint *at);
/* Entries live until kd_eval_release; a pointer to one only until the next is added. */
KdMemo *kd_memo_find(KdEval *ev, int key, const KdPoint *at);
KdMemo *kd_memo_add(KdEval *ev, int key, const KdPoint *at, LLVMValueRef value);

/* Operand k of i at the same point. */
LLVMValueRef kd_eval_arg(KdEval *ev, const KdInstr *i, int k, const KdPoint *at);

bool kd_point_is_uniform(const KdPoint *at);
bool kd_point_equal(const KdPoint *a, const KdPoint *b);
/* The point with lanes dropped; at must be uniform. */
KdPoint kd_point_scalar(const KdPoint *at);

/* Loads element `at` of a tensor in memory, in the form it has in registers (bool: i1). */
LLVMValueRef kd_emit_load_at(KdEmit *e, KdType t, LLVMValueRef base, const KdPoint *at);
/* Has it brought into the caches, without waiting; nothing where lanes lie apart. */
void kd_emit_prefetch_at(KdEmit *e, KdType t, LLVMValueRef base, const KdPoint *at);

/* A constant in register form, in every lane. */
LLVMValueRef kd_emit_constant(KdEmit *e, KdDtype dtype, int lanes, double x);
/* The point of the same element in a tensor of shape `to`, when `at` belongs to shape `from`. */
KdPoint kd_point_reshape(KdEmit *e, KdType from, KdType to, const KdPoint *at);

/* Iterators of an access: where they stand and how far they go. */
typedef struct KdIterators {
    int n;
    KdIdx at[KD_MAX_ITERS];
    int64_t extent[KD_MAX_ITERS];
} KdIterators;

/* v where `access` leads, 0 where that is out of range; `at` gives lanes and mask. */
LLVMValueRef kd_eval_access(KdEval *ev, const KdValue *v, const KdAccess *access,
                            const KdIterators *iters, const KdPoint *at);

/* Marks the reduced axes of i's operand; returns how many. */
int kd_reduced_axes(const KdInstr *i, bool reduced[KD_MAX_RANK]);
/* The operator of a reduction, or of a product's sum, on two values, and the value that changes
 * nothing. Not for argmax. */
LLVMValueRef kd_emit_combine(KdEmit *e, const KdInstr *i, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef kd_emit_identity(KdEmit *e, const KdInstr *i, int lanes);

/* The point's mask and dead lanes in one; NULL: all lanes active. */
LLVMValueRef kd_emit_mask(KdEmit *e, const KdPoint *at);
/* value in active lanes, other elsewhere. */
LLVMValueRef kd_emit_active(KdEmit *e, const KdPoint *at, LLVMValueRef value, LLVMValueRef other);
/* a > b in the order of the reduction's operand. */
LLVMValueRef kd_emit_greater(KdEmit *e, const KdInstr *i, LLVMValueRef a, LLVMValueRef b);
/* The reduction of all lanes of x, in a fixed tree. */
LLVMValueRef kd_emit_across(KdEmit *e, const KdInstr *i, LLVMValueRef x);

/* Movement rules (emit_move.c). */
KdEmitRule emit_reshape, emit_view, emit_concat, emit_gather, emit_iota;
/* Reductions and products as loops where the point stands (emit_loops.c). */
KdEmitRule emit_reduce_sum, emit_reduce_max, emit_argmax, kd_emit_contract_element;

#endif
