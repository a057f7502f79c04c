/* Student's t against printed tables (Abramowitz & Stegun 26.10) and values of R's pt and qt. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/host/statistics.h"

static void critical_values(void **state) {
    (void)state;
    static const struct {
        double alpha;
        int df;
        double t;
    } table[] = { { .05, 1, 12.706205 }, { .05, 2, 4.302653 },  { .05, 4, 2.776445 },
                  { .05, 9, 2.262157 },  { .01, 10, 3.169273 }, { .05, 120, 1.979930 } };
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        assert_true(fabs(kdrt_t_critical(table[k].alpha, table[k].df) - table[k].t) < 1e-6);
}

static void p_values(void **state) {
    (void)state;
    assert_true(fabs(kdrt_t_two_sided(1, 1) - 0.5) < 1e-12);
    assert_true(fabs(kdrt_t_two_sided(-2.776445105, 4) - 0.05) < 1e-9);
    assert_true(fabs(kdrt_t_two_sided(0, 7) - 1) < 1e-12);
    assert_true(isnan(kdrt_t_two_sided(NAN, 3)));
}

/* 1 2 3 4 5: mean 3, standard error sqrt(2.5 / 5), t = 4.2426 with 4 degrees of freedom. */
static void mean_of_five(void **state) {
    (void)state;
    const double x[] = { 1, 2, 3, 4, 5 };
    KdrtMean m = kdrt_mean(x, 5);
    assert_true(fabs(m.mean - 3) < 1e-12);
    assert_true(fabs(m.half_width - 2.776445105 * sqrt(0.5)) < 1e-8);
    assert_true(fabs(m.p - 0.013236) < 1e-6);
    assert_true(isnan(kdrt_mean(x, 1).half_width));
    const double same[] = { 2, 2, 2 };
    assert_true(kdrt_mean(same, 3).half_width == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(critical_values),
        cmocka_unit_test(p_values),
        cmocka_unit_test(mean_of_five),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
