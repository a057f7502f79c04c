/*
 * P(|T| >= t) = I_x(df/2, 1/2) with x = df / (df + t²), I the regularised incomplete beta function
 * (Abramowitz & Stegun 26.5.27), which its continued fraction 26.5.8 gives, evaluated by Lentz's
 * method.
 */
#include "runtime/host/statistics.h"

#include <math.h>

#define TINY 1e-300

static double away_from_zero(double x) {
    return fabs(x) < TINY ? TINY : x;
}

/* 1/(1+ d1/(1+ d2/(1+ …: converges fast for x < (a + 1) / (a + b + 2). */
static double fraction(double x, double a, double b) {
    double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = d;
    for (int m = 1; m < 1000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_zero(1 + even * d);
        c = away_from_zero(1 + even / c);
        value *= c * d;
        d = 1 / away_from_zero(1 + odd * d);
        c = away_from_zero(1 + odd / c);
        value *= c * d;
        if (fabs(c * d - 1) < 1e-15) break;
    }
    return value;
}

static double incomplete_beta(double x, double a, double b) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * fraction(x, a, b) / a;
    return 1 - front * fraction(1 - x, b, a) / b;
}

double kdrt_t_two_sided(double t, int df) {
    if (isnan(t)) return NAN;
    return incomplete_beta(df / (df + t * t), df / 2.0, 0.5);
}

double kdrt_t_critical(double alpha, int df) {
    double low = 0, high = 1;
    while (kdrt_t_two_sided(high, df) > alpha) high *= 2;
    for (int k = 0; k < 200 && high - low > 1e-12 * high; k++) {
        double middle = (low + high) / 2;
        *(kdrt_t_two_sided(middle, df) > alpha ? &low : &high) = middle;
    }
    return (low + high) / 2;
}

KdrtMean kdrt_mean(const double *x, int n) {
    KdrtMean m = { .n = n, .mean = NAN, .half_width = NAN, .p = NAN };
    double sum = 0, squares = 0;
    for (int k = 0; k < n; k++) sum += x[k];
    if (n > 0) m.mean = sum / n;
    if (n < 2) return m;
    for (int k = 0; k < n; k++) squares += (x[k] - m.mean) * (x[k] - m.mean);
    double error = sqrt(squares / (n - 1) / n);
    m.half_width = error * kdrt_t_critical(0.05, n - 1);
    if (isnan(error)) return m;
    m.p = error > 0 ? kdrt_t_two_sided(m.mean / error, n - 1) : m.mean == 0 ? 1 : 0;
    return m;
}
