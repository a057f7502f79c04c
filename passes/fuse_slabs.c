/*
 * An optimiser's rule is one elementwise computation over whole slabs. Where nothing needs the
 * gradients' slab whole (the norm of all of them does), fuse takes it apart: each part is computed
 * for itself, in the shape of its gradient, so that it can become an epilogue of the reduction that
 * makes this gradient, which then never goes through memory.
 *
 *   g = slab(a, b); p' = p - lr g     ->     p' = slab(p[0:n] - lr a, p[n:] - lr b)
 */
#include "passes/fuse.h"
#include "passes/pass.h"

#include <string.h>

typedef struct Split {
    KdFunc *f;
    KdBuilder b;
    KdArena *a;
    const KdInstr *slab; /* of the gradients */
    int nvalues;
    bool *behind;   /* by value id: is computed from the slab, element by element */
    KdValue **part; /* the part now made, by value id of the whole */
    int now;        /* its number */
} Split;

/* --- what is split ------------------------------------------------------------------------------
 */

/* One number, all over. */
static bool is_uniform(const KdInstr *i) {
    return i && (i->op == KD_OP_CONSTANT || (i->op == KD_OP_VIEW && i->access->rank == 0));
}

/* Does any part have to be computed? Rates of groups of parameters are slabs of numbers. */
static bool is_computed(const KdInstr *slab) {
    for (int k = 0; k < slab->nargs; k++)
        if (slab->args[k]->def && !is_uniform(slab->args[k]->def)) return true;
    return false;
}

static bool is_whole(const Split *s, const KdValue *v) {
    return kd_shape_equal(v->type, s->slab->results[0]->type);
}

static bool is_flat_op(const Split *s, const KdInstr *i) {
    return kd_op_has(i->op, KD_T_ELEMENTWISE) && is_whole(s, i->results[0]);
}

static bool reads_behind(const Split *s, const KdInstr *i) {
    for (int k = 0; k < i->nargs; k++)
        if (s->behind[i->args[k]->id]) return true;
    return false;
}

/* Are the results that come from the slab new values of slabs? Their gaps are zero then, and stay
 * so; elsewhere they may have any value. */
static bool takes_over_slabs(const Split *s) {
    for (int k = 0; k < s->f->nresults; k++) {
        if (!s->behind[s->f->results[k]->id]) continue;
        int a = s->f->in_place ? s->f->in_place[k] : -1;
        const char *kind = a < 0 ? NULL : s->f->args[a]->kind;
        if (!kind || strcmp(kind, KD_ARG_SLAB) != 0 || s->f->results[k] == s->slab->results[0])
            return false;
    }
    return true;
}

/* Marks what is computed from the slab; false where something reads more of it than an element, or
 * where nothing is. */
static bool find_behind(Split *s) {
    bool any = false;
    s->behind[s->slab->results[0]->id] = true;
    for (KdInstr *i = s->slab->next; i; i = i->next) {
        if (!reads_behind(s, i)) continue;
        if (!is_flat_op(s, i)) {
            kd_remark(s->b.diag, "fuse", i->loc,
                      "the update stays apart from the gradients: %s reads all of %%%s",
                      kd_op_text(i->op), s->slab->results[0]->name);
            return false;
        }
        s->behind[i->results[0]->id] = true;
        any = true;
    }
    return any && takes_over_slabs(s);
}

/* --- parts --------------------------------------------------------------------------------------
 */

/* Is it a slab of parts as many and as long as those of the gradients? */
static bool same_parts(const Split *s, const KdInstr *slab) {
    if (slab->op != KD_OP_SLAB || slab->nargs != s->slab->nargs) return false;
    for (int k = 0; k < slab->nargs; k++)
        if (kd_type_elements(slab->args[k]->type, 1, 1) !=
            kd_type_elements(s->slab->args[k]->type, 1, 1))
            return false;
    return true;
}

static KdValue *spread(Split *s, const KdValue *v, KdType t) {
    const KdInstr *i = v->def;
    t.dtype = v->type.dtype;
    return i->op == KD_OP_VIEW ? kd_view(&s->b, i->args[0], t.rank, t.dim, i->access, 0)
                               : kd_constant(&s->b, t, kd_attr_num(i->attrs, "value", 0));
}

/* v, which has as many elements, in the shape of t. */
static KdValue *reshaped(Split *s, KdValue *v, KdType t) {
    if (kd_shape_equal(v->type, t)) return v;
    return is_uniform(v->def) ? spread(s, v, t) : kd_reshape(&s->b, v, t.rank, t.dim);
}

