/*
 * Reverse-mode differentiation. One walk back over the instructions: where the adjoint dy of a
 * result is known, the rule of the op (adjoint.c) adds dy · ∂y/∂x to the adjoint of each operand x.
 * Only values that depend on what we differentiate by are visited, so a teacher, whose parameters
 * are not among them, costs nothing and receives nothing. Adjoints are built from ordinary ops:
 * they can be differentiated again.
 */
#include "passes/autodiff.h"

#include <string.h>

bool kd_grad_wants(const KdGrad *g, const KdValue *x) {
    return x->id < g->nvalues && g->active[x->id];
}

bool kd_grad_add(KdGrad *g, KdValue *x, KdValue *dx) {
    if (!dx) return false;
    if (!kd_grad_wants(g, x)) return true;
    KdValue **sum = &g->adjoint[x->id];
    KdValue *total = *sum ? kd_binary(g->b, KD_OP_ADD, *sum, dx) : dx;
    if (!total) return false;
    /* What was made just now is named after x; an adjoint handed on unchanged keeps its name. */
    const KdInstr *newest = g->b->before ? g->b->before->prev : g->b->f->last;
    if (total->def == newest && !strstr(total->name, ".grad"))
        kd_value_rename(total, kd_arena_format(g->scratch, "%s.grad", x->name));
    *sum = total;
    return true;
}

/* Marks what depends on wrt, in program order up to `end`; returns the last instruction before it.
 */
static KdInstr *mark_active(KdGrad *g, int n, KdValue *const *wrt, const KdInstr *end) {
    KdInstr *last = NULL;
    for (int k = 0; k < n; k++) g->active[wrt[k]->id] = true;
    for (KdInstr *i = g->b->f->first; i && i != end; i = i->next) {
        last = i;
        if (!kd_grad_rule(i->op)) continue;
        for (int k = 0; k < i->nargs; k++)
            if (g->active[i->args[k]->id])
                for (int r = 0; r < i->nresults; r++)
                    if (i->results[r]->type.dtype == KD_F32) g->active[i->results[r]->id] = true;
    }
    return last;
}

static bool walk_back(KdGrad *g, KdInstr *last) {
    for (KdInstr *i = last; i; i = i->prev) {
        KdGradRule *rule = kd_grad_rule(i->op);
        KdValue *dy = NULL;
        for (int r = 0; r < i->nresults && !dy; r++)
            if (g->active[i->results[r]->id]) dy = g->adjoint[i->results[r]->id];
        if (!rule || !dy) continue;
        g->b->loc = i->loc;
        if (!rule(g, i, dy)) return false;
    }
    return true;
}

/* The gradients of y times the scalar `seed`, of y itself where that is NULL. */
static bool append_gradients(KdBuilder *b, KdValue *y, KdValue *seed, int n, KdValue *const *wrt,
                             KdValue **out) {
    if (y->type.dtype != KD_F32 || y->type.rank != 0) {
        char text[KD_TYPE_TEXT];
        return kd_error(b->diag, y->loc,
                        "autodiff: the gradient of %s is asked for, but it is %s; "
                        "only an f32 scalar has one",
                        y->name, kd_type_text(y->type, text));
    }
    KdArena *scratch = kd_arena_create();
    int nvalues = b->f->nvalues;
    KdGrad g = { .b = b,
                 .scratch = scratch,
                 .nvalues = nvalues,
                 .active = KD_NEW_ARRAY(scratch, bool, nvalues),
                 .adjoint = KD_NEW_ARRAY(scratch, KdValue *, nvalues) };
    KdLoc loc = b->loc;

    KdInstr *last = mark_active(&g, n, wrt, b->before);
    b->loc = y->loc;
    b->name = "seed.grad";
    g.adjoint[y->id] = seed ? seed : kd_constant_like(b, y, 1);
    bool ok = g.adjoint[y->id] && walk_back(&g, last);
    for (int k = 0; k < n && ok; k++) {
        b->loc = wrt[k]->loc;
        out[k] = g.adjoint[wrt[k]->id];
        if (!out[k]) out[k] = kd_constant_like(b, wrt[k], 0);
        ok = out[k] != NULL;
    }
    b->loc = loc;
    kd_arena_destroy(scratch);
    return ok;
}

bool kd_append_gradients(KdBuilder *b, KdValue *y, int n, KdValue *const *wrt, KdValue **out) {
    return append_gradients(b, y, NULL, n, wrt, out);
}

static bool is_trained(const KdParam *p, const char *network) {
    return !p->running && !strcmp(p->network, network);
}

