/*
 * Files with samples and labels in one: CIFAR's records, CSV, SVHN's MATLAB file, archives of them,
 * MD5 sums; and each of them cut, lied about and damaged.
 */
#define _DEFAULT_SOURCE /* mincore */
#include "runtime/host/formats.h"
#include "runtime/host/apart.h"
#include "runtime/host/dataset.h"
#include "runtime/host/md5.h"
#include "runtime/kdrt.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/unit/host_files.h"

static const char *in_folder(const char *folder, const char *name) {
    static _Thread_local char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void expect_text(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("'%s' lacks '%s'", text, part);
}

static void shell(const char *folder, const char *command) {
    char line[1200];
    snprintf(line, sizeof line, "cd '%s' && %s", folder, command);
    assert_int_equal(system(line), 0);
}

/* --- CIFAR --------------------------------------------------------------------------------- */

enum { PIXELS = 12, RECORD = PIXELS + 2 };

/* `n` records of two labels and a 3x2x2 image whose bytes count on from `first`. */
static void put_records(const char *path, int n, int first) {
    unsigned char data[16 * RECORD];
    for (int k = 0; k < n; k++) {
        data[k * RECORD] = (unsigned char)(k % 2);
        data[k * RECORD + 1] = (unsigned char)(k % 5);
        for (int p = 0; p < PIXELS; p++)
            data[k * RECORD + 2 + p] = (unsigned char)(first + k * PIXELS + p);
    }
    put_bytes(path, data, (size_t)n * RECORD);
}

static KdrtDatasetSpec cifar_spec(const char *folder) {
    return (KdrtDatasetSpec){
        .name = "small",
        .format = "cifar",
        .folders = { folder },
        .archive = "small.tar.gz",
        .inside = "batches",
        .train_x = "one.bin,two.bin",
        .test_x = "test.bin",
        .labels = 2,
        .label = 1,
        .dtype = KDRT_U8,
        .rank = 3,
        .dim = { 3, 2, 2 },
        .classes = 5,
    };
}

static void expect_data(const KdrtDatasetSpec *spec, const char *part) {
    KdrtDataset data;
    KdrtError error = { "" };
    assert_false(kdrt_dataset_read(spec, &data, &error));
    expect_text(error.text, part);
}

/* Two training files of 3 and 2 records and a test file of 1, in that order. */
static void check_records(const KdrtDatasetSpec *spec) {
    KdrtDataset data;
    KdrtError error = { "" };
    if (!kdrt_dataset_read(spec, &data, &error)) fail_msg("%s", error.text);
    assert_int_equal(data.train.count, 5);
    assert_int_equal(data.test.count, 1);
    const int labels[6] = { 0, 1, 2, 0, 1, 0 }, first[6] = { 0, 12, 24, 100, 112, 200 };
    for (int k = 0; k < 6; k++) {
        assert_int_equal(((uint8_t *)data.y.data)[k], labels[k]);
        assert_int_equal(((uint8_t *)data.x.data)[k * PIXELS], first[k]);
        assert_int_equal(((uint8_t *)data.x.data)[k * PIXELS + 11], first[k] + 11);
    }
    assert_int_equal((uintptr_t)data.x.data % KDRT_ALIGN, 0);
    kdrt_dataset_free(&data);
}

static void cifar(void **state) {
    (void)state;
    char *folder = make_folder();
    shell(folder, "mkdir batches");
    put_records(in_folder(folder, "batches/two.bin"), 2, 100);
    put_records(in_folder(folder, "batches/one.bin"), 3, 0);
    put_records(in_folder(folder, "batches/test.bin"), 1, 200);
    KdrtDatasetSpec spec = cifar_spec(folder);
    check_records(&spec); /* unpacked, below the folder */
    shell(folder, "tar czf small.tar.gz batches/two.bin batches/test.bin batches/one.bin && "
                  "mv batches kept");
    check_records(&spec);
    const char *const sums[] = { "small.tar.gz=d41d8cd98f00b204e9800998ecf8427e", NULL };
    spec.md5 = sums;
    expect_data(&spec,
                "small.tar.gz: expected the MD5 sum d41d8cd98f00b204e9800998ecf8427e, found");
    spec.md5 = NULL;
    spec.label = 0;
    spec.classes = 1;
    expect_data(&spec,
                "small.tar.gz: one.bin: expected labels 0 to 0, found 1 at byte 14 (record 1)");
    spec.dim[0] = 4;
    expect_data(&spec,
                "one.bin: expected records of 18 bytes, found 6 bytes at the end, from byte 36");
    spec = cifar_spec(folder);
    spec.test_x = "tests.bin";
    expect_data(&spec, "small.tar.gz: expected a file tests.bin in it, found none");
    shell(folder, "head -c 120 small.tar.gz > cut && mv cut small.tar.gz");
    expect_data(&spec, "small.tar.gz: ");
    shell(folder, "echo nothing > small.tar.gz");
    expect_data(&spec, "small.tar.gz: ");
    shell(folder, "rm small.tar.gz");
    expect_data(&spec, "small: no one.bin or small.tar.gz in ");
    remove_folder(folder);
}

/* --- archives ------------------------------------------------------------------------------- */

/* Zeros that xz makes six thousand times smaller, of which memory must not be taken. */
static void archive_sizes(void **state) {
    (void)state;
    char *folder = make_folder();
    KdrtDatasetSpec spec = cifar_spec(folder);
    shell(folder, "head -c 8000000 /dev/zero > one.bin && touch two.bin test.bin && "
                  "tar cJf small.tar.gz *.bin && rm *.bin");
    expect_data(&spec, "small.tar.gz: one.bin: more than ");
    remove_folder(folder);
}

/* A compression that libarchive leaves to a program of that name. */
static void archive_programs(void **state) {
    (void)state;
    char *folder = make_folder(), search[4096];
    const char *before = getenv("PATH");
    snprintf(search, sizeof search, "%s:%s", folder, before ? before : "");
    shell(folder, "printf '#!/bin/sh\\ntouch %s/started\\n' \"$PWD\" > lrzip && chmod +x lrzip && "
                  "printf 'LRZI\\0\\006%090d' 0 > small.tar.gz");
    char *kept = strdup(before ? before : "");
    setenv("PATH", search, 1);
    KdrtDatasetSpec spec = cifar_spec(folder);
    expect_data(&spec, "small.tar.gz: expected a tar or zip archive");
    setenv("PATH", kept, 1);
    free(kept);
    assert_int_not_equal(access(in_folder(folder, "started"), F_OK), 0);
    remove_folder(folder);
}

/* --- CSV ----------------------------------------------------------------------------------- */

static bool try_csv(const char *path, const KdrtCsv *layout, KdrtError *error) {
    KdrtArray pair[2];
    if (!kdrt_csv_read(path, layout, pair, error)) return false;
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    return true;
}

static void csv(void **state) {
    (void)state;
    static const struct {
        const char *text, *message; /* NULL: it is right */
    } cases[] = {
        { "1,0.5,-2e3\n0, 7 ,1\r\n\n", NULL },
        { "1.0,0.5,-2e3", NULL },
        { "\xEF\xBB\xBF"
          "1,0.5,-2e3\n",
          NULL },
        { "1,0.5,-2e3\n\xEF\xBB\xBF"
          "1,2,3\n",
          ":2: column 1 (the line begins at byte 11): " },
        { "", ": expected lines of numbers, found none" },
        { "1,2,3\n1,2\n",
          ":2: column 2 (the line begins at byte 6): expected 3 columns, found 'the "
          "end of the line'" },
        { "1,2,3,4\n",
          ":1: column 3 (the line begins at byte 0): expected the end of the line after "
          "3 columns, found '4'" },
        { "1,2,x\n",
          ":1: column 3 (the line begins at byte 0): expected a finite number, found 'x'" },
        { "1,,3\n", "column 2 (the line begins at byte 0): expected a finite number, found ''" },
        { "1,nan,3\n",
          "column 2 (the line begins at byte 0): expected a finite number, found 'nan'" },
        { "1,1e99,3\n", "expected a finite number, found '1e99'" },
        { "1,2 3,3\n", "expected a finite number, found '2 3'" },
        { "2,2,3\n",
          "column 1 (the line begins at byte 0): expected a label, a whole number from 0 "
          "to 1, found '2'" },
        { "0.5,2,3\n", "expected a label, a whole number from 0 to 1, found '0.5'" },
    };
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s", in_folder(folder, "table.csv"));
    const KdrtCsv layout = { .columns = 2, .label = 0, .classes = 2 };
    KdrtError error;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        put_bytes(path, cases[k].text, strlen(cases[k].text));
        bool done = try_csv(path, &layout, &error);
        if (done != !cases[k].message) fail_msg("case %zu: %s", k, done ? "read" : error.text);
        if (done) continue;
        expect_text(error.text, path);
        expect_text(error.text, cases[k].message);
    }
    remove_folder(folder);
}

