/*
 * Homes outside of the arena. A function's result is computed where the caller wants it; where it
 * takes over an argument's memory, only if nobody reads the old value once the writer runs. A slab
 * does so part by part. What cannot be had directly is copied by a kernel:
 *
 *   slab operands    that are no kernel's result, or are in a slab already
 *   results          that are arguments, parts of something, or returned twice
 *   in-place results whose argument is still read: computed elsewhere, copied at the very end; of a
 *                    slab the parts of which that is so, copied in front of it
 */
#include "ir/alias.h"
#include "passes/plan.h"

#include <string.h>

/* A kernel in front of `before` that copies v. */
static KdValue *insert_copy(KdPlan *p, KdValue *v, KdInstr *before) {
    KdFunc *f = p->f;
    KdFunc *body = kd_body_create(f);
    KdBuilder inner = kd_builder(body, p->d), b = kd_builder(f, p->d);
    inner.name = v->name;
    inner.loc = b.loc = v->loc;
    KdValue *x = kd_func_add_arg(body, kd_arena_format(p->a, "%s.k", v->name), v->type, NULL);
    KdAccess same = { .rank = v->type.rank };
    for (int k = 0; k < same.rank; k++) same.dim[k] = kd_index_iter(k);
    KdValue *copied = kd_view(&inner, x, v->type.rank, v->type.dim, &same, 0);
    kd_func_set_results(body, 1, &copied);
    b.before = before;
    b.name = kd_arena_format(p->a, "%s.copy", v->name);
    KdInstr *kernel = kd_instr_create(&b, KD_OP_KERNEL, 1, &v);
    kd_attr_set_str(f->module->arena, &kernel->attrs, "kind", "map");
    kernel->body = body;
    KdValue *copy = kd_instr_finish(&b, kernel, NULL);
    if (!copy) kd_bug(p->d, "a copy of %%%s has no type", v->name);
    return copy;
}

/* --- slabs ---------------------------------------------------------------------------------- */

/* May the operand be computed right inside of the slab? `taken`: by value id. */
static bool fits_slab(const KdPlan *p, const KdValue *x, const bool *taken) {
    KdRoot r = p->root[x->id];
    return r.v->def && r.v->def->op == KD_OP_KERNEL && r.offset == 0 && !taken[r.v->id] &&
           kd_plan_bytes(p, r.v) == kd_plan_bytes(p, x);
}

static void copy_slab_operands(KdPlan *p) {
    bool *taken = KD_NEW_ARRAY(p->a, bool, p->f->nvalues);
    KD_EACH_INSTR(i, p->f) {
        for (int k = 0; i->op == KD_OP_SLAB && k < i->nargs; k++) {
            if (fits_slab(p, i->args[k], taken))
                taken[p->root[i->args[k]->id].v->id] = true;
            else
                i->args[k] = insert_copy(p, i->args[k], i);
        }
    }
}

/* --- results -------------------------------------------------------------------------------- */

static int takes_over(const KdFunc *f, int result) {
    return f->in_place ? f->in_place[result] : -1;
}

/* Results that lie in arguments are copied as soon as they can be read. */
static void copy_returned_arguments(KdPlan *p) {
    KdFunc *f = p->f;
    for (int k = 0; k < f->nresults; k++) {
        KdValue *v = f->results[k];
        KdRoot r = p->root[v->id];
        int a = takes_over(f, k);
        if (r.v->def || (a >= 0 && r.v == f->args[a] && r.offset == 0)) continue;
        f->results[k] = insert_copy(p, v, v->def ? v->def->next : f->first);
    }
}

/* Where the loss of a step is computed: its first result, a scalar. -1: there is none. A loss that
 * is not finite stops the step, and then everything must be as it was before. */
static int loss_position(const KdPlan *p) {
    const KdValue *first = p->f->results[0];
    bool scalar = first->type.rank == 0 && first->type.dtype == KD_F32;
    return scalar ? p->position[p->root[first->id].v->id] : -1;
}

/* May kernel `i`, which writes v over what it reads as operand k, do so? */
static bool writes_over(const KdPlan *p, const KdInstr *i, int k, const KdValue *v) {
    const char *kind = kd_attr_str(i->attrs, "kind", "");
    bool by_element = strcmp(kind, "map") == 0 || strcmp(kind, "reduce") == 0 ||
                      strcmp(kind, "norm") == 0 || strcmp(kind, "contract") == 0;
    return by_element && v->def == i && p->root[i->args[k]->id].offset == p->root[v->id].offset &&
           kd_shape_equal(i->args[k]->type, v->type) && kd_kernel_reads_in_step(i, k);
}

/* Is the memory of the argument free for v, a kernel's result that its root puts there, when that
 * kernel runs? */
