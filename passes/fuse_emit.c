/*
 * Groups to kernels. Groups are emitted in the order of their first nodes, each behind the groups
 * whose results it reads, at the end of the function; what they replace is then removed.
 */
#include "passes/fuse.h"

typedef struct Emit {
    KdFuse *s;
    KdValue **heir;    /* by value id: the kernel result that takes its place */
    const char **name; /* by value id: the name that a kernel result will get */
    KdValue **map;     /* in the kernel being made: by value id, the body's value */
    int map_size;
    int nargs; /* operands of the kernel being made */
    KdValue **arg;
    KdFunc *body;
    KdBuilder inner;
} Emit;

/* The body's value for `v`: copied nodes are cloned, anything else from outside is an operand. */
static void bring_in(Emit *e, KdValue *v) {
    if (e->map[v->id]) return;
    KdFuse *s = e->s;
    int x = kd_fuse_node(s, v);
    if (x < 0 || s->node[x].class != KD_NODE_COPIED) {
        const char *own = e->name[v->id] ? e->name[v->id] : v->name;
        const char *name = kd_arena_format(s->f->module->arena, "%s.k", own);
        e->arg[e->nargs++] = v;
        e->map[v->id] = kd_func_add_arg(e->body, name, v->type, NULL);
        e->map[v->id]->loc = (KdLoc){ 0 }; /* the operand's own place says more */
        return;
    }
    const KdInstr *i = s->node[x].i;
    for (int k = 0; k < i->nargs; k++) bring_in(e, i->args[k]);
    kd_instr_clone(&e->inner, i, e->map);
}

static void start_body(Emit *e, const KdGroup *g) {
    int reads = 0;
    for (int k = 0; k < g->n; k++) reads += e->s->node[g->member[k]].nreads;
    for (int k = 0; k < e->map_size; k++) e->map[k] = NULL;
    e->nargs = 0;
    e->arg = KD_NEW_ARRAY(e->s->a, KdValue *, reads + 1);
    e->body = kd_body_create(e->s->f);
    e->inner = kd_builder(e->body, e->s->d);
}

/* The node that a kernel is named after: its contraction, else its last. */
static const KdInstr *main_instr(const KdFuse *s, const KdGroup *g) {
    for (int k = 0; k < g->n; k++)
        if (kd_op_has(s->node[g->member[k]].i->op, KD_T_CONTRACTION))
            return s->node[g->member[k]].i;
    return s->node[g->member[g->n - 1]].i;
}

/* Results that others read, old and in the body. */
static int find_results(Emit *e, const KdGroup *g, KdValue **old, KdValue **inside) {
    int n = 0;
    kd_fuse_mark(e->s, g->n, g->member);
    for (int k = 0; k < g->n; k++) {
        if (!kd_fuse_escapes(e->s, g->member[k])) continue;
        old[n] = e->s->node[g->member[k]].i->results[0];
        inside[n] = e->map[old[n]->id];
        n++;
    }
    if (n == 0) kd_bug(e->s->d, "a kernel without results in @%s", e->s->f->name);
    return n;
}

static void emit_kernel(Emit *e, const KdGroup *g) {
    KdFuse *s = e->s;
    KdArena *a = s->f->module->arena;
    start_body(e, g);
    for (int k = 0; k < g->n; k++) {
        const KdInstr *i = s->node[g->member[k]].i;
        for (int j = 0; j < i->nargs; j++) bring_in(e, i->args[j]);
        kd_instr_clone(&e->inner, i, e->map);
    }
    KdValue **old = KD_NEW_ARRAY(s->a, KdValue *, g->n),
            **inside = KD_NEW_ARRAY(s->a, KdValue *, g->n);
    int n = find_results(e, g, old, inside);
    kd_func_set_results(e->body, n, inside);

    const KdInstr *lead = main_instr(s, g);
    KdBuilder b = kd_builder(s->f, s->d);
    b.loc = lead->loc;
    b.role = lead->role;
    KdInstr *kernel = kd_instr_create(&b, KD_OP_KERNEL, e->nargs, e->arg);
    kd_attr_set_str(a, &kernel->attrs, "kind", kd_kind_name(g->kind));
    kernel->body = e->body;
    if (!kd_instr_finish(&b, kernel, NULL)) kd_bug(s->d, "a kernel of @%s has no type", s->f->name);
    for (int k = 0; k < n; k++) {
        kernel->results[k]->loc = old[k]->loc;
        kd_replace_uses(old[k], kernel->results[k]);
        e->heir[old[k]->id] = kernel->results[k];
        e->name[kernel->results[k]->id] = old[k]->name;
    }
}

static void emit_group(Emit *e, int group);

static void emit_node_group(Emit *e, int node) {
    if (node >= 0) emit_group(e, e->s->node[node].group);
}

static void emit_group(Emit *e, int group) {
    KdGroup *g = &e->s->group[group];
    if (g->emitted) return;
    g->emitted = true;
    for (int k = 0; k < g->n; k++) {
        const KdNode *n = &e->s->node[g->member[k]];
        for (int j = 0; j < n->nreads; j++)
            if (n->read[j].from >= 0) emit_node_group(e, n->read[j].from);
        emit_node_group(e, n->after);
    }
    if (g->kind == KD_KIND_NONE)
        kd_instr_move_before(e->s->node[g->member[0]].i, NULL);
    else
        emit_kernel(e, g);
}

/* Removes what was replaced; kernel results get the names that this sets free. */
static void remove_replaced(Emit *e) {
    KdFuse *s = e->s;
    for (int k = s->nnodes - 1; k >= 0; k--) {
        KdInstr *i = s->node[k].i;
        if (s->node[k].class == KD_NODE_KEPT) continue;
        KdValue *v = i->results[0];
        kd_instr_remove(i);
        if (e->heir[v->id]) kd_value_rename(e->heir[v->id], v->name);
    }
}

void kd_fuse_emit(KdFuse *s) {
    Emit e = { .s = s, .map_size = s->nvalues + s->nnodes + 1 };
    e.map = KD_NEW_ARRAY(s->a, KdValue *, e.map_size);
    e.name = KD_NEW_ARRAY(s->a, const char *, e.map_size);
    e.heir = KD_NEW_ARRAY(s->a, KdValue *, s->nvalues);
    for (int k = 0; k < s->nnodes; k++)
        if (s->node[k].group >= 0) emit_group(&e, s->node[k].group);
    remove_replaced(&e);
}
