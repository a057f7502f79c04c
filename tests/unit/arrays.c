/*
 * IDX and npy files: what NumPy writes is read, foreign variants are understood, and every
 * truncation, wrong magic, size or order gives an error.
 */
#include "runtime/host/array.h"
#include "runtime/host/hash.h"
#include "runtime/kdrt.h"

#include "tests/unit/npy_file.h"

#include <zlib.h>

static bool try_npy(const char *path, KdrtError *error) {
    KdrtArray array;
    bool done = kdrt_npy_read(path, &array, error);
    if (done) kdrt_array_free(&array);
    return done;
}

static bool try_idx(const char *path, KdrtError *error) {
    KdrtArray array;
    bool done = kdrt_idx_read(path, &array, error);
    if (done) kdrt_array_free(&array);
    return done;
}

static void expect(TryRead *read, const char *path, const char *part) {
    KdrtError error = { "" };
    assert_false(read(path, &error));
    if (!strstr(error.text, part)) fail_msg("'%s' lacks '%s'", error.text, part);
}

/* A version 1 file with that dict and these elements. */
static void put_npy(const char *path, const char *dict, const void *data, size_t bytes) {
    unsigned char file[512] = "\x93NUMPY\x01";
    size_t length = strlen(dict);
    file[8] = (unsigned char)length;
    memcpy(file + 10, dict, length);
    memcpy(file + 10 + length, data, bytes);
    put_bytes(path, file, 10 + length + bytes);
}

static void npy_round_trip(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s/x.npy", folder);
    float values[6] = { 0, 1.5f, -2, 3, 1e-20f, 5 };
    KdrtError error;
    for (int rank = 0; rank <= 3; rank++) {
        KdrtArray out = { KDRT_F32, rank, { rank == 1 ? 6 : rank == 3 ? 1 : 2, 3, 2 }, values }, in;
        write_npy(path, &out);
        assert_true(kdrt_npy_read(path, &in, &error));
        assert_int_equal(in.rank, rank);
        for (int k = 0; k < rank; k++) assert_int_equal(in.dim[k], out.dim[k]);
        assert_memory_equal(in.data, values, 4 * (size_t)kdrt_array_elements(&out));
        kdrt_array_free(&in);
        check_truncations(path, try_npy);
        check_changed_bytes(path, try_npy);
    }
    size_t bytes;
    unsigned char *file = get_bytes(path, &bytes);
    assert_int_equal(bytes, 128 + 6 * 4); /* elements begin at a multiple of 64 */
    assert_memory_equal(file,
                        "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, "
                        "'shape': (1,3,2), }",
                        65);
    free(file);
    remove_folder(folder);
}

static void npy_types(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s/x.npy", folder);
    KdrtError error;
    KdrtArray array;
    const int64_t wide[2] = { 7, -9 };
    put_npy(path, "{'shape': (2,), 'descr': '<i8', 'fortran_order': False}\n", wide, 16);
    assert_true(kdrt_npy_read(path, &array, &error));
    assert_int_equal(array.dtype, KDRT_I32);
    assert_int_equal(((int32_t *)array.data)[1], -9);
    kdrt_array_free(&array);
    const double precise[2] = { 0.5, 3 };
    put_npy(path, "{\"descr\": \"<f8\", \"fortran_order\": False, \"shape\": (1, 2)}", precise, 16);
    assert_true(kdrt_npy_read(path, &array, &error));
    assert_true(((float *)array.data)[0] == 0.5f);
    kdrt_array_free(&array);

    const int64_t large[1] = { INT64_C(1) << 40 };
    put_npy(path, "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", large, 8);
    expect(try_npy, path, "element 0");
    put_npy(path, "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", large, 4);
    expect(try_npy, path, "'>f4'");
    put_npy(path, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}", large, 8);
    expect(try_npy, path, "Fortran");
    put_npy(path, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", large, 8);
    expect(try_npy, path, "found 8 bytes");
    put_npy(path, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2)}",
            large, 8);
    expect(try_npy, path, "found 8 bytes");
    put_npy(path, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            large, 8);
    expect(try_npy, path, "expected a header");
    put_npy(path, "{'descr': '<f4', 'fortran_order': False}", large, 8);
    expect(try_npy, path, "expected a header");
    put_bytes(path, "<html>not a data file</html>", 28);
    expect(try_npy, path, "magic");
    expect(try_npy, folder, "found a folder");
    snprintf(path, sizeof path, "%s/none.npy", folder);
    expect(try_npy, path, "none.npy: cannot open");
    remove_folder(folder);
}

