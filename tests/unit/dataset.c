/*
 * Data sets: splits, shapes with and without extents of 1, and each way in which files and
 * spec can disagree.
 */
#include "runtime/host/dataset.h"
#include "runtime/host/contrast.h"
#include "runtime/host/normalize.h"
#include "runtime/kdrt.h"

#include "tests/unit/npy_file.h"

#include <math.h>

enum { TRAIN = 10, TEST = 4 };

/* Ten training and four test samples of 2x3 bytes, labels 0 to 2. */
static char *make_data(void) {
    char *folder = make_folder(), path[600];
    uint8_t x[TRAIN * 6], y[TRAIN];
    for (int k = 0; k < TRAIN * 6; k++) x[k] = (uint8_t)k;
    for (int k = 0; k < TRAIN; k++) y[k] = (uint8_t)(k % 3);
    const char *const names[] = { "train-x.npy", "train-y.npy", "test-x.npy", "test-y.npy" };
    KdrtArray arrays[] = { { KDRT_U8, 3, { TRAIN, 2, 3 }, x },
                           { KDRT_U8, 1, { TRAIN }, y },
                           { KDRT_U8, 3, { TEST, 2, 3 }, x },
                           { KDRT_U8, 1, { TEST }, y } };
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        write_npy(path, &arrays[k]);
    }
    return folder;
}

static KdrtDatasetSpec make_spec(const char *folder) {
    return (KdrtDatasetSpec){
        .name = "small",
        .format = "npy",
        .folders = { "/nonexistent", folder },
        .train_x = "train-x.npy",
        .train_y = "train-y.npy",
        .test_x = "test-x.npy",
        .test_y = "test-y.npy",
        .validation = 3,
        .dtype = KDRT_U8,
        .rank = 3,
        .dim = { 1, 2, 3 },
        .classes = 3,
    };
}

static void expect(const KdrtDatasetSpec *spec, const char *part) {
    KdrtDataset data;
    KdrtError error = { "" };
    assert_false(kdrt_dataset_read(spec, &data, &error));
    if (!strstr(error.text, part)) fail_msg("'%s' lacks '%s'", error.text, part);
}

static void check_splits(const KdrtDatasetSpec *spec, const int64_t expected[6]) {
    KdrtDataset data;
    KdrtError error = { "" };
    if (!kdrt_dataset_read(spec, &data, &error)) fail_msg("%s", error.text);
    const int64_t found[6] = { data.train.first,      data.train.count, data.validation.first,
                               data.validation.count, data.test.first,  data.test.count };
    assert_memory_equal(found, expected, sizeof found);
    assert_int_equal(data.x.rank, 4);
    assert_int_equal(data.x.dim[0], spec->test_x ? TRAIN + TEST : TRAIN);
    const uint8_t *x = data.x.data, *y = data.y.data;
    assert_int_equal(data.y.dtype, KDRT_U8);
    for (int k = 0; k < TRAIN; k++) {
        assert_int_equal(x[6 * k + 5], 6 * k + 5);
        assert_int_equal(y[k], k % 3);
    }
    if (spec->test_x) {
        assert_int_equal(x[6 * TRAIN], 0);
        assert_int_equal(y[TRAIN + 1], 1);
    }
    kdrt_dataset_free(&data);
}

static void splits(void **state) {
    (void)state;
    char *folder = make_data();
    KdrtDatasetSpec spec = make_spec(folder);
    check_splits(&spec, (const int64_t[]){ 0, 7, 7, 3, 10, 4 });
    spec.train = 5;
    spec.test = 3;
    check_splits(&spec, (const int64_t[]){ 0, 5, 7, 3, 10, 3 });
    spec.test_x = spec.test_y = NULL; /* tests from the train file */
    spec.train = 0;
    check_splits(&spec, (const int64_t[]){ 0, 4, 4, 3, 7, 3 });
    remove_folder(folder);
}

