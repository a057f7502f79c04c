/*
 * The machine we run on, and LLVM's view of a machine.
 */
#include "backend/machine.h"

#include <llvm-c/Core.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static bool has_feature(const char *features, const char *name) {
    const char *at = strstr(features, name);
    size_t length = strlen(name);
    while (at) {
        if (at[length] == ',' || at[length] == '\0') {
            return true;
        }
        at = strstr(at + 1, name);
    }
    return false;
}

static int cache_bytes(int name, int otherwise) {
    long bytes = sysconf(name);
    return bytes > 0 ? (int)bytes : otherwise;
}

#ifndef _SC_LEVEL1_DCACHE_SIZE /* a glibc extension */
#define _SC_LEVEL1_DCACHE_SIZE (-1)
#define _SC_LEVEL2_CACHE_SIZE  (-1)
#endif

/* AVX-512 only with the parts that masks on bytes and narrow vectors need. */
KdTarget kd_target_host(KdArena *a) {
    char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
    bool wide = has_feature(features, "+avx512f") && has_feature(features, "+avx512vl") &&
                has_feature(features, "+avx512bw") && has_feature(features, "+avx512dq");
    bool middle = has_feature(features, "+avx2") && has_feature(features, "+fma");
    KdTarget t = { .cpu = kd_arena_string(a, cpu),
                   .vector_bits = wide     ? 512
                                  : middle ? 256
                                           : 128,
                   .registers = wide || !strstr(features, "sse") ? 32 : 16,
                   .l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32768),
                   .l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1048576) };
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    return t;
}

bool kd_target_has_bf16(void) {
    char *features = LLVMGetHostCPUFeatures();
    bool has = has_feature(features, "+avx512bf16") && has_feature(features, "+avx512vl");
    LLVMDisposeMessage(features);
    return has;
}

/* What a processor family's vectors are when its CPU's name says no more, and what else its
 * plainest members with floating point have. */
static const struct {
    const char *family, *cpu, *features;
    int vector_bits, registers;
    const char *triple; /* an example */
} families[] = {
    { "x86_64", "x86-64-v2", "", 128, 16,
      "x86_64-linux-gnu; --cpu x86-64-v3 has 256, x86-64-v4 512" },
    { "aarch64", "generic", "", 128, 32, "aarch64-linux-gnu" },
    { "armv7", "cortex-a7", "+neon,+vfp4", 128, 16, "armv7-linux-gnueabihf" },
    { "wasm32", "generic", "+simd128", 128, 32, "wasm32-unknown-unknown" },
    { "riscv64", "generic-rv64", "+m,+a,+f,+d,+c", 128, 32, "riscv64-linux-gnu" },
};
enum { NUM_FAMILIES = sizeof families / sizeof *families };

/* The row of a triple, or NUM_FAMILIES. */
static int family_of(const char *triple) {
    int k = 0;
    while (k < NUM_FAMILIES && strncmp(triple, families[k].family, strlen(families[k].family)) != 0)
        k++;
    return k;
}

bool kd_target_of(const char *triple, const char *cpu, KdArena *a, KdTarget *t, KdDiag *d) {
    int k = family_of(triple);
    if (k == NUM_FAMILIES)
        return kd_error(d, (KdLoc){ 0 },
                        "no target '%s'; there are x86_64, aarch64, armv7, riscv64 and wasm32, as "
                        "in aarch64-linux-gnu",
                        triple);
    *t = (KdTarget){ .triple = kd_arena_string(a, triple),
                     .cpu = cpu ? kd_arena_string(a, cpu) : families[k].cpu,
                     .vector_bits = families[k].vector_bits,
                     .registers = families[k].registers,
                     .l1_bytes = 32768,
                     .l2_bytes = 262144 };
    if (strcmp(t->cpu, "x86-64-v3") == 0) t->vector_bits = 256;
    if (strcmp(t->cpu, "x86-64-v4") == 0) {
        t->vector_bits = 512;
        t->registers = 32;
    }
    return true;
}

void kd_target_print(FILE *out) {
    for (int k = 0; k < NUM_FAMILIES; k++)
        fprintf(out, "%-8s %-12s vectors of %d bits, as in %s\n", families[k].family,
                families[k].cpu, families[k].vector_bits, families[k].triple);
}

const char *kd_machine_features(const KdTarget *t, KdArena *a) {
    if (t->triple) return families[family_of(t->triple)].features;
    char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
    const char *out = strcmp(cpu, t->cpu) == 0 ? kd_arena_string(a, features) : "";
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    return out;
}

/* Instructions stay in the order in which they are emitted: LLVM's scheduler hoists all loads of a
 * register tile's step, and then its accumulators no longer fit. Loops are left as they are emitted
 * too: strength reduction takes a fifth of the time to compile and makes no step faster. */
static void initialize(void) {
    const char *options[] = { "kdc", "-enable-misched=false", "-disable-lsr" };
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMInitializeNativeAsmParser();
    LLVMParseCommandLineOptions(3, options, NULL);
}

/* Other machines' code generators, for those who ask for one. */
static void initialize_all(void) {
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
}

void kd_machine_initialize(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialize);
}

LLVMTargetMachineRef kd_machine_create(const KdTarget *t, const char *features, KdDiag *d) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (t->triple) pthread_once(&once, initialize_all);
    /* Normalised: in "armv7-linux-gnueabihf" linux is the system, not the vendor. */
    char *triple = t->triple ? LLVMNormalizeTargetTriple(t->triple) : LLVMGetDefaultTargetTriple();
    char *message = NULL;
    LLVMTargetRef target;
    LLVMTargetMachineRef machine = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) {
        kd_error(d, (KdLoc){ 0 }, "LLVM: %s", message);
        LLVMDisposeMessage(message);
    } else {
        LLVMTargetMachineOptionsRef o = LLVMCreateTargetMachineOptions();
        LLVMTargetMachineOptionsSetCPU(o, t->cpu);
        LLVMTargetMachineOptionsSetFeatures(o, features);
        LLVMTargetMachineOptionsSetRelocMode(o, LLVMRelocPIC);
        if (strncmp(triple, "riscv64", 7) == 0) LLVMTargetMachineOptionsSetABI(o, "lp64d");
        machine = LLVMCreateTargetMachineWithOptions(target, triple, o);
        LLVMDisposeTargetMachineOptions(o);
    }
    LLVMDisposeMessage(triple);
    return machine;
}
