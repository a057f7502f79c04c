/*
 * plan-memory: every value of a kernel-level function gets its place. Values that are live at one
 * time lie apart; others share the arena:
 *
 *   1. homes: arguments, results, slabs, in-place results        (plan_home.c)
 *   2. an element-by-element kernel writes over an operand that dies with it
 *   3. greedy best fit: slabs first, then the largest or what lives longest, into the smallest gap
 *      that holds it, between buffers that live at the same time
 *
 * The parts of a slab live from the kernels on that compute them, one after the other; the gaps
 * between them from the slab on, whose instruction clears them. Until then others may lie there.
 */
#include "ir/alias.h"
#include "ir/guard.h"
#include "passes/pass.h"
#include "passes/plan.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, ROUNDS = 16, MOST_REDZONE = 1 << 20 };

typedef struct Buffer Buffer;
struct Buffer {
    const KdValue *v; /* the root that it was made for */
    int64_t bytes, offset;
    KdLive live;
    int nparts;
    Buffer *part; /* of a slab: operands and gaps */
    int64_t at;   /* of a part: its first byte within the slab */
};

typedef struct Layout {
    KdPlan *p;
    int64_t redzone; /* > 0: nothing shares, and this many bytes lie between buffers */
    int n;
    Buffer *buffer;
    int *of; /* by value id of a root: its buffer, or -1 */
    int64_t bytes;
} Layout;

/* --- which buffers -------------------------------------------------------------------------- */

/* From when on something lies in those bytes of a root. */
static int first_write(const KdPlan *p, const KdValue *root, int64_t from, int64_t to) {
    int first = p->position[root->id];
    for (int id = 0; id < p->f->nvalues; id++) {
        KdRoot r = p->root[id];
        if (r.v == root && r.offset >= from && r.offset < to && p->position[id] < first)
            first = p->position[id];
    }
    return first;
}

static void add_part(Buffer *slab, int64_t from, int64_t to, int first) {
    if (from == to) return;
    slab->part[slab->nparts++] =
        (Buffer){ .v = slab->v, .bytes = to - from, .at = from, .live = { first, first } };
}

