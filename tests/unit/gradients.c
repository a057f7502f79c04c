/*
 * Gradients against central differences in the double-precision interpreter: every differentiable
 * op, convolutions with strides, padding, dilation and groups, pooling, odd accesses, and the
 * gradient of a gradient. A gradient that is zero everywhere fails too.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir/interp.h"
#include "ir/text.h"
#include "passes/pass.h"

enum { ROWS = 3, DATA_ROWS = 7 };

static const char every_op[] =
    "kdc-ir 1\nprogram { trained = \"s\" }\n"
    "param %s.w : f32[3,4] { init = \"constant\", value = 0 }\n"
    "param %s.v : f32[2,1,2,2] { init = \"constant\", value = 0 }\n"
    "param %s.p : f32[6] { init = \"constant\", value = 0 }\n"
    "param %s.q : f32[6] { init = \"constant\", value = 0 }\n"
    "func @objective(%i: i32[B<=4] index, %s.w: f32[3,4] param, %s.v: f32[2,1,2,2] param, "
    "%s.p: f32[6] param, %s.q: f32[6] param) -> (f32) {\n"
    "  %g = gather %s.w, %i : f32[B,4]\n"
    "  %x = reshape %g : f32[B,1,2,2]\n"
    "  %c = contract %x, %s.v { over = [2, 2], a = [d0, 0, d2 + d4 - 1, d3 - d5 + 1], "
    "b = [d1, 0, d4, d5] } : f32[B,2,3,3]\n"
    "  %t = tanh %c : f32[B,2,3,3]\n"
    "  %f = view %t { at = [d0, d1, 2, -d2 + 2] } : f32[B,2,4]\n"
    "  %r = view %f { at = [d0, d1, (d2 - 1)/2], fill = 3 } : f32[B,2,9]\n"
    "  %e = exp %r : f32[B,2,9]\n"
    "  %cat = concat %e, %r, %e { axis = 1 } : f32[B,6,9]\n"
    "  %s = reduce_sum %cat { axes = [0, 1, 2] } : f32\n"
    "  %pp = abs %s.p : f32[6]\n"
    "  %qq = min %s.q, %pp : f32[6]\n"
    "  %qm = max %qq, %s.p : f32[6]\n"
    "  %p3 = mul %pp, %qm : f32[6]\n"
    "  %three = constant { value = 3 } : f32[6]\n"
    "  %p4 = add %p3, %three : f32[6]\n"
    "  %pw = pow %p4, %qq : f32[6]\n"
    "  %sq = sqrt %p4 : f32[6]\n"
    "  %lg = log %pw : f32[6]\n"
    "  %dv = div %lg, %sq : f32[6]\n"
    "  %less = lt %s.p, %s.q : bool[6]\n"
    "  %sel = select %less, %sq, %lg : f32[6]\n"
    "  %ds = sub %dv, %sel : f32[6]\n"
    "  %cs = cos %ds : f32[6]\n"
    "  %ng = neg %cs : f32[6]\n"
    "  %same = cast %ng : f32[6]\n"
    "  %shown = print %same { label = \"x\" } : f32[6]\n"
    "  %dup = view %shown { at = [d0 + d1] } : f32[4,3]\n"
    "  %m = reduce_max %dup { axes = [0, 1] } : f32\n"
    "  %diag = view %s.w { at = [d0, d0 + 1] } : f32[3]\n"
    "  %dot = contract %dup, %s.w { over = [4], a = [d1, d0], b = [d0, d1] } : f32[3]\n"
    "  %both = mul %dot, %diag : f32[3]\n"
    "  %dd = contract %both, %dot { over = [3], a = [d0], b = [d0] } : f32\n"
    "  %sc = scatter_add %g, %i { rows = 3 } : f32[3,4]\n"
    "  %sc2 = mul %sc, %sc : f32[3,4]\n"
    "  %su = reduce_sum %sc2 { axes = [0, 1] } : f32\n"
    "  %sl = slab %s.p, %s.w : f32[32]\n"
    "  %sl2 = sin %sl : f32[32]\n"
    "  %sl3 = reduce_sum %sl2 { axes = [0] } : f32\n"
    "  %a1 = add %s, %m : f32\n"
    "  %a2 = add %a1, %dd : f32\n"
    "  %a3 = add %a2, %su : f32\n"
    "  %l = add %a3, %sl3 : f32\n"
    "  return %l\n}\n";

static const char convolutions[] =
    "kdc-ir 1\nprogram { trained = \"s\" }\n"
    "param %s.in : f32[7,2,9,9] { init = \"constant\", value = 0 }\n"
    "param %s.w : f32[3,2,3,3] { init = \"constant\", value = 0 }\n"
    "param %s.w2 : f32[2,3,2,2] { init = \"constant\", value = 0 }\n"
    "param %s.wd : f32[2,1,3,3] { init = \"constant\", value = 0 }\n"
    "param %s.unused : f32[5] { init = \"constant\", value = 0 }\n"
    "func @objective(%index: i32[B<=64] index, %s.w: f32[3,2,3,3] param, %s.w2: f32[2,3,2,2] "
    "param, %s.in: f32[7,2,9,9] param, %s.wd: f32[2,1,3,3] param) -> (f32) {\n"
    "  %in = gather %s.in, %index : f32[B,2,9,9]\n"
    "  %strided = contract %in, %s.w { over = [2, 3, 3], a = [d0, d4, 2*d2 + d5 - 1, 2*d3 + d6 - "
    "1], b = [d1, d4, d5, d6] } : f32[B,3,5,5]\n"
    "  %dilated = contract %strided, %s.w2 { over = [3, 2, 2], a = [d0, d4, d2 + 2*d5 - 1, d3 + "
    "2*d6 - 1], b = [d1, d4, d5, d6] } : f32[B,2,5,5]\n"
    "  %depthwise = contract %in, %s.wd { over = [3, 3], a = [d0, d1, d2 + d4, d3 + d5], b = "
    "[d1, 0, d4, d5] } : f32[B,2,7,7]\n"
    "  %win = view %depthwise { at = [d0, d1, 2*d2 + d4 - 1, 2*d3 + d5 - 1], fill = -inf } : "
    "f32[B,2,4,4,3,3]\n"
    "  %mp = reduce_max %win { axes = [4, 5] } : f32[B,2,4,4]\n"
    "  %sl = view %dilated { at = [d0, d1, d2 + 1, d3] } : f32[B,2,4,4]\n"
    "  %tiles = view %sl { at = [d0, d1, 2*d2 + d4, 2*d3 + d5] } : f32[B,2,2,2,2,2]\n"
    "  %pm = reduce_max %tiles { axes = [4, 5] } : f32[B,2,2,2]\n"
    "  %av = view %strided { at = [d0, d1, d2 + d4, d3 + d5] } : f32[B,3,4,4,2,2]\n"
    "  %as = reduce_sum %av { axes = [4, 5] } : f32[B,3,4,4]\n"
    "  %at = tanh %as : f32[B,3,4,4]\n"
    "  %cat = concat %at, %mp { axis = 1 } : f32[B,5,4,4]\n"
    "  %pick = view %cat { at = [d0, 2, d1, d1] } : f32[B,4]\n"
    "  %p2 = mul %pick, %pick : f32[B,4]\n"
    "  %s1 = reduce_sum %p2 { axes = [0, 1] } : f32\n"
    "  %sf = sin %cat : f32[B,5,4,4]\n"
    "  %s2 = reduce_sum %sf { axes = [0, 1, 2, 3] } : f32\n"
    "  %pc = cos %pm : f32[B,2,2,2]\n"
    "  %s3 = reduce_sum %pc { axes = [0, 1, 2, 3] } : f32\n"
    "  %s12 = add %s1, %s2 : f32\n"
    "  %s123 = add %s12, %s3 : f32\n"
    "  %n = rows : f32\n"
    "  %loss = div %s123, %n : f32\n"
    "  return %loss\n}\n";

static const char softmax[] =
    "kdc-ir 1\nprogram { trained = \"s\" }\n"
    "param %s.w : f32[4,5] { init = \"constant\", value = 0 }\n"
    "param %s.b : f32[4] { init = \"constant\", value = 0 }\n"
    "func @objective(%x: f32[N,5] data, %index: i32[B<=64] index, %s.w: f32[4,5] param, %s.b: "
    "f32[4] param) -> (f32) {\n"
    "  %in = gather %x, %index : f32[B,5]\n"
    "  %z0 = contract %in, %s.w { over = [5], a = [d0, d2], b = [d1, d2] } : f32[B,4]\n"
    "  %bias = view %s.b { at = [d1] } : f32[B,4]\n"
    "  %z = add %z0, %bias : f32[B,4]\n"
    "  %m = reduce_max %z { axes = [1] } : f32[B]\n"
    "  %stop = detach %m : f32[B]\n"
    "  %mb = view %stop { at = [d0] } : f32[B,4]\n"
    "  %zs = sub %z, %mb : f32[B,4]\n"
    "  %e = exp %zs : f32[B,4]\n"
    "  %s = reduce_sum %e { axes = [1] } : f32[B]\n"
    "  %l = log %s : f32[B]\n"
    "  %lb = view %l { at = [d0] } : f32[B,4]\n"
    "  %lp = sub %zs, %lb : f32[B,4]\n"
    "  %y = view %in { at = [d0, d1 + 1] } : f32[B,4]\n"
    "  %w = mul %lp, %y : f32[B,4]\n"
    "  %t = reduce_sum %w { axes = [0, 1] } : f32\n"
    "  %n = rows : f32\n"
    "  %loss = div %t, %n : f32\n"
    "  return %loss\n}\n";

/* --- the check ------------------------------------------------------------------------------ */

