/*
 * The function as nodes: which instructions become part of kernels, which are copied into each
 * kernel that reads them, which stay between kernels; and what each reads and who reads it.
 */
#include "ir/alias.h"
#include "passes/fuse.h"

int kd_fuse_node(const KdFuse *s, const KdValue *v) {
    return v->id < s->nvalues ? s->node_of[v->id] : -1;
}

/* --- classes -------------------------------------------------------------------------------- */

/* Ops with a loop nest of their own, whose operands must lie in memory. */
static bool is_alone(const KdInstr *i) {
    unsigned known = KD_T_ELEMENTWISE | KD_T_LEAF | KD_T_RANDOM | KD_T_MOVEMENT | KD_T_REDUCTION;
    return (kd_op_info(i->op)->traits & known) == 0;
}

bool kd_fuse_in_memory(const KdValue *v) {
    while (v->def && v->def->op != KD_OP_SLAB && kd_instr_is_alias(v->def)) v = v->def->args[0];
    return !v->def || v->def->op == KD_OP_SLAB;
}

/* A slice is a pointer when its source lies in memory anyway; else it is read like other views. */
static bool is_kept(const KdNode *n) {
    if (kd_op_has(n->i->op, KD_T_STRUCTURE)) return true;
    if (!kd_instr_is_alias(n->i)) return false;
    return n->i->op != KD_OP_VIEW || n->needs_value || kd_fuse_in_memory(n->i->results[0]);
}

/* Weights as they are stored, which a contraction widens where it reads them. */
static bool is_widening(const KdInstr *i) {
    return i->op == KD_OP_CAST && !i->args[0]->def && kd_dtype_is_stored(i->args[0]->type.dtype);
}

static void need_operands(KdFuse *s, const KdNode *n) {
    for (int k = 0; k < n->i->nargs; k++) {
        int x = kd_fuse_node(s, n->i->args[k]);
        if (x < 0 || (kd_op_has(n->i->op, KD_T_CONTRACTION) && is_widening(s->node[x].i))) continue;
        s->node[x].needs_value = true;
    }
}

/* From the last to the first: what is used at all, and what must be whole in memory. */
static void find_needs(KdFuse *s) {
    for (int k = 0; k < s->f->nresults; k++) {
        int x = kd_fuse_node(s, s->f->results[k]);
        if (x < 0) continue;
        s->node[x].needs_value = true;
        s->node[x].class = KD_NODE_CORE;
    }
    for (int k = s->nnodes - 1; k >= 0; k--) {
        KdNode *n = &s->node[k];
        if (kd_op_has(n->i->op, KD_T_EFFECT)) n->class = KD_NODE_CORE;
        if (n->class == KD_NODE_DEAD) continue;
        if (is_kept(n)) n->class = KD_NODE_KEPT;
        if (n->class == KD_NODE_KEPT || is_alone(n->i)) need_operands(s, n);
        for (int j = 0; j < n->i->nargs; j++) {
            int x = kd_fuse_node(s, n->i->args[j]);
            if (x >= 0 && s->node[x].class == KD_NODE_DEAD) s->node[x].class = KD_NODE_CORE;
        }
    }
}

/* Do the operands lie in memory, or are copied themselves? `leaves`: the latter only. */
static bool has_free_operands(const KdFuse *s, const KdInstr *i, bool leaves) {
    for (int k = 0; k < i->nargs; k++) {
        int x = kd_fuse_node(s, i->args[k]);
        if (x >= 0 && s->node[x].class == KD_NODE_CORE) return false;
        if (leaves && (x < 0 || s->node[x].class == KD_NODE_KEPT)) return false;
    }
    return true;
}

/* Cheap enough to be computed again in every kernel that reads it. Rank 0 always is: it is
 * computed once per kernel, outside of the loops. */
static bool is_cheap(const KdFuse *s, const KdInstr *i) {
    if (kd_op_has(i->op, KD_T_LEAF) || i->op == KD_OP_VIEW) return true;
    if (i->op == KD_OP_GATHER) return has_free_operands(s, i, false);
    if (!kd_op_has(i->op, KD_T_ELEMENTWISE)) return false;
    if (i->results[0]->type.rank == 0) return true;
    if (i->op == KD_OP_CAST || i->op == KD_OP_DETACH) return has_free_operands(s, i, false);
    return !kd_op_has(i->op, KD_T_COSTLY) && has_free_operands(s, i, true);
}

