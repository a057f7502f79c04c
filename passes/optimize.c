/*
 * The optimiser as ops. All trained parameters lie in one slab p, their gradients in another, g;
 * states of the optimiser are further slabs of the same layout, zero at the start. Two functions
 * are made: @update(p, g, states…, step) -> (p', states'…), one flat elementwise computation, and
 * @step, which slices the parameters out of p, calls @gradients and then @update.
 *
 * The formulas are PyTorch's; t counts steps from 1, lr is the rate of the step (schedule below).
 *
 *   sgd        g += wd p;  p -= lr g
 *   momentum   g += wd p;  u = mu u + g;  p -= lr u
 *   nesterov   g += wd p;  u = mu u + g;  p -= lr (g + mu u)
 *   adam       g += wd p;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g²;
 *              p -= (lr / (1-b1^t)) m / (√v / √(1-b2^t) + eps)
 *   adamw      p *= 1 - lr wd, then adam without wd
 *   adadelta   g += wd p;  s = rho s + (1-rho) g²;  q = √(a + eps) / √(s + eps) g;
 *              a = rho a + (1-rho) q²;  p -= lr q
 *   rmsprop    g += wd p;  s = rho s + (1-rho) g²;  p -= lr g / (√s + eps)
 */
#include "passes/optimize.h"

#include <string.h>

/* --- hyperparameters ------------------------------------------------------------------------ */

/* Is `name` set to anything but zero, as a hyperparameter or in the program? */
static bool is_set(const KdModule *m, const char *name) {
    int at = kd_module_hyper(m, name);
    return (at >= 0 ? m->hypers[at]->value : kd_attr_num(m->program, name, 0)) != 0;
}

/* A hyperparameter of the module; made where it is missing, of the program's value or `absent`. */
static KdValue *hyper(KdBuilder *b, const char *name, double absent) {
    KdModule *m = b->f->module;
    if (kd_module_hyper(m, name) < 0)
        kd_module_add_hyper(m, name, kd_attr_num(m->program, name, absent), b->loc);
    b->name = name;
    return kd_hyper(b, name);
}

/* --- short words ---------------------------------------------------------------------------- */

static KdValue *add(KdBuilder *b, KdValue *x, KdValue *y) {
    return kd_binary(b, KD_OP_ADD, x, y);
}

static KdValue *sub(KdBuilder *b, KdValue *x, KdValue *y) {
    return kd_binary(b, KD_OP_SUB, x, y);
}

static KdValue *mul(KdBuilder *b, KdValue *x, KdValue *y) {
    return kd_binary(b, KD_OP_MUL, x, y);
}

static KdValue *divide(KdBuilder *b, KdValue *x, KdValue *y) {
    return kd_binary(b, KD_OP_DIV, x, y);
}

static KdValue *root(KdBuilder *b, KdValue *x) {
    return kd_unary(b, KD_OP_SQRT, x);
}

static KdValue *number(KdBuilder *b, double value) {
    return kd_constant(b, kd_scalar(KD_F32), value);
}

/* 1 - x */
static KdValue *complement(KdBuilder *b, KdValue *x) {
    return sub(b, number(b, 1), x);
}

/* rate · mean + (1 - rate) · x: a running mean. */
static KdValue *running(KdBuilder *b, KdValue *rate, KdValue *mean, KdValue *x, const char *name) {
    KdValue *old = mul(b, mean, rate);
    KdValue *fresh = mul(b, x, complement(b, rate));
    b->name = name;
    return add(b, old, fresh);
}

/* --- the rules ------------------------------------------------------------------------------ */

typedef struct Optimizer {
    const char *name;
    bool (*rule)(KdUpdate *u);
    int nstates;
    const char *state[2]; /* their names */
    double lr, decay;     /* PyTorch's defaults, of the rate and the weight decay */
} Optimizer;

/* The weight decay: one number, or a slab of each group's. */
static KdValue *decay_rate(KdUpdate *u) {
    return u->decay ? u->decay : hyper(u->b, "weight_decay", u->default_decay);
}

