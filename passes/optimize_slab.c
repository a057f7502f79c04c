/*
 * What any optimiser may have around its rule, as ops on the slabs of optimize.c. The formulas are
 * PyTorch's:
 *
 *   loss_scale s   g = g / s   autodiff's are of s times the loss (Micikevicius et al. 2018)
 *   clip_value c   g = min(max(g, -c), c)
 *   clip_norm c    g = g · min(c / (‖g‖ + 1e-6), 1)          over all of the gradients
 *   groups         lr and weight_decay of their own for parameters whose names fit a pattern
 *   max_norm c     w = w · c / (‖w‖ + 1e-7) where ‖w‖ > c     w: an output's weights, once updated
 *   accumulate k   the rule runs at each k-th step, on the mean of k gradients
 */
#include "passes/optimize.h"

#include <fnmatch.h>
#include <string.h>

static KdValue *number(KdBuilder *b, double value) {
    return kd_constant(b, kd_scalar(KD_F32), value);
}

/* The hyperparameter, where the module has it and it is above 0; else NULL. */
static KdValue *limit(KdBuilder *b, const char *name) {
    int at = kd_module_hyper(b->f->module, name);
    if (at < 0 || !(b->f->module->hypers[at]->value > 0)) return NULL;
    b->name = name;
    return kd_hyper(b, name);
}

/* The scalar in the shape [n]. */
static KdValue *spread(KdBuilder *b, KdValue *x, int64_t n) {
    return kd_view(b, x, 1, &n, &(KdAccess){ .rank = 0 }, 0);
}

KdValue *kd_slice_param(KdBuilder *b, KdValue *slab, const KdParam *p, int64_t base) {
    int64_t start = kd_slab_offset(b->f->module, p) - base, n = kd_type_elements(p->type, 1, 1);
    KdValue *part = kd_slice(b, slab, &start, &n);
    b->name = kd_arena_format(b->f->module->arena, "%s.%s", p->network, p->name);
    return kd_reshape(b, part, p->type.rank, p->type.dim);
}

/* The network's trained parameters in module order; how many. */
static int trained_params(const KdUpdate *u, const KdParam **list) {
    const KdModule *m = u->b->f->module;
    int n = 0;
    for (int k = 0; k < m->nparams; k++)
        if (!m->params[k]->running && strcmp(m->params[k]->network, u->network) == 0)
            list[n++] = m->params[k];
    return n;
}

/* --- gradients ------------------------------------------------------------------------------- */

void kd_unscale_gradients(KdUpdate *u) {
    KdBuilder *b = u->b;
    if (kd_module_hyper(b->f->module, "loss_scale") < 0) return;
    KdValue *back = kd_binary(b, KD_OP_DIV, number(b, 1), kd_hyper(b, "loss_scale"));
    b->name = "grads.unscaled";
    u->g = kd_binary(b, KD_OP_MUL, u->g, back);
}

void kd_clip_gradients(KdUpdate *u) {
    KdBuilder *b = u->b;
    KdValue *most = limit(b, "clip_value");
    if (most) {
        KdValue *least = kd_unary(b, KD_OP_NEG, most);
        u->g = kd_binary(b, KD_OP_MAX, u->g, least);
        u->g = kd_binary(b, KD_OP_MIN, u->g, most);
    }
    KdValue *norm = limit(b, "clip_norm");
    if (norm) {
        const int axis = 0;
        KdValue *square = kd_binary(b, KD_OP_MUL, u->g, u->g);
        KdValue *length = kd_unary(b, KD_OP_SQRT, kd_reduce(b, KD_OP_REDUCE_SUM, square, 1, &axis));
        KdValue *below = kd_binary(b, KD_OP_ADD, length, number(b, 1e-6));
        KdValue *factor = kd_binary(b, KD_OP_DIV, norm, below);
        factor = kd_binary(b, KD_OP_MIN, factor, number(b, 1));
        u->g = kd_binary(b, KD_OP_MUL, u->g, factor);
    }
}

