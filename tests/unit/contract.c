/*
 * Contraction kernels against the interpreter, over odd shapes. The data are small whole numbers,
 * so every sum is exact and results must be equal, with operands rounded to bf16 too; a last test
 * looks at the bits of rounded sums.
 */
#include "jit_support.h"

#include <math.h>
#include <stdio.h>

#include "ir/interp.h"
#include "runtime/host/blas.h"

#define TEXT 4096

/* Whole numbers in -3 … 3. */
static void fill(float *x, int64_t count, unsigned seed) {
    for (int64_t k = 0; k < count; k++) {
        seed = seed * 1664525u + 1013904223u;
        x[k] = (float)((int)(seed >> 24) % 7 - 3);
    }
}

static void load_operand(KdType t, void *memory, double *data, int64_t count, unsigned seed) {
    float *x = calloc((size_t)count + 1, sizeof *x);
    fill(x, count, seed);
    for (int64_t k = 0; k < count; k++) {
        double v = t.dtype == KD_F32 ? (double)x[k] : fabs((double)x[k]);
        data[k] = v;
        if (t.dtype == KD_F32) {
            ((float *)memory)[k] = x[k];
        } else if (t.dtype == KD_I32) {
            ((int32_t *)memory)[k] = (int32_t)v;
        } else {
            ((unsigned char *)memory)[k] = (unsigned char)v;
        }
    }
    free(x);
}

static void expect_equal(const KdTensor *want, const void *got, const char *text) {
    for (int64_t k = 0; k < want->count; k++) {
        double g = want->type.dtype == KD_F32   ? (double)((const float *)got)[k]
                   : want->type.dtype == KD_I32 ? (double)((const int32_t *)got)[k]
                                                : (double)((const unsigned char *)got)[k];
        if (g != want->data[k]) {
            fail_msg("element %lld is %g, not %g, in\n%s", (long long)k, g, want->data[k], text);
        }
    }
}

/* Runs `text` as a contraction kernel for vectors of `bits`, with n rows of a batch of 40 rows of
 * data. */
static void check_by(const char *gemm, const char *text, int bits, int64_t n) {
    Jit j;
    jit_open_with(&j, text, "contract", bits,
                  (KdBackendOptions){ .gemm = gemm, .sgemm = kdrt_sgemm });
    KdArena *a = kd_arena_create();
    KdTensor args[JIT_MAX], results[JIT_MAX];
    int nargs = j.tensor->nargs, nresults = j.tensor->nresults;
    for (int k = 0; k < nargs; k++) {
        KdType t = j.tensor->args[k]->type;
        args[k] = kd_tensor_create(a, t, n, 40);
        j.args[k] = kdrt_alloc((size_t)kd_type_bytes(t, n, 40));
        load_operand(t, j.args[k], args[k].data, args[k].count, (unsigned)k + 1);
    }
    size_t bytes[JIT_MAX];
    for (int k = 0; k < nresults; k++) {
        bytes[k] = (size_t)kd_type_bytes(j.tensor->results[k]->type, n, 0);
        j.results[k] = kdrt_alloc(bytes[k] + 64);
        memset(j.results[k], 0xa5, bytes[k] + 64);
    }
    const KdInterp in = { .arena = a, .n = n };
    assert_true(kd_interpret(&in, j.tensor, args, results, &j.diag));
    j.frame.n = (int32_t)n;
    memset(j.frame.scratch, 0xff, j.frame.scratch_stride);
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    for (int k = 0; k < nresults; k++) {
        expect_equal(&results[k], j.results[k], text);
        for (int b = 0; b < 64; b++) { /* nothing behind a result is touched */
            assert_int_equal(((unsigned char *)j.results[k])[bytes[k] + (size_t)b], 0xa5);
        }
        kdrt_free(j.results[k]);
    }
    for (int k = 0; k < nargs; k++) {
        kdrt_free(j.args[k]);
    }
    kd_arena_destroy(a);
    jit_close(&j);
}

static void check(const char *text, int bits, int64_t n) {
    KdArena *a = kd_arena_create();
    check_by("native", text, bits, n);
    check_by("native", jit_rounded(text, a), bits, n);
    kd_arena_destroy(a);
    if (bits == 0) {
        check_by("openblas", text, bits, n);
    }
}

