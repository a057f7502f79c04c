/*
 * Weights that go into an object: whatever they alone decide (a batch normalisation's factors, and
 * the products with them) is computed here, once, by the reference interpreter in double precision;
 * the network is left with parameters that hold the results.
 */
#include "frontend/ship.h"
#include "ir/interp.h"
#include "passes/pass.h"

#include <string.h>

/* The values of the parameter in its network's slab. */
static KdTensor tensor_of(KdArena *a, const KdModule *m, const KdParam *p, const float *slab) {
    KdTensor t = kd_tensor_create(a, p->type, 0, 0);
    const float *from = slab + kd_slab_offset(m, p);
    for (int64_t k = 0; k < t.count; k++) t.data[k] = (double)from[k];
    return t;
}

/* Values of the network's parameters, by module order; the last ones are new, what @fold returns of
 * the others. The slab has no place for them yet. */
static bool compute(KdModule *m, const KdFunc *fold, const float *slab, KdTensor *values,
                    KdArena *a, KdDiag *d) {
    const char *network = m->params[m->nparams - 1]->network; /* a new one's */
    int all = m->nparams, old = all - fold->nresults;
    m->nparams = old;
    for (int k = 0; k < old; k++)
        if (strcmp(m->params[k]->network, network) == 0)
            values[k] = tensor_of(a, m, m->params[k], slab);
    m->nparams = all;
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, fold->nargs + 1);
    for (int k = 0; k < fold->nargs; k++) {
        const KdParam *p = kd_param_of_value(m, fold->args[k]);
        for (int j = 0; j < old; j++)
            if (m->params[j] == p) args[k] = values[j];
    }
    KdInterp in = { .arena = a };
    return kd_interpret(&in, fold, args, values + old, d);
}

/* Forgets the parameters that f does not take; their values with them. */
static void keep_used(KdModule *m, const KdFunc *f, KdTensor *values) {
    int n = 0;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        const char *name = kd_arena_format(m->arena, "%s.%s", p->network, p->name);
        if (!kd_func_arg(f, name)) continue;
        values[n] = values[k];
        m->params[n++] = m->params[k];
    }
    m->nparams = n;
}

float *kd_fold_weights(KdModule *m, const char *network, float *slab, KdArena *a, KdDiag *d) {
    for (KdFunc *f = m->first, *next; f; f = next) {
        next = f->next;
        if (strcmp(f->name, network) != 0) kd_func_remove(m, f);
    }
    const char *passes =
        kd_arena_format(a, "canonicalize{drop_detach=1},fold{of=%s},canonicalize", network);
    if (!kd_run_pipeline(m, &(KdPipeline){ .passes = passes }, d)) return NULL;
    KdFunc *fold = kd_module_func(m, "fold");
    if (!fold) return slab;
    KdTensor *values = KD_NEW_ARRAY(a, KdTensor, m->nparams);
    if (!compute(m, fold, slab, values, a, d)) return NULL;
    kd_func_remove(m, fold);
    keep_used(m, kd_module_func(m, network), values);
    float *folded = KD_NEW_ARRAY(a, float, kd_slab_elements(m, network));
    for (int k = 0; k < m->nparams; k++) {
        float *to = folded + kd_slab_offset(m, m->params[k]);
        for (int64_t e = 0; e < values[k].count; e++) to[e] = (float)values[k].data[e];
    }
    return folded;
}
