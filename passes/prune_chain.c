/*
 * Where the channels of a product go: through biases, activations, pooling and flattening, each of
 * which leaves them apart, into the next product, which sums over them.
 */
#include "passes/canonicalize.h"
#include "passes/prune.h"

static bool is_weights(const KdInstr *i, int k) {
    const KdParam *p = kd_param_of_value(i->func->module, i->args[k]);
    return p && p->type.dtype == KD_F32 && p->type.rank >= 2 && i->args[0] != i->args[1];
}

static const KdAccess *access_of(const KdInstr *product, int k) {
    return k ? &product->contract->b : &product->contract->a;
}

/* How many dims of x run over that iterator, alone or not. */
static int count_uses(const KdAccess *x, int iter) {
    int n = 0;
    for (int d = 0; d < x->rank; d++) n += kd_index_uses(&x->dim[d], iter);
    return n;
}

/* --- the two ends ------------------------------------------------------------------------------
 */

static bool begin(KdInstr *product, KdChain *c) {
    *c = (KdChain){ .product = product, .block = 1, .dim = -1, .constant = true };
    for (int k = 1; k >= 0 && c->dim < 0; k--) {
        if (!is_weights(product, k)) continue;
        const KdAccess *own = access_of(product, k), *other = access_of(product, 1 - k);
        for (int d = 0; d < product->results[0]->type.rank; d++) {
            if (!kd_index_is_iter(&own->dim[0], d) || count_uses(own, d) != 1) continue;
            if (count_uses(other, d)) continue;
            c->dim = d;
            c->weights = k;
        }
    }
    if (c->dim < 0) return false;
    c->channels = product->results[0]->type.dim[c->dim];
    return c->channels == product->args[c->weights]->type.dim[0];
}

/* Does the sum meet every element of a channel's weights [out, in, …] once? */
static bool sums_all_taps(const KdInstr *reader, const KdAccess *own, KdType weights) {
    int rank = reader->results[0]->type.rank;
    for (int d = 2; d < weights.rank; d++) {
        int iter = own->dim[d].nterms == 1 ? own->dim[d].term[0].iter : 0;
        if (iter < rank || !kd_index_is_iter(&own->dim[d], iter) || count_uses(own, iter) != 1 ||
            reader->contract->over[iter - rank] != weights.dim[d])
            return false;
    }
    return true;
}

/* `reader` sums dim `dim` of v, element by element, against dim 1 of its weights. */
static bool end(KdInstr *reader, const KdValue *v, int dim, KdChain *c) {
    int k = reader->args[0] == v ? 1 : 0, rank = reader->results[0]->type.rank;
    if (!is_weights(reader, k) || reader->args[1 - k] != v) return false;
    const KdAccess *own = access_of(reader, k), *other = access_of(reader, 1 - k);
    for (int over = 0; over < reader->contract->nover; over++) {
        int iter = rank + over;
        if (!kd_index_is_iter(&own->dim[1], iter) || count_uses(own, iter) != 1) continue;
        if (!kd_index_is_iter(&other->dim[dim], iter) || count_uses(other, iter) != 1) continue;
        if (reader->args[k]->type.dim[1] != v->type.dim[dim]) return false;
        int64_t extent[KD_MAX_ITERS];
        for (int d = 0; d < rank; d++) extent[d] = reader->results[0]->type.dim[d];
        for (int d = 0; d < reader->contract->nover; d++)
            extent[rank + d] = reader->contract->over[d];
        c->constant &= kd_access_inside(other, extent, &v->type) &&
                       sums_all_taps(reader, own, reader->args[k]->type);
        c->reader = reader;
        c->reader_weights = k;
        c->over = over;
        return true;
    }
    return false;
}

/* --- what lies between -------------------------------------------------------------------------
 */

