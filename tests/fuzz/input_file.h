/*
 * For fuzz targets of functions that take a path: the input as a file, one a process.
 */
#ifndef KD_FUZZ_INPUT_FILE_H
#define KD_FUZZ_INPUT_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Writes the bytes into this process's own file, in memory where /dev/shm is, and returns its path.
 */
static inline const char *input_file(const char *suffix, const uint8_t *data, size_t size) {
    static char path[64];
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, sizeof path, "%s/kdc-fuzz-%ld%s", folder, (long)getpid(), suffix);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
    return path;
}

#endif
