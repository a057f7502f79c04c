/*
 * Register tiles of products of matrices: how many vectors wide they are, so that two workers who
 * share the panels of columns have nearly the same of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/contract.h"

/* [128, columns] = [128, 512] times [512, columns], by vectors of 16. */
static KdPlan product(int64_t columns) {
    KdPlan p = { .rank = 2, .niters = 3, .lanes = 16, .row_linear = true };
    const int64_t extent[] = { 128, columns, 512 };
    for (int k = 0; k < 3; k++) p.extent[k] = p.most[k] = extent[k];
    p.rows = (KdFlat){ .n = 1, .iter = { 0 } };
    p.inner = (KdFlat){ .n = 1, .iter = { 1 } };
    p.sum = (KdFlat){ .n = 1, .iter = { 2 } };
    p.s.linear = true;
    return p;
}

static void expect_width(int64_t columns, int registers, int width) {
    const KdTarget t = { .vector_bits = 512, .registers = registers };
    KdPlan p = product(columns);
    kd_choose_tile(&p, &t);
    const KdSplit *c = &p.col_panels;
    assert_int_equal(c->size[0], width);
    assert_int_equal(c->count[0] * c->size[0] + c->count[1] * c->size[1], (columns + 15) / 16);
}

static void test_widths(void **state) {
    (void)state;
    expect_width(800, 32, 5);  /* 10 panels, where four wide ones would be 13 */
    expect_width(1024, 32, 4); /* 16; five wide ones would be 13 */
    expect_width(784, 32, 4);  /* no width shares 49 vectors better */
    expect_width(480, 32, 3);  /* 10; of 8 panels the first four would be larger ones */
    expect_width(512, 32, 4);  /* of 7 wider panels each would be packed twice */
    expect_width(160, 32, 4);  /* three panels: workers share the rows */
    expect_width(800, 16, 3);  /* registers for no more */
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_widths) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
