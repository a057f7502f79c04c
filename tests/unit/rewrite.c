/* Functions and their rewriting: names, uses, removing, cloning, inlining, parameters in slabs. */
#include "ir/ir.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* func @f(%x: f32[4]) -> max(x + x, 0) */
static KdFunc *make(KdModule *m, KdDiag *d) {
    const int64_t dim[] = { 4 };
    KdFunc *f = kd_func_create(m, "f", 0);
    KdBuilder b = kd_builder(f, d);
    b.loc = (KdLoc){ "t.lua", 7 };
    KdValue *x = kd_func_add_arg(f, "x", kd_type(KD_F32, 1, dim), KD_ARG_INPUT);
    b.name = "sum";
    KdValue *sum = kd_binary(&b, KD_OP_ADD, x, x);
    sum->def->role = "student";
    KdValue *r = kd_binary(&b, KD_OP_MAX, sum, kd_constant_like(&b, sum, 0));
    kd_func_set_results(f, 1, &r);
    return f;
}

static void names(void **state) {
    (void)state;
    KdModule *m = kd_module_create(NULL);
    KdFunc *f = kd_func_create(m, "f", 0);
    assert_string_equal(kd_func_unique_name(f, "x"), "x");
    assert_string_equal(kd_func_unique_name(f, "x"), "x.1");
    assert_string_equal(kd_func_unique_name(f, "x.2"), "x.2");
    assert_string_equal(kd_func_unique_name(f, "x"), "x.3"); /* x.2 is taken */
    assert_string_equal(kd_func_unique_name(f, "12"), "12");
    assert_string_equal(kd_func_unique_name(f, "1st layer"), "_1st_layer");
    assert_string_equal(kd_func_unique_name(f, ""), "v");
    for (int k = 0; k < 20000; k++) kd_func_unique_name(f, "add"); /* linear, or this is slow */
    assert_string_equal(kd_func_unique_name(f, "add"), "add.20000");
    kd_module_destroy(m);
}

static void arguments_keep_their_names(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdModule *m = kd_module_create(NULL);
    KdFunc *f = make(m, &d);
    KdParam *p = kd_module_add_param(m, "net", "sum", kd_scalar(KD_F32));
    KdValue *sum = f->first->results[0];
    kd_value_rename(sum, "net.sum");
    KdValue *v = kd_func_param(f, p); /* the result gives way */
    assert_string_equal(v->name, "net.sum");
    assert_string_equal(sum->name, "net.sum.1");
    assert_ptr_equal(kd_func_param(f, p), v);
    assert_ptr_equal(kd_param_of_value(m, v), p);
    assert_null(kd_param_of_value(m, sum));
    assert_true(kd_verify(m, &d));
    kd_module_destroy(m);
}

static void uses(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdModule *m = kd_module_create(NULL);
    KdFunc *f = make(m, &d);
    KdArena *a = kd_arena_create();
    KdValue *x = f->args[0], *sum = f->first->results[0];
    int *n = kd_count_uses(f, a);
    assert_int_equal(n[x->id], 2);
    assert_int_equal(n[sum->id], 1);
    assert_int_equal(n[f->results[0]->id], 1);
    kd_replace_uses(sum, x);
    kd_instr_remove(sum->def);
    assert_ptr_equal(f->last->args[0], x);
    assert_true(kd_verify(m, &d));
    KdBuilder b = kd_builder(f, &d);
    b.name = "sum"; /* free again */
    KdValue *again = kd_unary(&b, KD_OP_NEG, x);
    assert_string_equal(again->name, "sum");
    kd_replace_uses(f->results[0], again);
    assert_ptr_equal(f->results[0], again);
    kd_instr_move_before(again->def, f->first);
    assert_ptr_equal(f->first, again->def);
    assert_true(kd_verify(m, &d));
    kd_arena_destroy(a);
    kd_module_destroy(m);
}