/* The text with sums of its result, over all dims but d1 of `left`, as another one; and with those
 * alone. */
static void check_summed(const char *text, const char *axes, int left, int bits, int64_t n) {
    if (left == 1) return; /* that is no side of the contraction */
    KdArena *a = kd_arena_create();
    const char *types = strstr(text, "-> (") + strlen("-> ("), *end = strstr(text, ") {"),
               *last = strstr(text, "  return %");
    char name = last[strlen("  return %")];
    const char *body =
        kd_arena_format(a, "%.*s  %%sum = reduce_sum %%%c { axes = [%s] } : f32[%d]\n",
                        (int)(last - end), end, name, axes, left);
    check(kd_arena_format(a, "%.*s, f32[%d]%s  return %%%c, %%sum\n}\n", (int)(end - text), text,
                          left, body, name),
          bits, n);
    check_by("native",
             kd_arena_format(a, "%.*sf32[%d]%s  return %%sum\n}\n", (int)(types - text), text, left,
                             body),
             bits, n);
    kd_arena_destroy(a);
}

static void matmul(int m, int n, int k, int transposed, int bits) {
    static const char *const a_index[] = { "d0, d2", "d2, d0" };
    static const char *const b_index[] = { "d2, d1", "d1, d2" };
    int ta = transposed & 1, tb = transposed >> 1;
    char text[TEXT];
    snprintf(text, sizeof text,
             "kdc-ir 1\nfunc @f(%%a: f32[%d,%d], %%b: f32[%d,%d]) -> (f32[%d,%d]) {\n"
             "  %%r = contract %%a, %%b { over = [%d], a = [%s], b = [%s] } : f32[%d,%d]\n"
             "  return %%r\n}\n",
             ta ? k : m, ta ? m : k, tb ? n : k, tb ? k : n, m, n, k, a_index[ta], b_index[tb], m,
             n);
    check(text, bits, 1);
}

static void test_matmul(void **state) {
    (void)state;
    static const int size[] = { 1, 7, 17, 33, 64, 100 };
    for (int i = 0; i < 6; i++) {
        for (int t = 0; t < 4; t++) {
            matmul(size[i], size[(i + t) % 6], size[(i * 2 + t) % 6], t, 0);
        }
        matmul(size[i], size[5 - i], size[(i + 3) % 6], i % 4, 256);
        matmul(size[i], size[(i + 2) % 6], size[(i + 1) % 6], i % 4, 128);
    }
    matmul(20, 40, 3000, 0, 0); /* several blocks of k */
    matmul(20, 40, 3000, 3, 0);
    matmul(512, 200, 70, 1, 0); /* steps of the broadcast side are pages apart */
    matmul(1024, 50, 35, 1, 256);
}

/* Tiles are other ones where there are fewer registers; panels of that many columns are shared. */
static void test_machines_below(void **state) {
    (void)state;
    for (int k = 0; k < TEST_MACHINES; k++) {
        if (!test_machines[k].cpu || !test_machine_runs(&test_machines[k])) continue;
        jit_machine = &test_machines[k];
        static const int rows[] = { 7, 26, 33, 41 };
        for (int r = 0; r < 4; r++) {
            matmul(rows[r], 512, 32, 1, 0);
            matmul(rows[r], 200, 33, r, 0);
        }
        jit_machine = NULL;
    }
}

