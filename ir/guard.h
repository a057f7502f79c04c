/*
 * Where kdc itself is built under AddressSanitizer (-DKD_ASAN=ON) or ThreadSanitizer
 * (-DKD_TSAN=ON), the code that it generates is watched too. All of that is decided here: whatever
 * is compiled is instrumented and, for AddressSanitizer, planned buffers lie apart and what lies
 * between them is poisoned.
 */
#ifndef KD_IR_GUARD_H
#define KD_IR_GUARD_H

#include "ir/ir.h"

#ifndef KD_ASAN
#define KD_ASAN 0
#endif
#ifndef KD_TSAN
#define KD_TSAN 0
#endif

/* What LLVM calls the mark of a function to instrument, and the passes that do it. TSan's pass
 * looks at plain loads and stores of up to 16 bytes alone, so all others are first made of those:
 * masked ones on a processor that has none of them (KD_SANITIZE_CPU; NULL: the target's own). */
#if KD_TSAN
#define KD_SANITIZE_MARK "sanitize_thread"
#define KD_SANITIZE_PASSES \
    "function(scalarize-masked-mem-intrin,scalarizer<load-store;min-bits=128>),tsan"
#define KD_SANITIZE_CPU "x86-64-v2"
#else
#define KD_SANITIZE_MARK   "sanitize_address"
#define KD_SANITIZE_PASSES "asan"
#define KD_SANITIZE_CPU    NULL
#endif

enum {
    KD_SANITIZE = KD_ASAN || KD_TSAN, /* instrument whatever is compiled? */
    KD_REDZONE = KD_ASAN ? 64 : 0     /* bytes between planned buffers unless the pass is told */
};

/* Makes of `arena`, all `bytes` of it, an arena for f: in a build under AddressSanitizer every byte
 * that none of f's planned values holds may no longer be touched. Elsewhere this does nothing. To
 * be called before f is when another function may have worked in the arena. */
void kd_arena_guard(const KdFunc *f, const void *arena, size_t bytes);

#endif
