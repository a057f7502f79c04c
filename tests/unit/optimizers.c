/*
 * @update of each optimiser, run for some steps by the interpreter, against PyTorch's formulas
 * written down here once more as plain loops; the schedules against their closed forms; and @step
 * against @gradients and @update run one after the other.
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

enum { P = 16, STEPS = 7 };

#define LR    0.05
#define DECAY 0.01

static const char head[] = "kdc-ir 1\n";
static const char body[] =
    "param %s.w : f32[2,4] { init = \"constant\", value = 0 }\n"
    "func @objective(%x: f32[N,4] data, %index: i32[B<=8] index, %s.w: f32[2,4] param) -> (f32) "
    "{\n"
    "  %in = gather %x, %index : f32[B,4]\n"
    "  %z = contract %in, %s.w { over = [4], a = [d0, d2], b = [d1, d2] } : f32[B,2]\n"
    "  %e = exp %z : f32[B,2]\n"
    "  %sum = reduce_sum %e { axes = [0, 1] } : f32\n"
    "  %n = rows : f32\n"
    "  %loss = div %sum, %n : f32\n"
    "  return %loss\n}\n";

typedef struct Case {
    KdArena *a;
    KdModule *m;
    KdDiag d;
} Case;

static Case open_case(const char *program) {
    Case c = { .a = kd_arena_create() };
    kd_diag_init(&c.d, stderr, false);
    const char *text = kd_arena_format(c.a, "%s%s%s", head, program, body);
    c.m = kd_parse_module(text, strlen(text), "test.kir", &c.d);
    assert_non_null(c.m);
    KdPipeline p = { .passes = "canonicalize,autodiff,optimize,canonicalize" };
    assert_true(kd_run_pipeline(c.m, &p, &c.d));
    return c;
}

static void close_case(Case *c) {
    kd_module_destroy(c->m);
    kd_arena_destroy(c->a);
}

static void run(Case *c, const char *name, const KdTensor *args, KdTensor *results) {
    KdInterp in = { .arena = c->a, .n = 3 };
    assert_true(kd_interpret(&in, kd_module_func(c->m, name), args, results, &c->d));
}

static KdTensor *make_args(Case *c, const char *name) {
    const KdFunc *f = kd_module_func(c->m, name);
    KdTensor *args = KD_NEW_ARRAY(c->a, KdTensor, f->nargs);
    for (int k = 0; k < f->nargs; k++) args[k] = kd_tensor_create(c->a, f->args[k]->type, 3, 5);
    return args;
}

static double gradient(int step, int element) {
    return sin(1 + 3 * step + element) * (element % 3 ? 1 : 1e-3);
}

/* --- the formulas --------------------------------------------------------------------------- */

/* One element's parameter, and its two states. */
typedef struct Element {
    double p, a, b;
} Element;

typedef void Formula(Element *x, double g, double lr, int t);

static void sgd(Element *x, double g, double lr, int t) {
    (void)t;
    x->p -= lr * (g + DECAY * x->p);
}

static void momentum(Element *x, double g, double lr, int t) {
    g += DECAY * x->p;
    x->a = t == 1 ? g : 0.9 * x->a + g;
    x->p -= lr * x->a;
}

static void nesterov(Element *x, double g, double lr, int t) {
    g += DECAY * x->p;
    x->a = t == 1 ? g : 0.9 * x->a + g;
    x->p -= lr * (g + 0.9 * x->a);
}

/* From 0.5 to 0.9 within four steps. */
static void rising_momentum(Element *x, double g, double lr, int t) {
    double mu = t > 4 ? 0.9 : 0.5 + 0.1 * (t - 1);
    x->a = mu * x->a + g + DECAY * x->p;
    x->p -= lr * x->a;
}

static void momentum_from_zero(Element *x, double g, double lr, int t) {
    x->a = (t > 4 ? 0.9 : 0.225 * (t - 1)) * x->a + g + DECAY * x->p;
    x->p -= lr * x->a;
}

static void rising_nesterov(Element *x, double g, double lr, int t) {
    double mu = t > 4 ? 0.9 : 0.5 + 0.1 * (t - 1);
    g += DECAY * x->p;
    x->a = mu * x->a + g;
    x->p -= lr * (g + mu * x->a);
}

static void adam_without_decay(Element *x, double g, double lr, int t) {
    x->a = 0.9 * x->a + (1 - 0.9) * g;
    x->b = 0.999 * x->b + (1 - 0.999) * g * g;
    double rate = lr / (1 - pow(0.9, t)), scale = sqrt(1 - pow(0.999, t));
    x->p -= rate * x->a / (sqrt(x->b) / scale + 1e-8);
}

