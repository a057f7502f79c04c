/*
 * What kernel a set of nodes makes, by the rules of ir/README.md, "The kernel level", narrowed by
 * one thought: nothing costly is computed more than once an element, and a reduction is never
 * computed again for each reader of its result.
 */
#include "passes/fuse.h"

enum {
    MAX_MAP_REDUCTION = 64,
    MAX_ROW = 4096,
    MAX_SPREAD = 4,
    MIN_SLICES = 8,
    MAX_SAMPLE_SHARE = 4
};

const char *kd_kind_name(KdKind k) {
    static const char *const name[] = { "", "map", "reduce", "row", "norm", "contract", "single" };
    return name[k];
}

/* --- the set -------------------------------------------------------------------------------- */

void kd_fuse_mark(KdFuse *s, int n, const int *member) {
    s->stamp++;
    for (int k = 0; k < n; k++) s->mark[member[k]] = s->stamp;
}

bool kd_fuse_marked(const KdFuse *s, int node) {
    return node >= 0 && s->mark[node] == s->stamp;
}

bool kd_fuse_escapes(const KdFuse *s, int node) {
    const KdNode *n = &s->node[node];
    /* What nobody reads still has to happen (print), and a kernel has to have a result. */
    if (n->needs_value || n->nusers == 0) return true;
    for (int k = 0; k < n->nusers; k++)
        if (!kd_fuse_marked(s, n->user[k])) return true;
    return false;
}

/* What is known of the members while rules look at them, by position in `member`. */
typedef struct Set {
    const KdFuse *s;
    int n;
    const int *member;
    const bool *heavy;   /* costly, or computed from something costly in the set */
    const bool *reduced; /* computed from a reduction's result in the set, or one itself */
    int nreductions, ncontractions;
    const KdInstr *reduction, *contraction; /* the first */
} Set;

static const KdNode *member(const Set *x, int k) {
    return &x->s->node[x->member[k]];
}

