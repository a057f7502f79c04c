/*
 * Augmentation by the interpreter: every sample is a mirrored, shifted, rescaled copy of what it
 * was; the choices are as probable as they should be (chi-squared at 1 in 10,000), change from
 * epoch to epoch, and depend on the sample's place in the data set alone.
 */
#include "frontend/script.h"
#include "ir/interp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 6, CROP = 2, SHIFTS = 2 * CROP + 1, ROWS = 2000 };

static const char text[] =
    "local kd = require 'kd'\n"
    "local data = kd.data.npy { train_x = 'x', train_y = 'y', input = { 2, 6, 6 }, classes = 2 }\n"
    "local net = kd.network('net', data.input, function(x) return kd.linear(kd.flatten(x), 2) "
    "end)\n"
    "return kd.train { network = net, data = data, batch = 2000, augment = kd.augment {\n"
    "  mirror = true, crop = 2, jitter = kd.param('jitter', 0) } }\n";

/* Element of sample r as it lies in the data set: never 0, all different within a sample. */
static double pixel(int row, int channel, int y, int x) {
    return 1 + (row % 7) + 10 * (x + SIZE * (y + SIZE * channel));
}

/* @objective's value "augmented" for that epoch, [ROWS, 2, SIZE, SIZE]. */
typedef struct Found {
    KdArena *arena;
    double *data;
    int64_t count;
} Found;

static bool watch(void *user, const KdInstr *i, const KdTensor *value) {
    Found *f = user;
    if (strcmp(i->results[0]->name, "augmented") != 0) return true;
    f->data = kd_arena_copy(f->arena, value->data, (size_t)value->count * sizeof *value->data);
    f->count = value->count;
    return false;
}

static void augment(const KdModule *m, int epoch, int first, KdArena *a, Found *found) {
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    found->arena = a;
    const KdFunc *f = kd_module_func(m, "objective");
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs), *results = KD_NEW_ARRAY(a, KdTensor, 1);
    for (int k = 0; k < f->nargs; k++) {
        const KdValue *v = f->args[k];
        args[k] = kd_tensor_create(a, v->type, ROWS, 2 * ROWS);
        if (!strcmp(v->name, "images"))
            for (int64_t e = 0; e < args[k].count; e++)
                args[k].data[e] = pixel((int)(e / (2 * SIZE * SIZE)), (int)(e / (SIZE * SIZE) % 2),
                                        (int)(e / SIZE % SIZE), (int)(e % SIZE));
        if (!strcmp(v->name, "index"))
            for (int64_t e = 0; e < ROWS; e++) args[k].data[e] = (double)(first + e);
        if (!strcmp(v->name, "epoch")) args[k].data[0] = epoch;
    }
    KdInterp in = { .arena = a, .seed = 1, .n = ROWS, .watch = watch, .user = found };
    kd_interpret(&in, f, args, results, &quiet);
    assert_non_null(found->data);
    assert_int_equal(found->count, ROWS * 2 * SIZE * SIZE);
}

static KdScript *load(const char *set, KdDiag *d) {
    char path[] = "/tmp/kdc-augment-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    FILE *f = fdopen(file, "w");
    fputs(text, f);
    fclose(f);
    const char *sets[] = { set };
    const KdScriptOptions o = { -1, -1, -1, -1, 1, sets, NULL };
    KdScript *s = kd_script_load(path, &o, d);
    unlink(path);
    assert_non_null(s);
    return s;
}

/* Is the sample its original, mirrored or not, moved by (dy, dx)? */
static bool is_moved(const double *sample, int row, bool mirrored, int dy, int dx) {
    for (int c = 0; c < 2; c++)
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x++) {
                int from_y = y - dy, from_x = x - dx;
                bool inside = from_y >= 0 && from_y < SIZE && from_x >= 0 && from_x < SIZE;
                if (mirrored) from_x = SIZE - 1 - from_x;
                double want = inside ? pixel(row, c, from_y, from_x) : 0;
                if (fabs(sample[x + SIZE * (y + SIZE * c)] - want) > 1e-4) return false;
            }
    return true;
}

