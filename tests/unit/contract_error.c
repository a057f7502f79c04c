/*
 * The error of every kind of contraction against sums in double precision, with data of mixed signs
 * and sizes. A sum of k products by fused multiply-adds in any order is within
 *
 *     k·u / (1 - k·u) · Σ |a|·|b|        u = 2^-24     (Higham 2002, §3.1)
 *
 * so the bound grows with the length of the sum, and Σ |a|·|b| is the same contraction of absolute
 * values, by the interpreter. Some error must be seen as well: a test whose data cannot round
 * proves nothing.
 */
#include "jit_support.h"

#include <math.h>
#include <stdio.h>

#include "ir/interp.h"

/* In [-1, 1), or four times as much now and then. */
static float draw(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    float x = (float)(*seed >> 8) * 0x1p-23f - 1;
    return *seed % 11 == 0 ? 4 * x : x;
}

/* Runs the function on n rows; the largest error in units of its bound. `k` products a sum. */
static double worst_error(const char *text, double k, int bits, int64_t n) {
    Jit j;
    jit_open(&j, text, "contract", bits);
    KdArena *a = kd_arena_create();
    KdTensor args[JIT_MAX], sizes[JIT_MAX], exact, bound;
    unsigned seed = 7;
    for (int p = 0; p < j.tensor->nargs; p++) {
        KdType t = j.tensor->args[p]->type;
        args[p] = kd_tensor_create(a, t, n, 0);
        sizes[p] = kd_tensor_create(a, t, n, 0);
        float *x = j.args[p] = kdrt_alloc((size_t)kd_type_bytes(t, n, 0));
        for (int64_t e = 0; e < args[p].count; e++) {
            x[e] = draw(&seed);
            args[p].data[e] = (double)x[e];
            sizes[p].data[e] = fabs((double)x[e]);
        }
    }
    float *got = j.results[0] = kdrt_alloc((size_t)kd_type_bytes(j.tensor->results[0]->type, n, 0));
    const KdInterp in = { .arena = a, .n = n };
    assert_true(kd_interpret(&in, j.tensor, args, &exact, &j.diag));
    assert_true(kd_interpret(&in, j.tensor, sizes, &bound, &j.diag));
    j.frame.n = (int32_t)n;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    double worst = 0, ku = k * 0x1p-24;
    for (int64_t e = 0; e < exact.count; e++) {
        double most = ku / (1 - ku) * bound.data[e] + 1e-45;
        double error = fabs((double)got[e] - exact.data[e]) / most;
        worst = error > worst ? error : worst;
    }
    for (int p = 0; p < j.tensor->nargs; p++) kdrt_free(j.args[p]);
    kdrt_free(got);
    kd_arena_destroy(a);
    jit_close(&j);
    return worst;
}

static void check_text(const char *text, double k, int64_t n, int bits) {
    double worst = worst_error(text, k, bits, n);
    if (!(worst <= 1) || worst < 1e-5)
        fail_msg("%g of the bound for sums of %g, vectors of %d bits, in\n%s", worst, k, bits,
                 text);
}

/* Cases take turns at the widths of vectors; a product of two numbers of bf16 is exact. */
static void check(const char *text, double k, int64_t n, int turn) {
    KdArena *a = kd_arena_create();
    check_text(text, k, n, 128 << turn % 3);
    check_text(jit_rounded(text, a), k, n, 128 << turn % 3);
    kd_arena_destroy(a);
}

static void test_matmul(void **state) {
    (void)state;
    static const int length[] = { 7, 100, 1000, 9001 };
    static const char *const index[] = { "a = [d0, d2], b = [d1, d2]", "a = [d0, d2], b = [d2, d1]",
                                         "a = [d2, d0], b = [d2, d1]" };
    char text[1024];
    for (int l = 0; l < 4; l++) {
        for (int kind = 0; kind < 3; kind++) {
            int k = length[l];
            snprintf(text, sizeof text,
                     "kdc-ir 1\nfunc @f(%%a: f32[%d,%d], %%b: f32[%d,%d]) -> (f32[13,37]) {\n"
                     "  %%r = contract %%a, %%b { over = [%d], %s } : f32[13,37]\n"
                     "  return %%r\n}\n",
                     kind == 2 ? k : 13, kind == 2 ? 13 : k, kind == 0 ? 37 : k, kind == 0 ? k : 37,
                     k, index[kind]);
            check(text, k, 1, l + kind);
        }
    }
}

/* Convolutions of `g` groups, each from c to o channels. */
typedef struct Conv {
    int g, c, o, size, kernel, stride, padding, dilation;
} Conv;

