/*
 * NumPy's .npy: magic, version, header length, a Python dict as text, the elements. The dict is
 * read by a few small matchers that accept what NumPy writes, keys in any order, and refuse the
 * rest.
 */
#include "runtime/host/array.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <math.h>
#include <string.h>

#define NPY_MAGIC   "\x93NUMPY"
#define NPY_MAGIC_N 6
#define FILE_LIMIT  ((size_t)1 << 40)

/* How elements lie in the file, and what they become. */
typedef struct NpyType {
    const char *descr;
    size_t width;
    KdrtDtype dtype;
} NpyType;

static const NpyType npy_types[] = {
    { "<f4", 4, KDRT_F32 }, { "<f8", 8, KDRT_F32 }, { "<i4", 4, KDRT_I32 }, { "<i8", 8, KDRT_I32 },
    { "|u1", 1, KDRT_U8 },  { "|b1", 1, KDRT_U8 },  { "<u1", 1, KDRT_U8 },
};

static const char *skip_spaces(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\t') p++;
    return p;
}

/* A quoted word without escapes into `word`; the place behind it, or NULL. */
static const char *read_quoted(const char *p, char *word, size_t room) {
    char quote = *p++;
    if (quote != '\'' && quote != '"') return NULL;
    size_t n = 0;
    while (*p && *p != quote && n + 1 < room) word[n++] = *p++;
    word[n] = 0;
    return *p == quote ? p + 1 : NULL;
}

/* "(3, 4)", "(3,)" or "()"; the place behind it, or NULL. */
static const char *read_shape(const char *p, KdrtArray *array) {
    if (*p++ != '(') return NULL;
    for (p = skip_spaces(p); *p != ')'; p = skip_spaces(p)) {
        if (*p < '0' || *p > '9' || array->rank == KDRT_MAX_RANK) return NULL;
        int64_t extent = 0;
        for (; *p >= '0' && *p <= '9'; p++) {
            if (extent > INT64_MAX / 10 - 1) return NULL;
            extent = extent * 10 + (*p - '0');
        }
        array->dim[array->rank++] = extent;
        p = skip_spaces(p);
        if (*p == ',')
            p++;
        else if (*p != ')')
            return NULL;
    }
    return p + 1;
}

typedef struct NpyHeader {
    char descr[16];
    bool fortran, has_descr, has_order, has_shape;
} NpyHeader;

/* One `'key': value` of the dict; the place behind it, or NULL. */
static const char *read_item(const char *p, NpyHeader *h, KdrtArray *array) {
    char key[24];
    p = read_quoted(p, key, sizeof key);
    if (!p) return NULL;
    p = skip_spaces(p);
    if (*p++ != ':') return NULL;
    p = skip_spaces(p);
    if (!strcmp(key, "descr") && !h->has_descr) {
        h->has_descr = true;
        return read_quoted(p, h->descr, sizeof h->descr);
    }
    if (!strcmp(key, "fortran_order") && !h->has_order) {
        h->has_order = true;
        h->fortran = !strncmp(p, "True", 4);
        return h->fortran ? p + 4 : !strncmp(p, "False", 5) ? p + 5 : NULL;
    }
    if (!strcmp(key, "shape") && !h->has_shape) {
        h->has_shape = true;
        return read_shape(p, array);
    }
    return NULL;
}

static bool parse_dict(const char *p, NpyHeader *h, KdrtArray *array) {
    p = skip_spaces(p);
    if (*p++ != '{') return false;
    for (p = skip_spaces(p); *p != '}'; p = skip_spaces(p)) {
        p = read_item(p, h, array);
        if (!p) return false;
        p = skip_spaces(p);
        if (*p == ',')
            p++;
        else if (*p != '}')
            return false;
    }
    return *skip_spaces(p + 1) == 0 && h->has_descr && h->has_order && h->has_shape;
}

