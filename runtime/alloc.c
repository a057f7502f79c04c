/*
 * Aligned memory for generated code: KDRT_ALIGN at the front, KDRT_SLACK readable bytes behind, so
 * that a vector load may run past the end of a buffer without a fault. Zeroed, so that
 * nothing starts from rubbish. Code that is instrumented keeps out of the slack, so where kdc is
 * built under AddressSanitizer nobody may touch it.
 */
#define _DEFAULT_SOURCE
#include "runtime/kdrt.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef KD_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

/* Blocks of several of these are laid on pages of that size, where the system has them: a tile of a
 * matrix touches a page a row, more than the processor translates without a walk through tables. */
#define HUGE_PAGE ((size_t)2 << 20)

/* With its slack, a multiple of the alignment as aligned_alloc wants it; 0: too many, whole pages
 * of them too. */
static size_t padded_size(size_t bytes) {
    if (bytes > SIZE_MAX - KDRT_SLACK - KDRT_ALIGN - HUGE_PAGE) return 0;
    return (bytes + KDRT_SLACK + KDRT_ALIGN - 1) & ~(size_t)(KDRT_ALIGN - 1);
}

/* Whole pages of memory that nobody has written to: they are zero, and taken when touched. */
static bool drop_pages(void *memory, size_t bytes) {
#ifdef __linux__
    return madvise(memory, bytes, MADV_DONTNEED) == 0;
#else
    (void)memory, (void)bytes;
    return false;
#endif
}

static void *allocate(size_t bytes, bool touched) {
    size_t padded = padded_size(bytes);
    bool large = padded >= 4 * HUGE_PAGE;
    size_t align = large ? HUGE_PAGE : KDRT_ALIGN;
    size_t whole = (padded + align - 1) & ~(align - 1);
    void *memory = padded ? aligned_alloc(align, whole) : NULL;
    if (!memory) return NULL;
#ifdef MADV_HUGEPAGE
    if (large) madvise(memory, padded, MADV_HUGEPAGE);
#endif
    if (touched || !large || !drop_pages(memory, whole)) memset(memory, 0, padded);
    ASAN_POISON_MEMORY_REGION((char *)memory + bytes, padded - bytes);
    return memory;
}

void *kdrt_alloc(size_t bytes) {
    return allocate(bytes, true);
}

void *kdrt_reserve(size_t bytes) {
    return allocate(bytes, false);
}

void *kdrt_grow(void *memory, size_t old, size_t bytes) {
    size_t padded = padded_size(bytes);
    ASAN_UNPOISON_MEMORY_REGION(memory, padded_size(old));
    /* A large block is moved by its pages: nothing is copied, and the alignment stays. */
    char *grown = padded ? realloc(memory, padded) : NULL;
    if (!grown) {
        free(memory);
        return NULL;
    }
    if ((uintptr_t)grown % KDRT_ALIGN) {
        void *aligned = kdrt_alloc(bytes);
        if (aligned) memcpy(aligned, grown, old);
        free(grown);
        return aligned;
    }
    memset(grown + old, 0, padded - old);
    ASAN_POISON_MEMORY_REGION(grown + bytes, padded - bytes);
    return grown;
}

void kdrt_free(void *memory) {
    free(memory);
}
