/*
 * The DSL's layers by their meaning: small networks are traced from Lua, run by the interpreter,
 * and compared with loops written here the way a textbook has them.
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

enum { ROWS = 2, SIDE_H = 7, SIDE_W = 6, MAX = 4096 };

typedef struct Window {
    int kernel, stride, padding, dilation, groups, ceil;
} Window;

static double value_at(int k, int salt) {
    return sin(k * 12.9898 + salt * 78.233);
}

/* Runs network "net" of the script on rows of value_at; parameters by value_at as well. Returns
 * the number of elements of its result, copied to out. */
static int64_t run_network(const char *body, int channels, double *out) {
    char path[] = "/tmp/kdc-layers-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fprintf(file,
            "local kd = require 'kd'\n"
            "local d = kd.data.idx { train_x = 'x', train_y = 'y', classes = 2, input = { %d, %d, "
            "%d } }\n"
            "local n = kd.network('net', d.input, function(x) local y = %s\n"
            "  return kd.linear(kd.flatten(kd.site(y, 'probe')), 2) end)\n"
            "return kd.train { network = n, data = d }\n",
            channels, SIDE_H, SIDE_W, body);
    fclose(file);
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdScript *s = kd_script_load(path, NULL, &d);
    unlink(path);
    assert_non_null(s);
    KdFunc *f = kd_module_func(s->runs[0]->module, "net");
    KdValue *probe = NULL;
    KD_EACH_INSTR(i, f) if (i->site && strcmp(i->site, "probe") == 0) probe = i->results[0];
    assert_non_null(probe);
    kd_func_set_results(f, 1, &probe);
    KdArena *a = kd_arena_create();
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs), result;
    for (int k = 0; k < f->nargs; k++) {
        args[k] = kd_tensor_create(a, f->args[k]->type, ROWS, 1);
        for (int j = 0; j < args[k].count; j++) args[k].data[j] = value_at(j, k);
    }
    KdInterp in = { .arena = a, .n = ROWS };
    assert_true(kd_interpret(&in, f, args, &result, &d));
    int64_t count = result.count;
    assert_true(count <= MAX);
    memcpy(out, result.data, (size_t)count * sizeof *out);
    kd_arena_destroy(a);
    kd_script_destroy(s);
    return count;
}

static int out_extent(int extent, const Window *w) {
    int room = extent + 2 * w->padding - w->dilation * (w->kernel - 1) - 1;
    int n = room / w->stride + 1;
    if (w->ceil && room % w->stride && n * w->stride < extent + w->padding) n++;
    return n;
}

static double pixel(int channels, int b, int c, int y, int x) {
    return value_at(((b * channels + c) * SIDE_H + y) * SIDE_W + x, 0);
}

static bool inside(int y, int x) {
    return y >= 0 && y < SIDE_H && x >= 0 && x < SIDE_W;
}

/* One output of a convolution of `channels` into `outputs`. */
static double conv_at(const Window *w, int channels, int outputs, const int at[4]) {
    int inner = channels / w->groups, group = at[1] / (outputs / w->groups);
    double sum = value_at(at[1], 2);
    for (int c = 0; c < inner; c++)
        for (int p = 0; p < w->kernel; p++)
            for (int q = 0; q < w->kernel; q++) {
                int y = at[2] * w->stride + p * w->dilation - w->padding;
                int x = at[3] * w->stride + q * w->dilation - w->padding;
                if (!inside(y, x)) continue;
                int weight = ((at[1] * inner + c) * w->kernel + p) * w->kernel + q;
                sum += value_at(weight, 1) * pixel(channels, at[0], group * inner + c, y, x);
            }
    return sum;
}

