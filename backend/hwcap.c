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

/* Features that LLVM's code may use unasked, by its names; `word` 1 is AT_HWCAP2. */
static const struct {
    const char *family, *name;
    int word, bit;
} features[] = {
    { "aarch64", "neon", 0, 1 },       { "aarch64", "crc", 0, 7 },
    { "aarch64", "lse", 0, 8 },        { "aarch64", "fullfp16", 0, 10 },
    { "aarch64", "rdm", 0, 12 },       { "aarch64", "jsconv", 0, 13 },
    { "aarch64", "complxnum", 0, 14 }, { "aarch64", "rcpc", 0, 15 },
    { "aarch64", "dotprod", 0, 20 },   { "aarch64", "sve", 0, 22 },
    { "aarch64", "fp16fml", 0, 23 },   { "aarch64", "sve2", 1, 1 },
    { "aarch64", "i8mm", 1, 13 },      { "aarch64", "bf16", 1, 14 },
    { "arm", "neon", 0, 12 },          { "arm", "vfp4", 0, 16 },
    { "arm", "hwdiv-arm", 0, 17 },     { "arm", "hwdiv", 0, 18 },
    { "riscv64", "a", 0, 0 },          { "riscv64", "c", 0, 2 },
    { "riscv64", "d", 0, 3 },          { "riscv64", "f", 0, 5 },
    { "riscv64", "m", 0, 12 },         { "riscv64", "v", 0, 21 },
};
enum { NUM_FEATURES = sizeof features / sizeof *features };

bool kd_target_hwcaps(const KdTarget *t, uint32_t hwcap[2], KdDiag *d) {
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
    if (n == 0 || !kd_subtarget_has(t, n, names, has, d)) return false;
    for (int k = 0; k < n; k++)
        if (has[k]) hwcap[features[row[k]].word] |= (uint32_t)1 << features[row[k]].bit;
    return true;
}
