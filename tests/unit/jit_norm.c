/*
 * Kernels of kind "norm" against the interpreter: a batch norm with its statistics, and the adjoint
 * of one, over shapes whose slices are one piece or many, narrower than a vector or not, and
 * written over what they read.
 */
#include "jit_support.h"

#include <math.h>

#include "ir/interp.h"

/* What is reduced, by which axes, what is left, and how that spreads over it again. */
typedef struct Shape {
    const char *whole, *axes, *kept, *at;
} Shape;

static const Shape shapes[] = {
    { "B,16,9,7", "0, 2, 3", "16", "d1" },   { "B,67,3", "0, 2", "67", "d1" },
    { "B,9,1,1", "0, 2, 3", "9", "d1" },     { "B,40,8,8", "0, 2, 3", "40", "d1" },
    { "B,3,8,5", "0, 3", "3,8", "d1, d2" },  { "B,3,8,5", "0, 1, 3", "8", "d2" },
    { "B,4,3,20", "1, 3", "B,3", "d0, d2" }, { "B,17,33", "1, 2", "B", "d0" },
    { "12,5000", "1", "12", "d0" },          { "5,12,9", "0, 2", "12", "d1" },
};

/* Statistics, of which the second ones need the first ones, and what is normalised by them. */
static const char forward[] = "kdc-ir 1\nfunc @f(%%x: f32[%1$s], %%g: f32[%3$s], %%z: f32[%1$s])"
                              " -> (f32[%1$s], bool[%1$s], f32[%3$s], f32[%3$s], f32[%3$s]) {\n"
                              " %%s = reduce_sum %%x { axes = [%2$s] } : f32[%3$s]\n"
                              " %%k = constant { value = 0.01 } : f32[%3$s]\n"
                              " %%m = mul %%s, %%k : f32[%3$s]\n"
                              " %%mb = view %%m { at = [%4$s] } : f32[%1$s]\n"
                              " %%c = sub %%x, %%mb : f32[%1$s]\n"
                              " %%q = mul %%c, %%c : f32[%1$s]\n"
                              " %%v = reduce_sum %%q { axes = [%2$s] } : f32[%3$s]\n"
                              " %%top = reduce_max %%c { axes = [%2$s] } : f32[%3$s]\n"
                              " %%e = add %%v, %%k : f32[%3$s]\n"
                              " %%r = sqrt %%e : f32[%3$s]\n"
                              " %%w = div %%g, %%r : f32[%3$s]\n"
                              " %%wb = view %%w { at = [%4$s] } : f32[%1$s]\n"
                              " %%y = mul %%c, %%wb : f32[%1$s]\n"
                              " %%t = add %%y, %%z : f32[%1$s]\n"
                              " %%zero = constant { value = 0 } : f32[%1$s]\n"
                              " %%relu = max %%t, %%zero : f32[%1$s]\n"
                              " %%mask = lt %%zero, %%relu : bool[%1$s]\n"
                              " return %%relu, %%mask, %%m, %%w, %%top\n}\n";

/* Two sums, and a third one of what they make. */
static const char backward[] = "kdc-ir 1\nfunc @f(%%x: f32[%1$s], %%g: f32[%3$s], %%z: f32[%1$s])"
                               " -> (f32[%1$s], f32[%3$s]) {\n"
                               " %%b = reduce_sum %%x { axes = [%2$s] } : f32[%3$s]\n"
                               " %%p = mul %%x, %%z : f32[%1$s]\n"
                               " %%s = reduce_sum %%p { axes = [%2$s] } : f32[%3$s]\n"
                               " %%k = constant { value = 0.01 } : f32[%3$s]\n"
                               " %%u = mul %%s, %%k : f32[%3$s]\n"
                               " %%ub = view %%u { at = [%4$s] } : f32[%1$s]\n"
                               " %%gb = view %%g { at = [%4$s] } : f32[%1$s]\n"
                               " %%a = mul %%x, %%gb : f32[%1$s]\n"
                               " %%c = mul %%z, %%ub : f32[%1$s]\n"
                               " %%d = sub %%a, %%c : f32[%1$s]\n"
                               " %%t = reduce_sum %%d { axes = [%2$s] } : f32[%3$s]\n"
                               " %%o = mul %%t, %%k : f32[%3$s]\n"
                               " %%ob = view %%o { at = [%4$s] } : f32[%1$s]\n"
                               " %%dx = sub %%d, %%ob : f32[%1$s]\n"
                               " %%n = add %%g, %%b : f32[%3$s]\n"
                               " return %%dx, %%n\n}\n";

