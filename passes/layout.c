/*
 * layout: how the rows of matrices between kernels lie in memory. Where rows are a quarter of a
 * page long, or a multiple of that, equal columns of all of them fall into four sets of the
 * first-level cache or fewer, and drive each other out, whenever a contraction goes down a column:
 * lanes along the batch that are stored, or a sum over the batch. A cache line of padding behind
 * each row gives every row sets of its own. Who writes and who reads such a value are kernels of
 * one function, so nothing is ever converted; what others see (arguments, results, slabs) lies as
 * it did.
 *
 *     %h = kernel … : f32[B,1024]        rows 4096 bytes apart
 *     %h = kernel … : f32[B,1024]+16     rows 4160 bytes apart
 */
#include "passes/pass.h"

#include <string.h>

/* LINE and QUARTER in bytes. A way of a first-level cache is a page. */
enum { LINE = 64, QUARTER = 1024, LEAST_ROWS = 16, SMALL_PLANE = 15 };

/* By value id of f. */
typedef struct Layout {
    KdFunc *f;
    bool all;    /* every value whose rows may lie apart */
    int *root;   /* the value whose memory it is: itself, but for reshapes that keep the rows */
    bool *fixed; /* a root that lies as it must */
    bool *wanted;
} Layout;

static bool is_kernel(const KdInstr *i, const char *kind) {
    return i && i->op == KD_OP_KERNEL && strcmp(kd_attr_str(i->attrs, "kind", ""), kind) == 0;
}

static bool keeps_rows(const KdInstr *i) {
    if (i->op != KD_OP_RESHAPE) return false;
    KdType from = i->args[0]->type, to = i->results[0]->type;
    return from.rank > 1 && to.rank > 1 && from.dim[0] == to.dim[0];
}

/* A matrix, or planes smaller than the widest vectors, which then have those of several samples. */
static bool has_small_planes(KdType t) {
    int64_t pixels = 1;
    for (int k = 2; k < t.rank; k++) pixels *= t.dim[k] < 0 ? SMALL_PLANE + 1 : t.dim[k];
    return t.rank >= 2 && pixels <= SMALL_PLANE;
}

/* Is operand k of a contraction's kernel a factor of its product, of such planes? */
static bool is_factor(const KdInstr *kernel, int k) {
    if (!is_kernel(kernel, "contract") || !has_small_planes(kernel->args[k]->type)) return false;
    KD_EACH_INSTR(i, kernel->body) {
        if (i->op != KD_OP_CONTRACT) continue;
        if (i->args[0] == kernel->body->args[k] || i->args[1] == kernel->body->args[k]) return true;
    }
    return false;
}

static void note_uses(Layout *l, const KdInstr *i) {
    bool kernel = i->op == KD_OP_KERNEL && !is_kernel(i, "single");
    for (int k = 0; k < i->nargs; k++) {
        int root = l->root[i->args[k]->id];
        if (!kernel && !keeps_rows(i)) l->fixed[root] = true;
        if (kernel && is_factor(i, k)) l->wanted[root] = true;
    }
    for (int k = 0; k < i->nresults; k++) {
        const KdValue *v = i->results[k];
        l->root[v->id] = keeps_rows(i) ? l->root[i->args[0]->id] : v->id;
        if (!kernel && !keeps_rows(i)) l->fixed[v->id] = true;
        if (is_kernel(i, "contract") && has_small_planes(v->type)) l->wanted[v->id] = true;
    }
}

static Layout look_at(KdFunc *f, bool all, KdArena *a) {
    Layout l = { .f = f, .all = all };
    l.root = KD_NEW_ARRAY(a, int, f->nvalues + 1);
    l.fixed = KD_NEW_ARRAY(a, bool, f->nvalues + 1);
    l.wanted = KD_NEW_ARRAY(a, bool, f->nvalues + 1);
    for (int k = 0; k < f->nargs; k++) {
        l.root[f->args[k]->id] = f->args[k]->id;
        l.fixed[f->args[k]->id] = true;
    }
    KD_EACH_INSTR(i, f) note_uses(&l, i);
    for (int k = 0; k < f->nresults; k++) l.fixed[l.root[f->results[k]->id]] = true;
    return l;
}

/* Elements behind each row of v; 0: none. */
static int64_t padding_of(const Layout *l, const KdValue *v) {
    KdType t = v->type;
    int64_t row = 1, size = (int64_t)kd_dtype_size(t.dtype);
    if (t.rank < 2 || l->fixed[v->id]) return 0;
    for (int k = 1; k < t.rank; k++) {
        if (t.dim[k] < 0) return 0;
        row *= t.dim[k];
    }
    int64_t rows = t.dim[0] == KD_BATCH ? l->f->max_batch : t.dim[0];
    bool few_sets = row * size % QUARTER == 0 && rows >= LEAST_ROWS;
    return l->all || (l->wanted[v->id] && few_sets) ? LINE / size : 0;
}

/* v and all that is v by another shape, where kernels read it too. */
static void pad(const Layout *l, const KdValue *v, int64_t elements) {
    KD_EACH_INSTR(i, l->f) {
        for (int k = 0; k < i->nresults; k++)
            if (l->root[i->results[k]->id] == v->id) i->results[k]->type.pad = elements;
        for (int k = 0; i->body && k < i->nargs; k++)
            if (l->root[i->args[k]->id] == v->id) i->body->args[k]->type.pad = elements;
    }
}

static void lay_out(KdFunc *f, bool all, KdDiag *d) {
    KdArena *a = kd_arena_create();
    const Layout l = look_at(f, all, a);
    KD_EACH_INSTR(i, f) {
        for (int k = 0; i->op == KD_OP_KERNEL && k < i->nresults; k++) {
            const KdValue *v = i->results[k];
            int64_t elements = padding_of(&l, v);
            if (!elements || !kd_step(d)) continue;
            pad(&l, v, elements);
            kd_remark(d, "layout", v->loc,
                      "@%s: %%%s: %d bytes behind each row, for sets of its own", f->name, v->name,
                      LINE);
        }
    }
    kd_arena_destroy(a);
}

bool kd_pass_layout(KdModule *m, const KdAttr *options, KdDiag *d) {
    bool all = kd_attr_int(options, "all", 0) != 0;
    KD_EACH_FUNC(f, m) lay_out(f, all, d);
    return true;
}
