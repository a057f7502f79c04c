/*
 * hoist-teacher: the teacher's logits of a sample never change, so they are computed once per
 * sample and not once per step.
 *
 * A value is fixed when it is computed from data, %index and parameters that are not trained, by
 * ops that draw nothing and mix no rows: then its row b is a function of sample index[b] alone.
 * Fixed values of role(teacher) that other parts read move into @teacher_logits; @objective reads
 * them by %index from a new data argument that the driver fills. Seen by dependence only: random
 * crops or dropout in the chain make the teacher stay where it is, and a note says so; so does more
 * than `limit` bytes a sample, as whole feature maps would be: such tables fit into no memory.
 */
#include "passes/pass.h"

#include <string.h>

typedef struct Fact {
    bool fixed;
    const KdParam *param;  /* one that the value depends on, or NULL */
    const KdInstr *reason; /* why it is not fixed: the first such op in the chain */
} Fact;

typedef struct Hoist {
    KdModule *m;
    KdFunc *f;
    KdDiag *d;
    KdArena *a;
    const char *trained;
    int nvalues; /* of f, when facts were found */
    Fact *fact;  /* by value id */
    int64_t limit;
    int n; /* values to be hoisted */
    KdValue **value;
} Hoist;

/* --- what is fixed -------------------------------------------------------------------------- */

/* Does the access read the operand's row d0 for row d0, or no row of the batch at all? */
static bool reads_own_row(const KdAccess *x, KdType operand) {
    bool rows = kd_type_has(operand, KD_BATCH);
    if (rows && !kd_index_is_iter(&x->dim[0], 0)) return false;
    for (int k = rows ? 1 : 0; k < x->rank; k++)
        if (kd_index_uses(&x->dim[k], 0)) return false;
    return true;
}

/* B, if anywhere, is the outermost dim and only that. */
static bool is_batch_major(KdType t) {
    for (int k = 1; k < t.rank; k++)
        if (t.dim[k] == KD_BATCH) return false;
    return true;
}

static bool sums_rows(const KdInstr *i) {
    const KdAttr *axes = kd_attr_find(i->attrs, "axes");
    for (int k = 0; axes && k < axes->nints; k++)
        if (i->args[0]->type.dim[axes->ints[k]] == KD_BATCH) return true;
    for (int k = 0; i->contract && k < i->contract->nover; k++)
        if (i->contract->over[k] == KD_BATCH) return true;
    return false;
}

/* Does a row of the result depend on the same row of the operands alone, on each run alike? */
static bool is_row_wise(const KdInstr *i) {
    unsigned never = KD_T_RANDOM | KD_T_EFFECT | KD_T_STRUCTURE | KD_T_SETTING;
    KdType t = i->results[0]->type;
    if ((kd_op_info(i->op)->traits & never) || sums_rows(i) || !is_batch_major(t)) return false;
    bool rows = kd_type_has(t, KD_BATCH);
    for (int k = 0; k < i->nargs; k++)
        if (kd_type_has(i->args[k]->type, KD_BATCH) && !rows) return false;
    switch ((int)i->op) {
    case KD_OP_SCATTER_ADD:
    case KD_OP_SLAB: return false;
    case KD_OP_IOTA:
    case KD_OP_CONCAT: return !rows || kd_attr_int(i->attrs, "axis", 0) != 0;
    case KD_OP_GATHER: return !kd_type_has(i->args[0]->type, KD_BATCH);
    case KD_OP_VIEW: return !rows || reads_own_row(i->access, i->args[0]->type);
    case KD_OP_CONTRACT:
        return !rows || (reads_own_row(&i->contract->a, i->args[0]->type) &&
                         reads_own_row(&i->contract->b, i->args[1]->type));
    default: return true;
    }
}

static Fact fact_of_arg(const Hoist *h, const KdValue *v) {
    const KdParam *p = kd_param_of_value(h->m, v);
    bool data = strcmp(v->kind ? v->kind : "", KD_ARG_DATA) == 0;
    bool index = strcmp(v->kind ? v->kind : "", KD_ARG_INDEX) == 0;
    bool other = p && strcmp(p->network, h->trained) != 0;
    return (Fact){ .fixed = data || index || other, .param = p };
}

static Fact fact_of_instr(const Hoist *h, const KdInstr *i) {
    Fact fact = { .fixed = true };
    for (int k = 0; k < i->nargs; k++) {
        const Fact *x = &h->fact[i->args[k]->id];
        if (!fact.param) fact.param = x->param;
        if (!x->fixed && fact.fixed) fact = (Fact){ false, fact.param, x->reason ? x->reason : i };
    }
    if (fact.fixed && !is_row_wise(i)) fact = (Fact){ false, fact.param, i };
    return fact;
}

static bool is_teacher(const KdInstr *i) {
    return i->role && strcmp(i->role, "teacher") == 0;
}

static bool is_read_outside(const KdFunc *f, const KdValue *v) {
    for (int k = 0; k < f->nresults; k++)
        if (f->results[k] == v) return true;
    KD_EACH_INSTR(i, f)
    for (int k = 0; k < i->nargs; k++)
        if (i->args[k] == v && !is_teacher(i)) return true;
    return false;
}

/* What the note says of a teacher that must run in each step. */
static void explain(const Hoist *h, const KdInstr *i) {
    const KdInstr *why = h->fact[i->results[0]->id].reason;
    kd_note(h->d, i->loc, "hoist-teacher: the teacher runs in every step: %%%s depends on %s %%%s",
            i->results[0]->name, kd_op_text(why->op), why->results[0]->name);
}