static void fill(const Jit *j, KdTensor *args, KdArena *a, int n) {
    uint32_t state = 7;
    for (int k = 0; k < j->tensor->nargs; k++) {
        args[k] = kd_tensor_create(a, j->tensor->args[k]->type, n, 1);
        float *memory = j->args[k];
        for (int64_t x = 0; x < args[k].count; x++) {
            state = state * 1664525u + 1013904223u;
            memory[x] = (float)(state >> 8 & 1023) / 512 - 1;
            args[k].data[x] = (double)memory[x];
        }
    }
}

static void expect_near(const Jit *j, const KdTensor *want, int r, const char *text) {
    for (int64_t x = 0; x < want->count; x++) {
        double is = want->type.dtype == KD_BOOL ? (double)((const uint8_t *)j->results[r])[x]
                                                : (double)((const float *)j->results[r])[x];
        if (fabs(is - want->data[x]) > 1e-4 * (1 + fabs(want->data[x])))
            fail_msg("result %d, element %lld: %.9g, not %.9g\n%s", r, (long long)x, is,
                     want->data[x], text);
    }
}

/* With n rows; the first result over the first operand, the second over the second where that has
 * its type. */
static void run(Jit *j, int n, bool over, const char *text) {
    KdArena *a = kd_arena_create();
    KdTensor args[JIT_MAX], want[JIT_MAX] = { 0 };
    void *own[JIT_MAX] = { 0 };
    for (int k = 0; k < j->tensor->nargs; k++)
        j->args[k] = kdrt_alloc((size_t)kd_type_bytes(j->tensor->args[k]->type, n, 1));
    for (int k = 0; k < j->tensor->nresults; k++)
        j->results[k] = own[k] =
            kdrt_alloc((size_t)kd_type_bytes(j->tensor->results[k]->type, n, 1));
    fill(j, args, a, n);
    for (int k = 0; over && k < 2; k++)
        if (kd_type_equal(j->tensor->results[k]->type, j->tensor->args[k]->type))
            j->results[k] = j->args[k];
    j->frame.n = n;
    const KdInterp in = { .arena = a, .n = n, .round_f32 = true };
    assert_true(kd_interpret(&in, j->tensor, args, want, &j->diag));
    assert_int_equal(j->run(&j->frame), KDRT_OK);
    for (int k = 0; k < j->tensor->nresults; k++) expect_near(j, &want[k], k, text);
    for (int k = 0; k < j->tensor->nargs; k++) kdrt_free(j->args[k]);
    for (int k = 0; k < j->tensor->nresults; k++) kdrt_free(own[k]);
    kd_arena_destroy(a);
}

static void run_shapes(const char *format, int bits) {
    static const int sizes[] = { 1, 2, 5, 16 };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const Shape *s = &shapes[k];
        char text[4096];
        snprintf(text, sizeof text, format, s->whole, s->axes, s->kept, s->at);
        char *batch = strstr(text, "f32[B,"), whole[4096]; /* its bound at its first use */
        if (batch) {
            snprintf(whole, sizeof whole, "%.*sf32[B<=16,%s", (int)(batch - text), text, batch + 6);
            snprintf(text, sizeof text, "%s", whole);
        }
        Jit j;
        jit_open(&j, text, "norm", bits);
        for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
            for (int over = 0; over < 2; over++) run(&j, sizes[n], over, text);
        jit_close(&j);
    }
}

static void statistics_of_statistics(void **state) {
    (void)state;
    for (int bits = 128; bits <= 512; bits *= 2) run_shapes(forward, bits);
}

static void adjoints(void **state) {
    (void)state;
    for (int bits = 128; bits <= 512; bits *= 2) run_shapes(backward, bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_of_statistics),
        cmocka_unit_test(adjoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
