/*
 * The machine we run on, and LLVM's view of a machine.
 */
#include "backend/machine.h"
#include "backend/subtarget.h"

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

static KdDot host_dot(const char *features, bool wide) {
    if (has_feature(features, "+avxvnni") || (wide && has_feature(features, "+avx512vnni")))
        return KD_DOT_VNNI;
    if (has_feature(features, "+sse2")) return KD_DOT_PAIRS;
    if (has_feature(features, "+i8mm")) return KD_DOT_USDOT;
    return has_feature(features, "+dotprod") ? KD_DOT_SDOT : KD_DOT_PLAIN;
}

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
                   .dot = host_dot(features, wide),
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

/* A processor family's plainest CPU with floating point, and what it has beyond LLVM's own idea:
 * any other CPU that is named has what LLVM says. */
static const struct {
    const char *family, *cpu, *features;
    const char *triple; /* an example */
} families[] = {
    { "x86_64", "x86-64-v2", "", "x86_64-linux-gnu" },
    { "aarch64", "generic", "", "aarch64-linux-gnu" },
    { "armv7", "cortex-a7", "+neon,+vfp4", "armv7-linux-gnueabihf" },
    { "riscv64", "generic-rv64", "+m,+a,+f,+d,+c", "riscv64-linux-gnu" },
    { "wasm32", "generic", "+simd128", "wasm32-unknown-unknown" },
};
enum { NUM_FAMILIES = sizeof families / sizeof *families, MAX_NEEDS = 4 };

/* The vectors that a family has with some features; the first row that fits counts. A machine
 * without any works on four scalars at a time, and so has fewer registers for them. */
static const struct {
    const char *family, *needs[MAX_NEEDS];
    int vector_bits, registers;
} widths[] = {
    { "x86_64", { "avx512f", "avx512bw", "avx512dq", "avx512vl" }, 512, 32 },
    { "x86_64", { "avx2", "fma" }, 256, 16 },
    { "x86_64", { "sse2" }, 128, 16 },
    { "aarch64", { "neon" }, 128, 32 },
    { "armv7", { "neon" }, 128, 16 },
    { "riscv64", { "zvl512b" }, 512, 32 },
    { "riscv64", { "zvl256b" }, 256, 32 },
    { "riscv64", { "v" }, 128, 32 },
    { "wasm32", { "simd128" }, 128, 32 },
};
enum { NUM_WIDTHS = sizeof widths / sizeof *widths, SCALAR_REGISTERS = 8 };

/* The products of bytes that it has, the first row that fits. */
static const struct {
    const char *family, *needs[MAX_NEEDS];
    KdDot dot;
} dots[] = {
    { "x86_64", { "avx512vnni", "avx512vl" }, KD_DOT_VNNI },
    { "x86_64", { "avxvnni" }, KD_DOT_VNNI },
    { "x86_64", { "sse2" }, KD_DOT_PAIRS },
    { "aarch64", { "neon", "i8mm" }, KD_DOT_USDOT },
    { "aarch64", { "neon", "dotprod" }, KD_DOT_SDOT },
};
enum { NUM_DOTS = sizeof dots / sizeof *dots };

/* What --target=list says. */
static const struct {
    const char *family, *options, *meaning;
} levels[] = {
    { "x86_64", "(--cpu x86-64-v2)", "SSE4.2: 16 vectors of 128 bits, no fused multiply-add" },
    { "x86_64", "--cpu x86-64-v3", "AVX2 and FMA: 16 vectors of 256 bits" },
    { "x86_64", "--cpu x86-64-v4", "AVX-512 F, BW, CD, DQ, VL: 32 vectors of 512 bits" },
    { "aarch64", "", "NEON: 32 vectors of 128 bits" },
    { "armv7", "", "NEON with VFPv4, as a Cortex-A7: 16 vectors of 128 bits" },
    { "riscv64", "", "RV64GC without vectors" },
    { "riscv64", "--features +v",
      "V 1.0, 32 vectors of at least 128 bits; +zvl256b, +zvl512b: of 256, 512" },
    { "wasm32", "", "SIMD: vectors of 128 bits; --features -simd128: none" },
};
enum { NUM_LEVELS = sizeof levels / sizeof *levels };

/* The row of a triple, or NUM_FAMILIES. */
static int family_of(const char *triple) {
    int k = 0;
    while (k < NUM_FAMILIES && strncmp(triple, families[k].family, strlen(families[k].family)) != 0)
        k++;
    return k;
}

