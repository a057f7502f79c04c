/*
 * Vector math against libm in double precision: the error bounds that backend/vecmath.c states,
 * over ranges, special values and a tail; and random numbers against the runtime's.
 */
#include "jit_support.h"

#include <math.h>

#define COUNT 65543 /* odd: the last vector is masked */

typedef double Reference(double x);

/* Distance in units of the last place of the float nearest to `want`. */
static double ulps(float got, double want) {
    float nearest = (float)want;
    if (isnan(want) || isinf(nearest)) {
        return (isnan(want) && isnan(got)) || got == nearest ? 0 : INFINITY;
    }
    int exponent;
    frexp(want, &exponent);
    double unit = ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
    return fabs((double)got - want) / unit;
}

static void fill(float *x, double lo, double hi) {
    for (int k = 0; k < COUNT; k++) {
        x[k] = (float)(lo + (hi - lo) * k / (COUNT - 1));
    }
}

static void run_unary(const char *op, int bits, const float *x, float *y) {
    char text[512];
    snprintf(text, sizeof text,
             "kdc-ir 1\nfunc @f(%%x: f32[%d]) -> (f32[%d]) {\n  %%r = %s %%x : f32[%d]\n"
             "  return %%r\n}\n",
             COUNT, COUNT, op, COUNT);
    Jit j;
    jit_open(&j, text, "map", bits);
    j.args[0] = (void *)(uintptr_t)x;
    j.results[0] = y;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    jit_close(&j);
}

typedef struct Range {
    const char *op;
    Reference *reference;
    double lo, hi;
    double most;     /* ulps */
    double absolute; /* or this far off */
} Range;

static const Range ranges[] = {
    { "exp", exp, -104, 89, 2, 0 },       { "exp", exp, -1, 1, 2, 0 },
    { "log", log, 1e-3, 10, 2, 0 },       { "log", log, 1e-44, 1e-37, 2, 0 },
    { "log", log, 1, 3e38, 2, 0 },        { "log", log, 0.9, 1.1, 2, 0 },
    { "tanh", tanh, -12, 12, 4, 0 },      { "tanh", tanh, -1, 1, 4, 0 },
    { "sqrt", sqrt, 0, 100, 0.5, 0 },     { "sin", sin, -10, 10, 2, 1e-7 },
    { "sin", sin, -8192, 8192, 2, 1e-7 }, { "cos", cos, -10, 10, 2, 1e-7 },
    { "cos", cos, -8192, 8192, 2, 1e-7 }, { "sin", sin, 8191, 8e4, 2, 1e-7 },
    { "sin", sin, -3e38, 3e38, 2, 1e-7 }, { "cos", cos, -3e38, 3e38, 2, 1e-7 },
    { "floor", floor, -100, 100, 0, 0 },  { "floor", floor, -2e7, 2e7, 0, 0 },
};

static void test_error_bounds(void **state) {
    (void)state;
    float *x = kdrt_alloc(COUNT * sizeof *x), *y = kdrt_alloc(COUNT * sizeof *y);
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        fill(x, ranges[r].lo, ranges[r].hi);
        run_unary(ranges[r].op, 0, x, y);
        double worst = 0;
        float at = 0;
        for (int k = 0; k < COUNT; k++) {
            double want = ranges[r].reference((double)x[k]);
            double off = ulps(y[k], want);
            if (off > worst && fabs((double)y[k] - want) > ranges[r].absolute) {
                worst = off;
                at = x[k];
            }
        }
        print_message("%-5s [%g, %g]: %.2f ulp at %.9g\n", ranges[r].op, ranges[r].lo, ranges[r].hi,
                      worst, (double)at);
        assert_true(worst <= ranges[r].most);
    }
    kdrt_free(x);
    kdrt_free(y);
}

