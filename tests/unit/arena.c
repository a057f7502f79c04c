/* Pools: alignment, zeroing, large and odd sizes, copies that outlive their source. */
#include "ir/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void aligned_and_zeroed(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *p = kd_arena_alloc(a, size);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t k = 0; k < size; k++) assert_int_equal(p[k], 0);
        memset(p, 0xAB, size); /* shows in the next one if they overlap or memory is used again */
    }
    kd_arena_destroy(a);
}

static void distinct(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    enum { MANY = 5000 };
    int **p = KD_NEW_ARRAY(a, int *, MANY);
    for (int k = 0; k < MANY; k++) *(p[k] = KD_NEW(a, int)) = k;
    for (int k = 0; k < MANY; k++) assert_int_equal(*p[k], k);
    kd_arena_destroy(a);
}

static void larger_than_a_block(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    unsigned char *before = kd_arena_alloc(a, 16);
    size_t size = (size_t)5 << 20;
    unsigned char *large = kd_arena_alloc(a, size);
    unsigned char *behind = kd_arena_alloc(a, 16);
    large[0] = large[size - 1] = 1;
    assert_int_equal(before[0] + before[15] + behind[0] + behind[15], 0);
    assert_true(kd_arena_used(a) >= size + 32);
    kd_arena_destroy(a);
}

static void copies(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    char text[] = "student";
    char *copy = kd_arena_string(a, text);
    int numbers[] = { 1, 2, 3 };
    int *same = KD_COPY_ARRAY(a, numbers, 3);
    text[0] = 'S';
    numbers[0] = 9;
    assert_string_equal(copy, "student");
    assert_int_equal(same[0] + same[1] + same[2], 6);
    char *made = kd_arena_format(a, "%s.%d", copy, 12);
    assert_string_equal(made, "student.12");
    char *padded = kd_arena_format(a, "%2000d", 7);
    assert_int_equal(strlen(padded), 2000);
    kd_arena_destroy(a);
    kd_arena_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_zeroed),
        cmocka_unit_test(distinct),
        cmocka_unit_test(larger_than_a_block),
        cmocka_unit_test(copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