static bool has_all(const KdTarget *t, const char *family, const char *const needs[MAX_NEEDS],
                    KdDiag *d) {
    if (strcmp(family, families[family_of(t->triple)].family) != 0) return false;
    int n = 0, had = 0;
    bool has[MAX_NEEDS] = { false };
    while (n < MAX_NEEDS && needs[n]) n++;
    if (!kd_subtarget_has(t, n, needs, has, d)) return false;
    for (int k = 0; k < n; k++) had += has[k];
    return had == n;
}

/* What its features mean for the code. */
static void find_abilities(KdTarget *t, KdDiag *d) {
    t->vector_bits = 128;
    t->registers = SCALAR_REGISTERS;
    for (int k = NUM_WIDTHS - 1; k >= 0; k--) {
        if (!has_all(t, widths[k].family, widths[k].needs, d)) continue;
        t->vector_bits = widths[k].vector_bits;
        t->registers = widths[k].registers;
    }
    for (int k = NUM_DOTS - 1; k >= 0; k--)
        if (has_all(t, dots[k].family, dots[k].needs, d)) t->dot = dots[k].dot;
}

/* This machine, by its names; `name` says what is to be different. */
static void name_host(const KdTargetName *name, KdArena *a, KdTarget *t) {
    char *triple = LLVMGetDefaultTargetTriple(), *features = LLVMGetHostCPUFeatures();
    t->triple = kd_arena_string(a, triple);
    t->features = name->cpu ? "" : kd_arena_string(a, features);
    if (!name->cpu) t->cpu = kd_target_host(a).cpu;
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(features);
}

/* Weights and tables lie in objects, and in what callers hand over, as on this machine. */
static bool check_order(const KdTarget *t, KdDiag *d) {
    LLVMTargetMachineRef machine = kd_machine_create(t, t->features, d);
    if (!machine) return false;
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    bool little = LLVMByteOrder(layout) == LLVMLittleEndian;
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(machine);
    return little || kd_error(d, (KdLoc){ 0 },
                              "'%s' puts the most significant byte first, which "
                              "no code is made for",
                              t->triple);
}

/* riscv64's LLVM complains by itself. */
static bool check_floats(const KdTarget *t, KdDiag *d) {
    static const char *const needs[MAX_NEEDS] = { "vfp2" };
    return strncmp(t->triple, "armv7", 5) != 0 || has_all(t, "armv7", needs, d) ||
           kd_error(d, (KdLoc){ 0 }, "%s, CPU %s%s%s: no floating point, which all code needs",
                    t->triple, t->cpu, *t->features ? ", " : "", t->features);
}

/* An empty list, or end of one: where it is behind another, nobody would see that. */
static bool check_end(const char *features, KdDiag *d) {
    size_t n = strlen(features);
    return (n && features[n - 1] != ',') ||
           kd_error(d, (KdLoc){ 0 }, "--features wants a list as +NAME,-NAME, found '%s'",
                    features);
}

bool kd_target_of(const KdTargetName *name, KdArena *a, KdTarget *t, KdDiag *d) {
    *t = (KdTarget){ .l1_bytes = 32768, .l2_bytes = 262144 };
    if (name->features && !check_end(name->features, d)) return false;
    int k = name->triple ? family_of(name->triple) : -1;
    if (k == NUM_FAMILIES)
        return kd_error(d, (KdLoc){ 0 },
                        "no target '%s'; there are x86_64, aarch64, armv7, riscv64 and wasm32, as "
                        "in aarch64-linux-gnu",
                        name->triple);
    if (k < 0) {
        name_host(name, a, t);
    } else {
        t->triple = kd_arena_string(a, name->triple);
        t->cpu = families[k].cpu;
        bool plain = !name->cpu || strcmp(name->cpu, t->cpu) == 0;
        t->features = plain ? families[k].features : "";
    }
    if (name->cpu) t->cpu = kd_arena_string(a, name->cpu);
    if (name->features)
        t->features =
            kd_arena_format(a, "%s%s%s", t->features, *t->features ? "," : "", name->features);
    if (!kd_subtarget_check(t, a, d) || !check_order(t, d) || !check_floats(t, d)) return false;
    find_abilities(t, d);
    return true;
}

void kd_target_print(FILE *out) {
    for (int k = 0; k < NUM_FAMILIES; k++) {
        fprintf(out, "--target %s\n", families[k].triple);
        for (int j = 0; j < NUM_LEVELS; j++)
            if (strcmp(levels[j].family, families[k].family) == 0)
                fprintf(out, "  %-18s %s\n", levels[j].options, levels[j].meaning);
    }
}

const char *kd_machine_features(const KdTarget *t, KdArena *a) {
    if (t->triple) return t->features;
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
    LLVMInitializeAllAsmParsers();
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
