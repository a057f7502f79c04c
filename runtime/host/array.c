/* What every array has: sizes that cannot overflow, shapes as text. */
#include "runtime/host/array.h"

#include "runtime/kdrt.h"

#include <stdio.h>
#include <string.h>

#define MAX_BYTES (INT64_C(1) << 40)

size_t kdrt_dtype_bytes(KdrtDtype dtype) {
    return dtype == KDRT_U8 ? 1 : 4;
}

const char *kdrt_dtype_text(KdrtDtype dtype) {
    return dtype == KDRT_U8 ? "u8" : dtype == KDRT_I32 ? "i32" : "f32";
}

int64_t kdrt_shape_elements(int rank, const int64_t *dim, size_t element_bytes) {
    /* Zero extents aside, so that [0, 2^62] is refused too. */
    int64_t product = 1;
    bool empty = false;
    for (int k = 0; k < rank; k++) {
        if (dim[k] < 0) return -1;
        if (dim[k] == 0) {
            empty = true;
        } else if (product > MAX_BYTES / (int64_t)element_bytes / dim[k]) {
            return -1;
        } else {
            product *= dim[k];
        }
    }
    return empty ? 0 : product;
}

int64_t kdrt_array_elements(const KdrtArray *array) {
    return kdrt_shape_elements(array->rank, array->dim, kdrt_dtype_bytes(array->dtype));
}

void kdrt_array_free(KdrtArray *array) {
    kdrt_free(array->data);
    memset(array, 0, sizeof *array);
}

char *kdrt_shape_text(int rank, const int64_t *dim, char buf[KDRT_SHAPE_TEXT]) {
    size_t used = 0;
    buf[used++] = '[';
    for (int k = 0; k < rank; k++) {
        used += (size_t)snprintf(buf + used, KDRT_SHAPE_TEXT - used, "%s%lld", k ? "," : "",
                                 (long long)dim[k]);
    }
    buf[used++] = ']';
    buf[used] = 0;
    return buf;
}
