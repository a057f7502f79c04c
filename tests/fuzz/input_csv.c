/*
 * libFuzzer on tables of numbers, two columns and a label: read, or refused with an error that
 * names the file.
 */
#include <string.h>

#include "runtime/host/formats.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = input_file(".csv", data, size);
    const KdrtCsv layout = { .columns = 2, .label = 1, .classes = 3, .header = size % 2 };
    KdrtArray pair[2];
    KdrtError error = { "" };
    if (kdrt_csv_read(path, &layout, pair, &error)) {
        kdrt_array_free(&pair[0]);
        kdrt_array_free(&pair[1]);
    } else if (!strstr(error.text, path)) {
        abort();
    }
    return 0;
}