static bool check_param(const KdValue *arg, const KdParam *p, KdDiag *d) {
    char text[KD_TYPE_TEXT];
    return p->type.dtype == KD_F32 ||
           kd_error(d, arg->loc, "autodiff: %%%s is %s; only f32 is trained", arg->name,
                    kd_type_text(p->type, text));
}

/* Gradients of the trained network's parameters, in module order, with their slab. */
static bool append_slab(KdBuilder *b, const char *network, KdValue *loss) {
    KdModule *m = b->f->module;
    KdValue **wrt = KD_NEW_ARRAY(m->arena, KdValue *, m->nparams);
    KdValue **grads = KD_NEW_ARRAY(m->arena, KdValue *, m->nparams);
    KdValue **args = KD_NEW_ARRAY(m->arena, KdValue *, m->nparams);
    int n = 0, nargs = 0;
    for (int k = 0; k < m->nparams; k++) {
        if (!is_trained(m->params[k], network)) continue;
        const char *name = kd_arena_format(m->arena, "%s.%s", network, m->params[k]->name);
        args[n] = kd_func_arg(b->f, name);
        if (args[n] && !check_param(args[n], m->params[k], b->diag)) return false;
        if (args[n++]) wrt[nargs++] = args[n - 1];
    }
    if (n == 0)
        return kd_error(b->diag, b->f->loc, "autodiff: network '%s' has no parameters to train",
                        network);
    KdValue **found = KD_NEW_ARRAY(m->arena, KdValue *, m->nparams);
    KdValue *scale = kd_module_hyper(m, "loss_scale") < 0 ? NULL : kd_hyper(b, "loss_scale");
    if (!append_gradients(b, loss, scale, nargs, wrt, found)) return false;
    for (int k = 0, p = 0, at = 0; k < m->nparams; k++) {
        if (!is_trained(m->params[k], network)) continue;
        /* A parameter that the function does not even take has a gradient of zeros. */
        grads[p] = args[p] ? found[at++] : kd_constant(b, m->params[k]->type, 0);
        if (!grads[p++]) return false;
    }
    b->name = "grads";
    KdValue *slab = kd_slab(b, n, grads);
    if (!slab) return false;
    KdValue **results = KD_NEW_ARRAY(m->arena, KdValue *, 1 + b->f->nresults);
    results[0] = loss;
    results[1] = slab;
    for (int k = 1; k < b->f->nresults; k++) results[1 + k] = b->f->results[k];
    kd_func_set_results(b->f, 1 + b->f->nresults, results);
    return true;
}

/* Behind its loss the function returns the new value of each running statistic, in module order. */
static bool check_results(const KdFunc *f, const char *network, KdDiag *d) {
    const KdModule *m = f->module;
    int n = 1;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (!p->running || strcmp(p->network, network) != 0) continue;
        if (n < f->nresults && !kd_type_equal(f->results[n]->type, p->type))
            return kd_error(d, f->loc, "autodiff: result %d of @%s is not a new %%%s.%s", n,
                            f->name, network, p->name);
        n++;
    }
    return f->nresults == n ||
           kd_error(d, f->loc,
                    "autodiff: @%s returns %d values, not one loss and %d running statistics",
                    f->name, f->nresults, n - 1);
}

/* autodiff{of=objective,name=gradients}: a copy of @objective that returns the loss, the slab
 * f32[P] of gradients and the new running statistics. The module must say which network is trained.
 * With a hyperparameter loss_scale the gradients are those of the loss times it; optimize undoes
 * it.
 */
bool kd_pass_autodiff(KdModule *m, const KdAttr *options, KdDiag *d) {
    const char *of = kd_attr_str(options, "of", "objective");
    const char *name = kd_attr_str(options, "name", "gradients");
    const char *network = kd_attr_str(m->program, "trained", NULL);
    KdFunc *f = kd_module_func(m, of);
    KdLoc loc = { m->source, 0 };
    if (!f) return kd_error(d, loc, "autodiff: there is no function @%s", of);
    if (!network) return kd_error(d, f->loc, "autodiff: the program does not say what is trained");
    if (kd_module_func(m, name)) return kd_error(d, f->loc, "autodiff: @%s exists already", name);
    if (!check_results(f, network, d)) return false;

    f = kd_func_clone(f, name);
    if (!kd_inline_calls(f, true, d)) return false; /* a call has no adjoint */
    KdBuilder b = kd_builder(f, d);
    b.role = "gradient";
    return append_slab(&b, network, f->results[0]);
}