static bool is_free_for(const KdPlan *p, const KdValue *v, const KdValue *arg) {
    int64_t from = p->root[v->id].offset, to = from + kd_plan_bytes(p, v);
    int at = -1;
    if (p->position[v->id] <= loss_position(p)) return false;
    KD_EACH_INSTR(i, p->f) {
        at++;
        if (at < p->position[v->id] || i->op != KD_OP_KERNEL) continue;
        for (int k = 0; k < i->nargs; k++) {
            KdRoot r = p->root[i->args[k]->id];
            if (r.v != arg || r.offset >= to) continue;
            if (r.offset + kd_plan_bytes(p, i->args[k]) <= from) continue;
            if (!writes_over(p, i, k, v)) return false;
        }
    }
    return true;
}

static bool may_take_over(const KdPlan *p, const KdValue *root, int a) {
    const KdValue *arg = p->f->args[a];
    if (p->homed[arg->id] || kd_plan_bytes(p, arg) != kd_plan_bytes(p, root)) return false;
    KD_EACH_INSTR(i, p->f)
    for (int k = 0; i->op == KD_OP_KERNEL && k < i->nresults; k++) {
        const KdValue *v = i->results[k];
        if (p->root[v->id].v == root && !is_free_for(p, v, arg)) return false;
    }
    return true;
}

static bool is_whole_root(const KdPlan *p, const KdValue *v) {
    KdRoot r = p->root[v->id];
    return r.v->def && !p->homed[r.v->id] && r.offset == 0 &&
           kd_plan_bytes(p, r.v) == kd_plan_bytes(p, v);
}

static void set_home(KdPlan *p, const KdValue *v, KdPlace place, int base) {
    KdValue *root = p->root[v->id].v;
    root->buffer = (KdBuffer){ .place = place, .base = base };
    p->homed[root->id] = true;
}

/* Is argument `a` free for operand k of a slab, which is a kernel's result as it fits the slab? */
static bool is_free_for_part(const KdPlan *p, const KdInstr *slab, int k, int a) {
    const KdValue *v = slab->args[k];
    while (v->def->op != KD_OP_KERNEL) v = v->def->args[0];
    return is_free_for(p, v, p->f->args[a]);
}

/* Copies the parts of a slab for which argument `a` is not free; how many. None, if that is all. */
static int copy_hindered_parts(KdPlan *p, KdInstr *slab, int a) {
    int n = 0;
    for (int k = 0; k < slab->nargs; k++) n += !is_free_for_part(p, slab, k, a);
    for (int k = 0; n < slab->nargs && k < slab->nargs; k++)
        if (!is_free_for_part(p, slab, k, a)) slab->args[k] = insert_copy(p, slab->args[k], slab);
    return n < slab->nargs ? n : 0;
}

/* Result v cannot be computed in its place, which is that of argument `a` (-1: the caller's). */
static void copy_result(KdPlan *p, int result, int a, bool whole) {
    KdFunc *f = p->f;
    KdValue *v = f->results[result];
    bool parts = whole && v->def->op == KD_OP_SLAB && !p->homed[f->args[a]->id];
    int n = parts ? copy_hindered_parts(p, v->def, a) : 0;
    const char *what =
        n ? kd_arena_format(p->a, "%d parts of %%%s are copied to their place", n, v->name)
          : kd_arena_format(p->a, "result %%%s is copied to its place", v->name);
    if (n == 0) f->results[result] = insert_copy(p, v, NULL);
    kd_remark(p->d, "plan-memory", v->loc, "@%s: %s: %s", f->name, what,
              a >= 0 ? "the argument that it takes over is still read"
                     : "its memory is part of something else");
}

/* Gives each result its home; false: a copy was inserted, and this must be done again. */
static bool home_results(KdPlan *p) {
    KdFunc *f = p->f;
    for (int k = 0; k < f->nresults; k++) {
        KdValue *v = f->results[k];
        int a = takes_over(f, k);
        if (a >= 0 && p->root[v->id].v == f->args[a]) continue; /* returned as it came */
        bool whole = is_whole_root(p, v);
        if (!whole || (a >= 0 && !may_take_over(p, p->root[v->id].v, a))) {
            copy_result(p, k, a, whole);
            return false;
        }
        set_home(p, v, a >= 0 ? KD_PLACE_ARG : KD_PLACE_RESULT, a >= 0 ? a : k);
        if (a >= 0) p->homed[f->args[a]->id] = true;
    }
    return true;
}

/* Each argument is taken over once, by a result of its type. */
static bool check_in_place(const KdPlan *p) {
    const KdFunc *f = p->f;
    bool *taken = KD_NEW_ARRAY(p->a, bool, f->nargs + 1);
    for (int k = 0; k < f->nresults; k++) {
        int a = takes_over(f, k);
        if (a < 0) continue;
        if (a >= f->nargs || taken[a] || !kd_type_equal(f->args[a]->type, f->results[k]->type))
            return kd_error(p->d, f->loc, "in_place: result %d of @%s cannot take over argument %d",
                            k, f->name, a);
        taken[a] = true;
    }
    return true;
}

bool kd_plan_homes(KdPlan *p) {
    if (!check_in_place(p)) return false;
    kd_plan_resolve(p, false);
    copy_slab_operands(p);
    kd_plan_resolve(p, true);
    copy_returned_arguments(p);
    do kd_plan_resolve(p, true);
    while (!home_results(p));
    return true;
}
