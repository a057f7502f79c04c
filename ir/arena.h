/*
 * Memory pools. A pool is filled by bumping a pointer and dropped whole: one per module, one
 * scratch pool per pass. Nothing in a pool is freed singly, so nothing that points into one can
 * dangle while the pool lives, and Lua may longjmp through us without leaking.
 */
#ifndef KD_IR_ARENA_H
#define KD_IR_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct KdArena KdArena;

/* A new, empty pool. Ends the process (kd_out_of_memory) when the system has no
 * memory left, as all that follows does. */
KdArena *kd_arena_create(void);
void kd_arena_destroy(KdArena *a);

/* `size` zeroed bytes, aligned for any type. Never NULL. */
void *kd_arena_alloc(KdArena *a, size_t size) __attribute__((returns_nonnull));

/* Zeroed room for `n` objects; overflow of n * size is caught. */
void *kd_arena_array(KdArena *a, size_t n, size_t size) __attribute__((returns_nonnull));

/* `list` of n objects with room for one more: moved to twice the room when n is a power of two. */
void *kd_arena_grow(KdArena *a, void *list, size_t n, size_t size);

/* Copies of memory and strings that live as long as the pool. */
void *kd_arena_copy(KdArena *a, const void *from, size_t size);
char *kd_arena_string(KdArena *a, const char *s);
char *kd_arena_format(KdArena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *kd_arena_vformat(KdArena *a, const char *format, va_list args);

/* Bytes handed out so far. */
size_t kd_arena_used(const KdArena *a);

#define KD_NEW(a, T)           ((T *)kd_arena_alloc((a), sizeof(T)))
#define KD_NEW_ARRAY(a, T, n)  ((T *)kd_arena_array((a), (size_t)(n), sizeof(T)))
#define KD_GROW_ARRAY(a, p, n) (kd_arena_grow((a), (p), (size_t)(n), sizeof *(p)))
#define KD_COPY_ARRAY(a, p, n) (kd_arena_copy((a), (p), (size_t)(n) * sizeof *(p)))

#endif
