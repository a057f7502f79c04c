/*
 * Convolutions by Winograd's products: that they are taken where they pay, the same bits for every
 * width of vectors, exact where no sum rounds, and the epilogue at every element and at no other.
 */
#include "jit_support.h"

#include <math.h>
#include <stdio.h>

#include "ir/interp.h"

enum { MOST = 1 << 20, IMAGES = 3 };

typedef struct Case {
    int in, out, height, width; /* height and width of the result */
    int low, left;              /* padding in front */
    int input_height, input_width;
    bool turned; /* taps are subtracted, as in the gradient of the input */
    int taps;
} Case;

/* Lines of one vector and of several, of whole vectors and not, odd sizes, and images of more than
 * one block. */
static const Case cases[] = {
    { 16, 16, 32, 32, 1, 1, 32, 32, false, 3 },   { 32, 40, 16, 16, 1, 1, 16, 16, false, 3 },
    { 64, 24, 8, 8, 1, 1, 8, 8, true, 3 },        { 24, 30, 14, 28, 1, 1, 14, 28, false, 3 },
    { 33, 17, 13, 15, 1, 1, 13, 15, true, 3 },    { 16, 19, 10, 11, 0, 0, 12, 13, false, 3 },
    { 20, 18, 9, 30, 2, 0, 8, 31, true, 3 },      { 40, 50, 7, 7, 1, 1, 7, 7, false, 3 },
    { 16, 16, 12, 100, 1, 1, 12, 100, false, 3 }, { 36, 40, 30, 34, 1, 1, 30, 34, true, 3 },
    { 32, 40, 16, 16, 2, 2, 16, 16, false, 5 },   { 30, 33, 8, 8, 2, 2, 8, 8, true, 5 },
    { 40, 50, 11, 30, 1, 0, 13, 34, false, 5 },   { 50, 64, 14, 14, 2, 2, 14, 14, true, 5 },
};
enum { CASES = sizeof cases / sizeof *cases };

/* The index of a window in dim d of the result, with `low` zeros in front. */
static char *index_of(const Case *c, int d, int low, KdArena *a) {
    int offset = c->turned ? c->taps - 1 - low : -low;
    return kd_arena_format(a, "d%d %c d%d %c %d", d, c->turned ? '-' : '+', d + 3,
                           offset < 0 ? '-' : '+', abs(offset));
}

/* max(conv + bias + residual, 0) where the mask is set, else the residual. */
static char *text_of(const Case *c, KdArena *a) {
    char *t = kd_arena_format(a, "[B,%d,%d,%d]", c->out, c->height, c->width);
    char *head = kd_arena_format(
        a,
        "kdc-ir 1\nfunc @f(%%x: f32[B<=%d,%d,%d,%d], %%w: f32[%d,%d,%d,%d], %%b: f32[%d], "
        "%%r: f32%s, %%m: bool%s) -> (f32%s) {\n",
        IMAGES, c->in, c->input_height, c->input_width, c->out, c->in, c->taps, c->taps, c->out, t,
        t, t);
    char *conv = kd_arena_format(
        a,
        "  %%c = contract %%x, %%w { over = [%d,%d,%d], a = [d0, d4, %s, %s], b = [d1, d4, d5, d6] "
        "} : f32%s\n",
        c->in, c->taps, c->taps, index_of(c, 2, c->low, a), index_of(c, 3, c->left, a), t);
    return kd_arena_format(a,
                           "%s%s  %%v = view %%b { at = [d1] } : f32%s\n"
                           "  %%s = add %%c, %%v : f32%s\n  %%t = add %%s, %%r : f32%s\n"
                           "  %%z = constant { value = 0 } : f32%s\n  %%p = max %%t, %%z : f32%s\n"
                           "  %%o = select %%m, %%p, %%r : f32%s\n  return %%o\n}\n",
                           head, conv, t, t, t, t, t, t);
}

static unsigned seed;

static float draw(bool whole) {
    seed = seed * 1664525u + 1013904223u;
    return whole ? (float)((int)(seed >> 24) % 7 - 3) : (float)(seed >> 8) * 0x1p-23f - 1;
}

/* Runs it for vectors of `bits`; `got` is the result, NaN where nothing was stored. `want`, if not
 * NULL, is the interpreter's. Returns elements of the result. */
