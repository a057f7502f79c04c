/* Errors, confusion, agreement, intervals. Sums run in row order, in double. */
#include "runtime/host/metrics.h"
#include "runtime/kdrt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int32_t kdrt_label(const KdrtArray *labels, int64_t k) {
    return labels->dtype == KDRT_U8 ? ((const uint8_t *)labels->data)[k]
                                    : ((const int32_t *)labels->data)[k];
}

int64_t kdrt_count_errors(const float *logits, const KdrtArray *labels, int64_t first, int64_t n,
                          int classes) {
    int64_t errors = 0;
    for (int64_t k = 0; k < n; k++) {
        errors += kdrt_argmax(logits + k * classes, classes) != kdrt_label(labels, first + k);
    }
    return errors;
}

void kdrt_confusion(const float *logits, const KdrtArray *labels, int64_t first, int64_t n,
                    int classes, int64_t *confusion) {
    memset(confusion, 0, (size_t)classes * (size_t)classes * sizeof *confusion);
    for (int64_t k = 0; k < n; k++) {
        int32_t label = kdrt_label(labels, first + k);
        confusion[(int64_t)label * classes + kdrt_argmax(logits + k * classes, classes)]++;
    }
}

double kdrt_agreement(const float *a, const float *b, int64_t n, int classes) {
    int64_t same = 0;
    for (int64_t k = 0; k < n; k++) {
        same += kdrt_argmax(a + k * classes, classes) == kdrt_argmax(b + k * classes, classes);
    }
    return n > 0 ? (double)same / (double)n : 0;
}

typedef struct Scored {
    double score;
    bool one;
} Scored;

static int by_score(const void *x, const void *y) {
    double a = ((const Scored *)x)->score, b = ((const Scored *)y)->score;
    return (a > b) - (a < b);
}

/* Pairs counted by ranks: the ones' ranks less those they have among themselves (Mann & Whitney
 * 1947). Equal scores share the mean of their ranks. */
double kdrt_auc(const float *logits, const KdrtArray *labels, int64_t first, int64_t n) {
    Scored *row = n > 0 ? malloc((size_t)n * sizeof *row) : NULL;
    double ranks = 0, ones = 0;
    if (!row) return NAN;
    for (int64_t k = 0; k < n; k++) {
        double score = (double)logits[2 * k + 1] - (double)logits[2 * k];
        row[k] = (Scored){ isnan(score) ? -INFINITY : score, kdrt_label(labels, first + k) == 1 };
    }
    qsort(row, (size_t)n, sizeof *row, by_score);
    for (int64_t start = 0, end; start < n; start = end) {
        for (end = start + 1; end < n && row[end].score == row[start].score;) end++;
        double rank = 0.5 * (double)(start + 1 + end);
        for (int64_t k = start; k < end; k++) {
            ones += row[k].one;
            ranks += row[k].one ? rank : 0;
        }
    }
    free(row);
    double pairs = ones * ((double)n - ones);
    return pairs > 0 ? (ranks - ones * (ones + 1) / 2) / pairs : NAN;
}

/* (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), E. B. Wilson 1927 */
void kdrt_wilson(int64_t hits, int64_t n, double *low, double *high) {
    *low = 0;
    *high = 1;
    if (n <= 0) return;
    const double z = 1.959963984540054;
    double p = (double)hits / (double)n, share = z * z / (double)n;
    double middle = p + share / 2;
    double half = z * sqrt(p * (1 - p) / (double)n + share / (4 * (double)n));
    *low = hits == 0 ? 0 : (middle - half) / (1 + share);
    *high = hits == n ? 1 : (middle + half) / (1 + share);
}
