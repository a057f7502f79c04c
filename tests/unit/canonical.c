/*
 * Canonicalisation keeps every bit: functions full of what its rules match give the same results
 * before and after, in the interpreter with f32 rounding, and stay as they are when run again.
 * Beside it, the manager's own words: lengths, names, dumps and what may be left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/interp.h"
#include "ir/text.h"
#include "passes/pass.h"

enum { ROWS = 3, MAX_RESULTS = 8 };

static const char *const functions[] = {
    "func @arithmetic(%x: f32[B<=4,6] input, %y: f32[B,6] input) -> (f32[B,6], f32[B,6], f32) {\n"
    "  %zero = constant { value = 0 } : f32[B,6]\n"
    "  %one = constant { value = 1 } : f32[B,6]\n"
    "  %third = constant { value = 0.333333343 } : f32[B,6]\n"
    "  %eight = constant { value = 8 } : f32[B,6]\n"
    "  %a = add %zero, %x : f32[B,6]\n"
    "  %b = mul %one, %a : f32[B,6]\n"
    "  %c = div %b, %eight : f32[B,6]\n"
    "  %d = div %c, %third : f32[B,6]\n"
    "  %e = neg %y : f32[B,6]\n"
    "  %f = add %d, %e : f32[B,6]\n"
    "  %g = sub %f, %e : f32[B,6]\n"
    "  %h = neg %e : f32[B,6]\n"
    "  %minus = neg %one : f32[B,6]\n"
    "  %i = mul %h, %minus : f32[B,6]\n"
    "  %less = lt %g, %i : bool[B,6]\n"
    "  %more = not %less : bool[B,6]\n"
    "  %j = select %more, %g, %i : f32[B,6]\n"
    "  %s = reduce_sum %j { axes = [0, 1] } : f32\n"
    "  %sb = view %s { at = [] } : f32[B,6]\n"
    "  %sc = mul %sb, %third : f32[B,6]\n"
    "  %sd = exp %sc : f32[B,6]\n"
    "  %k = mul %sd, %j : f32[B,6]\n"
    "  %again = reduce_sum %j { axes = [0, 1] } : f32\n"
    "  return %j, %k, %again\n}\n",
    "func @movement(%x: f32[B<=4,2,4,6] input, %w: f32[6,5] input) -> (f32[B,2,2,3], "
    "f32[B,2,4,4], f32[B,5], f32[6,2], f32[B,2,2,3]) {\n"
    "  %zero = constant { value = 0 } : f32[B,2,4,6]\n"
    "  %relu = max %x, %zero : f32[B,2,4,6]\n"
    "  %windows = view %relu { at = [d0, d1, 2*d2 + d4, 2*d3 + d5] } : f32[B,2,2,3,2,2]\n"
    "  %pool = reduce_max %windows { axes = [4, 5] } : f32[B,2,2,3]\n"
    "  %slice = view %x { at = [d0, d1, d2, d3 + 1] } : f32[B,2,4,4]\n"
    "  %pad = view %slice { at = [d0, d1, d2, d3 - 1], fill = 7 } : f32[B,2,4,6]\n"
    "  %crop = view %pad { at = [d0, d1, d2, d3 + 2] } : f32[B,2,4,4]\n"
    "  %turned = view %w { at = [d1, d0] } : f32[5,6]\n"
    "  %row = view %x { at = [d0, 1, 2, d1] } : f32[B,6]\n"
    "  %product = contract %row, %turned { over = [6], a = [d0, d2], b = [d1, d2] } : f32[B,5]\n"
    "  %part = view %turned { at = [d1 + 3, d0] } : f32[6,2]\n"
    "  %flat = reshape %pool : f32[B,12]\n"
    "  %back = reshape %flat : f32[B,2,2,3]\n"
    "  %mean = view %x { at = [d0, d1, 2*d2 + d4, 2*d3 + d5] } : f32[B,2,2,3,2,2]\n"
    "  %sum = reduce_sum %mean { axes = [4, 5] } : f32[B,2,2,3]\n"
    "  %both = mul %sum, %back : f32[B,2,2,3]\n"
    "  return %pool, %crop, %product, %part, %both\n}\n",
};

static KdModule *parse(const char *function, KdArena *a, KdDiag *d) {
    kd_diag_init(d, stderr, false);
    const char *text = kd_arena_format(a, "kdc-ir 1\n%s", function);
    KdModule *m = kd_parse_module(text, strlen(text), "test.kir", d);
    assert_non_null(m);
    return m;
}

static void run(const KdModule *m, KdArena *a, KdTensor *results) {
    const KdFunc *f = m->first;
    KdTensor args[2];
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    for (int k = 0; k < f->nargs; k++) {
        args[k] = kd_tensor_create(a, f->args[k]->type, ROWS, 1);
        for (int64_t e = 0; e < args[k].count; e++)
            args[k].data[e] = (float)((double)((e * 37 + k * 11) % 101 - 50) / 7);
    }
    KdInterp in = { .arena = a, .n = ROWS, .round_f32 = true };
    assert_true(kd_interpret(&in, f, args, results, &d));
}

static int count_instructions(const KdFunc *f) {
    int n = 0;
    KD_EACH_INSTR(i, f)
    n++;
    return n;
}

static void test_bits_are_kept(void **state) {
    (void)state;
    KdPipeline p = { .passes = "canonicalize" };
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
        KdArena *a = kd_arena_create();
        KdTensor before[MAX_RESULTS], after[MAX_RESULTS];
        KdDiag d;
        KdModule *m = parse(functions[k], a, &d);
        int size = count_instructions(m->first);
        run(m, a, before);
        assert_true(kd_run_pipeline(m, &p, &d));
        run(m, a, after);
        for (int r = 0; r < m->first->nresults; r++)
            assert_memory_equal(before[r].data, after[r].data,
                                (size_t)before[r].count * sizeof(double));
        assert_true(count_instructions(m->first) < size);

        char *once = kd_module_text(m, a);
        assert_true(kd_run_pipeline(m, &p, &d));
        assert_string_equal(once, kd_module_text(m, a));
        kd_module_destroy(m);
        kd_arena_destroy(a);
    }
}

/* --- the manager ---------------------------------------------------------------------------- */

