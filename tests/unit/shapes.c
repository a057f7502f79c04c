/* Shape rules: what they infer, and the exact words of their errors. */
#include "ir/ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Bench {
    KdModule *m;
    KdFunc *f;
    KdDiag d;
    KdBuilder b;
} Bench;

static int setup(void **state) {
    Bench *t = calloc(1, sizeof *t);
    kd_diag_init(&t->d, NULL, false);
    t->m = kd_module_create("models/student.lua");
    t->f = kd_func_create(t->m, "f", 64);
    t->b = kd_builder(t->f, &t->d);
    t->b.loc = (KdLoc){ "models/student.lua", 14 };
    *state = t;
    return 0;
}

static int teardown(void **state) {
    Bench *t = *state;
    kd_module_destroy(t->m);
    free(t);
    return 0;
}

static KdValue *arg(Bench *t, KdDtype dtype, int rank, int64_t d0, int64_t d1) {
    const int64_t dim[] = { d0, d1 };
    return kd_func_add_arg(t->f, "x", kd_type(dtype, rank, dim), KD_ARG_INPUT);
}

/* v is a value of the type that `text` names. */
static void is(const KdValue *v, const char *text) {
    char buf[KD_TYPE_TEXT];
    assert_non_null(v);
    assert_string_equal(kd_type_text(v->type, buf), text);
}

/* v is NULL, and the last error reads so. */
static void fails(Bench *t, const KdValue *v, const char *text) {
    assert_null(v);
    assert_string_equal(t->d.last, text);
    assert_int_equal(t->d.last_loc.line, 14);
    t->d.last[0] = 0;
}

static void elementwise(void **state) {
    Bench *t = *state;
    KdValue *x = arg(t, KD_F32, 2, KD_BATCH, 10), *y = arg(t, KD_F32, 2, KD_BATCH, 12);
    KdValue *k = arg(t, KD_I32, 2, KD_BATCH, 10), *s = arg(t, KD_F32, 0, 0, 0);
    is(kd_binary(&t->b, KD_OP_ADD, x, x), "f32[B,10]");
    is(kd_binary(&t->b, KD_OP_LT, k, k), "bool[B,10]");
    is(kd_binary(&t->b, KD_OP_MUL, s, x), "f32[B,10]"); /* a scalar is broadcast */
    is(kd_binary(&t->b, KD_OP_SUB, s, s), "f32");
    is(kd_unary(&t->b, KD_OP_NEG, k), "i32[B,10]");
    is(kd_cast(&t->b, k, KD_F32), "f32[B,10]");
    is(kd_select(&t->b, kd_binary(&t->b, KD_OP_LT, x, s), x, s), "f32[B,10]");
    fails(t, kd_binary(&t->b, KD_OP_ADD, x, y), "add: shapes differ, f32[B,10] and f32[B,12]");
    fails(t, kd_binary(&t->b, KD_OP_ADD, x, k),
          "add: element types differ (use cast), f32[B,10] and i32[B,10]");
    fails(t, kd_binary(&t->b, KD_OP_DIV, k, k),
          "div: operands must be f32, i32[B,10] and i32[B,10]");
    fails(t, kd_unary(&t->b, KD_OP_EXP, k), "exp: operand must be f32, found i32[B,10]");
    fails(t, kd_select(&t->b, x, x, x), "select: the condition must be bool, found f32[B,10]");
    assert_null(kd_unary(&t->b, KD_OP_EXP, NULL)); /* says nothing twice */
    assert_string_equal(t->d.last, "");
}

