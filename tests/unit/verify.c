/*
 * The verifier: each rule broken once, by text where the parser lets it through and by hand where
 * it does not, and the exact message. Below each group stands what must be let through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/text.h"
#include "ir/verify.h"

static KdModule *parse(const char *text, KdDiag *d) {
    kd_diag_init(d, NULL, false);
    char whole[2000];
    snprintf(whole, sizeof whole, "kdc-ir 1\n%s", text);
    return kd_parse_module(whole, strlen(whole), "t.kir", d);
}

/* --- by text -------------------------------------------------------------------------------- */

#define KERNEL(KIND, ARGS, RESULT, BODY)                                                   \
    "func @f" ARGS " -> (" RESULT ") {\n %r = kernel %x { kind = \"" KIND "\" } : " RESULT \
    " {\n" ARGS "\n" BODY "\n yield %y }\n return %r }"

/* A planned function of two values, each of 16 bytes. */
#define PLANNED(PLACE1, PLACE2, LAST)                            \
    "func @f(%x: f32[4], %z: f32[4]) -> (f32[4]) arena = 64 {\n" \
    " %a = kernel %x { kind = \"map\" } : f32[4] @ " PLACE1      \
    " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n"          \
    " %b = kernel %a { kind = \"map\" } : f32[4] @ " PLACE2      \
    " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n"          \
    " %c = kernel %a, %b { kind = \"map\" } : f32[4] @ " LAST    \
    " { (%i: f32[4], %j: f32[4]) %o = add %i, %j : f32[4] yield %o }\n return %c }"

