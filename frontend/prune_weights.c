/*
 * Dead units of a network whose weights are at hand: what of them is zero is told to `prune`, which
 * takes units away, and then the parts that are left become parameters as after any folding. That
 * may leave units of the layer before unread, so it goes on until nothing is found.
 */
#include "frontend/ship.h"
#include "passes/pass.h"

#include <string.h>

/* Elements of p, seen as [outer, n, inner]: the indices of its middle dim where all are `wanted`.
 */
static void tell(KdModule *m, KdParam *p, const char *fact, const float *w, const int64_t size[3],
                 bool (*wanted)(float)) {
    int64_t *index = KD_NEW_ARRAY(m->arena, int64_t, size[1] + 1);
    int n = 0;
    for (int64_t k = 0; k < size[1]; k++) {
        bool all = true;
        for (int64_t o = 0; o < size[0] && all; o++)
            for (int64_t i = 0; i < size[2] && all; i++)
                all = wanted(w[(o * size[1] + k) * size[2] + i]);
        if (all) index[n++] = k;
    }
    if (n) kd_attr_set_ints(m->arena, &p->facts, fact, n, index);
}

static bool is_zero(float x) {
    return x == 0;
}

static bool is_negative(float x) {
    return x <= 0;
}

static void tell_all(KdModule *m, const char *network, const float *slab) {
    for (int k = 0; k < m->nparams; k++) {
        KdParam *p = m->params[k];
        if (strcmp(p->network, network) != 0 || p->type.rank == 0) continue;
        const float *w = slab + kd_slab_offset(m, p);
        int64_t rows = p->type.dim[0], inner = kd_type_elements(p->type, 1, 1) / rows;
        p->facts = NULL;
        tell(m, p, "zero_rows", w, (int64_t[]){ 1, rows, inner }, is_zero);
        if (p->type.rank == 1) {
            tell(m, p, "negative", w, (int64_t[]){ 1, rows, 1 }, is_negative);
        } else {
            int64_t columns = p->type.dim[1];
            tell(m, p, "zero_columns", w, (int64_t[]){ rows, columns, inner / columns }, is_zero);
        }
    }
}

float *kd_prune_weights(KdModule *m, const char *network, float *slab, int *dead, KdArena *a,
                        KdDiag *d) {
    const char *passes = kd_arena_format(a, "prune{of=%s}", network);
    for (int found = 1; found && slab; *dead += found) {
        tell_all(m, network, slab);
        if (!kd_run_pipeline(m, &(KdPipeline){ .passes = passes }, d)) return NULL;
        found = (int)kd_attr_int(m->program, "pruned", 0);
        if (found) slab = kd_fold_weights(m, network, slab, a, d);
    }
    for (int k = 0; k < m->nparams; k++) m->params[k]->facts = NULL;
    return slab;
}
