/* Shared by canonicalize.c (the loop), rules.c and rules_movement.c; private to passes/. */
#ifndef KD_PASSES_CANONICALIZE_H
#define KD_PASSES_CANONICALIZE_H

#include "passes/pass.h"

typedef struct KdRewrite {
    KdBuilder b;      /* stands in front of the instruction at hand */
    bool drop_detach; /* gradients are made: `detach` has done its work */
} KdRewrite;

/* A value that may stand for i's result, made at r->b or found; NULL where the rule does not fire.
 * A rule keeps the bits of every element, but for the sign of a zero. */
typedef KdValue *KdRule(KdRewrite *r, KdInstr *i);

/* One row: the rule is tried on instructions of `op`, or, where op is KD_NUM_OPS, on those whose
 * ops have all of `traits`. */
typedef struct KdRuleInfo {
    const char *name;
    KdOp op;
    unsigned traits;
    KdRule *rule;
} KdRuleInfo;

extern const KdRuleInfo kd_rules_algebra[], kd_rules_movement[]; /* both end with rule NULL */

/* Does x, whose iterators have these extents, never leave a tensor of type *of? */
bool kd_access_inside(const KdAccess *x, const int64_t *extent, const KdType *of);

/* Is every element of v the same known number? */
bool kd_is_splat(const KdValue *v, double *value);

#endif
