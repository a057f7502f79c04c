/* Types of tensors: sizes, strides and their text. */
#include "ir/type.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[KD_NUM_DTYPES] = {
    [KD_F32] = { "f32", 4 },   [KD_I32] = { "i32", 4 }, [KD_U8] = { "u8", 1 },
    [KD_BOOL] = { "bool", 1 }, [KD_F16] = { "f16", 2 }, [KD_I8] = { "i8", 1 },
};

KdType kd_type(KdDtype dtype, int rank, const int64_t *dim) {
    KdType t = { .dtype = dtype, .rank = rank };
    for (int k = 0; k < rank; k++) t.dim[k] = dim[k];
    return t;
}

KdType kd_scalar(KdDtype dtype) {
    return (KdType){ .dtype = dtype };
}

KdType kd_type_with_dtype(KdType t, KdDtype dtype) {
    t.dtype = dtype;
    return t;
}

bool kd_shape_equal(KdType a, KdType b) {
    return a.rank == b.rank && memcmp(a.dim, b.dim, sizeof a.dim) == 0;
}

bool kd_type_equal(KdType a, KdType b) {
    return a.dtype == b.dtype && kd_shape_equal(a, b);
}

bool kd_type_has(KdType t, int64_t extent) {
    for (int k = 0; k < t.rank; k++) {
        if (t.dim[k] == extent) return true;
    }
    return false;
}

bool kd_dtype_is_stored(KdDtype d) {
    return d == KD_F16 || d == KD_I8;
}

const char *kd_dtype_name(KdDtype d) {
    return dtypes[d].name;
}

size_t kd_dtype_size(KdDtype d) {
    return dtypes[d].size;
}

static int64_t extent_of(int64_t dim, int64_t n, int64_t rows) {
    return dim == KD_BATCH ? n : dim == KD_ROWS ? rows : dim;
}

int64_t kd_type_elements(KdType t, int64_t n, int64_t rows) {
    int64_t count = 1;
    for (int k = 0; k < t.rank; k++) count *= extent_of(t.dim[k], n, rows);
    return count;
}

int64_t kd_type_bytes(KdType t, int64_t n, int64_t rows) {
    int64_t padding = t.pad ? t.pad * extent_of(t.dim[0], n, rows) : 0;
    return (kd_type_elements(t, n, rows) + padding) * (int64_t)kd_dtype_size(t.dtype);
}

void kd_type_strides(KdType t, int64_t n, int64_t stride[KD_MAX_RANK]) {
    int64_t s = 1;
    for (int k = t.rank - 1; k >= 0; k--) {
        stride[k] = k == 0 ? s + t.pad : s;
        s *= extent_of(t.dim[k], n, 1);
    }
}

char *kd_type_text(KdType t, char buf[KD_TYPE_TEXT]) {
    int at = snprintf(buf, KD_TYPE_TEXT, "%s", kd_dtype_name(t.dtype));
    for (int k = 0; k < t.rank && at < KD_TYPE_TEXT; k++) {
        char *to = buf + at;
        size_t room = KD_TYPE_TEXT - (size_t)at;
        const char *before = k ? "," : "[";
        if (t.dim[k] == KD_BATCH) {
            at += snprintf(to, room, "%sB", before);
        } else if (t.dim[k] == KD_ROWS) {
            at += snprintf(to, room, "%sN", before);
        } else {
            at += snprintf(to, room, "%s%" PRId64, before, t.dim[k]);
        }
    }
    if (t.rank && at < KD_TYPE_TEXT) at += snprintf(buf + at, KD_TYPE_TEXT - (size_t)at, "]");
    if (t.pad && at < KD_TYPE_TEXT)
        snprintf(buf + at, KD_TYPE_TEXT - (size_t)at, "+%" PRId64, t.pad);
    return buf;
}
