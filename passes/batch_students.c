/*
 * batch-students: @gradients of one student becomes that of several, which start from weights of
 * their own, differ in settings, and see the same batches. Small products become larger ones, and
 * what they share (the batch, the teachers' logits, random numbers) is computed once:
 *
 *     h[b,o]   = Σ_i x[b,i]   · w[o,i]       one student
 *     h[b,s,o] = Σ_i x[b,i]   · w[s,o,i]     all of them; a layer on: Σ_i h[b,s,i] · w[s,o,i]
 *
 * A parameter has the dim of students in front; what depends on one, or on a setting that varies,
 * has it behind the batch's dim, or in front where there is none. The other dims, and the order of
 * each sum, stay, so each student has the bits that it has alone. Behind the loss, which is that of
 * all together, the new value of a running statistic is each student's own.
 *
 * What would not keep its bits, or has no such form, is left as it is, with a remark: convolutions,
 * batch norms, and rules of the optimiser that look at several weights at once.
 */
#include "passes/pass.h"

#include <string.h>

typedef struct Batch {
    KdModule *m;
    KdArena *a;
    const char *network; /* the students', */
    int64_t students;    /* how many, */
    const char *vary;    /* and hyperparameters that each has of its own: names, commas between */
    const KdFunc *from;
    bool *each;    /* by value id of `from`: is there one for each student? */
    KdValue **now; /* what it has become */
    KdBuilder b;
} Batch;

/* --- which values there is one of for each student -------------------------------------------- */

static bool is_listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; *at; at += strspn(at, ",")) {
        size_t n = strcspn(at, ",");
        if (n == length && strncmp(at, name, n) == 0) return true;
        at += n;
    }
    return false;
}

static const char *hyper_name(const KdInstr *i) {
    return i->op == KD_OP_HYPER ? kd_attr_str(i->attrs, "name", "") : "";
}

static bool is_students(const Batch *x, const KdParam *p) {
    return p && strcmp(p->network, x->network) == 0;
}

static void find_each(Batch *x) {
    for (int k = 0; k < x->from->nargs; k++)
        x->each[x->from->args[k]->id] = is_students(x, kd_param_of_value(x->m, x->from->args[k]));
    KD_EACH_INSTR(i, x->from) {
        bool each = is_listed(x->vary, hyper_name(i)) || i == x->from->results[1]->def;
        for (int k = 0; k < i->nargs; k++) each |= x->each[i->args[k]->id];
        for (int k = 0; k < i->nresults; k++) x->each[i->results[k]->id] = each;
    }
}

/* --- what stands against it ------------------------------------------------------------------- */

static bool has_batch(KdType t) {
    return t.rank > 0 && t.dim[0] == KD_BATCH;
}

/* Room for a dim more, and the batch, if anywhere, outermost? */
static bool has_place(KdType t) {
    for (int k = 1; k < t.rank; k++)
        if (t.dim[k] == KD_BATCH) return false;
    return t.rank < KD_MAX_RANK;
}

/* A sum over the batch alone is made in the order of its rows, be there a column or several. Lanes
 * go along what is summed besides; then they would not lie next to each other any more. */
static bool keeps_order(const KdInstr *i) {
    KdType t = i->args[0]->type;
    return !has_batch(t) || !kd_reduces(i, 0) || t.rank == 1 || !kd_reduces(i, t.rank - 1);
}

static bool has_window(const KdAccess *x) {
    for (int k = 0; k < x->rank; k++)
        if (x->dim[k].nterms > 1) return true;
    return false;
}

/* How others are summed, as a convolution, may depend on how many results there are. */
static bool is_matrix_product(const KdInstr *i) {
    const KdContract *c = i->contract;
    return c->nover == 1 && !has_window(&c->a) && !has_window(&c->b);
}