typedef struct Case {
    KdArena *a;
    KdModule *m;
    KdDiag d;
} Case;

static Case open_case(const char *text) {
    Case c = { .a = kd_arena_create() };
    kd_diag_init(&c.d, stderr, false);
    c.m = kd_parse_module(text, strlen(text), "test.kir", &c.d);
    assert_non_null(c.m);
    return c;
}

static void close_case(Case *c) {
    kd_module_destroy(c->m);
    kd_arena_destroy(c->a);
}

/* Some number in (-0.85, 0.95) that depends on both. */
static double number(const char *name, int64_t element) {
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    h = (h + (uint32_t)element * 977u) * 2654435761u;
    h ^= h >> 15;
    return ((double)(h % 100000u) / 50000.0 - 1) * 0.9 + 0.05;
}

static KdTensor *make_args(const Case *c, const KdFunc *f) {
    KdTensor *args = KD_NEW_ARRAY(c->a, KdTensor, f->nargs);
    for (int k = 0; k < f->nargs; k++) {
        args[k] = kd_tensor_create(c->a, f->args[k]->type, ROWS, DATA_ROWS);
        bool whole = f->args[k]->type.dtype != KD_F32;
        for (int64_t e = 0; e < args[k].count; e++)
            args[k].data[e] = whole ? (double)((e * 2) % 3) : number(f->args[k]->name, e);
    }
    return args;
}