static int64_t run(const char *text, int bits, bool whole, int n, float *got, double *want) {
    KdArena *a = kd_arena_create();
    Jit j;
    jit_open(&j, text, "contract", bits);
    KdTensor args[JIT_MAX], result;
    for (int k = 0; k < j.tensor->nargs; k++) {
        seed = (unsigned)k; /* the first image's data, however many there are */
        KdType t = j.tensor->args[k]->type;
        args[k] = kd_tensor_create(a, t, n, 0);
        j.args[k] = kdrt_alloc((size_t)kd_type_bytes(t, n, 0));
        for (int64_t e = 0; e < args[k].count; e++) {
            float x = draw(whole);
            args[k].data[e] = t.dtype == KD_BOOL ? x > -0.5f : (double)x;
            if (t.dtype == KD_BOOL)
                ((unsigned char *)j.args[k])[e] = x > -0.5f;
            else
                ((float *)j.args[k])[e] = x;
        }
    }
    int64_t count = kd_type_bytes(j.tensor->results[0]->type, n, 0) / (int64_t)sizeof *got;
    assert_true(count + 16 <= MOST);
    memset(got, 0xff, (size_t)(count + 16) * sizeof *got);
    memset(j.frame.scratch, 0xff, j.frame.scratch_stride); /* NaN: nothing of it may be seen */
    j.results[0] = got;
    j.frame.n = n;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    for (int k = 0; k < 16; k++) assert_true(isnan(got[count + k])); /* nothing behind it */
    if (want) {
        const KdInterp in = { .arena = a, .n = n };
        assert_true(kd_interpret(&in, j.tensor, args, &result, &j.diag));
        assert_int_equal(result.count, count);
        memcpy(want, result.data, (size_t)count * sizeof *want);
    }
    for (int k = 0; k < j.tensor->nargs; k++) kdrt_free(j.args[k]);
    jit_close(&j);
    kd_arena_destroy(a);
    return count;
}

static float got[MOST], other[MOST];
static double want[MOST];

/* Sums of whole numbers are exact for three taps; for five, some of whose factors are thirds,
 * nearly. */
static void expect_near(int64_t count, int taps, const char *text) {
    double most = taps == 3 ? 0 : 0.02;
    for (int64_t e = 0; e < count; e++)
        if (!(fabs((double)got[e] - want[e]) <= most))
            fail_msg("%d: %g, not %g, in\n%s", (int)e, (double)got[e], want[e], text);
}

static void test_exact(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    for (int k = 0; k < CASES; k++) {
        const char *text = text_of(&cases[k], a);
        int64_t count = run(text, 128 << k % 3, true, 1 + k % IMAGES, got, want);
        expect_near(count, cases[k].taps, text);
    }
    kd_arena_destroy(a);
}

/* The sums of what the epilogue makes, for each channel, alone. */
static void test_sums(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    for (int k = 0; k < CASES; k++) {
        const Case *c = &cases[k];
        const char *text = text_of(c, a), *types = strstr(text, "-> ("),
                   *body = strstr(text, ") {"), *last = strstr(text, "  return %o");
        const char *sums = kd_arena_format(
            a,
            "%.*s-> (f32[%d]%.*s  %%q = reduce_sum %%o { axes = [0, 2, 3] } : f32[%d]\n"
            "  return %%q\n}\n",
            (int)(types - text), text, c->out, (int)(last - body), body, c->out);
        int64_t count = run(sums, 128 << k % 3, true, 1 + k % IMAGES, got, want);
        assert_int_equal(count, c->out);
        expect_near(count, c->taps, sums);
    }
    kd_arena_destroy(a);
}

/* Windows of 2 x 2 of what the epilogue makes, where they fit. */
static void test_pooled(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    for (int k = 0; k < CASES; k++) {
        const Case *c = &cases[k];
        if (c->height % 2 || c->width % 2) continue;
        const char *text = text_of(c, a), *types = strstr(text, "-> ("),
                   *body = strstr(text, ") {"), *last = strstr(text, "  return %o");
        const char *dims = kd_arena_format(a, "B,%d,%d,%d", c->out, c->height / 2, c->width / 2);
        const char *pooled = kd_arena_format(
            a,
            "%.*s-> (f32[%s]%.*s  %%y = view %%o { at = [d0, d1, 2*d2 + d4, 2*d3 + d5] } : "
            "f32[%s,2,2]\n  %%q = reduce_max %%y { axes = [4, 5] } : f32[%s]\n  return %%q\n}\n",
            (int)(types - text), text, dims, (int)(last - body), body, dims, dims);
        for (int bits = 128; bits <= 512; bits *= 2) {
            run(pooled, bits, true, 1 + k % IMAGES, got, want);
            expect_near((1 + k % IMAGES) * (int64_t)c->out * c->height * c->width / 4, c->taps,
                        pooled);
        }
    }
    kd_arena_destroy(a);
}