/* --- groups ---------------------------------------------------------------------------------- */

enum { MAX_GROUPS = 16 };

static const char *group_key(const KdUpdate *u, int group, const char *key) {
    return kd_arena_format(u->b->f->module->arena, "group%d.%s", group + 1, key);
}

static const char *group_pattern(const KdUpdate *u, int group) {
    return kd_attr_str(u->b->f->module->program, group_key(u, group, "params"), NULL);
}

/* Where the run is described, if the module says so. */
static KdLoc place_of_run(const KdModule *m) {
    const KdFunc *gradients = kd_module_func(m, "gradients");
    return gradients && gradients->loc.line ? gradients->loc : (KdLoc){ m->source, 0 };
}

/* The group of each parameter, -1 for none: the first one whose pattern fits. False where a pattern
 * fits no parameter at all, or there are too many. */
static bool find_groups(const KdUpdate *u, int n, const KdParam *const *params, int *group) {
    for (int k = 0; k < n; k++) group[k] = -1;
    if (group_pattern(u, MAX_GROUPS))
        return kd_error(u->b->diag, (KdLoc){ u->b->f->module->source, 0 },
                        "optimize: at most %d groups of parameters", MAX_GROUPS);
    for (int g = 0; g < MAX_GROUPS && group_pattern(u, g); g++) {
        bool any = false;
        for (int k = 0; k < n; k++) {
            if (fnmatch(group_pattern(u, g), params[k]->name, 0) != 0) continue;
            any = true;
            if (group[k] < 0) group[k] = g;
        }
        if (any) continue;
        return kd_error(u->b->diag, place_of_run(u->b->f->module),
                        "optimize: no parameter of network '%s' fits '%s', the pattern of group %d",
                        u->network, group_pattern(u, g), g + 1);
    }
    return true;
}

/* A slab that holds, for each element of a parameter, its group's `each`, or `other`. */
static KdValue *spread_groups(const KdUpdate *u, int n, const KdParam *const *params,
                              const int *group, KdValue *const *each, KdValue *other) {
    KdValue **part = KD_NEW_ARRAY(u->b->f->module->arena, KdValue *, n);
    for (int k = 0; k < n; k++) {
        KdValue *x = group[k] < 0 ? other : each[group[k]];
        part[k] = spread(u->b, x, kd_type_elements(params[k]->type, 1, 1));
    }
    return kd_slab(u->b, n, part);
}

bool kd_append_groups(KdUpdate *u) {
    KdBuilder *b = u->b;
    KdModule *m = b->f->module;
    if (!group_pattern(u, 0)) return true;
    const KdParam **params = KD_NEW_ARRAY(m->arena, const KdParam *, m->nparams + 1);
    int n = trained_params(u, params), *group = KD_NEW_ARRAY(m->arena, int, n + 1);
    KdValue *rate[MAX_GROUPS] = { 0 }, *decay[MAX_GROUPS] = { 0 };
    if (!find_groups(u, n, params, group)) return false;
    for (int g = 0; g < MAX_GROUPS && group_pattern(u, g); g++) {
        const char *lr = group_key(u, g, "lr"), *pull = group_key(u, g, "weight_decay");
        if (kd_module_hyper(m, lr) < 0 || kd_module_hyper(m, pull) < 0)
            return kd_error(b->diag, (KdLoc){ m->source, 0 },
                            "optimize: group %d wants hyperparameters '%s' and '%s'", g + 1, lr,
                            pull);
        rate[g] = kd_append_schedule(b, u->batches, kd_hyper(b, lr));
        decay[g] = kd_hyper(b, pull);
        if (!rate[g]) return false;
    }
    double absent = kd_attr_num(m->program, "weight_decay", u->default_decay);
    KdValue *all =
        kd_module_hyper(m, "weight_decay") < 0 ? number(b, absent) : kd_hyper(b, "weight_decay");
    u->lr = spread_groups(u, n, params, group, rate, u->lr);
    u->decay = spread_groups(u, n, params, group, decay, all);
    return u->lr && u->decay;
}

