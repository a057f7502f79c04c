/*
 * safetensors: u64 little-endian header length, a JSON header, then the tensors' bytes without
 * gaps. Written headers are padded with spaces so that the data begin at a multiple of 64 bytes.
 */
#ifndef KDRT_HOST_SAFETENSORS_H
#define KDRT_HOST_SAFETENSORS_H

#include "runtime/host/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KDRT_TENSOR_RANK 8

typedef struct KdrtTensor {
    const char *name;
    const char *dtype; /* "F32", "I64", … as in the file */
    int rank;
    int64_t dim[KDRT_TENSOR_RANK];
    const void *data; /* read: may lie at any byte, so copy it out with memcpy */
    size_t bytes;     /* written: must be what dtype and dims say */
} KdrtTensor;

typedef struct KdrtPair {
    const char *key, *value;
} KdrtPair;

typedef struct KdrtTensors {
    int ntensors;
    KdrtTensor *tensors; /* read: in the order of their data */
    int nmetadata;
    KdrtPair *metadata;
    void *header, *data; /* what a read owns; NULL when writing */
} KdrtTensors;

/* Every promise of the format is checked: sizes, overflow, gaps, overlaps, duplicate names. */
bool kdrt_tensors_read(const char *path, KdrtTensors *tensors, KdrtError *error);
void kdrt_tensors_free(KdrtTensors *tensors); /* of a read */

/* Tensors in the given order; written whole or not at all. */
bool kdrt_tensors_write(const char *path, const KdrtTensors *tensors, KdrtError *error);

/* What such a file begins with, its length first: *size bytes for free, or NULL without memory. */
char *kdrt_tensors_header(const KdrtTensors *tensors, size_t *size);

const KdrtTensor *kdrt_tensors_find(const KdrtTensors *tensors, const char *name); /* or NULL */
const char *kdrt_tensors_meta(const KdrtTensors *tensors, const char *key);        /* or NULL */

/* Bytes of one element of a dtype of the format, or 0 for an unknown one. */
size_t kdrt_tensor_width(const char *dtype);

#endif
