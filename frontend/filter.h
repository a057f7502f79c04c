/* Other people's programs as filters: what dot and gnuplot draw better than we would. */
#ifndef KD_FRONTEND_FILTER_H
#define KD_FRONTEND_FILTER_H

#include <stdio.h>

typedef enum KdFilterResult { KD_FILTER_DONE, KD_FILTER_MISSING, KD_FILTER_FAILED } KdFilterResult;

/* Runs a program, looked up in PATH, with one option (NULL: none) from one file into another; both
 * are flushed first and `in` is read from its beginning. KD_FILTER_MISSING: no such program. */
KdFilterResult kd_run_filter(const char *program, const char *option, FILE *in, FILE *out);

#endif