static KdValue *slice(Split *s, KdValue *v, KdType t) {
    int64_t start = kd_slab_operand_offset(s->slab, s->now), n = kd_type_elements(t, 1, 1);
    return reshaped(s, kd_slice(&s->b, v, &start, &n), t);
}

static KdValue *part_of(Split *s, KdValue *v);

static KdValue *part_of_op(Split *s, const KdInstr *i, KdType t) {
    KdValue *args[3];
    for (int k = 0; k < i->nargs; k++) args[k] = part_of(s, i->args[k]);
    s->b.loc = i->loc;
    s->b.role = i->role;
    KdInstr *op = kd_instr_create(&s->b, i->op, i->nargs, args);
    op->attrs = kd_attr_clone(s->f->module->arena, i->attrs);
    t.dtype = i->results[0]->type.dtype;
    return kd_instr_finish(&s->b, op, &t);
}

/* Part number s->now of v, in the shape of that gradient. */
static KdValue *make_part(Split *s, KdValue *v) {
    const KdInstr *i = v->def;
    KdType t = s->slab->args[s->now]->type;
    if (!is_whole(s, v)) return v; /* a scalar */
    if (!i) return slice(s, v, t);
    if (same_parts(s, i)) return reshaped(s, i->args[s->now], t);
    if (is_flat_op(s, i)) return part_of_op(s, i, t);
    return is_uniform(i) ? spread(s, v, t) : slice(s, v, t);
}

static KdValue *part_of(Split *s, KdValue *v) {
    if (v->id >= s->nvalues) return v;
    if (!s->part[v->id]) s->part[v->id] = make_part(s, v);
    if (!s->part[v->id]) kd_bug(s->b.diag, "%%%s has no part %d", v->name, s->now);
    return s->part[v->id];
}

/* "net.fc1.weight.next" for the gradient net.fc1.weight.grad and the result params.next. */
static const char *part_name(const Split *s, const KdValue *whole) {
    const char *gradient = s->slab->args[s->now]->name, *what = whole->name;
    size_t length = strlen(gradient);
    if (length > 5 && strcmp(gradient + length - 5, ".grad") == 0) length -= 5;
    if (strncmp(what, "params.", 7) == 0) what += 7;
    return kd_arena_format(s->f->module->arena, "%.*s.%s", (int)length, gradient, what);
}

/* --- the function -------------------------------------------------------------------------------
 */

static void remove_wholes(Split *s) {
    for (KdInstr *i = s->f->last, *before; i != s->slab; i = before) {
        before = i->prev;
        KdValue *v = i->results[0];
        if (v->id < s->nvalues && s->behind[v->id]) kd_instr_remove(i);
    }
}

/* Every result that comes from the slab becomes a slab of parts. */
static void split(Split *s) {
    int n = s->slab->nargs, nresults = s->f->nresults;
    const char **name = KD_NEW_ARRAY(s->a, const char *, nresults);
    KdValue **parts = KD_NEW_ARRAY(s->a, KdValue *, n * nresults);
    for (s->now = 0; s->now < n; s->now++) {
        memset(s->part, 0, (size_t)s->nvalues * sizeof *s->part);
        for (int r = 0; r < nresults; r++) {
            KdValue *whole = s->f->results[r];
            if (!s->behind[whole->id]) continue;
            parts[r * n + s->now] = part_of(s, whole);
            kd_value_rename(parts[r * n + s->now], part_name(s, whole));
        }
    }
    for (int r = 0; r < nresults; r++) {
        KdValue *whole = s->f->results[r];
        if (!s->behind[whole->id]) continue;
        s->b.loc = whole->loc;
        s->f->results[r] = kd_slab(&s->b, n, parts + (ptrdiff_t)r * n);
        name[r] = whole->name;
    }
    remove_wholes(s);
    for (int r = 0; r < nresults; r++)
        if (name[r]) kd_value_rename(s->f->results[r], name[r]);
}

void kd_fuse_split_slabs(KdFunc *f, KdDiag *d) {
    KdArena *a = kd_arena_create();
    for (KdInstr *i = f->first; i; i = i->next) {
        if (i->op != KD_OP_SLAB || !is_computed(i)) continue;
        Split s = { .f = f, .b = kd_builder(f, d), .a = a, .slab = i, .nvalues = f->nvalues };
        s.behind = KD_NEW_ARRAY(a, bool, s.nvalues);
        s.part = KD_NEW_ARRAY(a, KdValue *, s.nvalues);
        if (!find_behind(&s)) continue;
        if (kd_step(d)) split(&s);
        break; /* of the gradients there is one */
    }
    kd_arena_destroy(a);
}
