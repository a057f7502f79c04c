/* Halves: every one survives the way to a double and back, and what lies between goes to the
 * nearest. */
#include "ir/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void check_all(void **state) {
    (void)state;
    double before = -1;
    for (int bits = 0; bits < 0x7c00; bits++) {
        double x = kd_half_value((uint16_t)bits);
        assert_true(x > before);
        assert_int_equal(kd_half_from(x), bits);
        assert_int_equal(kd_half_from(-x), bits | 0x8000);
        double middle = (before + x) / 2; /* a tie: to the even one */
        if (bits) assert_int_equal(kd_half_from(middle), bits % 2 ? bits - 1 : bits);
        if (bits) assert_int_equal(kd_half_from(nextafter(middle, 1e9)), bits);
        before = x;
    }
    assert_true(before == KD_HALF_MOST);
}

static void check_some(void **state) {
    (void)state;
    assert_int_equal(kd_half_from(1), 0x3c00);
    assert_int_equal(kd_half_from(-2.5), 0xc100);
    assert_int_equal(kd_half_from(0x1p-24), 1);
    assert_int_equal(kd_half_from(0x1p-26), 0);
    assert_int_equal(kd_half_from(65519), 0x7bff);
    assert_int_equal(kd_half_from(65520), 0x7c00);
    assert_int_equal(kd_half_from(1e30), 0x7c00);
    assert_true(isnan(kd_half_value(kd_half_from(NAN))));
    assert_true(isinf(kd_half_value(kd_half_from(-INFINITY))));
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_all), cmocka_unit_test(check_some) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