static const struct {
    const char *text, *message; /* NULL: it verifies */
} texts[] = {
    { "func @f(%x: f32[2,B<=4]) -> (f32[2,B]) { return %x }",
      "@f: %x: type f32[2,B] has B behind the outermost dim" },
    { "func @f(%x: f32) -> (f32) { %y = neg %x : f32 role(teachers) return %y }",
      "neg: unknown role 'teachers'; did you mean 'teacher'?" },
    { "func @f(%i: i32) -> (f32[2]) {"
      " %y = rng.normal %i, %i { stream = \"s\" } : f32[2] role(teacher) return %y }",
      "rng.normal: a teacher is in inference form, it draws no random numbers" },
    { "func @f(%i: i32) -> (f32[2]) {"
      " %y = rng.normal %i, %i { stream = \"s\" } : f32[2] role(student) return %y }",
      NULL },
    { "param %net.w : f32[2]\nprogram { trained = \"net\" }\n"
      "func @f(%net.w: f32[2] param) -> (f32[2]) { %a = neg %net.w : f32[2]"
      " %b = exp %a : f32[2] role(teacher) return %b }",
      "exp: a teacher is a constant, %a depends on what is trained" },
    { "param %net.w : f32[2]\nprogram { trained = \"other\" }\n"
      "func @f(%net.w: f32[2] param) -> (f32[2]) { %t = neg %net.w : f32[2] role(teacher)"
      " return %t }",
      NULL },
    { "func @f(%x: f32[2], %y: f32[3]) -> (f32[2]) in_place = [1] { return %x }",
      "@f: in_place: result 0 and %y differ in type" },
    { "func @f(%x: f32, %y: f32) -> (f32, f32) in_place = [1, 1] { return %x, %y }",
      "@f: in_place: two results take over %y" },
    { "param %teacher.w : f32[40]\nparam %student.w : f32[20]\nprogram { trained = \"student\" }\n"
      "func @gradients(%l: f32, %g: f32[48]) -> (f32, f32[48]) { return %l, %g }",
      "@gradients: result 1 is f32[48]; the gradients of network 'student' alone, which is "
      "trained, are f32[32]" },
    { "param %teacher.w : f32[40]\nparam %student.w : f32[20]\nprogram { trained = \"student\" }\n"
      "func @gradients(%l: f32, %g: f32[32]) -> (f32, f32[32]) { return %l, %g }",
      NULL },
/* padding */
#define PADDED(TYPE, INSIDE)                                                               \
    "func @f(%x: f32[B<=4,6]) -> (f32[B,6]) {\n %p = kernel %x { kind = \"map\" } : " TYPE \
    " { (%i: f32[B,6]) %o = neg %i : f32[B,6] yield %o }\n"                                \
    " %q = kernel %p { kind = \"map\" } : f32[B,6] { (%j: " INSIDE                         \
    ") %r = neg %j : f32[B,6] yield %r }\n return %q }"
    { PADDED("f32[B,6]+16", "f32[B,6]+16"), NULL },
    { PADDED("f32[B,6]+16", "f32[B,6]"), "kernel: operand %p has padding of 16 elements, not 0" },
    { PADDED("f32[B,6]", "f32[B,6]+16"), "kernel: operand %p has padding of 0 elements, not 16" },
    { "func @f(%x: f32[B<=4,6]+16) -> (f32[B,6]) { return %x }",
      "%x has padding, which only results of kernels, and reshapes of them, may have" },
    { "func @f(%x: f32[4,6]) -> (f32[4,6]) { %y = neg %x : f32[4,6]+16 return %y }",
      "%y has padding, which only results of kernels, and reshapes of them, may have" },
    { "param %net.w : f32[4,6]+16\nfunc @f(%x: f32) -> (f32) { return %x }",
      "parameter %net.w has padding" },
    { KERNEL("map", "(%x: f32[4])", "f32[4]+4", "%y = neg %x : f32[4]"),
      "%r has padding behind rows of no fixed length" },
    { KERNEL("map", "(%x: f32[4,6])", "f32[4,6]+4", "%y = neg %x : f32[4,6]"),
      "@f: result 0 has padding" },
    { "func @f(%x: f32[4,6]) -> (f32[6,4]) {\n %p = kernel %x { kind = \"map\" } : f32[4,6]+16"
      " { (%i: f32[4,6]) %o = neg %i : f32[4,6] yield %o }\n"
      " %q = reshape %p : f32[6,4]+16\n return %q }",
      "reshape: the padding of rows does not stay" },
    { "func @f(%x: f32[4,6]) -> (f32[1,6]) {\n %p = kernel %x { kind = \"map\" } : f32[4,6]+16"
      " { (%i: f32[4,6]) %o = neg %i : f32[4,6] yield %o }\n"
      " %q = view %p { at = [d0 + 2, d1] } : f32[1,6]\n return %q }",
      "view: operand %p has padding of 16 elements, not 0" },
/* kernels */
#define PRODUCT \
    "%a = contract %x, %x { over = [3], a = [d0, d2, d3], b = [0, d1, d3] } : f32[B,5,5]"
    { KERNEL("mop", "(%x: f32[4])", "f32[4]", "%y = neg %x : f32[4]"),
      "kernel: unknown kind 'mop'; there are map, reduce, row, norm, contract and single" },
    { KERNEL("map", "(%x: f32[65])", "f32", "%y = reduce_sum %x { axes = [0] } : f32"),
      "kernel: kind map: reduce_sum is over more than 64 elements" },
    { KERNEL("map", "(%x: f32[64])", "f32", "%y = reduce_sum %x { axes = [0] } : f32"), NULL },
    { KERNEL("map", "(%x: f32[B<=4])", "f32", "%y = reduce_sum %x { axes = [0] } : f32"),
      "kernel: kind map: reduce_sum is over more than 64 elements" },
    { KERNEL("map", "(%x: f32[4])", "f32[4]",
             "%y = contract %x, %x { over = [], a = [d0], b = [d0] } : f32[4]"),
      "kernel: kind map: contract is not for it" },
    { KERNEL("reduce", "(%x: f32[4])", "f32[4]", "%y = neg %x : f32[4]"),
      "kernel: kind reduce: there is no reduction" },
    { KERNEL("reduce", "(%x: f32[4,5])", "f32",
             "%a = reduce_sum %x { axes = [0] } : f32[5] %y = reduce_sum %a { axes = [0] } : f32"),
      "kernel: kind reduce: reduce_sum is of a reduced value" },
    { KERNEL("reduce", "(%x: f32[4,4])", "f32[4]",
             "%a = reduce_sum %x { axes = [0] } : f32[4] %b = reduce_sum %x { axes = [1] } : f32[4]"
             " %y = add %a, %b : f32[4]"),
      "kernel: kind reduce: reduce_sum is over other axes than the first" },
    { KERNEL("reduce", "(%x: f32[4,5])", "f32[2,4]",
             "%a = reduce_sum %x { axes = [1] } : f32[4] %y = view %a { at = [d1] } : f32[2,4]"),
      "kernel: kind reduce: view is not elementwise behind the reduction" },
    { KERNEL("reduce", "(%x: f32[B<=9,5])", "f32[5]",
             "%a = mul %x, %x : f32[B,5] %b = reduce_sum %a { axes = [0] } : f32[5]"
             " %y = neg %b : f32[5]"),
      NULL },
    { KERNEL("reduce", "(%x: f32[4,5])", "f32[4,5]",
             "%a = reduce_sum %x { axes = [1] } : f32[4] %y = neg %x : f32[4,5]"),
      "kernel: kind reduce: a result has not the reduced shape" },
    { KERNEL("row", "(%x: f32[4,5])", "f32[5]", "%y = reduce_sum %x { axes = [0] } : f32[5]"),
      "kernel: kind row: reduce_sum is not over trailing axes" },
    { KERNEL("row", "(%x: f32[4,5000])", "f32[4]", "%y = reduce_sum %x { axes = [1] } : f32[4]"),
      "kernel: kind row: reduce_sum has rows that are not of 1 to 4096 elements" },
    { KERNEL("row", "(%x: f32[4,5])", "f32[4,5]",
             "%m = reduce_max %x { axes = [1] } : f32[4] %v = view %m { at = [d0] } : f32[4,5]"
             " %y = sub %x, %v : f32[4,5]"),
      NULL },
    { KERNEL("row", "(%x: f32[4,5])", "f32[5]",
             "%m = reduce_max %x { axes = [1] } : f32[4] %y = view %m { at = [0] } : f32[5]"),
      "kernel: kind row: a result has not the rows' dims" },
    { KERNEL("norm", "(%x: f32[B<=9,8,5])", "f32[B,8,5]",
             "%s = reduce_sum %x { axes = [0, 2] } : f32[8] %v = view %s { at = [d1] } : f32[B,8,5]"
             " %y = sub %x, %v : f32[B,8,5]"),
      NULL },
    { KERNEL("norm", "(%x: f32[4])", "f32[4]", "%y = neg %x : f32[4]"),
      "kernel: kind norm: there is no reduction" },
    { KERNEL("norm", "(%x: f32[4,5])", "f32[5]", "%y = reduce_sum %x { axes = [0] } : f32[5]"),
      "kernel: kind norm: reduce_sum is not over the last axis" },
    { KERNEL("norm", "(%x: f32[4,5])", "i32[4]", "%y = argmax %x { axes = [1] } : i32[4]"),
      "kernel: kind norm: argmax is not for it" },
    { KERNEL("norm", "(%x: f32[4,5,6])", "f32[4]",
             "%y = reduce_sum %x { axes = [1, 2] } : f32[4]"
             " %z = reduce_sum %x { axes = [0, 2] } : f32[5]"),
      "kernel: kind norm: reduce_sum is over other axes than the first" },
    { KERNEL("norm", "(%x: f32[4,5])", "f32[5]",
             "%s = reduce_sum %x { axes = [1] } : f32[4] %y = view %s { at = [0] } : f32[5]"),
      "kernel: kind norm: a result has neither the whole nor the reduced shape" },
    { KERNEL("contract", "(%x: f32[4])", "f32[4]", "%y = neg %x : f32[4]"),
      "kernel: kind contract: there is no contraction" },
    { KERNEL("contract", "(%x: f32[4])", "f32[4]",
             "%a = contract %x, %x { over = [], a = [d0], b = [d0] } : f32[4]"
             " %y = contract %a, %x { over = [], a = [d0], b = [d0] } : f32[4]"),
      "kernel: kind contract: contract is the second one" },
#define PLANES                                                                     \
    "%a = contract %x, %x { over = [3], a = [d0, 0, d2, d3], b = [0, d1, 0, d3] }" \
    " : f32[B,5,6]"
    { KERNEL("contract", "(%x: f32[B<=4,5,6,3])", "i32[B,5,3]",
             PLANES " %w = view %a { at = [d0, d1, 2*d2 + d3] } : f32[B,5,3,2]"
                    " %y = argmax %w { axes = [3] } : i32[B,5,3]"),
      NULL },
    { KERNEL("contract", "(%x: f32[B<=4,5,6,3])", "f32[B,5,5]",
             PLANES " %w = view %a { at = [d0, d1, d2 + d3] } : f32[B,5,5,2]"
                    " %y = reduce_max %w { axes = [3] } : f32[B,5,5]"),
      "kernel: kind contract: reduce_max is not over one side of the contraction, nor over windows "
      "of its planes" },
    { KERNEL("contract", "(%x: f32[B<=4,5,3])", "f32[5]",
             PRODUCT " %s = reduce_sum %a { axes = [0, 2] } : f32[5] %y = neg %s : f32[5]"),
      NULL },
    { KERNEL("contract", "(%x: f32[B<=4,5,3])", "f32[B,5]",
             PRODUCT " %y = reduce_sum %a { axes = [1] } : f32[B,5]"),
      "kernel: kind contract: reduce_sum is not over one side of the contraction, "
      "nor over windows of its planes" },
    { KERNEL("contract", "(%x: f32[B<=4,5,3])", "f32[5]",
             "%a = contract %x, %x { over = [3], a = [d0, 0, d2], b = [0, d1, d2] } : f32[B,5]"
             " %y = reduce_sum %a { axes = [0] } : f32[5]"),
      "kernel: kind contract: reduce_sum is not over one side of the contraction, "
      "nor over windows of its planes" },
    { KERNEL("contract", "(%x: f32[4,5,3])", "f32[5]",
             "%a = contract %x, %x { over = [3], a = [d0, 0, d2], b = [0, d1, d2] } : f32[4,5]"
             " %y = reduce_sum %a { axes = [0] } : f32[5]"),
      "kernel: kind contract: reduce_sum is not over one side of the contraction, "
      "nor over windows of its planes" },
    { KERNEL("contract", "(%x: f32[B<=4,5,3])", "f32[5,3]",
             "%y = reduce_sum %x { axes = [0] } : f32[5,3] " PRODUCT),
      "kernel: kind contract: reduce_sum is not over one side of the contraction, "
      "nor over windows of its planes" },
    { KERNEL("contract", "(%x: f32[B<=4,5,3])", "f32[B,5,5]",
             PRODUCT " %s = reduce_sum %a { axes = [0, 2] } : f32[5]"
                     " %v = view %s { at = [d1] } : f32[B,5,5] %y = sub %a, %v : f32[B,5,5]"),
      "kernel: kind contract: view is not elementwise behind the reduction" },
    { KERNEL("contract", "(%x: f32[B<=4,5,3])", "f32",
             PRODUCT " %s = reduce_sum %a { axes = [0, 2] } : f32[5]"
                     " %y = reduce_max %s { axes = [0] } : f32"),
      "kernel: kind contract: reduce_max is of a reduced value" },
    { KERNEL("contract", "(%x: f32[B<=4,5,3])", "f32",
             PRODUCT
             " %s = reduce_sum %a { axes = [0, 2] } : f32[5] %y = constant { value = 1 } : f32"),
      "kernel: kind contract: a result has neither the contraction's shape nor the reduced one" },
    { KERNEL("contract", "(%x: f32[4])", "f32[4]",
             "%n = exp %x : f32[4] %a = contract %n, %x { over = [], a = [d0], b = [d0] } : f32[4]"
             " %y = tanh %a : f32[4]"),
      NULL },
    { KERNEL("single", "(%x: f32[4])", "f32[4]", "%a = neg %x : f32[4] %y = neg %a : f32[4]"),
      "kernel: kind single: the body must be one instruction" },
    /* memory */
    { PLANNED("arena+0", "arena+16", "arena+32"), NULL },
    { PLANNED("arena+0", "arena+8", "arena+32"),
      "@f: %a and %b are live at one time and share memory (bytes 8 to 16)" },
    { PLANNED("arena+0", "arena+0", "arena+32"),
      "@f: %a and %b are live at one time and share memory (bytes 0 to 16)" },
    { PLANNED("arena+0", "arena+16", "arena+0"), NULL }, /* in place of the dying %a */
    { PLANNED("arena+0", "arena+16", "arena+4"),
      "@f: %a and %c are live at one time and share memory (bytes 4 to 16)" },
    { PLANNED("arena+0", "arena+16", "arena+52"),
      "@f: the place of %c does not lie inside its memory" },
    { PLANNED("arena+0", "arena+16", "arena+34"), "@f: the place of %c is not aligned" },
    { PLANNED("arena+0", "none", "arena+32"), "@f: the place of %b is missing" },
    { PLANNED("arena+0", "arg(2)+0", "arena+32"), "@f: the place of %b names no argument" },
    { PLANNED("arena+0", "result(1)+0", "arena+32"), "@f: the place of %b names no result" },
    { PLANNED("arena+0", "arena+16", "result(0)+0"), NULL },
    { PLANNED("arg(0)+0", "arena+16", "result(0)+0"),
      "@f: the place of %a is an argument's, which no result takes over" },
    { "func @f(%x: f32[4]) -> (f32[4]) in_place = [0] arena = 0 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[4] @ arg(0)+0"
      " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n return %a }",
      NULL },
    { "func @f(%x: f32[N,4]) -> (f32[4]) arena = 64 {\n"
      " %a = kernel { kind = \"map\" } : f32[4] @ arg(0)+9223372036854775744"
      " { () %o = constant { value = 1 } : f32[4] yield %o }\n return %a }",
      "@f: the place of %a does not lie inside its memory" },
    { "func @f() -> (f32) arena = 64 {\n"
      " %c = constant { value = 0 } : f32 @ arena+0\n return %c }",
      "@f: constant is in no kernel, where memory is planned" },
    { "func @f(%x: f32[4]) -> (f32[4], f32[4]) in_place = [0, -1] arena = 64 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[4] @ arena+0"
      " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n return %a, %x }",
      "@f: the place of %a is not the argument that it takes over" },
    { "func @f(%x: f32[4]) -> (f32[4], f32[4]) in_place = [0, -1] arena = 64 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[4] @ arg(0)+0"
      " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n return %a, %x }",
      "@f: %x and %a are live at one time and share memory (bytes 0 to 16)" },
    /* turned around in place: it would read what it wrote */
    { "func @f(%x: f32[4]) -> (f32[4]) in_place = [0] arena = 0 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[4] @ arg(0)+0"
      " { (%i: f32[4]) %o = view %i { at = [-d0 + 3] } : f32[4] yield %o }\n return %a }",
      "@f: %x and %a are live at one time and share memory (bytes 0 to 16)" },
    /* an alias may share, and keeps what it shares alive */
    { "func @f(%x: f32[4]) -> (f32[2,2]) arena = 64 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[4] @ arena+0"
      " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n"
      " %r = reshape %a : f32[2,2] @ arena+0\n return %r }",
      NULL },
    { "func @f(%x: f32[4]) -> (f32[2,2], f32[4]) arena = 64 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[4] @ arena+0"
      " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n"
      " %r = reshape %a : f32[2,2] @ arena+0\n"
      " %b = kernel %x { kind = \"map\" } : f32[4] @ arena+0"
      " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n return %r, %b }",
      "@f: %r and %b are live at one time and share memory (bytes 0 to 16)" },
    /* but lies where that does */
    { "func @f(%x: f32[4]) -> (f32[2,2]) arena = 64 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[4] @ arena+0"
      " { (%i: f32[4]) %o = neg %i : f32[4] yield %o }\n"
      " %r = reshape %a : f32[2,2] @ arena+16\n return %r }",
      "@f: the place of %r is not that of what it stands for" },
    { "func @f(%x: f32[4]) -> (f32[2]) arena = 64 {\n"
      " %v = view %x { at = [d0 + 2] } : f32[2] @ arg(0)+4\n return %v }",
      "@f: the place of %v is not that of what it stands for" },
    { "func @f(%x: f32[16]) -> (f32[32]) arena = 0 {\n"
      " %a = kernel %x { kind = \"map\" } : f32[16] @ result(0)+0"
      " { (%i: f32[16]) %o = neg %i : f32[16] yield %o }\n"
      " %b = kernel %x { kind = \"map\" } : f32[16] @ result(0)+0"
      " { (%i: f32[16]) %o = exp %i : f32[16] yield %o }\n"
      " %s = slab %a, %b : f32[32] @ result(0)+0\n return %s }",
      "@f: the place of %s is not that of what it stands for" },
    { KERNEL("single", "(%x: f32[4])", "f32[4]", "%y = neg %x : f32[4]"),
      "kernel: kind single: neg is not for it" },
    /* arguments by their kind, and parameters */
    { "param %s.w : f32[10,4]\nfunc @f(%s.w: f32[10,4] param, %i: i32[B<=4] index, %e: i32 epoch) "
      "-> (f32[10,4]) { return %s.w }",
      NULL },
    { "param %s.w : f32[10,4]\nfunc @f(%s.w: f32[999] param) -> (f32[999]) { return %s.w }",
      "@f: %s.w is f32[999] param; the parameter is f32[10,4]" },
    { "func @f(%s.w: f32[4] param) -> (f32[4]) { return %s.w }",
      "@f: %s.w is f32[4] param; the module has no parameter of this name" },
    { "func @f(%i: f32 index) -> (f32) { return %i }",
      "@f: %i is f32 index; an index is i32 of rank 1" },
    { "func @f(%e: f32[7] epoch) -> (f32[7]) { return %e }",
      "@f: %e is f32[7] epoch; a count is i32" },
    { "func @f(%p: i32[7] slab) -> (i32[7]) { return %p }",
      "@f: %p is i32[7] slab; a slab is f32[P]" },
    { "param %s.w : f32[N,4]", "parameter %s.w: its shape is fixed" },
    { "param %s.w : f32[4] { init = \"constant\", fan_in = -7 }",
      "parameter %s.w: a fan is at least 0" },
    /* numbers that an element does not hold; types that are only stored */
    { "func @f() -> (i32) { %c = constant { value = 0.5 } : i32 return %c }",
      "constant: its elements do not hold the value, found i32" },
    { "func @f() -> (bool) { %c = constant { value = 7 } : bool return %c }",
      "constant: its elements do not hold the value, found bool" },
    { "func @f() -> (u8) { %c = constant { value = 1000 } : u8 return %c }",
      "constant: its elements do not hold the value, found u8" },
    { "func @f(%x: f16[4]) -> (bool[4]) { %y = eq %x, %x : bool[4] return %y }",
      "eq: f16 and i8 are stored, and cast to f32 alone, found f16[4]" },
};

