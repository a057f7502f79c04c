/*
 * Adjoints against central differences, in double precision. For each case with result r the
 * function is y = Σ w·(r² + r) with random w, so that no term cancels; then z = Σ_k Σ v_k·∂y/∂x_k
 * is differentiated again, which tests the gradient of each gradient. A walk over the op table
 * fails for a differentiable op without a case.
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
#include "ir/verify.h"
#include "passes/pass.h"

enum { BATCH = 3, MAX_ARGS = 8 };

typedef struct Case {
    KdOp op;
    const char *args, *body, *type; /* body defines %r of that type */
    double low, high;               /* range of the operands */
    bool zero;                      /* nothing is to flow */
} Case;

#define A                          "%a: f32[2,3]"
#define AB                         "%a: f32[2,3], %b: f32[2,3]"
#define T                          "f32[2,3]"
#define UNARY(OP, NAME, LOW, HIGH) { KD_OP_##OP, A, "%r = " NAME " %a : " T, T, LOW, HIGH, false }
#define BINARY(OP, NAME, LOW, HIGH) \
    { KD_OP_##OP, AB, "%r = " NAME " %a, %b : " T, T, LOW, HIGH, false }
#define CASE(OP, ARGS, BODY, TYPE) { KD_OP_##OP, ARGS, BODY, TYPE, -1, 1, false }

static const Case cases[] = {
    UNARY(NEG, "neg", -1, 1),
    UNARY(ABS, "abs", -1, 1),
    UNARY(EXP, "exp", -1, 1),
    UNARY(LOG, "log", 0.5, 2),
    UNARY(TANH, "tanh", -1, 1),
    UNARY(SQRT, "sqrt", 0.5, 2),
    UNARY(SIN, "sin", -2, 2),
    UNARY(COS, "cos", -2, 2),
    UNARY(CAST, "cast", -1, 1),
    { KD_OP_DETACH, A, "%r = detach %a : " T, T, -1, 1, true },
    { KD_OP_FLOOR, A, "%r = floor %a : " T, T, 0.1, 0.9, true },
    BINARY(ADD, "add", -1, 1),
    BINARY(SUB, "sub", -1, 1),
    BINARY(MUL, "mul", -1, 1),
    BINARY(DIV, "div", 0.5, 2),
    BINARY(POW, "pow", 0.5, 2),
    BINARY(MAX, "max", -1, 1),
    BINARY(MIN, "min", -1, 1),
    CASE(MUL, A, "%r = mul %a, %a : " T, T), /* one operand twice */
    CASE(SELECT, AB, "%c = lt %a, %b : bool[2,3] %r = select %c, %a, %b : " T, T),
    CASE(RESHAPE, "%a: f32[B<=3,2,3]", "%r = reshape %a : f32[B,6]", "f32[B,6]"),
    /* transposed; broadcast; a slice; padded; every second; spread by 2; windows; a diagonal */
    CASE(VIEW, A, "%r = view %a { at = [d1, d0] } : f32[3,2]", "f32[3,2]"),
    CASE(VIEW, A, "%r = view %a { at = [d2, d0] } : f32[3,4,2]", "f32[3,4,2]"),
    CASE(VIEW, "%a: f32", "%r = view %a { at = [] } : f32[B,2]", "f32[B<=3,2]"),
    CASE(VIEW, "%a: f32[B<=3,5]", "%r = view %a { at = [d0, d1 + 2] } : f32[B,2]", "f32[B,2]"),
    CASE(VIEW, A, "%r = view %a { at = [d0 - 1, d1 - 2], fill = 0.5 } : f32[4,6]", "f32[4,6]"),
    CASE(VIEW, "%a: f32[7]", "%r = view %a { at = [2*d0 + 1] } : f32[3]", "f32[3]"),
    CASE(VIEW, "%a: f32[3]", "%r = view %a { at = [(d0 - 1)/2] } : f32[7]", "f32[7]"),
    CASE(VIEW, "%a: f32[6]", "%r = view %a { at = [-d0 + 5] } : f32[6]", "f32[6]"),
    CASE(VIEW, "%a: f32[2,6,6]",
         "%r = view %a { at = [d0, 2*d1 + d3 - 1, d2 + d4] } : f32[2,3,5,2,2]", "f32[2,3,5,2,2]"),
    CASE(VIEW, "%a: f32[8]", "%r = view %a { at = [3*d0 + 2*d1 - 1] } : f32[3,2]", "f32[3,2]"),
    CASE(CONCAT, "%a: f32[2,1], %b: f32[2,3]", "%r = concat %a, %b, %a { axis = 1 } : f32[2,5]",
         "f32[2,5]"),
    CASE(GATHER, "%a: f32[4,2], %i: i32[3]", "%r = gather %a, %i : f32[3,2]", "f32[3,2]"),
    CASE(SCATTER_ADD, "%a: f32[B<=3,2], %i: i32[B]",
         "%r = scatter_add %a, %i { rows = 4 } : f32[4,2]", "f32[4,2]"),
    CASE(SLAB, "%a: f32[2,3], %b: f32", "%r = slab %a, %b : f32[32]", "f32[32]"),
    CASE(REDUCE_SUM, "%a: f32[2,3,4]", "%r = reduce_sum %a { axes = [1] } : f32[2,4]", "f32[2,4]"),
    CASE(REDUCE_SUM, "%a: f32[B<=3,2]", "%r = reduce_sum %a { axes = [0] } : f32[2]", "f32[2]"),
    CASE(REDUCE_SUM, "%a: f32[B<=3,2]", "%r = reduce_sum %a { axes = [0, 1] } : f32", "f32"),
    CASE(REDUCE_MAX, "%a: f32[2,3,4]", "%r = reduce_max %a { axes = [0, 2] } : f32[3]", "f32[3]"),
    CASE(REDUCE_MAX, "%a: f32[B<=3,4]", "%r = reduce_max %a { axes = [1] } : f32[B]", "f32[B]"),
    /* the batch behind another axis */
    CASE(REDUCE_MAX, "%a: f32[B<=3,4]",
         "%t = view %a { at = [d1, d0] } : f32[4,B]\n"
         "%r = reduce_max %t { axes = [0, 1] } : f32",
         "f32"),
    CASE(REDUCE_MAX, "%a: f32[B<=3,2,2]",
         "%t = view %a { at = [d1, d0, d2] } : f32[2,B,2]\n"
         "%r = reduce_max %t { axes = [0, 1, 2] } : f32",
         "f32"),
    /* linear layer; a product over the batch; batched; outer; convolution, strided, padded, in
       groups */
    CASE(CONTRACT, "%a: f32[B<=3,4], %b: f32[2,4]",
         "%r = contract %a, %b { over = [4], a = [d0, d2], b = [d1, d2] } : f32[B,2]", "f32[B,2]"),
    CASE(CONTRACT, "%a: f32[B<=3,4], %b: f32[B,2]",
         "%r = contract %a, %b { over = [B], a = [d2, d0], b = [d2, d1] } : f32[4,2]", "f32[4,2]"),
    CASE(CONTRACT, "%a: f32[2,3,2], %b: f32[2,4,2]",
         "%r = contract %a, %b { over = [2], a = [d0, d1, d3], b = [d0, d2, d3] } : f32[2,3,4]",
         "f32[2,3,4]"),
    CASE(CONTRACT, "%a: f32[3], %b: f32[2]",
         "%r = contract %a, %b { over = [], a = [d0], b = [d1] } : f32[3,2]", "f32[3,2]"),
    CASE(CONTRACT, "%a: f32[B<=3,2,6,5], %b: f32[3,2,3,2]",
         "%r = contract %a, %b { over = [2, 3, 2], a = [d0, d4, 2*d2 + d5 - 1, d3 + d6], b = [d1, "
         "d4, d5, d6] }"
         " : f32[B,3,3,4]",
         "f32[B,3,3,4]"),
    CASE(
        CONTRACT, "%a: f32[2,4,3], %b: f32[2,3,2,2]",
        "%r = contract %a, %b { over = [2, 2], a = [d0, 2*d1 + d4, d3 + d5], b = [d1, d2, d4, d5] }"
        " : f32[2,2,3,2]",
        "f32[2,2,3,2]"),
    CASE(CONTRACT, A, "%r = contract %a, %a { over = [3], a = [d0, d2], b = [d1, d2] } : f32[2,2]",
         "f32[2,2]"),
    CASE(PRINT, A, "%r = print %a { label = \"a\" } : " T, T),
    /* log softmax, as scripts write it */
    CASE(SUB, "%a: f32[B<=3,4]",
         "%m = reduce_max %a { axes = [1] } : f32[B] %v = view %m { at = [d0] } : f32[B,4]\n"
         "%s = sub %a, %v : f32[B,4] %e = exp %s : f32[B,4] %t = reduce_sum %e { axes = [1] } : "
         "f32[B]\n"
         "%l = log %t : f32[B] %w = view %l { at = [d0] } : f32[B,4] %r = sub %s, %w : f32[B,4]",
         "f32[B,4]"),
};

/* --- numbers -------------------------------------------------------------------------------- */

static double random_number(uint32_t *state, double low, double high) {
    *state = *state * 1664525u + 1013904223u;
    return low + (high - low) * (double)(*state >> 8) * 0x1p-24;
}

static void fill(KdTensor *t, uint32_t *state, double low, double high) {
    for (int64_t k = 0; k < t->count; k++) {
        double x = random_number(state, low, high);
        t->data[k] = t->type.dtype == KD_I32 ? (double)(k * 2 % 3) : x;
    }
}

static void run(const KdFunc *f, KdArena *a, const KdTensor *args, KdTensor *results, KdDiag *d) {
    KdInterp in = { .arena = a, .n = BATCH };
    assert_true(kd_interpret(&in, f, args, results, d));
}

/* The derivative is zero by definition, where differences may see another. */
static void all_zero(const KdFunc *f, const KdTensor *args, const char *what, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdTensor *found = KD_NEW_ARRAY(a, KdTensor, f->nresults);
    run(f, a, args, found, d);
    for (int k = 1; k < f->nresults; k++) {
        for (int64_t j = 0; j < found[k].count; j++) {
            if (found[k].data[j] != 0) fail_msg("%s: something flows", what);
        }
    }
    kd_arena_destroy(a);
}

/* Holds results 1 … n, the gradients by arguments wrt[…], against central differences of result 0.
 * Gives the greatest gradient. */
static double compare(const KdFunc *f, KdTensor *args, int n, KdValue *const *wrt, const char *what,
                      KdDiag *d) {
    const double h = 1e-5;
    KdArena *a = kd_arena_create();
    KdTensor *found = KD_NEW_ARRAY(a, KdTensor, n + 1), *near = KD_NEW_ARRAY(a, KdTensor, n + 1);
    run(f, a, args, found, d);
    double most = 0;
    for (int k = 0; k < n; k++) {
        KdTensor *x = &args[wrt[k]->index];
        for (int64_t j = 0; j < x->count; j++) {
            double old = x->data[j];
            x->data[j] = old + h;
            run(f, a, args, near, d);
            double above = near[0].data[0];
            x->data[j] = old - h;
            run(f, a, args, near, d);
            double wanted = (above - near[0].data[0]) / (2 * h), has = found[1 + k].data[j];
            x->data[j] = old;
            if (fabs(has - wanted) > 1e-6 * (1 + fabs(wanted))) {
                fail_msg("%s: d/d%%%s[%d] is %.12g, by differences %.12g", what, wrt[k]->name,
                         (int)j, has, wanted);
            }
            if (fabs(has) > most) most = fabs(has);
        }
    }
    kd_arena_destroy(a);
    return most;
}

/* --- functions ------------------------------------------------------------------------------ */

static KdValue *sum_all(KdBuilder *b, KdValue *x) {
    int axes[KD_MAX_RANK];
    for (int k = 0; k < x->type.rank; k++) axes[k] = k;
    return x->type.rank ? kd_reduce(b, KD_OP_REDUCE_SUM, x, x->type.rank, axes) : x;
}

/* Σ x·w with a new argument w. */
static KdValue *weighted(KdBuilder *b, KdValue *x, const char *name) {
    KdValue *w = kd_func_add_arg(b->f, name, x->type, NULL);
    return sum_all(b, kd_binary(b, KD_OP_MUL, x, w));
}

/* The function returns y and its gradients. */
static void differentiate(KdBuilder *b, KdValue *y, int n, KdValue *const *wrt) {
    KdValue *results[MAX_ARGS + 1] = { y };
    assert_true(kd_append_gradients(b, y, n, wrt, results + 1));
    for (int k = 0; k < n; k++) {
        assert_non_null(results[1 + k]);
        assert_true(kd_type_equal(results[1 + k]->type, wrt[k]->type));
    }
    kd_func_set_results(b->f, n + 1, results);
}

static void check_case(const Case *c) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    char text[1500];
    snprintf(text, sizeof text, "kdc-ir 1\nfunc @f(%s) -> (%s) batch = 3 {\n%s\nreturn %%r }",
             c->args, c->type, c->body);
    KdModule *m = kd_parse_module(text, strlen(text), "case.kir", &d);
    if (!m) fail_msg("%s", text);
    KdFunc *f = kd_module_func(m, "f");
    KdArena *a = kd_arena_create();
    KdTensor args[MAX_ARGS];
    KdValue *wrt[MAX_ARGS];
    uint32_t seed = 12345;
    int n = 0, filled = 0;
    for (int k = 0; k < f->nargs; k++) {
        if (f->args[k]->type.dtype == KD_F32) wrt[n++] = f->args[k];
    }

    KdBuilder b = kd_builder(f, &d);
    KdValue *r = f->results[0];
    KdValue *square = kd_binary(&b, KD_OP_MUL, r, r);
    KdValue *y = weighted(&b, kd_binary(&b, KD_OP_ADD, square, r), "weights");
    differentiate(&b, y, n, wrt);
    assert_true(kd_verify(m, &d));
    for (; filled < f->nargs; filled++) {
        args[filled] = kd_tensor_create(a, f->args[filled]->type, BATCH, 1);
        fill(&args[filled], &seed, filled < n ? c->low : 0.3, filled < n ? c->high : 1.7);
    }
    if (c->zero) {
        all_zero(f, args, text, &d);
        kd_arena_destroy(a);
        kd_module_destroy(m);
        return;
    }
    double most = compare(f, args, n, wrt, text, &d);
    if (most < 1e-3) fail_msg("%s: the greatest gradient is %g", text, most);

    KdValue *z = NULL;
    for (int k = 0; k < n; k++) {
        KdValue *part = weighted(&b, f->results[1 + k], "direction");
        z = z ? kd_binary(&b, KD_OP_ADD, z, part) : part;
    }
    differentiate(&b, z, n, wrt);
    assert_true(kd_verify(m, &d));
    for (; filled < f->nargs; filled++) {
        args[filled] = kd_tensor_create(a, f->args[filled]->type, BATCH, 1);
        fill(&args[filled], &seed, -1, 1);
    }
    most = compare(f, args, n, wrt, text, &d);
    if (c->zero ? most != 0 : most < 1e-3)
        fail_msg("%s: the greatest second one is %g", text, most);
    kd_arena_destroy(a);
    kd_module_destroy(m);
}

static void against_differences(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) check_case(&cases[k]);
}

static void every_adjoint_has_a_case(void **state) {
    (void)state;
    static const char *const adjoint[KD_NUM_OPS] = {
#define KD_OP(e, text, nargs, infer, adjoint, emit, eval, traits, attrs, meaning) \
    [KD_OP_##e] = #adjoint,
#include "ir/ops.def"
    };
    for (int op = 0; op < KD_NUM_OPS; op++) {
        /* Calls and kernels have none: passes differentiate what they hold. */
        bool found = strcmp(adjoint[op], "none") == 0 || kd_op_has((KdOp)op, KD_T_STRUCTURE);
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) found |= (int)cases[k].op == op;
        if (!found) fail_msg("op %s has an adjoint and no case in this file", kd_op_text((KdOp)op));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_differences),
        cmocka_unit_test(every_adjoint_has_a_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