static void find_parts(const KdPlan *p, Buffer *b) {
    const KdInstr *slab = b->v->def;
    int64_t size = (int64_t)kd_dtype_size(KD_F32), end = 0;
    b->part = KD_NEW_ARRAY(p->a, Buffer, 2 * slab->nargs + 1);
    for (int k = 0; k < slab->nargs; k++) {
        int64_t from = kd_slab_operand_offset(slab, k) * size;
        add_part(b, end, from, p->position[b->v->id]);
        end = from + kd_plan_bytes(p, slab->args[k]);
        add_part(b, from, end, first_write(p, b->v, from, end));
    }
    add_part(b, end, b->bytes, p->position[b->v->id]);
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
    const char *kind = kd_attr_str(i->attrs, "kind", "");
    if (l->redzone || (strcmp(kind, "map") != 0 && strcmp(kind, "norm") != 0)) return -1;
    for (int k = 0; k < i->nargs; k++) {
        const KdValue *root = p->root[i->args[k]->id].v;
        int at = l->of[root->id];
        if (at < 0) continue;
        const Buffer *b = &l->buffer[at];
        if (b->live.last != p->position[r->id] || b->bytes != kd_plan_bytes(p, r)) continue;
        if (reads_in_step(p, i, root, r) && kd_step(p->d)) return at;
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
    l->of[v->id] = l->n;
    l->buffer[l->n++] = (Buffer){ .v = v, .bytes = kd_plan_bytes(p, v), .live = live };
    if (i->op == KD_OP_SLAB) find_parts(p, &l->buffer[l->n - 1]);
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
    if ((a->nparts > 0) != (b->nparts > 0)) return a->nparts > 0 ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes > b->bytes ? -1 : 1;
    return a->v->id < b->v->id ? -1 : 1;
}

static int by_life(const void *x, const void *y) {
    const Buffer *a = *(Buffer *const *)x, *b = *(Buffer *const *)y;
    if ((a->nparts > 0) != (b->nparts > 0)) return a->nparts > 0 ? -1 : 1;
    int life = a->live.last - a->live.first, other = b->live.last - b->live.first;
    return life != other ? (life > other ? -1 : 1) : by_size(x, y);
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

/* Notes b, or the parts of the slab that it is, among those that have a place. */
static int settle(Buffer *b, Buffer **placed, int n) {
    if (b->nparts == 0) placed[n++] = b;
    for (int k = 0; k < b->nparts; k++) {
        b->part[k].offset = b->offset + b->part[k].at;
        b->part[k].live.last = b->live.last;
        placed[n++] = &b->part[k];
    }
    return n;
}

static void place_in_order(Layout *l, Buffer **order) {
    int room = 0, nplaced = 0;
    l->bytes = 0;
    for (int k = 0; k < l->n; k++) room += 1 + order[k]->nparts;
    Buffer **placed = KD_NEW_ARRAY(l->p->a, Buffer *, room + 1);
    Buffer **beside = KD_NEW_ARRAY(l->p->a, Buffer *, room + 1);
    for (int k = 0; k < l->n; k++) {
        Buffer *b = order[k];
        int n = 0;
        for (int j = 0; j < nplaced; j++)
            if (placed[j]->live.first <= b->live.last && b->live.first <= placed[j]->live.last)
                beside[n++] = placed[j];
        b->offset = best_gap(beside, n, b->bytes);
        nplaced = settle(b, placed, nplaced);
        int64_t end = aligned(b->offset + b->bytes);
        if (end > l->bytes) l->bytes = end;
    }
}

/* Takes order as the best so far where it needs less than `least`. */
static void keep_better(const Layout *l, Buffer **order, Buffer **best, int64_t *least) {
    if (l->bytes >= *least) return;
    *least = l->bytes;
    memcpy(best, order, (size_t)l->n * sizeof *best);
}

/* The buffer that ends last goes in front, where it lies below. */
static void place_highest_first(const Layout *l, Buffer **order) {
    int highest = 0;
    for (int k = 1; k < l->n; k++)
        if (order[k]->offset + order[k]->bytes > order[highest]->offset + order[highest]->bytes)
            highest = k;
    Buffer *b = order[highest];
    memmove(order + 1, order, (size_t)highest * sizeof *order);
    order[0] = b;
}

static void count_live(const Buffer *b, int64_t bytes, int64_t *change) {
    change[b->live.first < 0 ? 0 : b->live.first] += bytes;
    change[b->live.last + 1] -= bytes;
}

/* The most bytes that live at once, once all have a place: none takes less. */
static int64_t most_live(const Layout *l) {
    int n = l->p->ninstrs + 2;
    int64_t *change = KD_NEW_ARRAY(l->p->a, int64_t, n), now = 0, most = 0;
    for (int k = 0; k < l->n; k++) {
        const Buffer *b = &l->buffer[k];
        if (!b->nparts) count_live(b, aligned(b->bytes), change);
        for (int j = 0; j < b->nparts; j++) count_live(&b->part[j], b->part[j].bytes, change);
    }
    for (int at = 0; at < n; at++) {
        now += change[at];
        if (now > most) most = now;
    }
    return aligned(most);
}

/* Lives nest in a training step: what the forward pass computes first the backward pass reads last.
 * The ones that live longest lie best below, as on a stack; in other functions the largest do. From
 * the better order on, what sticks out is placed earlier, some times over. */
static void place_sharing(Layout *l, Buffer **order) {
    int (*const orders[])(const void *, const void *) = { by_size, by_life };
    Buffer **best = KD_NEW_ARRAY(l->p->a, Buffer *, l->n);
    int64_t least = INT64_MAX;
    for (size_t k = 0; k < 2; k++) {
        qsort(order, (size_t)l->n, sizeof *order, orders[k]);
        place_in_order(l, order);
        keep_better(l, order, best, &least);
    }
    memcpy(order, best, (size_t)l->n * sizeof *order);
    place_in_order(l, order);
    int64_t bound = most_live(l);
    for (int k = 0; k < ROUNDS && least > bound; k++) {
        place_highest_first(l, order);
        place_in_order(l, order);
        keep_better(l, order, best, &least);
    }
    place_in_order(l, best);
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
    if (l->n == 0) return;
    if (l->redzone || !kd_step(l->p->d))
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
    if (redzone < 0 || redzone > MOST_REDZONE)
        return kd_error(d, (KdLoc){ m->source, 0 },
                        "plan-memory: redzone is 0 to %d bytes, not %lld", MOST_REDZONE,
                        (long long)redzone);
    KD_EACH_FUNC(f, m)
    if (!is_kernel_level(f, d) || !plan_func(f, redzone, d)) return false;
    return true;
}
