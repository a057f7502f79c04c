/*
 * --weights-type: the weights of a network that ships, as halves or as 8 bits with a scale per
 * output channel (symmetric: the largest weight of a channel becomes 127). With int8 products are
 * of whole numbers: what weights are multiplied with is rounded too, by its range over the
 * validation samples. What all that costs is measured on these samples, by the network as it was
 * and as it ships.
 */
#include "frontend/ship.h"
#include "frontend/trial.h"
#include "ir/half.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/host/metrics.h"

#include <float.h>
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

/* What quantize wants to know of a product, whose weights have that name. */
typedef struct Range {
    const char *weights;
    float most, least;
} Range;

static bool is_negative(const Range *r) {
    return r->least < 0;
}

/* Weights of type t as they were before one of their dims was cut: a convolution's in groups have
 * their channels in two dims. */
static KdType uncut(KdType t, KdType grouped) {
    KdType u = grouped;
    u.rank--;
    for (int k = 1; k < t.rank; k++) u.dim[u.rank - k] = t.dim[t.rank - k];
    return u;
}

/* Element k of a tensor of type t, in one that has one of its dims in groups of four, at the end:
 * see passes/quantize.c. */
static int64_t grouped_place(KdType t, KdType grouped, int64_t k) {
    int64_t at[KD_MAX_RANK + 1] = { 0 }, place = 0;
    for (int d = t.rank - 1; d >= 0; d--) {
        at[d] = k % t.dim[d];
        k /= t.dim[d];
        if (grouped.dim[d] == t.dim[d]) continue;
        at[t.rank] = at[d] % 4;
        at[d] /= 4;
    }
    for (int d = 0; d < grouped.rank; d++) place = place * grouped.dim[d] + at[d];
    return place;
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

/* Can the weights of p be stored at all? */
static bool is_storable(const KdParam *p, const float *w, int64_t n, KdDiag *d) {
    double most = p->type.dtype == KD_F16 ? KD_HALF_MOST : (double)FLT_MAX;
    for (int64_t k = 0; k < n; k++)
        if (!(fabs((double)w[k]) <= most))
            return kd_error(d, p->loc, "%s has a weight of %g, which %s cannot hold", p->name,
                            (double)w[k], kd_dtype_name(p->type.dtype));
    return true;
}

static bool is_finite_range(const KdParam *p, const Range *range, KdDiag *d) {
    return (isfinite(range->most) && isfinite(range->least)) ||
           kd_error(d, p->loc,
                    "%s is multiplied with numbers that are not finite, on the validation samples",
                    p->name);
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

static float *parameter(const KdModule *m, const KdParam *p, const char *what, float *slab) {
    char name[256];
    snprintf(name, sizeof name, "%s.%s", p->name, what);
    const KdParam *found = kd_module_param(m, p->network, name);
    return found ? slab + kd_slab_offset(m, found) : NULL;
}

/* Weights of a product of whole numbers, which were of type t, and its factors. */
static void store_quantized(const KdModule *m, const KdParam *p, KdType t, float *w,
                            const Range *range, float *slab) {
    int8_t *to = (int8_t *)(void *)(slab + kd_slab_offset(m, p));
    int64_t channels = t.dim[0], n = kd_type_elements(t, 0, 0) / channels;
    KdType before = uncut(t, p->type);
    KdArena *a = kd_arena_create();
    int8_t *plain = KD_NEW_ARRAY(a, int8_t, channels *n);
    float *scale = parameter(m, p, "scale", slab), *offset = parameter(m, p, "offset", slab);
    store_int8(w, channels, n, plain, scale);
    float step = is_negative(range) ? fmaxf(range->most, -range->least) / 127 : range->most / 255;
    if (!(step > 0)) step = 1;
    *parameter(m, p, "input", slab) = 1 / step;
    for (int64_t c = 0; c < channels; c++) {
        int64_t sum = 0;
        for (int64_t k = c * n; k < (c + 1) * n; k++) {
            to[grouped_place(before, p->type, k)] = plain[k];
            sum += plain[k];
        }
        scale[c] *= step;
        if (offset) offset[c] = scale[c] * 128 * (float)sum;
    }
    kd_arena_destroy(a);
}

typedef struct Store {
    const KdModule *m;
    float *slab; /* of m, to be filled */
    int nranges;
    const Range *range;
    KdDiag *d;
} Store;

static const Range *range_of(const Store *s, const KdParam *p) {
    for (int k = 0; k < s->nranges; k++)
        if (strcmp(s->range[k].weights, p->name) == 0) return &s->range[k];
    kd_bug(s->d, "%s has no range", p->name);
}

/* Parameter p of the compressed module, which was of type t and at `was`; w is a copy. */
static bool store(const Store *s, const KdParam *p, KdType t, const float *was, float *w) {
    float *to = s->slab + kd_slab_offset(s->m, p);
    int64_t n = kd_type_elements(t, 0, 0);
    bool bytes = p->type.dtype == KD_I8;
    bool half = p->type.dtype == KD_F16;
    if ((bytes || half) && !is_storable(p, w, n, s->d)) return false;
    if (half) {
        store_half(w, n, (uint16_t *)(void *)to);
    } else if (bytes && parameter(s->m, p, "input", s->slab)) {
        if (!is_finite_range(p, range_of(s, p), s->d)) return false;
        store_quantized(s->m, p, t, w, range_of(s, p), s->slab);
    } else if (bytes) {
        store_int8(w, t.dim[0], n / t.dim[0], (int8_t *)(void *)to,
                   parameter(s->m, p, "scale", s->slab));
    } else {
        memcpy(to, was, (size_t)n * sizeof(float));
        return true;
    }
    fprintf(stderr, "%-32s %-4s error %.4f %%\n", p->name, kd_dtype_name(p->type.dtype),
            100 * distance(w, was, n));
    return true;
}

/* --- on the validation samples ------------------------------------------------------------------
 */

/* Without samples there is nothing to measure on, and that is no error. */
static bool is_there(const KdShipData *s) {
    return s->there && s->data.validation.count > 0;
}

static bool cannot_try(KdDiag *d) {
    return kd_error(d, nowhere, "the network could not be tried out");
}

/* What the products of the network of that text read; -1 after an error. */
static int find_ranges(const KdRun *run, const char *text, const float *slab, const KdShipData *s,
                       Range **out, KdArena *a, KdDiag *d) {
    KdModule *m = kd_parse_module(text, strlen(text), "network", d);
    const char *passes = kd_arena_format(a, "observe{of=%s}", run->network);
    KdTrial *t = NULL;
    int n = -1;
    if (m && kd_run_pipeline(m, &(KdPipeline){ .passes = passes }, d)) {
        const KdFunc *f = kd_module_func(m, run->network);
        int64_t rows = s->data.validation.count;
        float *logits = KD_NEW_ARRAY(a, float, rows * run->data->classes);
        float *most = KD_NEW_ARRAY(a, float, f->nresults);
        Range *range = *out = KD_NEW_ARRAY(a, Range, f->nresults);
        t = kd_trial_open(kd_module_text(m, a), run->network, d);
        if (t) {
            kd_trial_run(t, slab, run->data, &s->data, logits, most);
            for (n = 0; 2 * n + 2 < f->nresults; n++) {
                char *name = kd_arena_string(a, f->results[2 * n + 1]->name);
                *strrchr(name, '.') = '\0'; /* NAME.most */
                const float *ends = most + (ptrdiff_t)2 * n;
                range[n] = (Range){ name, ends[0], -ends[1] };
            }
        }
    }
    kd_trial_close(t);
    if (m) kd_module_destroy(m);
    return n;
}

/* NaN where one is. */
static double larger(double x, double y) {
    return isnan(x) || x > y ? x : y;
}

static void say_difference(const float *before, const float *after, const KdRun *run,
                           const KdrtDataset *data) {
    int64_t rows = data->validation.count;
    int classes = run->data->classes;
    double off = 0, most = 0;
    for (int64_t k = 0; k < rows * classes; k++) {
        most = larger(most, fabs((double)before[k]));
        off = larger(off, fabs((double)after[k] - (double)before[k]));
    }
    int64_t wrong[2];
    for (int k = 0; k < 2; k++)
        wrong[k] =
            kdrt_count_errors(k ? after : before, &data->y, data->validation.first, rows, classes);
    fprintf(stderr,
            "validation error %.2f %%, before %.2f %%; %.2f %% of the classes agree; logits differ "
            "by at most %.3g, %.3f %% of the largest\n",
            100 * (double)wrong[1] / (double)rows, 100 * (double)wrong[0] / (double)rows,
            100 * kdrt_agreement(before, after, rows, classes), off,
            most > 0 ? 100 * off / most : 0);
}

/* The network of one text and slab beside that of another. */
static bool compare(const KdRun *run, const char *const text[2], const float *const slab[2],
                    const KdShipData *s, KdArena *a, KdDiag *d) {
    float *logits[2];
    for (int k = 0; k < 2; k++) {
        KdTrial *t = kd_trial_open(text[k], run->network, d);
        if (!t) return cannot_try(d);
        logits[k] = KD_NEW_ARRAY(a, float, s->data.validation.count * run->data->classes);
        kd_trial_run(t, slab[k], run->data, &s->data, logits[k], NULL);
        kd_trial_close(t);
    }
    say_difference(logits[0], logits[1], run, &s->data);
    return true;
}

/* --- all of it ------------------------------------------------------------------------------- */

/* A copy with the slack behind it that generated code may read. */
static float *copy_slab(const float *slab, int64_t elements, KdArena *a) {
    float *copy = KD_NEW_ARRAY(a, float, elements + KDRT_SLACK / 4);
    memcpy(copy, slab, (size_t)elements * sizeof(float));
    return copy;
}

/* The passes for o->weights_type. */
static const char *passes_for(const KdRun *run, const KdOptions *o, int n, const Range *range,
                              KdArena *a) {
    bool half = strcmp(o->weights_type, "f16") == 0;
    const char *stored =
        kd_arena_format(a, "compress{of=%s,type=%s}", run->network, half ? "f16" : "int8");
    if (n == 0) return stored;
    const char *negative = "";
    for (int k = 0; k < n; k++)
        negative = kd_arena_format(a, "%s%s%d", negative, k ? "," : "", is_negative(&range[k]));
    return kd_arena_format(a, "quantize{of=%s,negative=[%s]},%s", run->network, negative, stored);
}

/* Changes the run's module, and gives its new slab. */
static float *compress(const KdRun *run, const float *slab, const KdOptions *o,
                       const KdShipData *samples, KdArena *a, KdDiag *d) {
    KdModule *m = run->module;
    const char *text = kd_module_text(m, a);
    int64_t elements = kd_slab_elements(m, run->network);
    float *was = copy_slab(slab, elements, a), *is = copy_slab(slab, elements, a);
    int n = m->nparams, nranges = 0;
    int64_t *at = KD_NEW_ARRAY(a, int64_t, n + 1);
    KdType *type = KD_NEW_ARRAY(a, KdType, n + 1);
    Range *range = NULL;
    for (int k = 0; k < n; k++) {
        at[k] = kd_slab_offset(m, m->params[k]);
        type[k] = m->params[k]->type;
    }
    if (strcmp(o->weights_type, "int8") == 0)
        nranges = find_ranges(run, text, was, samples, &range, a, d);
    if (nranges < 0) return cannot_try(d), NULL;
    const char *passes = passes_for(run, o, nranges, range, a);
    if (!kd_run_pipeline(m, &(KdPipeline){ .passes = passes }, d)) return NULL;
    float *stored = KD_NEW_ARRAY(a, float, kd_slab_elements(m, run->network) + KDRT_SLACK / 4);
    const Store to = { .m = m, .slab = stored, .nranges = nranges, .range = range, .d = d };
    for (int k = 0; k < n; k++) {
        const KdParam *p = m->params[k]; /* teachers have some too */
        bool own = strcmp(p->network, run->network) == 0;
        if (own && !store(&to, p, type[k], was + at[k], is + at[k])) return NULL;
    }
    const char *const texts[] = { text, kd_module_text(m, a) };
    const float *const slabs[] = { was, stored };
    if (is_there(samples)) return compare(run, texts, slabs, samples, a, d) ? stored : NULL;
    fprintf(stderr, "no validation samples at hand: what that does to errors is not known\n");
    kd_ship_data_why(samples, d);
    return stored;
}

float *kd_compress_weights(const KdRun *run, const float *slab, const KdOptions *o,
                           const KdShipData *samples, KdArena *a, KdDiag *d) {
    if (is_there(samples) || strcmp(o->weights_type, "int8") != 0)
        return compress(run, slab, o, samples, a, d);
    kd_error(d, run->data->loc,
             "--weights-type int8 is calibrated on validation samples, and there are none at "
             "hand; int8-stored needs none");
    kd_ship_data_why(samples, d);
    return NULL;
}
