/*
 * Aligned memory for generated code: KDRT_ALIGN at the front, KDRT_SLACK readable bytes behind, so
 * that a vector load may run past the end of a buffer without a fault. Zeroed, because slabs have
 * gaps that must be zero and sums must not start from rubbish.
 */
#include "runtime/kdrt.h"

#include <stdlib.h>
#include <string.h>

void *kdrt_alloc(size_t bytes) {
    if (bytes > SIZE_MAX - KDRT_SLACK - KDRT_ALIGN) return NULL;
    /* aligned_alloc wants a multiple of the alignment */
    size_t padded = (bytes + KDRT_SLACK + KDRT_ALIGN - 1) & ~(size_t)(KDRT_ALIGN - 1);
    void *memory = aligned_alloc(KDRT_ALIGN, padded);
    if (memory) memset(memory, 0, padded);
    return memory;
}

void kdrt_free(void *memory) {
    free(memory);
}
