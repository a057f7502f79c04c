/*
 * Arrays as data files hold them: row-major, in memory of their own with KDRT_SLACK behind.
 */
#ifndef KDRT_HOST_ARRAY_H
#define KDRT_HOST_ARRAY_H

#include "runtime/host/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KDRT_MAX_RANK 8

typedef enum KdrtDtype { KDRT_F32, KDRT_I32, KDRT_U8 } KdrtDtype; /* as in kdrt_print */

typedef struct KdrtArray {
    KdrtDtype dtype;
    int rank;
    int64_t dim[KDRT_MAX_RANK];
    void *data;
} KdrtArray;

size_t kdrt_dtype_bytes(KdrtDtype dtype);
const char *kdrt_dtype_text(KdrtDtype dtype); /* "f32" */
int64_t kdrt_array_elements(const KdrtArray *array);
void kdrt_array_free(KdrtArray *array);

/* Elements of a shape, or -1 when an extent is negative or the array would exceed 2^40 bytes. */
int64_t kdrt_shape_elements(int rank, const int64_t *dim, size_t element_bytes);

/* "[60000,28,28]" into buf; returns buf. */
#define KDRT_SHAPE_TEXT 192
char *kdrt_shape_text(int rank, const int64_t *dim, char buf[KDRT_SHAPE_TEXT]);

/* NumPy's format, versions 1 to 3, C order, little endian. float64 becomes f32 and int64 becomes
 * i32 (out of range is an error); bool becomes u8. */
bool kdrt_npy_read(const char *path, KdrtArray *array, KdrtError *error);
/* The same from memory: `name` is for errors, and file[bytes] must be writable. */
bool kdrt_npy_parse(const char *name, unsigned char *file, size_t bytes, KdrtArray *array,
                    KdrtError *error);

/* The format of MNIST's files, gzipped or not: u8, i32 or f32. */
bool kdrt_idx_read(const char *path, KdrtArray *array, KdrtError *error);

#endif