static void test_lengths_and_names(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    KdDiag d;
    KdModule *m = parse(functions[0], a, &d);
    const char *const skip[] = { "canonicalize", NULL };
    KdPipeline p = { .passes = "canonicalize,autodiff{of=\"f\"},optimize" };
    assert_int_equal(kd_pipeline_length(m, &p), 3);
    assert_string_equal(kd_pipeline_name(m, &p, 1), "autodiff");
    assert_null(kd_pipeline_name(m, &p, 3));
    p.skip = skip;
    assert_int_equal(kd_pipeline_length(m, &p), 2);
    assert_string_equal(kd_pipeline_name(m, &p, 0), "autodiff");
    p.passes = "no-such-pass";
    assert_int_equal(kd_pipeline_length(m, &p), -1);
    for (int k = 0; k < kd_pass_count(); k++)
        assert_ptr_equal(kd_pass_find(kd_pass_at(k)->name), kd_pass_at(k));
    kd_module_destroy(m);
    kd_arena_destroy(a);
}

static int dumps(KdModule *m, const char *wanted, KdDiag *d) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    double seconds[2] = { -1, -1 };
    KdPipeline p = { .passes = "canonicalize,canonicalize",
                     .dump = wanted,
                     .dump_to = out,
                     .time = true,
                     .seconds = seconds };
    bool ok = kd_run_pipeline(m, &p, d);
    fclose(out);
    int n = 0;
    for (const char *at = text; (at = strstr(at, "// after canonicalize\nkdc-ir 1\n")); at++) n++;
    free(text);
    if (!ok) return -1;
    assert_true(seconds[0] >= 0 && seconds[1] >= 0);
    return n;
}

static void test_dumps(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    KdDiag d;
    KdModule *m = parse(functions[0], a, &d);
    assert_int_equal(dumps(m, "all", &d), 2);
    assert_int_equal(dumps(m, "final", &d), 1);
    assert_int_equal(dumps(m, "autodiff,canonicalize", &d), 2);
    assert_int_equal(dumps(m, "autodiff", &d), 0);
    d.out = NULL;
    assert_int_equal(dumps(m, "canonicalise", &d), -1);
    assert_non_null(strstr(d.last, "did you mean 'canonicalize'"));
    kd_module_destroy(m);
    kd_arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_are_kept),
        cmocka_unit_test(test_lengths_and_names),
        cmocka_unit_test(test_dumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
