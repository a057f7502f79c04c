/*
 * The interpreter against values worked out by hand: one small function an op, its operands and
 * what it must give. A walk over the op table fails for an op without a case.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/interp.h"
#include "ir/text.h"
#include "runtime/kdrt.h"

#define N   (double)NAN
#define INF (double)INFINITY

typedef struct Case {
    KdOp op;
    const char *args, *body; /* arguments; instructions that define %r */
    const char *type;        /* of %r */
    double in[3][12];        /* by argument */
    double out[12];
} Case;

#define A4                      "%a: f32[4]"
#define A4B4                    "%a: f32[4], %b: f32[4]"
#define P4Q4                    "%a: bool[4], %b: bool[4]"
#define UN(OP, NAME, TYPE, ...) { KD_OP_##OP, A4, "%r = " NAME " %a : " TYPE, TYPE, __VA_ARGS__ }
#define BI(OP, NAME, ARGS, TYPE, ...) \
    { KD_OP_##OP, ARGS, "%r = " NAME " %a, %b : " TYPE, TYPE, __VA_ARGS__ }

static const Case cases[] = {
    UN(NEG, "neg", "f32[4]", { { 1, -2, 0.5, 0 } }, { -1, 2, -0.5, 0 }),
    UN(ABS, "abs", "f32[4]", { { 1, -2, 0.5, 0 } }, { 1, 2, 0.5, 0 }),
    UN(EXP, "exp", "f32[4]", { { 0, 1, -1, 2 } },
       { 1, 2.718281828459045, 0.36787944117144233, 7.38905609893065 }),
    UN(LOG, "log", "f32[4]", { { 1, 2.718281828459045, 2, 0 } },
       { 0, 1, 0.6931471805599453, -INF }),
    UN(TANH, "tanh", "f32[4]", { { 0, 1, -1, 30 } },
       { 0, 0.7615941559557649, -0.7615941559557649, 1 }),
    UN(SQRT, "sqrt", "f32[4]", { { 0, 4, 2, 0.25 } }, { 0, 2, 1.4142135623730951, 0.5 }),
    UN(SIN, "sin", "f32[4]", { { 0, 1.5707963267948966, 1, -1 } },
       { 0, 1, 0.8414709848078965, -0.8414709848078965 }),
    UN(COS, "cos", "f32[4]", { { 0, 3.141592653589793, 1, -1 } },
       { 1, -1, 0.5403023058681398, 0.5403023058681398 }),
    UN(FLOOR, "floor", "f32[4]", { { 1.5, -1.5, 2, -0.25 } }, { 1, -2, 2, -1 }),
    { KD_OP_NOT,
      "%a: bool[4]",
      "%r = not %a : bool[4]",
      "bool[4]",
      { { 0, 1, 1, 0 } },
      { 1, 0, 0, 1 } },
    UN(CAST, "cast", "i32[4]", { { 1.75, -1.75, 3, 0.5 } }, { 1, -1, 3, 0 }),
    UN(CAST, "cast", "i32[4]", { { 3e9, -INF, N, -0.5 } }, { 2147483647, -2147483648.0, 0, 0 }),
    UN(CAST, "cast", "u8[4]", { { 300, -1, N, 254.9 } }, { 255, 0, 0, 254 }),
    { KD_OP_CAST,
      "%a: i32[4]",
      "%r = cast %a : u8[4]",
      "u8[4]",
      { { 255, 256, -1, 300 } },
      { 255, 0, 255, 44 } },
    { KD_OP_CAST, A4, "%r = cast %a : bool[4]", "bool[4]", { { 0, 1, -0.5, 0 } }, { 0, 1, 1, 0 } },
    { KD_OP_CAST,
      "%a: u8[4]",
      "%r = cast %a : f32[4]",
      "f32[4]",
      { { 0, 255, 7, 1 } },
      { 0, 255, 7, 1 } },
    UN(DETACH, "detach", "f32[4]", { { 1, 2, 3, 4 } }, { 1, 2, 3, 4 }),
    BI(ADD, "add", A4B4, "f32[4]", { { 1, 2, 3, 4 }, { 10, -2, 0.5, 0 } }, { 11, 0, 3.5, 4 }),
    BI(SUB, "sub", A4B4, "f32[4]", { { 1, 2, 3, 4 }, { 10, -2, 0.5, 0 } }, { -9, 4, 2.5, 4 }),
    BI(MUL, "mul", A4B4, "f32[4]", { { 1, 2, 3, 4 }, { 10, -2, 0.5, 0 } }, { 10, -4, 1.5, 0 }),
    BI(MUL, "mul", "%a: i32[3], %b: i32[3]", "i32[3]",
       { { 2147483647, 65536, -3 }, { 2147483647, 65536, 5 } }, { 1, 0, -15 }),
    BI(ADD, "add", "%a: i32[2], %b: i32[2]", "i32[2]", { { 2147483647, 1 }, { 1, 2 } },
       { -2147483648.0, 3 }),
    BI(DIV, "div", A4B4, "f32[4]", { { 1, 2, 3, 4 }, { 10, -2, 0.5, 0 } }, { 0.1, -1, 6, INF }),
    BI(POW, "pow", A4B4, "f32[4]", { { 2, 0, 4, 10 }, { 3, 2, 0.5, -1 } }, { 8, 0, 2, 0.1 }),
    BI(POW, "pow", A4B4, "f32[4]", { { -2, -2, 1, 0 }, { 2, 0, N, 0 } }, { N, 1, 1, 1 }),
    BI(MAX, "max", A4B4, "f32[4]", { { 1, -2, 3, N }, { 2, -3, N, 5 } }, { 2, -2, 3, N }),
    BI(MIN, "min", A4B4, "f32[4]", { { 1, -2, 3, N }, { 2, -3, N, 5 } }, { 1, -3, 3, N }),
    BI(EQ, "eq", A4B4, "bool[4]", { { 1, 2, N, 0 }, { 1, 3, N, 0 } }, { 1, 0, 0, 1 }),
    BI(NE, "ne", A4B4, "bool[4]", { { 1, 2, N, 0 }, { 1, 3, N, 0 } }, { 0, 1, 1, 0 }),
    BI(LT, "lt", A4B4, "bool[4]", { { 1, 2, 3, N }, { 1, 3, 2, 0 } }, { 0, 1, 0, 0 }),
    BI(LE, "le", A4B4, "bool[4]", { { 1, 2, 3, N }, { 1, 3, 2, 0 } }, { 1, 1, 0, 0 }),
    BI(AND, "and", P4Q4, "bool[4]", { { 0, 0, 1, 1 }, { 0, 1, 0, 1 } }, { 0, 0, 0, 1 }),
    BI(OR, "or", P4Q4, "bool[4]", { { 0, 0, 1, 1 }, { 0, 1, 0, 1 } }, { 0, 1, 1, 1 }),
    { KD_OP_SELECT,
      "%c: bool[3], %a: f32[3], %b: f32[3]",
      "%r = select %c, %a, %b : f32[3]",
      "f32[3]",
      { { 1, 0, 1 }, { 1, 2, 3 }, { 4, 5, 6 } },
      { 1, 5, 3 } },
    { KD_OP_CONSTANT,
      "",
      "%r = constant { value = 2.5 } : f32[2]",
      "f32[2]",
      { { 0 } },
      { 2.5, 2.5 } },
    { KD_OP_IOTA,
      "",
      "%r = iota { axis = 1 } : i32[2,3]",
      "i32[2,3]",
      { { 0 } },
      { 0, 1, 2, 0, 1, 2 } },
    { KD_OP_ROWS, "%a: f32[B<=9,1]", "%r = rows : f32", "f32", { { 0 } }, { 3 } },
    { KD_OP_HYPER, "", "%r = hyper { name = \"h\" } : f32", "f32", { { 0 } }, { 0.75 } },
    { KD_OP_RESHAPE,
      "%a: f32[2,3]",
      "%r = reshape %a : f32[3,2]",
      "f32[3,2]",
      { { 1, 2, 3, 4, 5, 6 } },
      { 1, 2, 3, 4, 5, 6 } },
    { KD_OP_VIEW,
      "%a: f32[2,3]",
      "%r = view %a { at = [d1, d0] } : f32[3,2]",
      "f32[3,2]",
      { { 1, 2, 3, 4, 5, 6 } },
      { 1, 4, 2, 5, 3, 6 } },
    { KD_OP_VIEW,
      "%a: f32[3]",
      "%r = view %a { at = [d0 - 1], fill = -1 } : f32[5]",
      "f32[5]",
      { { 1, 2, 3 } },
      { -1, 1, 2, 3, -1 } },
    { KD_OP_VIEW,
      "%a: f32[3]",
      "%r = view %a { at = [(d0 + 1)/2] } : f32[6]",
      "f32[6]",
      { { 1, 2, 3 } },
      { 0, 2, 0, 3, 0, 0 } },
    { KD_OP_VIEW,
      "%a: f32[4]",
      "%r = view %a { at = [d0 + 2*d1] } : f32[2,2]",
      "f32[2,2]",
      { { 1, 2, 3, 4 } },
      { 1, 3, 2, 4 } },
    { KD_OP_CONCAT,
      "%a: f32[2,1], %b: f32[2,2]",
      "%r = concat %a, %b { axis = 1 } : f32[2,3]",
      "f32[2,3]",
      { { 1, 2 }, { 3, 4, 5, 6 } },
      { 1, 3, 4, 2, 5, 6 } },
    { KD_OP_GATHER,
      "%a: u8[N,2], %b: i32[B<=9]",
      "%r = gather %a, %b : u8[B,2]",
      "u8[B,2]",
      { { 1, 2, 3, 4, 5, 6, 7, 8 }, { 3, 0, 3 } },
      { 7, 8, 1, 2, 7, 8 } },
    { KD_OP_SCATTER_ADD,
      "%a: f32[B<=9,2], %b: i32[B]",
      "%r = scatter_add %a, %b { rows = 4 } : f32[4,2]",
      "f32[4,2]",
      { { 1, 2, 3, 4, 5, 6 }, { 3, 0, 3 } },
      { 3, 4, 0, 0, 0, 0, 6, 8 } },
    { KD_OP_REDUCE_SUM,
      "%a: f32[2,3]",
      "%r = reduce_sum %a { axes = [0] } : f32[3]",
      "f32[3]",
      { { 1, 2, 3, 4, 5, 6 } },
      { 5, 7, 9 } },
    { KD_OP_REDUCE_SUM,
      "%a: f32[B<=9,2]",
      "%r = reduce_sum %a { axes = [0, 1] } : f32",
      "f32",
      { { 1, 2, 3, 4, 5, 6 } },
      { 21 } },
    { KD_OP_REDUCE_MAX,
      "%a: f32[2,3]",
      "%r = reduce_max %a { axes = [1] } : f32[2]",
      "f32[2]",
      { { -1, -2, -3, 4, 6, 5 } },
      { -1, 6 } },
    { KD_OP_ARGMAX,
      "%a: f32[2,3]",
      "%r = argmax %a { axes = [1] } : i32[2]",
      "i32[2]",
      { { -1, -2, -1, 4, 6, 6 } },
      { 0, 1 } },
    { KD_OP_ARGMAX,
      "%a: f32[2,3]",
      "%r = argmax %a { axes = [0, 1] } : i32",
      "i32",
      { { -1, -2, -1, 4, 6, 6 } },
      { 4 } },
    /* [2,2] times the transpose of [3,2] */
    { KD_OP_CONTRACT,
      "%a: f32[2,2], %b: f32[3,2]",
      "%r = contract %a, %b { over = [2], a = [d0, d2], b = [d1, d2] } : f32[2,3]",
      "f32[2,3]",
      { { 1, 2, 3, 4 }, { 1, 0, 0, 1, 1, 1 } },
      { 1, 2, 3, 3, 4, 7 } },
    /* a 1-D convolution of width 3, padded by 1 */
    { KD_OP_CONTRACT,
      "%a: f32[4], %b: f32[3]",
      "%r = contract %a, %b { over = [3], a = [d0 + d1 - 1], b = [d1] } : f32[4]",
      "f32[4]",
      { { 1, 2, 3, 4 }, { 1, 10, 100 } },
      { 210, 321, 432, 43 } },
    /* bytes, signed and not, to 32 bits */
    { KD_OP_CONTRACT,
      "%a: u8[1,4], %b: i8[2,4]",
      "%r = contract %a, %b { over = [4], a = [d0, d2], b = [d1, d2] } : i32[1,2]",
      "i32[1,2]",
      { { 255, 255, 0, 2 }, { -128, -127, 5, 1, 127, 127, 127, 0 } },
      { -65023, 64770 } },
    /* over the batch */
    { KD_OP_CONTRACT,
      "%a: f32[B<=9,1], %b: f32[B,2]",
      "%r = contract %a, %b { over = [B], a = [d2, d0], b = [d2, d1] } : f32[1,2]",
      "f32[1,2]",
      { { 1, 2, 3 }, { 1, 4, 2, 5, 3, 6 } },
      { 14, 32 } },
    { KD_OP_PRINT,
      A4,
      "%r = print %a { label = \"x\" } : f32[4]",
      "f32[4]",
      { { 1, 2, 3, 4 } },
      { 1, 2, 3, 4 } },
    { KD_OP_CALL,
      A4,
      "%s, %r = call %a { callee = \"two\" } : f32[4], f32",
      "f32",
      { { 1, 2, 3, 4 } },
      { 10 } },
    { KD_OP_KERNEL,
      A4,
      "%r = kernel %a { kind = \"map\" } : f32[4] { (%x: f32[4]) %y = mul %x, %x : f32[4] yield %y "
      "}",
      "f32[4]",
      { { 1, 2, 3, 4 } },
      { 1, 4, 9, 16 } },
};

static KdModule *module_of(const char *args, const char *body, const char *type, KdDiag *d) {
    char text[1200];
    snprintf(text, sizeof text,
             "kdc-ir 1\nhyper %%h = 0.75\n"
             "func @two(%%x: f32[4]) -> (f32[4], f32) { %%n = neg %%x : f32[4]\n"
             "%%s = reduce_sum %%x { axes = [0] } : f32\n return %%n, %%s }\n"
             "func @f(%s) -> (%s) {\n %s\n return %%r\n}\n",
             args, type, body);
    kd_diag_init(d, stderr, false);
    KdModule *m = kd_parse_module(text, strlen(text), "case.kir", d);
    if (!m) fail_msg("%s", text);
    return m;
}

enum { BATCH = 3, ROWS = 4 };

static KdTensor run(KdModule *m, const double in[3][12], KdArena *a, bool round_f32, KdDiag *d) {
    const KdFunc *f = kd_module_func(m, "f");
    KdTensor args[3] = { 0 }, result;
    for (int k = 0; k < f->nargs; k++) {
        args[k] = kd_tensor_create(a, f->args[k]->type, BATCH, ROWS);
        for (int64_t n = 0; n < args[k].count; n++) args[k].data[n] = in[k][n];
    }
    KdInterp interp = { .arena = a, .n = BATCH, .round_f32 = round_f32, .seed = 7 };
    assert_true(kd_interpret(&interp, f, args, &result, d));
    return result;
}

static void hand_computed(void **state) {
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        KdDiag d;
        KdModule *m = module_of(cases[c].args, cases[c].body, cases[c].type, &d);
        KdArena *a = kd_arena_create();
        KdTensor r = run(m, cases[c].in, a, false, &d);
        for (int64_t k = 0; k < r.count; k++) {
            double wanted = cases[c].out[k], found = r.data[k];
            bool same = found == wanted || (isnan(found) && isnan(wanted)) ||
                        fabs(found - wanted) <= 1e-15 * fabs(wanted) + 1e-16;
            if (!same) {
                fail_msg("case %zu, %s: element %d is %.17g, not %.17g", c, kd_op_text(cases[c].op),
                         (int)k, found, wanted);
            }
        }
        kd_arena_destroy(a);
        kd_module_destroy(m);
    }
}

