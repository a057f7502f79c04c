/*
 * Roots and live ranges: which values share memory because one is an alias of the other, from when
 * to when memory holds something that is still read, and the bound that follows from it.
 */
#include "ir/alias.h"
#include "passes/pass.h"
#include "passes/plan.h"

#include <stdlib.h>
#include <string.h>

int64_t kd_plan_bytes(const KdPlan *p, const KdValue *v) {
    return kd_type_bytes(v->type, p->f->max_batch, 1);
}

/* The value that an alias of one operand lies in, and where. */
static KdRoot alias_root(const KdPlan *p, const KdInstr *i) {
    const KdValue *x = i->args[0];
    KdRoot r = p->root[x->id];
    int64_t start;
    if (kd_view_is_slice(i, &start)) r.offset += start * (int64_t)kd_dtype_size(x->type.dtype);
    return r;
}

/* Operands that lie in a slab, and what aliases them, move their roots into it. */
static void resolve_slab(KdPlan *p, const KdInstr *i) {
    for (int k = 0; k < i->nargs; k++) {
        KdRoot r = p->root[i->args[k]->id];
        bool fits = r.v->def && r.v->def->op == KD_OP_KERNEL && r.offset == 0;
        if (!fits || kd_plan_bytes(p, r.v) != kd_plan_bytes(p, i->args[k])) continue;
        int64_t at = kd_slab_operand_offset(i, k) * (int64_t)kd_dtype_size(KD_F32);
        for (int v = 0; v < p->f->nvalues; v++) {
            if (p->root[v].v != r.v) continue;
            p->root[v] = (KdRoot){ i->results[0], p->root[v].offset + at };
        }
    }
}

void kd_plan_resolve(KdPlan *p, bool slabs) {
    KdFunc *f = p->f;
    p->position = KD_NEW_ARRAY(p->a, int, f->nvalues);
    p->root = KD_NEW_ARRAY(p->a, KdRoot, f->nvalues);
    p->homed = KD_NEW_ARRAY(p->a, bool, f->nvalues);
    for (int k = 0; k < f->nargs; k++) {
        p->position[f->args[k]->id] = -1;
        p->root[f->args[k]->id] = (KdRoot){ f->args[k], 0 };
    }
    int at = 0;
    KD_EACH_INSTR(i, f) {
        bool alias = kd_instr_is_alias(i) && i->op != KD_OP_SLAB;
        for (int k = 0; k < i->nresults; k++) {
            KdValue *v = i->results[k];
            p->position[v->id] = at;
            p->root[v->id] = alias ? alias_root(p, i) : (KdRoot){ v, 0 };
        }
        if (slabs && i->op == KD_OP_SLAB) resolve_slab(p, i);
        at++;
    }
    p->ninstrs = at;
}

KdLive kd_plan_live(const KdPlan *p, const KdValue *root) {
    KdLive live = { p->ninstrs, -1 };
    int at = 0;
    KD_EACH_INSTR(i, p->f) {
        bool touches = false;
        for (int k = 0; k < i->nargs && i->op == KD_OP_KERNEL; k++)
            touches |= p->root[i->args[k]->id].v == root;
        for (int k = 0; k < i->nresults; k++) touches |= p->root[i->results[k]->id].v == root;
        if (touches && at < live.first) live.first = at;
        if (touches && at > live.last) live.last = at;
        at++;
    }
    return live;
}

bool kd_kernel_reads_in_step(const KdInstr *i, int k) {
    const KdFunc *body = i->body;
    const char *kind = kd_attr_str(i->attrs, "kind", "");
    bool sums = strcmp(kind, "norm") == 0 || strcmp(kind, "contract") == 0; /* before it writes */
    bool *reads = calloc((size_t)body->nvalues, sizeof *reads);
    if (!reads) kd_out_of_memory((size_t)body->nvalues);
    reads[body->args[k]->id] = true;
    bool in_step = true;
    KD_EACH_INSTR(j, body) {
        bool any = false;
        for (int h = 0; h < j->nargs; h++) any |= reads[j->args[h]->id];
        if (!any || (sums && kd_op_has(j->op, KD_T_REDUCTION))) continue;
        if (!kd_op_has(j->op, KD_T_ELEMENTWISE)) in_step = false;
        for (int h = 0; h < j->nresults; h++) reads[j->results[h]->id] = true;
    }
    free(reads);
    return in_step;
}

/* --- the bound ------------------------------------------------------------------------------ */

typedef struct Span {
    int64_t from, to; /* bytes of the arena */
} Span;

static int by_start(const void *x, const void *y) {
    const Span *a = x, *b = y;
    if (a->from != b->from) return a->from < b->from ? -1 : 1;
    return (a->to > b->to) - (a->to < b->to);
}

/* Bytes in the union of spans, which are sorted here. */
static int64_t covered(Span *span, int n) {
    if (n) qsort(span, (size_t)n, sizeof *span, by_start);
    int64_t bytes = 0, end = 0;
    for (int k = 0; k < n; k++) {
        int64_t from = span[k].from > end ? span[k].from : end;
        if (span[k].to <= from) continue;
        bytes += span[k].to - from;
        end = span[k].to;
    }
    return bytes;
}

int64_t kd_live_lower_bound(const KdFunc *f) {
    KdArena *a = kd_arena_create();
    KdFunc copy = *f; /* KdPlan changes functions; resolving alone does not */
    KdPlan p = { .f = &copy, .a = a };
    kd_plan_resolve(&p, true);
    KdLive *live = KD_NEW_ARRAY(a, KdLive, f->nvalues);
    Span *whole = KD_NEW_ARRAY(a, Span, f->nvalues), *now = KD_NEW_ARRAY(a, Span, f->nvalues);
    int n = 0;
    KD_EACH_INSTR(i, f)
    for (int k = 0; k < i->nresults; k++) {
        const KdValue *v = i->results[k];
        /* Parts of a slab count alone: they come one by one. */
        const KdValue *root = p.root[v->id].v;
        if (v->buffer.place != KD_PLACE_ARENA) continue;
        bool part = root != v && root->def->op == KD_OP_SLAB;
        bool alias = root != v || i->op == KD_OP_SLAB;
        if (alias && !part) continue;
        live[n] = kd_plan_live(&p, root);
        if (part) live[n].first = p.position[v->id];
        whole[n++] = (Span){ v->buffer.offset, v->buffer.offset + kd_plan_bytes(&p, v) };
    }
    int64_t most = 0;
    for (int at = 0; at < p.ninstrs; at++) {
        int count = 0;
        for (int k = 0; k < n; k++)
            if (live[k].first <= at && at <= live[k].last) now[count++] = whole[k];
        int64_t bytes = covered(now, count);
        if (bytes > most) most = bytes;
    }
    kd_arena_destroy(a);
    return most;
}
