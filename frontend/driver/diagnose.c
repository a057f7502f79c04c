/*
 * Finding the first NaN. Generated code only sees that the loss (or a gradient) is not finite, and
 * returns before it updates a weight. So the step can be repeated: the loss and its gradients, as
 * they were before passes made code of them, are run by the interpreter on the same rows, and the
 * first value that is not finite is the culprit.
 */
#include "frontend/driver/diagnose.h"

#include "ir/interp.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/host/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Culprit {
    const KdValue *loss;
    bool behind; /* the loss was finite */
    const char *op, *value;
    KdLoc loc;
} Culprit;

static bool watch(void *user, const KdInstr *i, const KdTensor *value) {
    Culprit *found = user;
    if (i->op == KD_OP_CONSTANT) return true; /* -inf is what a maximum begins with */
    for (int64_t k = 0; k < value->count; k++) {
        if (isfinite(value->data[k])) continue;
        found->op = kd_op_text(i->op);
        found->value = i->results[0]->name;
        found->loc = i->loc;
        return false;
    }
    found->behind |= i->results[0] == found->loss;
    return true;
}

/* Row `row` of a data array, as doubles, into the same row of a tensor. */
static void copy_row(KdTensor *to, const KdrtArray *from, int64_t row) {
    int64_t width = kdrt_array_elements(from) / from->dim[0];
    for (int64_t k = row * width; k < (row + 1) * width; k++) {
        switch (from->dtype) {
        case KDRT_F32: to->data[k] = (double)((const float *)from->data)[k]; break;
        case KDRT_I32: to->data[k] = ((const int32_t *)from->data)[k]; break;
        case KDRT_U8: to->data[k] = ((const uint8_t *)from->data)[k]; break;
        }
    }
}

static void copy_floats(KdTensor *to, const float *from) {
    for (int64_t k = 0; k < to->count; k++) to->data[k] = (double)from[k];
}

/* An argument of @gradients. Only the batch's rows of a data set are filled in: the others are
 * never gathered. */
static KdTensor argument(const KdTraining *t, const KdValue *v, int64_t n, KdArena *a) {
    const KdrtDataset *data = t->data;
    const int32_t *index = t->order + t->done;
    KdTensor x = kd_tensor_create(a, v->type, n, data->x.dim[0]);
    const KdParam *p = kd_param_of_value(v->func->module, v);
    const char *kind = v->kind ? v->kind : "";
    if (p) {
        const float *slab = kd_bound(&t->bindings, kd_arena_format(a, "%s.params", p->network));
        copy_floats(&x, slab + kd_slab_offset(v->func->module, p));
    } else if (strcmp(kind, KD_ARG_INDEX) == 0) {
        for (int64_t k = 0; k < n; k++) x.data[k] = index[k];
    } else if (strcmp(kind, KD_ARG_EPOCH) == 0) {
        x.data[0] = t->epoch;
    } else if (strcmp(kind, KD_ARG_STEP) == 0) {
        x.data[0] = t->step;
    } else if (!kd_type_has(v->type, KD_ROWS)) {
        copy_floats(&x, kd_bound(&t->bindings, v->name));
    } else {
        const KdrtArray *from = strcmp(v->name, "labels") == 0 ? &data->y : &data->x;
        for (int64_t k = 0; k < n; k++) copy_row(&x, from, index[k]);
    }
    return x;
}

/* The step's own ops are no culprits where the weights came to it so. */
static void say_weights(const KdTraining *t, KdDiag *d) {
    const KdRun *run = t->c->run;
    kd_error(d, run->loc,
             "%s: the loss of step %d (epoch %d) is not finite, for weights were not before it",
             run->name, t->step + 1, t->epoch + 1);
    kd_note(d, run->loc, "--check=all finds the gradient that did it");
}

void kd_diagnose_not_finite(const KdTraining *t, KdDiag *d) {
    const KdRun *run = t->c->run;
    if (!kd_training_is_finite(t)) {
        say_weights(t, d);
        return;
    }
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    KdModule *m = kd_parse_module(t->c->text, strlen(t->c->text), run->name, &quiet);
    bool noisy = m && kd_attr_find(m->program, "noise.kind");
    const KdPipeline passes = { .passes = noisy ? "inject-noise,autodiff,precision"
                                                : "autodiff,precision" };
    bool ready = m && kd_run_pipeline(m, &passes, &quiet);
    KdFunc *f = ready ? kd_module_func(m, "gradients") : NULL;
    if (!f) kd_bug(d, "the module of run %s cannot be read back", run->name);
    KdArena *a = kd_arena_create();
    int64_t left = t->data->train.count - t->done;
    int64_t n = left < run->batch ? left : run->batch;
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs);
    for (int k = 0; k < f->nargs; k++) args[k] = argument(t, f->args[k], n, a);
    Culprit found = { .loss = f->results[0] };
    KdInterp in = {
        .arena = a,
        .seed = kd_run_seed(run),
        .n = n,
        .round_f32 = true,
        .watch = watch,
        .user = &found,
    };
    KdTensor *results = KD_NEW_ARRAY(a, KdTensor, f->nresults);
    kd_interpret(&in, f, args, results, &quiet);
    const char *what = found.behind ? "a gradient" : "the loss";
    kd_error(d, found.op ? found.loc : run->loc, "%s: %s of step %d (epoch %d) is not finite",
             run->name, what, t->step + 1, t->epoch + 1);
    if (found.op)
        kd_note(d, found.loc, "%s is the first op of the %s to give NaN or infinity (%%%s)",
                found.op, found.behind ? "gradient" : "step", found.value);
    kd_note(d, run->loc, "no weight was updated in that step; a lower rate is the usual remedy");
    kd_arena_destroy(a);
    kd_module_destroy(m);
}
