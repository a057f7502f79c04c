/*
 * Places of a planned function, which holds kernels and aliases alone. A value lives from the
 * instruction that defines it to its last use; arguments from the start, results to the end.
 * Kernels write to the arena, to results, and to arguments that a result takes over. Two values
 * whose lives meet must not share bytes, but for two cases:
 *
 *   aliases    reshape, view and slab at this level move nothing: their results are their operands,
 *              and lie where these do. Of an argument each part that is looked at so has a life of
 *              its own
 *   in place   a kernel may write a result over an operand that dies there, at the same address,
 *              when it reads of it only the element that it then writes (in a row kernel: the row,
 *              in one of kind norm: the slice)
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ir/alias.h"
#include "ir/verify_rules.h"

/* More than any data set has. */
#define MOST_BYTES (KD_MAX_ELEMENTS * 8)

typedef struct Span {
    const KdValue *v;
    int born, dies; /* positions in the function: -1 for arguments */
    int space;      /* 0 the arena, 1 + k argument k, 1 + nargs + k result k */
    int64_t start, end;
    int group; /* of aliases */
} Span;

typedef struct Memory {
    const KdFunc *f;
    KdArena *scratch;
    KdDiag *d;
    int n, end;
    Span *span;   /* by value id */
    Span **order; /* by space and start */
} Memory;

static bool fail(const Memory *x, const KdValue *v, const char *why) {
    return kd_error(x->d, v->loc, "@%s: the place of %%%s %s", x->f->name, v->name, why);
}

/* Bytes of the space that a span lies in, or -1: as many as its data set has. */
static int64_t space_bytes(const Memory *x, int space) {
    const KdFunc *f = x->f;
    if (space == 0) return f->arena_bytes;
    int k = space - 1;
    KdType t = k < f->nargs ? f->args[k]->type : f->results[k - f->nargs]->type;
    return kd_type_has(t, KD_ROWS) ? -1 : kd_type_bytes(t, f->max_batch, 1);
}

static bool place(Memory *x, const KdValue *v, int born) {
    const KdFunc *f = x->f;
    Span *s = &x->span[v->id];
    *s = (Span){ .v = v, .born = born, .dies = born, .group = v->id };
    KdBuffer b = v->buffer;
    if (!v->def) b = (KdBuffer){ .place = KD_PLACE_ARG, .base = v->index };
    switch (b.place) {
    case KD_PLACE_NONE: return fail(x, v, "is missing");
    case KD_PLACE_ARENA: s->space = 0; break;
    case KD_PLACE_ARG:
        if (b.base < 0 || b.base >= f->nargs) return fail(x, v, "names no argument");
        s->space = 1 + b.base;
        break;
    case KD_PLACE_RESULT:
        if (b.base < 0 || b.base >= f->nresults) return fail(x, v, "names no result");
        s->space = 1 + f->nargs + b.base;
        break;
    }
    int64_t bytes = kd_type_bytes(v->type, f->max_batch, 1), room = space_bytes(x, s->space);
    if (room < 0) room = MOST_BYTES;
    bool inside = b.offset >= 0 && b.offset <= room && bytes <= room - b.offset;
    if (!inside) return fail(x, v, "does not lie inside its memory");
    if (b.offset % (int64_t)kd_dtype_size(v->type.dtype)) return fail(x, v, "is not aligned");
    s->start = b.offset;
    s->end = b.offset + bytes;
    return true;
}

static int group_of(Memory *x, int id) {
    while (x->span[id].group != id) id = x->span[id].group = x->span[x->span[id].group].group;
    return id;
}

/* Is the result an argument, or a part of it, which was there before all kernels? */
static bool is_of_argument(const Memory *x, const KdInstr *i) {
    return !i->body && i->op != KD_OP_SLAB && x->span[i->args[0]->id].born < 0;
}

/* Where operand k of an alias begins, in bytes from its result; of a slice in front of it. */
static int64_t way_to_operand(const KdInstr *i, int k) {
    int64_t start = 0, size = (int64_t)kd_dtype_size(i->results[0]->type.dtype);
    if (i->op == KD_OP_SLAB) return kd_slab_operand_offset(i, k) * size;
    if (i->op == KD_OP_VIEW) kd_view_is_slice(i, &start);
    return -start * size;
}

/* An alias lies where its operands do. */
static bool check_alias(const Memory *x, const KdInstr *i) {
    const Span *to = &x->span[i->results[0]->id];
    for (int k = 0; k < i->nargs; k++) {
        const Span *from = &x->span[i->args[k]->id];
        if (from->space != to->space || from->start != to->start + way_to_operand(i, k))
            return fail(x, i->results[0], "is not that of what it stands for");
    }
    return true;
}

/* Is it memory that the function may write? */
static bool is_written_rightly(const Memory *x, const Span *s) {
    const KdFunc *f = x->f;
    if (s->space == 0 || s->space > f->nargs) return true;
    for (int k = 0; f->in_place && k < f->nresults; k++)
        if (f->in_place[k] == s->space - 1) return true;
    return false;
}

