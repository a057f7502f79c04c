/*
 * fold: for a network whose weights are known when it is compiled. First a batch normalisation
 * behind a product goes into the product's weights: with s and t one number per output channel,
 *
 *     (W x + b) s + t  =  (W s) x + (b s + t)
 *
 * Then whatever parameters alone decide becomes a parameter of its own, and @fold(parameters)
 * returns the values of the new ones, in module order, for whoever has the weights to compute. Bits
 * change: this pass is no part of training.
 */
#include "passes/pass.h"

#include <string.h>

typedef struct Fold {
    KdFunc *f;
    KdArena *a;
    KdDiag *d;
    bool *fixed; /* by value id: of parameters alone */
    int *uses;
} Fold;

/* --- what is fixed --------------------------------------------------------------------------- */

static bool is_fixed_instr(const Fold *s, const KdInstr *i) {
    unsigned never = KD_T_RANDOM | KD_T_EFFECT | KD_T_STRUCTURE | KD_T_SETTING;
    if (i->nresults != 1 || (kd_op_info(i->op)->traits & never)) return false;
    if (kd_type_has(i->results[0]->type, KD_BATCH)) return false;
    for (int k = 0; k < i->nargs; k++)
        if (!s->fixed[i->args[k]->id]) return false;
    return true;
}

/* Both tables are made anew whenever something was rewritten. */
static void find_facts(Fold *s) {
    s->fixed = KD_NEW_ARRAY(s->a, bool, s->f->nvalues + 1);
    s->uses = kd_count_uses(s->f, s->a);
    for (int k = 0; k < s->f->nargs; k++)
        s->fixed[s->f->args[k]->id] = kd_param_of_value(s->f->module, s->f->args[k]) != NULL;
    KD_EACH_INSTR(i, s->f) if (is_fixed_instr(s, i)) s->fixed[i->results[0]->id] = true;
}

/* Is v one fixed number per element of dim *axis, seen in a larger shape? Gives these numbers. */
static KdValue *channel_numbers(const Fold *s, const KdValue *v, int *axis) {
    const KdInstr *i = v->def;
    if (!i || i->op != KD_OP_VIEW || i->args[0]->type.rank != 1) return NULL;
    if (!s->fixed[i->args[0]->id]) return NULL;
    for (int k = 0; k < v->type.rank; k++) {
        if (!kd_index_is_iter(&i->access->dim[0], k)) continue;
        if (v->type.dim[k] != i->args[0]->type.dim[0]) return NULL;
        *axis = k;
        return i->args[0];
    }
    return NULL;
}

/* The operand of i, an op of two, that channel_numbers knows; *other is the other one. */
static KdValue *channel_operand(const Fold *s, const KdInstr *i, int *axis, KdValue **other) {
    for (int k = 1; k >= 0; k--) {
        KdValue *c = channel_numbers(s, i->args[k], axis);
        *other = i->args[1 - k];
        if (c) return c;
    }
    return NULL;
}

/* --- the product behind a value -------------------------------------------------------------- */

/* product [reshape] [add bias]: what is scaled. */
typedef struct Chain {
    KdInstr *product, *reshape; /* reshape: groups joined to channels, or NULL */
    KdValue *bias;              /* f32[C], or NULL */
    int axis;                   /* of the channels, in the scaled value's shape */
    int weights;                /* which operand of the product */
} Chain;

static KdInstr *only_use(const Fold *s, const KdValue *v, KdOp op) {
    return v->def && v->def->op == op && s->uses[v->id] == 1 && !v->def->site ? v->def : NULL;
}

/* Does the reshape only join dims `axis` and `axis` + 1? */
static bool joins_groups(const KdInstr *reshape, int axis) {
    KdType from = reshape->args[0]->type, to = reshape->results[0]->type;
    if (from.rank != to.rank + 1) return false;
    for (int k = 0; k < to.rank; k++)
        if (k != axis && to.dim[k] != from.dim[k < axis ? k : k + 1]) return false;
    return true;
}

/* How many dims are read at exactly this iterator. */
static int whole_dims(const KdAccess *x, int iter) {
    int n = 0;
    for (int d = 0; d < x->rank; d++) n += kd_index_is_iter(&x->dim[d], iter);
    return n;
}

/* Which operand is fixed and has the channels as whole dims? -1: none. */
static int find_weights(const Fold *s, const Chain *c) {
    for (int k = 1; k >= 0; k--) {
        const KdAccess *access = k ? &c->product->contract->b : &c->product->contract->a;
        bool found = s->fixed[c->product->args[k]->id];
        for (int n = 0; n <= (c->reshape ? 1 : 0); n++)
            found &= whole_dims(access, c->axis + n) == 1;
        if (found) return k;
    }
    return -1;
}

