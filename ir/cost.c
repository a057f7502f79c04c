/*
 * Counting by shapes: a contraction is its result's elements times what each sums, times two;
 * any other arithmetic counts one for each element. Movement and leaves count nothing; operands
 * count as often as memory has to give them, once.
 */
#include "ir/cost.h"

static double extent_of(int64_t extent, double n) {
    return extent < 0 ? n : (double)extent; /* of a data set, a batch reads its own rows */
}

static double elements_of(KdType t, double n) {
    double count = 1;
    for (int d = 0; d < t.rank; d++) count *= extent_of(t.dim[d], n);
    return count;
}

/* Where a gradient reaches over the edges of what it reads (a window's adjoint), only as many of
 * its columns as there are elements to read. */
static double inside(const KdInstr *op, int side, double n) {
    KdType t = op->results[0]->type, from = op->args[side]->type;
    const KdAccess *access = side ? &op->contract->b : &op->contract->a;
    double share = 1;
    for (int d = 0; d < from.rank; d++) {
        const KdIndex *at = &access->dim[d];
        if (at->nterms != 2) continue;
        for (int k = 0; k < 2; k++) {
            int it = at->term[k].iter;
            double have = extent_of(from.dim[d], n);
            bool adjoint =
                it < t.rank && at->term[k].coeff == 1 && have > 0 && extent_of(t.dim[it], n) > have;
            if (adjoint) share *= have / extent_of(t.dim[it], n);
        }
    }
    return share;
}

static double contraction(const KdInstr *op, double n) {
    double flops = 2 * elements_of(op->results[0]->type, n);
    for (int k = 0; k < op->contract->nover; k++) flops *= extent_of(op->contract->over[k], n);
    return flops * inside(op, 0, n) * inside(op, 1, n);
}

static void count(KdCost *c, const KdInstr *i, double n) {
    if (kd_op_has(i->op, KD_T_CONTRACTION)) {
        c->contraction += contraction(i, n);
    } else if (kd_op_has(i->op, KD_T_REDUCTION)) {
        c->elementwise += elements_of(i->args[0]->type, n);
    } else if (kd_op_has(i->op, KD_T_ELEMENTWISE) || kd_op_has(i->op, KD_T_RANDOM)) {
        c->elementwise += elements_of(i->results[0]->type, n);
    }
}

static double bytes_of(const KdValue *v, double n) {
    return elements_of(v->type, n) * (double)kd_dtype_size(v->type.dtype);
}

KdCost kd_cost(const KdInstr *kernel, double n) {
    KdCost c = { 0 };
    if (kernel->body) {
        KD_EACH_INSTR(i, kernel->body) count(&c, i, n);
    } else {
        count(&c, kernel, n);
    }
    for (int k = 0; k < kernel->nargs; k++) {
        bool again = false;
        for (int j = 0; j < k; j++) again |= kernel->args[j] == kernel->args[k];
        if (!again) c.bytes += bytes_of(kernel->args[k], n);
    }
    for (int k = 0; k < kernel->nresults; k++) c.bytes += bytes_of(kernel->results[k], n);
    return c;
}
