/*
 * What a `print` op shows: a heading with label and shape, range and mean, and the first elements.
 * On stderr, so that a table or JSON on stdout stays readable; one write, so that lines of two
 * threads never mix.
 */
#include "runtime/kdrt.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define SHOWN 16

static double element_at(int32_t dtype, const void *data, int64_t i) {
    switch (dtype) {
    case 0: return (double)((const float *)data)[i];
    case 1: return (double)((const int32_t *)data)[i];
    default: return (double)((const uint8_t *)data)[i];
    }
}

void kdrt_print(const char *label, const char *shape, int32_t dtype, const void *data,
                int64_t count) {
    double sum = 0, low = INFINITY, high = -INFINITY;
    int64_t nans = 0;
    for (int64_t i = 0; i < count; i++) {
        double x = element_at(dtype, data, i);
        if (isnan(x)) {
            nans++;
            continue;
        }
        sum += x;
        if (x < low) low = x;
        if (x > high) high = x;
    }
    char text[1024];
    const char *clear = isatty(STDERR_FILENO) ? "\r\033[K" : ""; /* of the progress line */
    size_t used = (size_t)snprintf(text, 512, "%s%.200s %.200s", clear, label, shape);
    if (used >= 512) used = 511;
    if (count > nans && count > 1) {
        used += (size_t)snprintf(text + used, sizeof text - used, " min %.6g max %.6g mean %.6g",
                                 low, high, sum / (double)(count - nans));
    }
    if (nans)
        used += (size_t)snprintf(text + used, sizeof text - used, " nan %lld", (long long)nans);
    used += (size_t)snprintf(text + used, sizeof text - used, ":");
    for (int64_t i = 0; i < count && i < SHOWN; i++) {
        used +=
            (size_t)snprintf(text + used, sizeof text - used, " %.6g", element_at(dtype, data, i));
    }
    snprintf(text + used, sizeof text - used, "%s\n", count > SHOWN ? " ..." : "");
    fputs(text, stderr);
}