/* Position of a node in the set, or -1. Members ascend. */
static int position(const Set *x, int node) {
    if (!kd_fuse_marked(x->s, node)) return -1;
    int low = 0, high = x->n - 1;
    while (low < high) {
        int mid = (low + high) / 2;
        if (x->member[mid] < node)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_reduction(const KdNode *n) {
    return kd_op_has(n->i->op, KD_T_REDUCTION);
}

static bool is_same_reduction(const KdInstr *i, const KdInstr *j) {
    const KdAttr *x = kd_attr_find(i->attrs, "axes"), *y = kd_attr_find(j->attrs, "axes");
    if (!x || !y || x->nints != y->nints) return false;
    for (int k = 0; k < x->nints; k++)
        if (x->ints[k] != y->ints[k]) return false;
    return kd_shape_equal(i->args[0]->type, j->args[0]->type);
}

/* Do all results that leave the set have this shape? */
static bool all_escape_as(const Set *x, KdType shape) {
    for (int k = 0; k < x->n; k++)
        if (kd_fuse_escapes(x->s, x->member[k]) &&
            !kd_shape_equal(kd_node_type(member(x, k)), shape))
            return false;
    return true;
}

static int64_t reduced_elements(const KdInstr *i) {
    KdType t = i->args[0]->type;
    const KdAttr *axes = kd_attr_find(i->attrs, "axes");
    int64_t n = 1;
    for (int k = 0; axes && k < axes->nints; k++) {
        if (t.dim[axes->ints[k]] < 0) return KD_MAX_ELEMENTS;
        n *= t.dim[axes->ints[k]];
    }
    return n;
}

/* A broadcast of row scalars [R…] over their rows: dim k reads d_k. */
static bool is_row_broadcast(const KdInstr *view) {
    return kd_view_is_broadcast(view) && kd_access_is_identity(view->access);
}

/* --- contract ------------------------------------------------------------------------------- */

bool kd_fuse_keeps_sample(const KdFunc *f, KdType t) {
    return kd_type_bytes(t, 1, 1) <= f->module->target.l2_bytes / MAX_SAMPLE_SHARE;
}

static bool is_pooling(const Set *x, const KdNode *n) {
    return kd_pools(x->contraction, n->i) &&
           kd_fuse_keeps_sample(x->s->f, x->contraction->results[0]->type);
}

/* Has member k a shape that it may have? A reduction that is spread again stays with those that
 * read it, as a norm. */
static bool is_in_contract(const Set *x, int k) {
    const KdNode *n = member(x, k);
    KdType t = kd_node_type(n);
    if (is_reduction(n))
        return is_same_reduction(n->i, x->reduction) &&
               (is_pooling(x, n) || (kd_reduces_side(x->contraction, n->i) && !n->spread));
    if (!x->reduced[k] && kd_shape_equal(t, x->contraction->results[0]->type)) return true;
    return x->nreductions > 0 && kd_shape_equal(t, x->reduction->results[0]->type);
}

/* Reductions read what the tile has at hand, or windows of it, and not one another. */
static bool has_contract_reads(const Set *x, const KdNode *n) {
    bool made = !is_reduction(n);
    for (int j = 0; j < n->nreads; j++) {
        const KdRead *r = &n->read[j];
        int at = position(x, r->from);
        bool moves = r->moves && !(is_reduction(n) && r->via == n->i->args[0]->def);
        if (at >= 0 && (n->i == x->contraction || moves)) return false;
        if (r->moves > 1 || (r->moves && r->via->op != KD_OP_VIEW)) return false;
        if (at >= 0 && is_reduction(n) && x->reduced[at]) return false;
        made |= at >= 0;
    }
    return made;
}

static bool is_contract(const Set *x) {
    for (int k = 0; k < x->n; k++) {
        const KdNode *n = member(x, k);
        bool epilogue = kd_op_has(n->i->op, KD_T_ELEMENTWISE) || is_reduction(n);
        if (n->i != x->contraction && !epilogue) return false;
        if (!is_in_contract(x, k) || !has_contract_reads(x, n)) return false;
    }
    return true;
}

/* --- map and reduce ------------------------------------------------------------------------- */

/* May a value of the set be read at other indices by its reader, which computes it there? */
static bool may_move(const Set *x, const KdRead *r, int at) {
    if (r->moves == 0) return true;
    if (r->moves > 1 || r->via->op != KD_OP_VIEW || x->heavy[at] || x->reduced[at]) return false;
    if (kd_fuse_escapes(x->s, r->from)) return false;
    if (kd_view_is_broadcast(r->via)) return true;
    int64_t source = kd_type_elements(r->v->type, 1, 1);
    return kd_type_elements(r->via->results[0]->type, 1, 1) <= MAX_SPREAD * source;
}

/* What map and reduce ask alike: reads that a loop nest over results can follow. */
static bool has_plain_reads(const Set *x) {
    for (int k = 0; k < x->n; k++) {
        const KdNode *n = member(x, k);
        for (int j = 0; j < n->nreads; j++) {
            int at = position(x, n->read[j].from);
            if (at < 0) continue;
            if (!may_move(x, &n->read[j], at)) return false;
            if (is_reduction(n) && x->reduced[at]) return false;
            if (is_reduction(n) && x->heavy[at] && x->nreductions > 1) return false;
        }
    }
    return true;
}

static bool is_map(const Set *x) {
    KdType shape = kd_node_type(member(x, x->n - 1));
    if (!all_escape_as(x, shape) || !has_plain_reads(x)) return false;
    for (int k = 0; k < x->n; k++) {
        const KdNode *n = member(x, k);
        if (is_reduction(n) && reduced_elements(n->i) > MAX_MAP_REDUCTION) return false;
        /* Behind a reduction everything is done at the results' own index. */
        if (x->reduced[k] && !kd_shape_equal(kd_node_type(n), shape)) return false;
    }
    return true;
}

static bool is_reduce(const Set *x) {
    KdType from = x->reduction->args[0]->type, to = x->reduction->results[0]->type;
    if (!all_escape_as(x, to)) return false;
    for (int k = 0; k < x->n; k++) {
        const KdNode *n = member(x, k);
        if (is_reduction(n) && !is_same_reduction(n->i, x->reduction)) return false;
        KdType t = kd_node_type(n);
        if (x->reduced[k] && !kd_shape_equal(t, to)) return false;
        if (!kd_shape_equal(t, to) && !kd_shape_equal(t, from)) return false;
        for (int j = 0; j < n->nreads; j++) {
            int at = position(x, n->read[j].from);
            if (at < 0) continue;
            if (!may_move(x, &n->read[j], at)) return false;
            if (is_reduction(n) && x->reduced[at]) return false;
        }
    }
    return true;
}

/* --- row ------------------------------------------------------------------------------------ */

/* Reads of a row kernel: in the set the same index, or a row's scalar; from outside anything that
 * runs along the row without a window. */
static bool has_row_reads(const Set *x, const KdNode *n) {
    for (int j = 0; j < n->nreads; j++) {
        const KdRead *r = &n->read[j];
        bool inside = kd_fuse_marked(x->s, r->from);
        if (!inside && !r->plain) return false;
        if (inside && r->moves && (r->moves > 1 || !is_row_broadcast(r->via))) return false;
    }
    return true;
}

/* Would a random op in a row kernel, whose vectors are of one row, fill too few of their lanes? In
 * a kernel of its own it fills all. */
static bool wastes_lanes(const Set *x, const KdInstr *i, const KdInstr *reduction) {
    int lanes = x->s->f->module->target.vector_bits / 32;
    bool whole = kd_shape_equal(i->results[0]->type, reduction->args[0]->type);
    int64_t used = whole ? reduced_elements(reduction) : 1;
    int64_t taken = (used + lanes - 1) / lanes * lanes;
    return kd_op_has(i->op, KD_T_RANDOM) && 4 * used < 3 * taken;
}

static bool is_row(const Set *x) {
    KdType row = x->reduction->args[0]->type, scalar = x->reduction->results[0]->type;
    if (scalar.rank == 0 || reduced_elements(x->reduction) > MAX_ROW) return false;
    const KdAttr *axes = kd_attr_find(x->reduction->attrs, "axes");
    for (int k = 0; k < axes->nints; k++)
        if (axes->ints[k] < scalar.rank) return false;
    for (int k = 0; k < x->n; k++) {
        const KdNode *n = member(x, k);
        unsigned traits = kd_op_info(n->i->op)->traits;
        if (is_reduction(n) && !is_same_reduction(n->i, x->reduction)) return false;
        if (!is_reduction(n) && !(traits & (KD_T_ELEMENTWISE | KD_T_RANDOM))) return false;
        if (wastes_lanes(x, n->i, x->reduction)) return false;
        KdType t = kd_node_type(n);
        if (!kd_shape_equal(t, row) && !kd_shape_equal(t, scalar)) return false;
        if (!has_row_reads(x, n)) return false;
    }
    return true;
}

/* --- norm ----------------------------------------------------------------------------------- */

/* A broadcast of what a reduction leaves over what it went over: dim k reads the k-th dim that was
 * kept. */
static bool is_slice_broadcast(const KdInstr *view, const KdInstr *reduction) {
    if (!kd_view_is_broadcast(view)) return false;
    for (int k = 0, dim = 0; k < view->access->rank; k++, dim++) {
        while (kd_reduces(reduction, dim)) dim++;
        const KdIndex *at = &view->access->dim[k];
        if (at->nterms != 1 || at->term[0].iter != dim) return false;
    }
    return true;
}

static bool has_slice_reads(const Set *x, const KdNode *n) {
    for (int j = 0; j < n->nreads; j++) {
        const KdRead *r = &n->read[j];
        int at = position(x, r->from);
        if (at < 0 && !r->plain) return false;
        if (at < 0 || r->moves == 0) continue;
        KdType kept = x->reduction->results[0]->type;
        if (r->moves > 1 || !kd_shape_equal(kd_node_type(member(x, at)), kept)) return false;
        if (!is_slice_broadcast(r->via, x->reduction)) return false;
    }
    return true;
}

/* Is the member costly at each element of the slices, or computed from one that is? */
static bool is_costly_whole(const Set *x, int k, KdType whole, bool *costly) {
    const KdNode *n = member(x, k);
    costly[k] = kd_op_has(n->i->op, KD_T_COSTLY) && kd_shape_equal(kd_node_type(n), whole);
    for (int j = 0; j < n->nreads; j++) {
        int at = position(x, n->read[j].from);
        costly[k] |= at >= 0 && costly[at] && !is_reduction(member(x, at));
    }
    return costly[k];
}

/* A slice is gone through once for each reduction that needs an earlier one, and once for results
 * that need them; each time by the core that has it. */
static bool is_norm(const Set *x) {
    KdType whole = x->reduction->args[0]->type, kept = x->reduction->results[0]->type;
    int64_t batch = x->s->f->max_batch ? x->s->f->max_batch : 1;
    if (kept.rank == 0 || kd_type_elements(kept, batch, 1) < MIN_SLICES) return false;
    if (!kd_reduces(x->reduction, whole.rank - 1)) return false;
    bool *costly = KD_NEW_ARRAY(x->s->a, bool, x->n), normalizes = false;
    for (int k = 0; k < x->n; k++) {
        const KdNode *n = member(x, k);
        unsigned traits = kd_op_info(n->i->op)->traits;
        KdType t = kd_node_type(n);
        if (is_reduction(n) && (!is_same_reduction(n->i, x->reduction) || n->i->op == KD_OP_ARGMAX))
            return false;
        if (!is_reduction(n) && !(traits & (KD_T_ELEMENTWISE | KD_T_RANDOM))) return false;
        if (!kd_shape_equal(t, whole) && !kd_shape_equal(t, kept)) return false;
        if (!has_slice_reads(x, n)) return false;
        if (is_costly_whole(x, k, whole, costly) && is_reduction(n)) return false;
        normalizes |= x->reduced[k] && kd_shape_equal(t, whole);
    }
    return normalizes;
}

/* --- all ------------------------------------------------------------------------------------ */

static bool is_kernel_op(const KdNode *n) {
    unsigned may = KD_T_ELEMENTWISE | KD_T_LEAF | KD_T_RANDOM | KD_T_MOVEMENT | KD_T_REDUCTION |
                   KD_T_CONTRACTION;
    return (kd_op_info(n->i->op)->traits & may) != 0 && n->class == KD_NODE_CORE;
}

static void note_flags(Set *x, bool *heavy, bool *reduced) {
    for (int k = 0; k < x->n; k++) {
        const KdNode *n = member(x, k);
        heavy[k] = kd_op_has(n->i->op, KD_T_COSTLY);
        reduced[k] = is_reduction(n);
        for (int j = 0; j < n->nreads; j++) {
            int at = position(x, n->read[j].from);
            if (at < 0) continue;
            heavy[k] |= heavy[at];
            reduced[k] |= reduced[at];
        }
        if (is_reduction(n) && x->nreductions++ == 0) x->reduction = n->i;
        if (kd_op_has(n->i->op, KD_T_CONTRACTION) && x->ncontractions++ == 0) x->contraction = n->i;
    }
}

KdKind kd_fuse_classify(const KdFuse *s, int n, const int *members) {
    if (n == 1 && !is_kernel_op(&s->node[members[0]])) return KD_KIND_SINGLE;
    for (int k = 0; k < n; k++)
        if (!is_kernel_op(&s->node[members[k]])) return KD_KIND_NONE;
    bool *heavy = KD_NEW_ARRAY(s->a, bool, n), *reduced = KD_NEW_ARRAY(s->a, bool, n);
    Set x = { .s = s, .n = n, .member = members, .heavy = heavy, .reduced = reduced };
    note_flags(&x, heavy, reduced);
    if (x.ncontractions > 1) return KD_KIND_NONE;
    if (x.ncontractions == 1) return is_contract(&x) ? KD_KIND_CONTRACT : KD_KIND_NONE;
    if (x.nreductions == 0) return is_map(&x) ? KD_KIND_MAP : KD_KIND_NONE;
    if (is_row(&x)) return KD_KIND_ROW;
    if (is_map(&x)) return KD_KIND_MAP;
    if (is_reduce(&x)) return KD_KIND_REDUCE;
    return is_norm(&x) ? KD_KIND_NORM : KD_KIND_NONE;
}