/* By value id: is it summed over the batch? Then it has to be in memory before anything that is
 * computed with the sum. */
static bool *find_summed(const KdFuse *s) {
    bool *summed = KD_NEW_ARRAY(s->a, bool, s->nvalues);
    KD_EACH_INSTR(i, s->f) {
        const KdAttr *axes = kd_attr_find(i->attrs, "axes");
        if (!kd_op_has(i->op, KD_T_REDUCTION) || !axes) continue;
        for (int k = 0; k < axes->nints; k++)
            if (i->args[0]->type.dim[axes->ints[k]] == KD_BATCH) summed[i->args[0]->id] = true;
    }
    return summed;
}

/* Is it a summed value with what goes with its sums, as x - mean? To store that too would cost what
 * computing it again does not: its readers read x. */
static bool is_centred(const KdFuse *s, const KdInstr *i, const bool *summed) {
    if (!kd_op_has(i->op, KD_T_ELEMENTWISE) || kd_op_has(i->op, KD_T_COSTLY)) return false;
    int whole = 0;
    for (int k = 0; k < i->nargs; k++) {
        int x = kd_fuse_node(s, i->args[k]);
        if (summed[i->args[k]->id])
            whole++;
        else if (x < 0 || s->node[x].i->op != KD_OP_VIEW || s->node[x].class != KD_NODE_COPIED ||
                 !kd_view_is_broadcast(s->node[x].i))
            return false;
    }
    return whole == 1 && i->nargs == 2;
}

/* A longer chain of copied nodes ends in memory: each kernel would have all of it. */
enum { MOST_DEPTH = 64 };

static int copied_depth(const KdFuse *s, const KdInstr *i) {
    int depth = 0;
    for (int k = 0; k < i->nargs; k++) {
        int x = kd_fuse_node(s, i->args[k]);
        if (x >= 0 && s->node[x].class == KD_NODE_COPIED && s->node[x].depth > depth)
            depth = s->node[x].depth;
    }
    return depth + 1;
}

static void find_copied(KdFuse *s) {
    const bool *summed = find_summed(s);
    for (int k = 0; k < s->nnodes; k++) {
        KdNode *n = &s->node[k];
        if (n->class != KD_NODE_CORE || n->needs_value) continue;
        if (!is_cheap(s, n->i) && !is_centred(s, n->i, summed)) continue;
        n->depth = copied_depth(s, n->i);
        if (n->depth <= MOST_DEPTH) n->class = KD_NODE_COPIED;
    }
}

bool kd_view_is_broadcast(const KdInstr *view) {
    if (view->op != KD_OP_VIEW) return false;
    int last = -1;
    for (int k = 0; k < view->access->rank; k++) {
        const KdIndex *x = &view->access->dim[k];
        bool constant = x->nterms == 0;
        bool iter = x->nterms == 1 && x->term[0].coeff == 1 && x->offset == 0 && x->divisor == 1;
        if (!constant && (!iter || x->term[0].iter <= last)) return false;
        if (iter) last = x->term[0].iter;
    }
    return true;
}

/* --- reads and users ------------------------------------------------------------------------ */

typedef struct Path {
    int moves;
    bool plain;
    const KdInstr *via;
} Path;

static void add_read(KdFuse *s, KdNode *n, KdValue *v, Path p) {
    int from = kd_fuse_node(s, v);
    for (int k = 0; k < n->nreads; k++) {
        const KdRead *r = &n->read[k];
        if (r->v == v && r->moves == p.moves && r->via == p.via && r->plain == p.plain) return;
    }
    n->read = KD_GROW_ARRAY(s->a, n->read, n->nreads);
    n->read[n->nreads++] =
        (KdRead){ .v = v, .from = from, .moves = p.moves, .via = p.via, .plain = p.plain };
}

