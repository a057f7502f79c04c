/* Writing safetensors: the header by cJSON, padded, then each tensor's bytes as they lie. */
#include "runtime/host/atomic_file.h"
#include "runtime/host/internal.h"
#include "runtime/host/safetensors.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#define DATA_ALIGN 64

/* cJSON returns NULL where there is no memory; every step passes that on. */
static bool add_tensor(cJSON *header, const KdrtTensor *t, size_t begin) {
    cJSON *entry = cJSON_AddObjectToObject(header, t->name);
    if (!cJSON_AddStringToObject(entry, "dtype", t->dtype)) return false;
    cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
    if (!shape) return false;
    for (int k = 0; k < t->rank; k++) {
        if (!cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->dim[k]))) return false;
    }
    cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
    return offsets && cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)begin)) &&
           cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)(begin + t->bytes)));
}

static char *header_text(const KdrtTensors *tensors) {
    cJSON *header = cJSON_CreateObject();
    bool done = header != NULL;
    if (tensors->nmetadata > 0) {
        cJSON *object = cJSON_AddObjectToObject(header, "__metadata__");
        for (int k = 0; k < tensors->nmetadata && done; k++) {
            const KdrtPair *pair = &tensors->metadata[k];
            done = cJSON_AddStringToObject(object, pair->key, pair->value) != NULL;
        }
    }
    size_t begin = 0;
    for (int k = 0; k < tensors->ntensors && done; k++) {
        done = add_tensor(header, &tensors->tensors[k], begin);
        begin += tensors->tensors[k].bytes;
    }
    char *text = done ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    return text;
}

char *kdrt_tensors_header(const KdrtTensors *tensors, size_t *size) {
    char *text = header_text(tensors);
    if (!text) return NULL;
    size_t length = strlen(text);
    size_t padding = (DATA_ALIGN - (8 + length) % DATA_ALIGN) % DATA_ALIGN;
    *size = 8 + length + padding;
    unsigned char *header = malloc(*size);
    if (header) {
        for (int k = 0; k < 8; k++) header[k] = (unsigned char)((uint64_t)(*size - 8) >> 8 * k);
        memcpy(header + 8, text, length);
        memset(header + 8 + length, ' ', padding);
    }
    cJSON_free(text);
    return (char *)header;
}

bool kdrt_tensors_write(const char *path, const KdrtTensors *tensors, KdrtError *error) {
    size_t size = 0, n = 1 + (size_t)tensors->ntensors;
    char *header = kdrt_tensors_header(tensors, &size);
    KdrtPiece *pieces = header ? calloc(n, sizeof *pieces) : NULL;
    bool done = pieces || kdrt_fail(error, "%s: no memory for the header", path);
    if (pieces) {
        pieces[0] = (KdrtPiece){ header, size };
        for (int k = 0; k < tensors->ntensors; k++)
            pieces[1 + k] = (KdrtPiece){ tensors->tensors[k].data, tensors->tensors[k].bytes };
        done = kdrt_file_write(path, pieces, (int)n, error);
    }
    free(pieces);
    free(header);
    return done;
}
