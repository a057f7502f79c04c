/*
 * fuse: which kernels a function becomes. A function is written as text, and its kernels are read
 * off as a line of kinds in order, each with the number of its results.
 */
#include "pass_support.h"

/* "contract:2 reduce:1" */
static const char *kinds(const KdFunc *f) {
    char *line = kd_arena_string(f->module->arena, "");
    KD_EACH_INSTR(i, f) {
        if (i->op != KD_OP_KERNEL) continue;
        line = kd_arena_format(f->module->arena, "%s%s%s:%d", line, *line ? " " : "",
                               kd_attr_str(i->attrs, "kind", "?"), i->nresults);
    }
    return line;
}

static void expect(const char *text, const char *passes, const char *line) {
    KdModule *m = pass_run(text, passes);
    assert_string_equal(kinds(m->last), line);
    kd_module_destroy(m);
}

static const char layer[] =
    "kdc-ir 1\n"
    "func @layer(%x: f32[B<=64,20] input, %w: f32[30,20] input, %b: f32[30] input)"
    " -> (f32[B,30], bool[B,30]) {\n"
    "  %c = contract %x, %w { over = [20], a = [d0, d2], b = [d1, d2] } : f32[B,30]\n"
    "  %bias = view %b { at = [d1] } : f32[B,30]\n"
    "  %s = add %c, %bias : f32[B,30]\n"
    "  %zero = constant { value = 0 } : f32[B,30]\n"
    "  %r = max %s, %zero : f32[B,30]\n"
    "  %mask = lt %zero, %s : bool[B,30]\n"
    "  return %r, %mask\n"
    "}\n";

static void bias_relu_and_mask_are_an_epilogue(void **state) {
    (void)state;
    expect(layer, "fuse", "contract:2");
}

static void without_merging_each_op_is_a_kernel(void **state) {
    (void)state;
    expect(layer, "fuse{merge=0}", "contract:1 map:1 map:1 map:1");
}

static void fused_functions_stay(void **state) {
    (void)state;
    expect(layer, "fuse,fuse", "contract:2");
}

/* Scalars are copied into each kernel that reads them; here by 2^100 ways. */
static void doubled_scalars_are_followed_once(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    const char *text = "kdc-ir 1\nfunc @chain(%y0: f32 input) -> (f32) {\n";
    for (int k = 0; k < 100; k++)
        text = kd_arena_format(a, "%s  %%y%d = add %%y%d, %%y%d : f32\n", text, k + 1, k, k);
    expect(kd_arena_format(a, "%s  return %%y100\n}\n", text), "fuse", "map:1");
    kd_arena_destroy(a);
}

static void softmax_loss_is_one_row_kernel(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @loss(%x: f32[B<=64,10] input, %y: i32[B] input) -> (f32, f32[B,10]) {\n"
           "  %m = reduce_max %x { axes = [1] } : f32[B]\n"
           "  %mb = view %m { at = [d0] } : f32[B,10]\n"
           "  %s = sub %x, %mb : f32[B,10]\n"
           "  %e = exp %s : f32[B,10]\n"
           "  %z = reduce_sum %e { axes = [1] } : f32[B]\n"
           "  %zb = view %z { at = [d0] } : f32[B,10]\n"
           "  %p = div %e, %zb : f32[B,10]\n"
           "  %yb = view %y { at = [d0] } : i32[B,10]\n"
           "  %k = iota { axis = 1 } : i32[B,10]\n"
           "  %hot = eq %yb, %k : bool[B,10]\n"
           "  %zero = constant { value = 0 } : f32[B,10]\n"
           "  %one = constant { value = 1 } : f32[B,10]\n"
           "  %h = select %hot, %one, %zero : f32[B,10]\n"
           "  %g = sub %p, %h : f32[B,10]\n"
           "  %at = select %hot, %s, %zero : f32[B,10]\n"
           "  %own = reduce_sum %at { axes = [1] } : f32[B]\n"
           "  %lz = log %z : f32[B]\n"
           "  %each = sub %lz, %own : f32[B]\n"
           "  %sum = reduce_sum %each { axes = [0] } : f32\n"
           "  %n = rows : f32\n"
           "  %mean = div %sum, %n : f32\n"
           "  return %mean, %g\n"
           "}\n",
           "fuse", "row:2 reduce:1");
}