static void csv_gzip(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s", in_folder(folder, "table.csv"));
    const KdrtCsv layout = { .columns = 2, .label = 1, .classes = 5, .header = true };
    KdrtError error = { "" };
    KdrtArray pair[2];
    put_bytes(path, "a,b,c\n1.5,4,2\n-3,0,8\n", 21);
    shell(folder, "gzip table.csv");
    snprintf(path, sizeof path, "%s", in_folder(folder, "table.csv.gz"));
    if (!kdrt_csv_read(path, &layout, pair, &error)) fail_msg("%s", error.text);
    const float x[4] = { 1.5f, 2, -3, 8 };
    const int32_t y[2] = { 4, 0 };
    assert_int_equal(pair[0].dim[0], 2);
    assert_memory_equal(pair[0].data, x, sizeof x);
    assert_memory_equal(pair[1].data, y, sizeof y);
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    shell(folder, "head -c 40 table.csv.gz > cut && mv cut table.csv.gz");
    assert_false(try_csv(path, &layout, &error));
    expect_text(error.text, "table.csv.gz");
    remove_folder(folder);
}

/* Neither within a file nor where it ends without the end of a line. */
static void csv_zero_bytes(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s", in_folder(folder, "table.csv"));
    const KdrtCsv layout = { .columns = 2, .label = 1, .classes = 5, .header = true };
    KdrtError error = { "" };
    put_bytes(path, "a,b,c\n1,2,3\n\0\n", 14);
    assert_false(try_csv(path, &layout, &error));
    expect_text(error.text, "table.csv:3: the line from byte 12 on ");
    put_bytes(path, "a,b,c\n1,2,3\0rubbish,,", 21);
    assert_false(try_csv(path, &layout, &error));
    expect_text(error.text, "table.csv:2: the line from byte 6 on ");
    expect_text(error.text, "holds a zero byte");
    remove_folder(folder);
}

