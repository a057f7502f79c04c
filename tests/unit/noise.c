/*
 * The injected noise against the paper's formula, number by number: each sample is chosen by a coin
 * of its own, and a chosen one's logits become (1 + sigma·xi)·z or z + sigma·xi, sigma a standard
 * deviation. Draws are asked straight from the generator, by stream name, element and index. Then
 * what the paper derives from it: in the mean over draws the gradient is the clean one, and the
 * loss has one term more, at a stated confidence.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir/interp.h"
#include "ir/text.h"
#include "passes/pass.h"

enum { ROWS = 40, CLASSES = 5, SEED = 11, EPOCH = 2, STEP = 9 };

static const char text[] =
    "kdc-ir 1\nhyper %sigma = 0.6\nhyper %alpha = 0.5\n"
    "func @objective(%z: f32[B<=64,5] input, %index: i32[B] index) -> (f32[B,5], f32[B,5]) {\n"
    "  %t = reshape %z : f32[B,5] role(teacher) site(\"teacher.logits\")\n"
    "  %y = neg %t : f32[B,5]\n"
    "  return %t, %y\n}\n";

/* What a case expects of sample b and class c. */
typedef struct Draws {
    double sigma, xi, coin;
} Draws;

static int index_of(int row) {
    return 3 * row + 1;
}

static double logit(int row, int class) {
    return sin(row + 1.0) * 4 + class;
}

static double draw(bool normal, const char *stream, int element, int index) {
    uint32_t hash = kd_stream_hash(stream);
    return normal ? kd_philox_normal(SEED, (uint32_t)element, (uint32_t)index, EPOCH, hash)
                  : kd_philox_uniform(SEED, (uint32_t)element, (uint32_t)index, EPOCH, hash);
}

/* Runs @objective after inject-noise with these options; the noisy logits, ROWS x CLASSES. */
static const double *inject(const char *options, KdArena *a) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdModule *m = kd_parse_module(text, strlen(text), "test.kir", &d);
    assert_non_null(m);
    KdPipeline p = { .passes = kd_arena_format(a, "inject-noise{%s}", options) };
    assert_true(kd_run_pipeline(m, &p, &d));
    const KdFunc *f = kd_module_func(m, "objective");
    KdTensor args[4], results[2];
    assert_int_equal(f->nargs, 4);
    for (int k = 0; k < 4; k++) args[k] = kd_tensor_create(a, f->args[k]->type, ROWS, 1);
    for (int e = 0; e < ROWS * CLASSES; e++) args[0].data[e] = logit(e / CLASSES, e % CLASSES);
    for (int e = 0; e < ROWS; e++) args[1].data[e] = index_of(e);
    args[2].data[0] = EPOCH;
    args[3].data[0] = STEP;
    KdInterp in = { .arena = a, .seed = SEED, .n = ROWS };
    assert_true(kd_interpret(&in, f, args, results, &d));
    /* What used the site, and the function's results, read the noisy value. */
    for (int e = 0; e < ROWS * CLASSES; e++) assert_true(results[1].data[e] == -results[0].data[e]);
    kd_module_destroy(m);
    return results[0].data;
}

static void compare(const char *options, bool additive, Draws (*expect)(int row, int class)) {
    KdArena *a = kd_arena_create();
    const double *found = inject(options, a);
    int chosen = 0;
    for (int e = 0; e < ROWS * CLASSES; e++) {
        double z = logit(e / CLASSES, e % CLASSES);
        Draws x = expect(e / CLASSES, e % CLASSES);
        double noisy = additive ? z + x.sigma * x.xi : (1 + x.sigma * x.xi) * z;
        double wanted = x.coin < 0.5 ? noisy : z;
        chosen += x.coin < 0.5;
        assert_true(fabs(found[e] - wanted) < 1e-6);
    }
    assert_true(chosen > 0);
    kd_arena_destroy(a);
}

static Draws per_sample_and_class(int row, int class) {
    int index = index_of(row);
    return (Draws){ 0.6, draw(true, "teacher.logits.xi", class, index),
                    draw(false, "teacher.logits.select", 0, index) };
}

static Draws per_sample(int row, int class) {
    (void)class;
    int index = index_of(row);
    return (Draws){ 0.25, draw(true, "teacher.logits.xi", 0, index), 0 };
}

static Draws per_batch(int row, int class) {
    double u = draw(false, "teacher.logits.sigma", 0, STEP);
    return (Draws){ 0.1 + 0.9 * u, draw(true, "teacher.logits.xi", class, STEP),
                    draw(false, "teacher.logits.select", 0, index_of(row)) };
}

static void test_each_sample_and_class(void **state) {
    (void)state;
    compare("sigma=%sigma,alpha=%alpha", false, per_sample_and_class);
}

static void test_one_number_a_sample(void **state) {
    (void)state;
    compare("kind=additive,scope=scalar,sigma=0.25", true, per_sample);
}

static void test_shared_by_the_batch(void **state) {
    (void)state;
    compare("draw=batch,sigma_lo=0.1,sigma_hi=1,alpha=0.5", false, per_batch);
}

/* In epoch 2, the third of 5, half of the way from 0.2 to 0.8. */
static Draws by_epochs(int row, int class) {
    return (Draws){ 0.5, draw(true, "teacher.logits.xi", class, index_of(row)), 0 };
}