static void adam(Element *x, double g, double lr, int t) {
    adam_without_decay(x, g + DECAY * x->p, lr, t);
}

static void adamw(Element *x, double g, double lr, int t) {
    x->p *= 1 - lr * DECAY;
    adam_without_decay(x, g, lr, t);
}

static void adadelta(Element *x, double g, double lr, int t) {
    (void)t;
    g += DECAY * x->p;
    x->a = 0.9 * x->a + (1 - 0.9) * g * g;
    double delta = sqrt(x->b + 1e-6) / sqrt(x->a + 1e-6) * g;
    x->b = 0.9 * x->b + (1 - 0.9) * delta * delta;
    x->p -= lr * delta;
}

static void rmsprop(Element *x, double g, double lr, int t) {
    (void)t;
    g += DECAY * x->p;
    x->a = 0.99 * x->a + (1 - 0.99) * g * g;
    x->p -= lr * g / (sqrt(x->a) + 1e-8);
}

/* --- the comparison ------------------------------------------------------------------------- */

/* Runs @update STEPS times; the rate of a step is LR · factor(step). */
static void compare(const char *program, Formula *formula, int nstates, double (*factor)(int)) {
    Case c = open_case(program);
    Element x[P] = { { 0 } };
    KdTensor *args = make_args(&c, "update"), results[3];
    for (int e = 0; e < P; e++) x[e].p = args[0].data[e] = cos(e);
    for (int step = 0; step < STEPS; step++) {
        for (int e = 0; e < P; e++) args[1].data[e] = gradient(step, e);
        args[2 + nstates].data[0] = step;
        run(&c, "update", args, results);
        args[0] = results[0];
        for (int k = 0; k < nstates; k++) args[2 + k] = results[1 + k];
        for (int e = 0; e < P; e++) {
            formula(&x[e], gradient(step, e), LR * (factor ? factor(step) : 1), step + 1);
            if (fabs(x[e].p - args[0].data[e]) > 1e-9)
                fail_msg("%s: step %d, element %d: %.12g, not %.12g", program, step, e,
                         args[0].data[e], x[e].p);
        }
    }
    close_case(&c);
}

#define PROGRAM(keys) "hyper %lr = 0.05\nprogram { trained = \"s\", " keys " }\n"
#define DECAYED       ", weight_decay = 0.01"

static void test_optimizers(void **state) {
    (void)state;
    compare(PROGRAM("optimizer = \"sgd\"" DECAYED), sgd, 0, NULL);
    compare(PROGRAM("optimizer = \"sgd\", momentum = 0.9" DECAYED), momentum, 1, NULL);
    compare(PROGRAM("optimizer = \"momentum\"" DECAYED), momentum, 1, NULL);
    compare(PROGRAM("optimizer = \"nesterov\"" DECAYED), nesterov, 1, NULL);
    compare(PROGRAM("optimizer = \"sgd\", momentum = 0.9, nesterov = 1" DECAYED), nesterov, 1,
            NULL);
    compare(PROGRAM("optimizer = \"adam\"" DECAYED), adam, 2, NULL);
    compare(PROGRAM("optimizer = \"adamw\""), adamw, 2, NULL);
    compare(PROGRAM("optimizer = \"adadelta\"" DECAYED), adadelta, 2, NULL);
    compare(PROGRAM("optimizer = \"rmsprop\"" DECAYED), rmsprop, 1, NULL);
}

static double halved_every_two(int step) {
    return pow(0.5, step / 2);
}

static double ramp(int step) {
    return step < 4 ? (step + 1) / 4.0 : 1;
}

/* Behind the last step of a training that is all warm-up. */
static double ramp_alone(int step) {
    return step > 4 ? 0 : ramp(step);
}

static double cosine_after_two(int step) {
    double done = step < 2 ? 0 : step > 6 ? 1 : (step - 2) / 4.0;
    return 0.5 * (1 + cos(3.14159265358979 * done)) * (step < 2 ? (step + 1) / 2.0 : 1);
}

