/*
 * libFuzzer on NumPy's arrays: read, or refused with an error that names the file.
 */
#include <string.h>

#include "runtime/host/array.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = input_file(".npy", data, size);
    KdrtArray array;
    KdrtError error = { "" };
    if (kdrt_npy_read(path, &array, &error)) {
        kdrt_array_free(&array);
    } else if (!strstr(error.text, path)) {
        abort();
    }
    return 0;
}