/* x [B,in], w [out,in]: forward, gradient of x, gradient of w. */
static void test_linear(void **state) {
    (void)state;
    static const int shape[][2] = { { 33, 17 }, { 10, 100 }, { 65, 7 }, { 1, 64 } };
    for (int s = 0; s < 4; s++) {
        int out = shape[s][0], in = shape[s][1];
        char text[TEXT];
        for (int n = 1; n <= 40; n += 13) {
            snprintf(text, sizeof text,
                     "kdc-ir 1\nfunc @f(%%x: f32[B<=40,%d], %%w: f32[%d,%d], %%b: f32[%d]) -> "
                     "(f32[B,%d], bool[B,%d]) {\n"
                     "  %%c = contract %%x, %%w { over = [%d], a = [d0, d2], b = [d1, d2] } : "
                     "f32[B,%d]\n"
                     "  %%v = view %%b { at = [d1] } : f32[B,%d]\n"
                     "  %%s = add %%c, %%v : f32[B,%d]\n"
                     "  %%z = constant { value = 0 } : f32[B,%d]\n"
                     "  %%r = max %%s, %%z : f32[B,%d]\n"
                     "  %%m = lt %%z, %%s : bool[B,%d]\n"
                     "  return %%r, %%m\n}\n",
                     in, out, in, out, out, out, in, out, out, out, out, out, out);
            check(text, 0, n);
            snprintf(text, sizeof text,
                     "kdc-ir 1\nfunc @f(%%g: f32[B<=40,%d], %%w: f32[%d,%d]) -> (f32[B,%d]) {\n"
                     "  %%r = contract %%g, %%w { over = [%d], a = [d0, d2], b = [d2, d1] } : "
                     "f32[B,%d]\n"
                     "  return %%r\n}\n",
                     out, out, in, in, out, in);
            check(text, 0, n);
            snprintf(text, sizeof text,
                     "kdc-ir 1\nfunc @f(%%g: f32[B<=40,%d], %%x: f32[B,%d]) -> (f32[%d,%d]) {\n"
                     "  %%r = contract %%g, %%x { over = [B], a = [d2, d0], b = [d2, d1] } : "
                     "f32[%d,%d]\n"
                     "  return %%r\n}\n",
                     out, in, out, in, out, in);
            check(text, 0, n);
        }
    }
}

/* Few rows of x and a large w: the lanes of a vector are rows of x, which are no neighbours in the
 * result, since to transpose w would take longer. */
static void test_turned(void **state) {
    (void)state;
    static const char text[] =
        "kdc-ir 1\nfunc @f(%x: f32[B<=20,200], %w: f32[210,200], %b: f32[210]) -> (f32[B,210]) {\n"
        "  %c = contract %x, %w { over = [200], a = [d0, d2], b = [d1, d2] } : f32[B,210]\n"
        "  %v = view %b { at = [d1] } : f32[B,210]\n"
        "  %r = add %c, %v : f32[B,210]\n  return %r\n}\n";
    for (int n = 1; n <= 20; n += 6) check(text, n == 7 ? 256 : 0, n);
}

typedef struct Conv {
    int in, out, size, kernel, stride, padding, dilation;
} Conv;

static int out_size(Conv v) {
    return (v.size + 2 * v.padding - v.dilation * (v.kernel - 1) - 1) / v.stride + 1;
}

/* The index of a window: stride * outer + dilation * tap - padding. */
static void check_conv(Conv v, int bits, int n) {
    int y = out_size(v), c = v.in, o = v.out, h = v.size, k = v.kernel;
    char text[TEXT], at[2][64];
    for (int d = 0; d < 2; d++) {
        snprintf(at[d], sizeof at[d], "%d*d%d + %d*d%d - %d", v.stride, 2 + d, v.dilation, 5 + d,
                 v.padding);
    }
    snprintf(text, sizeof text,
             "kdc-ir 1\nfunc @f(%%x: f32[B<=5,%d,%d,%d], %%w: f32[%d,%d,%d,%d], %%b: f32[%d]) -> "
             "(f32[B,%d,%d,%d]) {\n"
             "  %%c = contract %%x, %%w { over = [%d,%d,%d], a = [d0, d4, %s, %s], b = [d1, d4, "
             "d5, d6] } "
             ": f32[B,%d,%d,%d]\n"
             "  %%v = view %%b { at = [d1] } : f32[B,%d,%d,%d]\n"
             "  %%r = add %%c, %%v : f32[B,%d,%d,%d]\n  return %%r\n}\n",
             c, h, h, o, c, k, k, o, o, y, y, c, k, k, at[0], at[1], o, y, y, o, y, y, o, y, y);
    check(text, bits, n);
    if (y > 1) check_summed(text, "0, 2, 3", o, bits, n);
    for (int d = 0; d < 2; d++) {
        snprintf(at[d], sizeof at[d], "(d%d - %d*d%d + %d)/%d", 2 + d, v.dilation, 5 + d, v.padding,
                 v.stride);
    }
    snprintf(
        text, sizeof text,
        "kdc-ir 1\nfunc @f(%%g: f32[B<=5,%d,%d,%d], %%w: f32[%d,%d,%d,%d]) -> (f32[B,%d,%d,%d]) {\n"
        "  %%r = contract %%g, %%w { over = [%d,%d,%d], a = [d0, d4, %s, %s], b = [d4, d1, d5, d6] "
        "} "
        ": f32[B,%d,%d,%d]\n  return %%r\n}\n",
        o, y, y, o, c, k, k, c, h, h, o, k, k, at[0], at[1], c, h, h);
    check(text, bits, n);
    if (h > 1) check_summed(text, "0, 2, 3", c, bits, n);
    for (int d = 0; d < 2; d++) {
        snprintf(at[d], sizeof at[d], "%d*d%d + %d*d%d - %d", v.dilation, 2 + d, v.stride, 5 + d,
                 v.padding);
    }
    snprintf(
        text, sizeof text,
        "kdc-ir 1\nfunc @f(%%x: f32[B<=5,%d,%d,%d], %%g: f32[B,%d,%d,%d]) -> (f32[%d,%d,%d,%d]) {\n"
        "  %%r = contract %%x, %%g { over = [B,%d,%d], a = [d4, d1, %s, %s], b = [d4, d0, d5, d6] "
        "} "
        ": f32[%d,%d,%d,%d]\n  return %%r\n}\n",
        c, h, h, o, y, y, o, c, k, k, y, y, at[0], at[1], o, c, k, k);
    check(text, bits, n);
}

