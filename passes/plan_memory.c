/*
 * plan-memory: every value of a kernel-level function gets its place. Values that are live at one
 * time lie apart; others share the arena:
 *
 *   1. homes: arguments, results, slabs, in-place results        (plan_home.c)
 *   2. an element-by-element kernel writes over an operand that dies with it
 *   3. greedy best fit: the largest buffer first, into the smallest gap that holds it, between
 *      buffers that live at the same time
 *
 * The gaps between a slab's parts are zero when a function starts and nobody writes them: such a
 * slab shares its bytes with nothing.
 */
#include "ir/guard.h"
#include "passes/alias.h"
#include "passes/pass.h"
#include "passes/plan.h"

#include <stdlib.h>

KdPassFn kd_pass_plan_memory;

enum { ALIGN = 64 };

typedef struct Buffer {
    KdValue *v; /* the root that it was made for */
    int64_t bytes, offset;
    KdLive live;
} Buffer;

typedef struct Layout {
    KdPlan *p;
    int64_t redzone; /* > 0: nothing shares, and this many bytes lie between buffers */
    int n;
    Buffer *buffer;
    int *of; /* by value id of a root: its buffer, or -1 */
    int64_t bytes;
} Layout;

/* --- which buffers -------------------------------------------------------------------------- */

static bool has_gaps(const KdInstr *slab) {
    int64_t end = 0;
    for (int k = 0; k < slab->nargs; k++) {
        if (kd_slab_operand_offset(slab, k) != end) return true;
        end += kd_type_elements(slab->args[k]->type, 1, 1);
    }
    return end != slab->results[0]->type.dim[0];
}

static bool is_gapped_slab(const KdValue *v) {
    return v->def->op == KD_OP_SLAB && has_gaps(v->def);
}

/* Does kernel `i` read all that lies in `root` only where it writes an element of `r`? */
static bool reads_in_step(const KdPlan *p, const KdInstr *i, const KdValue *root,
                          const KdValue *r) {
    for (int k = 0; k < i->nargs; k++) {
        const KdValue *x = i->args[k];
        KdRoot of = p->root[x->id];
        if (of.v != root) continue;
        if (of.offset != 0 || !kd_shape_equal(x->type, r->type)) return false;
        if (kd_plan_bytes(p, x) != kd_plan_bytes(p, r) || !kd_kernel_reads_in_step(i, k))
            return false;
    }
    return true;
}

/* The buffer of an operand that dies in kernel `i` and that result r may be written over, or -1. */
static int dying_operand(const Layout *l, const KdInstr *i, const KdValue *r) {
    const KdPlan *p = l->p;
    if (l->redzone || kd_attr_str(i->attrs, "kind", "")[0] != 'm') return -1;
    for (int k = 0; k < i->nargs; k++) {
        const KdValue *root = p->root[i->args[k]->id].v;
        int at = l->of[root->id];
        if (at < 0 || is_gapped_slab(root)) continue;
        const Buffer *b = &l->buffer[at];
        if (b->live.last != p->position[r->id] || b->bytes != kd_plan_bytes(p, r)) continue;
        if (reads_in_step(p, i, root, r)) return at;
    }
    return -1;
}

static void add_buffer(Layout *l, KdInstr *i, KdValue *v) {
    const KdPlan *p = l->p;
    if (p->root[v->id].v != v || p->homed[v->id]) return;
    KdLive live = kd_plan_live(p, v);
    int over = i->op == KD_OP_KERNEL ? dying_operand(l, i, v) : -1;
    if (over >= 0) {
        l->of[v->id] = over;
        l->buffer[over].live.last = live.last;
        if (live.last == p->position[v->id]) l->buffer[over].live.last++; /* taken once only */
        return;
    }
    if (is_gapped_slab(v)) live = (KdLive){ 0, p->ninstrs };
    l->of[v->id] = l->n;
    l->buffer[l->n++] = (Buffer){ .v = v, .bytes = kd_plan_bytes(p, v), .live = live };
}

static void find_buffers(Layout *l) {
    const KdFunc *f = l->p->f;
    l->buffer = KD_NEW_ARRAY(l->p->a, Buffer, f->nvalues + 1);
    l->of = KD_NEW_ARRAY(l->p->a, int, f->nvalues + 1);
    for (int k = 0; k < f->nvalues; k++) l->of[k] = -1;
    KD_EACH_INSTR(i, f)
    for (int k = 0; k < i->nresults; k++)
        if (!kd_instr_is_alias(i) || i->op == KD_OP_SLAB) add_buffer(l, i, i->results[k]);
}

/* --- where they lie ------------------------------------------------------------------------- */

