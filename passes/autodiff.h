/*
 * Shared by autodiff.c (the walk), adjoint.c (the rules) and adjoint_access.c (the rules of affine
 * accesses). Private to passes/.
 */
#ifndef KD_PASSES_AUTODIFF_H
#define KD_PASSES_AUTODIFF_H

#include "passes/pass.h"

/* One reverse walk. Tables are indexed by value id and cover the values that existed when the
 * walk began; what the rules append has larger ids. */
typedef struct KdGrad {
    KdBuilder *b;
    KdArena *scratch;
    int nvalues;
    bool *active;      /* does it depend on what we differentiate by? */
    KdValue **adjoint; /* sum of the contributions so far, or NULL */
} KdGrad;

/* Adds to the adjoints of i's operands what dy, the adjoint of its result, brings them. False
 * after an error. */
typedef bool KdGradRule(KdGrad *g, const KdInstr *i, KdValue *dy);
KdGradRule *kd_grad_rule(KdOp op); /* NULL: the derivative is zero */

bool kd_grad_wants(const KdGrad *g, const KdValue *x);
/* x's adjoint grows by dx (NULL: an error was said). Nothing happens where x is not active. */
bool kd_grad_add(KdGrad *g, KdValue *x, KdValue *dx);

/* Rules of adjoint_access.c. */
KdGradRule kd_grad_view, kd_grad_contract;

#endif
