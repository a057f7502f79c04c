/*
 * Printer and parser: canonical texts come back byte by byte, other spellings after one print, and
 * each malformed text gets its one message at its line and column.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/text.h"

#define HEAD                                                                                       \
    "kdc-ir 1\ntarget { cpu = \"znver4\", vector = 512, registers = 32, l1 = 32768, l2 = 1048576 " \
    "}\n"

static KdModule *parse(const char *text, KdDiag *d) {
    return kd_parse_module(text, strlen(text), "t.kir", d);
}

static const char *const canonical[] = {
    HEAD,
    HEAD
    "source \"a \\\"b\\\\\\n\\x01.lua\"\nhyper %sigma = 0.6 loc(3)\nhyper %rate = 1.5e-07\n"
    "hyper %big = inf\nhyper %least = -0\nhyper %odd = nan\n"
    "param %student.fc1.weight : f32[64,784] { init = \"he_normal\", fan_in = 784, fan_out = 64 }"
    " loc(\"lib.lua\":7)\n"
    "param %student.fc1.bias : f32[64] { init = \"constant\", value = -0.25 }\n"
    "param %student.state : f32 { init = \"constant\", value = 0 }\n"
    "program { batch = 64, rate = 0.333333343, optimizer = \"adam\", steps = [1, -2, 3], none = [] "
    "}\n",
    HEAD "source \"models/student.lua\"\n"
         "hyper %sigma = 0.6\n"
         "param %net.w : f32[64,784] { init = \"he_normal\", fan_in = 784, fan_out = 64 }\n"
         "\n"
         "func @net(%x: f32[B<=64,1,28,28] input, %net.w: f32[64,784] param) -> (f32[B,64], "
         "f32[B,1,30,28])"
         " loc(11) {\n"
         "  %flat = reshape %x : f32[B,784] loc(12)\n"
         "  %fc1 = contract %flat, %net.w { over = [784], a = [d0, d2], b = [d1, d2] } : f32[B,64] "
         "loc(13)\n"
         "  %zero = constant { value = 0 } : f32[B,64]\n"
         "  %c = constant { value = 0.100000001 } : f32[B,64]\n"
         "  %relu = max %fc1, %zero : f32[B,64] role(student) site(\"hidden\") loc(\"mlp.lua\":7)\n"
         "  %12 = add %relu, %c : f32[B,64]\n"
         "  %up = view %x { at = [d0, 0, (d2 - 1)/2, -d3 + 27], fill = -inf } : f32[B,1,30,28]\n"
         "  return %12, %up\n"
         "}\n"
         "\n"
         "func @two(%x: f32[B<=64,1,28,28], %w: f32[64,784]) -> (f32[B,64]) {\n"
         "  %a, %b = call %x, %w { callee = \"net\" } : f32[B,64], f32[B,1,30,28]\n"
         "  return %a\n"
         "}\n",
    HEAD
    "\n"
    "func @k(%x: f32[B<=8,4] input, %s: f32[16] slab) -> (f32[B,4], f32[16]) in_place = [-1, 1]"
    " arena = 128 {\n"
    "  %h = kernel %x { kind = \"map\" } : f32[B,4] @ arena+0 {\n"
    "    (%y: f32[B,4])\n"
    "    %r = exp %y : f32[B,4]\n"
    "    yield %r\n"
    "  }\n"
    "  %u = kernel %s { kind = \"map\" } : f32[16] @ arg(1)+0 loc(\"x\":1) {\n"
    "    (%y: f32[16])\n"
    "    %r = neg %y : f32[16]\n"
    "    yield %r\n"
    "  }\n"
    "  return %h, %u\n"
    "}\n",
    HEAD "\n"
         "func @bounded() -> (f32) batch = 32 {\n"
         "  %n = rows : f32\n"
         "  return %n\n"
         "}\n",
};

static void round_trip(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof canonical / sizeof *canonical; k++) {
        KdDiag d;
        kd_diag_init(&d, stderr, false);
        KdModule *m = parse(canonical[k], &d);
        assert_non_null(m);
        KdArena *a = kd_arena_create();
        assert_string_equal(kd_module_text(m, a), canonical[k]);
        kd_arena_destroy(a);
        kd_module_destroy(m);
    }
}

/* Comments, blank lines, line breaks and other orders of terms: one print makes them canonical. */
static void loose_text(void **state) {
    (void)state;
    static const char text[] = "// what this is\n  // and more\nkdc-ir 1\n\n"
                               "func @f(%x: f32[B<=4,3]\n  input) -> (f32[B,3]) batch = 4\n{\n"
                               "  // inside\n"
                               "  %y = view %x { at = [ 0 + d0, 1*d1 + 2 - 2 ] } : f32[B<=4,3]\n"
                               "  %z = constant { value = 1e3 } : f32[B,3]\n"
                               "  %r = add %y,\n %z : f32[B,3]\n  return %r }\n";
    static const char expected[] = HEAD "\nfunc @f(%x: f32[B<=4,3] input) -> (f32[B,3]) {\n"
                                        "  %y = view %x { at = [d0, d1] } : f32[B,3]\n"
                                        "  %z = constant { value = 1000 } : f32[B,3]\n"
                                        "  %r = add %y, %z : f32[B,3]\n  return %r\n}\n";
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdModule *m = parse(text, &d);
    assert_non_null(m);
    KdArena *a = kd_arena_create();
    char *printed = kd_module_text(m, a);
    printed = strstr(printed, "\nfunc");
    assert_string_equal(printed, strstr(expected, "\nfunc"));
    kd_arena_destroy(a);
    kd_module_destroy(m);
}