static const unsigned char idx_file[] = { 0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6 };

static void idx_plain(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s/x-idx2-ubyte", folder);
    KdrtError error;
    KdrtArray array;
    put_bytes(path, idx_file, sizeof idx_file);
    assert_true(kdrt_idx_read(path, &array, &error));
    assert_int_equal(array.dtype, KDRT_U8);
    assert_int_equal(array.rank, 2);
    assert_int_equal(array.dim[1], 3);
    assert_memory_equal(array.data, idx_file + 12, 6);
    kdrt_array_free(&array);
    check_truncations(path, try_idx);
    check_changed_bytes(path, try_idx);

    unsigned char file[sizeof idx_file + 1] = { 0 };
    memcpy(file, idx_file, sizeof idx_file);
    put_bytes(path, file, sizeof file);
    expect(try_idx, path, "found more");
    memset(file + 4, 255, 8);
    put_bytes(path, file, sizeof file);
    expect(try_idx, path, "too large");
    /* a shape of 193 GB in a file of 16 bytes: no memory is taken for it */
    const unsigned char liar[] = { 0, 0, 8, 2, 16, 0, 0, 0, 0, 0, 3, 3, 1, 2, 3, 4 };
    put_bytes(path, liar, sizeof liar);
    expect(try_idx, path, "too many for a file of 16");
    put_bytes(path, "<html>", 6);
    expect(try_idx, path, "0x3c68746d");
    const unsigned char words[] = { 0, 0, 0x0C, 1, 0, 0, 0, 1, 0, 0, 1, 2 };
    put_bytes(path, words, sizeof words);
    assert_true(kdrt_idx_read(path, &array, &error));
    assert_int_equal(*(int32_t *)array.data, 258);
    kdrt_array_free(&array);
    remove_folder(folder);
}

static void idx_gzip(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s/x-idx2-ubyte.gz", folder);
    gzFile f = gzopen(path, "wb");
    assert_int_equal(gzwrite(f, idx_file, sizeof idx_file), (int)sizeof idx_file);
    gzclose(f);
    check_truncations(path, try_idx);
    check_changed_bytes(path, try_idx);
    size_t bytes;
    unsigned char *file = get_bytes(path, &bytes);
    file[bytes - 8] ^= 1; /* the checksum */
    put_bytes(path, file, bytes);
    expect(try_idx, path, "gzip");
    free(file);
    remove_folder(folder);
}

/* Values of the reference implementation. */
static void hashes(void **state) {
    (void)state;
    unsigned char bytes[101];
    for (int k = 0; k < 101; k++) bytes[k] = (unsigned char)(k * 7);
    assert_true(kdrt_hash("", 0, 0) == 0xef46db3751d8e999u);
    assert_true(kdrt_hash("a", 1, 0) == 0xd24ec4f1a98c6e5bu);
    assert_true(kdrt_hash("abc", 3, 0) == 0x44bc2cf5ad770999u);
    assert_true(kdrt_hash(bytes, 101, 0) == 0x42312f4d55d9bd17u);
    assert_true(kdrt_hash(bytes, 101, 5) == 0x38d8b3bb4a8495bdu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_round_trip), cmocka_unit_test(npy_types), cmocka_unit_test(idx_plain),
        cmocka_unit_test(idx_gzip),       cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
