/*
 * The allocator's entry points as the linker's --wrap redirects them: counted, made to fail, and
 * remembered until they are freed. Blocks of other origin (a libc function's result) pass through.
 */
#include "tests/fuzz/starve.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE = 1 << 16 }; /* of live blocks, open addressing; small, since each fork copies it */

typedef struct Block {
    void *memory, *caller;
} Block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Starving *now; /* NULL: nobody counts */
static Block table[TABLE];

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *text);
FILE *__real_open_memstream(char **text, size_t *size);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *text);
FILE *__wrap_open_memstream(char **text, size_t *size);
void __wrap_free(void *block);

/* --- live blocks ---------------------------------------------------------------------------- */

static size_t home(const void *memory) {
    return (size_t)(((uintptr_t)memory >> 4) * 0x9e3779b97f4a7c15u >> 44) % TABLE;
}

/* The block's place, or the free one where it would go. */
static size_t place(const void *memory) {
    size_t k = home(memory);
    while (table[k].memory && table[k].memory != memory) k = (k + 1) % TABLE;
    return k;
}

static void remember(void *memory, void *caller) {
    if (!memory || now->live < 0) return;
    if (++now->live > TABLE / 2) { /* too many to tell */
        now->live = -1;
        return;
    }
    table[place(memory)] = (Block){ memory, caller };
}

/* What stands behind it and may have been pushed on by it is put anew. */
static void forget(const void *memory) {
    size_t k = place(memory);
    if (now->live < 0 || !table[k].memory) return;
    now->live--;
    table[k].memory = NULL;
    for (k = (k + 1) % TABLE; table[k].memory; k = (k + 1) % TABLE) {
        Block moved = table[k];
        table[k].memory = NULL;
        table[place(moved.memory)] = moved;
    }
}

/* --- what is counted ------------------------------------------------------------------------ */

void starve_begin(Starving *s) {
    now = s;
}

void starve_end(void) {
    for (size_t k = 0; now->live && k < TABLE && !now->leak; k++)
        if (table[k].memory) now->leak = table[k].caller;
    now = NULL;
}

static bool refused(void) {
    if (!now) return false;
    pthread_mutex_lock(&lock);
    long n = ++now->count;
    bool no = now->fail && (n == now->fail || (now->for_good && n > now->fail));
    pthread_mutex_unlock(&lock);
    return now->at ? now->at(n) : no;
}

/* `old` is gone, `memory` is there. */
static void *noted(void *old, void *memory, void *caller) {
    if (!now) return memory;
    pthread_mutex_lock(&lock);
    if (old) forget(old);
    remember(memory, caller);
    pthread_mutex_unlock(&lock);
    return memory;
}

#define CALLER __builtin_return_address(0)

void *__wrap_malloc(size_t size) {
    return refused() ? NULL : noted(NULL, __real_malloc(size), CALLER);
}

void *__wrap_calloc(size_t n, size_t size) {
    return refused() ? NULL : noted(NULL, __real_calloc(n, size), CALLER);
}

/* A block must not be remembered where it no longer is while another thread gets that place. */
void *__wrap_realloc(void *block, size_t size) {
    if (refused()) return NULL;
    noted(block, NULL, CALLER);
    void *grown = __real_realloc(block, size);
    noted(NULL, grown ? grown : block, CALLER);
    return grown;
}

void *__wrap_aligned_alloc(size_t align, size_t size) {
    return refused() ? NULL : noted(NULL, __real_aligned_alloc(align, size), CALLER);
}

char *__wrap_strdup(const char *text) {
    return refused() ? NULL : noted(NULL, __real_strdup(text), CALLER);
}

FILE *__wrap_open_memstream(char **text, size_t *size) {
    return refused() ? NULL : __real_open_memstream(text, size);
}

void __wrap_free(void *block) {
    if (block) noted(block, NULL, CALLER);
    __real_free(block);
}
