/* Types, accesses, the nearest name, and attribute rows. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void text_of_types(void **state) {
    (void)state;
    char buf[KD_TYPE_TEXT];
    const int64_t dim[] = { KD_BATCH, 3, 5 }, data[] = { KD_ROWS, 28 };
    assert_string_equal(kd_type_text(kd_type(KD_F32, 3, dim), buf), "f32[B,3,5]");
    assert_string_equal(kd_type_text(kd_type(KD_U8, 2, data), buf), "u8[N,28]");
    assert_string_equal(kd_type_text(kd_scalar(KD_BOOL), buf), "bool");
    const int64_t wide[KD_MAX_RANK] = { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
                                        INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX };
    assert_true(strlen(kd_type_text(kd_type(KD_F32, KD_MAX_RANK, wide), buf)) < KD_TYPE_TEXT);
}

static void sizes(void **state) {
    (void)state;
    const int64_t dim[] = { KD_BATCH, 3, 5 };
    KdType t = kd_type(KD_F32, 3, dim);
    assert_int_equal(kd_type_elements(t, 4, 0), 60);
    assert_int_equal(kd_type_bytes(t, 4, 0), 240);
    assert_int_equal(kd_type_bytes(kd_scalar(KD_U8), 4, 0), 1);
    int64_t stride[KD_MAX_RANK];
    kd_type_strides(t, 4, stride);
    assert_int_equal(stride[0], 15);
    assert_int_equal(stride[1], 5);
    assert_int_equal(stride[2], 1);
    assert_true(kd_type_has(t, KD_BATCH));
    assert_false(kd_type_has(t, KD_ROWS));
}

static void padding(void **state) {
    (void)state;
    const int64_t dim[] = { KD_BATCH, 3, 5 };
    KdType t = kd_type(KD_F32, 3, dim), dense = t;
    t.pad = 16;
    char buf[KD_TYPE_TEXT];
    assert_string_equal(kd_type_text(t, buf), "f32[B,3,5]+16");
    assert_int_equal(kd_type_elements(t, 4, 0), 60);
    assert_int_equal(kd_type_bytes(t, 4, 0), 4 * (15 + 16) * 4);
    int64_t stride[KD_MAX_RANK];
    kd_type_strides(t, 4, stride);
    assert_int_equal(stride[0], 31);
    assert_int_equal(stride[1], 5);
    assert_true(kd_type_equal(t, dense));
}

static void equality(void **state) {
    (void)state;
    const int64_t dim[] = { 2, 3 }, other[] = { 3, 2 };
    KdType t = kd_type(KD_F32, 2, dim);
    assert_true(kd_type_equal(t, kd_type(KD_F32, 2, dim)));
    assert_false(kd_type_equal(t, kd_type(KD_F32, 2, other)));
    assert_false(kd_type_equal(t, kd_type_with_dtype(t, KD_I32)));
    assert_true(kd_shape_equal(t, kd_type_with_dtype(t, KD_I32)));
    assert_false(kd_shape_equal(t, kd_scalar(KD_F32)));
}

static void index_terms(void **state) {
    (void)state;
    KdIndex x = kd_index_iter(2);
    assert_true(kd_index_is_iter(&x, 2));
    assert_true(kd_index_add(&x, 0, 3));
    assert_int_equal(x.term[0].iter, 0); /* sorted */
    assert_int_equal(x.term[1].iter, 2);
    assert_true(kd_index_add(&x, 2, -1)); /* cancels */
    assert_int_equal(x.nterms, 1);
    assert_false(kd_index_uses(&x, 2));
    for (int k = 1; k < KD_MAX_TERMS; k++) assert_true(kd_index_add(&x, k, 1));
    assert_false(kd_index_add(&x, 9, 1));
    assert_int_equal(x.nterms, KD_MAX_TERMS);
}

static void index_values(void **state) {
    (void)state;
    const int64_t at[] = { 5, 2 };
    int64_t got;
    KdIndex x = kd_index_iter(0); /* (2 d0 + d1 - 4) / 3 */
    x.term[0].coeff = 2;
    kd_index_add(&x, 1, 1);
    x.offset = -4;
    x.divisor = 4;
    assert_true(kd_index_eval(&x, at, 3, &got)); /* (10 + 2 - 4) / 4 */
    assert_int_equal(got, 2);
    assert_false(kd_index_eval(&x, at, 2, &got)); /* behind the end */
    x.divisor = 3;
    assert_false(kd_index_eval(&x, at, 9, &got)); /* 8 / 3 */
    x.offset = -20;
    x.divisor = 1;
    assert_false(kd_index_eval(&x, at, 9, &got)); /* before the start */
}