/* Slab: each operand at the next multiple of 16, gaps zero. */
static void slab(void **state) {
    (void)state;
    KdDiag d;
    KdModule *m = module_of("%a: f32[2], %b: f32, %c: f32[1,3]", "%r = slab %a, %b, %c : f32[48]",
                            "f32[48]", &d);
    KdArena *a = kd_arena_create();
    const double in[3][12] = { { 1, 2 }, { 3 }, { 4, 5, 6 } };
    KdTensor r = run(m, in, a, false, &d);
    for (int k = 0; k < 48; k++) {
        double wanted = k < 2 ? k + 1 : k == 16 ? 3 : k >= 32 && k < 35 ? k - 28 : 0;
        assert_true(r.data[k] == wanted);
    }
    kd_arena_destroy(a);
    kd_module_destroy(m);
}

/* Per sample the row of the data set is the index, per batch the step; both agree with libkdrt. */
static void random_numbers(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "%r = rng.uniform %a, %e { stream = \"noise\" } : f32[B,3]",
        "%r = rng.normal %a, %e { stream = \"noise\" } : f32[B,3]",
        "%r = rng.uniform %e, %e { stream = \"noise\" } : f32[B,3]",
        "%r = rng.normal %e, %e { stream = \"noise\" } : f32[B,3]",
    };
    const double in[3][12] = { { 5, 9, 5 }, { 2 } };
    uint32_t stream = kdrt_stream("noise");
    for (int c = 0; c < 4; c++) {
        KdDiag d;
        KdModule *m = module_of("%a: i32[B<=9], %e: i32", bodies[c], "f32[B,3]", &d);
        KdArena *a = kd_arena_create();
        KdTensor r = run(m, in, a, true, &d);
        for (uint32_t k = 0; k < 9; k++) {
            uint32_t index = c < 2 ? (uint32_t)in[0][k / 3] : 2, element = c < 2 ? k % 3 : k;
            float wanted = c % 2 ? kdrt_normal(7, element, index, 2, stream)
                                 : kdrt_uniform(7, element, index, 2, stream);
            assert_true((float)r.data[k] == wanted);
        }
        kd_arena_destroy(a);
        kd_module_destroy(m);
    }
}

