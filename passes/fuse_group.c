/*
 * Greedy grouping. Every edge between two groups has a gain: the bytes that need not travel
 * through memory when both become one kernel. Edges are tried from the largest gain down, in
 * rounds, until none is left that gives a legal kernel. Where two groups would form a circle with
 * others between them, those come along or nothing is merged.
 */
#include "passes/fuse.h"
#include "passes/pass.h"

#include <stdlib.h>
#include <string.h>

void kd_fuse_single_groups(KdFuse *s) {
    s->group = KD_NEW_ARRAY(s->a, KdGroup, s->nnodes);
    for (int k = 0; k < s->nnodes; k++) {
        KdNode *n = &s->node[k];
        if (n->class != KD_NODE_CORE && n->class != KD_NODE_KEPT) continue;
        int *only = KD_NEW_ARRAY(s->a, int, 1);
        *only = k;
        n->group = s->ngroups;
        KdGroup *g = &s->group[s->ngroups++];
        *g = (KdGroup){ .kind = KD_KIND_NONE, .n = 1, .member = only };
        if (n->class == KD_NODE_KEPT) continue;
        kd_fuse_mark(s, 1, only);
        g->kind = kd_fuse_classify(s, 1, only);
        if (g->kind == KD_KIND_NONE) kd_bug(s->d, "%s fits no kernel", kd_op_text(n->i->op));
    }
}

/* --- circles -------------------------------------------------------------------------------- */

typedef enum Seen { NOT_SEEN, SEEN, BETWEEN } Seen;

/* Groups that need the result of p or q and that p or q needs: one kernel of p and q alone would
 * form a circle with them. */
typedef struct Search {
    const KdFuse *s;
    Seen *seen; /* by group */
    int p, q;
    int n;        /* groups found */
    int *between; /* their numbers */
} Search;

static bool group_needs(Search *x, int group);

/* Does the reader of node `k` need p or q? `start`: the reader is p or q itself, whose direct reads
 * of the other are no circle. */
static bool node_needs(Search *x, int k, bool start) {
    if (k < 0) return false;
    int g = x->s->node[k].group;
    if (g == x->p || g == x->q) return !start;
    return group_needs(x, g);
}

static bool members_need(Search *x, int group, bool start) {
    const KdGroup *g = &x->s->group[group];
    bool found = false;
    for (int k = 0; k < g->n; k++) {
        const KdNode *n = &x->s->node[g->member[k]];
        for (int j = 0; j < n->nreads; j++) found |= node_needs(x, n->read[j].from, start);
        found |= node_needs(x, n->after, start);
    }
    return found;
}

static bool group_needs(Search *x, int group) {
    if (x->seen[group] != NOT_SEEN) return x->seen[group] == BETWEEN;
    x->seen[group] = SEEN;
    if (!members_need(x, group, false)) return false;
    x->seen[group] = BETWEEN;
    x->between[x->n++] = group;
    return true;
}

static void find_between(Search *x) {
    memset(x->seen, 0, (size_t)x->s->ngroups * sizeof *x->seen);
    members_need(x, x->p, true);
    members_need(x, x->q, true);
}

/* --- gain ----------------------------------------------------------------------------------- */

static double value_bytes(const KdFuse *s, const KdRead *r) {
    KdType t = r->v->type;
    double whole = (double)kd_type_bytes(t, s->f->max_batch, 1);
    if (!r->via) return whole;
    double part = (double)kd_type_bytes(r->via->results[0]->type, s->f->max_batch, 1);
    return part < whole || kd_type_has(t, KD_ROWS) ? part : whole;
}

double kd_fuse_traffic(KdFuse *s, int n, const int *member) {
    double bytes = 0;
    s->count++;
    for (int k = 0; k < n; k++) {
        const KdNode *node = &s->node[member[k]];
        if (kd_fuse_escapes(s, member[k]))
            bytes += (double)kd_type_bytes(kd_node_type(node), s->f->max_batch, 1);
        for (int j = 0; j < node->nreads; j++) {
            const KdRead *r = &node->read[j];
            if (!kd_fuse_marked(s, r->from) && s->counted[r->v->id] != s->count)
                bytes += value_bytes(s, r);
        }
        for (int j = 0; j < node->nreads; j++) s->counted[node->read[j].v->id] = s->count;
    }
    return bytes;
}