/* The reduced axis is kept as a dim of one element: the views read through it. */
static void kept_axes_do_not_split_a_row(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @f(%x: f32[B<=64,10] input) -> (f32[B,10]) {\n"
           "  %m = reduce_max %x { axes = [1] } : f32[B]\n"
           "  %m1 = reshape %m : f32[B,1]\n"
           "  %mb = view %m1 { at = [d0, 0] } : f32[B,10]\n"
           "  %s = sub %x, %mb : f32[B,10]\n"
           "  %e = exp %s : f32[B,10]\n"
           "  %z = reduce_sum %e { axes = [1] } : f32[B]\n"
           "  %z1 = view %z { at = [d0] } : f32[B,1]\n"
           "  %l = log %z1 : f32[B,1]\n"
           "  %lb = view %l { at = [d0, 0] } : f32[B,10]\n"
           "  %p = sub %s, %lb : f32[B,10]\n"
           "  return %p\n"
           "}\n",
           "fuse", "row:1");
}

static void pooling_finds_maximum_and_place_at_once(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @pool(%x: f32[B<=64,3,8,8] input) -> (f32[B,3,4,4], i32[B,3,4,4]) {\n"
           "  %w = view %x { at = [d0, d1, 2*d2 + d4, 2*d3 + d5] } : f32[B,3,4,4,2,2]\n"
           "  %m = reduce_max %w { axes = [4, 5] } : f32[B,3,4,4]\n"
           "  %a = argmax %w { axes = [4, 5] } : i32[B,3,4,4]\n"
           "  return %m, %a\n"
           "}\n",
           "fuse", "map:2");
}

/* %t needs %c, and %c's kernel would need %t were %u fused behind %c: a circle. */
static void kernels_form_no_circle(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @f(%x: f32[B<=8,4] input, %w: f32[4,4] input) -> (f32[B,4]) {\n"
           "  %c = contract %x, %w { over = [4], a = [d0, d2], b = [d1, d2] } : f32[B,4]\n"
           "  %s = reduce_sum %c { axes = [0] } : f32[4]\n"
           "  %t = view %s { at = [d1] } : f32[B,4]\n"
           "  %u = mul %c, %t : f32[B,4]\n"
           "  return %u\n"
           "}\n",
           "fuse", "contract:1 reduce:1 map:1");
}

/* exp is read by every row of the broadcast: it is computed once, in a kernel of its own. */
static void costly_work_is_not_repeated(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @f(%x: f32[B<=8,4] input, %v: f32[4] input) -> (f32[B,4]) {\n"
           "  %e = exp %v : f32[4]\n"
           "  %b = view %e { at = [d1] } : f32[B,4]\n"
           "  %y = mul %x, %b : f32[B,4]\n"
           "  return %y\n"
           "}\n",
           "fuse", "map:1 map:1");
}

/* relu moves in front of the flatten that follows the contraction. */
static void reshapes_move_behind_the_epilogue(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @f(%x: f32[B<=8,4] input, %w: f32[2,3,4] input) -> (f32[B,6]) {\n"
           "  %c = contract %x, %w { over = [4], a = [d0, d3], b = [d1, d2, d3] } : f32[B,2,3]\n"
           "  %f = reshape %c : f32[B,6]\n"
           "  %zero = constant { value = 0 } : f32[B,6]\n"
           "  %r = max %f, %zero : f32[B,6]\n"
           "  return %r\n"
           "}\n",
           "fuse", "contract:1");
}

static void calls_are_inlined(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @twice(%x: f32[4] input) -> (f32[4]) {\n"
           "  %y = add %x, %x : f32[4]\n"
           "  return %y\n"
           "}\n"
           "func @f(%x: f32[4] input) -> (f32[4]) {\n"
           "  %a = call %x { callee = \"twice\" } : f32[4]\n"
           "  %b = call %a { callee = \"twice\" } : f32[4]\n"
           "  return %b\n"
           "}\n",
           "fuse", "map:1");
}