static bool find_chain(const Fold *s, KdValue *v, int axis, Chain *c) {
    *c = (Chain){ .axis = axis };
    KdInstr *sum = only_use(s, v, KD_OP_ADD);
    int bias_axis;
    if (sum) {
        c->bias = channel_operand(s, sum, &bias_axis, &v);
        if (!c->bias || bias_axis != axis) return false;
    }
    c->reshape = only_use(s, v, KD_OP_RESHAPE);
    if (c->reshape && !joins_groups(c->reshape, axis)) return false;
    if (c->reshape) v = c->reshape->args[0];
    c->product = only_use(s, v, KD_OP_CONTRACT);
    if (!c->product) return false;
    c->weights = find_weights(s, c);
    return c->weights >= 0;
}

/* --- folding a scale ------------------------------------------------------------------------- */

/* The weights, each times the number of its channel. */
static KdValue *scale_weights(KdBuilder *b, const Chain *c, KdValue *scale) {
    KdValue *w = c->product->args[c->weights];
    const KdAccess *access = c->weights ? &c->product->contract->b : &c->product->contract->a;
    if (c->reshape) scale = kd_reshape(b, scale, 2, &c->product->results[0]->type.dim[c->axis]);
    KdAccess wide = { .rank = c->reshape ? 2 : 1 };
    for (int n = 0; n < wide.rank; n++)
        for (int d = 0; d < access->rank; d++)
            if (kd_index_is_iter(&access->dim[d], c->axis + n)) wide.dim[n] = kd_index_iter(d);
    scale = kd_view(b, scale, w->type.rank, w->type.dim, &wide, 0);
    b->name = kd_arena_format(b->f->module->arena, "%s.scaled", c->product->results[0]->name);
    return kd_binary(b, KD_OP_MUL, w, scale);
}

static KdValue *add_channels(KdBuilder *b, KdValue *x, KdValue *v, int axis, const char *name) {
    v = kd_broadcast(b, v, x->type, &axis);
    b->name = name;
    return kd_binary(b, KD_OP_ADD, x, v);
}

/* The chain with its weights and bias scaled, in front of b->before. */
static KdValue *build_scaled(KdBuilder *b, const Chain *c, KdValue *scale, const char *name) {
    const KdInstr *p = c->product;
    KdType t = p->results[0]->type;
    KdValue *args[] = { p->args[0], p->args[1] };
    args[c->weights] = scale_weights(b, c, scale);
    b->name = p->results[0]->name;
    KdValue *v = kd_contract_like(b, p, args[0], args[1], t.rank, t.dim, p->contract);
    if (c->reshape) {
        t = c->reshape->results[0]->type;
        v = kd_reshape(b, v, t.rank, t.dim);
    }
    if (c->bias) v = add_channels(b, v, kd_binary(b, KD_OP_MUL, c->bias, scale), c->axis, name);
    return v;
}

/* (x + b) + t -> x + (b + t) */
static KdValue *join_biases(const Fold *s, KdBuilder *b, KdInstr *i) {
    KdValue *inner, *x;
    int axis, inner_axis;
    KdValue *t = channel_operand(s, i, &axis, &inner);
    KdInstr *sum = t ? only_use(s, inner, KD_OP_ADD) : NULL;
    KdValue *bias = sum ? channel_operand(s, sum, &inner_axis, &x) : NULL;
    if (!bias || axis != inner_axis) return NULL;
    return add_channels(b, x, kd_binary(b, KD_OP_ADD, bias, t), axis, i->results[0]->name);
}

static KdValue *fold_scale(const Fold *s, KdBuilder *b, KdInstr *i) {
    KdValue *x;
    int axis;
    Chain c;
    KdValue *scale = channel_operand(s, i, &axis, &x);
    if (!scale || !find_chain(s, x, axis, &c)) return NULL;
    return build_scaled(b, &c, scale, i->results[0]->name);
}

static void fold_all(Fold *s) {
    KdInstr *next;
    for (KdInstr *i = s->f->first; i; i = next) {
        next = i->next;
        if ((i->op != KD_OP_MUL && i->op != KD_OP_ADD) || i->site) continue;
        if (!kd_steps_left(s->d)) return;
        KdBuilder b = kd_builder(s->f, s->d);
        b.before = i;
        b.loc = i->loc;
        b.role = i->role;
        KdValue *v = i->op == KD_OP_MUL ? fold_scale(s, &b, i) : join_biases(s, &b, i);
        if (!v) continue;
        kd_step(s->d);
        kd_replace_uses(i->results[0], v);
        find_facts(s);
    }
}

/* --- fixed values become parameters ----------------------------------------------------------- */