static int64_t aligned(int64_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static int by_size(const void *x, const void *y) {
    const Buffer *a = *(Buffer *const *)x, *b = *(Buffer *const *)y;
    if (a->bytes != b->bytes) return a->bytes > b->bytes ? -1 : 1;
    return a->v->id < b->v->id ? -1 : 1;
}

static int by_offset(const void *x, const void *y) {
    const Buffer *a = *(Buffer *const *)x, *b = *(Buffer *const *)y;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

/* The offset of the smallest gap that holds `bytes`; behind all of them when there is none. */
static int64_t best_gap(Buffer **placed, int n, int64_t bytes) {
    if (n) qsort(placed, (size_t)n, sizeof *placed, by_offset);
    int64_t end = 0, best = -1, best_bytes = 0;
    for (int k = 0; k < n; k++) {
        int64_t gap = placed[k]->offset - end;
        if (gap >= bytes && (best < 0 || gap < best_bytes)) {
            best = end;
            best_bytes = gap;
        }
        int64_t after = aligned(placed[k]->offset + placed[k]->bytes);
        if (after > end) end = after;
    }
    return best >= 0 ? best : end;
}

static void place_sharing(Layout *l, Buffer **order) {
    Buffer **beside = KD_NEW_ARRAY(l->p->a, Buffer *, l->n + 1);
    for (int k = 0; k < l->n; k++) {
        int n = 0;
        for (int j = 0; j < k; j++)
            if (order[j]->live.first <= order[k]->live.last &&
                order[k]->live.first <= order[j]->live.last)
                beside[n++] = order[j];
        order[k]->offset = best_gap(beside, n, order[k]->bytes);
        int64_t end = aligned(order[k]->offset + order[k]->bytes);
        if (end > l->bytes) l->bytes = end;
    }
}

static void place_apart(Layout *l, Buffer **order) {
    l->bytes = aligned(l->redzone);
    for (int k = 0; k < l->n; k++) {
        order[k]->offset = l->bytes;
        l->bytes += aligned(order[k]->bytes) + aligned(l->redzone);
    }
}

static void place_buffers(Layout *l) {
    Buffer **order = KD_NEW_ARRAY(l->p->a, Buffer *, l->n + 1);
    for (int k = 0; k < l->n; k++) order[k] = &l->buffer[k];
    if (l->n) qsort(order, (size_t)l->n, sizeof *order, by_size);
    if (l->redzone)
        place_apart(l, order);
    else
        place_sharing(l, order);
    for (int id = 0; id < l->p->f->nvalues; id++) {
        if (l->of[id] < 0) continue;
        KdValue *v = l->p->root[id].v;
        v->buffer = (KdBuffer){ .place = KD_PLACE_ARENA, .offset = l->buffer[l->of[id]].offset };
    }
}

/* --- the pass ------------------------------------------------------------------------------- */

static bool is_kernel_level(const KdFunc *f, KdDiag *d) {
    KD_EACH_INSTR(i, f)
    if (i->op != KD_OP_KERNEL && !kd_instr_is_alias(i))
        return kd_error(d, i->loc, "plan-memory: @%s holds %s outside of a kernel: run fuse first",
                        f->name, kd_op_text(i->op));
    return true;
}

/* Values lie where their roots do. */
static void set_buffers(const KdPlan *p) {
    KD_EACH_INSTR(i, p->f)
    for (int k = 0; k < i->nresults; k++) {
        KdValue *v = i->results[k];
        KdRoot r = p->root[v->id];
        KdBuffer home = { .place = KD_PLACE_ARG, .base = r.v->index };
        if (r.v->def) home = r.v->buffer;
        if (r.v != v) home.offset += r.offset;
        v->buffer = home;
    }
}

static void remark_arena(const KdPlan *p) {
    int64_t all = 0;
    KD_EACH_INSTR(i, p->f) {
        for (int k = 0; k < i->nresults; k++) {
            const KdValue *v = i->results[k];
            if (v->buffer.place == KD_PLACE_ARENA && p->root[v->id].v == v)
                all += kd_plan_bytes(p, v);
        }
    }
    if (all)
        kd_remark(p->d, "plan-memory", p->f->loc, "@%s: %.1f KB of values share %.1f KB",
                  p->f->name, (double)all / 1e3, (double)p->f->arena_bytes / 1e3);
}

static bool plan_func(KdFunc *f, int64_t redzone, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdPlan p = { .f = f, .d = d, .a = a };
    bool ok = kd_plan_homes(&p);
    if (ok) {
        Layout l = { .p = &p, .redzone = redzone };
        find_buffers(&l);
        place_buffers(&l);
        set_buffers(&p);
        f->arena_bytes = l.bytes;
        f->planned = true;
        if (kd_remarks_wanted(d, "plan-memory")) remark_arena(&p);
    }
    kd_arena_destroy(a);
    return ok;
}

bool kd_pass_plan_memory(KdModule *m, const KdAttr *options, KdDiag *d) {
    int64_t redzone = kd_attr_int(options, "redzone", KD_REDZONE);
    KD_EACH_FUNC(f, m)
    if (!is_kernel_level(f, d) || !plan_func(f, redzone < 0 ? 0 : redzone, d)) return false;
    return true;
}