static void by_text(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        KdDiag d;
        KdModule *m = parse(texts[k].text, &d);
        if (!texts[k].message) {
            if (!m) fail_msg("must verify: %s\nbut: %s", texts[k].text, d.last);
            kd_module_destroy(m);
            continue;
        }
        assert_null(m);
        if (strcmp(d.last, texts[k].message) != 0) {
            fail_msg("of: %s\nexpected: %s\nfound:    %s", texts[k].text, texts[k].message, d.last);
        }
    }
}

/* --- by hand -------------------------------------------------------------------------------- */

typedef void Break(KdFunc *f);

static void use_before(KdFunc *f) {
    kd_instr_move_before(f->first->next, f->first);
}

static void type_changed(KdFunc *f) {
    f->first->results[0]->type.dim[0] = 5;
}

static void operand_lost(KdFunc *f) {
    f->first->next->nargs = 1;
}

static void attr_unknown(KdFunc *f) {
    kd_attr_set_int(f->module->arena, &f->first->attrs, "axis", 1);
}

static void attr_missing(KdFunc *f) {
    f->last->attrs = NULL;
}

static void names_equal(KdFunc *f) {
    f->first->results[0]->name = "x";
}

static void result_of_another(KdFunc *f) {
    f->results[0] = kd_module_func(f->module, "g")->args[0];
}