/* g += wd p, where a weight decay is set. */
static void decay(KdUpdate *u) {
    if (!u->decay && !is_set(u->b->f->module, "weight_decay")) return;
    KdValue *pull = mul(u->b, u->p, decay_rate(u));
    u->g = add(u->b, u->g, pull);
}

/* p -= lr · direction */
static bool descend(KdUpdate *u, KdValue *direction) {
    KdValue *move = mul(u->b, direction, u->lr);
    u->b->name = "params.next";
    u->p = sub(u->b, u->p, move);
    return u->p != NULL;
}

static bool update_sgd(KdUpdate *u) {
    decay(u);
    return descend(u, u->g);
}

/* The momentum of the step. */
static KdValue *momentum(KdUpdate *u) {
    KdValue *mu = hyper(u->b, "momentum", 0.9);
    if (!(kd_attr_num(u->b->f->module->program, "momentum.steps", 0) > 0)) return mu;
    return kd_append_momentum(u->b, u->batches, mu, hyper(u->b, "momentum.to", 0.9));
}

static bool update_momentum(KdUpdate *u) {
    decay(u);
    KdValue *kept = mul(u->b, u->state[0], momentum(u));
    u->b->name = "momentum.next";
    u->state[0] = add(u->b, kept, u->g);
    return descend(u, u->state[0]);
}

static bool update_nesterov(KdUpdate *u) {
    decay(u);
    KdValue *mu = momentum(u);
    KdValue *kept = mul(u->b, u->state[0], mu);
    u->b->name = "momentum.next";
    u->state[0] = add(u->b, kept, u->g);
    KdValue *ahead = mul(u->b, u->state[0], mu);
    return descend(u, add(u->b, u->g, ahead));
}

/* 1 - beta^t without cancellation: with x = t · log(beta) and h = tanh(x / 2), it is
 * -expm1(x) = -2h / (1 - h). */
static KdValue *bias_correction(KdUpdate *u, KdValue *beta) {
    KdBuilder *b = u->b;
    KdValue *done = kd_cast(b, u->step, KD_F32);
    KdValue *t = add(b, done, number(b, 1));
    KdValue *x = mul(b, t, kd_unary(b, KD_OP_LOG, beta));
    KdValue *h = kd_unary(b, KD_OP_TANH, mul(b, x, number(b, 0.5)));
    KdValue *top = mul(b, h, number(b, -2));
    return divide(b, top, complement(b, h));
}

static bool adam(KdUpdate *u) {
    KdBuilder *b = u->b;
    KdValue *beta1 = hyper(b, "beta1", 0.9);
    KdValue *beta2 = hyper(b, "beta2", 0.999);
    u->state[0] = running(b, beta1, u->state[0], u->g, "m.next");
    u->state[1] = running(b, beta2, u->state[1], mul(b, u->g, u->g), "v.next");
    KdValue *rate = divide(b, u->lr, bias_correction(u, beta1));
    KdValue *scale = root(b, bias_correction(u, beta2));
    KdValue *spread = divide(b, root(b, u->state[1]), scale);
    KdValue *below = add(b, spread, hyper(b, "eps", 1e-8));
    u->lr = rate;
    return descend(u, divide(b, u->state[0], below));
}

static bool update_adam(KdUpdate *u) {
    decay(u);
    return adam(u);
}

static bool update_adamw(KdUpdate *u) {
    KdValue *shrink = mul(u->b, u->lr, decay_rate(u));
    u->p = mul(u->b, u->p, complement(u->b, shrink));
    return adam(u);
}

static bool update_adadelta(KdUpdate *u) {
    KdBuilder *b = u->b;
    decay(u);
    KdValue *rho = hyper(b, "rho", 0.9), *eps = hyper(b, "eps", 1e-6);
    u->state[0] = running(b, rho, u->state[0], mul(b, u->g, u->g), "square.next");
    KdValue *past = root(b, add(b, u->state[1], eps));
    KdValue *now = root(b, add(b, u->state[0], eps));
    KdValue *delta = mul(b, divide(b, past, now), u->g);
    u->state[1] = running(b, rho, u->state[1], mul(b, delta, delta), "delta.next");
    return descend(u, delta);
}

