/*
 * Finding the first NaN. Generated code only sees that the loss is not finite, and returns before
 * it updates anything. So the step can be repeated: the module as it was before the passes is run
 * by the interpreter on the same rows, and the first value that is not finite is the culprit.
 */
#include "frontend/driver/diagnose.h"

#include "ir/interp.h"
#include "ir/text.h"
#include "runtime/host/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Culprit {
    const char *op, *value;
    KdLoc loc;
} Culprit;

static bool watch(void *user, const KdInstr *i, const KdTensor *value) {
    Culprit *found = user;
    if (i->op == KD_OP_CONSTANT) return true; /* -inf is what a maximum begins with */
    for (int64_t k = 0; k < value->count; k++) {
        if (isfinite(value->data[k])) continue;
        *found = (Culprit){ kd_op_text(i->op), i->results[0]->name, i->loc };
        return false;
    }
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

/* An argument of @objective. Only the batch's rows of a data set are filled in: the others are
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

void kd_diagnose_not_finite(const KdTraining *t, KdDiag *d) {
    const KdRun *run = t->c->run;
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    KdModule *m = kd_parse_module(t->c->text, strlen(t->c->text), run->name, &quiet);
    KdFunc *f = m ? kd_module_func(m, "objective") : NULL;
    if (!f) kd_bug(d, "the module of run %s cannot be read back", run->name);
    KdArena *a = kd_arena_create();
    int64_t left = t->data->train.count - t->done;
    int64_t n = left < run->batch ? left : run->batch;
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs);
    for (int k = 0; k < f->nargs; k++) args[k] = argument(t, f->args[k], n, a);
    Culprit found = { 0 };
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
    kd_error(d, found.op ? found.loc : run->loc, "%s: the loss of step %d (epoch %d) is not finite",
             run->name, t->step + 1, t->epoch + 1);
    if (found.op)
        kd_note(d, found.loc, "%s is the first op of the step to give NaN or infinity (%%%s)",
                found.op, found.value);
    kd_note(d, run->loc, "nothing was updated in that step; a lower rate is the usual remedy");
    kd_arena_destroy(a);
    kd_module_destroy(m);
}