static void every_op_has_a_case(void **state) {
    (void)state;
    for (int op = 0; op < KD_NUM_OPS; op++) {
        bool found = op == KD_OP_SLAB || op == KD_OP_RNG_UNIFORM || op == KD_OP_RNG_NORMAL;
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) found |= (int)cases[c].op == op;
        if (!found) fail_msg("op %s has no case in this file", kd_op_text((KdOp)op));
    }
}

static void rounding(void **state) {
    (void)state;
    KdDiag d;
    KdModule *m =
        module_of("%a: f32", "%b = constant { value = 3 } : f32\n%r = div %a, %b : f32", "f32", &d);
    KdArena *a = kd_arena_create();
    const double in[3][12] = { { 1 } };
    assert_true(run(m, in, a, false, &d).data[0] == 1.0 / 3);
    assert_true(run(m, in, a, true, &d).data[0] == (double)(1.0f / 3));
    kd_arena_destroy(a);
    kd_module_destroy(m);
}

static bool stop_at_nan(void *user, const KdInstr *i, const KdTensor *value) {
    for (int64_t k = 0; k < value->count; k++) {
        if (!isnan(value->data[k])) continue;
        *(const KdInstr **)user = i;
        return false;
    }
    return true;
}

/* The watcher stops at the first NaN, which is inside of a kernel here. */
static void watching(void **state) {
    (void)state;
    KdDiag d;
    KdModule *m =
        module_of("%a: f32",
                  "%k = kernel %a { kind = \"map\" } : f32 { (%x: f32) %n = neg %x : f32\n"
                  "%l = log %n : f32 yield %l }\n%r = add %k, %k : f32",
                  "f32", &d);
    KdArena *a = kd_arena_create();
    const KdFunc *f = kd_module_func(m, "f");
    KdTensor arg = kd_tensor_create(a, f->args[0]->type, 0, 0), result;
    arg.data[0] = 1;
    const KdInstr *found = NULL;
    KdInterp in = { .arena = a, .n = 0, .watch = stop_at_nan, .user = &found };
    assert_false(kd_interpret(&in, f, &arg, &result, &d));
    assert_int_equal(d.errors, 0);
    assert_non_null(found);
    assert_int_equal(found->op, KD_OP_LOG);
    kd_arena_destroy(a);
    kd_module_destroy(m);
}