/* Where the elements begin, or 0 after an error. */
static size_t parse_header(const char *path, unsigned char *file, size_t bytes, NpyHeader *h,
                           KdrtArray *array, KdrtError *error) {
    if (bytes < 10 || memcmp(file, NPY_MAGIC, NPY_MAGIC_N) != 0) {
        kdrt_fail(error, "%s: expected a .npy file (magic \\x93NUMPY), found %s", path,
                  bytes < 10 ? "a file shorter than its header" : "another magic");
        return 0;
    }
    int version = file[6];
    size_t start = version == 1 ? 10 : 12;
    if (version < 1 || version > 3) {
        kdrt_fail(error, "%s: expected .npy version 1 to 3, found %d", path, version);
        return 0;
    }
    size_t length = file[8] | (size_t)file[9] << 8;
    if (version > 1 && bytes >= 12) length |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
    if (bytes < start || bytes - start < length) {
        kdrt_fail(error, "%s: expected a header of %zu bytes, found the end of the file", path,
                  length);
        return 0;
    }
    unsigned char kept = file[start + length]; /* the reader leaves a zero behind the file */
    file[start + length] = 0;
    bool parsed = parse_dict((const char *)file + start, h, array);
    file[start + length] = kept;
    if (!parsed) {
        kdrt_fail(error, "%s: expected a header {'descr', 'fortran_order', 'shape'}, found '%.*s'",
                  path, (int)(length < 80 ? length : 80), (const char *)file + start);
        return 0;
    }
    return start + length;
}

/* i64 -> i32 and f64 -> f32 on the way; false for a value that does not fit. */
static bool convert(const NpyType *type, const unsigned char *from, KdrtArray *array, int64_t count,
                    int64_t *bad) {
    if (type->width != 8) {
        memcpy(array->data, from, (size_t)count * type->width);
        return true;
    }
    for (int64_t k = 0; k < count; k++) {
        *bad = k;
        if (type->dtype == KDRT_I32) {
            int64_t x;
            memcpy(&x, from + 8 * k, 8);
            if (x < INT32_MIN || x > INT32_MAX) return false;
            ((int32_t *)array->data)[k] = (int32_t)x;
        } else {
            double x;
            memcpy(&x, from + 8 * k, 8);
            ((float *)array->data)[k] = (float)x;
            if (isinf((float)x) && !isinf(x)) return false;
        }
    }
    return true;
}

static bool read_elements(const char *path, const unsigned char *from, size_t bytes,
                          const NpyHeader *h, KdrtArray *array, KdrtError *error) {
    char shape[KDRT_SHAPE_TEXT];
    const NpyType *type = NULL;
    for (size_t k = 0; k < sizeof npy_types / sizeof *npy_types; k++) {
        if (!strcmp(h->descr, npy_types[k].descr)) type = &npy_types[k];
    }
    if (!type) {
        return kdrt_fail(error,
                         "%s: expected float32, float64, int32, int64, uint8 or bool elements in "
                         "little endian, found '%s'",
                         path, h->descr);
    }
    if (h->fortran && array->rank > 1) {
        return kdrt_fail(error,
                         "%s: expected C order, found Fortran order "
                         "(save numpy.ascontiguousarray(x))",
                         path);
    }
    array->dtype = type->dtype;
    int64_t count = kdrt_shape_elements(array->rank, array->dim, type->width);
    if (count < 0 || (size_t)count * type->width != bytes) {
        return kdrt_fail(error, "%s: expected the elements of shape %s, found %zu bytes", path,
                         kdrt_shape_text(array->rank, array->dim, shape), bytes);
    }
    array->data = kdrt_alloc((size_t)count * kdrt_dtype_bytes(array->dtype));
    if (!array->data) return kdrt_fail(error, "%s: no memory for %zu bytes", path, bytes);
    int64_t bad = 0;
    if (!convert(type, from, array, count, &bad)) {
        return kdrt_fail(error, "%s: element %lld of type '%s' does not fit %s", path,
                         (long long)bad, h->descr, kdrt_dtype_text(array->dtype));
    }
    return true;
}

bool kdrt_npy_parse(const char *name, unsigned char *file, size_t bytes, KdrtArray *array,
                    KdrtError *error) {
    memset(array, 0, sizeof *array);
    NpyHeader header = { 0 };
    size_t start = parse_header(name, file, bytes, &header, array, error);
    if (start && read_elements(name, file + start, bytes - start, &header, array, error))
        return true;
    kdrt_array_free(array);
    return false;
}

bool kdrt_npy_read(const char *path, KdrtArray *array, KdrtError *error) {
    size_t bytes;
    memset(array, 0, sizeof *array);
    unsigned char *file = kdrt_file_read(path, FILE_LIMIT, &bytes, error);
    bool done = file && kdrt_npy_parse(path, file, bytes, array, error);
    kdrt_free(file);
    return done;
}
