/*
 * Means of few measurements: Student's t. A measurement that is NaN makes the result NaN.
 */
#ifndef KDRT_HOST_STATISTICS_H
#define KDRT_HOST_STATISTICS_H

/* P(|T| >= |t|) for Student's t with df >= 1 degrees of freedom. */
double kdrt_t_two_sided(double t, int df);
/* The t with P(|T| >= t) = alpha, 0 < alpha < 1. */
double kdrt_t_critical(double alpha, int df);

/* Of n numbers: their mean, half the width of its 95 % interval (NaN when n < 2), and the p of the
 * hypothesis that it is 0 (two-sided t-test; of differences of pairs: the paired t-test). */
typedef struct KdrtMean {
    int n;
    double mean, half_width, p;
} KdrtMean;
KdrtMean kdrt_mean(const double *x, int n);

#endif
