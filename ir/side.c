/*
 * The sides of a contraction's result: dims that one operand alone is read at, and those that the
 * other is.
 *
 *     y[n,c,h,w] = Σ x[n,k,…] · w[c,k,…]         n, h, w: the side of x      c: that of w
 */
#include "ir/ir.h"

enum { SIDE_A = 1, SIDE_B = 2 };

static int readers(const KdContract *c, int dim) {
    return (kd_access_uses(&c->a, dim) ? SIDE_A : 0) | (kd_access_uses(&c->b, dim) ? SIDE_B : 0);
}

static bool is_undivided(const KdAccess *x) {
    for (int d = 0; d < x->rank; d++)
        if (x->dim[d].divisor != 1) return false;
    return true;
}

bool kd_reduces_side(const KdInstr *contraction, const KdInstr *reduction) {
    const KdContract *c = contraction->contract;
    KdType t = contraction->results[0]->type, of = reduction->args[0]->type;
    int gone = 0, left = 0;
    bool batch = false;
    if (t.dtype != KD_F32 || of.dtype != KD_F32 || !kd_shape_equal(t, of) ||
        reduction->op == KD_OP_ARGMAX)
        return false;
    for (int d = 0; d < t.rank; d++) {
        if (t.dim[d] == 1) continue;
        bool reduced = kd_reduces(reduction, d);
        *(reduced ? &gone : &left) |= readers(c, d);
        if (readers(c, d) == 0) return false;
        batch |= reduced && t.dim[d] == KD_BATCH;
    }
    return batch && ((gone == SIDE_A && left == SIDE_B && is_undivided(&c->b)) ||
                     (gone == SIDE_B && left == SIDE_A && is_undivided(&c->a)));
}
