/* For tests of readers: arrays as NumPy writes them. */
#ifndef KD_TESTS_NPY_FILE_H
#define KD_TESTS_NPY_FILE_H

#include "runtime/host/array.h"
#include "tests/unit/host_files.h"

/* Version 1, C order; the elements begin at a multiple of 64. */
static inline void write_npy(const char *path, const KdrtArray *array) {
    static const char *const descr[] = { [KDRT_F32] = "<f4",
                                         [KDRT_I32] = "<i4",
                                         [KDRT_U8] = "|u1" };
    char shape[KDRT_SHAPE_TEXT], header[512] = "\x93NUMPY\x01";
    size_t used = 10; /* magic, version, length of the header */
    kdrt_shape_text(array->rank, array->dim, shape);
    used += (size_t)snprintf(header + used, sizeof header - used,
                             "{'descr': '%s', 'fortran_order': False, 'shape': (%.*s%s), }",
                             descr[array->dtype], (int)strlen(shape) - 2, shape + 1,
                             array->rank == 1 ? "," : "");
    while ((used + 1) % 64) header[used++] = ' ';
    header[used++] = '\n';
    header[8] = (char)((used - 10) & 255);
    header[9] = (char)((used - 10) >> 8);
    size_t bytes = (size_t)kdrt_array_elements(array) * kdrt_dtype_bytes(array->dtype);
    unsigned char *file = malloc(used + bytes);
    assert_non_null(file);
    memcpy(file, header, used);
    if (bytes) memcpy(file + used, array->data, bytes);
    put_bytes(path, file, used + bytes);
    free(file);
}

#endif