static void run(Case *c, const KdFunc *f, const KdTensor *args, KdTensor *results) {
    KdInterp in = { .arena = c->a, .seed = 1, .n = ROWS };
    assert_true(kd_interpret(&in, f, args, results, &c->d));
}

/* Result 0 of f against element e of its argument. */
static double central_difference(Case *c, const KdFunc *f, KdTensor *args, int arg, int64_t e) {
    const double h = 1e-5;
    KdArena *kept = c->a;
    KdTensor up[2], down[2];
    double x = args[arg].data[e];
    c->a = kd_arena_create();
    args[arg].data[e] = x + h;
    run(c, f, args, up);
    args[arg].data[e] = x - h;
    run(c, f, args, down);
    args[arg].data[e] = x;
    double slope = (up[0].data[0] - down[0].data[0]) / (2 * h);
    kd_arena_destroy(c->a);
    c->a = kept;
    return slope;
}

/* Compares result 1 of @gradients, a slab, with differences of @objective's loss. */
static void check_gradients(Case *c) {
    const KdFunc *f = kd_module_func(c->m, "objective"), *g = kd_module_func(c->m, "gradients");
    KdTensor *args = make_args(c, f), loss[1], found[2];
    double largest = 0;
    assert_non_null(g);
    run(c, f, args, loss);
    run(c, g, args, found);
    assert_true(fabs(found[0].data[0] - loss[0].data[0]) < 1e-9);
    for (int k = 0; k < f->nargs; k++) {
        const KdParam *p = kd_param_of_value(c->m, f->args[k]);
        for (int64_t e = 0; p && e < args[k].count; e++) {
            double wanted = central_difference(c, f, args, k, e);
            double got = found[1].data[kd_slab_offset(c->m, p) + e];
            if (!(fabs(got - wanted) <= 1e-5 * (1 + fabs(wanted))))
                fail_msg("%s[%d]: %.9g, but the difference is %.9g", f->args[k]->name, (int)e, got,
                         wanted);
            largest = fmax(largest, fabs(got));
        }
    }
    assert_true(largest > 1e-3);
}