static void test_convolution(void **state) {
    (void)state;
    static const Conv conv[] = {
        { 1, 3, 9, 3, 1, 0, 1 },   { 3, 5, 12, 5, 1, 2, 1 },  { 4, 7, 11, 3, 2, 1, 1 },
        { 2, 17, 13, 3, 1, 2, 2 }, { 5, 6, 8, 1, 1, 0, 1 },   { 3, 4, 7, 7, 1, 0, 1 },
        { 2, 3, 17, 3, 2, 0, 2 },  { 3, 16, 24, 5, 1, 2, 1 }, { 3, 5, 10, 3, 1, 0, 2 },
        { 5, 9, 12, 5, 1, 0, 1 },  { 4, 5, 3, 2, 1, 0, 1 },   { 3, 19, 16, 3, 1, 1, 1 },
        { 5, 16, 32, 5, 1, 2, 1 }, { 3, 21, 32, 3, 2, 1, 1 }, { 2, 8, 16, 3, 1, 2, 2 },
        { 6, 5, 8, 3, 2, 1, 1 },   { 4, 6, 15, 3, 3, 1, 1 },  { 3, 4, 12, 1, 2, 0, 1 },
        { 5, 7, 24, 6, 4, 1, 1 },  { 3, 5, 16, 3, 3, 1, 1 },  { 2, 9, 28, 5, 1, 0, 1 },
        { 2, 3, 34, 4, 2, 2, 1 },
    };
    for (int k = 0; k < (int)(sizeof conv / sizeof *conv); k++) {
        check_conv(conv[k], k % 3 == 2 ? 256 : 0, k % 2 ? 5 : 3);
    }
}

/* Planes that leave lanes of their vectors without work, whose samples share these. */
static void test_small_planes(void **state) {
    (void)state;
    static const Conv conv[] = {
        { 24, 40, 2, 3, 1, 1, 1 }, { 24, 33, 3, 3, 1, 1, 1 }, { 40, 40, 4, 3, 2, 1, 1 },
        { 96, 48, 3, 1, 1, 0, 1 }, { 96, 40, 2, 1, 1, 0, 1 }, { 32, 48, 6, 3, 2, 1, 1 },
        { 24, 40, 3, 2, 1, 0, 1 }, { 40, 32, 5, 3, 2, 1, 1 },
    };
    for (int k = 0; k < (int)(sizeof conv / sizeof *conv); k++)
        check_conv(conv[k], k % 3 == 2 ? 256 : 512, k % 2 ? 5 : 3);
    check_conv(conv[0], 128, 5);
}

/* The phases of a stride, put together before an epilogue that reads as the result lies: strides in
 * both dims, in the last one alone, in the first alone, and vectors that hold several lines. */