static void movement(void **state) {
    Bench *t = *state;
    KdValue *x = arg(t, KD_F32, 2, KD_BATCH, 784), *w = arg(t, KD_F32, 2, 4, 6);
    const int64_t image[] = { KD_BATCH, 28, 28 }, odd[] = { KD_BATCH, 28, 27 };
    const int64_t flat[] = { 24 }, start[] = { 1, 2 }, part[] = { 3, 4 }, over[] = { 4, 4 };
    const int order[] = { 1, 0 }, twice[] = { 0, 0 };
    is(kd_reshape(&t->b, x, 3, image), "f32[B,28,28]");
    is(kd_reshape(&t->b, w, 1, flat), "f32[24]");
    is(kd_transpose(&t->b, w, order), "f32[6,4]");
    is(kd_slice(&t->b, w, start, part), "f32[3,4]");
    is(kd_concat(&t->b, 2, (KdValue *[]){ w, w }, 1), "f32[4,12]");
    is(kd_slab(&t->b, 2, (KdValue *[]){ w, w }), "f32[64]"); /* 24 -> 32 each */
    fails(t, kd_reshape(&t->b, x, 3, odd),
          "reshape: numbers of elements differ, f32[B,784] and f32[B,28,27]");
    fails(t, kd_reshape(&t->b, x, 1, flat), "reshape: B must stay, f32[B,784] and f32[24]");
    fails(t, kd_reshape(&t->b, x, 99, flat), "reshape: a tensor of rank 99, at most 8");
    fails(t, kd_transpose(&t->b, w, twice), "view: not an order of the dims of f32[4,6]");
    fails(t, kd_slice(&t->b, w, start, over), "view: slice from 1 of 4 leaves dim 0 of f32[4,6]");
    fails(t, kd_concat(&t->b, 2, (KdValue *[]){ w, x }, 0),
          "concat: the batch cannot be joined, f32[4,6] and f32[B,784]");
    fails(t, kd_slab(&t->b, 1, &x),
          "slab: operands must be f32 of constant shape, found f32[B,784]");
}

static void rows(void **state) {
    Bench *t = *state;
    KdValue *table = arg(t, KD_U8, 2, KD_ROWS, 784), *index = arg(t, KD_I32, 1, KD_BATCH, 0);
    KdValue *grad = arg(t, KD_F32, 2, KD_BATCH, 5);
    is(kd_gather(&t->b, table, index), "u8[B,784]");
    is(kd_scatter_add(&t->b, grad, index, 7), "f32[7,5]");
    fails(t, kd_gather(&t->b, table, grad),
          "gather: the index must be i32 of rank 1, found f32[B,5]");
    fails(t, kd_scatter_add(&t->b, grad, index, 0),
          "scatter_add: rows must be at least 1, found 0");
    fails(t, kd_cast(&t->b, table, KD_F32),
          "cast: only gather may read a whole data set, found u8[N,784]");
}

static void products(void **state) {
    Bench *t = *state;
    KdValue *x = arg(t, KD_F32, 2, KD_BATCH, 784), *w = arg(t, KD_F32, 2, 10, 784);
    KdValue *v = arg(t, KD_F32, 2, 10, 128);
    const int axes[] = { 1 }, back[] = { 1, 0 }, none[] = { 2 };
    is(kd_matmul_nt(&t->b, x, w), "f32[B,10]");
    is(kd_reduce(&t->b, KD_OP_REDUCE_SUM, x, 1, axes), "f32[B]");
    is(kd_reduce(&t->b, KD_OP_ARGMAX, x, 1, axes), "i32[B]");
    fails(t, kd_matmul_nt(&t->b, x, v), "contract: inner sizes differ, f32[B,784] and f32[10,128]");
    fails(t, kd_reduce(&t->b, KD_OP_REDUCE_SUM, x, 2, back),
          "reduce_sum: axes must ascend, for f32[B,784]");
    fails(t, kd_reduce(&t->b, KD_OP_REDUCE_MAX, x, 1, none), "reduce_max: no axis 2 in f32[B,784]");
    fails(t, kd_reduce(&t->b, KD_OP_REDUCE_MAX, x, 0, none),
          "reduce_max: no axes given for f32[B,784]");
}