/* Which of the 2 * SHIFTS * SHIFTS changes was made? */
static int change_of(const double *sample, int row) {
    for (int k = 0; k < 2 * SHIFTS * SHIFTS; k++)
        if (is_moved(sample, row, k % 2, k / 2 % SHIFTS - CROP, k / 2 / SHIFTS - CROP)) return k;
    fail_msg("sample %d is no mirrored and shifted copy of itself", row);
    return -1;
}

static double chi_squared(int n, const int *count) {
    double sum = 0, expected = (double)ROWS / n;
    for (int k = 0; k < n; k++) sum += (count[k] - expected) * (count[k] - expected) / expected;
    return sum;
}

static void choices_are_uniform(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdScript *s = load("jitter=0", &d);
    KdArena *a = kd_arena_create();
    Found found[3] = { { 0 } };
    augment(s->runs[0]->module, 0, 0, a, &found[0]);
    augment(s->runs[0]->module, 1, 0, a, &found[1]);
    augment(s->runs[0]->module, 0, 10, a, &found[2]);
    int mirrored[2] = { 0 }, rows[SHIFTS] = { 0 }, columns[SHIFTS] = { 0 }, same = 0;
    const int sample = 2 * SIZE * SIZE;
    for (int r = 0; r < ROWS; r++) {
        int k = change_of(found[0].data + r * sample, r);
        mirrored[k % 2]++;
        rows[k / 2 % SHIFTS]++;
        columns[k / 2 / SHIFTS]++;
        same += k == change_of(found[1].data + r * sample, r);
        if (r >= 10) /* the same sample at another place of the batch */
            assert_int_equal(k, change_of(found[2].data + (r - 10) * sample, r));
    }
    assert_true(chi_squared(2, mirrored) < 15.2);
    assert_true(chi_squared(SHIFTS, rows) < 23.6);
    assert_true(chi_squared(SHIFTS, columns) < 23.6);
    assert_true(same >= 10 && same <= 80); /* ROWS / 50 = 40 by chance */
    kd_arena_destroy(a);
    kd_script_destroy(s);
}

/* Contrast and brightness: one pair per channel of a sample, uniform in ±0.1. */
static void jitter_is_per_channel(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdScript *plain = load("jitter=0", &d), *jittered = load("jitter=0.1", &d);
    KdArena *a = kd_arena_create();
    Found before = { 0 }, after = { 0 };
    augment(plain->runs[0]->module, 0, 0, a, &before);
    augment(jittered->runs[0]->module, 0, 0, a, &after);
    const int area = SIZE * SIZE;
    double mean[2] = { 0 }, square[2] = { 0 };
    for (int k = 0; k < 2 * ROWS; k++) {
        const double *x = before.data + k * area, *y = after.data + k * area;
        int p = 0, q = 0; /* the smallest and the largest pixel give the line */
        for (int e = 1; e < area; e++) {
            if (x[e] < x[p]) p = e;
            if (x[e] > x[q]) q = e;
        }
        double slope = (y[q] - y[p]) / (x[q] - x[p]), level = y[p] - slope * x[p];
        for (int e = 0; e < area; e++) assert_true(fabs(slope * x[e] + level - y[e]) < 1e-3);
        double z[2] = { slope - 1, level };
        for (int n = 0; n < 2; n++) {
            assert_true(fabs(z[n]) <= 0.1 + 1e-5);
            mean[n] += z[n] / (2 * ROWS);
            square[n] += z[n] * z[n] / (2 * ROWS);
        }
    }
    for (int n = 0; n < 2; n++) { /* four standard errors around 0 and 0.1² / 3 */
        assert_true(fabs(mean[n]) < 4 * 0.1 / sqrt(3.0 * 2 * (double)ROWS));
        assert_true(fabs(square[n] - 0.01 / 3) < 4 * 0.01 * sqrt(4.0 / 45 / (2 * ROWS)));
    }
    kd_arena_destroy(a);
    kd_script_destroy(plain);
    kd_script_destroy(jittered);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_are_uniform),
        cmocka_unit_test(jitter_is_per_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
