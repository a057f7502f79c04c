/*
 * Convolutions of 3 x 3 and 5 x 5 with fewer products, see contract_winograd.c.
 */
#ifndef KD_BACKEND_CONTRACT_WINOGRAD_H
#define KD_BACKEND_CONTRACT_WINOGRAD_H

#include "backend/contract_unit.h"

enum { KD_WINOGRAD_MOST_TAPS = 5, KD_WINOGRAD_MOST_SIDE = 6 };

/* A dim of the images that windows go through: its index is column ± tap + b. */
typedef struct KdWindowDim {
    int dim, column, tap;
    bool turned;    /* - tap: weights are taken from the last to the first */
    int64_t first;  /* index of the first window's first element */
    int64_t extent; /* of the column: of the result, or of a gradient's sum */
} KdWindowDim;

struct KdWinograd {
    int64_t taps, side; /* of a window, and of the inputs of a tile: taps + 1 */
    int64_t products;   /* side x side */
    KdWindowDim y, x;
    KdFactor input, weights; /* as they were; those of the plan are of one product */
    bool gradient;           /* with respect to the weights */
    bool constant;           /* weights are transformed beforehand, see embed.c */
    KdFlat channels;
    int64_t rows;
    int block, tile; /* iterators that the plan got: of units in an image, and columns */
    int64_t blocks, groups, lines; /* lines of tiles in a vector, such groups in a block */
    int64_t width, vectors;        /* tiles of a line in a vector, vectors of a line */
    int64_t pitch, copied;         /* of lines of inputs: floats from one to the next; how many */
    int64_t tiles, pad;            /* columns of a block; floats from row to row of U */
    int64_t l_plane;               /* floats from one column of d B to the next, of a channel, */
    int64_t v_plane, m_plane;      /* and from one of the products' V, or result, to the next */
    int64_t image_tiles;           /* of a gradient: tiles are those of some images */
};

/* Are its products planes of scratch, that contract_winograd_results.c reads? */
static inline bool kd_winograd_has_planes(const KdPlan *p) {
    return p->winograd && !p->winograd->gradient;
}

/* Lines of results in a block. */
static inline int64_t kd_winograd_lines(const KdWinograd *w) {
    return 2 * w->groups * w->lines;
}

/* Makes p the plan of such products, where they are fewer by enough to pay for the sums. */
void kd_winograd_plan(KdEmit *e, KdPlan *p, int phase);
/* Is p, whose sum is made in parts, one of a gradient with respect to weights by such products?
 * Then makes it that. */
bool kd_winograd_is_gradient(const KdPlan *p);
void kd_winograd_gradient_plan(KdEmit *e, KdPlan *p);
/* Floats of scratch a unit takes. */
int64_t kd_winograd_elements(const KdPlan *p);
/* Emits the unit, with those weights. */
void kd_winograd_emit(KdUnit *u, LLVMValueRef weights);

/* contract_winograd_transform.c: to = the first rows of a matrix times x. The same of numbers that
 * are `step` apart, to the same bits. */
typedef enum KdWinogradMatrix { KD_WINOGRAD_BT, KD_WINOGRAD_G, KD_WINOGRAD_AT } KdWinogradMatrix;
/* A coefficient of the matrix, or of the transposed one; rows and columns beyond it are zero. */
double kd_winograd_coefficient(int64_t taps, KdWinogradMatrix m, bool transposed, int row,
                               int column);
void kd_winograd_apply(KdEmit *e, int64_t taps, KdWinogradMatrix m, bool transposed,
                       const LLVMValueRef *x, LLVMValueRef *to, int64_t rows);
void kd_winograd_compute(int64_t taps, KdWinogradMatrix m, const float *x, float *to, int64_t rows,
                         int64_t step);

/* contract_winograd_weights.c: floats of all transformed weights. */
int64_t kd_winograd_weights(const KdPlan *p);
/* Transforms rows [lo, hi) of those at `from`, which are linear; NULL: of any. */
void kd_winograd_make_weights(KdContraction *c, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef from,
                              LLVMValueRef to);
/* All weights of a plan where they are constant, transformed. */
const float *kd_winograd_constant(const KdPlan *p, const float *data, KdArena *a);

/* contract_winograd_inputs.c: makes V of channels [lo, hi) of the image, or its block, where c
 * stands, with room for lines. */
void kd_winograd_inputs(const KdContraction *c, LLVMValueRef lo, LLVMValueRef hi,
                        LLVMValueRef lines, LLVMValueRef v);

/* contract_winograd_results.c: its results, from all M, and their epilogue. */
void kd_winograd_results(const KdContraction *c, LLVMValueRef products);

/* contract_winograd_gradient.c: V of the unit's rows of the samples of its block; the products of a
 * panel of dY that is packed, added to those of the samples before; and one row of panel `panel`'s
 * nv vectors, once all are made: parts added up, transformed, and through its epilogue. */
void kd_winograd_gradient_inputs(const KdUnit *u);
void kd_winograd_gradient_panel(const KdUnit *of, int nv, LLVMValueRef panel,
                                const KdColumn *column);
void kd_winograd_gradient_add(KdUnit *u, int nv, LLVMValueRef panel, LLVMValueRef row);

#endif