static void test_interleaved(void **state) {
    (void)state;
    static const struct {
        int height, width;
        const char *at;
    } of[] = { { 16, 32, "(d2 - d5 + 1)/2, (d3 - d6 + 1)/2" },
               { 6, 18, "d2 - d5 + 1, (d3 - d6 + 1)/3" },
               { 12, 10, "(d2 - d5 + 1)/2, d3 - d6 + 1" },
               { 6, 4, "(d2 - d5 + 1)/2, (d3 - d6 + 1)/2" },
               { 9, 4, "(d2 - d5 + 1)/3, (d3 - d6)/4" } };
    for (int k = 0; k < 5; k++) {
        int h = of[k].height, w = of[k].width;
        char text[TEXT];
        snprintf(text, sizeof text,
                 "kdc-ir 1\nfunc @f(%%g: f32[B<=5,7,%d,%d], %%w: f32[7,9,3,3], %%r: f32[B,9,%d,%d],"
                 " %%m: bool[B,9,%d,%d], %%b: f32[9]) -> (f32[B,9,%d,%d]) {\n"
                 "  %%c = contract %%g, %%w { over = [7,3,3], a = [d0, d4, %s], b = [d4, d1, d5, "
                 "d6] } : f32[B,9,%d,%d]\n"
                 "  %%s = add %%r, %%c : f32[B,9,%d,%d]\n"
                 "  %%v = view %%b { at = [d1] } : f32[B,9,%d,%d]\n"
                 "  %%o = select %%m, %%s, %%v : f32[B,9,%d,%d]\n  return %%o\n}\n",
                 h / 2, w / 2, h, w, h, w, h, w, of[k].at, h, w, h, w, h, w, h, w);
        for (int bits = 128; bits <= 512; bits *= 2) {
            check(text, bits, bits == 256 ? 5 : 3);
            if (bits == 512) check_summed(text, "0, 2, 3", 9, bits, 3);
        }
    }
}

/* A convolution, padded or not, with windows of `high` by `wide` of its result behind a bias: their
 * maximum, where that is, and the sum of what the maxima leave; and what is pooled, if asked for.
 */
static void check_pooled(int in, int out, int kernel, int high, int wide, const int *plane,
                         bool whole, int bits) {
    KdArena *a = kd_arena_create();
    int h = plane[0] * high, w = plane[1] * wide, n = 1 + bits % 3;
    const char *conv = kd_arena_format(a, "f32[B,%d,%d,%d]", out, h, w);
    const char *dims = kd_arena_format(a, "[B,%d,%d,%d]", out, plane[0], plane[1]);
    const char *head = kd_arena_format(
        a,
        "kdc-ir 1\nfunc @f(%%x: f32[B<=4,%d,%d,%d], %%w: f32[%d,%d,%d,%d], %%b: f32[%d]) -> "
        "(f32%s, i32%s, f32%s%s%s) {\n",
        in, h, w + kernel - 1, out, in, kernel, kernel, out, dims, dims, dims, whole ? ", " : "",
        whole ? conv : "");
    const char *made = kd_arena_format(
        a,
        "  %%c = contract %%x, %%w { over = [%d,%d,%d], a = [d0, d4, d2 + d5 - 1, d3 + d6], b = "
        "[d1, d4, d5, d6] } : %s\n  %%v = view %%b { at = [d1] } : %s\n  %%s = add %%c, %%v : "
        "%s\n",
        in, kernel, kernel, conv, conv, conv);
    const char *pooled = kd_arena_format(
        a,
        "  %%p = view %%s { at = [d0, d1, %d*d2 + d4, %d*d3 + d5] } : f32[B,%d,%d,%d,%d,%d]\n"
        "  %%m = reduce_max %%p { axes = [4, 5] } : f32%s\n"
        "  %%i = argmax %%p { axes = [4, 5] } : i32%s\n"
        "  %%t = reduce_sum %%p { axes = [4, 5] } : f32%s\n  %%r = sub %%t, %%m : f32%s\n",
        high, wide, out, plane[0], plane[1], high, wide, dims, dims, dims, dims);
    check(kd_arena_format(a, "%s%s%s  return %%m, %%i, %%r%s\n}\n", head, made, pooled,
                          whole ? ", %s" : ""),
          bits, n);
    kd_arena_destroy(a);
}