static void test_special_values(void **state) {
    (void)state;
    static const float special[] = { 0,  -0.0f,  INFINITY, -INFINITY, NAN,       1,
                                     -1, 1e-45f, 3e38f,    -0.5f,     8388607.5f };
    static const struct {
        const char *op;
        Reference *reference;
    } ops[] = {
        { "exp", exp },     { "log", log }, { "tanh", tanh }, { "sqrt", sqrt },
        { "floor", floor }, { "sin", sin }, { "cos", cos },
    };
    int n = (int)(sizeof special / sizeof *special);
    float *x = kdrt_alloc(COUNT * sizeof *x), *y = kdrt_alloc(COUNT * sizeof *y);
    for (int k = 0; k < COUNT; k++) {
        x[k] = special[k % n];
    }
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        run_unary(ops[o].op, 0, x, y);
        for (int k = 0; k < COUNT; k++) {
            assert_true(ulps(y[k], ops[o].reference((double)x[k])) <= 4);
        }
    }
    kdrt_free(x);
    kdrt_free(y);
}

/* Of all magnitudes, near and far beside each other; the one nearest to a multiple of pi/2. */
static void test_far_sines(void **state) {
    (void)state;
    float *x = kdrt_alloc(COUNT * sizeof *x), *y = kdrt_alloc(COUNT * sizeof *y);
    for (int k = 0; k < COUNT; k++) {
        float m = (float)((1 << 23) + (k * 7919) % (1 << 23));
        x[k] = ldexpf(k % 2 ? -m : m, (k / 5) % 150 - 45);
    }
    x[COUNT - 1] = ldexpf(16367173, 72);
    for (int o = 0; o < 2; o++) {
        run_unary(o ? "cos" : "sin", 0, x, y);
        for (int k = 0; k < COUNT; k++) {
            double want = o ? cos((double)x[k]) : sin((double)x[k]);
            double least = k == COUNT - 1 ? 0 : 1e-7;
            assert_true(ulps(y[k], want) <= 2 || fabs((double)y[k] - want) <= least);
        }
    }
    kdrt_free(x);
    kdrt_free(y);
}

/* Lanes are independent: other vector lengths give the same bits. */
static void test_widths_agree(void **state) {
    (void)state;
    float *x = kdrt_alloc(COUNT * sizeof *x);
    float *y = kdrt_alloc(COUNT * sizeof *y), *z = kdrt_alloc(COUNT * sizeof *z);
    static const char *const ops[] = { "exp", "log", "tanh", "sin" };
    fill(x, -20, 20);
    for (int k = 0; k < COUNT; k += 100) x[k] *= 1e4F;
    for (int o = 0; o < 4; o++) {
        run_unary(ops[o], 0, x, y);
        run_unary(ops[o], 128, x, z);
        assert_memory_equal(y, z, COUNT * sizeof *y);
    }
    kdrt_free(x);
    kdrt_free(y);
    kdrt_free(z);
}

/* r = a^b */
static void run_pow(int n, const float *a, const float *b, float *r) {
    char text[256];
    snprintf(text, sizeof text,
             "kdc-ir 1\nfunc @f(%%a: f32[%d], %%b: f32[%d]) -> (f32[%d]) {\n"
             "  %%r = pow %%a, %%b : f32[%d]\n  return %%r\n}\n",
             n, n, n, n);
    Jit j;
    jit_open(&j, text, "map", 0);
    j.args[0] = (void *)(uintptr_t)a;
    j.args[1] = (void *)(uintptr_t)b;
    j.results[0] = r;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    jit_close(&j);
}

static void test_pow(void **state) {
    (void)state;
    int n = 4099;
    float *a = kdrt_alloc((size_t)n * 4), *b = kdrt_alloc((size_t)n * 4);
    float *r = kdrt_alloc((size_t)n * 4);
    for (int k = 0; k < n; k++) {
        a[k] = k % 7 == 0 ? 0 : (float)(k % 101) / 20;
        b[k] = (float)(k % 37) / 3 - (a[k] > 0 ? 6 : -1);
    }
    a[1] = 0.999f;
    b[1] = 1000;
    run_pow(n, a, b, r);
    for (int k = 0; k < n; k++) {
        assert_true(ulps(r[k], pow((double)a[k], (double)b[k])) <= 1);
    }
    kdrt_free(a);
    kdrt_free(b);
    kdrt_free(r);
}

