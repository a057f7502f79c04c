/*
 * Reading safetensors. The header is parsed by cJSON, whose tree is kept: names and strings point
 * into it. Then the tensors are sorted by offset, and must tile the data exactly.
 */
#include "runtime/host/atomic_file.h"
#include "runtime/host/internal.h"
#include "runtime/host/safetensors.h"
#include "runtime/kdrt.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER ((uint64_t)100 << 20) /* the format's own limit */
#define FILE_LIMIT ((size_t)1 << 40)

typedef struct Reading {
    const char *path;
    KdrtTensors *out;
    size_t bytes; /* of data */
    KdrtError *error;
} Reading;

size_t kdrt_tensor_width(const char *dtype) {
    static const struct {
        const char *name;
        size_t width;
    } widths[] = { { "F32", 4 },  { "F64", 8 }, { "F16", 2 },     { "BF16", 2 },
                   { "I64", 8 },  { "I32", 4 }, { "I16", 2 },     { "I8", 1 },
                   { "U64", 8 },  { "U32", 4 }, { "U16", 2 },     { "U8", 1 },
                   { "BOOL", 1 }, { "C64", 8 }, { "F8_E4M3", 1 }, { "F8_E5M2", 1 } };
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++) {
        if (!strcmp(dtype, widths[k].name)) return widths[k].width;
    }
    return 0;
}

/* A whole number from 0 to 2^53, where doubles are still exact. */
static bool whole(const cJSON *item, int64_t *value) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53)) {
        return false;
    }
    *value = (int64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

/* dtype, shape and data_offsets of one entry. */
static bool read_entry(Reading *r, const cJSON *entry, KdrtTensor *t) {
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    t->name = entry->string;
    if (!cJSON_IsObject(entry) || !cJSON_IsString(dtype) || !cJSON_IsArray(shape) ||
        !cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2) {
        return kdrt_fail(r->error, "%s: tensor '%.100s': expected dtype, shape and data_offsets",
                         r->path, t->name);
    }
    t->dtype = dtype->valuestring;
    size_t width = kdrt_tensor_width(t->dtype);
    if (!width) {
        return kdrt_fail(r->error, "%s: tensor '%.100s': unknown dtype '%.20s'", r->path, t->name,
                         t->dtype);
    }
    int64_t elements = 1, begin, end;
    const cJSON *extent;
    cJSON_ArrayForEach(extent, shape) {
        int64_t n;
        if (t->rank == KDRT_TENSOR_RANK || !whole(extent, &n) ||
            (n > 0 && elements > (INT64_C(1) << 40) / n)) {
            return kdrt_fail(r->error,
                             "%s: tensor '%.100s': expected at most %d whole extents of at most "
                             "2^40 elements in all",
                             r->path, t->name, KDRT_TENSOR_RANK);
        }
        t->dim[t->rank++] = n;
        elements *= n;
    }
    if (!whole(offsets->child, &begin) || !whole(offsets->child->next, &end) || begin > end ||
        (uint64_t)end > r->bytes) {
        return kdrt_fail(r->error, "%s: tensor '%.100s': expected data_offsets within %zu bytes",
                         r->path, t->name, r->bytes);
    }
    t->bytes = (size_t)(end - begin);
    t->data = (const char *)r->out->data + begin;
    if (t->bytes != (size_t)elements * width) {
        return kdrt_fail(r->error,
                         "%s: tensor '%.100s': expected %zu bytes for its shape, found %zu",
                         r->path, t->name, (size_t)elements * width, t->bytes);
    }
    return true;
}

static bool read_metadata(Reading *r, const cJSON *object) {
    int n = cJSON_GetArraySize(object);
    if (!cJSON_IsObject(object) || r->out->metadata) {
        return kdrt_fail(r->error, "%s: expected one object as __metadata__", r->path);
    }
    r->out->metadata = calloc((size_t)n + 1, sizeof *r->out->metadata);
    if (!r->out->metadata) return kdrt_fail(r->error, "%s: no memory", r->path);
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        if (!cJSON_IsString(item)) {
            return kdrt_fail(r->error, "%s: metadata '%.100s': expected a string", r->path,
                             item->string);
        }
        r->out->metadata[r->out->nmetadata++] = (KdrtPair){ item->string, item->valuestring };
    }
    return true;
}

