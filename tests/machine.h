/*
 * Machines that tests compile for and then run: this one, with vectors of any width, and the
 * levels of x86-64 below it. A level has fewer registers and instructions, so its code is cut into
 * other tiles.
 */
#ifndef KD_TESTS_MACHINE_H
#define KD_TESTS_MACHINE_H

#include <stdbool.h>

#include "ir/target.h"

typedef struct TestMachine {
    const char *cpu; /* NULL: this machine's own */
    int vector_bits, registers;
} TestMachine;

static const TestMachine test_machines[] = {
    { NULL, 512, 0 },         { NULL, 256, 0 },         { NULL, 128, 0 },
    { "x86-64-v4", 512, 32 }, { "x86-64-v3", 256, 16 }, { "x86-64-v2", 128, 16 },
};
enum { TEST_MACHINES = sizeof test_machines / sizeof *test_machines };

static inline bool test_machine_runs(const TestMachine *m) {
    if (!m->cpu) return true;
#ifdef __x86_64__
    bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool v4 = v3 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
    return m->vector_bits == 512 ? v4 : m->vector_bits == 256 ? v3 : v2;
#else
    return false;
#endif
}

/* `t`, which is this machine, becomes that one, or as near to it as this one can run. */
static inline void test_machine_set(const TestMachine *m, KdTarget *t) {
    t->vector_bits = m->vector_bits;
    if (!m->cpu || !test_machine_runs(m)) return;
    t->cpu = m->cpu;
    t->registers = m->registers;
    t->dot = KD_DOT_PAIRS;
}

#endif