static void check_conv(Window w, int channels, int outputs) {
    static double got[MAX];
    char body[256];
    snprintf(body, sizeof body,
             "kd.conv2d(x, %d, { kernel = %d, stride = %d, padding = %d, dilation = %d, groups = "
             "%d })",
             outputs, w.kernel, w.stride, w.padding, w.dilation, w.groups);
    int64_t n = run_network(body, channels, got);
    int oh = out_extent(SIDE_H, &w), ow = out_extent(SIDE_W, &w), k = 0;
    assert_int_equal(n, ROWS * outputs * oh * ow);
    for (int b = 0; b < ROWS; b++)
        for (int o = 0; o < outputs; o++)
            for (int y = 0; y < oh; y++)
                for (int x = 0; x < ow; x++, k++) {
                    const int at[] = { b, o, y, x };
                    assert_true(fabs(got[k] - conv_at(&w, channels, outputs, at)) < 1e-9);
                }
}

static void convolutions(void **state) {
    (void)state;
    check_conv((Window){ .kernel = 3, .stride = 1, .padding = 0, .dilation = 1, .groups = 1 }, 2,
               3);
    check_conv((Window){ .kernel = 3, .stride = 2, .padding = 1, .dilation = 1, .groups = 1 }, 3,
               4);
    check_conv((Window){ .kernel = 2, .stride = 1, .padding = 2, .dilation = 3, .groups = 1 }, 1,
               2);
    check_conv((Window){ .kernel = 3, .stride = 1, .padding = 1, .dilation = 1, .groups = 2 }, 4,
               6);
    check_conv((Window){ .kernel = 3, .stride = 2, .padding = 1, .dilation = 1, .groups = 3 }, 3,
               3);
}

static double pool_at(const Window *w, bool max, int channels, const int at[4]) {
    double best = -INFINITY, sum = 0;
    int counted = 0;
    for (int p = 0; p < w->kernel; p++)
        for (int q = 0; q < w->kernel; q++) {
            int y = at[2] * w->stride + p - w->padding, x = at[3] * w->stride + q - w->padding;
            if (y < SIDE_H + w->padding && x < SIDE_W + w->padding) counted++;
            if (!inside(y, x)) continue;
            double v = pixel(channels, at[0], at[1], y, x);
            best = v > best ? v : best;
            sum += v;
        }
    return max ? best : sum / counted;
}

static void check_pool(Window w, bool max) {
    static double got[MAX];
    char body[256];
    snprintf(body, sizeof body, "kd.%s_pool(x, %d, { stride = %d, padding = %d, ceil = %s })",
             max ? "max" : "avg", w.kernel, w.stride, w.padding, w.ceil ? "true" : "false");
    w.dilation = 1;
    int64_t n = run_network(body, 3, got);
    int oh = out_extent(SIDE_H, &w), ow = out_extent(SIDE_W, &w), k = 0;
    assert_int_equal(n, ROWS * 3 * oh * ow);
    for (int b = 0; b < ROWS; b++)
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < oh; y++)
                for (int x = 0; x < ow; x++, k++) {
                    const int at[] = { b, c, y, x };
                    assert_true(fabs(got[k] - pool_at(&w, max, 3, at)) < 1e-9);
                }
}

static void poolings(void **state) {
    (void)state;
    for (int max = 0; max < 2; max++) {
        check_pool((Window){ .kernel = 2, .stride = 2 }, max);
        check_pool((Window){ .kernel = 2, .stride = 2, .ceil = 1 }, max);
        check_pool((Window){ .kernel = 3, .stride = 2, .ceil = 1 }, max);
        check_pool((Window){ .kernel = 3, .stride = 2, .padding = 1 }, max);
        check_pool((Window){ .kernel = 3, .stride = 2, .padding = 1, .ceil = 1 }, max);
        check_pool((Window){ .kernel = 3, .stride = 3, .padding = 1, .ceil = 1 }, max);
    }
}