static void disagreements(void **state) {
    (void)state;
    char *folder = make_data(), path[600];
    KdrtDatasetSpec spec = make_spec(folder);
    spec.train = 8;
    expect(&spec, "found 10");
    spec = make_spec(folder);
    spec.test = 5;
    expect(&spec, "found 4");
    spec = make_spec(folder);
    spec.classes = 2;
    expect(&spec, "expected labels 0 to 1, found 2 for sample 2");
    spec = make_spec(folder);
    spec.dim[2] = 4;
    expect(&spec, "expected samples of u8[1,2,4], found an array of u8[10,2,3]");
    spec = make_spec(folder);
    spec.dtype = KDRT_F32;
    expect(&spec, "expected samples of f32");
    spec = make_spec(folder);
    spec.train_y = "test-y.npy";
    expect(&spec, "expected 10 labels");
    spec.train_y = "train-x.npy";
    expect(&spec, "one whole number per sample");
    spec = make_spec(folder);
    spec.test_y = NULL;
    expect(&spec, "no labels");
    spec = make_spec(folder);
    spec.train_x = "missing.npy";
    spec.package = "dataset-small";
    expect(&spec, "no missing.npy in /nonexistent");
    expect(&spec, "dataset-small");
    spec = make_spec(folder);
    spec.format = "xls";
    expect(&spec, "found xls");

    float x[TRAIN * 6] = { 0 };
    x[13] = NAN;
    KdrtArray array = { KDRT_F32, 2, { TRAIN, 6 }, x };
    KdrtError error;
    snprintf(path, sizeof path, "%s/train-x.npy", folder);
    write_npy(path, &array);
    spec = make_spec(folder);
    spec.dtype = KDRT_F32;
    spec.test_x = spec.test_y = NULL;
    expect(&spec, "in sample 2");
    x[13] = 0; /* flat samples fit any shape of as many elements */
    write_npy(path, &array);
    KdrtDataset data;
    assert_true(kdrt_dataset_read(&spec, &data, &error));
    kdrt_dataset_free(&data);
    remove_folder(folder);
}

/* Below folders of long names, as far as a path can say so. */
static void long_paths(void **state) {
    (void)state;
    char *folder = make_data(), name[201] = "", deep[5000], command[12000];
    memset(name, 'd', 200);
    snprintf(deep, sizeof deep, "%s/%s/%s", folder, name, name);
    snprintf(command, sizeof command, "mkdir -p %s && mv %s/*.npy %s", deep, folder, deep);
    assert_int_equal(system(command), 0);
    KdrtDatasetSpec spec = make_spec(deep);
    check_splits(&spec, (const int64_t[]){ 0, 7, 7, 3, 10, 4 });
    memset(deep, 'd', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    spec = make_spec(deep);
    expect(&spec, "small: the path ddd");
    expect(&spec, "is too long");
    remove_folder(folder);
}

/* Ten samples of two channels of two elements; the last one is no training sample. */
static void normalized(void **state) {
    (void)state;
    uint8_t x[10 * 4];
    float wide[10 * 4];
    KdrtError error;
    for (int row = 0; row < 10; row++) {
        const int sample[4] = { row < 9 ? 10 * row : 255, 7, row % 2, 4 + row % 2 };
        for (int k = 0; k < 4; k++) x[4 * row + k] = (uint8_t)sample[k];
        for (int k = 0; k < 4; k++) wide[4 * row + k] = (float)sample[k] + 1e6f;
    }
    KdrtDataset data = { .train = { 0, 9 }, .hash = 1 };
    data.x = (KdrtArray){ .dtype = KDRT_U8, .rank = 3, .dim = { 10, 2, 2 }, .data = x };
    assert_true(kdrt_dataset_normalize(&data, NULL, 0.5, &error));
    assert_null(data.mean);
    assert_true(kdrt_dataset_normalize(&data, "standard", 0.5, &error));
    const double p = 4.0 / 9, deviation = sqrt(p * (1 - p));
    const double mean[4] = { 40, 7, p, 4 + p },
                 sd[4] = { sqrt(6000.0 / 9), 1, deviation, deviation };
    for (int k = 0; k < 4; k++) {
        assert_true(fabs(data.mean[k] - 0.5 * mean[k]) < 1e-5);
        assert_true(fabs(data.rate[k] - (k == 1 ? 1 : 2 / sd[k])) < 1e-5);
    }
    assert_true(data.hash != 1);
    kdrt_free(data.mean);
    kdrt_free(data.rate);
    data.x.dtype = KDRT_F32;
    data.x.data = wide;
    assert_true(kdrt_dataset_normalize(&data, "channel", 1, &error));
    const double first = (40 + 7) / 2.0, second = 2 + p;
    const double varied[2] = { (6000.0 / 9 + 16.5 * 16.5 * 2) / 2, deviation * deviation + 4 };
    for (int k = 0; k < 4; k++) {
        assert_true(fabs(data.mean[k] - (k < 2 ? first : second) - 1e6) < 0.07);
        assert_true(fabs(data.rate[k] * sqrt(varied[k / 2]) - 1) < 1e-5);
    }
    kdrt_free(data.rate);
    kdrt_free(data.mean);
    assert_true(kdrt_dataset_normalize(&data, "mean", 1, &error));
    for (int k = 0; k < 4; k++) assert_true(data.rate[k] == 1);
    kdrt_free(data.rate);
    kdrt_free(data.mean);
}

/* The formula at one place, by a window of 9 x 9: Σ w f(x) over Σ w. */
static double around(const double *x, int row, int column, bool square) {
    double sum = 0, weights = 0;
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 11; i++)
            for (int j = 0; j < 7; j++) {
                double w = exp(-((i - row) * (i - row) + (j - column) * (j - column)) / 8.0);
                if (abs(i - row) > 4 || abs(j - column) > 4) continue;
                double v = x[(c * 11 + i) * 7 + j];
                sum += w * (square ? v * v : v);
                weights += w;
            }
    return sum / weights;
}

