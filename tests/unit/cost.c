/* What kernels cost by their shapes, and what a trace of a region holds. */
#include "ir/cost.h"
#include "runtime/host/progress.h"
#include "runtime/host/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void check_contraction(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdModule *m = kd_module_create(NULL);
    KdFunc *f = kd_func_create(m, "f", 8);
    const int64_t x[] = { KD_BATCH, 5 }, w[] = { 3, 5 };
    KdBuilder b = kd_builder(f, &d);
    KdValue *a0 = kd_func_add_arg(f, "x", kd_type(KD_F32, 2, x), KD_ARG_INPUT);
    KdValue *a1 = kd_func_add_arg(f, "w", kd_type(KD_F32, 2, w), KD_ARG_INPUT);
    KdValue *y = kd_matmul_nt(&b, a0, a1);
    KdValue *z = kd_binary(&b, KD_OP_ADD, y, y);
    KdCost product = kd_cost(y->def, 4), sum = kd_cost(z->def, 4);
    assert_true(product.contraction == 2.0 * 4 * 3 * 5 && product.elementwise == 0);
    assert_true(product.bytes == 4.0 * (4 * 5 + 3 * 5 + 4 * 3));
    assert_true(sum.contraction == 0 && sum.elementwise == 12);
    assert_true(sum.bytes == 4.0 * (12 + 12)); /* an operand that is read twice is moved once */
    assert_true(kd_cost(y->def, 2.5).contraction == 2 * 2.5 * 15);
    kd_module_destroy(m);
}

static void mark(const KdrtFrame *frame, int32_t task, int32_t worker) {
    (void)worker;
    ((int *)frame->args[0])[task]++;
}

static void check_trace(void **state) {
    (void)state;
    enum { TASKS = 37, CALLS = 3, SPANS = 4 };
    int seen[TASKS] = { 0 };
    void *args[] = { seen };
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(2, &pool), KDRT_OK);
    KdrtTrace *t = kdrt_trace_create(2, SPANS);
    assert_non_null(t);
    KdrtFrame frame = { .args = args, .pool = pool, .n = 7, .trace = t };
    double start = kdrt_seconds();
    for (int k = 0; k < CALLS; k++) kdrt_trace_parallel(&frame, mark, TASKS);
    double end = kdrt_seconds();
    for (int k = 0; k < TASKS; k++) assert_int_equal(seen[k], CALLS);
    const KdrtTimes *times = kdrt_trace_times(t, mark);
    assert_int_equal(times->calls, CALLS);
    assert_true(times->rows == 7 * CALLS && times->seconds <= end - start);
    assert_true(times->least * (double)CALLS <= times->seconds * 1.0000001);
    assert_true(t->seen_spans >= CALLS && t->seen_spans <= 2 * CALLS && t->nspans <= SPANS);
    float share = 0;
    for (int64_t k = 0; k < t->nspans && t->seen_spans <= SPANS; k++) share += t->span[k].share;
    assert_true(share == 0 || (share > 2.99f && share < 3.01f));
    assert_true(t->span[0].start >= start && t->span[0].end <= end);
    kdrt_trace_reset(t);
    assert_null(kdrt_trace_times(t, mark));
    frame.trace = NULL; /* then it is kdrt_parallel */
    kdrt_trace_parallel(&frame, mark, TASKS);
    assert_int_equal(seen[0], CALLS + 1);
    kdrt_trace_destroy(t);
    kdrt_pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_contraction),
                                        cmocka_unit_test(check_trace) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