/* What stands against students side by side in i, or NULL. */
static const char *objection(const Batch *x, const KdInstr *i) {
    KdType t = i->results[0]->type;
    if (!has_place(t)) return "has no room for the dim of students";
    switch ((int)i->op) {
    case KD_OP_RESHAPE:
        return has_batch(t) == has_batch(i->args[0]->type) ? NULL : "takes the batch apart";
    case KD_OP_CONTRACT: return is_matrix_product(i) ? NULL : "is more than a matrix product";
    case KD_OP_ARGMAX:
    case KD_OP_REDUCE_MAX:
    case KD_OP_REDUCE_SUM:
        return keeps_order(i) ? NULL : "sums over the batch and its rows in another order";
    case KD_OP_SLAB: return i == x->from->results[1]->def ? NULL : "is a slab";
    case KD_OP_HYPER:
    case KD_OP_VIEW:
    case KD_OP_CONCAT: return NULL;
    default: return kd_op_has(i->op, KD_T_ELEMENTWISE) ? NULL : "has no form for several students";
    }
}

static bool is_limited(const KdModule *m, const char *name) {
    int at = kd_module_hyper(m, name);
    return at >= 0 && m->hypers[at]->value > 0;
}

/* What stands against students side by side in all of the module, or NULL. */
static const char *general_objection(const Batch *x) {
    if (is_limited(x->m, "clip_norm")) return "clip_norm goes over all weights";
    if (is_limited(x->m, "max_norm")) return "max_norm goes over rows of weights";
    for (int k = 0; k < x->m->nparams; k++)
        if (strcmp(x->m->params[k]->network, KD_SETTINGS) == 0)
            return "a network is called '" KD_SETTINGS "'";
    for (int k = 0; k < x->m->nparams; k++)
        if (x->m->params[k]->running && is_students(x, x->m->params[k]))
            return "the network has running statistics";
    if (!x->each[x->from->results[0]->id]) return "the loss does not depend on the network";
    return NULL;
}

/* A hyperparameter that varies and is read by others than @gradients would be one for all. */
static const char *unread_setting(const Batch *x) {
    for (int k = 0; k < x->m->nhypers; k++) {
        const char *name = x->m->hypers[k]->name;
        bool read = !is_listed(x->vary, name);
        KD_EACH_INSTR(i, x->from) read |= strcmp(hyper_name(i), name) == 0;
        if (!read) return name;
    }
    return NULL;
}

static bool is_possible(const Batch *x, KdDiag *d) {
    KdLoc loc = x->from->loc;
    const char *why = general_objection(x), *name = unread_setting(x);
    if (why) kd_remark(d, "batch-students", loc, "students stay alone: %s", why);
    if (name) kd_remark(d, "batch-students", loc, "students stay alone: no loss reads %%%s", name);
    if (why || name) return false;
    KD_EACH_INSTR(i, x->from) {
        if (i->nresults == 0 || !x->each[i->results[0]->id]) continue;
        why = objection(x, i);
        if (why)
            kd_remark(d, "batch-students", i->loc, "students stay alone: %%%s %s",
                      i->results[0]->name, why);
        if (why) return false;
    }
    return true;
}

/* --- a dim more ------------------------------------------------------------------------------- */

/* Where the dim of students stands in what had that type. */
static int place(KdType t) {
    return has_batch(t) ? 1 : 0;
}

static KdType widened(const Batch *x, KdType t) {
    int at = place(t);
    for (int k = t.rank; k > at; k--) t.dim[k] = t.dim[k - 1];
    t.dim[at] = x->students;
    t.rank++;
    return t;
}

/* The access of an instruction whose result was `t`, to an operand that was `from`. */
static KdAccess widened_access(const Batch *x, const KdAccess *old, KdType t, const KdValue *from) {
    KdAccess access = *old;
    for (int k = 0; k < access.rank; k++)
        for (int j = 0; j < access.dim[k].nterms; j++)
            access.dim[k].term[j].iter += access.dim[k].term[j].iter >= place(t);
    if (!x->each[from->id]) return access;
    int at = place(from->type);
    for (int k = access.rank++; k > at; k--) access.dim[k] = access.dim[k - 1];
    access.dim[at] = kd_index_iter(place(t));
    return access;
}

/* For each student the same. */
static KdValue *repeated(Batch *x, const KdValue *v) {
    KdType t = widened(x, v->type);
    if (v->def && v->def->op == KD_OP_CONSTANT)
        return kd_constant(&x->b, t, kd_attr_num(v->def->attrs, "value", 0));
    int map[KD_MAX_RANK];
    for (int k = 0; k < v->type.rank; k++) map[k] = k + (k >= place(v->type));
    return kd_broadcast(&x->b, x->now[v->id], t, map);
}