/* --- SVHN ---------------------------------------------------------------------------------- */

enum { H = 2, W = 3, C = 3, N = 4 };

typedef struct Mat {
    unsigned char bytes[1024];
    size_t n;
} Mat;

static void add_word(Mat *m, uint32_t word) {
    for (int k = 0; k < 4; k++) m->bytes[m->n++] = (unsigned char)(word >> 8 * k);
}

/* One element of MATLAB's level 5 format: type, size, data, padded to 8 bytes. */
static void add_element(Mat *m, uint32_t type, const void *data, uint32_t bytes) {
    add_word(m, type);
    add_word(m, bytes);
    memcpy(m->bytes + m->n, data, bytes);
    m->n += (bytes + 7) & ~7u;
}

/* The header, which ends with version and byte order. */
static void begin_mat(Mat *m) {
    *m = (Mat){ .n = 128 }; /* padding is zeros */
    memset(m->bytes, ' ', 124);
    memcpy(m->bytes, "MATLAB 5.0 MAT-file", 19);
    memcpy(m->bytes + 124, "\x00\x01IM", 4);
}

/* A matrix: flags, dimensions, name, real part. */
static void add_matrix(Mat *m, const char *name, uint32_t class, int rank, const uint32_t *dim,
                       const void *data) {
    uint32_t flags[2] = { class, 0 }, type = class == 9 ? 2 : 9, bytes = class == 9 ? 1 : 8;
    for (int k = 0; k < rank; k++) bytes *= dim[k];
    size_t start = m->n;
    add_word(m, 14);
    add_word(m, 0);
    add_element(m, 6, flags, 8);
    add_element(m, 5, dim, 4 * (uint32_t)rank);
    add_element(m, 1, name, (uint32_t)strlen(name));
    add_element(m, type, data, bytes);
    uint32_t size = (uint32_t)(m->n - start - 8);
    memcpy(m->bytes + start + 4, &size, 4);
}

static bool try_svhn(const char *path, KdrtError *error) {
    KdrtArray pair[2];
    if (!kdrt_svhn_read(path, pair, error)) return false;
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    return true;
}

/* Cells, a billion of them, in front of what is asked for: libmatio makes room for all before it
 * has seen one. */
static void greedy_svhn(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtError error = { "" };
    Mat m;
    begin_mat(&m);
    const uint32_t flags[2] = { 1, 0 }, dim[2] = { 1 << 15, 1 << 15 };
    add_word(&m, 14);
    add_word(&m, 56);
    add_element(&m, 6, flags, 8);
    add_element(&m, 5, dim, 8);
    add_element(&m, 1, "c", 1);
    add_word(&m, 14);
    add_word(&m, 0);
    snprintf(path, sizeof path, "%s", in_folder(folder, "train_32x32.mat"));
    put_bytes(path, m.bytes, m.n);
    assert_false(try_svhn(path, &error));
    expect_text(error.text, "train_32x32.mat: ");
    struct rusage children;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &children), 0);