/* Planes of whole vectors and not, of one line of windows, copied, folded and packed panels. */
static void test_pooled(void **state) {
    (void)state;
    static const int planes[][2] = {
        { 12, 12 }, { 16, 16 }, { 4, 4 }, { 5, 7 }, { 1, 9 }, { 3, 1 }
    };
    for (int k = 0; k < 6; k++) {
        check_pooled(3, 20, 5, 2, 2, planes[k], k % 2, k % 3 ? 0 : 256);
        check_pooled(1, 7, 3, 3, 2, planes[k], k % 2 == 0, k % 3 == 1 ? 128 : 0);
    }
    check_pooled(5, 6, 1, 2, 4, planes[0], false, 0);
}

/* Windows along lines of one dim, shorter and longer than those that are copied without a loop. */
static void test_lines(void **state) {
    (void)state;
    static const int size[] = { 30, 250, 516, 700 };
    for (int k = 0; k < 8; k++) {
        int in = size[k / 2], stride = k % 2 + 1, out = (in - 1) / stride + 1;
        char text[TEXT];
        snprintf(text, sizeof text,
                 "kdc-ir 1\nfunc @f(%%x: f32[B<=3,2,%d], %%w: f32[5,2,3]) -> (f32[B,5,%d]) {\n"
                 "  %%r = contract %%x, %%w { over = [2,3], a = [d0, d3, %d*d2 + d4 - 1], "
                 "b = [d1, d3, d4] } : f32[B,5,%d]\n  return %%r\n}\n",
                 in, out, stride, out);
        check(text, k % 3 == 2 ? 256 : 0, 3);
    }
}

/* Sums over the batch so long that they are made in parts: with padding, in groups, of one tap, by
 * lanes of either operand, for batches that leave parts shorter or empty. */
static void test_parts(void **state) {
    (void)state;
    static const char *const access[][3] = {
        { "f32[B<=40,3,20,20]",
          "over = [B,20,20], a = [d4, d1, d5 + d2 - 2, d6 + d3 - 2], b = "
          "[d4, d0, d5, d6]",
          "f32[21,3,5,5]" },
        { "f32[B<=40,21,20,20]", "over = [B,20,20], a = [d2, d1, d3, d4], b = [d2, d0, d3, d4]",
          "f32[21,21]" },
        { "f32[B<=40,12,20,20]",
          "over = [B,20,20], a = [d5, 4*d0 + d2, d6 + d3 - 1, d7 + d4], b = "
          "[d5, 7*d0 + d1, d6, d7]",
          "f32[3,7,4,2,1]" },
    };
    for (int k = 0; k < 3; k++) {
        for (int n = 1; n <= 40; n += 18) {
            char text[TEXT];
            snprintf(text, sizeof text,
                     "kdc-ir 1\nfunc @f(%%x: %s, %%g: f32[B,21,20,20]) -> (%s) {\n"
                     "  %%r = contract %%x, %%g { %s } : %s\n  return %%r\n}\n",
                     access[k][0], access[k][2], access[k][1], access[k][2]);
            check(text, n == 19 ? 256 : 0, n);
        }
    }
}

/* Gradients of depthwise weights, summed along lanes: rows narrower and wider than a vector, taps
 * for one pass and for several, with an epilogue, for batches that are not full. */
