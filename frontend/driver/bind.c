/*
 * Binding: which memory each argument of a generated function is. Arguments say what they are
 * (KD_ARG_…), so nothing here knows a network, an optimiser or a loss by name.
 */
#include "frontend/driver/session.h"

#include <stdio.h>
#include <string.h>

void kd_bind(KdBindings *b, const char *name, void *memory) {
    for (int k = 0; k < b->n; k++) {
        if (strcmp(b->entry[k].name, name) == 0) {
            b->entry[k].memory = memory;
            return;
        }
    }
    if (b->n == KD_MAX_BINDINGS) kd_bug(NULL, "more than %d bindings", KD_MAX_BINDINGS);
    b->entry[b->n].name = name;
    b->entry[b->n++].memory = memory;
}

void *kd_bound(const KdBindings *b, const char *name) {
    for (int k = 0; k < b->n; k++)
        if (strcmp(b->entry[k].name, name) == 0) return b->entry[k].memory;
    return NULL;
}

/* A parameter's place: its network's slab plus its offset in it. */
static void *bound_param(const KdBindings *b, const KdValue *v) {
    const KdParam *p = kd_param_of_value(v->func->module, v);
    char slab[256];
    if (!p) return NULL;
    snprintf(slab, sizeof slab, "%s.params", p->network);
    float *base = kd_bound(b, slab);
    return base ? base + kd_slab_offset(v->func->module, p) : NULL;
}

static void *bound_argument(const KdBindings *b, const KdValue *v) {
    const char *kind = v->kind ? v->kind : "";
    if (strcmp(kind, KD_ARG_INDEX) == 0) return b->index;
    if (strcmp(kind, KD_ARG_EPOCH) == 0) return b->epoch;
    if (strcmp(kind, KD_ARG_STEP) == 0) return b->step;
    if (strcmp(kind, KD_ARG_PARAM) == 0) return bound_param(b, v);
    return kd_bound(b, v->name);
}

void **kd_bind_args(const KdBindings *b, const KdFunc *f, KdArena *a, KdDiag *d) {
    void **args = KD_NEW_ARRAY(a, void *, f->nargs + 1);
    for (int k = 0; k < f->nargs; k++) {
        args[k] = bound_argument(b, f->args[k]);
        if (!args[k]) kd_bug(d, "@%s: nothing is bound to %%%s", f->name, f->args[k]->name);
    }
    return args;
}
