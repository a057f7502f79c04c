/* What the two files of shape rules share: the form of a rule, and the rules of infer_shape.c. */
#ifndef KD_IR_INFER_RULES_H
#define KD_IR_INFER_RULES_H

#include "ir/infer.h"

typedef struct KdRule {
    KdInstr *i;
    const KdType *hint; /* a valid type, or NULL */
    KdType *out;
    KdDiag *d;
} KdRule;

typedef bool KdShapeRule(const KdRule *r);

KdShapeRule infer_reshape, infer_view, infer_concat, infer_gather, infer_scatter, infer_slab,
    infer_reduce, infer_argmax, infer_contract;

/* Errors of the form `op: what, f32[64,784] and f32[128,10]`. Always false. */
bool kd_rule_pair(const KdRule *r, const char *what, KdType x, KdType y);
bool kd_rule_one(const KdRule *r, const char *what, KdType x);
/* Is x a number of that type, but for rounding an f32? */
bool kd_dtype_holds(KdDtype dtype, double x);
/* Was a result type given? An error if not. */
bool kd_rule_hint(const KdRule *r);

#endif