/* Each of them to the power of each. */
static void test_special_powers(void **state) {
    (void)state;
    static const float special[] = { 0, 1, 0.5f, 2, 1e-45f, 3e38f, INFINITY, NAN };
    static const float exponent[] = { 0, -0.0f, 1, -1, 0.5f, -2.5f, INFINITY, -INFINITY, NAN };
    enum { A = sizeof special / sizeof *special, B = sizeof exponent / sizeof *exponent };
    float *a = kdrt_alloc(A * B * 4), *b = kdrt_alloc(A * B * 4), *r = kdrt_alloc(A * B * 4);
    for (int k = 0; k < A * B; k++) {
        a[k] = special[k / B];
        b[k] = exponent[k % B];
    }
    run_pow(A * B, a, b, r);
    for (int k = 0; k < A * B; k++) {
        double want = pow((double)a[k], (double)b[k]);
        if (ulps(r[k], want) > 1)
            fail_msg("pow(%g, %g) is %g, not %g", (double)a[k], (double)b[k], (double)r[k], want);
    }
    kdrt_free(a);
    kdrt_free(b);
    kdrt_free(r);
}

/* Rows of that many numbers, by vectors of so many bits. */
static void check_random_numbers(int width, int bits) {
    Jit j;
    KdArena *a = kd_arena_create();
    jit_open(&j,
             kd_arena_format(a,
                             "kdc-ir 1\nfunc @f(%%i: i32[B<=64] index, %%e: i32 epoch) -> "
                             "(f32[B,%d], f32[B,%d]) {\n"
                             "  %%u = rng.uniform %%i, %%e { stream = \"drop\" } : f32[B,%d]\n"
                             "  %%n = rng.normal %%i, %%e { stream = \"noise\" } : f32[B,%d]\n"
                             "  return %%u, %%n\n}\n",
                             width, width, width, width),
             "map", bits);
    int32_t *index = kdrt_alloc(64 * 4), epoch = 3;
    float *u = kdrt_alloc(64 * (size_t)width * 4), *g = kdrt_alloc(64 * (size_t)width * 4);
    for (int k = 0; k < 64; k++) {
        index[k] = k * 977 % 5000;
    }
    j.args[0] = index;
    j.args[1] = &epoch;
    j.results[0] = u;
    j.results[1] = g;
    j.frame.n = 61;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    uint32_t drop = kdrt_stream("drop"), noise = kdrt_stream("noise");
    for (int k = 0; k < 61 * width; k++) {
        uint32_t row = (uint32_t)index[k / width], element = (uint32_t)(k % width);
        assert_true(u[k] == kdrt_uniform(j.frame.seed, element, row, 3, drop));
        float want = kdrt_normal(j.frame.seed, element, row, 3, noise);
        assert_true(fabsf(g[k] - want) <= 1e-6f * (1 + fabsf(want)));
    }
    kdrt_free(index);
    kdrt_free(u);
    kdrt_free(g);
    kd_arena_destroy(a);
    jit_close(&j);
}

/* Lanes in fours that share a block, and others: rows that begin in the middle of one, several rows
 * in a vector, a row of part of it. */
static void test_random_numbers(void **state) {
    (void)state;
    static const int widths[] = { 37, 1, 2, 4, 6, 8, 9, 10, 12, 16, 20, 64 };
    for (int k = 0; k < 12; k++)
        for (int bits = 128; bits <= 512; bits *= 2) check_random_numbers(widths[k], bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_bounds),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_far_sines),
        cmocka_unit_test(test_widths_agree),
        cmocka_unit_test(test_pow),
        cmocka_unit_test(test_special_powers),
        cmocka_unit_test(test_random_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