static void global_poolings(void **state) {
    (void)state;
    for (int max = 0; max < 2; max++) {
        double got[MAX];
        int64_t n = run_network(max ? "kd.global_max_pool(x)" : "kd.global_avg_pool(x)", 3, got);
        assert_int_equal(n, ROWS * 3);
        for (int k = 0; k < n; k++) {
            double best = -INFINITY, sum = 0;
            for (int j = 0; j < SIDE_H * SIDE_W; j++) {
                double v = pixel(3, k / 3, k % 3, j / SIDE_W, j % SIDE_W);
                best = fmax(best, v);
                sum += v / (SIDE_H * SIDE_W);
            }
            assert_true(fabs(got[k] - (max ? best : sum)) < 1e-9);
        }
    }
}

/* x here is the network's own input, one channel; `expected` gives each element from x's. */
static void check_pointwise(const char *body, double (*expected)(double x)) {
    static double got[MAX];
    int64_t n = run_network(body, 1, got);
    assert_int_equal(n, ROWS * SIDE_H * SIDE_W);
    for (int k = 0; k < n; k++) assert_true(fabs(got[k] - expected(value_at(k, 0))) < 1e-7);
}

static double relu(double x) {
    return x > 0 ? x : 0;
}
static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double leaky(double x) {
    return x > 0 ? x : 0.2 * x;
}
static double elu(double x) {
    return x > 0 ? x : 1.5 * expm1(x);
}
static double gelu(double x) {
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3))));
}
static double silu(double x) {
    return x * sigmoid(x);
}
static double cube_and_more(double x) {
    return -pow(x, 3) + 2 - x / 4;
}
static double inverse_square(double x) {
    return 1 / ((x * x + 1) * (x * x + 1));
}
static double root(double x) {
    return sqrt(fabs(x));
}
static double clamped(double x) {
    return fmin(fmax(x, -0.5), 0.25);
}
static double chosen(double x) {
    return x < 0.1 ? 7 : x;
}
static double tripled(double x) {
    return 3 * x;
}
static double same(double x) {
    return x;
}

static void pointwise(void **state) {
    (void)state;
    check_pointwise("kd.relu(x)", relu);
    check_pointwise("kd.sigmoid(x)", sigmoid);
    check_pointwise("kd.tanh(x)", tanh);
    check_pointwise("kd.leaky_relu(x, 0.2)", leaky);
    check_pointwise("kd.elu(x, 1.5)", elu);
    check_pointwise("kd.gelu(x)", gelu);
    check_pointwise("kd.silu(x)", silu);
    check_pointwise("-x ^ 3 + 2 - x / 4", cube_and_more);
    check_pointwise("(x * x + 1) ^ -2", inverse_square);
    check_pointwise("kd.abs(x) ^ 0.5", root);
    check_pointwise("kd.minimum(kd.maximum(x, -0.5), 0.25)", clamped);
    check_pointwise("kd.where(kd.less(x, 0.1), 7, x)", chosen);
    check_pointwise("kd.log(kd.exp(x))", same);
    check_pointwise("kd.dropout(x * 1, 0.5)", same); /* identity in inference */
    check_pointwise("x:transpose { 1, 2, 4, 3 }:transpose { 1, 2, 4, 3 }", same);
    check_pointwise("kd.concat({ x:slice(3, 1, 2), x:slice(3, 3, 5) }, 3)", same);
    check_pointwise("kd.residual(x, function(y) return 2 * y end)", tripled);
    check_pointwise("kd.residual(x, function(y) return y end, { shortcut = function(y) return 0 * "
                    "y end })",
                    same);
    check_pointwise("kd.concat { x * 2, x }:slice(2, 2, 1)", same);
    check_pointwise("kd.pad(x, 3, 2, 1):slice(3, 3, 7) + kd.sum(kd.pad(x, 3, 2, 1):slice(3, 1, 2))",
                    same);
    check_pointwise("x:reshape { -1, 6 }:reshape { 1, 7, 6 }", same);
    check_pointwise("x - kd.mean(x, { 2, 3, 4 }, { keep = true }) + x:sum({ 2, 3, 4 }, { keep = "
                    "true }) / 42",
                    same);
}

