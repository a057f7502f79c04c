/*
 * libFuzzer on SVHN's MATLAB files: read, or refused with an error that names the file.
 */
#include <string.h>

#include "runtime/host/formats.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = input_file(".mat", data, size);
    KdrtArray pair[2];
    KdrtError error = { "" };
    if (kdrt_svhn_read(path, pair, &error)) {
        kdrt_array_free(&pair[0]);
        kdrt_array_free(&pair[1]);
    } else if (!strstr(error.text, path)) {
        abort();
    }
    return 0;
}