static void wrong_arguments(void **state) {
    (void)state;
    KdDiag d;
    KdModule *m =
        module_of("%a: f32[N,1], %b: i32[B<=2]", "%r = gather %a, %b : f32[B,1]", "f32[B,1]", &d);
    kd_diag_init(&d, NULL, false);
    KdArena *a = kd_arena_create();
    const KdFunc *f = kd_module_func(m, "f");
    KdTensor args[2] = { kd_tensor_create(a, f->args[0]->type, 2, 5),
                         kd_tensor_create(a, f->args[1]->type, 2, 5) };
    KdTensor result;
    KdInterp in = { .arena = a, .n = 2 };
    assert_true(kd_interpret(&in, f, args, &result, &d));
    args[1].data[1] = 5;
    assert_false(kd_interpret(&in, f, args, &result, &d));
    assert_string_equal(d.last, "gather: index 1 is 5, out of the 5 rows");
    in.n = 1;
    assert_false(kd_interpret(&in, f, args, &result, &d));
    assert_string_equal(d.last, "@f: %b has 2 rows in a batch of 1");
    in.n = 3;
    args[1] = kd_tensor_create(a, f->args[1]->type, 3, 5);
    assert_false(kd_interpret(&in, f, args, &result, &d));
    assert_string_equal(d.last, "@f: a batch of 3, at least 1 and at most 2");
    args[0] = args[1];
    assert_false(kd_interpret(&in, f, args, &result, &d));
    assert_string_equal(d.last, "@f: %a takes f32[N,1], given i32[B]");
    kd_arena_destroy(a);
    kd_module_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hand_computed),   cmocka_unit_test(slab),
        cmocka_unit_test(random_numbers),  cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(rounding),        cmocka_unit_test(watching),
        cmocka_unit_test(wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
