/*
 * Aligned memory for generated code: KDRT_ALIGN at the front, KDRT_SLACK readable bytes behind, so
 * that a vector load may run past the end of a buffer without a fault. Zeroed, because slabs have
 * gaps that must be zero and sums must not start from rubbish. Code that is instrumented keeps out
 * of the slack, so where kdc is built under AddressSanitizer nobody may touch it.
 */
#include "runtime/kdrt.h"

#include <stdlib.h>
#include <string.h>

#ifdef KD_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

void *kdrt_alloc(size_t bytes) {
    if (bytes > SIZE_MAX - KDRT_SLACK - KDRT_ALIGN) return NULL;
    /* aligned_alloc wants a multiple of the alignment */
    size_t padded = (bytes + KDRT_SLACK + KDRT_ALIGN - 1) & ~(size_t)(KDRT_ALIGN - 1);
    void *memory = aligned_alloc(KDRT_ALIGN, padded);
    if (!memory) return NULL;
    memset(memory, 0, padded);
    ASAN_POISON_MEMORY_REGION((char *)memory + bytes, padded - bytes);
    return memory;
}

void kdrt_free(void *memory) {
    free(memory);
}