static void test_sigma_by_epochs(void **state) {
    (void)state;
    compare("sigma_from=0.2,sigma_to=0.8,sigma_epochs=5", false, by_epochs);
    compare("sigma_from=0.1,sigma_to=0.5,sigma_epochs=2", false, by_epochs); /* it stays there */
}

/* --- in the mean ----------------------------------------------------------------------------- */

static const int times = 600;

static const char distilled[] =
    "kdc-ir 1\n"
    "func @objective(%g: f32[B<=64,5] input, %z: f32[B,5] input, %index: i32[B] index) -> (f32, "
    "f32[B,5]) {\n"
    "  %t = reshape %z : f32[B,5] role(teacher) site(\"teacher.logits\")\n"
    "  %d = sub %g, %t : f32[B,5]\n  %dd = mul %d, %d : f32[B,5]\n"
    "  %sum = reduce_sum %dd { axes = [0, 1] } : f32\n"
    "  %rows = rows : f32\n  %half = constant { value = 0.5 } : f32\n"
    "  %mean = div %sum, %rows : f32\n  %loss = mul %mean, %half : f32\n"
    "  %each = view %rows { at = [] } : f32[B,5]\n  %dg = div %d, %each : f32[B,5]\n"
    "  return %loss, %dg\n}\n";

/* Sums over draws, for a mean and its standard error. */
typedef struct Sum {
    double x, xx;
} Sum;

static void add(Sum *s, double x) {
    s->x += x;
    s->xx += x * x;
}

/* How many standard errors the mean is away from what is expected. */
static double distance(const Sum *s, double expected) {
    double mean = s->x / times, variance = (s->xx - times * mean * mean) / (times - 1);
    return variance > 0 ? (mean - expected) / sqrt(variance / times) : mean != expected;
}

static double student(int row, int class) {
    return cos(3.0 * row + class);
}

/* Loss 1/(2B) Σ |g - z'|² and its gradient by g, over so many draws. */
static void draw_often(const char *options, Sum *loss, Sum gradient[ROWS * CLASSES]) {
    KdArena *a = kd_arena_create();
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdModule *m = kd_parse_module(distilled, strlen(distilled), "test.kir", &d);
    assert_non_null(m);
    KdPipeline p = { .passes = kd_arena_format(a, "inject-noise{%s}", options) };
    assert_true(kd_run_pipeline(m, &p, &d));
    const KdFunc *f = kd_module_func(m, "objective");
    assert_int_equal(f->nargs, 5);
    for (int time = 0; time < times; time++) {
        KdArena *scratch = kd_arena_create();
        KdTensor args[5], results[2];
        for (int k = 0; k < 5; k++) args[k] = kd_tensor_create(scratch, f->args[k]->type, ROWS, 1);
        for (int e = 0; e < ROWS * CLASSES; e++) {
            args[0].data[e] = student(e / CLASSES, e % CLASSES);
            args[1].data[e] = logit(e / CLASSES, e % CLASSES);
        }
        for (int e = 0; e < ROWS; e++) args[2].data[e] = index_of(e);
        args[3].data[0] = args[4].data[0] = time;
        KdInterp in = { .arena = scratch, .seed = SEED, .n = ROWS };
        assert_true(kd_interpret(&in, f, args, results, &d));
        add(loss, results[0].data[0]);
        for (int e = 0; e < ROWS * CLASSES; e++) add(&gradient[e], results[1].data[e]);
        kd_arena_destroy(scratch);
    }
    kd_module_destroy(m);
    kd_arena_destroy(a);
}

/* E[L'] = L + alpha sigma² / (2B) Σ |z|², and E[dL'/dg] = (g - z) / B. Both hypotheses are kept at
 * a confidence of 99.9 %: 3.29 standard errors for the one mean, and 4.56 for each of 200
 * (Bonferroni: 0.1 % / 200, two-sided). That the test could see the term is seen by its size. */
static void check_means(const char *options, double alpha, double sigma) {
    Sum loss = { 0 }, gradient[ROWS * CLASSES] = { { 0 } };
    double clean = 0, squares = 0;
    draw_often(options, &loss, gradient);
    for (int e = 0; e < ROWS * CLASSES; e++) {
        double z = logit(e / CLASSES, e % CLASSES), g = student(e / CLASSES, e % CLASSES);
        clean += (g - z) * (g - z) / (2 * ROWS);
        squares += z * z;
        assert_true(fabs(distance(&gradient[e], (g - z) / (int)ROWS)) < 4.56);
    }
    double term = alpha * sigma * sigma / (2 * ROWS) * squares;
    assert_true(fabs(distance(&loss, clean + term)) < 3.29);
    assert_true(distance(&loss, clean) > 10);
    assert_true(fabs(distance(&loss, clean + term / alpha)) > 10); /* nor is everyone chosen */
}

static void test_means(void **state) {
    (void)state;
    check_means("sigma=0.6,alpha=0.3", 0.3, 0.6);
    check_means("sigma=0.6,alpha=0.3,draw=batch", 0.3, 0.6);
    check_means("sigma=0.5,alpha=0.5,scope=scalar", 0.5, 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sample_and_class),
        cmocka_unit_test(test_one_number_a_sample),
        cmocka_unit_test(test_shared_by_the_batch),
        cmocka_unit_test(test_sigma_by_epochs),
        cmocka_unit_test(test_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
