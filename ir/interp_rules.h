/*
 * Inside the interpreter: what an op's rule sees. A rule reads arg[k], knows the type of its result
 * out[0], whose data are room for it, and fills that in. Every dtype is held in doubles.
 */
#ifndef KD_IR_INTERP_RULES_H
#define KD_IR_INTERP_RULES_H

#include "ir/interp.h"

typedef struct KdEval {
    const KdInterp *in;
    const KdInstr *i;
    const KdTensor *arg; /* i->nargs of them */
    KdTensor *out;       /* i->nresults of them */
    KdDiag *d;
} KdEval;

/* Extents with B and N replaced by this tensor's numbers. */
typedef struct KdShape {
    int rank;
    int64_t dim[KD_MAX_ITERS];
} KdShape;

KdShape kd_tensor_shape(const KdTensor *t);
/* The next place in row-major order; false behind the last. `at` begins as zeros. */
bool kd_shape_next(const KdShape *s, int64_t *at);
int64_t kd_shape_flat(const KdShape *s, const int64_t *at);

/* One rule an op, named by the op table: false after an error. */
#define KD_OP(e, text, nargs, infer, adjoint, emit, eval, traits, attrs, meaning) \
    bool kd_eval_##eval(const KdEval *e);
#include "ir/ops.def"

#endif