#ifndef KD_ASAN
    assert_true(children.ru_maxrss < 512 << 10); /* KiB */
#endif
    remove_folder(folder);
}

static bool never_ends(const char *path, KdrtArray pair[2], KdrtError *error) {
    (void)path;
    (void)pair;
    (void)error;
    for (volatile bool on = true; on;) continue;
    return false;
}

/* Files that keep their reader busy are given up. */
static void endless(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtArray pair[2];
    KdrtError error = { "" };
    snprintf(path, sizeof path, "%s", in_folder(folder, "x.mat"));
    put_bytes(path, "x", 1);
    assert_false(kdrt_read_apart(never_ends, path, 1 << 20, pair, &error));
    expect_text(error.text, "x.mat: damaged: reading it ended with signal");
    expect_text(error.text, "CPU time limit exceeded");
    remove_folder(folder);
}

static void make_svhn(const char *path, double last_label, uint32_t images) {
    Mat m;
    begin_mat(&m);
    unsigned char x[H * W * C * N];
    for (size_t k = 0; k < sizeof x; k++) x[k] = (unsigned char)k;
    const double y[N] = { 1, 10, 9, last_label };
    const uint32_t x_dim[4] = { H, W, C, N }, y_dim[2] = { images, 1 };
    add_matrix(&m, "X", 9, 4, x_dim, x);
    add_matrix(&m, "y", 6, 2, y_dim, y);
    put_bytes(path, m.bytes, m.n);
}

/* Of no bytes there may be many planes; a damaged shape says so. */
static void empty_svhn(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtError error = { "" };
    Mat m;
    begin_mat(&m);
    const uint32_t dim[4] = { 0, 1 << 20, 1 << 20, 1 << 20 };
    add_matrix(&m, "X", 9, 4, dim, "");
    snprintf(path, sizeof path, "%s", in_folder(folder, "train_32x32.mat"));
    put_bytes(path, m.bytes, m.n);
    assert_false(try_svhn(path, &error));
    expect_text(error.text, "train_32x32.mat: X: its dimension 1 has no extent");
    remove_folder(folder);
}

/* Nor are a cell's or a struct's elements numbers: what matio keeps in their place it frees. */
static void svhn_of_other_types(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t class;
        const char *expect;
    } cases[] = {
        { "X", 1, "X: expected bytes, found another type" }, /* a cell */
        { "X", 2, "X: expected bytes, found another type" }, /* a struct */
        { "X", 6, "X: expected bytes, found another type" }, /* doubles */
        { "y", 1, "y: expected numbers, found another type" },
        { "y", 7, "y: expected numbers, found another type" }, /* floats */
    };
    char *folder = make_folder(), path[600];
    const uint32_t x_dim[4] = { 2, 1, 3, 1 }, y_dim[2] = { 1, 1 };
    const double data[6] = { 0 };
    snprintf(path, sizeof path, "%s", in_folder(folder, "x.mat"));
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        KdrtError error = { "" };
        Mat m;
        bool images = cases[k].name[0] == 'X';
        begin_mat(&m);
        add_matrix(&m, "X", images ? cases[k].class : 9, 4, x_dim, data);
        add_matrix(&m, "y", images ? 9 : cases[k].class, 2, y_dim, data);
        put_bytes(path, m.bytes, m.n);
        assert_false(try_svhn(path, &error));
        expect_text(error.text, cases[k].expect);
    }
    remove_folder(folder);
}