static bool fits(const Hoist *h) {
    int64_t bytes = 0;
    for (int k = 0; k < h->n; k++) bytes += kd_type_bytes(h->value[k]->type, 1, 0);
    if (bytes <= h->limit) return true;
    kd_note(h->d, h->value[0]->def->loc,
            "hoist-teacher: the teacher runs in every step: what is read of it takes %lld bytes a "
            "sample, more than %lld",
            (long long)bytes, (long long)h->limit);
    return false;
}

/* The teacher's values that others read; none, if one of them is not fixed. */
static void find_values(Hoist *h) {
    h->nvalues = h->f->nvalues;
    h->fact = KD_NEW_ARRAY(h->a, Fact, h->nvalues + 1);
    h->value = KD_NEW_ARRAY(h->a, KdValue *, h->nvalues + 1);
    for (int k = 0; k < h->f->nargs; k++)
        h->fact[h->f->args[k]->id] = fact_of_arg(h, h->f->args[k]);
    const KdInstr *moving = NULL;
    KD_EACH_INSTR(i, h->f) {
        Fact fact = fact_of_instr(h, i);
        for (int k = 0; k < i->nresults; k++) h->fact[i->results[k]->id] = fact;
        KdValue *v = i->nresults == 1 ? i->results[0] : NULL;
        if (!v || !is_teacher(i) || !fact.param || !is_read_outside(h->f, v)) continue;
        bool rows = v->type.rank > 0 && v->type.dim[0] == KD_BATCH;
        if (fact.fixed && rows)
            h->value[h->n++] = v;
        else if (!moving && !fact.fixed)
            moving = i;
    }
    if (moving) explain(h, moving);
    if (moving || !fits(h)) h->n = 0;
}

/* --- moving --------------------------------------------------------------------------------- */

/* Which values @teacher_logits needs, by id. */
static bool *find_needed(const Hoist *h) {
    bool *needed = KD_NEW_ARRAY(h->a, bool, h->nvalues + 1);
    for (int k = 0; k < h->n; k++) needed[h->value[k]->id] = true;
    for (const KdInstr *i = h->f->last; i; i = i->prev) {
        bool any = false;
        for (int k = 0; k < i->nresults; k++) any |= needed[i->results[k]->id];
        for (int k = 0; any && k < i->nargs; k++) needed[i->args[k]->id] = true;
    }
    return needed;
}

static void build_teacher(const Hoist *h) {
    KdFunc *g = kd_func_create(h->m, "teacher_logits", h->f->max_batch);
    g->loc = h->value[0]->loc;
    const bool *needed = find_needed(h);
    KdValue **map = KD_NEW_ARRAY(h->a, KdValue *, h->nvalues + 1);
    for (int k = 0; k < h->f->nargs; k++) {
        const KdValue *x = h->f->args[k];
        if (!needed[x->id]) continue;
        map[x->id] = kd_func_add_arg(g, x->name, x->type, x->kind);
        map[x->id]->loc = x->loc;
    }
    KdBuilder b = kd_builder(g, h->d);
    KD_EACH_INSTR(i, h->f)
    if (i->nresults && needed[i->results[0]->id]) kd_instr_clone(&b, i, map);
    KdValue **results = KD_NEW_ARRAY(h->a, KdValue *, h->n);
    for (int k = 0; k < h->n; k++) results[k] = map[h->value[k]->id];
    kd_func_set_results(g, h->n, results);
}

/* Value v is read from a table of all samples, at the rows of this batch. */
static KdValue *read_from_table(const Hoist *h, KdValue *v) {
    KdType t = v->type;
    t.dim[0] = KD_ROWS;
    const char *network = h->fact[v->id].param->network;
    const char *name = kd_arena_format(h->m->arena, "%s.logits", network);
    if (kd_func_arg(h->f, name)) name = kd_func_unique_name(h->f, name);
    KdValue *table = kd_func_add_arg(h->f, name, t, KD_ARG_DATA);
    KdBuilder b = kd_builder(h->f, h->d);
    b.before = v->def;
    b.loc = v->def->loc;
    b.role = "teacher";
    KdValue *row = kd_gather(&b, table, kd_func_arg_kind(h->f, KD_ARG_INDEX));
    if (!row) kd_bug(h->d, "no gather of %%%s", v->name);
    row->def->site = v->def->site;
    kd_replace_uses(v, row);
    return row;
}

bool kd_pass_hoist_teacher(KdModule *m, const KdAttr *options, KdDiag *d) {
    Hoist h = { .m = m, .f = kd_module_func(m, "objective"), .d = d };
    if (!h.f || !kd_func_arg_kind(h.f, KD_ARG_INDEX) || kd_module_func(m, "teacher_logits"))
        return true;
    h.limit = kd_attr_int(options, "limit", 4096);
    h.trained = kd_attr_str(m->program, "trained", "student");
    h.a = kd_arena_create();
    find_values(&h);
    if (h.n && kd_step(d)) {
        build_teacher(&h);
        for (int k = 0; k < h.n; k++)
            kd_remark(d, "hoist-teacher", h.value[k]->def->loc,
                      "%%%s depends on the data alone: computed once per sample, not in each step",
                      h.value[k]->name);
        KdValue **row = KD_NEW_ARRAY(h.a, KdValue *, h.n);
        for (int k = 0; k < h.n; k++) row[k] = read_from_table(&h, h.value[k]);
        kd_func_drop_dead(h.f, h.a);
        for (int k = 0; k < h.n; k++) kd_value_rename(row[k], h.value[k]->name);
    }
    kd_arena_destroy(h.a);
    return true;
}