static void clones(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdModule *m = kd_module_create("t.lua");
    KdFunc *f = make(m, &d);
    KdFunc *g = kd_func_clone(f, "f");
    char *both = kd_module_text(m, m->arena);
    kd_func_remove(m, f);
    char *second = kd_module_text(m, m->arena);
    const char *first = strstr(both, "func @f"), *end = strstr(first + 1, "func @f");
    assert_non_null(end);
    assert_string_equal(end, strstr(second, "func @f"));
    assert_memory_equal(first, end, strlen(end) - 1); /* the same text twice */
    assert_ptr_equal(kd_module_func(m, "f"), g);
    assert_ptr_equal(m->last, g);
    kd_module_destroy(m);
}

static void inlines(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdModule *m = kd_module_create("t.lua");
    KdFunc *f = make(m, &d);
    KdFunc *g = kd_func_create(m, "g", 0);
    KdValue *y = kd_func_add_arg(g, "y", f->args[0]->type, KD_ARG_INPUT), *r;
    KdBuilder b = kd_builder(g, &d);
    kd_inline(&b, f, &y, "once", &r);
    assert_string_equal(g->first->results[0]->name, "once.sum");
    assert_string_equal(g->first->role, "student");
    assert_int_equal(g->first->loc.line, 7);
    assert_ptr_equal(g->first->args[0], y);
    b.role = "teacher";
    kd_inline(&b, f, &r, NULL, &r);
    assert_string_equal(r->def->role, "teacher");
    kd_func_set_results(g, 1, &r);
    assert_true(kd_verify(m, &d));
    kd_inline(&b, g, &r, "self", &r); /* of a function into itself: ends */
    kd_func_set_results(g, 1, &r);
    assert_true(kd_verify(m, &d));
    int n = 0;
    KD_EACH_INSTR(i, g) n++;
    assert_int_equal(n, 12);
    kd_module_destroy(m);
}

static void calls(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdModule *m = kd_module_create("t.lua");
    KdFunc *f = make(m, &d);
    KdFunc *g = kd_func_create(m, "g", 0);
    const int64_t dim[] = { 5 };
    KdValue *y = kd_func_add_arg(g, "y", f->args[0]->type, KD_ARG_INPUT);
    KdValue *z = kd_func_add_arg(g, "z", kd_type(KD_F32, 1, dim), KD_ARG_INPUT), *r;
    KdBuilder b = kd_builder(g, &d);
    assert_true(kd_call(&b, f, &y, &r));
    assert_true(kd_type_equal(r->type, y->type));
    assert_false(kd_call(&b, f, &z, &r));
    assert_string_equal(d.last, "call: operand 0 does not fit argument %x, f32[5] and f32[4]");
    assert_false(kd_call(&b, g, (KdValue *[]){ y, z }, &r));
    assert_string_equal(d.last, "call: @g calls itself");
    kd_module_destroy(m);
}

static void slabs(void **state) {
    (void)state;
    KdModule *m = kd_module_create(NULL);
    const int64_t dim[] = { 3, 7 };
    KdParam *w = kd_module_add_param(m, "a", "w", kd_type(KD_F32, 2, dim));
    KdParam *other = kd_module_add_param(m, "b", "w", kd_type(KD_F32, 2, dim));
    KdParam *bias = kd_module_add_param(m, "a", "bias", kd_scalar(KD_F32));
    assert_int_equal(kd_slab_offset(m, w), 0);
    assert_int_equal(kd_slab_offset(m, bias), 32); /* 21 elements take 32 */
    assert_int_equal(kd_slab_offset(m, other), 0);
    assert_int_equal(kd_slab_elements(m, "a"), 48);
    assert_int_equal(kd_slab_elements(m, "c"), 0);
    assert_ptr_equal(kd_module_param(m, "a", "bias"), bias);
    assert_null(kd_module_param(m, "b", "bias"));
    assert_int_equal(kd_module_add_hyper(m, "sigma", 1, (KdLoc){ 0 }), 0);
    assert_int_equal(kd_module_add_hyper(m, "alpha", 2, (KdLoc){ 0 }), 1);
    assert_int_equal(kd_module_add_hyper(m, "sigma", 3, (KdLoc){ 0 }), 0);
    assert_true(m->hypers[0]->value == 3);
    kd_module_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),   cmocka_unit_test(arguments_keep_their_names),
        cmocka_unit_test(uses),    cmocka_unit_test(clones),
        cmocka_unit_test(inlines), cmocka_unit_test(calls),
        cmocka_unit_test(slabs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