/* Axes as they are counted now. */
static void shift_axes(const Batch *x, KdInstr *i, const KdInstr *old) {
    int at = place(old->args[0]->type);
    const KdAttr *axes = kd_attr_find(old->attrs, "axes"), *axis = kd_attr_find(old->attrs, "axis");
    int64_t shifted[KD_MAX_RANK];
    for (int k = 0; axes && k < axes->nints; k++)
        shifted[k] = axes->ints[k] + (axes->ints[k] >= at);
    if (axes) kd_attr_set_ints(x->m->arena, &i->attrs, "axes", axes->nints, shifted);
    if (axis) kd_attr_set_int(x->m->arena, &i->attrs, "axis", axis->i + (axis->i >= at));
}

/* An instruction for all students in place of that for one. */
static KdValue *widened_instr(Batch *x, const KdInstr *old) {
    KdArena *a = x->m->arena;
    KdType t = old->results[0]->type, wide = widened(x, t);
    KdValue **args = KD_NEW_ARRAY(x->a, KdValue *, old->nargs);
    const char *name = x->b.name;
    x->b.name = NULL;
    bool spread = old->op != KD_OP_VIEW && old->op != KD_OP_CONTRACT; /* all operands alike */
    for (int k = 0; k < old->nargs; k++)
        args[k] = x->each[old->args[k]->id] || !spread ? x->now[old->args[k]->id]
                                                       : repeated(x, old->args[k]);
    x->b.name = name;
    KdInstr *i = kd_instr_create(&x->b, old->op, old->nargs, args);
    if (!i) return NULL;
    i->attrs = kd_attr_clone(a, old->attrs);
    if (old->nargs) shift_axes(x, i, old);
    if (old->access) {
        i->access = KD_NEW(a, KdAccess);
        *i->access = widened_access(x, old->access, t, old->args[0]);
    }
    if (old->contract) {
        i->contract = kd_arena_copy(a, old->contract, sizeof *old->contract);
        i->contract->a = widened_access(x, &old->contract->a, t, old->args[0]);
        i->contract->b = widened_access(x, &old->contract->b, t, old->args[1]);
    }
    return kd_instr_finish(&x->b, i, &wide);
}

/* --- the new function ------------------------------------------------------------------------- */

/* A setting of each student: a parameter of none that is trained, f32[S]. */
static KdValue *setting(Batch *x, const char *name) {
    KdType t = kd_type(KD_F32, 1, &x->students);
    KdParam *p = kd_module_param(x->m, KD_SETTINGS, name);
    if (!p) p = kd_module_add_param(x->m, KD_SETTINGS, name, t);
    return kd_func_param(x->b.f, p);
}

/* Sums of a column a student, where alone there is one: lanes go along the batch then, as here. */
static KdValue *sum_apart(Batch *x, const KdInstr *old) {
    KdBuilder *b = &x->b;
    const int axis = 0;
    const int64_t one = 1;
    const char *name = b->name;
    KdValue **sum = KD_NEW_ARRAY(x->a, KdValue *, x->students), *wide = x->now[old->args[0]->id];
    b->name = NULL;
    for (int64_t s = 0; s < x->students; s++) {
        KdAccess column = { 2, { kd_index_iter(0), kd_index_constant(s) } };
        KdValue *rows = kd_view(b, wide, 1, wide->type.dim, &column, 0);
        sum[s] = kd_reshape(b, kd_reduce(b, old->op, rows, 1, &axis), 1, &one);
    }
    b->name = name;
    return kd_concat(b, (int)x->students, sum, 0);
}

