/*
 * --weights-type: the weights of a network that ships, as halves or as 8 bits with a scale per
 * output channel (symmetric: the largest weight of a channel becomes 127). What that costs is
 * measured on the validation samples, by the network itself: once with the weights as they were,
 * once with the numbers that will be read back.
 */
#include "backend/backend.h"
#include "frontend/driver/data.h"
#include "frontend/ship.h"
#include "ir/half.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/host/metrics.h"

#include <math.h>
#include <string.h>

static const KdLoc nowhere = { NULL, 0 };

/* --- storing --------------------------------------------------------------------------------- */

/* Each writes what is stored, and back into w what will be read. */

static void store_half(float *w, int64_t n, uint16_t *to) {
    for (int64_t k = 0; k < n; k++) {
        to[k] = kd_half_from((double)w[k]);
        w[k] = (float)kd_half_value(to[k]);
    }
}

static void store_int8(float *w, int64_t channels, int64_t n, int8_t *to, float *scales) {
    for (int64_t c = 0; c < channels; c++) {
        float most = 0;
        for (int64_t k = c * n; k < (c + 1) * n; k++) most = fmaxf(most, fabsf(w[k]));
        scales[c] = most > 0 ? most / 127 : 1;
        for (int64_t k = c * n; k < (c + 1) * n; k++) {
            to[k] = (int8_t)lrintf(w[k] / scales[c]);
            w[k] = (float)to[k] * scales[c];
        }
    }
}

static bool is_finite_half(const KdParam *p, const float *w, int64_t n, KdDiag *d) {
    for (int64_t k = 0; k < n; k++)
        if (!(fabs((double)w[k]) <= KD_HALF_MOST))
            return kd_error(d, p->loc, "%s has a weight of %g, which f16 cannot hold", p->name,
                            (double)w[k]);
    return true;
}

/* Root mean square of the difference, relative to that of the weights. */
static double distance(const float *w, const float *was, int64_t n) {
    double off = 0, all = 0;
    for (int64_t k = 0; k < n; k++) {
        off += pow((double)w[k] - (double)was[k], 2);
        all += pow((double)was[k], 2);
    }
    return all > 0 ? sqrt(off / all) : 0;
}

/* Parameter p of the compressed module: its weights were at `was`, and are at `w` in f32. */
static bool store(const KdModule *m, const KdParam *p, const float *was, float *w, float *slab,
                  KdDiag *d) {
    float *to = slab + kd_slab_offset(m, p);
    int64_t n = kd_type_elements(p->type, 0, 0);
    if (p->type.dtype == KD_F16) {
        if (!is_finite_half(p, w, n, d)) return false;
        store_half(w, n, (uint16_t *)(void *)to);
    } else if (p->type.dtype == KD_I8) {
        char name[256];
        snprintf(name, sizeof name, "%s.scale", p->name);
        const KdParam *scale = kd_module_param(m, p->network, name);
        if (!scale) kd_bug(d, "%s has no scale", p->name);
        store_int8(w, p->type.dim[0], n / p->type.dim[0], (int8_t *)(void *)to,
                   slab + kd_slab_offset(m, scale));
    } else {
        memcpy(to, was, (size_t)n * sizeof(float));
        return true;
    }
    fprintf(stderr, "%-32s %-4s error %.4f %%\n", p->name, kd_dtype_name(p->type.dtype),
            100 * distance(w, was, n));
    return true;
}

/* --- measuring ------------------------------------------------------------------------------- */

typedef struct Trial {
    KdModule *m;
    KdFunc *f;
    KdObject *object;
    KdJit *jit;
    KdrtFunction *run;
    unsigned char *arena, *scratch;
    float *x;
} Trial;

/* The network of that text, compiled for this machine. */
static bool open_trial(Trial *t, const char *text, const char *network, KdDiag *d) {
    *t = (Trial){ .m = kd_parse_module(text, strlen(text), "network", d) };
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
    t->x = kdrt_alloc((size_t)kd_type_bytes(t->f->args[0]->type, t->f->max_batch, 1));
    return t->run && t->arena && t->scratch && t->x;
}