static void test_taps(void **state) {
    (void)state;
    static const int size[] = { 5, 8, 9, 16, 33, 40 }, kernel[] = { 3, 5, 7 };
    for (int k = 0; k < 18; k++) {
        int in = size[k % 6], taps = kernel[k / 6], stride = k % 5 == 4 ? 3 : k % 2 + 1;
        int out = (in - 1) / stride + 1, padding = taps / 2;
        char text[TEXT];
        snprintf(
            text, sizeof text,
            "kdc-ir 1\nfunc @f(%%x: f32[B<=40,6,%d,%d], %%g: f32[B,6,%d,%d], %%m: f32[6,1,%d,%d])"
            " -> (f32[6,1,%d,%d]) {\n"
            "  %%r = contract %%x, %%g { over = [B,%d,%d], a = [d4, d0, %d*d5 + d2 - %d, "
            "%d*d6 + d3 - %d], b = [d4, d0, d5, d6] } : f32[6,1,%d,%d]\n"
            "  %%u = add %%r, %%m : f32[6,1,%d,%d]\n  return %%u\n}\n",
            in, in, out, out, taps, taps, taps, taps, out, out, stride, padding, stride, padding,
            taps, taps, taps, taps);
        check(text, k % 4 == 3 ? 128 : k % 3 == 2 ? 256 : 0, 1 + 13 * k % 40);
    }
    /* So many groups that a task has two, and the last one is left over. */
    check("kdc-ir 1\nfunc @f(%x: f32[B<=9,37,16,16], %g: f32[B,37,16,16]) -> (f32[37,3,3]) {\n"
          "  %r = contract %x, %g { over = [B,16,16], a = [d3, d0, d4 + d1 - 1, d5 + d2 - 1], "
          "b = [d3, d0, d4, d5] } : f32[37,3,3]\n  return %r\n}\n",
          0, 7);
    /* Groups of the batch, of which some are there. */
    check("kdc-ir 1\nfunc @f(%x: f32[B<=7,300], %g: f32[B,302]) -> (f32[B,3]) {\n"
          "  %r = contract %x, %g { over = [300], a = [d0, d2], b = [d0, d2 + d1] } : f32[B,3]\n"
          "  return %r\n}\n",
          0, 5);
}

static void test_groups(void **state) {
    (void)state;
    /* Grouped and depthwise: d1 is in both operands. */
    check("kdc-ir 1\nfunc @f(%x: f32[B<=5,3,4,9,9], %w: f32[3,6,4,3,3]) -> (f32[B,3,6,7,7]) {\n"
          "  %r = contract %x, %w { over = [4,3,3], a = [d0, d1, d5, d3 + d6, d4 + d7], "
          "b = [d1, d2, d5, d6, d7] } : f32[B,3,6,7,7]\n  return %r\n}\n",
          0, 4);
    check("kdc-ir 1\nfunc @f(%x: f32[B<=5,6,9,9], %w: f32[6,3,3]) -> (f32[B,6,9,9]) {\n"
          "  %r = contract %x, %w { over = [3,3], a = [d0, d1, d2 + d4 - 1, d3 + d5 - 1], "
          "b = [d1, d4, d5] } : f32[B,6,9,9]\n  return %r\n}\n",
          0, 5);
    /* A batch of matrix products, and a sum over nothing. */
    check(
        "kdc-ir 1\nfunc @f(%x: f32[B<=7,9,5], %w: f32[B,5,11]) -> (f32[B,9,11]) {\n"
        "  %r = contract %x, %w { over = [5], a = [d0, d1, d3], b = [d0, d3, d2] } : f32[B,9,11]\n"
        "  return %r\n}\n",
        0, 6);
    check("kdc-ir 1\nfunc @f(%x: f32[9], %w: f32[21]) -> (f32[9,21]) {\n"
          "  %r = contract %x, %w { over = [], a = [d0], b = [d1] } : f32[9,21]\n  return %r\n}\n",
          0, 1);
    /* Lanes along the batch alone. */
    check(
        "kdc-ir 1\nfunc @f(%x: f32[B<=40,9], %w: f32[9]) -> (f32[B]) {\n"
        "  %r = contract %x, %w { over = [9], a = [d0, d1], b = [d1] } : f32[B]\n  return %r\n}\n",
        0, 37);
}

static void test_fused_operands(void **state) {
    (void)state;
    /* Images are gathered, cast and scaled as they are packed. */
    check(
        "kdc-ir 1\nfunc @f(%d: u8[N,1,9,9], %i: i32[B<=7], %w: f32[6,1,3,3]) -> (f32[B,6,7,7]) {\n"
        "  %g = gather %d, %i : u8[B,1,9,9]\n  %c = cast %g : f32[B,1,9,9]\n"
        "  %s = constant { value = 0.5 } : f32[B,1,9,9]\n  %x = mul %c, %s : f32[B,1,9,9]\n"
        "  %r = contract %x, %w { over = [1,3,3], a = [d0, d4, d2 + d5, d3 + d6], "
        "b = [d1, d4, d5, d6] } : f32[B,6,7,7]\n  return %r\n}\n",
        0, 7);
    check("kdc-ir 1\nfunc @f(%d: u8[N,20], %i: i32[B<=7], %w: f32[33,20]) -> (f32[B,33]) {\n"
          "  %g = gather %d, %i : u8[B,20]\n  %x = cast %g : f32[B,20]\n"
          "  %r = contract %x, %w { over = [20], a = [d0, d2], b = [d1, d2] } : f32[B,33]\n"
          "  return %r\n}\n",
          0, 5);
}

