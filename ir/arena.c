/*
 * Memory pools as chains of blocks. The newest block is filled from its start; a request that does
 * not fit gets a new block, twice the size of the last one up to a limit, or its own exact size
 * when it is larger than that. Destroying walks the chain.
 */
#include "ir/arena.h"
#include "ir/diag.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK   ((size_t)16 << 10)
#define LARGEST_BLOCK ((size_t)1 << 20)
#define ALIGNMENT     (alignof(max_align_t))

typedef struct Block Block;
struct Block {
    Block *next;
    size_t size; /* of data */
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

struct KdArena {
    Block *newest;
    size_t next_size;
    size_t used;
};

KdArena *kd_arena_create(void) {
    KdArena *a = malloc(sizeof *a);
    if (!a) kd_out_of_memory(sizeof *a);
    *a = (KdArena){ .next_size = FIRST_BLOCK };
    return a;
}

void kd_arena_destroy(KdArena *a) {
    if (!a) return;
    for (Block *b = a->newest; b;) {
        Block *next = b->next;
        free(b);
        b = next;
    }
    free(a);
}

static Block *add_block(KdArena *a, size_t wanted) {
    size_t size = wanted > a->next_size ? wanted : a->next_size;
    Block *b = size <= SIZE_MAX - sizeof *b ? malloc(sizeof *b + size) : NULL;
    if (!b) kd_out_of_memory(size);
    *b = (Block){ .next = a->newest, .size = size };
    a->newest = b;
    if (a->next_size < LARGEST_BLOCK) a->next_size *= 2;
    return b;
}

void *kd_arena_alloc(KdArena *a, size_t size) {
    if (size > SIZE_MAX - ALIGNMENT) kd_out_of_memory(size);
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    Block *b = a->newest;
    if (!b || b->size - b->used < size) b = add_block(a, size);
    void *p = b->data + b->used;
    b->used += size;
    a->used += size;
    return memset(p, 0, size);
}

void *kd_arena_array(KdArena *a, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size)
        kd_bug(NULL, "array of %zu times %zu bytes overflows", n, size);
    return kd_arena_alloc(a, n * size);
}

void *kd_arena_grow(KdArena *a, void *list, size_t n, size_t size) {
    if (n & (n - 1)) return list;
    void *more = kd_arena_array(a, n ? 2 * n : 1, size);
    if (n) memcpy(more, list, n * size);
    return more;
}

void *kd_arena_copy(KdArena *a, const void *from, size_t size) {
    void *p = kd_arena_alloc(a, size);
    if (size) memcpy(p, from, size);
    return p;
}

char *kd_arena_string(KdArena *a, const char *s) {
    return kd_arena_copy(a, s, strlen(s) + 1);
}

char *kd_arena_vformat(KdArena *a, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0) kd_bug(NULL, "cannot format \"%s\"", format);
    char *s = kd_arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, format, args);
    return s;
}

char *kd_arena_format(KdArena *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *s = kd_arena_vformat(a, format, args);
    va_end(args);
    return s;
}

size_t kd_arena_used(const KdArena *a) {
    return a->used;
}