static int up_to(int least, int most) {
    return least + (int)((draw(false) + 1) / 2 * (float)(most - least + 1)) % (most - least + 1);
}

/* Sizes and paddings at random; $KD_CASES of them. */
static void test_sizes(void **state) {
    (void)state;
    const char *cases_wanted = getenv("KD_CASES");
    for (int k = 0; k < (cases_wanted ? atoi(cases_wanted) : 8); k++) {
        KdArena *a = kd_arena_create();
        seed = 1000u + (unsigned)k;
        for (int warm = 0; warm < 4; warm++) draw(false);
        Case c = { .in = up_to(16, 40), .out = up_to(16, 40), .taps = 3 + 2 * up_to(0, 1) };
        c.height = up_to(2, 20);
        c.width = up_to(2, 36);
        c.low = up_to(0, c.taps - 1);
        c.left = up_to(0, c.taps - 1);
        c.input_height = c.height + c.taps - 1 - c.low - up_to(0, c.taps - 1);
        c.input_width = c.width + c.taps - 1 - c.left - up_to(0, c.taps - 1);
        c.turned = up_to(0, 1);
        if (c.input_height < 1) c.input_height = 1;
        if (c.input_width < 1) c.input_width = 1;
        const char *text = text_of(&c, a);
        expect_near(run(text, 128 << up_to(0, 2), true, up_to(1, IMAGES), got, want), 5, text);
        kd_arena_destroy(a);
    }
}

static void test_bits(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    for (int k = 0; k < CASES; k++) {
        const char *text = text_of(&cases[k], a);
        int64_t count = run(text, 512, false, IMAGES, got, NULL);
        for (int bits = 128; bits <= 256; bits *= 2) {
            assert_int_equal(run(text, bits, false, IMAGES, other, NULL), count);
            assert_memory_equal(got, other, (size_t)count * sizeof *got);
        }
        /* Images do not depend on how many there are. */
        run(text, 512, false, 1, other, NULL);
        assert_memory_equal(got, other, (size_t)count / IMAGES * sizeof *got);
    }
    kd_arena_destroy(a);
}

/* Planes of a volume, a result whose lines lie between channels, rows of two dims, and images that
 * are computed as they are read. */
static void test_accesses(void **state) {
    (void)state;
    static const char *const text[] = {
        "kdc-ir 1\nfunc @f(%x: f32[B<=3,20,3,8,10], %w: f32[18,20,3,3]) -> (f32[B,18,3,8,10]) {\n"
        "  %r = contract %x, %w { over = [20,3,3], a = [d0, d5, d2, d3 + d6 - 1, d4 + d7 - 1], b = "
        "[d1, d5, d6, d7] } : f32[B,18,3,8,10]\n  return %r\n}\n",
        "kdc-ir 1\nfunc @f(%x: f32[B<=3,20,8,10], %w: f32[18,20,3,3]) -> (f32[B,8,18,10]) {\n"
        "  %r = contract %x, %w { over = [20,3,3], a = [d0, d4, d1 + d5 - 1, d3 + d6 - 1], b = "
        "[d2, d4, d5, d6] } : f32[B,8,18,10]\n  return %r\n}\n",
        "kdc-ir 1\nfunc @f(%x: f32[B<=3,5,4,8,8], %w: f32[3,4,5,6,3,3]) -> (f32[B,3,6,8,8]) {\n"
        "  %z = constant { value = 0 } : f32[B,5,4,8,8]\n  %p = max %x, %z : f32[B,5,4,8,8]\n"
        "  %r = contract %p, %w { over = [4,5,3,3], a = [d0, d6, d5, d3 - d7 + 1, d4 + d8 - 1], b "
        "= [d1, d5, d6, d2, d7, d8] } : f32[B,3,6,8,8]\n  return %r\n}\n",
    };
    for (int k = 0; k < 3; k++)
        for (int bits = 128; bits <= 512; bits *= 2) {
            int64_t count = run(text[k], bits, true, 2, got, want);
            expect_near(count, 3, text[k]);
        }
}

/* The largest distance from the interpreter's results. */
static double furthest_of(const char *text, int bits, int n) {
    double furthest = 0;
    int64_t count = run(text, bits, false, n, got, want);
    for (int64_t e = 0; e < count; e++) furthest = fmax(furthest, fabs((double)got[e] - want[e]));
    return furthest;
}