static void access_questions(void **state) {
    (void)state;
    KdAccess x = { 2, { kd_index_iter(0), kd_index_iter(1) } };
    KdAccess y = { 2, { kd_index_iter(1), kd_index_iter(0) } };
    assert_true(kd_access_is_identity(&x));
    assert_false(kd_access_is_identity(&y));
    assert_true(kd_access_equal(&x, &x));
    assert_false(kd_access_equal(&x, &y));
    assert_true(kd_access_uses(&x, 1));
    assert_false(kd_access_uses(&x, 2));
}

static void nearest(void **state) {
    (void)state;
    const char *const names[] = { "multiplicative", "sigma", "alpha", "draw" };
    assert_string_equal(kd_nearest("sigm", names, 4), "sigma");
    assert_string_equal(kd_nearest("aplha", names, 4), "alpha"); /* a swap */
    assert_string_equal(kd_nearest("multiplicativ", names, 4), "multiplicative");
    assert_null(kd_nearest("temperature", names, 4));
    assert_null(kd_nearest("", names, 4));
    char hostile[5000];
    memset(hostile, 'a', sizeof hostile - 1);
    hostile[sizeof hostile - 1] = 0;
    assert_null(kd_nearest(hostile, names, 4));
}

static void attributes(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    KdAttr *list = NULL;
    const int64_t axes[] = { 0, 2 };
    kd_attr_set_int(a, &list, "axis", 3);
    kd_attr_set_num(a, &list, "fill", 0.5);
    kd_attr_set_ints(a, &list, "axes", 2, axes);
    kd_attr_set_str(a, &list, "axis", "changed"); /* keeps its place, changes its kind */
    assert_string_equal(list->name, "axis");
    assert_string_equal(kd_attr_str(list, "axis", ""), "changed");
    assert_int_equal(kd_attr_int(list, "axis", -1), -1);
    assert_true(kd_attr_num(list, "fill", 0) == 0.5);
    kd_attr_set_str(a, &list, "axis", kd_attr_str(list, "axis", "")); /* onto itself */
    assert_string_equal(kd_attr_str(list, "axis", ""), "changed");
    KdAttr *copy = kd_attr_clone(a, list);
    kd_attr_set_int(a, &list, "fill", 2);
    assert_true(kd_attr_num(copy, "fill", 0) == 0.5);
    assert_int_equal(kd_attr_find(copy, "axes")->ints[1], 2);
    assert_ptr_not_equal(kd_attr_find(copy, "axes")->ints, kd_attr_find(list, "axes")->ints);
    kd_arena_destroy(a);
}

static void attribute_rows(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    const KdLoc loc = { "t.kir", 1 };
    const char *row = "axis:int,fill:num?,label:str?";
    KdAttr *list = NULL;
    assert_false(kd_check_attr_list(list, row, "view", loc, &d));
    assert_string_equal(d.last, "view: attribute 'axis' is missing");
    kd_attr_set_int(a, &list, "axis", 1);
    assert_true(kd_check_attr_list(list, row, "view", loc, &d));
    kd_attr_set_int(a, &list, "fill", 1); /* an integer is a number */
    assert_true(kd_check_attr_list(list, row, "view", loc, &d));
    kd_attr_set_str(a, &list, "fill", "one");
    assert_false(kd_check_attr_list(list, row, "view", loc, &d));
    assert_string_equal(d.last, "view: attribute 'fill' must be a number");
    list = NULL;
    kd_attr_set_int(a, &list, "axsi", 1);
    assert_false(kd_check_attr_list(list, row, "view", loc, &d));
    assert_string_equal(d.last, "view: unknown attribute 'axsi', did you mean 'axis'?");
    kd_arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_types),  cmocka_unit_test(sizes),
        cmocka_unit_test(padding),
        cmocka_unit_test(equality),       cmocka_unit_test(index_terms),
        cmocka_unit_test(index_values),   cmocka_unit_test(access_questions),
        cmocka_unit_test(nearest),        cmocka_unit_test(attributes),
        cmocka_unit_test(attribute_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
