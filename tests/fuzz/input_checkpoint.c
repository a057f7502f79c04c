/*
 * libFuzzer on checkpoints, whose checksum is set right: only what it guards is in doubt: read, or
 * refused with an error that names the file.
 */
#include <string.h>

#include "runtime/host/checkpoint.h"
#include "runtime/host/hash.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned char *bytes = malloc(size + 8);
    if (!bytes) return 0;
    memcpy(bytes, data, size);
    uint64_t sum = kdrt_hash(bytes, size, 0);
    for (int k = 0; k < 8; k++) bytes[size + (size_t)k] = (unsigned char)(sum >> 8 * k);
    const char *path = input_file("-12.kdck", bytes, size + 8);
    free(bytes);
    KdrtCheckpoint c;
    KdrtError error = { "" };
    if (kdrt_checkpoint_read(path, &c, &error)) {
        kdrt_checkpoint_free(&c);
    } else if (!strstr(error.text, path)) {
        abort();
    }
    return 0;
}