static void check(const char *text, const char *passes) {
    Case c = open_case(text);
    KdPipeline p = { .passes = passes };
    assert_true(kd_run_pipeline(c.m, &p, &c.d));
    check_gradients(&c);
    close_case(&c);
}

static void test_every_op(void **state) {
    (void)state;
    check(every_op, "autodiff");
    check(every_op, "canonicalize,autodiff,canonicalize{drop_detach=1}");
}

static void test_convolutions(void **state) {
    (void)state;
    check(convolutions, "autodiff");
    check(convolutions, "canonicalize,autodiff,canonicalize");
}

static void test_softmax(void **state) {
    (void)state;
    check(softmax, "canonicalize,autodiff,canonicalize");
}

/* --- gradients of gradients ----------------------------------------------------------------- */

/* @objective becomes |∂loss/∂params|², which is differentiated again. */
static void check_nested(const char *text) {
    Case c = open_case(text);
    KdFunc *f = kd_module_func(c.m, "objective");
    KdBuilder b = kd_builder(f, &c.d);
    KdValue *wrt[8], *grads[8], *sum = NULL;
    int n = 0;
    for (int k = 0; k < f->nargs; k++)
        if (kd_param_of_value(c.m, f->args[k])) wrt[n++] = f->args[k];
    assert_true(kd_append_gradients(&b, f->results[0], n, wrt, grads));
    for (int k = 0; k < n; k++) {
        int axes[KD_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };
        KdValue *square = kd_binary(&b, KD_OP_MUL, grads[k], grads[k]);
        KdValue *total = kd_reduce(&b, KD_OP_REDUCE_SUM, square, grads[k]->type.rank, axes);
        sum = sum ? kd_binary(&b, KD_OP_ADD, sum, total) : total;
    }
    assert_non_null(sum);
    kd_func_set_results(f, 1, &sum);
    KdPipeline p = { .passes = "autodiff,canonicalize" };
    assert_true(kd_run_pipeline(c.m, &p, &c.d));
    check_gradients(&c);
    close_case(&c);
}

static void test_gradient_of_gradient(void **state) {
    (void)state;
    check_nested(softmax);
    check_nested(every_op);
}

/* --- what must be refused ------------------------------------------------------------------- */

static void test_only_scalars_have_gradients(void **state) {
    (void)state;
    Case c = open_case("kdc-ir 1\nfunc @f(%x: f32[3] input) -> (f32[3]) {\n"
                       "  %y = exp %x : f32[3]\n  return %y\n}\n");
    KdFunc *f = c.m->first;
    KdBuilder b = kd_builder(f, &c.d);
    KdValue *out;
    c.d.out = NULL;
    assert_false(kd_append_gradients(&b, f->results[0], 1, f->args, &out));
    assert_non_null(strstr(c.d.last, "only an f32 scalar has one"));
    close_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_gradient_of_gradient),
        cmocka_unit_test(test_only_scalars_have_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
