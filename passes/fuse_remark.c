/*
 * What fuse did, for --remarks: the kernels that hold several ops, and for each value that still
 * goes from one kernel to another through memory the reason why. Reasons are found by asking the
 * rules of fuse_kind.c again, from the most particular to the most general.
 */
#include "passes/fuse.h"

#include <string.h>

static const KdNode *node_of(const KdFuse *s, const KdGroup *g, unsigned trait) {
    for (int k = 0; k < g->n; k++)
        if (kd_op_has(s->node[g->member[k]].i->op, trait)) return &s->node[g->member[k]];
    return NULL;
}

/* The group's ops in order, each once with its count: "contract, max, 2 mul". */
static const char *ops_of(const KdFuse *s, const KdGroup *g) {
    const char *text = "";
    for (int k = 0; k < g->n; k++) {
        KdOp op = s->node[g->member[k]].i->op;
        int count = 0;
        bool before = false;
        for (int j = 0; j < g->n; j++) {
            bool same = s->node[g->member[j]].i->op == op;
            count += same;
            before |= same && j < k;
        }
        if (before) continue;
        const char *comma = *text ? ", " : "";
        text = count > 1 ? kd_arena_format(s->a, "%s%s%d %s", text, comma, count, kd_op_text(op))
                         : kd_arena_format(s->a, "%s%s%s", text, comma, kd_op_text(op));
    }
    return text;
}

static void remark_group(KdFuse *s, const KdGroup *g) {
    const KdNode *lead = node_of(s, g, KD_T_CONTRACTION);
    const KdInstr *i = lead ? lead->i : s->node[g->member[g->n - 1]].i;
    double apart = 0;
    for (int k = 0; k < g->n; k++) {
        kd_fuse_mark(s, 1, &g->member[k]);
        apart += kd_fuse_traffic(s, 1, &g->member[k]);
    }
    kd_fuse_mark(s, g->n, g->member);
    double saved = apart - kd_fuse_traffic(s, g->n, g->member);
    kd_remark(s->d, "fuse", i->loc, "@%s: fused %s into one %s kernel, %%%s: %.1f KB less traffic",
              s->f->name, ops_of(s, g), kd_kind_name(g->kind), i->results[0]->name, saved / 1e3);
}

/* --- why not -------------------------------------------------------------------------------- */

/* Node q of group b reads node p of group a, and they stay apart. */
static const char *why_apart(KdFuse *s, int p, int q, const KdRead *r) {
    const KdNode *from = &s->node[p], *to = &s->node[q];
    const KdGroup *a = &s->group[from->group], *b = &s->group[to->group];
    int pair[] = { from->group, to->group };
    KdGroup both;
    char x[KD_TYPE_TEXT], y[KD_TYPE_TEXT];
    double gain = kd_fuse_gain(s, 2, pair, &both);
    if (both.kind != KD_KIND_NONE)
        return gain <= 0 ? "that saves no memory traffic"
                         : "other kernels read the one and are read by the other";
    if (a->kind == KD_KIND_SINGLE || b->kind == KD_KIND_SINGLE)
        return kd_arena_format(s->a, "%s is a kernel of its own",
                               kd_op_text((a->kind == KD_KIND_SINGLE ? from : to)->i->op));
    if (kd_op_has(to->i->op, KD_T_CONTRACTION))
        return "a contraction reads its operands many times, from memory";
    if (node_of(s, a, KD_T_CONTRACTION) && node_of(s, b, KD_T_CONTRACTION))
        return "a kernel holds one contraction";
    if ((node_of(s, a, KD_T_CONTRACTION) && node_of(s, b, KD_T_REDUCTION)) ||
        (node_of(s, b, KD_T_CONTRACTION) && node_of(s, a, KD_T_REDUCTION)))
        return to->spread && kd_op_has(to->i->op, KD_T_REDUCTION)
                   ? "what it leaves is spread again over what it went over"
                   : "behind its tiles a contraction has sums that leave one of its sides, and "
                     "small windows that lie side by side";
    if (r->moves && node_of(s, a, KD_T_CONTRACTION))
        return "it is read at other elements than the tile has at hand";
    if (r->moves && node_of(s, a, KD_T_COSTLY))
        return "it is read at other elements, and too costly to be computed for each of them";
    if (r->moves && node_of(s, a, KD_T_REDUCTION))
        return "it is read at other elements, and reductions are not computed again for each";
    KdType have = kd_node_type(from), want = kd_node_type(to);
    if (!kd_shape_equal(have, want))
        return kd_arena_format(s->a, "no one loop nest makes both %s and %s", kd_type_text(have, x),
                               kd_type_text(want, y));
    if (node_of(s, a, KD_T_REDUCTION) || node_of(s, b, KD_T_REDUCTION))
        return "their reductions do not run alike";
    return "no kind of kernel holds both";
}

static void remark_read(KdFuse *s, int q, const KdRead *r) {
    const KdNode *from = &s->node[r->from], *to = &s->node[q];
    kd_remark(s->d, "fuse", to->i->loc, "@%s: not fused, %%%s (%s, line %d) into %%%s (%s): %s",
              s->f->name, r->v->name, kd_op_text(from->i->op), from->i->loc.line,
              to->i->results[0]->name, kd_op_text(to->i->op), why_apart(s, r->from, q, r));
}

void kd_fuse_remarks(KdFuse *s) {
    if (!kd_remarks_wanted(s->d, "fuse")) return;
    bool *said = KD_NEW_ARRAY(s->a, bool, s->ngroups * s->ngroups + 1);
    for (int k = 0; k < s->ngroups; k++)
        if (s->group[k].n > 1 && s->group[k].kind != KD_KIND_NONE) remark_group(s, &s->group[k]);
    for (int q = 0; q < s->nnodes; q++) {
        const KdNode *n = &s->node[q];
        for (int j = 0; n->class == KD_NODE_CORE && j < n->nreads; j++) {
            int p = n->read[j].from;
            if (p < 0 || s->node[p].class != KD_NODE_CORE || s->node[p].group == n->group) continue;
            bool *pair = &said[s->node[p].group * s->ngroups + n->group];
            if (!*pair) remark_read(s, q, &n->read[j]);
            *pair = true;
        }
    }
}
