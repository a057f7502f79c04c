/*
 * The injected noise against the paper's formula, number by number: each sample is chosen by a coin
 * of its own, and a chosen one's logits become (1 + sigma·xi)·z or z + sigma·xi, sigma a standard
 * deviation. Draws are asked straight from the generator, by stream name, element and index.
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sample_and_class),
        cmocka_unit_test(test_one_number_a_sample),
        cmocka_unit_test(test_shared_by_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