static bool update_rmsprop(KdUpdate *u) {
    KdBuilder *b = u->b;
    decay(u);
    KdValue *rho = hyper(b, "rho", 0.99);
    u->state[0] = running(b, rho, u->state[0], mul(b, u->g, u->g), "square.next");
    KdValue *spread = root(b, u->state[0]);
    return descend(u, divide(b, u->g, add(b, spread, hyper(b, "eps", 1e-8))));
}

static const Optimizer optimizers[] = {
    { "sgd", update_sgd, 0, { NULL }, 1e-3, 0 },
    { "momentum", update_momentum, 1, { "opt.momentum" }, 1e-3, 0 },
    { "nesterov", update_nesterov, 1, { "opt.momentum" }, 1e-3, 0 },
    { "adam", update_adam, 2, { "opt.m", "opt.v" }, 1e-3, 0 },
    { "adamw", update_adamw, 2, { "opt.m", "opt.v" }, 1e-3, 0.01 },
    { "adadelta", update_adadelta, 2, { "opt.square", "opt.delta" }, 1.0, 0 },
    { "rmsprop", update_rmsprop, 1, { "opt.square" }, 1e-2, 0 },
};
#define NUM_OPTIMIZERS ((int)(sizeof optimizers / sizeof optimizers[0]))

static const Optimizer *find_optimizer(const char *name) {
    for (int k = 0; k < NUM_OPTIMIZERS; k++)
        if (!strcmp(optimizers[k].name, name)) return &optimizers[k];
    return NULL;
}

