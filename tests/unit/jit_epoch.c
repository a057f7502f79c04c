/*
 * The generated epoch loop: every sample once, the last batch short, progress where it is due, a
 * stop, a resume, and a loss that is not finite stops before anything is updated.
 */
#include "jit_support.h"

#include <math.h>

/* A step: loss = mean of the gathered data; %w += step + 1 in place, in a second kernel. */
static const char step_text[] =
    "kdc-ir 1\n"
    "func @step(%x: f32[N] data, %i: i32[B<=4] index, %e: i32 epoch, %s: i32 step, %w: f32[3] slab)"
    " -> (f32, f32[3]) in_place = [-1, 4] arena = 64 {\n"
    "  %loss = kernel %x, %i { kind = \"reduce\" } : f32 @ arena+0 {\n"
    "    (%t: f32[N], %j: i32[B])\n"
    "    %g = gather %t, %j : f32[B]\n"
    "    %sum = reduce_sum %g { axes = [0] } : f32\n"
    "    %n = rows : f32\n"
    "    %m = div %sum, %n : f32\n"
    "    yield %m\n"
    "  }\n"
    "  %new = kernel %w, %s { kind = \"map\" } : f32[3] @ arg(4)+0 {\n"
    "    (%v: f32[3], %t: i32)\n"
    "    %f = cast %t : f32\n"
    "    %one = constant { value = 1 } : f32\n"
    "    %u = add %f, %one : f32\n"
    "    %b = view %u { at = [] } : f32[3]\n"
    "    %r = add %v, %b : f32[3]\n"
    "    yield %r\n"
    "  }\n"
    "  return %loss, %new\n"
    "}\n";

typedef struct Training {
    KdModule *m;
    KdDiag diag;
    KdObject *object;
    KdJit *jit;
    KdrtEpochFunction *run;
    KdrtEpoch epoch;
    void *args[5], *results[2];
    float *x, *w;
    int32_t *order, zero;
    int calls, stop_at;
} Training;

static int32_t count_calls(void *user, KdrtEpoch *now) {
    Training *t = user;
    assert_ptr_equal(now, &t->epoch);
    t->calls++;
    return t->calls == t->stop_at;
}

static void open_training(Training *t) {
    *t = (Training){ 0 };
    kd_diag_init(&t->diag, stderr, false);
    t->m = kd_parse_module(step_text, strlen(step_text), "step.kir", &t->diag);
    assert_non_null(t->m);
    t->m->target = kd_target_host(t->m->arena);
    const KdEntry entry = { t->m->first, true };
    t->object = kd_compile(t->m, 1, &entry, NULL, &t->diag);
    assert_non_null(t->object);
    t->jit = kd_jit_create(t->object, &t->diag);
    assert_non_null(t->jit);
    void *symbol = kd_jit_symbol(t->jit, "step_epoch");
    assert_non_null(symbol);
    memcpy(&t->run, &symbol, sizeof symbol);
    t->x = kdrt_alloc(10 * sizeof *t->x);
    t->w = kdrt_alloc(3 * sizeof *t->w);
    t->order = kdrt_alloc(10 * sizeof *t->order);
    for (int k = 0; k < 10; k++) {
        t->x[k] = (float)(k * k);
        t->order[k] = (k * 3 + 1) % 10;
    }
    t->args[0] = t->x;
    t->args[4] = t->w;
    t->epoch = (KdrtEpoch){ .order = t->order,
                            .samples = 10,
                            .batch = 4,
                            .progress_every = 2,
                            .progress = count_calls,
                            .user = t };
    t->epoch.frame = (KdrtFrame){ .args = t->args, .results = t->results };
    t->epoch.frame.arena = kdrt_alloc(64);
    t->epoch.frame.scratch_stride = kd_object_scratch(t->object);
    t->epoch.frame.scratch = kdrt_alloc(kd_object_scratch(t->object) + 1);
    t->epoch.args = t->args;
}

static void close_training(Training *t) {
    kdrt_free(t->epoch.frame.arena);
    kdrt_free(t->epoch.frame.scratch);
    kdrt_free(t->x);
    kdrt_free(t->w);
    kdrt_free(t->order);
    kd_jit_destroy(t->jit);
    kd_object_destroy(t->object);
    kd_module_destroy(t->m);
}

static void test_whole_epoch(void **state) {
    (void)state;
    Training t;
    open_training(&t);
    assert_int_equal(t.run(&t.epoch), KDRT_OK);
    assert_int_equal(t.epoch.done, 10);
    assert_int_equal(t.epoch.step, 3);
    assert_true(fabs(t.epoch.loss_sum - 285) < 1e-4); /* 0 + 1 + 4 + … + 81 */
    assert_true(t.epoch.loss == (t.x[t.order[8]] + t.x[t.order[9]]) / 2);
    assert_true(t.w[0] == 6 && t.w[2] == 6); /* 1 + 2 + 3 */
    assert_int_equal(t.calls, 2);            /* after step 2, and at the end */
    close_training(&t);
}

static void test_stop_and_resume(void **state) {
    (void)state;
    Training t;
    open_training(&t);
    t.stop_at = 1;
    assert_int_equal(t.run(&t.epoch), KDRT_STOPPED);
    assert_int_equal(t.epoch.done, 8);
    assert_int_equal(t.run(&t.epoch), KDRT_OK);
    assert_int_equal(t.epoch.done, 10);
    assert_true(fabs(t.epoch.loss_sum - 285) < 1e-4);
    assert_int_equal(t.run(&t.epoch), KDRT_OK); /* nothing left */
    assert_int_equal(t.epoch.step, 3);
    close_training(&t);
}

static void test_not_finite(void **state) {
    (void)state;
    Training t;
    open_training(&t);
    t.x[t.order[5]] = NAN;
    assert_int_equal(t.run(&t.epoch), KDRT_NOT_FINITE);
    assert_int_equal(t.epoch.done, 4);
    assert_int_equal(t.epoch.step, 1);
    assert_true(t.w[0] == 1);
    assert_true(isnan(t.epoch.loss));
    close_training(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_epoch),
        cmocka_unit_test(test_stop_and_resume),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