/* Every float in f32 survives: its nine digits read back to it. */
static void floats_survive(void **state) {
    (void)state;
    uint32_t bits = 1;
    for (int k = 0; k < 2000; k++, bits = bits * 1664525u + 1013904223u) {
        float x;
        memcpy(&x, &bits, sizeof x);
        if (x != x || x - x != 0) continue;
        KdModule *m = kd_module_create(NULL);
        kd_module_add_hyper(m, "x", (double)x, (KdLoc){ NULL, 0 });
        KdArena *a = kd_arena_create();
        KdDiag d;
        kd_diag_init(&d, stderr, false);
        KdModule *back = parse(kd_module_text(m, a), &d);
        assert_non_null(back);
        assert_true((float)back->hypers[0]->value == x);
        kd_arena_destroy(a);
        kd_module_destroy(m);
        kd_module_destroy(back);
    }
}

#define F "kdc-ir 1\nfunc @f(%x: f32[4], %y: f32[4]) -> (f32[4]) {\n"

static const struct {
    const char *text, *message;
} bad[] = {
    { "", "t.kir:1:1: error: not IR text: it must begin with 'kdc-ir 1'" },
    { "\x7f"
      "ELF",
      "t.kir:1:1: error: not IR text: it must begin with 'kdc-ir 1'" },
    { "kdc-ir 1\n\x1b[31m", "t.kir:2:1: error: unexpected byte 0x1b\n     [31m\n    ^" },
    { "kdc-ir 2", "t.kir:1:8: error: this is version 2 of the IR; known is 1" },
    { "kdc-ir 1\nfunk @f", "t.kir:2:1: error: unknown declaration 'funk'; did you mean 'func'?" },
    { "kdc-ir 1\nsource \"abc\nd\"", "t.kir:2:8: error: a string must end on its line" },
    { "kdc-ir 1\nhyper %a = 1\nhyper %a = 2",
      "t.kir:3:7: error: hyperparameter %a is given twice" },
    { "kdc-ir 1\nhyper %a = 99999999999999999999",
      "t.kir:2:12: error: number 99999999999999999999 is too large" },
    { "kdc-ir 1\nhyper %a = 1e999", "t.kir:2:12: error: number 1e999 is too large" },
    { "kdc-ir 1\nparam %a.b : f32[2] { init = \"he_norm\" }",
      "t.kir:2:21: error: unknown initialiser 'he_norm'; did you mean 'he_normal'?" },
    { "kdc-ir 1\nparam %a.b : f32[B]",
      "t.kir:2:18: error: the batch B has a meaning in functions only" },
    { "kdc-ir 1\nparam %a.b : f23[2]",
      "t.kir:2:14: error: unknown type 'f23'; there are f32, i32, u8, bool, f16 and i8" },
    { "kdc-ir 1\nparam %a.b : f32[1,1,1,1,1,1,1,1,1]",
      "t.kir:2:34: error: a tensor has at most 8 dims" },
    { "kdc-ir 1\nparam %a.b : f32[1048576,1048577]",
      "t.kir:2:14: error: the tensor has more than 2^40 elements" },
    { "kdc-ir 1\nparam %a.b : f32[0]", "t.kir:2:18: error: an extent must be at least 1" },
    { "kdc-ir 1\nfunc @f(%x: f32[B]) -> () { return }",
      "t.kir:2:17: error: B needs its bound at its first use, such as B<=64" },
    { "kdc-ir 1\nfunc @f(%x: f32 imput) -> () { return }",
      "t.kir:2:17: error: unknown kind of argument 'imput'; did you mean 'input'?" },
    { "kdc-ir 1\nfunc @f() -> () { return }\nfunc @f() -> () { return }",
      "t.kir:3:6: error: function @f is given twice" },
    { F "  %r = ad %x, %y : f32[4]", "t.kir:3:8: error: unknown op 'ad'; did you mean 'add'?" },
    { F "  %r = add %x, %z : f32[4]", "t.kir:3:16: error: unknown value %z; did you mean %" },
    { F "  %r = add %x : f32[4]", "t.kir:3:8: error: add takes 2 operands, not 1" },
    { F "  %r = add %x, %y\n  return %r\n}",
      "t.kir:3:18: error: expected ':' and the result's type, found the end of the line" },
    { F "  %r = add %x, %y : f32[5]", "t.kir:3:8: error: add: the result is f32[4], not f32[5]" },
    { F "  %x = neg %x : f32[4]", "t.kir:3:3: error: %x is defined already" },
    { F "  %r = reduce_sum %x { axis = [0] } : f32",
      "t.kir:3:24: error: no attribute 'axis' here; did you mean 'axes'?" },
    { F "  %r = reduce_sum %x { axes = 0 } : f32",
      "t.kir:3:31: error: attribute 'axes' must be a list of whole numbers" },
    { F "  %r = reduce_sum %x : f32", "t.kir:3:8: error: reduce_sum needs attribute 'axes'" },
    { F "  %r = view %x { at = [d0 + d12] } : f32[4]",
      "t.kir:3:29: error: there are at most 12 iterators" },
    { F "  %r = view %x : f32[4]", "t.kir:3:8: error: view needs its access: { at = [d0, …] }" },
    { F "  %r = contract %x, %y { a = [d0] } : f32[4]",
      "t.kir:3:8: error: contract needs 'over', 'a' and 'b'" },
    { F "  return %x, %y\n}", "t.kir:3:3: error: 2 values are returned, the signature has 1" },
    { F "  %r = kernel %x { kind = \"map\" } : f32[4] {\n (%k: f32[4])\n %n = neg %y : f32[4]\n "
        "yield %n }",
      "t.kir:5:11: error: unknown value %y; did you mean %k?" },
    { F "  return %x",
      "t.kir:3:12: error: expected '}' at the end of the function, found the end of the text" },
};