/* Statistics over the batch and what they normalise; the adjoint's sums and what they correct. */
static const char norm[] = "kdc-ir 1\n"
                           "func @norm(%%c: f32[B<=64,%d,5,5] input, %%g: f32[B,%d,5,5] input)"
                           " -> (f32[B,%d,5,5], f32[%d], f32[B,%d,5,5]) {\n"
                           "  %%x = neg %%c : f32[B,%d,5,5]\n"
                           "  %%s = reduce_sum %%x { axes = [0, 2, 3] } : f32[%d]\n"
                           "  %%m = view %%s { at = [d1] } : f32[B,%d,5,5]\n"
                           "  %%d = sub %%x, %%m : f32[B,%d,5,5]\n"
                           "  %%q = mul %%d, %%d : f32[B,%d,5,5]\n"
                           "  %%v = reduce_sum %%q { axes = [0, 2, 3] } : f32[%d]\n"
                           "  %%r = sqrt %%v : f32[%d]\n"
                           "  %%i = view %%r { at = [d1] } : f32[B,%d,5,5]\n"
                           "  %%y = div %%d, %%i : f32[B,%d,5,5]\n"
                           "  %%e = exp %%y : f32[B,%d,5,5]\n"
                           "  %%p = mul %%g, %%d : f32[B,%d,5,5]\n"
                           "  %%t = reduce_max %%p { axes = [0, 2, 3] } : f32[%d]\n"
                           "  %%tb = view %%t { at = [d1] } : f32[B,%d,5,5]\n"
                           "  %%o = sub %%g, %%tb : f32[B,%d,5,5]\n"
                           "  return %%e, %%r, %%o\n"
                           "}\n";

static const char *norm_of(KdArena *a, int channels) {
    int n = channels;
    return kd_arena_format(a, norm, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n);
}

/* All of it reads x, or the statistics of x: one kernel. Of few channels it would be few tasks. */
static void batch_norms_are_one_kernel(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    expect(norm_of(a, 8), "fuse", "norm:3");
    expect(norm_of(a, 7), "fuse", "map:1 reduce:1 reduce:2 map:1 map:1");
    kd_arena_destroy(a);
}

/* x - mean is computed again by its readers, which are two kernels: they read x, not it. */
static void centred_values_are_not_stored(void **state) {
    (void)state;
    expect("kdc-ir 1\n"
           "func @f(%c: f32[B<=64,8,5,5] input, %w: f32[8,8] input) -> (f32[B,8,5,5]) {\n"
           "  %x = contract %c, %w { over = [8], a = [d0, d4, d2, d3], b = [d1, d4] }"
           " : f32[B,8,5,5]\n"
           "  %s = reduce_sum %x { axes = [0, 2, 3] } : f32[8]\n"
           "  %m = view %s { at = [d1] } : f32[B,8,5,5]\n"
           "  %d = sub %x, %m : f32[B,8,5,5]\n"
           "  %zero = constant { value = 0 } : f32[B,8,5,5]\n"
           "  %r = max %d, %zero : f32[B,8,5,5]\n"
           "  %y = contract %r, %w { over = [8], a = [d0, d4, d2, d3], b = [d1, d4] }"
           " : f32[B,8,5,5]\n"
           "  %z = mul %y, %d : f32[B,8,5,5]\n"
           "  return %z\n"
           "}\n",
           "fuse", "contract:1 norm:2 contract:1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bias_relu_and_mask_are_an_epilogue),
        cmocka_unit_test(without_merging_each_op_is_a_kernel),
        cmocka_unit_test(fused_functions_stay),
        cmocka_unit_test(doubled_scalars_are_followed_once),
        cmocka_unit_test(softmax_loss_is_one_row_kernel),
        cmocka_unit_test(kept_axes_do_not_split_a_row),
        cmocka_unit_test(pooling_finds_maximum_and_place_at_once),
        cmocka_unit_test(kernels_form_no_circle),
        cmocka_unit_test(costly_work_is_not_repeated),
        cmocka_unit_test(reshapes_move_behind_the_epilogue),
        cmocka_unit_test(calls_are_inlined),
        cmocka_unit_test(batch_norms_are_one_kernel),
        cmocka_unit_test(centred_values_are_not_stored),
    };
    return cmocka_run_group_tests_name("fuse", tests, NULL, NULL);
}