static void svhn(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtArray pair[2];
    KdrtError error = { "" };
    snprintf(path, sizeof path, "%s", in_folder(folder, "train_32x32.mat"));
    make_svhn(path, 2, N);
    if (!kdrt_svhn_read(path, pair, &error)) fail_msg("%s", error.text);
    const int64_t dim[4] = { N, C, H, W };
    const uint8_t labels[N] = { 1, 0, 9, 2 }, *x = pair[0].data;
    assert_memory_equal(pair[0].dim, dim, sizeof dim);
    assert_memory_equal(pair[1].data, labels, N);
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            for (int h = 0; h < H; h++)
                for (int w = 0; w < W; w++)
                    assert_int_equal(x[((n * C + c) * H + h) * W + w],
                                     h + H * (w + W * (c + C * n)));
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    check_truncations(path, try_svhn);
    check_changed_bytes(path, try_svhn);
    size_t bytes;
    unsigned char *data = get_bytes(path, &bytes);
    data[bytes - 8 * N - 8] = 77; /* no type of elements: nothing is read */
    put_bytes(path, data, bytes);
    free(data);
    assert_false(try_svhn(path, &error));
    expect_text(error.text, "y: expected labels 1 to 10, found 0 for sample 0");
    make_svhn(path, 11, N);
    assert_false(try_svhn(path, &error));
    expect_text(error.text, "y: expected labels 1 to 10, found 11 for sample 3");
    make_svhn(path, 2, N - 1);
    assert_false(try_svhn(path, &error));
    expect_text(error.text, "train_32x32.mat: expected 4 labels, as many as images, found 3");
    put_bytes(path, "no matrix", 9);
    assert_false(try_svhn(path, &error));
    expect_text(error.text, "train_32x32.mat: expected a MATLAB file");
    remove_folder(folder);
}

/* --- sums ---------------------------------------------------------------------------------- */

static void md5(void **state) {
    (void)state;
    /* RFC 1321, A.5, and lengths around the block */
    static const struct {
        int copies;
        const char *text, *sum;
    } cases[] = {
        { 1, "", "d41d8cd98f00b204e9800998ecf8427e" },
        { 1, "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { 8, "1234567890", "57edf4a22be3c955ac49da2e2107b67a" },
        { 55, "a", "ef1772b6dff9a122358552954ad0df65" },
        { 56, "a", "3b0c8ac703f828b04c6c197006d17218" },
        { 64, "a", "014842d480b571495a4a0363793f7367" },
        { 65536, "a", "2d61aa54b58c2e94403fb092c3dbc027" },
    };
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s", in_folder(folder, "file"));
    KdrtError error = { "" };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        FILE *f = fopen(path, "wb");
        for (int n = 0; n < cases[k].copies; n++) fputs(cases[k].text, f);
        fclose(f);
        if (!kdrt_md5_check(path, cases[k].sum, &error)) fail_msg("%s", error.text);
    }
    assert_false(kdrt_md5_check(path, cases[0].sum, &error));
    expect_text(error.text, "expected the MD5 sum d41d8cd98f00b204e9800998ecf8427e, found");
    remove_folder(folder);
}

static void grow(void **state) {
    (void)state;
    const size_t sizes[] = { 1, 100, 5000, 300000, 3000000, 9000000 };
    unsigned char *p = kdrt_alloc(sizes[0]);
    p[0] = 1;
    for (size_t k = 1; k < sizeof sizes / sizeof *sizes; k++) {
        p = kdrt_grow(p, sizes[k - 1], sizes[k]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % KDRT_ALIGN, 0);
        assert_int_equal(p[0], 1);
        assert_int_equal(p[sizes[k - 1] - 1], 1);
        assert_int_equal(p[sizes[k - 1]], 0);
        assert_int_equal(p[sizes[k] - 1], 0);
        p[sizes[k] - 1] = 1;
    }
    kdrt_free(p);
}

/* Zero, and not resident until touched, also where other things lay before. */
static void reserve(void **state) {
    (void)state;
    const size_t bytes = (size_t)64 << 20;
    unsigned char *p = kdrt_alloc(bytes);
    memset(p, 7, bytes);
    kdrt_free(p);
    p = kdrt_reserve(bytes);
    assert_int_equal((uintptr_t)p % KDRT_ALIGN, 0);
#ifdef __linux__
    unsigned char resident[1] = { 1 };
    assert_int_equal(mincore(p + bytes / 2, 1, resident), 0);
    assert_int_equal(resident[0] & 1, 0);
#endif
    for (size_t k = 0; k < bytes; k += 4095) assert_int_equal(p[k], 0);
    kdrt_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cifar),
        cmocka_unit_test(archive_sizes),
        cmocka_unit_test(archive_programs),
        cmocka_unit_test(csv),
        cmocka_unit_test(csv_gzip),
        cmocka_unit_test(csv_zero_bytes),
        cmocka_unit_test(svhn),
        cmocka_unit_test(greedy_svhn),
        cmocka_unit_test(empty_svhn),
        cmocka_unit_test(svhn_of_other_types),
        cmocka_unit_test(endless),
        cmocka_unit_test(md5),
        cmocka_unit_test(grow),
        cmocka_unit_test(reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
