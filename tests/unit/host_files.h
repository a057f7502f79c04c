/* For tests of libkdrt_host: small files in the test's own folder, and their every truncation. */
#ifndef KD_TESTS_HOST_FILES_H
#define KD_TESTS_HOST_FILES_H

#include "runtime/host/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A new folder below the system's temporary one; remove it with remove_folder. */
static inline char *make_folder(void) {
    const char *base = getenv("TMPDIR");
    char *folder = malloc(512);
    snprintf(folder, 512, "%s/kdc-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static inline void remove_folder(char *folder) {
    char command[600];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
    free(folder);
}

static inline void put_bytes(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static inline unsigned char *get_bytes(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    unsigned char *data = malloc(1 << 20);
    *bytes = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

/* Reads the file of that path and frees what it got. */
typedef bool TryRead(const char *path, KdrtError *error);

/* Every proper prefix of the file must be refused with an error that names it. */
static inline void check_truncations(const char *path, TryRead *read) {
    size_t bytes;
    KdrtError error;
    char part[1024];
    unsigned char *data = get_bytes(path, &bytes);
    snprintf(part, sizeof part, "%s.part", path);
    assert_true(read(path, &error));
    for (size_t n = 0; n < bytes; n++) {
        put_bytes(part, data, n);
        error.text[0] = 0;
        assert_false(read(part, &error));
        assert_non_null(strstr(error.text, part));
    }
    free(data);
}

/* Every single changed byte must be read or refused, never crash. */
static inline void check_changed_bytes(const char *path, TryRead *read) {
    size_t bytes;
    KdrtError error;
    char part[1024];
    unsigned char *data = get_bytes(path, &bytes);
    snprintf(part, sizeof part, "%s.part", path);
    for (size_t n = 0; n < bytes; n++) {
        unsigned char kept = data[n];
        data[n] = kept ^ (unsigned char)(1u << n % 8);
        put_bytes(part, data, bytes);
        error.text[0] = 0;
        if (!read(part, &error)) assert_non_null(strstr(error.text, part));
        data[n] = kept;
    }
    free(data);
}

#endif
