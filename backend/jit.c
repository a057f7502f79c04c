/*
 * Loads object files into this process by LLVM's ORC: the very bytes that would be shipped. What
 * they call is given as absolute addresses of functions of libkdrt, so nothing is looked up by name
 * in the process (but the sanitizer's runtime, when the objects were made for it).
 */
#include "backend/machine.h"
#include "ir/guard.h"

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

/* The sanitizer's runtime is found by name. */
static bool define_process(KdJit *j, KdDiag *d) {
    if (!KD_SANITIZE) return true;
    LLVMOrcDefinitionGeneratorRef generator;
    char prefix = LLVMOrcLLJITGetGlobalPrefix(j->jit);
    if (failed(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&generator, prefix, NULL, NULL),
               d)) {
        return false;
    }
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(j->jit), generator);
    return true;
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
    return kind != KD_DEBUG_GDB || !failed(LLVMOrcLLJITEnableDebugSupport(j->jit), d);
}

KdJit *kd_jit_create(const KdObject *o, KdDiag *d) {
    kd_machine_initialize();
    KdJit *j = calloc(1, sizeof *j);
    if (!j) kd_out_of_memory(sizeof *j);
    if (!create_jit(j, o, d) || !define_runtime(j, o, d) || !define_process(j, d) ||
        !add_objects(j, o, d)) {
        kd_jit_destroy(j);
        return NULL;
    }
    return j;
}

void *kd_jit_symbol(KdJit *j, const char *name) {
    LLVMOrcExecutorAddress address = 0;
    LLVMErrorRef error = LLVMOrcLLJITLookup(j->jit, &address, name);
    if (error) {
        LLVMConsumeError(error);
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

void kd_jit_destroy(KdJit *j) {
    if (j) {
        LLVMErrorRef error = j->jit ? LLVMOrcDisposeLLJIT(j->jit) : NULL;
        if (error) {
            LLVMConsumeError(error);
        }
        free(j);
    }
}
