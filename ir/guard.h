/*
 * Where kdc itself is built under AddressSanitizer (-DKD_ASAN=ON), the code that it generates is
 * watched too. All of that is decided here: whatever is compiled is instrumented, planned buffers
 * lie apart, and what lies between them is poisoned.
 */
#ifndef KD_IR_GUARD_H
#define KD_IR_GUARD_H

#include "ir/ir.h"

#ifndef KD_ASAN
#define KD_ASAN 0
#endif

enum {
    KD_SANITIZE = KD_ASAN,        /* instrument whatever is compiled? */
    KD_REDZONE = KD_ASAN ? 64 : 0 /* bytes between planned buffers unless the pass is told */
};

/* Makes of `arena`, all `bytes` of it, an arena for f: in a build under AddressSanitizer every byte
 * that none of f's planned values holds may no longer be touched. Elsewhere this does nothing. To
 * be called before f is when another function may have worked in the arena. */
void kd_arena_guard(const KdFunc *f, const void *arena, size_t bytes);

#endif