/* Members of both, ascending, into `out`. */
static int join(const KdGroup *p, const KdGroup *q, int *out) {
    int n = 0, i = 0, j = 0;
    while (i < p->n || j < q->n) {
        bool left = j >= q->n || (i < p->n && p->member[i] < q->member[j]);
        out[n++] = left ? p->member[i++] : q->member[j++];
    }
    return n;
}

static double group_traffic(KdFuse *s, const KdGroup *g) {
    kd_fuse_mark(s, g->n, g->member);
    return kd_fuse_traffic(s, g->n, g->member);
}

/* --- merging -------------------------------------------------------------------------------- */

typedef struct Edge {
    int p, q; /* nodes: q reads p, or both read one value */
    double gain;
} Edge;

/* What merging two groups gained when that was last asked, in that round; 0: never. It holds while
 * neither group changes. */
typedef struct Known {
    double gain;
    int round;
} Known;

typedef struct Edges {
    int round;
    int n, room;
    Edge *edge;
    Known *flow; /* by read of a node */
    int *read;   /* by value id: equals `reader` where the group looked at reads it from outside */
    int *asked;  /* by group: equals `reader` when that group was tried beside the one looked at */
    int reader;
} Edges;

static int by_gain(const void *x, const void *y) {
    const Edge *a = x, *b = y;
    if (a->gain != b->gain) return a->gain > b->gain ? -1 : 1;
    if (a->q != b->q) return a->q < b->q ? -1 : 1;
    return (a->p > b->p) - (a->p < b->p);
}

double kd_fuse_gain(KdFuse *s, int n, const int *groups, KdGroup *both) {
    double apart = 0;
    *both = (KdGroup){ .n = 0 };
    for (int k = 0; k < n; k++) {
        const KdGroup *g = &s->group[groups[k]];
        if (g->kind == KD_KIND_NONE) return 0;
        apart += group_traffic(s, g);
        int *member = KD_NEW_ARRAY(s->a, int, both->n + g->n);
        both->n = join(both, g, member);
        both->member = member;
    }
    kd_fuse_mark(s, both->n, both->member);
    both->kind = kd_fuse_classify(s, both->n, both->member);
    if (both->kind == KD_KIND_NONE) return 0;
    return apart - kd_fuse_traffic(s, both->n, both->member);
}

/* Merges the groups of two nodes, and those that must come along, if that is legal and pays. */
static bool try_merge(KdFuse *s, Search *x, const Edge *e, int round) {
    int pair[] = { s->node[e->p].group, s->node[e->q].group };
    KdGroup both;
    if (pair[0] == pair[1] || kd_fuse_gain(s, 2, pair, &both) <= 0) return false;
    x->p = x->between[0] = pair[0];
    x->q = x->between[1] = pair[1];
    x->n = 2;
    find_between(x);
    if (x->n > 2 && kd_fuse_gain(s, x->n, x->between, &both) <= 0) return false;
    if (!kd_step(s->d)) return false;
    for (int k = 1; k < x->n; k++) s->group[x->between[k]].n = 0;
    both.changed = round;
    s->group[pair[0]] = both;
    for (int k = 0; k < both.n; k++) s->node[both.member[k]].group = pair[0];
    return true;
}

static bool is_known(const KdFuse *s, const Known *known, int p, int q) {
    return known->round && s->group[s->node[p].group].changed < known->round &&
           s->group[s->node[q].group].changed < known->round;
}