/* The shortcut averages 2 x 2 elements, the last ones of odd extents among fewer, and adds zeros.
 */
static void pooled_shortcut(void **state) {
    (void)state;
    static double got[MAX], pooled[MAX];
    int64_t n =
        run_network("kd.residual(x, function(y) return kd.concat { kd.max_pool(y, 2, { ceil = "
                    "true }), 0 * kd.max_pool(y, 2, { ceil = true }) } end, { shortcut = "
                    "'pool' }) - kd.pad(kd.max_pool(x, 2, { ceil = true }), 2, 0, 2)",
                    2, got);
    int64_t half = run_network("kd.avg_pool(x, 2, { ceil = true })", 2, pooled);
    assert_int_equal(n, 2 * half);
    for (int64_t k = 0; k < n; k++) {
        int64_t sample = k / (n / ROWS), at = k % (n / ROWS), own = half / ROWS;
        double want = at < own ? pooled[sample * own + at] : 0;
        assert_true(fabs(got[k] - want) < 1e-9);
    }
}

/* In inference form; weight, bias, mean and variance are arguments 1 to 4. */
static void batch_norm(void **state) {
    (void)state;
    static double got[MAX];
    const char *const forms[] = { "kd.batch_norm(x, { eps = 2 })",
                                  "kd.flatten(kd.batch_norm(x, { eps = 2 }))" };
    for (int form = 0; form < 2; form++) {
        int64_t n = run_network(forms[form], 3, got);
        for (int k = 0; k < n; k++) {
            int c = k / (SIDE_H * SIDE_W) % 3;
            double x = (value_at(k, 0) - value_at(c, 3)) / sqrt(value_at(c, 4) + 2);
            assert_true(fabs(got[k] - x * value_at(c, 1) - value_at(c, 2)) < 1e-9);
        }
    }
    int64_t n =
        run_network("kd.batch_norm(kd.mean(x, { 3, 4 }), { eps = 2, affine = false })", 3, got);
    for (int k = 0; k < n; k++) {
        double mean = 0;
        for (int e = 0; e < SIDE_H * SIDE_W; e++)
            mean += value_at(k * SIDE_H * SIDE_W + e, 0) / (SIDE_H * SIDE_W);
        double want = (mean - value_at(k % 3, 1)) / sqrt(value_at(k % 3, 2) + 2);
        assert_true(fabs(got[k] - want) < 1e-9);
    }
}

/* softmax over the last axis, and the mean over the batch. */
static void softmax_family(void **state) {
    (void)state;
    static double soft[MAX], logs[MAX], mean[MAX];
    int64_t n = run_network("kd.softmax(x * 9)", 1, soft);
    run_network("kd.exp(kd.log_softmax(x * 9))", 1, logs);
    run_network("x * 0 + kd.mean(x, 1)", 1, mean);
    for (int row = 0; row < n / SIDE_W; row++) {
        double sum = 0;
        for (int k = 0; k < SIDE_W; k++) sum += exp(9 * value_at(row * SIDE_W + k, 0));
        for (int k = 0; k < SIDE_W; k++) {
            double want = exp(9 * value_at(row * SIDE_W + k, 0)) / sum;
            assert_true(fabs(soft[row * SIDE_W + k] - want) < 1e-9);
            assert_true(fabs(logs[row * SIDE_W + k] - want) < 1e-9);
        }
    }
    for (int k = 0; k < n / 2; k++) {
        double want = (value_at(k, 0) + value_at((int)n / 2 + k, 0)) / 2;
        assert_true(fabs(mean[k] - want) < 1e-9 && fabs(mean[k + n / 2] - want) < 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),    cmocka_unit_test(poolings),
        cmocka_unit_test(global_poolings), cmocka_unit_test(pointwise),
        cmocka_unit_test(softmax_family),  cmocka_unit_test(pooled_shortcut),
        cmocka_unit_test(batch_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
