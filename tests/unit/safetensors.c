/*
 * safetensors: the layout byte by byte, files of other writers, and every promise of the format
 * broken once.
 */
#include "runtime/host/safetensors.h"
#include "runtime/host/atomic_file.h"
#include "runtime/kdrt.h"

#include "tests/unit/host_files.h"

#include <sys/stat.h>

static bool try_tensors(const char *path, KdrtError *error) {
    KdrtTensors tensors;
    bool done = kdrt_tensors_read(path, &tensors, error);
    if (done) kdrt_tensors_free(&tensors);
    return done;
}

static void put_file(const char *path, const char *header, size_t data_bytes) {
    unsigned char file[2048] = { 0 };
    size_t length = strlen(header);
    file[0] = (unsigned char)length;
    file[1] = (unsigned char)(length >> 8);
    memcpy(file + 8, header, length);
    for (size_t k = 0; k < data_bytes; k++) file[8 + length + k] = (unsigned char)k;
    put_bytes(path, file, 8 + length + data_bytes);
}

static void layout(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    KdrtError error = { "" };
    const float weight[6] = { 1, 2, 3, 4, 5, 6 }, scalar = 7;
    KdrtTensor tensors[] = {
        { "fc1.weight", "F32", 2, { 2, 3 }, weight, sizeof weight },
        { "scale", "F32", 0, { 0 }, &scalar, 4 },
        { "none", "F32", 2, { 0, 3 }, NULL, 0 },
    };
    KdrtPair metadata[] = { { "step", "12" }, { "name", "a\"b" } };
    KdrtTensors out = { 3, tensors, 2, metadata, NULL, NULL };
    assert_true(kdrt_tensors_write(path, &out, &error));

    const char *header =
        "{\"__metadata__\":{\"step\":\"12\",\"name\":\"a\\\"b\"},"
        "\"fc1.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"scale\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[28,28]}}";
    size_t bytes, length = strlen(header);
    unsigned char *file = get_bytes(path, &bytes);
    size_t padded = (8 + length + 63) / 64 * 64;
    assert_int_equal(bytes, padded + 28);
    assert_int_equal(file[0] + 256 * file[1], padded - 8);
    for (int k = 2; k < 8; k++) assert_int_equal(file[k], 0);
    assert_memory_equal(file + 8, header, length);
    for (size_t k = 8 + length; k < padded; k++) assert_int_equal(file[k], ' ');
    assert_memory_equal(file + padded, weight, 24);
    assert_memory_equal(file + padded + 24, &scalar, 4);
    free(file);

    KdrtTensors in;
    assert_true(kdrt_tensors_read(path, &in, &error));
    assert_int_equal(in.ntensors, 3);
    const KdrtTensor *t = kdrt_tensors_find(&in, "fc1.weight");
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dim[1], 3);
    assert_memory_equal(t->data, weight, sizeof weight);
    assert_int_equal((uintptr_t)t->data % 64, 0);
    assert_string_equal(kdrt_tensors_meta(&in, "name"), "a\"b");
    assert_null(kdrt_tensors_meta(&in, "none"));
    assert_null(kdrt_tensors_find(&in, "fc2.weight"));
    kdrt_tensors_free(&in);
    check_truncations(path, try_tensors);
    check_changed_bytes(path, try_tensors);
    remove_folder(folder);
}

/* Header, bytes of data, what the error has to say; NULL: a good file. */
static const struct {
    const char *header;
    size_t bytes;
    const char *error;
} files[] = {
    { "{}", 0, NULL },
    { "{}   ", 0, NULL },
    { "{\"b\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[1,9]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
      9, NULL },
    { "{}x", 0, "expected a JSON object" },
    { " {}", 0, "expected a JSON object" },
    { "[1]", 0, "expected a JSON object" },
    { "{\"a\":1}", 0, "expected dtype" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "expected dtype" },
    { "{\"a\":{\"dtype\":\"Q4\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype 'Q4'" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "expected 8 bytes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "expected 4 bytes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "within 3 bytes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "data_offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "whole extents" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole extents" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],"
      "\"data_offsets\":[0,0]}}",
      0, "2^40" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
      "at most 8" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "at byte 0" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "expected 4 bytes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      4, "to begin at byte 4" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
      8, "twice" },
    { "{\"__metadata__\":{\"step\":12}}", 0, "expected a string" },
    { "{\"__metadata__\":[]}", 0, "one object" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "one object" },
};

static void promises(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        KdrtError error = { "" };
        put_file(path, files[k].header, files[k].bytes);
        bool done = try_tensors(path, &error);
        if (files[k].error && (done || !strstr(error.text, files[k].error))) {
            fail_msg("%s gives '%s'", files[k].header, error.text);
        }
        if (!files[k].error && !done) fail_msg("%s gives '%s'", files[k].header, error.text);
    }
    KdrtTensors in;
    KdrtError error;
    put_file(path, files[2].header, 9);
    assert_true(kdrt_tensors_read(path, &in, &error));
    assert_string_equal(in.tensors[0].name, "a"); /* in the order of their data */
    assert_int_equal(*((const unsigned char *)in.tensors[1].data + 7), 8);
    kdrt_tensors_free(&in);
    /* a header length beyond every file */
    put_bytes(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_false(try_tensors(path, &error));
    remove_folder(folder);
}

static void atomic_files(void **state) {
    (void)state;
    char *folder = make_folder(), path[600], below[700];
    KdrtError error = { "" };
    size_t bytes;
    snprintf(path, sizeof path, "%s/a/b/c", folder);
    assert_true(kdrt_make_folders(path, &error));
    assert_true(kdrt_make_folders(path, &error));
    snprintf(below, sizeof below, "%s/file", path);
    assert_true(kdrt_file_write(below, &(KdrtPiece){ "old", 3 }, 1, &error));
    assert_true(kdrt_file_write(below, (const KdrtPiece[]){ { "ne", 2 }, { "w!", 2 } }, 2, &error));
    char *text = kdrt_file_read(below, 100, &bytes, &error);
    assert_int_equal(bytes, 4);
    assert_string_equal(text, "new!");
    kdrt_free(text);
    assert_null(kdrt_file_read(below, 3, &bytes, &error));
    assert_non_null(strstr(error.text, "at most 3 bytes"));
    assert_false(kdrt_make_folders(below, &error)); /* a file is there */
    snprintf(below, sizeof below, "%s/none/file", path);
    assert_false(kdrt_file_write(below, &(KdrtPiece){ "x", 1 }, 1, &error));
    assert_non_null(strstr(error.text, "cannot create"));
    /* a folder in the way: no temporary file stays behind */
    snprintf(below, sizeof below, "%s/a/b", folder);
    assert_false(kdrt_file_write(below, &(KdrtPiece){ "x", 1 }, 1, &error));
    assert_non_null(strstr(error.text, "cannot write"));
    snprintf(below, sizeof below, "ls -A '%s/a' | wc -l | grep -qx 1", folder);
    assert_int_equal(system(below), 0);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),
        cmocka_unit_test(promises),
        cmocka_unit_test(atomic_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
