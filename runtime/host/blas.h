/*
 * OpenBLAS as kdc uses it: one thread, called from the pool's workers on tiles that do not overlap,
 * and trusted only after a test against plain loops.
 */
#ifndef KDRT_HOST_BLAS_H
#define KDRT_HOST_BLAS_H

#include "runtime/host/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Row-major C[m,n] = op(A)[m,k] op(B)[k,n] + beta C; op transposes where the flag is not 0. `lda` …
 * are the strides of rows as they lie. What generated code calls. */
void kdrt_sgemm(int32_t transpose_a, int32_t transpose_b, int64_t m, int64_t n, int64_t k,
                const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                int64_t ldc);

/* Holds OpenBLAS to one thread and compares products of odd sizes, all transposes, with plain
 * loops. Call once before kdrt_sgemm. False: use the native kernels. */
bool kdrt_blas_start(KdrtError *error);

/* What OpenBLAS says of itself, e.g. "OpenBLAS 0.3.21 … Haswell". */
const char *kdrt_blas_name(void);

#endif