/* Places of i's results, which aliases share with their operands. */
static bool place_results(Memory *x, const KdInstr *i, int born) {
    if (!i->body && !kd_instr_is_alias(i))
        return kd_error(x->d, i->loc, "@%s: %s is in no kernel, where memory is planned",
                        x->f->name, kd_op_text(i->op));
    for (int k = 0; k < i->nresults; k++) {
        if (!place(x, i->results[k], born)) return false;
        if (i->body && !is_written_rightly(x, &x->span[i->results[k]->id]))
            return fail(x, i->results[k], "is an argument's, which no result takes over");
    }
    if (i->body) return true;
    for (int j = 0; j < i->nargs; j++)
        x->span[group_of(x, i->results[0]->id)].group = group_of(x, i->args[j]->id);
    return check_alias(x, i);
}

/* Values, their lives and the groups of aliases. */
static bool collect(Memory *x) {
    const KdFunc *f = x->f;
    for (int k = 0; k < f->nargs; k++) {
        if (!place(x, f->args[k], -1)) return false;
    }
    int now = 0;
    KD_EACH_INSTR(i, f) {
        bool before = kd_instr_is_alias(i) && is_of_argument(x, i);
        for (int k = 0; k < i->nargs && !before; k++) x->span[i->args[k]->id].dies = now;
        if (!place_results(x, i, before ? -1 : now)) return false;
        now++;
    }
    x->end = now;
    for (int k = 0; k < f->nresults; k++) x->span[f->results[k]->id].dies = now;
    return true;
}

/* Does the kernel read operand number `arg` only at the element, or row, that it writes? */
static bool reads_in_place(const Memory *x, const KdInstr *kernel, int arg) {
    const KdFunc *body = kernel->body;
    const char *kind = kd_attr_str(kernel->attrs, "kind", "");
    bool sums_first =
        strcmp(kind, "row") == 0 || strcmp(kind, "norm") == 0 || strcmp(kind, "contract") == 0;
    bool *same = KD_NEW_ARRAY(x->scratch, bool, body->nvalues + 1);
    same[body->args[arg]->id] = true;
    KD_EACH_INSTR(i, body) {
        bool reads = false;
        for (int k = 0; k < i->nargs; k++) reads |= same[i->args[k]->id];
        if (!reads || (sums_first && kd_op_has(i->op, KD_T_REDUCTION))) continue;
        if (!kd_op_has(i->op, KD_T_ELEMENTWISE)) return false;
        for (int k = 0; k < i->nresults; k++) same[i->results[k]->id] = true;
    }
    return true;
}

/* May `late`, which is defined where `early` dies, take over its bytes? */
static bool works_in_place(const Memory *x, const Span *early, const Span *late) {
    const KdInstr *kernel = late->v->def;
    if (!kernel || !kernel->body || early->dies != late->born) return false;
    if (early->start != late->start || early->end != late->end) return false;
    for (int k = 0; k < kernel->nargs; k++) {
        if (kernel->args[k] == early->v && !reads_in_place(x, kernel, k)) return false;
    }
    return true;
}

static int compare_spans(const void *a, const void *b) {
    const Span *x = *(Span *const *)a, *y = *(Span *const *)b;
    if (x->space != y->space) return x->space < y->space ? -1 : 1;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    return x->v->id < y->v->id ? -1 : x->v->id > y->v->id;
}

static bool check_pair(Memory *x, const Span *a, const Span *b) {
    const Span *early = a->born <= b->born ? a : b, *late = early == a ? b : a;
    if (late->born > early->dies) return true;
    if (group_of(x, a->v->id) == group_of(x, b->v->id)) return true;
    if (works_in_place(x, early, late)) return true;
    return kd_error(x->d, late->v->loc,
                    "@%s: %%%s and %%%s are live at one time and share memory (bytes %" PRId64
                    " to %" PRId64 ")",
                    x->f->name, early->v->name, late->v->name,
                    early->start > late->start ? early->start : late->start,
                    early->end < late->end ? early->end : late->end);
}

static bool check_pairs(Memory *x) {
    for (int k = 0; k < x->n; k++) {
        for (int j = k + 1; j < x->n; j++) {
            if (x->order[j]->space != x->order[k]->space) break;
            if (x->order[j]->start >= x->order[k]->end) break;
            if (!check_pair(x, x->order[k], x->order[j])) return false;
        }
    }
    return true;
}

/* A result that takes over an argument's memory lies there. */
static bool check_in_place(const Memory *x) {
    const KdFunc *f = x->f;
    for (int k = 0; f->in_place && k < f->nresults; k++) {
        if (f->in_place[k] < 0) continue;
        const Span *s = &x->span[f->results[k]->id];
        if (s->space == 1 + f->in_place[k] && s->start == 0) continue;
        return fail(x, f->results[k], "is not the argument that it takes over");
    }
    return true;
}

bool kd_verify_memory(const KdFunc *f, KdDiag *d) {
    Memory x = { .f = f, .scratch = kd_arena_create(), .d = d };
    x.span = KD_NEW_ARRAY(x.scratch, Span, f->nvalues + 1);
    x.order = KD_NEW_ARRAY(x.scratch, Span *, f->nvalues + 1);
    bool good = collect(&x) && check_in_place(&x);
    for (int k = 0; good && k < f->nvalues; k++) {
        if (x.span[k].v) x.order[x.n++] = &x.span[k];
    }
    if (good) {
        qsort(x.order, (size_t)x.n, sizeof *x.order, compare_spans);
        good = check_pairs(&x);
    }
    kd_arena_destroy(x.scratch);
    return good;
}