static void test_schedules(void **state) {
    (void)state;
#define SGD "optimizer = \"sgd\", weight_decay = 0.01, "
    compare(PROGRAM(SGD "schedule = \"step\", schedule.every = 2, schedule.gamma = 0.5"), sgd, 0,
            halved_every_two);
    compare(PROGRAM(SGD "schedule = \"constant\", warmup = 4"), sgd, 0, ramp);
    compare(PROGRAM(SGD "schedule = \"cosine\", schedule.steps = 4, warmup = 4"), sgd, 0,
            ramp_alone);
    compare(PROGRAM(SGD "schedule = \"cosine\", schedule.steps = 6, warmup = 2"), sgd, 0,
            cosine_after_two);
#define RISING "momentum = 0.5, momentum.to = 0.9, momentum.steps = 4" DECAYED
    compare(PROGRAM("optimizer = \"sgd\", " RISING), rising_momentum, 1, NULL);
    compare(PROGRAM("optimizer = \"sgd\", nesterov = 1, " RISING), rising_nesterov, 1, NULL);
    compare(
        PROGRAM("optimizer = \"sgd\", momentum = 0, momentum.to = 0.9, momentum.steps = 4" DECAYED),
        momentum_from_zero, 1, NULL);
}

/* Schedules count batches, though an update takes two of them. */
static void test_accumulated_momentum(void **state) {
    (void)state;
    Case c = open_case(PROGRAM("optimizer = \"sgd\", accumulate = 2, momentum = 0.5, "
                               "momentum.to = 0.9, momentum.steps = 4"));
    KdTensor *args = make_args(&c, "update"), results[3]; /* p, g, momentum, sum, step */
    double p = args[0].data[0] = 1, u = 0;
    for (int step = 0; step < 8; step++) {
        args[1].data[0] = gradient(step, 0);
        args[4].data[0] = step;
        run(&c, "update", args, results);
        args[0] = results[0];
        args[2] = results[1];
        args[3] = results[2];
        if (step % 2 == 1) {
            u = (step < 4 ? 0.5 + 0.1 * step : 0.9) * u +
                (gradient(step - 1, 0) + gradient(step, 0)) / 2;
            p -= LR * u;
        }
        assert_true(fabs(args[0].data[0] - p) < 1e-9);
    }
    close_case(&c);
}

/* Bias correction in f32 keeps seven digits even at the first step, where 1 - beta^t cancels. */
static void test_bias_correction_is_accurate(void **state) {
    (void)state;
    Case c = open_case(PROGRAM("optimizer = \"adam\""));
    KdTensor *args = make_args(&c, "update"), results[3];
    for (int e = 0; e < P; e++) args[1].data[e] = 0.5;
    KdInterp in = { .arena = c.a, .round_f32 = true };
    assert_true(kd_interpret(&in, kd_module_func(c.m, "update"), args, results, &c.d));
    /* The first step of Adam is lr, whatever the gradient. */
    for (int e = 0; e < P; e++) assert_true(fabs(results[0].data[e] + LR) < 2e-7 * LR + 1e-9);
    close_case(&c);
}

static void test_step_composes(void **state) {
    (void)state;
    Case c = open_case(PROGRAM("optimizer = \"adam\""));
    const KdFunc *f = kd_module_func(c.m, "step");
    assert_string_equal(f->args[f->nargs - 3]->name, "params");
    assert_int_equal(f->in_place[0], -1);
    for (int k = 0; k < 3; k++) assert_int_equal(f->in_place[1 + k], f->nargs - 3 + k);

    /* data x, index, step, params, m, v */
    KdTensor *args = make_args(&c, "step"), *grad = make_args(&c, "gradients");
    KdTensor *update = make_args(&c, "update"), stepped[4], loss[2], updated[3];
    for (int64_t e = 0; e < args[0].count; e++) args[0].data[e] = sin((double)e);
    for (int e = 0; e < 3; e++) args[1].data[e] = e + 1;
    for (int e = 0; e < P; e++) args[f->nargs - 3].data[e] = e < 8 ? cos(e) : 0;
    grad[0] = args[0];
    grad[1] = args[1];
    memcpy(grad[2].data, args[f->nargs - 3].data, 8 * sizeof(double));
    run(&c, "step", args, stepped);
    run(&c, "gradients", grad, loss);
    update[0] = args[f->nargs - 3];
    update[1] = loss[1];
    run(&c, "update", update, updated);
    assert_true(stepped[0].data[0] == loss[0].data[0]);
    for (int k = 0; k < 3; k++)
        assert_memory_equal(stepped[1 + k].data, updated[k].data, P * sizeof(double));
    close_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_accumulated_momentum),
        cmocka_unit_test(test_bias_correction_is_accurate),
        cmocka_unit_test(test_step_composes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