/* A row's bits depend neither on n nor on its position nor on the width of vectors. */
static void test_bits(void **state) {
    (void)state;
    if (KD_TSAN) skip(); /* code for its passes rounds the products: see ir/guard.h */
    const char *text =
        "kdc-ir 1\nfunc @f(%x: f32[B<=40,700], %w: f32[19,700]) -> (f32[B,19]) {\n"
        "  %r = contract %x, %w { over = [700], a = [d0, d2], b = [d1, d2] } : f32[B,19]\n"
        "  return %r\n}\n";
    static float x[40 * 700], w[19 * 700], r[40 * 19], want[19];
    fill(x, 40 * 700, 3);
    fill(w, 19 * 700, 4);
    for (int k = 0; k < 40 * 700; k++) {
        x[k] = k < 700 ? x[k] / 7 + 0.1f : x[k - 700]; /* every row the same */
    }
    for (int o = 0; o < 19; o++) {
        for (int k = 0; k < 700; k++) {
            w[o * 700 + k] += (float)(k % 13) / 17;
            want[o] = fmaf(x[k], w[o * 700 + k], want[o]);
        }
    }
    for (int bits = 128; bits <= 512; bits *= 2) {
        Jit j;
        jit_open(&j, text, "contract", bits);
        j.args[0] = x;
        j.args[1] = w;
        j.results[0] = r;
        for (int n = 1; n <= 40; n += 3) {
            j.frame.n = n;
            assert_int_equal(j.run(&j.frame), KDRT_OK);
            for (int k = 0; k < n * 19; k++) {
                assert_true(r[k] == want[k % 19]);
            }
        }
        jit_close(&j);
    }
}

/* A NaN whose payload is in the half that goes stays one, in a register tile and in a loop. */
static void test_rounded_nan(void **state) {
    (void)state;
    static const char *const texts[] = {
        "kdc-ir 1\nfunc @f(%x: f32[24,17], %w: f32[33,17]) -> (f32[24,33]) {\n"
        "  %r = contract %x, %w { over = [17], a = [d0, d2], b = [d1, d2], round = \"bf16\" } : "
        "f32[24,33]\n  return %r\n}\n",
        "kdc-ir 1\nfunc @f(%x: f32[24,17], %w: f32[24,3]) -> (f32[24,15]) {\n"
        "  %r = contract %x, %w { over = [3], a = [d0, d1 + d2], b = [d0, d2], round = \"bf16\" "
        "} : f32[24,15]\n  return %r\n}\n",
    };
    static float x[24 * 17 + 64], w[33 * 17 + 64], r[24 * 33 + 64];
    const uint32_t bits = 0x7f800001;
    fill(x, 24 * 17, 3);
    fill(w, 33 * 17, 4);
    memcpy(x, &bits, sizeof bits);
    w[0] = 1;
    for (int k = 0; k < 2 * TEST_MACHINES; k++) {
        Jit j;
        if (!test_machine_runs(&test_machines[k / 2])) continue;
        jit_machine = &test_machines[k / 2];
        jit_open(&j, texts[k % 2], "contract", 0);
        j.args[0] = x;
        j.args[1] = w;
        j.results[0] = r;
        assert_int_equal(j.run(&j.frame), KDRT_OK);
        assert_true(isnan(r[0]));
        assert_true(isfinite(r[24 * 15 - 1]));
        jit_close(&j);
        jit_machine = NULL;
    }
}

int main(void) {
    KdrtError error;
    if (!kdrt_blas_start(&error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),       cmocka_unit_test(test_machines_below),
        cmocka_unit_test(test_linear),       cmocka_unit_test(test_turned),
        cmocka_unit_test(test_convolution),  cmocka_unit_test(test_groups),
        cmocka_unit_test(test_small_planes), cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_pooled),       cmocka_unit_test(test_parts),
        cmocka_unit_test(test_taps),         cmocka_unit_test(test_fused_operands),
        cmocka_unit_test(test_lines),        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_rounded_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