static void number_twice(KdFunc *f) {
    f->first->results[0]->id = f->args[0]->id;
}

static void called_behind(KdFunc *f) {
    kd_func_create(f->module, "late", 0);
    kd_attr_set_str(f->module->arena, &f->last->prev->attrs, "callee", "late");
}

static const struct {
    Break *apply;
    const char *message; /* of the first error */
} breaks[] = {
    { use_before, "add: operand %a is used before it is defined" },
    { type_changed, "neg: the result is f32[4], not f32[5]" },
    { operand_lost, "add takes 2 operands, not 1" },
    { attr_unknown, "neg: unknown attribute 'axis'" },
    { attr_missing, "reduce_sum: attribute 'axes' is missing" },
    { names_equal, "@f: two values are named %x" },
    { result_of_another, "@f: result 0 is not defined in it" },
    { number_twice, "@f: %a has the number of another value" },
    { called_behind, "call: no function @late stands before @f" },
};

/* The messages go to `said`; only the first line is looked at. */
static void by_hand(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof breaks / sizeof *breaks; k++) {
        KdDiag d;
        KdModule *m = parse("func @g(%x: f32[4]) -> (f32[4]) { return %x }\n"
                            "func @f(%x: f32[4]) -> (f32) { %a = neg %x : f32[4]\n"
                            "%b = add %a, %x : f32[4] %c = call %b { callee = \"g\" } : f32[4]\n"
                            "%s = reduce_sum %c { axes = [0] } : f32 return %s }",
                            &d);
        assert_non_null(m);
        assert_true(kd_verify(m, &d));
        breaks[k].apply(kd_module_func(m, "f"));
        char *said = NULL;
        size_t size = 0;
        kd_diag_init(&d, open_memstream(&said, &size), false);
        assert_false(kd_verify(m, &d));
        fclose(d.out);
        char *line_end = strchr(said, '\n');
        if (line_end) *line_end = '\0';
        const char *text = strstr(said, "error: ");
        assert_non_null(text);
        assert_string_equal(text + strlen("error: "), breaks[k].message);
        free(said);
        kd_module_destroy(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(by_text), cmocka_unit_test(by_hand) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