static KdValue *for_all(Batch *x, const KdInstr *i) {
    if (i->op == KD_OP_HYPER) return setting(x, hyper_name(i));
    bool column = kd_op_has(i->op, KD_T_REDUCTION) && i->results[0]->type.rank == 0 &&
                  has_batch(i->args[0]->type);
    if (column) return sum_apart(x, i);
    if (i->op != KD_OP_SLAB) return widened_instr(x, i);
    KdValue **parts = KD_NEW_ARRAY(x->a, KdValue *, i->nargs);
    for (int k = 0; k < i->nargs; k++)
        parts[k] = x->each[i->args[k]->id] ? x->now[i->args[k]->id] : repeated(x, i->args[k]);
    x->b.name = i->results[0]->name;
    return kd_slab(&x->b, i->nargs, parts);
}

static bool build_body(Batch *x) {
    KD_EACH_INSTR(i, x->from) {
        x->b.loc = i->loc;
        x->b.role = i->role;
        if (i->nresults == 0 || !x->each[i->results[0]->id]) {
            kd_instr_clone(&x->b, i, x->now);
            continue;
        }
        x->b.name = i->results[0]->name;
        KdValue *v = x->now[i->results[0]->id] = for_all(x, i);
        x->b.name = NULL;
        if (!v) return false;
        if (v->def) v->def->site = i->site;
    }
    return true;
}

static void build_args(Batch *x) {
    for (int k = 0; k < x->m->nparams; k++) {
        KdParam *p = x->m->params[k];
        if (is_students(x, p)) p->type = widened(x, p->type);
    }
    for (int k = 0; k < x->from->nargs; k++) {
        const KdValue *arg = x->from->args[k];
        KdType t = x->each[arg->id] ? widened(x, arg->type) : arg->type;
        KdValue *v = x->now[arg->id] = kd_func_add_arg(x->b.f, arg->name, t, arg->kind);
        v->loc = arg->loc;
    }
}

/* The loss of all, the gradients, and each student's loss. */
static bool build_results(Batch *x) {
    const int axis = 0;
    KdValue *losses = x->now[x->from->results[0]->id];
    x->b.name = "loss.all";
    x->b.role = "loss";
    KdValue *all = kd_reduce(&x->b, KD_OP_REDUCE_SUM, losses, 1, &axis);
    if (!all) return false;
    KdParam *p = kd_module_add_param(x->m, x->network, KD_STUDENT_LOSSES, losses->type);
    p->init = "constant";
    p->running = true;
    KdValue *results[] = { all, x->now[x->from->results[1]->id], losses };
    kd_func_set_results(x->b.f, 3, results);
    return true;
}

/* All functions are of one student: what is built from here on needs none of the others. */
static bool build(Batch *x, KdDiag *d) {
    const KdFunc *from = x->from;
    while (x->m->first) kd_func_remove(x->m, x->m->first);
    KdFunc *f = kd_func_create(x->m, from->name, from->max_batch);
    f->loc = from->loc;
    x->b = kd_builder(f, d);
    build_args(x);
    return build_body(x) && build_results(x);
}

/* batch-students{students=8,vary="sigma,alpha"}: absent options come from the program's keys
 * students and students.vary. */
bool kd_pass_batch_students(KdModule *m, const KdAttr *options, KdDiag *d) {
    Batch x = { .m = m, .from = kd_module_func(m, "gradients"), .a = kd_arena_create() };
    KdLoc loc = { m->source, 0 };
    x.students = kd_attr_int(options, "students", kd_attr_int(m->program, "students", 1));
    x.vary = kd_attr_str(options, "vary", kd_attr_str(m->program, "students.vary", ""));
    x.network = kd_attr_str(m->program, "trained", NULL);
    bool ok = x.from && x.network && x.students > 0;
    if (!x.from || !x.network)
        kd_error(d, loc, "batch-students: there is no @gradients of a network that is trained");
    else if (x.students < 1)
        kd_error(d, loc, "batch-students: students is how many, at least 1");
    if (ok) {
        x.each = KD_NEW_ARRAY(x.a, bool, x.from->nvalues);
        x.now = KD_NEW_ARRAY(x.a, KdValue *, x.from->nvalues);
        find_each(&x);
        if (is_possible(&x, d) && kd_step(d)) {
            kd_remark(d, "batch-students", x.from->loc, "%lld students in one graph",
                      (long long)x.students);
            ok = build(&x, d);
        }
    }
    kd_arena_destroy(x.a);
    return ok;
}
