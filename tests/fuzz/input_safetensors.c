/*
 * libFuzzer on safetensors: read, or refused with an error that names the file.
 */
#include <string.h>

#include "runtime/host/safetensors.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = input_file(".safetensors", data, size);
    KdrtTensors tensors;
    KdrtError error = { "" };
    if (kdrt_tensors_read(path, &tensors, &error)) {
        kdrt_tensors_free(&tensors);
    } else if (!strstr(error.text, path)) {
        abort();
    }
    return 0;
}
