/*
 * CIFAR's binary version: records of label bytes and colour planes without any header, so a file's
 * size and its labels are all that can tell a wrong file from a right one.
 */
#include "runtime/host/formats.h"

#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <string.h>

static bool check_file(const char *path, const KdrtMember *file, const KdrtCifar *layout,
                       size_t record, KdrtError *error) {
    size_t rest = file->bytes % record;
    if (file->bytes == 0 || rest) {
        return kdrt_fail(error,
                         "%s: %s: expected records of %zu bytes, found %zu bytes at the end, from "
                         "byte %zu on",
                         path, file->name, record, rest, file->bytes - rest);
    }
    for (size_t at = (size_t)layout->label; at < file->bytes; at += record) {
        if (file->data[at] < layout->classes) continue;
        return kdrt_fail(error,
                         "%s: %s: expected labels 0 to %d, found %d at byte %zu (record %zu)", path,
                         file->name, layout->classes - 1, file->data[at], at, at / record);
    }
    return true;
}

bool kdrt_cifar_read(const char *path, const KdrtMember *file, int n, const KdrtCifar *layout,
                     KdrtArray pair[2], KdrtError *error) {
    size_t front = (size_t)layout->labels, rows = 0;
    size_t pixels = (size_t)kdrt_shape_elements(layout->rank, layout->dim, 1);
    memset(pair, 0, 2 * sizeof *pair);
    for (int k = 0; k < n; k++) {
        if (!check_file(path, &file[k], layout, front + pixels, error)) return false;
        rows += file[k].bytes / (front + pixels);
    }
    pair[0] = (KdrtArray){ .dtype = KDRT_U8, .rank = layout->rank + 1, .dim = { (int64_t)rows } };
    pair[1] = (KdrtArray){ .dtype = KDRT_U8, .rank = 1, .dim = { (int64_t)rows } };
    memcpy(pair[0].dim + 1, layout->dim, (size_t)layout->rank * sizeof *layout->dim);
    uint8_t *x = pair[0].data = kdrt_alloc(rows * pixels);
    uint8_t *y = pair[1].data = kdrt_alloc(rows);
    if (!x || !y) {
        kdrt_array_free(&pair[0]);
        kdrt_array_free(&pair[1]);
        return kdrt_fail(error, "%s: no memory for %zu samples", path, rows);
    }
    for (int k = 0; k < n; k++) {
        for (size_t at = 0; at < file[k].bytes; at += front + pixels, x += pixels) {
            *y++ = file[k].data[at + (size_t)layout->label];
            memcpy(x, file[k].data + at + front, pixels);
        }
    }
    return true;
}