/* The other operand of an op of two must be a constant, or one number per channel. */
static bool link_elementwise(KdLink *l, const KdLink *before) {
    KdInstr *i = l->i;
    if (i->nargs > 2 || i->results[0]->type.dtype != KD_F32 || i->site) return false;
    if (i->nargs == 1) return true;
    const KdInstr *other = i->args[1 - l->chain]->def;
    if (i->args[0] == i->args[1] || !other) return false;
    if (other->op == KD_OP_CONSTANT) return true;
    if (other->op != KD_OP_VIEW || before->block != 1 || other->args[0]->type.rank != 1)
        return false;
    l->vector = other->args[0];
    return kd_index_is_iter(&other->access->dim[0], before->dim) &&
           l->vector->type.dim[0] == i->results[0]->type.dim[before->dim];
}

static bool link_view(KdLink *l, const KdLink *before, bool *constant) {
    const KdAccess *x = l->i->access;
    KdType from = l->i->args[0]->type, to = l->i->results[0]->type;
    *constant &= kd_access_inside(x, to.dim, &from);
    for (int d = 0; d < to.rank; d++) {
        if (!kd_index_is_iter(&x->dim[before->dim], d) || count_uses(x, d) != 1) continue;
        l->dim = d;
        return to.dim[d] == from.dim[before->dim];
    }
    return false;
}

static bool link_reduce(KdLink *l, const KdLink *before, bool *constant) {
    const KdAttr *axes = kd_attr_find(l->i->attrs, "axes");
    *constant &= l->i->op == KD_OP_REDUCE_MAX;
    for (int k = 0; k < axes->nints; k++) {
        if (axes->ints[k] == before->dim) return false;
        l->dim -= axes->ints[k] < before->dim;
    }
    return l->i->results[0]->type.dtype == KD_F32;
}

/* Channels stay a dim of their own, or are joined with all that lies behind them. */
static bool link_reshape(KdLink *l, const KdLink *before) {
    KdType from = l->i->args[0]->type, to = l->i->results[0]->type;
    int64_t behind = 1;
    for (int d = 0; d < before->dim; d++)
        if (d >= to.rank || to.dim[d] != from.dim[d]) return false;
    for (int d = before->dim + 1; d < from.rank; d++) behind *= from.dim[d];
    if (before->dim >= to.rank) return false;
    if (to.dim[before->dim] == from.dim[before->dim]) return true;
    l->block = before->block * behind;
    return to.rank == before->dim + 1 && to.dim[before->dim] == from.dim[before->dim] * behind;
}

static bool add_link(KdLink *l, const KdLink *before, bool *constant) {
    const KdInstr *i = l->i;
    if (i->nresults != 1) return false;
    if (kd_op_has(i->op, KD_T_ELEMENTWISE)) return link_elementwise(l, before);
    if (kd_op_has(i->op, KD_T_REDUCTION)) return link_reduce(l, before, constant);
    if (i->op == KD_OP_VIEW) return link_view(l, before, constant);
    return i->op == KD_OP_RESHAPE && link_reshape(l, before);
}

static KdInstr *user_of(const KdValue *v, int *operand) {
    for (KdInstr *i = v->def->next; i; i = i->next)
        for (int k = 0; k < i->nargs; k++)
            if (i->args[k] == v) {
                *operand = k;
                return i;
            }
    return NULL;
}

bool kd_chain_find(KdInstr *product, const int *uses, KdChain *c) {
    if (!begin(product, c)) return false;
    KdLink last = { .i = product, .dim = c->dim, .block = 1 };
    while (uses[last.i->results[0]->id] == 1 && c->n < KD_MAX_LINKS) {
        KdLink next = { .dim = last.dim, .block = last.block };
        next.i = user_of(last.i->results[0], &next.chain);
        c->block = last.block;
        if (!next.i) return false;
        if (next.i->op == KD_OP_CONTRACT) return end(next.i, last.i->results[0], last.dim, c);
        if (!add_link(&next, &last, &c->constant)) return false;
        last = c->link[c->n++] = next;
    }
    return false;
}