static void says_where(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        char *said = NULL;
        size_t size = 0;
        KdDiag d;
        kd_diag_init(&d, open_memstream(&said, &size), false);
        assert_null(parse(bad[k].text, &d));
        fclose(d.out);
        assert_int_equal(d.errors, 1);
        if (strncmp(said, bad[k].message, strlen(bad[k].message)) != 0) {
            fail_msg("expected: %s\nfound:    %s", bad[k].message, said);
        }
        assert_non_null(strstr(said, "^"));
        free(said);
    }
}

/* Cut anywhere, and with any one byte replaced, a text gives an error or a module, never more. */
static void hostile(void **state) {
    (void)state;
    for (size_t t = 0; t < sizeof canonical / sizeof *canonical; t++) {
        size_t size = strlen(canonical[t]);
        char *copy = malloc(size);
        assert_non_null(copy);
        for (size_t k = 0; k < size; k++) {
            KdDiag d;
            kd_diag_init(&d, NULL, false);
            memcpy(copy, canonical[t], size);
            KdModule *m = kd_parse_module(copy, k, "t.kir", &d);
            assert_true((m != NULL) == (d.errors == 0));
            if (m) kd_module_destroy(m);
            copy[k] = "\"%@{}[]9,-\\("[k % 12];
            kd_diag_init(&d, NULL, false);
            m = kd_parse_module(copy, size, "t.kir", &d);
            assert_true((m != NULL) == (d.errors == 0));
            if (m) kd_module_destroy(m);
        }
        free(copy);
    }
}

/* A function of one kernel: values of that name and bound, that op, at that line. */
static char *signature(const char *name, int bound, const char *op, int line, KdArena *a) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    const char *text = kd_arena_format(
        a,
        HEAD
        "func @f(%%%s: f32[B<=%d] input) -> (f32[B]) {\n"
        "  %%%s.r = kernel %%%s { kind = \"map\" } : f32[B] role(student) loc(%d) {\n"
        "    (%%%s.k: f32[B])\n    %%%s.e = %s %%%s.k : f32[B] loc(%d)\n    yield %%%s.e\n  }\n"
        "  return %%%s.r\n}\n",
        name, bound, name, name, line, name, name, op, name, line, name, name);
    KdModule *m = parse(text, &d);
    assert_non_null(m);
    char *of = kd_kernel_signature(kd_module_func(m, "f")->first, a);
    kd_module_destroy(m);
    return of;
}

/* Names and lines do not matter to what a kernel does; its op and the bound of its batch do. */
static void signatures(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    const char *one = signature("x", 8, "exp", 3, a);
    assert_string_equal(one, signature("other", 8, "exp", 7, a));
    assert_string_not_equal(one, signature("x", 16, "exp", 3, a));
    assert_string_not_equal(one, signature("x", 8, "log", 3, a));
    kd_arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),     cmocka_unit_test(loose_text),
        cmocka_unit_test(floats_survive), cmocka_unit_test(says_where),
        cmocka_unit_test(hostile),        cmocka_unit_test(signatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