/* Gradients with respect to weights: lines of one vector and of several, more columns than a panel
 * has, turned windows, channels of two dims, batches that leave parts shorter or empty. */
static const struct {
    int in, out, height, width, taps;
    const char *x, *at, *result; /* NULL: as convolutions have them */
} gradients[] = {
    { 16, 16, 32, 32, 3, NULL, NULL, NULL },
    { 24, 90, 8, 8, 3, "f32[B<=21,24,8,8]", NULL, NULL },
    { 33, 17, 16, 16, 3, NULL, NULL, NULL },
    { 20, 18, 6, 64, 3, NULL, NULL, NULL },
    { 30, 36, 8, 16, 5, NULL, NULL, NULL },
    { 24, 20, 8, 16, 3, "f32[B<=6,6,4,8,16]",
      "a = [d5, d2, d1, d6 + d3 - 1, d7 - d4 + 1], b = [d5, d0, d6, d7]", "f32[20,4,6,3,3]" },
};
enum { GRADIENTS = sizeof gradients / sizeof *gradients };

static const char *gradient_text(int k, KdArena *a) {
    int in = gradients[k].in, out = gradients[k].out;
    int h = gradients[k].height, w = gradients[k].width;
    const char *x = gradients[k].x, *at = gradients[k].at, *result = gradients[k].result;
    if (!x) x = kd_arena_format(a, "f32[B<=6,%d,%d,%d]", in, h, w);
    int taps = gradients[k].taps, low = taps / 2;
    if (!at)
        at = kd_arena_format(a, "a = [d4, d1, d5 + d2 - %d, d6 + d3 - %d], b = [d4, d0, d5, d6]",
                             low, low);
    if (!result) result = kd_arena_format(a, "f32[%d,%d,%d,%d]", out, in, taps, taps);
    return kd_arena_format(a,
                           "kdc-ir 1\nfunc @f(%%x: %s, %%g: f32[B,%d,%d,%d], %%m: %s) -> (%s) {\n"
                           "  %%r = contract %%x, %%g { over = [B,%d,%d], %s } : %s\n"
                           "  %%s = add %%r, %%m : %s\n  return %%s\n}\n",
                           x, out, h, w, result, result, h, w, at, result, result);
}

static void test_gradients(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    for (int k = 0; k < GRADIENTS; k++) {
        const char *text = gradient_text(k, a);
        int most = strstr(text, "B<=21") ? 21 : 6;
        for (int n = 1; n <= most; n += 5) {
            int64_t count = run(text, 128 << (k + n) % 3, true, n, got, want);
            expect_near(count, gradients[k].taps, text);
        }
        double furthest = furthest_of(text, 512, most);
        assert_true(furthest > 0 && furthest < 1e-3);
        for (int bits = 128; bits <= 256; bits *= 2) {
            int64_t count = run(text, bits, false, most, other, NULL);
            assert_memory_equal(got, other, (size_t)count * sizeof *got);
        }
    }
    kd_arena_destroy(a);
}

/* Operands that are rounded to bf16 are so before they are transformed: nothing else but the sums
 * is rounded, which is some thousand times less. */
static void test_rounded(void **state) {
    (void)state;
    if (KD_TSAN) skip();
    KdArena *a = kd_arena_create();
    for (int k = 0; k < CASES; k++) {
        double furthest = furthest_of(jit_rounded(text_of(&cases[k], a), a), 128 << k % 3, 2);
        assert_true(furthest > 0 && furthest < 2e-4);
    }
    for (int k = 0; k < GRADIENTS; k++) {
        double furthest = furthest_of(jit_rounded(gradient_text(k, a), a), 128 << k % 3, 6);
        assert_true(furthest > 0 && furthest < 1e-3);
    }
    kd_arena_destroy(a);
}

/* Gradients so large that units have slices of them, of both sides, of rows or of columns alone,
 * and of channels of two dims, `inner` the last one of the images and not of the result. */
static const struct {
    int in, out, height, width, taps, batch, inner;
} large[] = {
    { 250, 239, 8, 8, 3, 3, 1 },  { 139, 151, 8, 8, 5, 2, 1 },    { 17, 3500, 8, 8, 3, 2, 1 },
    { 3501, 17, 4, 16, 3, 3, 1 }, { 63 * 4, 250, 8, 8, 3, 2, 63 },
};
enum { LARGE = sizeof large / sizeof *large };

