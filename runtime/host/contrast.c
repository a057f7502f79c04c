/*
 * Local contrast normalisation (Jarrett, Kavukcuoglu, Ranzato & LeCun 2009): what a pixel is beside
 * its surroundings. With w a Gaussian over 9 x 9 pixels and all C channels, its sum 1 (at the
 * edges, over the pixels that there are):
 *
 *     v = x - Σ w x       s = sqrt(Σ w v²)       y = v / max(mean of s over the image, s)
 *
 * The Gaussian is a product of one along rows and one along columns. An image is done at a time, in
 * double.
 */
#include "runtime/host/contrast.h"

#include "runtime/host/hash.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <math.h>
#include <stdlib.h>

enum { REACH = 4 };

static const double deviation = 2;

typedef struct Image {
    int64_t channels, height, width;
    double *x;                /* [C, H, W] */
    double *map, *other;      /* [H, W] */
    double weight[REACH + 1]; /* by distance */
} Image;

/* Σ w map along a line of n elements, `step` apart, into the same line of `out`. */
static void blur_line(const Image *m, const double *map, double *out, int64_t n, int64_t step) {
    for (int64_t k = 0; k < n; k++) {
        double sum = 0, weights = 0;
        for (int64_t j = k < REACH ? 0 : k - REACH; j <= k + REACH && j < n; j++) {
            double w = m->weight[j < k ? k - j : j - k];
            sum += w * map[j * step];
            weights += w;
        }
        out[k * step] = sum / weights;
    }
}

/* The map's weighted means, in place. */
static void blur(const Image *m) {
    for (int64_t y = 0; y < m->height; y++)
        blur_line(m, m->map + y * m->width, m->other + y * m->width, m->width, 1);
    for (int64_t x = 0; x < m->width; x++)
        blur_line(m, m->other + x, m->map + x, m->height, m->width);
}

/* The mean over channels of x, or of its square, blurred, in m->map. */
static void surroundings(const Image *m, bool square) {
    int64_t area = m->height * m->width;
    for (int64_t k = 0; k < area; k++) {
        m->map[k] = 0;
        for (int64_t c = 0; c < m->channels; c++) {
            double x = m->x[c * area + k];
            m->map[k] += (square ? x * x : x) / (double)m->channels;
        }
    }
    blur(m);
}

static void normalize_image(const Image *m) {
    int64_t area = m->height * m->width;
    double mean = 0;
    surroundings(m, false);
    for (int64_t k = 0; k < m->channels * area; k++) m->x[k] -= m->map[k % area];
    surroundings(m, true);
    for (int64_t k = 0; k < area; k++) mean += (m->map[k] = sqrt(m->map[k])) / (double)area;
    for (int64_t k = 0; k < m->channels * area; k++) {
        double most = fmax(mean, m->map[k % area]);
        m->x[k] = most > 1e-12 ? m->x[k] / most : 0;
    }
}

bool kdrt_dataset_contrast(KdrtDataset *data, KdrtError *error) {
    KdrtArray *x = &data->x;
    if (x->rank != 4)
        return kdrt_fail(error, "local contrast is of images [channels, height, width]");
    Image m = { .channels = x->dim[1], .height = x->dim[2], .width = x->dim[3] };
    int64_t area = m.height * m.width, size = m.channels * area;
    float *out = kdrt_alloc((size_t)(x->dim[0] * size) * sizeof *out);
    double *memory = calloc((size_t)(size + 2 * area), sizeof *memory);
    bool done = out && memory;
    for (int k = 0; k <= REACH; k++) m.weight[k] = exp(-0.5 * k * k / (deviation * deviation));
    m.x = memory;
    m.map = done ? memory + size : NULL;
    m.other = done ? m.map + area : NULL;
    for (int64_t row = 0; done && row < x->dim[0]; row++) {
        for (int64_t k = 0; k < size; k++)
            m.x[k] = x->dtype == KDRT_U8 ? ((const uint8_t *)x->data)[row * size + k]
                                         : (double)((const float *)x->data)[row * size + k];
        normalize_image(&m);
        for (int64_t k = 0; k < size; k++) out[row * size + k] = (float)m.x[k];
    }
    free(memory);
    if (!done) {
        kdrt_free(out);
        return kdrt_fail(error, "no memory for the local contrast of %lld images",
                         (long long)x->dim[0]);
    }
    kdrt_free(x->data);
    x->data = out;
    x->dtype = KDRT_F32;
    data->hash = kdrt_hash("local contrast", 14, data->hash);
    return true;
}