/* --- parameters ------------------------------------------------------------------------------ */

/* w, each of its rows along dim 0 no longer than `most`. */
static KdValue *limit_rows(KdBuilder *b, KdValue *w, KdValue *most) {
    const int first = 0;
    int axes[KD_MAX_RANK];
    for (int k = 1; k < w->type.rank; k++) axes[k - 1] = k;
    KdValue *square = kd_binary(b, KD_OP_MUL, w, w);
    KdValue *sum = kd_reduce(b, KD_OP_REDUCE_SUM, square, w->type.rank - 1, axes);
    KdValue *norm = kd_unary(b, KD_OP_SQRT, sum);
    KdValue *wide = spread(b, most, w->type.dim[0]);
    KdValue *factor = kd_binary(b, KD_OP_DIV, wide, kd_binary(b, KD_OP_ADD, norm, number(b, 1e-7)));
    KdValue *longer = kd_binary(b, KD_OP_LT, wide, norm);
    factor = kd_select(b, longer, factor, kd_constant_like(b, factor, 1));
    return kd_binary(b, KD_OP_MUL, w, kd_broadcast(b, factor, w->type, &first));
}

bool kd_limit_norms(KdUpdate *u) {
    KdModule *m = u->b->f->module;
    KdValue *most = limit(u->b, "max_norm");
    if (!most) return true;
    const KdParam **params = KD_NEW_ARRAY(m->arena, const KdParam *, m->nparams + 1);
    int n = trained_params(u, params);
    KdValue **part = KD_NEW_ARRAY(m->arena, KdValue *, n);
    for (int k = 0; k < n; k++) {
        part[k] = kd_slice_param(u->b, u->p, params[k], 0);
        if (part[k] && params[k]->type.rank > 1) part[k] = limit_rows(u->b, part[k], most);
        if (!part[k]) return false;
    }
    u->b->name = "params.limited";
    u->p = kd_slab(u->b, n, part);
    return u->p != NULL;
}

/* --- accumulation ---------------------------------------------------------------------------- */

void kd_begin_accumulation(KdUpdate *u, KdAccumulation *acc, int64_t steps, KdValue *sum) {
    KdBuilder *b = u->b;
    KdValue *t = kd_cast(b, u->step, KD_F32), *k = number(b, (double)steps);
    KdValue *next = kd_binary(b, KD_OP_ADD, t, number(b, 1));
    KdValue *rounds = kd_unary(b, KD_OP_FLOOR, kd_binary(b, KD_OP_DIV, next, k));
    KdValue *last = kd_binary(b, KD_OP_EQ, kd_binary(b, KD_OP_MUL, rounds, k), next);
    KdValue *past = kd_unary(b, KD_OP_FLOOR, kd_binary(b, KD_OP_DIV, t, k));
    acc->old = *u;
    acc->total = kd_binary(b, KD_OP_ADD, sum, u->g);
    acc->last = spread(b, last, u->g->type.dim[0]);
    u->step = kd_cast(b, past, KD_I32);
    u->g = kd_binary(b, KD_OP_MUL, acc->total, number(b, 1.0 / (double)steps));
}

KdValue *kd_end_accumulation(KdUpdate *u, const KdAccumulation *acc) {
    KdBuilder *b = u->b;
    b->name = "params.kept";
    u->p = kd_select(b, acc->last, u->p, acc->old.p);
    for (int k = 0; k < 2; k++)
        if (u->state[k]) u->state[k] = kd_select(b, acc->last, u->state[k], acc->old.state[k]);
    KdValue *zero = kd_constant_like(b, acc->total, 0);
    b->name = "sum.next";
    return kd_select(b, acc->last, zero, acc->total);
}
