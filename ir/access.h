/*
 * Affine access: which element of an operand an iteration reads.
 *
 *     operand dim k  =  (Σ coeff · d_iter + offset) / divisor
 *
 * Iterations whose index is out of range, or not divisible, read the fill value (0 in a
 * contraction). Broadcasts, transposes, slices, pads, windows and their adjoints are all
 * accesses; so are the operands of matrix products and convolutions. The set is closed under
 * differentiation: passes/adjoint_access.c.
 */
#ifndef KD_IR_ACCESS_H
#define KD_IR_ACCESS_H

#include "ir/type.h"

#define KD_MAX_ITERS 12
#define KD_MAX_TERMS 4
#define KD_MAX_COEFF ((int64_t)1 << 20) /* of a coefficient and a divisor */

typedef struct KdTerm {
    int iter;      /* which iterator: d0, d1, … */
    int64_t coeff; /* never 0 */
} KdTerm;

typedef struct KdIndex {
    int nterms;                /* 0: a constant index */
    KdTerm term[KD_MAX_TERMS]; /* by ascending iter, each iter once */
    int64_t offset;
    int64_t divisor; /* >= 1 */
} KdIndex;

typedef struct KdAccess {
    int rank; /* of the operand */
    KdIndex dim[KD_MAX_RANK];
} KdAccess;

/* The index d_iter alone, and a constant one. */
KdIndex kd_index_iter(int iter);
KdIndex kd_index_constant(int64_t offset);
/* coeff · d_iter added to x (terms merged, kept sorted); false when KD_MAX_TERMS is exceeded. */
bool kd_index_add(KdIndex *x, int iter, int64_t coeff);
/* Are coefficients, divisor and offset such as an instruction may have? */
bool kd_index_fits(const KdIndex *x);
bool kd_index_is_iter(const KdIndex *x, int iter); /* exactly d_iter */
bool kd_index_uses(const KdIndex *x, int iter);
bool kd_access_uses(const KdAccess *x, int iter);
bool kd_access_is_identity(const KdAccess *x); /* dim k is d_k for every k */
bool kd_access_equal(const KdAccess *x, const KdAccess *y);

/* The least and the greatest value of the index, before it is divided, where iterators run over
 * `extent`. False where one of these depends on the batch. */
bool kd_index_range(const KdIndex *x, const int64_t *extent, int64_t *least, int64_t *most);

/* Can generated code compute the index of a dim of extent `limit`? It compares and divides in 32
 * bits: an index that may leave its dim, or is divided, must fit. Iterators run over `extent`, in
 * which the batch has its bound. */
bool kd_index_is_computable(const KdIndex *x, const int64_t *extent, int64_t limit);

/* The element index for iteration `at`, or false when it must read the fill value. */
bool kd_index_eval(const KdIndex *x, const int64_t *at, int64_t extent, int64_t *out);

#endif
