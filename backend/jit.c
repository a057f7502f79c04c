/*
 * Loads object files into this process by LLVM's ORC: the very bytes that would be shipped. What
 * they call of libkdrt is given as absolute addresses. LLJIT looks for anything else in the process
 * by its name: a sanitizer's runtime, and what LLVM calls where a processor has no instruction.
 */
#include "backend/machine.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/ExecutionEngine.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/LLJITUtils.h>
#include <llvm-c/OrcEE.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct KdJit {
    LLVMOrcLLJITRef jit;
};

/* LLVM's error as one of ours. */
static bool failed(LLVMErrorRef error, KdDiag *d) {
    if (!error) {
        return false;
    }
    char *message = LLVMGetErrorMessage(error);
    kd_error(d, (KdLoc){ 0 }, "LLVM: %s", message);
    LLVMDisposeErrorMessage(message);
    return true;
}

/* What goes wrong while code is loaded, which is when it is first looked up. */
static void report(void *user, LLVMErrorRef error) {
    failed(error, user);
}

static void keep_quiet(void *user, LLVMErrorRef error) {
    (void)user;
    LLVMConsumeError(error);
}

static uint64_t address_of(void (*function)(void)) {
    return (uint64_t)(uintptr_t)function;
}

#define RUNTIME_FUNCTION(name) { #name, address_of((void (*)(void))(name)) }

static bool define_runtime(KdJit *j, const KdObject *o, KdDiag *d) {
    const struct {
        const char *name;
        uint64_t address;
    } runtime[] = { { "kdrt_parallel", address_of((void (*)(void))kd_object_parallel(o)) },
                    RUNTIME_FUNCTION(kdrt_print),
                    { "kdrt_sgemm", address_of((void (*)(void))kd_object_sgemm(o)) },
                    { "memcpy", (uint64_t)(uintptr_t)memcpy },
                    { "memset", (uint64_t)(uintptr_t)memset } };
    LLVMOrcCSymbolMapPair pairs[sizeof runtime / sizeof *runtime];
    size_t n = sizeof runtime / sizeof *runtime;
    for (size_t k = 0; k < n; k++) {
        pairs[k].Name = LLVMOrcLLJITMangleAndIntern(j->jit, runtime[k].name);
        pairs[k].Sym.Address = runtime[k].address;
        pairs[k].Sym.Flags.GenericFlags =
            LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
        pairs[k].Sym.Flags.TargetFlags = 0;
    }
    LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pairs, n);
    return !failed(LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(j->jit), unit), d);
}

static bool add_objects(KdJit *j, const KdObject *o, KdDiag *d) {
    for (int k = 0; k < kd_object_count(o); k++) {
        size_t size;
        const char *bytes = kd_object_bytes(o, k, &size);
        char name[32]; /* ORC wants them different */
        snprintf(name, sizeof name, "kdc.%d", k);
        LLVMMemoryBufferRef copy = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, name);
        LLVMOrcJITDylibRef main = LLVMOrcLLJITGetMainJITDylib(j->jit);
        if (failed(LLVMOrcLLJITAddObjectFile(j->jit, main, copy), d)) {
            return false;
        }
    }
    return true;
}

/* perf's listener can be had for the older of LLVM's two linkers only. */
static LLVMOrcObjectLayerRef create_layer(void *user, LLVMOrcExecutionSessionRef session,
                                          const char *triple) {
    (void)triple;
    LLVMOrcObjectLayerRef layer =
        LLVMOrcCreateRTDyldObjectLinkingLayerWithSectionMemoryManager(session);
    LLVMOrcRTDyldObjectLinkingLayerRegisterJITEventListener(layer, user);
    return layer;
}

/* The JIT, and whoever is to know of its code. gdb reads it through the interface that LLVM's
 * linker calls; perf through a file in $JITDUMPDIR or the home folder. */
static bool create_jit(KdJit *j, const KdObject *o, KdDiag *d) {
    KdDebugKind kind = kd_object_debug(o);
    LLVMOrcLLJITBuilderRef builder = NULL;
    if (kind == KD_DEBUG_PERF) {
        LLVMJITEventListenerRef listener = LLVMCreatePerfJITEventListener();
        if (!listener) {
            return kd_error(d, (KdLoc){ 0 }, "this LLVM was built without support of perf");
        }
        builder = LLVMOrcCreateLLJITBuilder();
        LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator(builder, create_layer, listener);
    }
    if (failed(LLVMOrcCreateLLJIT(&j->jit, builder), d)) {
        return false;
    }
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(j->jit), report, d);
    return kind != KD_DEBUG_GDB || !failed(LLVMOrcLLJITEnableDebugSupport(j->jit), d);
}

KdJit *kd_jit_create(const KdObject *o, KdDiag *d) {
    kd_machine_initialize();
    KdJit *j = calloc(1, sizeof *j);
    if (!j) kd_out_of_memory(sizeof *j);
    if (!create_jit(j, o, d) || !define_runtime(j, o, d) || !add_objects(j, o, d)) {
        kd_jit_destroy(j);
        return NULL;
    }
    return j;
}

void *kd_jit_symbol(KdJit *j, const char *name) {
    LLVMOrcExecutorAddress address = 0;
    LLVMErrorRef error = LLVMOrcLLJITLookup(j->jit, &address, name);
    if (error) {
        LLVMConsumeError(error); /* there is none, or report() has said why */
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

void kd_jit_destroy(KdJit *j) {
    if (!j) return;
    if (j->jit) {
        LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(j->jit);
        LLVMOrcExecutionSessionSetErrorReporter(session, keep_quiet,
                                                NULL); /* whose diag may be gone */
        LLVMErrorRef error = LLVMOrcDisposeLLJIT(j->jit);
        if (error) LLVMConsumeError(error);
    }
    free(j);
}