static void add_edge(KdFuse *s, Edges *list, int p, int q, Known *known) {
    int pair[] = { s->node[p].group, s->node[q].group };
    KdGroup both;
    if (pair[0] == pair[1]) return;
    if (!is_known(s, known, p, q)) *known = (Known){ kd_fuse_gain(s, 2, pair, &both), list->round };
    if (known->gain <= 0) return;
    if (list->n == list->room) {
        int room = list->room ? 2 * list->room : 64;
        Edge *more = KD_NEW_ARRAY(s->a, Edge, room);
        if (list->n) memcpy(more, list->edge, (size_t)list->n * sizeof *more);
        list->edge = more;
        list->room = room;
    }
    list->edge[list->n++] = (Edge){ .p = p, .q = q, .gain = known->gain };
}

/* Producer and consumer. */
static void add_flow_edges(KdFuse *s, Edges *list) {
    Known *known = list->flow;
    for (int q = 0; q < s->nnodes; q++) {
        const KdNode *n = &s->node[q];
        for (int j = 0; n->class == KD_NODE_CORE && j < n->nreads; j++, known++)
            if (n->read[j].from >= 0) add_edge(s, list, n->read[j].from, q, known);
    }
}

/* Marks the values that the group reads from outside of it. */
static void mark_reads(const KdFuse *s, Edges *list, int group) {
    const KdGroup *g = &s->group[group];
    list->reader++;
    for (int k = 0; k < g->n; k++) {
        const KdNode *n = &s->node[g->member[k]];
        for (int j = 0; j < n->nreads; j++)
            if (n->read[j].from < 0 || s->node[n->read[j].from].group != group)
                list->read[n->read[j].v->id] = list->reader;
    }
}

/* Is there a marked value that the group reads? */
static bool reads_marked(const KdFuse *s, const Edges *list, int group) {
    const KdGroup *g = &s->group[group];
    for (int k = 0; k < g->n; k++) {
        const KdNode *n = &s->node[g->member[k]];
        for (int j = 0; j < n->nreads; j++)
            if (n->read[j].v->type.rank > 0 && list->read[n->read[j].v->id] == list->reader)
                return true;
    }
    return false;
}

/* Reductions whose kernels read one value, such as the maximum of a window and where it lies, or
 * the gradients of a batch norm's bias and weight. */
static void add_sibling_edges(KdFuse *s, Edges *list) {
    for (int q = 0; q < s->nnodes; q++) {
        const KdNode *n = &s->node[q];
        if (n->class != KD_NODE_CORE || !kd_op_has(n->i->op, KD_T_REDUCTION)) continue;
        mark_reads(s, list, n->group);
        for (int p = 0; p < q; p++) {
            const KdNode *o = &s->node[p];
            Known unknown = { 0 };
            if (o->class != KD_NODE_CORE || !kd_op_has(o->i->op, KD_T_REDUCTION)) continue;
            if (n->group == o->group || list->asked[o->group] == list->reader) continue;
            list->asked[o->group] = list->reader;
            if (reads_marked(s, list, o->group)) add_edge(s, list, p, q, &unknown);
        }
    }
}

static int count_reads(const KdFuse *s) {
    int n = 0;
    for (int k = 0; k < s->nnodes; k++) n += s->node[k].nreads;
    return n;
}

void kd_fuse_merge_groups(KdFuse *s) {
    Search x = { .s = s,
                 .seen = KD_NEW_ARRAY(s->a, Seen, s->ngroups + 1),
                 .between = KD_NEW_ARRAY(s->a, int, s->ngroups + 2) };
    Edges list = { .flow = KD_NEW_ARRAY(s->a, Known, count_reads(s) + 1),
                   .read = KD_NEW_ARRAY(s->a, int, s->nvalues + 1),
                   .asked = KD_NEW_ARRAY(s->a, int, s->ngroups + 1) };
    for (bool siblings = false, again = true; again;) {
        list.n = 0;
        list.round++;
        add_flow_edges(s, &list);
        if (siblings) add_sibling_edges(s, &list);
        if (list.n) qsort(list.edge, (size_t)list.n, sizeof *list.edge, by_gain);
        bool merged = false;
        for (int k = 0; k < list.n; k++) merged |= try_merge(s, &x, &list.edge[k], list.round);
        again = merged || !siblings;
        if (!merged) siblings = true;
    }
}