static int by_place(const void *a, const void *b) {
    const KdrtTensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty ones first */
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const KdrtTensor *)a)->name, ((const KdrtTensor *)b)->name);
}

/* No name twice; data without gap, overlap or rest. Leaves the tensors in the order of their data.
 */
static bool check_layout(Reading *r) {
    KdrtTensors *out = r->out;
    size_t n = (size_t)out->ntensors, used = 0;
    qsort(out->tensors, n, sizeof *out->tensors, by_name);
    for (size_t k = 1; k < n; k++) {
        if (!by_name(&out->tensors[k - 1], &out->tensors[k])) {
            return kdrt_fail(r->error, "%s: tensor '%.100s' occurs twice", r->path,
                             out->tensors[k].name);
        }
    }
    qsort(out->tensors, n, sizeof *out->tensors, by_place);
    for (size_t k = 0; k < n; k++) {
        const KdrtTensor *t = &out->tensors[k];
        size_t begin = (size_t)((const char *)t->data - (const char *)out->data);
        if (begin != used) {
            return kdrt_fail(r->error,
                             "%s: tensor '%.100s': expected to begin at byte %zu, found %zu",
                             r->path, t->name, used, begin);
        }
        used += t->bytes;
    }
    if (used == r->bytes) return true;
    return kdrt_fail(r->error, "%s: expected %zu bytes of tensors, found %zu", r->path, used,
                     r->bytes);
}

static bool read_header(Reading *r, const char *text, size_t length) {
    const char *end = NULL;
    cJSON *header = text[0] == '{' ? cJSON_ParseWithLengthOpts(text, length, &end, 0) : NULL;
    r->out->header = header;
    while (header && end < text + length && *end == ' ') end++;
    if (!header || end != text + length) {
        return kdrt_fail(r->error, "%s: expected a JSON object of %zu bytes as safetensors header",
                         r->path, length);
    }
    r->out->tensors = calloc((size_t)cJSON_GetArraySize(header) + 1, sizeof *r->out->tensors);
    if (!r->out->tensors) return kdrt_fail(r->error, "%s: no memory", r->path);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, header) {
        if (!strcmp(entry->string, "__metadata__")) {
            if (!read_metadata(r, entry)) return false;
        } else if (!read_entry(r, entry, &r->out->tensors[r->out->ntensors++])) {
            return false;
        }
    }
    return check_layout(r);
}

bool kdrt_tensors_read(const char *path, KdrtTensors *out, KdrtError *error) {
    memset(out, 0, sizeof *out);
    size_t bytes;
    unsigned char *file = kdrt_file_read(path, FILE_LIMIT, &bytes, error);
    if (!file) return false;
    uint64_t length = 0;
    for (int k = 7; k >= 0 && bytes >= 8; k--) length = length << 8 | file[k];
    bool done;
    if (bytes < 8 || length > MAX_HEADER || length > bytes - 8 || length < 2) {
        done = kdrt_fail(error,
                         "%s: expected a safetensors file, found %zu bytes and header length %llu",
                         path, bytes, (unsigned long long)length);
    } else {
        Reading r = { path, out, bytes - 8 - (size_t)length, error };
        out->data = file + 8 + length;
        done = read_header(&r, (const char *)file + 8, (size_t)length);
    }
    out->data = file; /* what kdrt_tensors_free gives back */
    if (!done) kdrt_tensors_free(out);
    return done;
}

void kdrt_tensors_free(KdrtTensors *tensors) {
    cJSON_Delete(tensors->header);
    kdrt_free(tensors->data);
    free(tensors->tensors);
    free(tensors->metadata);
    memset(tensors, 0, sizeof *tensors);
}

const KdrtTensor *kdrt_tensors_find(const KdrtTensors *tensors, const char *name) {
    for (int k = 0; k < tensors->ntensors; k++) {
        if (!strcmp(tensors->tensors[k].name, name)) return &tensors->tensors[k];
    }
    return NULL;
}

const char *kdrt_tensors_meta(const KdrtTensors *tensors, const char *key) {
    for (int k = 0; k < tensors->nmetadata; k++) {
        if (!strcmp(tensors->metadata[k].key, key)) return tensors->metadata[k].value;
    }
    return NULL;
}
