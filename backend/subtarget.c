/*
 * Questions about processors that LLVM's C API has no function for.
 *
 * Whether a CPU has a feature: LLVM inlines a function only into one that has all of its features.
 * So in a small module @ask, for the CPU as it is, calls one empty function for the CPU with each
 * feature added; those that the inliner takes away add nothing.
 *
 * Which names there are: for the feature "+help" LLVM writes its lists to standard error, so a
 * child process asks, with a pipe as its standard error. There too an unknown name is no more than
 * a complaint on standard error, which is why names are looked up before they are used.
 */
#include "backend/subtarget.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const KdLoc nowhere = { NULL, 0 };

/* --- features -------------------------------------------------------------------------------- */

static LLVMValueRef add_function(LLVMModuleRef m, const char *name, const KdTarget *t,
                                 const char *features) {
    LLVMContextRef cx = LLVMGetModuleContext(m);
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(cx), NULL, 0, 0);
    LLVMValueRef fn = LLVMAddFunction(m, name, type);
    const char *pairs[][2] = { { "target-cpu", t->cpu }, { "target-features", features } };
    for (int k = 0; k < 2; k++) {
        const char *key = pairs[k][0], *value = pairs[k][1];
        LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                LLVMCreateStringAttribute(cx, key, (unsigned)strlen(key), value,
                                                          (unsigned)strlen(value)));
    }
    LLVMAppendBasicBlockInContext(cx, fn, "");
    return fn;
}

/* @ask, and what it calls; `called` are the n callees. */
static LLVMValueRef build_question(LLVMModuleRef m, LLVMBuilderRef b, const KdTarget *t, int n,
                                   const char *const *wanted, LLVMValueRef *called, KdArena *a) {
    const char *own = kd_machine_features(t, a);
    LLVMValueRef ask = add_function(m, "ask", t, own);
    LLVMPositionBuilderAtEnd(b, LLVMGetEntryBasicBlock(ask));
    for (int k = 0; k < n; k++) {
        const char *more = kd_arena_format(a, "%s%s+%s", own, *own ? "," : "", wanted[k]);
        called[k] = add_function(m, wanted[k], t, more);
        LLVMBuildCall2(b, LLVMGlobalGetValueType(called[k]), called[k], NULL, 0, "");
    }
    LLVMBuildRetVoid(b);
    for (int k = 0; k < n; k++) {
        LLVMPositionBuilderAtEnd(b, LLVMGetEntryBasicBlock(called[k]));
        LLVMBuildRetVoid(b);
    }
    return ask;
}

bool kd_subtarget_has(const KdTarget *t, int n, const char *const *wanted, bool *has, KdDiag *d) {
    KdArena *a = kd_arena_create();
    LLVMTargetMachineRef machine = kd_machine_create(t, kd_machine_features(t, a), d);
    if (!machine) {
        kd_arena_destroy(a);
        return false;
    }
    LLVMContextRef cx = LLVMContextCreate();
    LLVMModuleRef m = LLVMModuleCreateWithNameInContext("features", cx);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(cx);
    LLVMValueRef *called = KD_NEW_ARRAY(a, LLVMValueRef, n + 1);
    build_question(m, b, t, n, wanted, called, a);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(m, "cgscc(inline)", machine, options);
    if (error) kd_bug(d, "LLVM: %s", LLVMGetErrorMessage(error));
    for (int k = 0; k < n; k++) has[k] = LLVMGetFirstUse(called[k]) == NULL;
    LLVMDisposePassBuilderOptions(options);
    LLVMDisposeBuilder(b);
    LLVMDisposeModule(m);
    LLVMContextDispose(cx);
    LLVMDisposeTargetMachine(machine);
    kd_arena_destroy(a);
    return true;
}

/* --- names ----------------------------------------------------------------------------------- */

enum { MAX_NAMES = 2048 };

typedef struct Names {
    int n;
    const char *name[MAX_NAMES];
} Names;

