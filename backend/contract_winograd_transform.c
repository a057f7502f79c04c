/*
 * The transforms of Winograd's minimal filtering F(2, 3) and F(2, 5): matrices of Toom and Cook's
 * interpolation at the points 0, 1, -1, ∞, and for five taps 2 and -½ too, which of all small ones
 * leave the least error (Barabasz, Anderson, Soodhalter and Gregg 2020, arXiv 1803.10986): less
 * than a direct sum in order has for three taps, about as much for five
 * (tests/unit/contract_error.c).
 *
 * A row is summed from its first positive coefficient on, then in order; factors but 1 and -1 are
 * multiplied and rounded before they are added, so that machines without fused multiply-add agree.
 */
#include "backend/contract_winograd.h"

enum { MOST = KD_WINOGRAD_MOST_SIDE };

typedef struct Matrix {
    double at[MOST][MOST];
} Matrix;

/* Bᵀ: side x side. G: side x taps. Aᵀ: 2 x side. */
static const Matrix of_three[] = {
    [KD_WINOGRAD_BT] = { { { 1, 0, -1, 0 }, { 0, 1, 1, 0 }, { 0, -1, 1, 0 }, { 0, 1, 0, -1 } } },
    [KD_WINOGRAD_G] = { { { 1, 0, 0 }, { 0.5, 0.5, 0.5 }, { 0.5, -0.5, 0.5 }, { 0, 0, 1 } } },
    [KD_WINOGRAD_AT] = { { { 1, 1, 1, 0 }, { 0, 1, -1, -1 } } },
};

static const Matrix of_five[] = {
    [KD_WINOGRAD_BT] = { { { 1, 1.5, -2, -1.5, 1, 0 },
                           { 0, -1, -2.5, -0.5, 1, 0 },
                           { 0, 1, 0.5, -2.5, 1, 0 },
                           { 0, -0.5, -1, 0.5, 1, 0 },
                           { 0, 2, -1, -2, 1, 0 },
                           { 0, 1, 1.5, -2, -1.5, 1 } } },
    [KD_WINOGRAD_G] = { { { 1, 0, 0, 0, 0 },
                          { -1.0 / 3, -1.0 / 3, -1.0 / 3, -1.0 / 3, -1.0 / 3 },
                          { 1.0 / 3, -1.0 / 3, 1.0 / 3, -1.0 / 3, 1.0 / 3 },
                          { 1.0 / 15, 2.0 / 15, 4.0 / 15, 8.0 / 15, 16.0 / 15 },
                          { -16.0 / 15, 8.0 / 15, -4.0 / 15, 2.0 / 15, -1.0 / 15 },
                          { 0, 0, 0, 0, 1 } } },
    [KD_WINOGRAD_AT] = { { { 1, 1, 1, 1, 1, 0 }, { 0, 1, -1, 2, -0.5, 1 } } },
};

double kd_winograd_coefficient(int64_t taps, KdWinogradMatrix m, bool transposed, int row,
                               int column) {
    const Matrix *x = taps == 3 ? &of_three[m] : &of_five[m];
    return transposed ? x->at[column][row] : x->at[row][column];
}

/* The column whose term a row begins with. */
static int first_column(int64_t taps, KdWinogradMatrix m, bool transposed, int row) {
    int first = -1;
    for (int k = MOST - 1; k >= 0; k--) {
        double a = kd_winograd_coefficient(taps, m, transposed, row, k);
        if (a > 0 || (a < 0 && first < 0)) first = k;
    }
    return first;
}

static LLVMValueRef multiplied(KdEmit *e, double a, LLVMValueRef x) {
    if (a == 1) return x;
    LLVMValueRef factor = kd_emit_splat(e, kd_emit_f32(e, a), kd_lanes_of(x));
    return LLVMBuildFMul(e->b, x, factor, "");
}

void kd_winograd_apply(KdEmit *e, int64_t taps, KdWinogradMatrix m, bool transposed,
                       const LLVMValueRef *x, LLVMValueRef *to, int64_t rows) {
    for (int row = 0; row < rows; row++) {
        int first = first_column(taps, m, transposed, row);
        double a = kd_winograd_coefficient(taps, m, transposed, row, first);
        to[row] = a == -1 ? LLVMBuildFNeg(e->b, x[first], "") : multiplied(e, a, x[first]);
        for (int k = 0; k < MOST; k++) {
            a = kd_winograd_coefficient(taps, m, transposed, row, k);
            if (k == first || a == 0) continue;
            LLVMValueRef term = multiplied(e, a < 0 ? -a : a, x[k]);
            to[row] = a < 0 ? LLVMBuildFSub(e->b, to[row], term, "")
                            : LLVMBuildFAdd(e->b, to[row], term, "");
        }
    }
}

void kd_winograd_compute(int64_t taps, KdWinogradMatrix m, const float *x, float *to, int64_t rows,
                         int64_t step) {
    for (int row = 0; row < rows; row++) {
        int first = first_column(taps, m, false, row);
        float sum = (float)kd_winograd_coefficient(taps, m, false, row, first) * x[first * step];
        for (int k = 0; k < MOST; k++) {
            float a = (float)kd_winograd_coefficient(taps, m, false, row, k);
            if (k == first || a == 0) continue;
            float term = a * x[k * step]; /* on its own: not to be fused with the sum */
            sum += term;
        }
        to[row * step] = sum;
    }
}