static bool only_moves(const KdInstr *i) {
    return kd_op_info(i->op)->traits & (KD_T_MOVEMENT | KD_T_LEAF);
}

/* Is i a part of something that nothing else reads, or put together from parts? */
static bool saves_bytes(const Fold *s, const KdInstr *i) {
    if (i->op == KD_OP_CONCAT) return true;
    return i->op == KD_OP_VIEW && s->uses[i->args[0]->id] == 1 &&
           kd_type_elements(i->results[0]->type, 1, 1) < kd_type_elements(i->args[0]->type, 1, 1);
}

/* Movement that the network may as well do itself, and what is no f32, as parameters are. */
static bool stays(const Fold *s, const KdInstr *i) {
    return i->results[0]->type.dtype != KD_F32 || (only_moves(i) && !saves_bytes(s, i));
}

/* Marks the fixed values that the rest reads, through movement; `needed` by value id. */
static void find_roots(const Fold *s, bool *needed) {
    for (int k = 0; k < s->f->nresults; k++) needed[s->f->results[k]->id] = true;
    for (const KdInstr *i = s->f->last; i; i = i->prev) {
        bool fixed = i->nresults && s->fixed[i->results[0]->id];
        if (fixed && !(needed[i->results[0]->id] && stays(s, i))) continue;
        for (int k = 0; k < i->nargs; k++) needed[i->args[k]->id] = true;
    }
}

static const char *network_of(const Fold *s) {
    for (int k = 0; k < s->f->nargs; k++) {
        const KdParam *p = kd_param_of_value(s->f->module, s->f->args[k]);
        if (p) return p->network;
    }
    return NULL;
}

/* @fold: the parameters in, all fixed values computed, those of `root` out. */
static void build_fold(const Fold *s, int n, KdValue *const *root) {
    KdFunc *g = kd_func_create(s->f->module, "fold", 0);
    g->loc = s->f->loc;
    KdValue **map = KD_NEW_ARRAY(s->a, KdValue *, s->f->nvalues + 1);
    KdValue **results = KD_NEW_ARRAY(s->a, KdValue *, n);
    for (int k = 0; k < s->f->nargs; k++) {
        const KdValue *x = s->f->args[k];
        if (s->fixed[x->id]) map[x->id] = kd_func_add_arg(g, x->name, x->type, x->kind);
    }
    KdBuilder b = kd_builder(g, s->d);
    KD_EACH_INSTR(i, s->f)
    if (i->nresults && s->fixed[i->results[0]->id]) kd_instr_clone(&b, i, map);
    for (int k = 0; k < n; k++) results[k] = map[root[k]->id];
    kd_func_set_results(g, n, results);
    kd_func_drop_dead(g, s->a);
}

static bool extract(Fold *s) {
    KdModule *m = s->f->module;
    bool *needed = KD_NEW_ARRAY(s->a, bool, s->f->nvalues + 1);
    KdValue **root = KD_NEW_ARRAY(s->a, KdValue *, s->f->nvalues + 1);
    int n = 0;
    find_roots(s, needed);
    KD_EACH_INSTR(i, s->f) {
        KdValue *v = i->nresults ? i->results[0] : NULL;
        if (v && s->fixed[v->id] && needed[v->id] && !stays(s, i) && kd_step(s->d)) root[n++] = v;
    }
    const char *network = network_of(s);
    if (n == 0 || !network) return true;
    if (!kd_may_add_params(m, network, s->d)) return false;
    build_fold(s, n, root);
    for (int k = 0; k < n; k++) {
        const char *name = kd_arena_format(m->arena, "%s.folded%d", network, k + 1);
        KdValue *v = kd_func_add_arg(s->f, name, root[k]->type, KD_ARG_PARAM); /* may rename it */
        KdParam *p = kd_module_add_param(m, network, v->name + strlen(network) + 1, v->type);
        p->loc = v->loc = root[k]->loc;
        kd_replace_uses(root[k], v);
    }
    return true;
}

/* fold{of=NAME}: the function of that name; a module without it stays as it is. */
bool kd_pass_fold(KdModule *m, const KdAttr *options, KdDiag *d) {
    const char *of = kd_attr_str(options, "of", NULL);
    Fold s = { .f = of ? kd_module_func(m, of) : m->first, .d = d };
    if (!s.f) return true;
    if (kd_module_func(m, "fold")) return kd_error(d, s.f->loc, "fold: @fold exists already");
    s.a = kd_arena_create();
    find_facts(&s);
    fold_all(&s);
    kd_func_drop_dead(s.f, s.a);
    find_facts(&s);
    bool ok = extract(&s);
    kd_func_drop_dead(s.f, s.a);
    kd_arena_destroy(s.a);
    return ok;
}