/* sgd with a momentum is momentum, and with nesterov besides it is that. */
static const Optimizer *choose_optimizer(const KdModule *m, const char *name, KdDiag *d) {
    const char *names[NUM_OPTIMIZERS];
    if (!strcmp(name, "sgd") && (is_set(m, "momentum") || is_set(m, "momentum.steps")))
        name = is_set(m, "nesterov") ? "nesterov" : "momentum";
    const Optimizer *found = find_optimizer(name);
    if (found) return found;
    for (int k = 0; k < NUM_OPTIMIZERS; k++) names[k] = optimizers[k].name;
    const char *near = kd_nearest(name, names, NUM_OPTIMIZERS);
    kd_error(d, (KdLoc){ m->source, 0 }, "optimize: there is no optimizer '%s'%s%s%s", name,
             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

/* --- @update and @step ---------------------------------------------------------------------- */

/* With the program's check = "all" a loss is no number where a gradient is none, and the gradients
 * wait for it: whoever looks at the loss at once sees it before anything is updated. Where all is
 * well both keep their bits, 0 g being 0 and 1 g being g. */
static KdValue *check_gradients(KdUpdate *u, KdValue *loss) {
    KdBuilder *b = u->b;
    const int axis = 0;
    KdValue *zeros = mul(b, u->g, kd_constant_like(b, u->g, 0));
    KdValue *zero = kd_reduce(b, KD_OP_REDUCE_SUM, zeros, 1, &axis);
    b->name = "loss.checked";
    loss = add(b, loss, zero);
    KdValue *one = add(b, mul(b, loss, number(b, 0)), number(b, 1));
    u->g = mul(b, u->g, one);
    return loss;
}

static bool checks_gradients(const KdModule *m) {
    return strcmp(kd_attr_str(m->program, "check", "loss"), "all") == 0;
}

/* The rule, and what comes before and behind it. */
static bool apply_rule(KdUpdate *u, const Optimizer *o) {
    kd_clip_gradients(u);
    u->lr = kd_append_schedule(u->b, u->batches, hyper(u->b, "lr", o->lr));
    return u->lr && kd_append_groups(u) && o->rule(u) && kd_limit_norms(u);
}

static KdFunc *make_update(KdModule *m, const Optimizer *o, const char *network, KdDiag *d) {
    KdFunc *f = kd_func_create(m, "update", 0);
    KdType slab = kd_type(KD_F32, 1, (int64_t[]){ kd_slab_trained(m, network) });
    const KdAttr *accumulate = kd_attr_find(m->program, "accumulate");
    int64_t every = kd_attr_int(m->program, "accumulate", accumulate ? 0 : 1);
    if (every < 1)
        kd_error(d, (KdLoc){ m->source, 0 }, "optimize: accumulate is an integer, at least 1");
    if (every < 1) return NULL;
    KdBuilder b = kd_builder(f, d);
    b.role = "update";
    KdUpdate u = { .b = &b, .network = network, .default_decay = o->decay };
    u.p = kd_func_add_arg(f, "params", slab, KD_ARG_SLAB);
    u.g = kd_func_add_arg(f, "grads", slab, KD_ARG_SLAB);
    for (int k = 0; k < o->nstates; k++)
        u.state[k] = kd_func_add_arg(f, o->state[k], slab, KD_ARG_SLAB);
    KdValue *sum = every > 1 ? kd_func_add_arg(f, "opt.sum", slab, KD_ARG_SLAB) : NULL;
    u.batches = u.step = kd_func_add_arg(f, "step", kd_scalar(KD_I32), KD_ARG_STEP);
    KdValue *loss =
        checks_gradients(m) ? kd_func_add_arg(f, "loss", kd_scalar(KD_F32), NULL) : NULL;
    KdAccumulation acc;
    kd_unscale_gradients(&u);
    if (loss) loss = check_gradients(&u, loss);
    if (sum) kd_begin_accumulation(&u, &acc, every, sum);
    if (!apply_rule(&u, o)) return NULL;
    if (sum) sum = kd_end_accumulation(&u, &acc);

    KdValue *results[5] = { u.p, u.state[0], u.state[1] };
    int in_place[5] = { 0, 2, 3, 4, -1 }, n = 1 + o->nstates;
    if (sum) results[n++] = sum;
    if (loss) in_place[n] = -1;
    if (loss) results[n++] = loss;
    kd_func_set_results(f, n, results);
    f->in_place = KD_COPY_ARRAY(m->arena, in_place, 5);
    return f;
}

/* What @step is made from. */
typedef struct Step {
    KdModule *m;
    KdFunc *f;
    KdBuilder b;
    const char *network;
    const KdFunc *gradients, *update;
    KdValue **pass;      /* to @gradients */
    KdValue *params;     /* slab of what is trained */
    KdValue *running;    /* slab of running statistics, or NULL */
    int nstates, states; /* the optimiser's slabs are arguments from number `states` on */
    bool checked;        /* @update takes the loss, and returns it behind the slabs */
} Step;

/* @step's own arguments: those of @gradients but for the network's parameters, then the slabs. */
static void add_step_args(Step *s) {
    KdFunc *f = s->f;
    for (int k = 0; k < s->gradients->nargs; k++) {
        const KdValue *arg = s->gradients->args[k];
        const KdParam *p = kd_param_of_value(s->m, arg);
        if (p && !strcmp(p->network, s->network)) continue;
        s->pass[k] = kd_func_add_arg(f, arg->name, arg->type, arg->kind);
        s->pass[k]->loc = arg->loc;
    }
    if (!kd_func_arg_kind(f, KD_ARG_STEP))
        kd_func_add_arg(f, "step", kd_scalar(KD_I32), KD_ARG_STEP);
    KdType slab = s->update->args[0]->type;
    s->params = kd_func_add_arg(f, "params", slab, KD_ARG_SLAB);
    s->states = f->nargs;
    for (int k = 0; k < s->nstates; k++)
        kd_func_add_arg(f, s->update->args[2 + k]->name, slab, KD_ARG_SLAB);
    int64_t statistics = kd_slab_elements(s->m, s->network) - slab.dim[0];
    if (statistics)
        s->running = kd_func_add_arg(f, "running", kd_type(KD_F32, 1, &statistics), KD_ARG_SLAB);
}

/* Parameters and running statistics as @gradients takes them, cut out of their slabs. */
static bool slice_params(Step *s) {
    for (int k = 0; k < s->gradients->nargs; k++) {
        if (s->pass[k]) continue;
        const KdParam *p = kd_param_of_value(s->m, s->gradients->args[k]);
        s->pass[k] = p->running
                         ? kd_slice_param(&s->b, s->running, p, kd_slab_trained(s->m, s->network))
                         : kd_slice_param(&s->b, s->params, p, 0);
        if (!s->pass[k]) return false;
    }
    return true;
}

/* Results: the loss, then each slab in place of the argument it comes from. */
static bool compose_step(Step *s) {
    KdArena *a = s->m->arena;
    KdValue **made = KD_NEW_ARRAY(a, KdValue *, s->gradients->nresults);
    KdValue **given = KD_NEW_ARRAY(a, KdValue *, s->update->nargs);
    int n = 2 + s->nstates,
        room = n + 1; /* what @update returns behind the slabs has a place too */
    KdValue **results = KD_NEW_ARRAY(a, KdValue *, room);
    if (!slice_params(s) || !kd_call(&s->b, (KdFunc *)s->gradients, s->pass, made)) return false;
    given[0] = s->params;
    given[1] = made[1];
    for (int k = 0; k < s->nstates; k++) given[2 + k] = s->f->args[s->states + k];
    given[2 + s->nstates] = kd_func_arg_kind(s->f, KD_ARG_STEP);
    if (s->checked) given[3 + s->nstates] = made[0];
    if (!kd_call(&s->b, (KdFunc *)s->update, given, results + 1)) return false;
    results[0] = s->checked ? results[n] : made[0];
    int *in_place = KD_NEW_ARRAY(a, int, room);
    for (int k = 0; k < n; k++) in_place[k] = k ? s->states + k - 2 : -1;
    if (s->running) {
        s->b.name = "running.next";
        results[n] = kd_slab(&s->b, s->gradients->nresults - 2, made + 2);
        if (!results[n]) return false;
        in_place[n++] = s->running->index;
    }
    kd_func_set_results(s->f, n, results);
    s->f->in_place = in_place;
    return true;
}

static bool make_step(KdModule *m, const KdFunc *update, const char *network, KdDiag *d) {
    const KdFunc *gradients = kd_module_func(m, "gradients");
    Step s = { .m = m, .network = network, .gradients = gradients, .update = update };
    s.f = kd_func_create(m, "step", gradients->max_batch);
    s.f->loc = gradients->loc;
    s.b = kd_builder(s.f, d);
    s.b.role = "update";
    s.b.loc = gradients->loc;
    s.pass = KD_NEW_ARRAY(m->arena, KdValue *, gradients->nargs);
    s.checked = checks_gradients(m);
    s.nstates = update->nresults - 1 - s.checked;
    add_step_args(&s);
    return compose_step(&s);
}

/* optimize{kind=adam}: kind defaults to the program's optimizer. */
bool kd_pass_optimize(KdModule *m, const KdAttr *options, KdDiag *d) {
    const char *name = kd_attr_str(options, "kind", kd_attr_str(m->program, "optimizer", "adam"));
    const char *network = kd_attr_str(m->program, "trained", NULL);
    KdLoc loc = { m->source, 0 };
    const KdFunc *gradients = kd_module_func(m, "gradients");
    if (!gradients || gradients->nresults < 2)
        return kd_error(d, loc, "optimize: there is no @gradients; autodiff makes it");
    if (!network) return kd_error(d, loc, "optimize: the program does not say what is trained");
    const char *const made[] = { "update", "step" };
    for (int k = 0; k < 2; k++)
        if (kd_module_func(m, made[k]))
            return kd_error(d, loc, "optimize: @%s exists already", made[k]);
    const Optimizer *o = choose_optimizer(m, name, d);
    const KdFunc *update = o ? make_update(m, o, network, d) : NULL;
    return update && make_step(m, update, network, d);
}
