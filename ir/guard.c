/*
 * The poisoning of a planned function's arena. First all of it, then each value's bytes are made
 * accessible: right for any plan, but only a plan with red zones (plan-memory{redzone=…}) has
 * something between any two values.
 */
#include "ir/guard.h"

#if KD_ASAN

#include <sanitizer/asan_interface.h>

void kd_arena_guard(const KdFunc *f, const void *arena, size_t bytes) {
    ASAN_POISON_MEMORY_REGION(arena, bytes);
    KD_EACH_INSTR(i, f)
    for (int k = 0; k < i->nresults; k++) {
        const KdValue *v = i->results[k];
        if (v->buffer.place != KD_PLACE_ARENA) continue;
        size_t size = (size_t)kd_type_bytes(v->type, f->max_batch, 1);
        ASAN_UNPOISON_MEMORY_REGION((const char *)arena + v->buffer.offset, size);
    }
}

#else

void kd_arena_guard(const KdFunc *f, const void *arena, size_t bytes) {
    (void)f;
    (void)arena;
    (void)bytes;
}

#endif
