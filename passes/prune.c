/*
 * prune: dead units go, for a network whose weights are known when it is compiled. What is known of
 * them stands with the parameters: rows and columns of weights that are zero, elements of vectors
 * that are zero or negative. A unit c of a hidden layer is dead when
 *
 *   nothing reads it      its column of the next weights is zero
 *   it is always 0        its row of weights is zero, and so is what bias and activation make of 0
 *   it is always k[c]     its row is zero: the next layer's sums get  Σ_c W[o,c] k[c]  instead
 *
 * Both products then run over the other units alone, with weights that are parts of the old ones;
 * `fold` turns these into parameters. m->program's `pruned` says how many units went.
 */
#include "passes/prune.h"
#include "passes/canonicalize.h"
#include "passes/pass.h"

typedef struct Prune {
    KdFunc *f;
    KdArena *a;
    KdDiag *d;
    KdBuilder b;
} Prune;

static bool knows(const Prune *s, const KdValue *v, const char *fact, int64_t index) {
    const KdParam *p = v ? kd_param_of_value(s->f->module, v) : NULL;
    const KdAttr *list = p ? kd_attr_find(p->facts, fact) : NULL;
    for (int k = 0; list && k < list->nints; k++)
        if (list->ints[k] == index) return true;
    return false;
}

/* --- which units are dead ------------------------------------------------------------------------
 */

typedef enum Life { ALIVE, UNREAD, ZERO, CONSTANT } Life;

static bool is_read(const Prune *s, const KdChain *c, int64_t unit) {
    const KdValue *w = c->reader->args[c->reader_weights];
    for (int64_t k = 0; k < c->block; k++)
        if (!knows(s, w, "zero_columns", unit * c->block + k)) return true;
    return false;
}

static bool is_zero_constant(const KdValue *v) {
    return v->def && v->def->op == KD_OP_CONSTANT && kd_attr_num(v->def->attrs, "value", 1) == 0;
}

/* What a view reads that is no element of its operand; 0 where there is no such thing. */
static double fill_beside(const KdInstr *view) {
    bool inside = kd_access_inside(view->access, view->results[0]->type.dim, &view->args[0]->type);
    return inside ? 0 : kd_attr_num(view->attrs, "fill", 0);
}

/* What a unit whose product is 0 is at the reader: 0 for certain? On the way it may be at most 0.
 */
static bool ends_as_zero(const Prune *s, const KdChain *c, int64_t unit) {
    bool zero = true, at_most_zero = true;
    for (int k = 0; k < c->n; k++) {
        const KdLink *l = &c->link[k];
        if (l->i->op == KD_OP_VIEW) {
            zero &= fill_beside(l->i) == 0;
            at_most_zero &= fill_beside(l->i) <= 0;
        }
        if (!kd_op_has(l->i->op, KD_T_ELEMENTWISE)) continue;
        bool adds_zero = knows(s, l->vector, "zero_rows", unit);
        if (l->i->op == KD_OP_ADD && l->vector) {
            at_most_zero &= adds_zero || knows(s, l->vector, "negative", unit);
            zero &= adds_zero;
        } else if (l->i->op == KD_OP_MAX && is_zero_constant(l->i->args[1 - l->chain])) {
            zero |= at_most_zero;
            at_most_zero = zero;
        } else {
            zero = at_most_zero = zero && l->i->op == KD_OP_MUL;
        }
    }
    return zero;
}

static Life life_of(const Prune *s, const KdChain *c, int64_t unit) {
    if (!is_read(s, c, unit)) return UNREAD;
    if (!knows(s, c->product->args[c->weights], "zero_rows", unit)) return ALIVE;
    if (ends_as_zero(s, c, unit)) return ZERO;
    return c->constant ? CONSTANT : ALIVE;
}

/* --- parts of tensors ----------------------------------------------------------------------------
 */

/* Those units of dim `axis` of v, `block` elements each. */
static KdValue *take(Prune *s, KdValue *v, int axis, int64_t block, int n, const int64_t *unit) {
    int64_t start[KD_MAX_RANK] = { 0 }, dim[KD_MAX_RANK];
    KdValue **part = KD_NEW_ARRAY(s->a, KdValue *, n);
    int parts = 0;
    for (int k = 0; k < v->type.rank; k++) dim[k] = v->type.dim[k];
    for (int k = 0, run; k < n; k += run) {
        for (run = 1; k + run < n && unit[k + run] == unit[k] + run;) run++;
        start[axis] = unit[k] * block;
        dim[axis] = run * block;
        part[parts++] = kd_slice(&s->b, v, start, dim);
    }
    return parts == 1 ? part[0] : kd_concat(&s->b, parts, part, axis);
}

/* --- what constant units add
 * ----------------------------------------------------------------------- */

/* f32[channels]: the units, if all their products were 0. */
static KdValue *constants(Prune *s, const KdChain *c) {
    KdType t = kd_type(KD_F32, 1, &c->channels);
    KdValue *v = kd_constant(&s->b, t, 0);
    for (int k = 0; k < c->n; k++) {
        const KdLink *l = &c->link[k];
        if (!kd_op_has(l->i->op, KD_T_ELEMENTWISE)) continue;
        KdValue *args[] = { v, v };
        if (l->i->nargs == 2) {
            const KdInstr *other = l->i->args[1 - l->chain]->def;
            args[1 - l->chain] = l->vector
                                     ? l->vector
                                     : kd_constant(&s->b, t, kd_attr_num(other->attrs, "value", 0));
        }
        KdInstr *i = kd_instr_create(&s->b, l->i->op, l->i->nargs, args);
        v = kd_instr_finish(&s->b, i, NULL);
    }
    return v;
}

