/*
 * libFuzzer on the weights that a shipped network loads: whatever the compiler's own reader takes
 * for a file of these two tensors, libkdrt loads to the same values; and nothing is loaded by
 * halves.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/host/safetensors.h"
#include "runtime/network.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLACE = sizeof(KdrtState), VALUES = 5 };

static const KdrtParameter parameters[] = {
    { .offset = PLACE, .elements = 2, .name = 0, .rank = 1, .dim = { 2 } },
    { .offset = PLACE + 8, .elements = 3, .name = 2, .rank = 2, .dim = { 3, 1 } },
};
static const KdrtLayout layout = {
    .check = 7, .version = KDRT_NETWORK_VERSION, .state_bytes = PLACE + VALUES * 4, .nparameters = 2
};
static const KdrtNetwork network = { .layout = &layout, .parameters = parameters, .text = "w\0v" };

static bool is_shaped(const KdrtTensor *x, const KdrtParameter *p) {
    return x && strcmp(x->dtype, "F32") == 0 && x->rank == p->rank &&
           memcmp(x->dim, p->dim, sizeof *p->dim * (size_t)p->rank) == 0;
}

/* The values by the other reader; false: it has others than these two tensors. */
static bool expected(const uint8_t *data, size_t size, float values[VALUES]) {
    KdrtTensors file;
    KdrtError error;
    if (!kdrt_tensors_read(input_file(".safetensors", data, size), &file, &error)) return false;
    const KdrtTensor *w = kdrt_tensors_find(&file, "w"), *v = kdrt_tensors_find(&file, "v");
    bool ours = file.ntensors == 2 && is_shaped(w, &parameters[0]) && is_shaped(v, &parameters[1]);
    if (ours) {
        memcpy(values, w->data, 8);
        memcpy(values + 2, v->data, 12);
    }
    kdrt_tensors_free(&file);
    return ours;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const float none[VALUES] = { 0 };
    _Alignas(KDRT_ALIGN) unsigned char state[PLACE + VALUES * 4] = { 0 };
    float values[VALUES];
    KdrtState first = { .check = layout.check };
    memcpy(state, &first, sizeof first);
    void *bytes = malloc(size ? size : 1); /* so that a sanitizer sees its end */
    if (!bytes) abort();
    memcpy(bytes, data, size);
    int32_t status = kdrt_network_load(&network, state, bytes, size);
    free(bytes);
    if (status == KDRT_BAD_WEIGHTS) {
        if (memcmp(state + PLACE, none, sizeof none) != 0) abort();
    } else if (status != KDRT_OK) {
        abort();
    } else if (expected(data, size, values)) { /* it is stricter: no gaps, no escapes … */
        if (memcmp(state + PLACE, values, sizeof values) != 0) abort();
    }
    return 0;
}