/* The paths by which a copied node was reached from `reader`. */
typedef struct Visits {
    const KdNode *reader;
    int n;
    Path *path;
} Visits;

/* The first visit of the reader on that path? Others would find what this one does; in a chain of
 * y = y + y they are twice as many at each link. */
static bool is_first_visit(KdFuse *s, Visits *v, const KdNode *reader, Path p) {
    if (v->reader != reader) *v = (Visits){ .reader = reader };
    for (int k = 0; k < v->n; k++)
        if (v->path[k].moves == p.moves && v->path[k].via == p.via && v->path[k].plain == p.plain)
            return false;
    v->path = KD_GROW_ARRAY(s->a, v->path, v->n);
    v->path[v->n++] = p;
    return true;
}

/* Follows the operands of `i` through copied nodes; `visits` is by node. */
static void find_reads(KdFuse *s, Visits *visits, KdNode *n, const KdInstr *i, Path p) {
    if (kd_op_has(i->op, KD_T_MOVEMENT) && n->class == KD_NODE_CORE) {
        p.moves++;
        p.plain &= i->op == KD_OP_GATHER || kd_view_is_broadcast(i);
        p.via = i;
    }
    for (int k = 0; k < i->nargs; k++) {
        int x = kd_fuse_node(s, i->args[k]);
        if (x < 0 || s->node[x].class != KD_NODE_COPIED)
            add_read(s, n, i->args[k], p);
        else if (is_first_visit(s, &visits[x], n, p))
            find_reads(s, visits, n, s->node[x].i, p);
    }
}

static void add_user(KdFuse *s, int of, int user) {
    KdNode *n = &s->node[of];
    if (n->nusers && n->user[n->nusers - 1] == user) return;
    n->user = KD_GROW_ARRAY(s->a, n->user, n->nusers);
    n->user[n->nusers++] = user;
}

/* Does a user of `n` read it for more elements than it has, or so what it computes of them? */
static bool is_spread(const KdFuse *s, const KdNode *n) {
    int64_t batch = s->f->max_batch, have = kd_type_elements(kd_node_type(n), batch, 1);
    for (int k = 0; k < n->nusers; k++) {
        const KdNode *user = &s->node[n->user[k]];
        if (user->i->op == KD_OP_SLAB) continue;
        int64_t more = kd_type_elements(kd_node_type(user), batch, 1);
        if (more > have || (more == have && user->spread)) return true;
    }
    return false;
}

void kd_fuse_build_nodes(KdFuse *s) {
    KD_EACH_INSTR(i, s->f) s->nnodes++;
    s->node = KD_NEW_ARRAY(s->a, KdNode, s->nnodes);
    s->mark = KD_NEW_ARRAY(s->a, int, s->nnodes);
    s->nvalues = s->f->nvalues;
    s->node_of = KD_NEW_ARRAY(s->a, int, s->nvalues);
    s->counted = KD_NEW_ARRAY(s->a, int, s->nvalues);
    for (int k = 0; k < s->nvalues; k++) s->node_of[k] = -1;
    int at = 0;
    KD_EACH_INSTR(i, s->f) {
        for (int k = 0; k < i->nresults; k++) s->node_of[i->results[k]->id] = at;
        s->node[at++] = (KdNode){ .i = i, .after = -1, .group = -1 };
    }
    find_needs(s);
    find_copied(s);
    Visits *visits = KD_NEW_ARRAY(s->a, Visits, s->nnodes);
    int effect = -1;
    for (int k = 0; k < s->nnodes; k++) {
        KdNode *n = &s->node[k];
        if (n->class != KD_NODE_CORE && n->class != KD_NODE_KEPT) continue;
        find_reads(s, visits, n, n->i, (Path){ .plain = true });
        for (int j = 0; j < n->nreads; j++)
            if (n->read[j].from >= 0) add_user(s, n->read[j].from, k);
        if (!kd_op_has(n->i->op, KD_T_EFFECT)) continue;
        n->after = effect;
        effect = k;
    }
    for (int k = s->nnodes - 1; k >= 0; k--) s->node[k].spread = is_spread(s, &s->node[k]);
}