/* The sums of the reader over units that are constant: one number per output channel. */
static KdValue *constant_sums(Prune *s, const KdChain *c, int n, const int64_t *unit) {
    KdValue *w = take(s, c->reader->args[c->reader_weights], 1, c->block, n, unit);
    KdValue *v = take(s, constants(s, c), 0, 1, n, unit);
    int64_t wide[] = { n, c->block };
    int axes[KD_MAX_RANK] = { 0 }, one = 1;
    v = kd_broadcast(&s->b, v, kd_type(KD_F32, 2, wide), axes);
    v = kd_reshape(&s->b, v, 1, &w->type.dim[1]);
    v = kd_binary(&s->b, KD_OP_MUL, w, kd_broadcast(&s->b, v, w->type, &one));
    for (int k = 1; k < w->type.rank; k++) axes[k - 1] = k;
    return kd_reduce(&s->b, KD_OP_REDUCE_SUM, v, w->type.rank - 1, axes);
}

/* The result dim that runs over the reader's output channels, or -1. */
static int output_dim(const KdChain *c) {
    const KdContract *x = c->reader->contract;
    const KdAccess *own = c->reader_weights ? &x->b : &x->a;
    for (int d = 0; d < c->reader->results[0]->type.rank; d++)
        if (kd_index_is_iter(&own->dim[0], d)) return d;
    return -1;
}

static void add_sums(Prune *s, const KdChain *c, KdValue *sums) {
    KdValue *y = c->reader->results[0];
    int dim = output_dim(c);
    s->b.before = c->reader->next;
    KdValue *wide = kd_broadcast(&s->b, sums, y->type, &dim);
    KdValue *all = kd_binary(&s->b, KD_OP_ADD, y, wide);
    kd_replace_uses(y, all);
    all->def->args[all->def->args[0] == all ? 0 : 1] = y;
}

/* --- the network without them
 * ---------------------------------------------------------------------- */

static void shrink_link(Prune *s, const KdLink *l, int before, int n, const int64_t *unit) {
    KdInstr *i = l->i;
    KdType t = i->args[l->chain]->type;
    s->b.before = i;
    if (kd_op_has(i->op, KD_T_ELEMENTWISE) && i->nargs == 2) {
        KdValue **other = &i->args[1 - l->chain];
        *other = l->vector ? kd_broadcast(&s->b, take(s, l->vector, 0, 1, n, unit), t, &before)
                           : kd_constant(&s->b, t, kd_attr_num((*other)->def->attrs, "value", 0));
    }
    i->results[0]->type.dim[l->dim] = n * l->block;
}

static void shrink(Prune *s, const KdChain *c, int n, const int64_t *unit) {
    KdInstr *first = c->product, *last = c->reader;
    s->b.before = first;
    first->args[c->weights] = take(s, first->args[c->weights], 0, 1, n, unit);
    first->results[0]->type.dim[c->dim] = n;
    for (int k = 0; k < c->n; k++)
        shrink_link(s, &c->link[k], k ? c->link[k - 1].dim : c->dim, n, unit);
    s->b.before = last;
    last->args[c->reader_weights] = take(s, last->args[c->reader_weights], 1, c->block, n, unit);
    last->contract->over[c->over] = n * c->block;
}

/* How many units went. */
static int prune_layer(Prune *s, const KdChain *c) {
    int64_t *left = KD_NEW_ARRAY(s->a, int64_t, c->channels);
    int64_t *constant = KD_NEW_ARRAY(s->a, int64_t, c->channels);
    int nleft = 0, nconstant = 0;
    for (int64_t unit = 0; unit < c->channels; unit++) {
        Life life = life_of(s, c, unit);
        bool last = unit == c->channels - 1 && nleft == 0; /* one stays */
        if (life == CONSTANT && output_dim(c) >= 0 && !last)
            constant[nconstant++] = unit;
        else if (life == ALIVE || life == CONSTANT || last)
            left[nleft++] = unit;
    }
    int dead = (int)c->channels - nleft;
    if (dead == 0) return 0;
    s->b.loc = c->product->loc;
    s->b.role = c->product->role;
    s->b.before = c->product;
    KdValue *sums = nconstant ? constant_sums(s, c, nconstant, constant) : NULL;
    shrink(s, c, nleft, left);
    if (sums) add_sums(s, c, sums);
    kd_remark(s->d, "prune", c->product->loc, "%d of the %d units of %%%s are dead", dead,
              (int)c->channels, c->product->results[0]->name);
    return dead;
}

bool kd_pass_prune(KdModule *m, const KdAttr *options, KdDiag *d) {
    KdFunc *f = kd_module_func(m, kd_attr_str(options, "of", "student"));
    if (!f) return true;
    Prune s = { .f = f, .a = kd_arena_create(), .d = d, .b = kd_builder(f, d) };
    int pruned = 0;
    KD_EACH_INSTR(i, f) {
        KdChain c;
        if (i->op == KD_OP_CONTRACT && kd_chain_find(i, kd_count_uses(f, s.a), &c) && kd_step(d))
            pruned += prune_layer(&s, &c);
    }
    kd_attr_set_int(m->arena, &m->program, "pruned", pruned);
    kd_func_drop_dead(f, s.a);
    kd_arena_destroy(s.a);
    return true;
}
