/*
 * What the tests of passes share: a function given as text goes through one pass or several, and
 * the text that comes out is compared.
 *
 *     pass_expect("canonicalize",
 *                 "func @f(%x: f32[4] input) -> (f32[4]) {\n"
 *                 "  %y = neg %x : f32[4]\n"
 *                 "  %z = neg %y : f32[4]\n"
 *                 "  return %z\n"
 *                 "}\n",
 *                 "func @f(%x: f32[4] input) -> (f32[4]) {\n"
 *                 "  return %x\n"
 *                 "}\n");
 */
#ifndef KD_TESTS_PASS_SUPPORT_H
#define KD_TESTS_PASS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ir/text.h"
#include "passes/diff.h"
#include "passes/pass.h"

/* The module of a text, "kdc-ir 1" in front, after the passes. Destroy it with kd_module_destroy.
 */
static inline KdModule *pass_run(const char *text, const char *passes) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdModule *m = kd_parse_module(text, strlen(text), "t.kir", &d);
    assert_non_null(m);
    KdPipeline p = { .passes = passes };
    assert_true(kd_run_pipeline(m, &p, &d));
    return m;
}

/* Hyperparameters, parameters and functions, as they would be printed: `before` becomes `after`. */
static inline void pass_expect(const char *passes, const char *before, const char *after) {
    KdArena *a = kd_arena_create();
    KdModule *m = pass_run(kd_arena_format(a, "kdc-ir 1\n%s", before), passes);
    const char *text = kd_module_text(m, a), *target = strstr(text, "\ntarget ");
    const char *found = strchr(target + 1, '\n');
    while (*found == '\n') found++;
    if (strcmp(found, after) != 0) {
        fprintf(stderr, "--- expected\n+++ found\n");
        kd_diff_print(after, found, stderr);
        fail_msg("%s gives another text", passes);
    }
    kd_module_destroy(m);
    kd_arena_destroy(a);
}

#endif
