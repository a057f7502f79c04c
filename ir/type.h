/*
 * Types of tensors. The batch is the only dynamic extent of a computation: KD_BATCH stands for
 * n <= max_batch of the function, and KD_ROWS for the number of samples in a data set, which only
 * `gather` reads. Every other extent is a constant.
 */
#ifndef KD_IR_TYPE_H
#define KD_IR_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KD_MAX_RANK 8
#define KD_BATCH    ((int64_t)-1) /* printed B */
#define KD_ROWS     ((int64_t)-2) /* printed N */

/* No tensor may have more elements than this; shape rules check it, so products never overflow. */
#define KD_MAX_ELEMENTS ((int64_t)1 << 40)

#define KD_MAX_PAD 4096 /* elements behind a row */

/* f16 and i8 are for weights that are stored: they are cast to f32, and nothing else is done. */
typedef enum KdDtype { KD_F32, KD_I32, KD_U8, KD_BOOL, KD_F16, KD_I8, KD_NUM_DTYPES } KdDtype;

/* Unused dims are 0. `pad` is no part of what a tensor is, but of how it lies in memory: so many
 * elements that nobody reads stand behind each index of dim 0, which the pass `layout` wants. */
typedef struct KdType {
    KdDtype dtype;
    int rank;
    int64_t pad;
    int64_t dim[KD_MAX_RANK];
} KdType;

KdType kd_type(KdDtype dtype, int rank, const int64_t *dim);
KdType kd_scalar(KdDtype dtype);
KdType kd_type_with_dtype(KdType t, KdDtype dtype);
bool kd_type_equal(KdType a, KdType b);     /* padding aside */
bool kd_shape_equal(KdType a, KdType b);    /* dtype and padding aside */
bool kd_type_has(KdType t, int64_t extent); /* does KD_BATCH or KD_ROWS occur? */

bool kd_dtype_is_stored(KdDtype d);   /* f16, i8 */
const char *kd_dtype_name(KdDtype d); /* "f32", "i32", "u8", "bool" */
size_t kd_dtype_size(KdDtype d);      /* bytes: 4, 4, 1, 1 (a bool is a byte, 0 or 1), 2, 1 */

/* Elements with KD_BATCH replaced by n and KD_ROWS by rows. 1 for a scalar. */
int64_t kd_type_elements(KdType t, int64_t n, int64_t rows);
/* What they take in memory, padding included. */
int64_t kd_type_bytes(KdType t, int64_t n, int64_t rows);

/* Row-major strides in elements for batch n (rows never matters: N is only ever outermost). */
void kd_type_strides(KdType t, int64_t n, int64_t stride[KD_MAX_RANK]);

/* "f32[B,10]", with padding "f32[B,1024]+16", into a buffer of KD_TYPE_TEXT bytes; returns buf. */
#define KD_TYPE_TEXT 160
char *kd_type_text(KdType t, char buf[KD_TYPE_TEXT]);

#endif