static void leaves(void **state) {
    Bench *t = *state;
    const int64_t dim[] = { KD_BATCH, 10 };
    KdValue *index = arg(t, KD_I32, 1, KD_BATCH, 0), *epoch = arg(t, KD_I32, 0, 0, 0);
    kd_module_add_hyper(t->m, "sigma", 0.6, t->b.loc);
    is(kd_hyper(&t->b, "sigma"), "f32");
    is(kd_rows(&t->b), "f32");
    is(kd_iota(&t->b, kd_type(KD_F32, 2, dim), 1), "i32[B,10]");
    is(kd_rng(&t->b, KD_OP_RNG_NORMAL, index, epoch, kd_type(KD_F32, 2, dim), "noise"),
       "f32[B,10]");
    fails(t, kd_hyper(&t->b, "sigm"),
          "hyper: unknown hyperparameter 'sigm', did you mean 'sigma'?");
    fails(t, kd_iota(&t->b, kd_type(KD_I32, 2, dim), 2), "iota: no such axis, found i32[B,10]");
    fails(t, kd_rng(&t->b, KD_OP_RNG_NORMAL, index, epoch, kd_scalar(KD_F32), "noise"),
          "rng.normal: the index must have one entry per row, i32[B] and f32");
}

/* What a hostile text may ask for: nothing may overflow on the way to the error. */
static void limits(void **state) {
    Bench *t = *state;
    const int64_t huge[] = { INT64_MAX, INT64_MAX }, none[] = { 4, 0 };
    const int64_t large[] = { (int64_t)1 << 39, 1 };
    assert_null(kd_constant(&t->b, kd_type(KD_F32, 2, huge), 0));
    assert_non_null(strstr(t->d.last, "not a tensor that fits"));
    assert_null(kd_constant(&t->b, kd_type(KD_F32, 2, none), 0));
    KdValue *x = kd_constant(&t->b, kd_type(KD_F32, 2, large), 0);
    assert_non_null(x);
    assert_null(kd_concat(&t->b, 3, (KdValue *[]){ x, x, x }, 0));
    assert_null(kd_slab(&t->b, 3, (KdValue *[]){ x, x, x }));
    KdAccess access = { 2, { kd_index_iter(0), kd_index_constant(0) } };
    const int64_t one[] = { 1 };
    access.dim[0].term[0].coeff = INT64_MAX;
    fails(t, kd_view(&t->b, x, 1, one, &access, 0), "view: a coefficient of 9223372036854775807");
    access.dim[0].term[0].coeff = 1;
    access.dim[0].divisor = 0;
    fails(t, kd_view(&t->b, x, 1, one, &access, 0), "view: a divisor of 0");
    access.dim[0] = kd_index_iter(3);
    fails(t, kd_view(&t->b, x, 1, one, &access, 0), "view: no iterator d3, there are 1");
    KdContract c = { .nover = 2, .over = { INT64_MAX, INT64_MAX } };
    c.a = c.b = (KdAccess){ 2, { kd_index_iter(1), kd_index_iter(2) } };
    assert_null(kd_contract(&t->b, x, x, 1, one, &c));
    c.nover = KD_MAX_ITERS;
    fails(t, kd_contract(&t->b, x, x, 1, one, &c), "contract: 13 iterators, at most 12");
}

static void operands_are_named(void **state) {
    Bench *t = *state;
    char *text = NULL;
    size_t size = 0;
    t->d.out = open_memstream(&text, &size);
    KdValue *x = arg(t, KD_F32, 2, KD_BATCH, 10), *y = arg(t, KD_F32, 2, KD_BATCH, 12);
    x->loc = (KdLoc){ "models/student.lua", 3 };
    y->loc = (KdLoc){ "models/student.lua", 5 };
    assert_null(kd_binary(&t->b, KD_OP_MAX, x, y));
    fclose(t->d.out);
    t->d.out = NULL;
    assert_string_equal(
        text, "models/student.lua:14: error: max: shapes differ, f32[B,10] and f32[B,12]\n"
              "models/student.lua:3: note: %x: f32[B,10] made here\n"
              "models/student.lua:5: note: %x.1: f32[B,12] made here\n");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(elementwise, setup, teardown),
        cmocka_unit_test_setup_teardown(movement, setup, teardown),
        cmocka_unit_test_setup_teardown(rows, setup, teardown),
        cmocka_unit_test_setup_teardown(products, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(operands_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