static void close_trial(Trial *t) {
    kdrt_free(t->arena);
    kdrt_free(t->scratch);
    kdrt_free(t->x);
    if (t->jit) kd_jit_destroy(t->jit);
    if (t->object) kd_object_destroy(t->object);
    if (t->m) kd_module_destroy(t->m);
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

static void predict(Trial *t, const float *slab, const KdDataSpec *spec, const KdrtDataset *data,
                    float *logits, KdArena *a) {
    KdrtSplit rows = data->validation;
    void **args = KD_NEW_ARRAY(a, void *, t->f->nargs);
    args[0] = t->x;
    for (int k = 1; k < t->f->nargs; k++) {
        const KdParam *p = kd_param_of_value(t->m, t->f->args[k]);
        args[k] = (void *)(slab + kd_slab_offset(t->m, p));
    }
    for (int64_t done = 0, n; done < rows.count; done += n) {
        n = rows.count - done < t->f->max_batch ? rows.count - done : t->f->max_batch;
        fill(t->x, spec, data, rows.first + done, n);
        void *results[] = { logits + done * spec->classes };
        const KdrtFrame frame = { .args = args,
                                  .results = results,
                                  .arena = t->arena,
                                  .scratch = t->scratch,
                                  .n = (int32_t)n };
        t->run(&frame);
    }
}

static void compare(Trial *t, const float *was, const float *is, const KdRun *run,
                    const KdrtDataset *data, KdArena *a) {
    const KdDataSpec *spec = run->data;
    int64_t rows = data->validation.count, n = rows * spec->classes;
    float *before = KD_NEW_ARRAY(a, float, n), *after = KD_NEW_ARRAY(a, float, n);
    predict(t, was, spec, data, before, a);
    predict(t, is, spec, data, after, a);
    double off = 0, most = 0;
    for (int64_t k = 0; k < n; k++) {
        most = fmax(most, fabs((double)before[k]));
        off = fmax(off, fabs((double)after[k] - (double)before[k]));
    }
    int64_t wrong[2];
    for (int k = 0; k < 2; k++)
        wrong[k] = kdrt_count_errors(k ? after : before, &data->y, data->validation.first, rows,
                                     spec->classes);
    fprintf(stderr,
            "validation error %.2f %%, before %.2f %%; %.2f %% of the classes agree; logits differ "
            "by at most %.3g, %.3f %% of the largest\n",
            100 * (double)wrong[1] / (double)rows, 100 * (double)wrong[0] / (double)rows,
            100 * kdrt_agreement(before, after, rows, spec->classes), off,
            most > 0 ? 100 * off / most : 0);
}

/* Without the data's files there is nothing to measure on, and that is no error. */
static bool measure(const KdRun *run, const char *text, const float *was, const float *is,
                    const KdOptions *o, KdDiag *d) {
    KdDatasets all = { 0 };
    KdrtDataset data;
    KdDiag quiet;
    KdArena *a = kd_arena_create();
    Trial t = { 0 };
    kd_diag_init(&quiet, NULL, false);
    bool ok = true;
    if (!kd_data_open(&all, run->data, o->data, &data, &quiet) || data.validation.count == 0) {
        fprintf(stderr, "no validation samples at hand: what that does to errors is not known\n");
    } else {
        ok = open_trial(&t, text, run->network, d) ||
             kd_error(d, nowhere, "the network could not be tried out");
        if (ok) compare(&t, was, is, run, &data, a);
    }
    close_trial(&t);
    kd_data_close(&all);
    kd_arena_destroy(a);
    return ok;
}

/* --- both ------------------------------------------------------------------------------------ */

/* A copy with the slack behind it that generated code may read. */
static float *copy_slab(const float *slab, int64_t elements, KdArena *a) {
    float *copy = KD_NEW_ARRAY(a, float, elements + KDRT_SLACK / 4);
    memcpy(copy, slab, (size_t)elements * sizeof(float));
    return copy;
}

float *kd_compress_weights(const KdRun *run, const float *slab, const KdOptions *o, KdArena *a,
                           KdDiag *d) {
    KdModule *m = run->module;
    const char *text = kd_module_text(m, a);
    int64_t elements = kd_slab_elements(m, run->network);
    float *was = copy_slab(slab, elements, a), *is = copy_slab(slab, elements, a);
    int n = m->nparams;
    int64_t *at = KD_NEW_ARRAY(a, int64_t, n + 1);
    for (int k = 0; k < n; k++) at[k] = kd_slab_offset(m, m->params[k]);
    const char *passes =
        kd_arena_format(a, "compress{of=%s,type=%s}", run->network, o->weights_type);
    if (!kd_run_pipeline(m, &(KdPipeline){ .passes = passes }, d)) return NULL;
    float *stored = KD_NEW_ARRAY(a, float, kd_slab_elements(m, run->network));
    for (int k = 0; k < n; k++) {
        const KdParam *p = m->params[k]; /* teachers have some too */
        bool own = strcmp(p->network, run->network) == 0;
        if (own && !store(m, p, was + at[k], is + at[k], stored, d)) return NULL;
    }
    return measure(run, text, was, is, o, d) ? stored : NULL;
}
