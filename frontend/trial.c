/*
 * The network is compiled as it will ship, but for this machine, and called batch by batch as
 * generated loops call it.
 */
#include "frontend/trial.h"

#include "backend/backend.h"
#include "ir/text.h"
#include "passes/pass.h"

#include <math.h>
#include <string.h>

struct KdTrial {
    KdModule *m;
    KdFunc *f;
    KdObject *object;
    KdJit *jit;
    KdrtFunction *run;
    unsigned char *arena, *scratch;
    float *x, *hyper;
};

static bool compile(KdTrial *t, const char *text, const char *network, KdDiag *d) {
    t->m = kd_parse_module(text, strlen(text), "network", d);
    if (!t->m) return false;
    t->m->target = kd_target_host(t->m->arena);
    if (!kd_run_pipeline(t->m, &(KdPipeline){ .passes = "fuse,plan-memory" }, d)) return false;
    t->f = kd_module_func(t->m, network);
    const KdEntry entry = { .f = t->f };
    t->object = kd_compile(t->m, 1, &entry, &(KdBackendOptions){ .threads = 1 }, d);
    t->jit = t->object ? kd_jit_create(t->object, d) : NULL;
    if (!t->jit) return false;
    void *symbol = kd_jit_symbol(t->jit, network);
    memcpy(&t->run, &symbol, sizeof symbol); /* C has no cast from void * to a function */
    t->arena = kdrt_alloc((size_t)t->f->arena_bytes);
    t->scratch = kdrt_alloc(kd_object_scratch(t->object));
    t->hyper = KD_NEW_ARRAY(t->m->arena, float, t->m->nhypers + 1);
    for (int k = 0; k < t->m->nhypers; k++) t->hyper[k] = (float)t->m->hypers[k]->value;
    t->x = kdrt_alloc((size_t)kd_type_bytes(t->f->args[0]->type, t->f->max_batch, 1));
    return t->run && t->arena && t->scratch && t->x;
}

KdTrial *kd_trial_open(const char *text, const char *network, KdDiag *d) {
    KdTrial *t = kdrt_alloc(sizeof *t);
    if (!t) kd_out_of_memory(sizeof *t);
    *t = (KdTrial){ 0 };
    if (compile(t, text, network, d)) return t;
    kd_trial_close(t);
    return NULL;
}

void kd_trial_close(KdTrial *t) {
    if (!t) return;
    kdrt_free(t->arena);
    kdrt_free(t->scratch);
    kdrt_free(t->x);
    if (t->jit) kd_jit_destroy(t->jit);
    if (t->object) kd_object_destroy(t->object);
    if (t->m) kd_module_destroy(t->m);
    kdrt_free(t);
}

/* The network's input for n rows of the data from `first` on. */
static void fill(float *x, const KdDataSpec *spec, const KdrtDataset *data, int64_t first,
                 int64_t n) {
    int64_t width = kd_type_elements(spec->input, 1, 1);
    for (int64_t k = 0; k < n * width; k++) {
        int64_t at = first * width + k, e = k % width;
        float value = data->x.dtype == KDRT_U8 ? (float)((const uint8_t *)data->x.data)[at]
                                               : ((const float *)data->x.data)[at];
        x[k] = value * (float)spec->scale;
        if (data->mean) x[k] = (x[k] - data->mean[e]) * data->rate[e];
    }
}

void kd_trial_run(KdTrial *t, const float *slab, const KdDataSpec *spec, const KdrtDataset *data,
                  float *logits, float *most) {
    KdrtSplit rows = data->validation;
    KdArena *a = kd_arena_create();
    int scalars = t->f->nresults - 1;
    void **args = KD_NEW_ARRAY(a, void *, t->f->nargs);
    void **results = KD_NEW_ARRAY(a, void *, t->f->nresults);
    float *scalar = KD_NEW_ARRAY(a, float, (scalars + 1) * KDRT_ALIGN);
    args[0] = t->x;
    for (int k = 1; k < t->f->nargs; k++) {
        const KdParam *p = kd_param_of_value(t->m, t->f->args[k]);
        args[k] = (void *)(slab + kd_slab_offset(t->m, p));
    }
    for (int k = 0; k < scalars; k++) results[k + 1] = scalar + (size_t)k * KDRT_ALIGN;
    for (int64_t done = 0, n; done < rows.count; done += n) {
        n = rows.count - done < t->f->max_batch ? rows.count - done : t->f->max_batch;
        fill(t->x, spec, data, rows.first + done, n);
        results[0] = logits + done * spec->classes;
        const KdrtFrame frame = { .args = args,
                                  .results = results,
                                  .arena = t->arena,
                                  .scratch = t->scratch,
                                  .hyper = t->hyper,
                                  .n = (int32_t)n };
        t->run(&frame);
        for (int k = 0; k < scalars; k++) {
            float now = scalar[(size_t)k * KDRT_ALIGN];
            if (!done || isnan(now) || now > most[k]) most[k] = now; /* NaN stays */
        }
    }
    kd_arena_destroy(a);
}
