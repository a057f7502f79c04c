/*
 * Reductions that may stand behind a contraction, in its kernel.
 *
 * Over one side of its result: the dims that one operand alone is read at, where the other side is
 * left. So are the gradients of convolutions' biases.
 *
 *     y[n,c,h,w] = Σ x[n,k,…] · w[c,k,…]         n, h, w: the side of x      c: that of w
 *
 * The last dim is among them, along which lanes go. Where it is left, as behind a matrix product, a
 * sum is made in the order of its rows, however many columns there are, by a kernel of its own.
 *
 * Or over windows: a view of what its epilogue makes puts windows, which lie side by side in each
 * sample's planes, into dims of their own. So do pooling layers.
 *
 *     x[n,c,2·h + i,2·w + j]  at  [n,c,h,w,i,j]        max over i, j        y[n,c,h,w]
 */
#include "ir/ir.h"

enum { SIDE_A = 1, SIDE_B = 2, BOTH = SIDE_A | SIDE_B };
enum { MOST_ELEMENTS = 64 }; /* of a window */

/* Which operands are read at a dim of the result. */
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
    bool batch = false, last = false;
    if (t.dtype != KD_F32 || of.dtype != KD_F32 || !kd_shape_equal(t, of) ||
        reduction->op == KD_OP_ARGMAX)
        return false;
    for (int d = 0; d < t.rank; d++) {
        if (t.dim[d] == 1) continue;
        bool reduced = kd_reduces(reduction, d);
        if (readers(c, d) == 0) return false;
        *(reduced ? &gone : &left) |= readers(c, d);
        batch |= reduced && t.dim[d] == KD_BATCH;
        last = reduced;
    }
    return batch && last &&
           ((gone == SIDE_A && left == SIDE_B && is_undivided(&c->b)) ||
            (gone == SIDE_B && left == SIDE_A && is_undivided(&c->a)));
}

/* --- windows ---------------------------------------------------------------------------------- */

/* Are the dims the planes of samples, one behind the other: the batch, then those of the other
 * side, then those of its own, the first of which is *own? */
static bool has_planes(const KdInstr *contraction, int *own) {
    const KdContract *c = contraction->contract;
    KdType t = contraction->results[0]->type;
    if (t.rank < 3 || t.dtype != KD_F32 || t.dim[0] != KD_BATCH || !is_undivided(&c->a) ||
        !is_undivided(&c->b))
        return false;
    int side = readers(c, 0), other = BOTH - side, others = 0;
    *own = 0;
    for (int d = 1; d < t.rank; d++) {
        if (t.dim[d] == 1) continue;
        int reader = readers(c, d);
        if (t.dim[d] == KD_BATCH || (reader != side && reader != other)) return false;
        if (reader == other && *own) return false;
        if (reader == side && *own == 0) *own = d;
        others += reader == other;
    }
    return (side == SIDE_A || side == SIDE_B) && others > 0 && *own > 0;
}

int64_t kd_pool_window(const KdInstr *reduction, int dim) {
    const KdInstr *view = reduction->args[0]->def;
    const KdIndex *x = &view->access->dim[dim];
    return x->nterms == 2 ? view->results[0]->type.dim[x->term[1].iter] : 1;
}

/* Does the index go through windows of dim d, or all of it, by iterator d of those that are kept?
 */
static bool is_window(const KdInstr *reduction, int d) {
    const KdInstr *view = reduction->args[0]->def;
    const KdIndex *x = &view->access->dim[d];
    KdType whole = view->args[0]->type, t = view->results[0]->type;
    if (x->divisor != 1 || x->offset != 0 || x->nterms < 1 || x->term[0].iter != d) return false;
    if (x->nterms == 1) return x->term[0].coeff == 1 && t.dim[d] == whole.dim[d];
    if (x->nterms != 2) return false;
    int64_t size = t.dim[x->term[1].iter];
    return x->term[1].coeff == 1 && x->term[0].coeff == size && t.dim[d] * size == whole.dim[d] &&
           kd_reduces(reduction, x->term[1].iter);
}

bool kd_pools(const KdInstr *contraction, const KdInstr *reduction) {
    const KdInstr *view = reduction->args[0]->def;
    int own;
    if (!view || view->op != KD_OP_VIEW || !has_planes(contraction, &own)) return false;
    KdType whole = view->args[0]->type, t = view->results[0]->type;
    if (!kd_type_equal(whole, contraction->results[0]->type)) return false;
    int64_t elements = 1;
    int windows = 0;
    for (int d = 0; d < whole.rank; d++) {
        if (!is_window(reduction, d) || kd_reduces(reduction, d)) return false;
        int64_t size = kd_pool_window(reduction, d);
        if (size > 1 && d < own) return false;
        windows += view->access->dim[d].nterms == 2;
        elements *= size;
    }
    return windows > 0 && t.rank == whole.rank + windows && elements <= MOST_ELEMENTS;
}
