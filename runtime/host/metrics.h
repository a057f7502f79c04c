/*
 * Figures of merit from tables of logits, row-major [n, classes]; kdrt_argmax says which class.
 */
#ifndef KDRT_HOST_METRICS_H
#define KDRT_HOST_METRICS_H

#include "runtime/host/array.h"

#include <stdint.h>

/* Label k of an array of u8 or i32. */
int32_t kdrt_label(const KdrtArray *labels, int64_t k);

/* Rows whose largest logit is not the label; labels of rows first … first + n - 1. */
int64_t kdrt_count_errors(const float *logits, const KdrtArray *labels, int64_t first, int64_t n,
                          int classes);

/* confusion[label * classes + predicted] counts; zeroed first. */
void kdrt_confusion(const float *logits, const KdrtArray *labels, int64_t first, int64_t n,
                    int classes, int64_t *confusion);

/* Share of rows in which both tables have the same largest class. */
double kdrt_agreement(const float *a, const float *b, int64_t n, int classes);

/* Of two classes: the area under the ROC curve, which is the share of pairs of a 1 and a 0 whose
 * logits [n, 2] have the 1 above the 0 by their difference; a tie counts half. NaN where a class is
 * missing, or memory. */
double kdrt_auc(const float *logits, const KdrtArray *labels, int64_t first, int64_t n);

/* 95 % Wilson score interval of a share of `hits` in n. */
void kdrt_wilson(int64_t hits, int64_t n, double *low, double *high);

#endif