/* Three images of two channels: any, the same with other brightness and contrast, a flat one. */
static void local_contrast(void **state) {
    (void)state;
    enum { AREA = 11 * 7, SIZE = 2 * AREA };
    KdrtError error;
    uint8_t *x = kdrt_alloc(3 * SIZE);
    double v[SIZE], s[AREA], mean = 0, first[SIZE];
    for (int k = 0; k < SIZE; k++) {
        first[k] = x[k] = (uint8_t)(k * 37 % 101);
        x[SIZE + k] = (uint8_t)(2 * x[k] + 3);
        x[2 * SIZE + k] = 9;
    }
    KdrtDataset data = { .hash = 1 };
    data.x = (KdrtArray){ .dtype = KDRT_U8, .rank = 4, .dim = { 3, 2, 11, 7 }, .data = x };
    assert_true(kdrt_dataset_contrast(&data, &error));
    assert_int_equal(data.x.dtype, KDRT_F32);
    assert_true(data.hash != 1);
    const float *y = data.x.data;
    for (int k = 0; k < SIZE; k++) v[k] = first[k] - around(first, k % AREA / 7, k % 7, false);
    for (int k = 0; k < AREA; k++)
        mean += (s[k] = sqrt(around(v, k / 7, k % 7, true))) / (double)AREA;
    for (int k = 0; k < SIZE; k++) {
        assert_true(fabs(y[k] - v[k] / fmax(mean, s[k % AREA])) < 1e-5);
        assert_true(fabsf(y[k] - y[SIZE + k]) < 1e-5f);
        assert_true(y[2 * SIZE + k] == 0);
    }
    kdrt_free(data.x.data);
    data.x = (KdrtArray){ .dtype = KDRT_F32, .rank = 2, .dim = { 1, 1 }, .data = &mean };
    assert_false(kdrt_dataset_contrast(&data, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalized),    cmocka_unit_test(local_contrast), cmocka_unit_test(splits),
        cmocka_unit_test(disagreements), cmocka_unit_test(long_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
