/*
 * What the JIT tests share: a tensor-level function, given as text, becomes one kernel of a chosen
 * kind whose operands are the arguments and whose results go to the caller's memory; it is
 * compiled, loaded and run on arrays. No pass is involved.
 */
#ifndef KD_TESTS_JIT_SUPPORT_H
#define KD_TESTS_JIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "ir/guard.h"
#include "ir/text.h"
#include "tests/machine.h"

#define JIT_MAX 8

typedef struct Jit {
    KdModule *m;
    KdFunc *tensor, *planned; /* as given; as one kernel */
    KdDiag diag;
    KdObject *object;
    KdJit *jit;
    KdrtFunction *run;
    KdrtFrame frame;
    void *args[JIT_MAX], *results[JIT_MAX];
} Jit;

/* A function @kernel that runs f's body as one kernel. */
static inline KdFunc *jit_wrap(KdModule *m, KdFunc *f, const char *kind, KdDiag *d) {
    KdFunc *g = kd_func_create(m, "kernel", f->max_batch);
    KdValue **args = KD_NEW_ARRAY(m->arena, KdValue *, f->nargs + 1);
    for (int k = 0; k < f->nargs; k++) {
        args[k] = kd_func_add_arg(g, f->args[k]->name, f->args[k]->type, f->args[k]->kind);
    }
    KdFunc *body = kd_body_create(g);
    KdValue **inner = KD_NEW_ARRAY(m->arena, KdValue *, f->nargs + 1);
    for (int k = 0; k < f->nargs; k++) {
        inner[k] = kd_func_add_arg(body, f->args[k]->name, f->args[k]->type, NULL);
    }
    KdBuilder into = kd_builder(body, d);
    KdValue **out = KD_NEW_ARRAY(m->arena, KdValue *, f->nresults);
    kd_inline(&into, f, inner, NULL, out);
    kd_func_set_results(body, f->nresults, out);
    KdBuilder b = kd_builder(g, d);
    KdInstr *kernel = kd_instr_create(&b, KD_OP_KERNEL, f->nargs, args);
    kernel->body = body;
    kd_attr_set_str(m->arena, &kernel->attrs, "kind", kind);
    assert_non_null(kd_instr_finish(&b, kernel, NULL));
    for (int k = 0; k < f->nresults; k++) {
        kernel->results[k]->buffer = (KdBuffer){ KD_PLACE_RESULT, k, 0 };
    }
    kd_func_set_results(g, f->nresults, kernel->results);
    g->planned = true;
    return g;
}

/* Bytes behind scratch that nobody may write; AddressSanitizer watches from the first one on. */
enum { JIT_GUARD = KD_ASAN ? 0 : 1 << 16, JIT_MARK = 0xa5 };

static int jit_dot = -1;               /* a KdDot to use in place of the machine's own */
static const TestMachine *jit_machine; /* one in place of this; no `bits` are asked for then */

/* Parses `text` and compiles its first function as a kernel of that kind, for vectors of `bits`. */
static inline void jit_open_with(Jit *j, const char *text, const char *kind, int bits,
                                 KdBackendOptions options) {
    *j = (Jit){ 0 };
    kd_diag_init(&j->diag, stderr, false);
    j->m = kd_parse_module(text, strlen(text), "test.kir", &j->diag);
    assert_non_null(j->m);
    j->m->target = kd_target_host(j->m->arena);
    j->m->target.vector_bits = bits ? bits : j->m->target.vector_bits;
    if (jit_machine) test_machine_set(jit_machine, &j->m->target);
    j->tensor = j->m->first;
    if (jit_dot >= 0) j->m->target.dot = (KdDot)jit_dot;
    j->planned = jit_wrap(j->m, j->tensor, kind, &j->diag);
    const KdEntry entry = { j->planned, false };
    if (getenv("KD_TEST_LLVM")) {
        kd_compile_text(j->m, 1, &entry, &options, "llvm-ir", stderr, &j->diag);
    }
    j->object = kd_compile(j->m, 1, &entry, &options, &j->diag);
    assert_non_null(j->object);
    j->jit = kd_jit_create(j->object, &j->diag);
    assert_non_null(j->jit);
    void *symbol = kd_jit_symbol(j->jit, "kernel");
    assert_non_null(symbol);
    memcpy(&j->run, &symbol, sizeof symbol);
    j->frame = (KdrtFrame){ .args = j->args, .results = j->results, .seed = 0x123456789abcdefu };
    j->frame.scratch_stride = kd_object_scratch(j->object);
    j->frame.scratch = kdrt_alloc(kd_object_scratch(j->object) + JIT_GUARD);
    memset((char *)j->frame.scratch + kd_object_scratch(j->object), JIT_MARK, JIT_GUARD);
}

static inline void jit_open(Jit *j, const char *text, const char *kind, int bits) {
    jit_open_with(j, text, kind, bits, (KdBackendOptions){ .threads = 1 });
}

static inline void jit_close(Jit *j) {
    const unsigned char *behind =
        (const unsigned char *)j->frame.scratch + kd_object_scratch(j->object);
    for (int k = 0; k < JIT_GUARD; k++) assert_int_equal(behind[k], JIT_MARK);
    kdrt_free(j->frame.scratch);
    kd_jit_destroy(j->jit);
    kd_object_destroy(j->object);
    kd_module_destroy(j->m);
}

/* The text with operands of its contractions rounded to bf16, in memory of the caller's arena. */
static inline const char *jit_rounded(const char *text, KdArena *a) {
    static const char plain[] = "{ over = ";
    const char *out = "";
    for (const char *at; (at = strstr(text, plain)); text = at + strlen(plain))
        out = kd_arena_format(a, "%s%.*s{ round = \"bf16\", over = ", out, (int)(at - text), text);
    return kd_arena_format(a, "%s%s", out, text);
}

#endif
