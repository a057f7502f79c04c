/*
 * libFuzzer on archives that hold CIFAR's records: read, or refused with an error that names the
 * file.
 */
#include <string.h>

#include "runtime/host/formats.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = input_file(".tar", data, size);
    const KdrtCifar layout = { .labels = 1, .classes = 3, .rank = 3, .dim = { 3, 1, 2 } };
    KdrtMember member[2] = { { .name = "train.bin" }, { .name = "test.bin" } };
    KdrtArray pair[2];
    KdrtError error = { "" };
    if (!kdrt_archive_read(path, member, 2, &error)) {
        if (!strstr(error.text, path)) abort();
        return 0;
    }
    for (int k = 0; k < 2; k++) {
        if (!member[k].data || !kdrt_cifar_read(path, &member[k], 1, &layout, pair, &error))
            continue;
        kdrt_array_free(&pair[0]);
        kdrt_array_free(&pair[1]);
    }
    kdrt_archive_free(member, 2);
    return 0;
}