/* Code for an empty function: LLVM looks at all features now. */
static void compile_nothing(const KdTarget *t, KdDiag *d) {
    KdArena *a = kd_arena_create();
    LLVMTargetMachineRef machine = kd_machine_create(t, t->features, d);
    LLVMContextRef cx = LLVMContextCreate();
    LLVMModuleRef m = LLVMModuleCreateWithNameInContext("nothing", cx);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(cx);
    build_question(m, b, t, 0, NULL, NULL, a);
    LLVMMemoryBufferRef code;
    char *message;
    LLVMTargetMachineEmitToMemoryBuffer(machine, m, LLVMObjectFile, &message, &code);
}

/* What LLVM writes about t's triple, and about t: some features that do not go together make it
 * end the process, with a last word. NULL: nothing. */
static char *read_help(const KdTarget *t, KdArena *a, KdDiag *d) {
    int ends[2];
    if (pipe(ends)) return NULL;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        const KdTarget plain = { .triple = t->triple, .cpu = "" };
        if (kd_machine_create(&plain, "+help", d)) compile_nothing(t, d);
        _exit(0);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    enum { MOST = 1 << 20 };
    char *text = kd_arena_alloc(a, MOST + 1);
    size_t size = in ? fread(text, 1, MOST, in) : 0;
    text[size] = '\0';
    if (in) fclose(in);
    if (child > 0) waitpid(child, NULL, 0);
    return size ? text : NULL;
}

static bool check_fatal(const char *text, const KdTarget *t, KdDiag *d) {
    const char *last = strstr(text, "LLVM ERROR: ");
    if (strstr(text, "ABI can't be used for a target")) /* it goes on, with another one */
        return kd_error(d, nowhere, "%s, CPU %s%s%s: no floating point, which all code needs",
                        t->triple, t->cpu, *t->features ? ", " : "", t->features);
    if (!last) return true;
    last += strlen("LLVM ERROR: ");
    return kd_error(d, nowhere, "%s, CPU %s%s%s: %.*s", t->triple, t->cpu, *t->features ? ", " : "",
                    t->features, (int)strcspn(last, "\n"), last);
}

/* "Available CPUs…", a line "  NAME - meaning" each; then "Available features…", and the same. */
static void read_names(char *text, Names *cpus, Names *features) {
    Names *to = NULL;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "Available CPUs", 14) == 0) to = cpus;
        if (strncmp(line, "Available features", 18) == 0) to = features;
        if (!to || strncmp(line, "  ", 2) != 0 || to->n == MAX_NAMES) continue;
        line[2 + strcspn(line + 2, " ")] = '\0';
        to->name[to->n++] = line + 2;
    }
}

static bool check_name(const Names *names, const char *what, const char *name, const KdTarget *t,
                       KdDiag *d) {
    for (int k = 0; k < names->n; k++)
        if (strcmp(names->name[k], name) == 0) return true;
    const char *near = kd_nearest(name, names->name, names->n);
    return kd_error(d, nowhere, "%s has no %s '%s'%s%s%s", t->triple, what, name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool check_features(const Names *names, const KdTarget *t, KdArena *a, KdDiag *d) {
    const char *at = t->features;
    while (*at) {
        char *one = kd_arena_string(a, at);
        one[strcspn(one, ",")] = '\0';
        if ((*one != '+' && *one != '-') || !one[1])
            return kd_error(d, nowhere, "--features wants a list as +NAME,-NAME, found '%s'", one);
        if (!check_name(names, "feature", one + 1, t, d)) return false;
        at += strlen(one);
        if (*at == ',') at++;
    }
    return true;
}

bool kd_subtarget_check(const KdTarget *t, KdArena *a, KdDiag *d) {
    Names *cpus = KD_NEW_ARRAY(a, Names, 2), *features = cpus + 1;
    char *text = read_help(t, a, d);
    if (!text) return kd_error(d, nowhere, "LLVM has no code generator for %s", t->triple);
    read_names(kd_arena_string(a, text), cpus, features);
    return check_name(cpus, "CPU", t->cpu, t, d) && check_features(features, t, a, d) &&
           check_fatal(text, t, d);
}