/* The sum, in double precision, of which `bound` is that of absolute values: of image elements
 * `x`, gradients `g` and momenta `m`. */
static double direct_gradient(int k, int n, const float *const *arg, int at, double *bound) {
    int in = large[k].in, height = large[k].height, width = large[k].width, taps = large[k].taps;
    int o = at / (in * taps * taps), c = at / (taps * taps) % in;
    c = c % (in / large[k].inner) * large[k].inner + c / (in / large[k].inner);
    int i = at / taps % taps - taps / 2, j = at % taps - taps / 2;
    double sum = (double)arg[2][at];
    *bound = fabs(sum);
    for (int b = 0; b < n; b++) {
        const float *x = arg[0] + (size_t)(b * in + c) * (size_t)(height * width);
        const float *g = arg[1] + (size_t)(b * large[k].out + o) * (size_t)(height * width);
        for (int p = 0; p < height * width; p++) {
            int y = p / width + i, z = p % width + j;
            if (y < 0 || y >= height || z < 0 || z >= width) continue;
            double product = (double)x[y * width + z] * (double)g[p];
            sum += product;
            *bound += fabs(product);
        }
    }
    return sum;
}

static const char *large_text(int k, KdArena *a) {
    int inner = large[k].inner, outer = large[k].in / inner, out = large[k].out;
    int h = large[k].height, w = large[k].width, taps = large[k].taps, low = taps / 2;
    const char *result = kd_arena_format(a, "f32[%d,%d,%d,%d,%d]", out, inner, outer, taps, taps);
    return kd_arena_format(a,
                           "kdc-ir 1\nfunc @f(%%x: f32[B<=%d,%d,%d,%d,%d], %%g: f32[B,%d,%d,%d], "
                           "%%m: %s) -> (%s) {\n  %%r = contract %%x, %%g { over = [B,%d,%d], a = "
                           "[d5, d2, d1, d6 + d3 - %d, d7 + d4 - %d], b = [d5, d0, d6, d7] } : %s\n"
                           "  %%s = add %%r, %%m : %s\n  return %%s\n}\n",
                           large[k].batch, outer, inner, h, w, out, h, w, result, result, h, w, low,
                           low, result, result);
}

/* Near the direct sums, at every seventh element; the first run's bits are kept in `got`, and all
 * others must have the same. */
