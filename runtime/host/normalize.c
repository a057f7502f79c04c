/* Means and deviations over the training samples; sums run in row order, in double, from the first
 * sample's values, so that large means cost no digits. */
#include "runtime/host/normalize.h"

#include "runtime/host/hash.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sums {
    int64_t elements, rows;
    double *shift, *sum, *square; /* [elements] */
} Sums;

static double stored(const KdrtArray *x, int64_t k) {
    return x->dtype == KDRT_U8 ? ((const uint8_t *)x->data)[k]
                               : (double)((const float *)x->data)[k];
}

static void add_rows(Sums *s, const KdrtDataset *data) {
    int64_t first = data->train.first * s->elements;
    for (int64_t k = 0; k < s->elements; k++) s->shift[k] = stored(&data->x, first + k);
    for (int64_t row = 0; row < s->rows; row++) {
        for (int64_t k = 0; k < s->elements; k++) {
            double x = stored(&data->x, first + row * s->elements + k) - s->shift[k];
            s->sum[k] += x;
            s->square[k] += x * x;
        }
    }
}

/* Mean and variance of elements [k, k + n), of which each counts alike. */
static void moments(const Sums *s, int64_t k, int64_t n, double *mean, double *variance) {
    double sum = 0, square = 0, count = (double)s->rows;
    for (int64_t j = k; j < k + n; j++) sum += s->sum[j] / count + s->shift[j];
    *mean = sum / (double)n;
    for (int64_t j = k; j < k + n; j++) {
        double own = s->sum[j] / count, off = own + s->shift[j] - *mean;
        square += s->square[j] / count - own * own + off * off;
    }
    *variance = square / (double)n;
}

static void fill(const Sums *s, KdrtDataset *data, const char *kind, double scale) {
    bool only_mean = !strcmp(kind, "mean");
    int64_t step = !strcmp(kind, "channel") ? s->elements / data->x.dim[1] : 1;
    for (int64_t k = 0; k < s->elements; k += step) {
        double mean, variance;
        moments(s, k, step, &mean, &variance);
        double deviation = sqrt(variance > 0 ? variance : 0) * scale;
        for (int64_t j = k; j < k + step; j++) {
            data->mean[j] = (float)(mean * scale);
            data->rate[j] = only_mean || !(deviation > 1e-12) ? 1.0f : (float)(1 / deviation);
        }
    }
}

bool kdrt_dataset_normalize(KdrtDataset *data, const char *kind, double scale, KdrtError *error) {
    if (!kind) return true;
    Sums s = { .elements = 1, .rows = data->train.count };
    for (int k = 1; k < data->x.rank; k++) s.elements *= data->x.dim[k];
    size_t n = (size_t)s.elements;
    double *memory = calloc(3 * n, sizeof *memory);
    data->mean = kdrt_alloc(n * sizeof(float));
    data->rate = kdrt_alloc(n * sizeof(float));
    bool done = memory && data->mean && data->rate;
    if (done) {
        s.shift = memory;
        s.sum = memory + n;
        s.square = memory + 2 * n;
        add_rows(&s, data);
        fill(&s, data, kind, scale);
        data->hash = kdrt_hash(data->mean, n * sizeof(float), data->hash);
        data->hash = kdrt_hash(data->rate, n * sizeof(float), data->hash);
    }
    free(memory);
    return done ||
           kdrt_fail(error, "no memory for the mean of %lld elements", (long long)s.elements);
}