static void forward(Conv v, int y, int turn) {
    char text[1024];
    snprintf(text, sizeof text,
             "kdc-ir 1\nfunc @f(%%x: f32[B<=5,%d,%d,%d,%d], %%w: f32[%d,%d,%d,%d,%d]) -> "
             "(f32[B,%d,%d,%d,%d]) {\n"
             "  %%r = contract %%x, %%w { over = [%d,%d,%d], a = [d0, d1, d5, %d*d3 + %d*d6 - %d, "
             "%d*d4 + %d*d7 - %d], b = [d1, d2, d5, d6, d7] } : f32[B,%d,%d,%d,%d]\n"
             "  return %%r\n}\n",
             v.g, v.c, v.size, v.size, v.g, v.o, v.c, v.kernel, v.kernel, v.g, v.o, y, y, v.c,
             v.kernel, v.kernel, v.stride, v.dilation, v.padding, v.stride, v.dilation, v.padding,
             v.g, v.o, y, y);
    check(text, v.c * v.kernel * v.kernel, 5, turn);
}

static void backward_data(Conv v, int y, int turn) {
    char text[1024];
    snprintf(text, sizeof text,
             "kdc-ir 1\nfunc @f(%%g: f32[B<=5,%d,%d,%d,%d], %%w: f32[%d,%d,%d,%d,%d]) -> "
             "(f32[B,%d,%d,%d,%d]) {\n"
             "  %%r = contract %%g, %%w { over = [%d,%d,%d], a = [d0, d1, d5, "
             "(d3 - %d*d6 + %d)/%d, (d4 - %d*d7 + %d)/%d], b = [d1, d5, d2, d6, d7] } : "
             "f32[B,%d,%d,%d,%d]\n  return %%r\n}\n",
             v.g, v.o, y, y, v.g, v.o, v.c, v.kernel, v.kernel, v.g, v.c, v.size, v.size, v.o,
             v.kernel, v.kernel, v.dilation, v.padding, v.stride, v.dilation, v.padding, v.stride,
             v.g, v.c, v.size, v.size);
    check(text, v.o * v.kernel * v.kernel, 5, turn);
}

static void backward_weights(Conv v, int y, int turn) {
    char text[1024];
    snprintf(text, sizeof text,
             "kdc-ir 1\nfunc @f(%%x: f32[B<=5,%d,%d,%d,%d], %%g: f32[B,%d,%d,%d,%d]) -> "
             "(f32[%d,%d,%d,%d,%d]) {\n"
             "  %%r = contract %%x, %%g { over = [B,%d,%d], a = [d5, d0, d2, %d*d3 + %d*d6 - %d, "
             "%d*d4 + %d*d7 - %d], b = [d5, d0, d1, d6, d7] } : f32[%d,%d,%d,%d,%d]\n"
             "  return %%r\n}\n",
             v.g, v.c, v.size, v.size, v.g, v.o, y, y, v.g, v.o, v.c, v.kernel, v.kernel, y, y,
             v.dilation, v.stride, v.padding, v.dilation, v.stride, v.padding, v.g, v.o, v.c,
             v.kernel, v.kernel);
    check(text, 5.0 * y * y, 5, turn);
}

static void test_convolution(void **state) {
    (void)state;
    static const Conv conv[] = {
        { 1, 3, 19, 13, 5, 1, 2, 1 }, /* a first layer */
        { 1, 17, 6, 11, 3, 1, 0, 1 }, /* unpadded: its adjoint is a product and a fold */
        { 1, 5, 7, 12, 3, 2, 1, 1 },  /* strided */
        { 1, 4, 5, 11, 1, 2, 0, 1 },  /* strided, and most residues have no tap */
        { 1, 6, 5, 14, 3, 3, 2, 2 },  /* strided and dilated */
        { 1, 40, 33, 9, 3, 1, 2, 2 }, /* dilated */
        { 3, 4, 6, 9, 3, 1, 1, 1 },   /* grouped */
        { 9, 1, 1, 10, 3, 2, 1, 1 },  /* depthwise, */
        { 6, 1, 1, 24, 3, 1, 1, 1 },  /* and so large that its weights' gradient runs along lanes */
        { 1, 24, 20, 16, 3, 1, 1, 1 }, /* by Winograd's products */
        { 1, 90, 70, 9, 3, 1, 1, 1 },  { 1, 300, 40, 8, 3, 1, 0, 1 },
    };
    for (size_t k = 0; k < sizeof conv / sizeof *conv; k++) {
        Conv v = conv[k];
        int y = (v.size + 2 * v.padding - v.dilation * (v.kernel - 1) - 1) / v.stride + 1;
        forward(v, y, (int)k);
        backward_data(v, y, (int)k + 1);
        backward_weights(v, y, (int)k + 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_matmul),
                                        cmocka_unit_test(test_convolution) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