static void run_large(Jit *j, int k, int n, int threads, bool first) {
    int64_t count = kd_type_bytes(j->tensor->results[0]->type, n, 0) / 4;
    float *to = j->results[0] = first ? got : other;
    memset(to, 0xff, (size_t)(count + 16) * sizeof *to);
    memset(j->frame.scratch, 0xff, j->frame.scratch_stride);
    j->frame.n = n;
    j->frame.pool = NULL;
    KdrtFrame frame = j->frame;
    if (threads > 1) {
        assert_int_equal(kdrt_pool_create(threads, &frame.pool), KDRT_OK);
        frame.scratch_stride = (frame.scratch_stride + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
        frame.scratch = kdrt_alloc((size_t)threads * frame.scratch_stride);
    }
    assert_int_equal(j->run(&frame), KDRT_OK);
    for (int e = 0; e < 16; e++) assert_true(isnan(to[count + e]));
    if (threads > 1) {
        kdrt_pool_destroy(frame.pool);
        kdrt_free(frame.scratch);
    }
    if (!first) {
        assert_memory_equal(got, other, (size_t)count * sizeof *got);
        return;
    }
    const float *const arg[] = { j->args[0], j->args[1], j->args[2] };
    double worst = 0, u = 0x1p-24 * (n * large[k].height * large[k].width + 32);
    for (int e = 0; e < count; e += 7) {
        double bound, sum = direct_gradient(k, n, arg, e, &bound);
        worst = fmax(worst, fabs((double)to[e] - sum) / (u * bound));
    }
    if (!(worst > 0 && worst < 1)) fail_msg("case %d: %g of the bound", k, worst);
}

static void open_large(Jit *j, int k, int bits, const char *gemm) {
    KdArena *a = kd_arena_create();
    jit_open_with(j, large_text(k, a), "contract", bits,
                  (KdBackendOptions){ .threads = 1, .gemm = gemm });
    kd_arena_destroy(a);
    for (int p = 0; p < 3; p++) {
        int64_t bytes = kd_type_bytes(j->tensor->args[p]->type, large[k].batch, 0);
        float *x = j->args[p] = kdrt_alloc((size_t)bytes);
        seed = (unsigned)p;
        for (int64_t e = 0; e < bytes / 4; e++) x[e] = draw(false);
    }
}

static void close_large(Jit *j) {
    for (int p = 0; p < 3; p++) kdrt_free(j->args[p]);
    jit_close(j);
}

static void test_slices(void **state) {
    (void)state;
    for (int k = 0; k < LARGE; k++) {
        int batch = large[k].batch;
        Jit j;
        open_large(&j, k, 512, NULL);
        assert_true(j.frame.scratch_stride < 3 << 20); /* four parts would take 8 MB and more */
        run_large(&j, k, 1, 1, true);
        run_large(&j, k, batch, 1, true);
        for (int threads = 2; threads <= 3; threads++) run_large(&j, k, batch, threads, false);
        close_large(&j);
        for (int bits = 128; bits <= 256; bits *= 2) {
            open_large(&j, k, bits, NULL);
            run_large(&j, k, batch, 1, false);
            close_large(&j);
        }
        if (KD_TSAN) continue; /* rounds products, and is slow */
        open_large(&j, k, 512, "direct");
        memcpy(other, got, sizeof got);
        run_large(&j, k, batch, 1, true);
        assert_memory_not_equal(got, other, 4096); /* it was by Winograd's products */
        close_large(&j);
    }
}

/* Sums of rounded numbers: which algorithm made them shows. With one image, no bias and so on, the
 * direct sum is that of fused multiply-adds in order. */
static bool differs_from_direct(int in, int out, int size, int taps) {
    KdArena *a = kd_arena_create();
    char *text = kd_arena_format(
        a,
        "kdc-ir 1\nfunc @f(%%x: f32[B<=1,%d,%d,%d], %%w: f32[%d,%d,%d,%d]) -> (f32[B,%d,%d,%d]) {\n"
        "  %%c = contract %%x, %%w { over = [%d,%d,%d], a = [d0, d4, d2 + d5, d3 + d6], b = [d1, "
        "d4, d5, d6] } : f32[B,%d,%d,%d]\n  return %%c\n}\n",
        in, size + taps - 1, size + taps - 1, out, in, taps, taps, out, size, size, in, taps, taps,
        out, size, size);
    Jit j;
    jit_open(&j, text, "contract", 0);
    int side = size + taps - 1, window = taps * taps;
    int inputs = in * side * side, weights = out * in * window;
    float *x = j.args[0] = kdrt_alloc((size_t)inputs * sizeof *x);
    float *w = j.args[1] = kdrt_alloc((size_t)weights * sizeof *w);
    for (int k = 0; k < inputs; k++) x[k] = draw(false);
    for (int k = 0; k < weights; k++) w[k] = draw(false);
    j.results[0] = got;
    j.frame.n = 1;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    bool differs = false;
    for (int e = 0; e < out * size * size; e++) {
        int o = e / (size * size), at = e / size % size * side + e % size;
        float sum = 0, most = 0;
        for (int k = 0; k < in * window; k++) {
            float a1 = x[k / window * side * side + k / taps % taps * side + k % taps + at];
            sum = fmaf(a1, w[o * in * window + k], sum);
            most += fabsf(a1 * w[o * in * window + k]);
        }
        differs |= got[e] != sum;
        assert_true(fabsf(got[e] - sum) <= 16 * 0x1p-24f * most);
    }
    kdrt_free(x);
    kdrt_free(w);
    jit_close(&j);
    kd_arena_destroy(a);
    return differs;
}

static void test_where_it_pays(void **state) {
    (void)state;
    if (KD_TSAN) skip(); /* code for its passes rounds the products: see ir/guard.h */
    assert_true(differs_from_direct(16, 16, 32, 3));
    assert_true(differs_from_direct(64, 64, 8, 3));
    assert_true(differs_from_direct(32, 40, 16, 5));
    assert_false(differs_from_direct(5, 16, 16, 5));
    assert_false(differs_from_direct(4, 64, 16, 3)); /* few channels: the sums cost too much */
    assert_false(differs_from_direct(64, 64, 4, 3)); /* four tiles do not fill a vector */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),     cmocka_unit_test(test_sums),
        cmocka_unit_test(test_pooled),    cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bits),      cmocka_unit_test(test_accesses),
        cmocka_unit_test(test_gradients), cmocka_unit_test(test_rounded),
        cmocka_unit_test(test_slices),    cmocka_unit_test(test_where_it_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
