/*
 * What Linux tells a program of its CPU, where that cannot be asked as on x86-64 (dispatch.c):
 * words of bits, AT_HWCAP and AT_HWCAP2, which are part of Linux's interface. A header gives those
 * that its object needs.
 */
#include "backend/backend.h"
#include "backend/subtarget.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

/* Features that LLVM's code may use unasked, by its names; `word` 1 is AT_HWCAP2. UNTOLD: neither
 * word has a bit for it. */
enum { UNTOLD = -1 };

static const struct {
    const char *family, *name;
    int word, bit;
} features[] = {
    { "aarch64", "neon", 0, 1 },
    { "aarch64", "crc", 0, 7 },
    { "aarch64", "lse", 0, 8 },
    { "aarch64", "fullfp16", 0, 10 },
    { "aarch64", "rdm", 0, 12 },
    { "aarch64", "jsconv", 0, 13 },
    { "aarch64", "complxnum", 0, 14 },
    { "aarch64", "rcpc", 0, 15 },
    { "aarch64", "sha3", 0, 17 },
    { "aarch64", "dotprod", 0, 20 },
    { "aarch64", "sve", 0, 22 },
    { "aarch64", "fp16fml", 0, 23 },
    { "aarch64", "sve2", 1, 1 },
    { "aarch64", "i8mm", 1, 13 },
    { "aarch64", "bf16", 1, 14 },
    { "aarch64", "cssc", 1, 34 },
    { "aarch64", "sve2p1", 1, 36 },
    { "aarch64", "mops", 1, 43 },
    { "aarch64", "faminmax", 1, 50 },
    { "arm", "neon", 0, 12 },
    { "arm", "vfp4", 0, 16 },
    { "arm", "hwdiv-arm", 0, 17 },
    { "arm", "hwdiv", 0, 18 },
    { "arm", "fp-armv8", 0, UNTOLD },
    { "riscv64", "a", 0, 0 },
    { "riscv64", "c", 0, 2 },
    { "riscv64", "d", 0, 3 },
    { "riscv64", "f", 0, 5 },
    { "riscv64", "m", 0, 12 },
    { "riscv64", "v", 0, 21 },
    { "riscv64", "zba", 0, UNTOLD },
    { "riscv64", "zbb", 0, UNTOLD },
    { "riscv64", "zbs", 0, UNTOLD },
    { "riscv64", "zbkb", 0, UNTOLD },
    { "riscv64", "zcb", 0, UNTOLD },
    { "riscv64", "zcmp", 0, UNTOLD },
    { "riscv64", "zicond", 0, UNTOLD },
    { "riscv64", "zfa", 0, UNTOLD },
    { "riscv64", "zfhmin", 0, UNTOLD },
    { "riscv64", "zfh", 0, UNTOLD },
    { "riscv64", "zvfhmin", 0, UNTOLD },
    { "riscv64", "zvfh", 0, UNTOLD },
    { "riscv64", "zvkb", 0, UNTOLD },
    { "riscv64", "zvbb", 0, UNTOLD },
};
enum { NUM_FEATURES = sizeof features / sizeof *features };

bool kd_target_hwcaps(const KdTarget *t, uint64_t hwcap[2], const char **untold, KdArena *a,
                      KdDiag *d) {
    char *host = LLVMGetDefaultTargetTriple();
    const char *triple = t->triple ? t->triple : host, *names[NUM_FEATURES];
    bool has[NUM_FEATURES] = { false };
    int n = 0, row[NUM_FEATURES];
    for (int k = 0; k < NUM_FEATURES; k++) {
        if (strncmp(triple, features[k].family, strlen(features[k].family)) != 0) continue;
        row[n] = k;
        names[n++] = features[k].name;
    }
    LLVMDisposeMessage(host);
    hwcap[0] = hwcap[1] = 0;
    *untold = "";
    if (n == 0 || !kd_subtarget_has(t, n, names, has, d)) return false;
    for (int k = 0; k < n; k++) {
        int bit = features[row[k]].bit;
        if (has[k] && bit == UNTOLD)
            *untold = kd_arena_format(a, "%s%s%s", *untold, **untold ? ", " : "", names[k]);
        else if (has[k])
            hwcap[features[row[k]].word] |= (uint64_t)1 << bit;
    }
    return true;
}
