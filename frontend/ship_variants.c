/*
 * What a shipped network is compiled as: itself for several bounds of the batch, and what follows
 * from its logits.
 *
 * Which bounds? Rows of a block share one pass over the weights, but their activations must wait
 * for one another: where they do not fit the second-level cache, layer after layer sends them
 * through memory. So the block is the one with the least traffic for a row, and nothing is compiled
 * for larger ones, unless the user asks for them.
 */
#include "backend/predict.h"
#include "frontend/ship.h"
#include "ir/cost.h"

#include <string.h>

static const int64_t usual[] = { 1, 16, 128 };

int kd_ship_bounds(const KdOptions *o, int64_t *bounds) {
    int n = o->nbatches ? o->nbatches : (int)(sizeof usual / sizeof *usual);
    for (int k = 0; k < n; k++) bounds[k] = o->nbatches ? o->batches[k] : usual[k];
    return n;
}

/* Bytes a row, in a block of f's bound. */
static double traffic(const KdFunc *f) {
    double rows = (double)f->max_batch, weights = 0, all = 0;
    KD_EACH_INSTR(i, f) {
        if (i->op != KD_OP_KERNEL) continue;
        all += kd_cost(i, rows).bytes;
        for (int k = 0; k < i->nargs; k++)
            if (kd_param_of_value(f->module, i->args[k]))
                weights += (double)kd_type_bytes(i->args[k]->type, 0, 0);
    }
    bool fits = f->arena_bytes <= f->module->target.l2_bytes;
    return (fits ? weights : all) / rows;
}

int kd_ship_worthwhile(const KdOptions *o, int n, const KdFunc *const *variant) {
    int best = 0;
    if (o->nbatches || n == 0) return n;
    for (int k = 1; k < n; k++)
        if (traffic(variant[k]) < traffic(variant[best])) best = k;
    return best + 1;
}

/* --- what follows from logits ----------------------------------------------------------------- */

static KdFunc *begin(KdModule *m, const KdFunc *network, const char *name, KdBuilder *b,
                     KdDiag *d) {
    KdFunc *f = kd_func_create(m, kd_arena_format(m->arena, "%s_%s", network->name, name),
                               network->max_batch);
    f->loc = network->loc;
    *b = kd_builder(f, d);
    b->loc = network->loc;
    kd_func_add_arg(f, "logits", network->results[0]->type, KD_ARG_INPUT)->loc = network->loc;
    return f;
}

static KdValue *wide(KdBuilder *b, KdValue *row, const KdValue *like) {
    static const int rows[] = { 0 };
    return kd_broadcast(b, row, like->type, rows);
}

static const KdFunc *probabilities(KdModule *m, const KdFunc *network, KdDiag *d) {
    static const int classes[] = { 1 };
    KdBuilder b;
    KdFunc *f = begin(m, network, "probabilities", &b, d);
    KdValue *x = f->args[0];
    KdValue *most = wide(&b, kd_reduce(&b, KD_OP_REDUCE_MAX, x, 1, classes), x);
    KdValue *e = kd_unary(&b, KD_OP_EXP, kd_binary(&b, KD_OP_SUB, x, most));
    KdValue *sum = wide(&b, kd_reduce(&b, KD_OP_REDUCE_SUM, e, 1, classes), x);
    KdValue *p = kd_binary(&b, KD_OP_DIV, e, sum);
    kd_func_set_results(f, 1, &p);
    return f;
}

static const KdFunc *largest(KdModule *m, const KdFunc *network, KdDiag *d) {
    static const int classes[] = { 1 };
    KdBuilder b;
    KdFunc *f = begin(m, network, "classes", &b, d);
    KdValue *best = kd_reduce(&b, KD_OP_ARGMAX, f->args[0], 1, classes);
    kd_func_set_results(f, 1, &best);
    return f;
}

void kd_ship_outputs(KdModule *m, const KdFunc *network, const KdFunc **of_logits, KdDiag *d) {
    of_logits[KD_PREDICT_LOGITS] = NULL;
    of_logits[KD_PREDICT_PROBABILITIES] = probabilities(m, network, d);
    of_logits[KD_PREDICT_CLASSES] = largest(m, network, d);
}
