/*
 * libFuzzer on scripts: a hostile one ends in an error, never in a crash or a fault of kdc.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "frontend/script.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = input_file(".lua", data, size);
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    const KdScriptOptions options = { .epochs = -1, .batch = -1, .seed = -1, .limit = -1 };
    KdScript *s = kd_script_load(path, &options, &d);
    if (s) kd_script_destroy(s);
    return 0;
}
