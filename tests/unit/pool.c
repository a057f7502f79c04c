/*
 * The thread pool: every task once, nesting inline, many small regions, more tasks than a region
 * holds, two callers at once; and kdrt_alloc's promises.
 */
#include "ir/guard.h"
#include "runtime/kdrt.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TASKS = 1000 };

typedef struct Counts {
    atomic_int run[TASKS];
    atomic_int bad_worker;
    int threads;
} Counts;

static void count_task(const KdrtFrame *frame, int32_t task, int32_t worker) {
    Counts *counts = frame->args[0];
    atomic_fetch_add(&counts->run[task], 1);
    if (worker < 0 || worker >= counts->threads) atomic_fetch_add(&counts->bad_worker, 1);
}

static void check_counts(KdrtPool *pool, int threads) {
    Counts *counts = calloc(1, sizeof *counts);
    counts->threads = threads;
    void *args[] = { counts };
    KdrtFrame frame = { .args = args, .pool = pool };
    const int32_t sizes[] = { 0, 1, 2, 3, 7, 64, TASKS };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        memset(counts->run, 0, sizeof counts->run);
        kdrt_parallel(&frame, count_task, sizes[s]);
        for (int k = 0; k < TASKS; k++) assert_int_equal(counts->run[k], k < sizes[s]);
    }
    assert_int_equal(counts->bad_worker, 0);
    free(counts);
}

static void each_task_once(void **state) {
    (void)state;
    check_counts(NULL, 1);
    const int sizes[] = { 1, 2, 3, 8 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        KdrtPool *pool;
        assert_int_equal(kdrt_pool_create(sizes[s], &pool), KDRT_OK);
        assert_int_equal(kdrt_pool_threads(pool), sizes[s]);
        check_counts(pool, sizes[s]);
        kdrt_pool_destroy(pool);
    }
}

static void bad_sizes(void **state) {
    (void)state;
    KdrtPool *pool = (void *)&state;
    assert_int_equal(kdrt_pool_create(0, &pool), KDRT_NO_THREADS);
    assert_null(pool);
    assert_int_equal(kdrt_pool_create(-4, &pool), KDRT_NO_THREADS);
    assert_int_equal(kdrt_pool_create(1 << 20, &pool), KDRT_NO_THREADS);
    assert_int_equal(kdrt_pool_threads(NULL), 1);
    kdrt_pool_destroy(NULL);
}

static void add_number(const KdrtFrame *frame, int32_t task, int32_t worker) {
    (void)worker;
    atomic_fetch_add((atomic_llong *)frame->args[0], task);
}

/* Regions far shorter than a wake-up: late workers must not touch the next region's tasks. */
static void many_small_regions(void **state) {
    (void)state;
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(3, &pool), KDRT_OK);
    atomic_llong sum = 0;
    void *args[] = { &sum };
    KdrtFrame frame = { .args = args, .pool = pool };
    long long expected = 0;
    for (int region = 0; region < 20000; region++) {
        int32_t tasks = 1 + region % 7;
        kdrt_parallel(&frame, add_number, tasks);
        expected += (long long)tasks * (tasks - 1) / 2;
        assert_true(atomic_load(&sum) == expected);
    }
    kdrt_pool_destroy(pool);
}

static void more_than_a_region_holds(void **state) {
    (void)state;
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(2, &pool), KDRT_OK);
    atomic_llong sum = 0;
    void *args[] = { &sum };
    KdrtFrame frame = { .args = args, .pool = pool };
    const long long tasks = 600001;
    kdrt_parallel(&frame, add_number, (int32_t)tasks);
    assert_true(atomic_load(&sum) == tasks * (tasks - 1) / 2);
    kdrt_pool_destroy(pool);
}

typedef struct Nest {
    KdrtFrame inner;
    atomic_llong sum;
    atomic_int wrong_worker;
    int32_t outer_worker[4]; /* by outer task */
} Nest;

static void inner_task(const KdrtFrame *frame, int32_t task, int32_t worker) {
    Nest *nest = frame->args[0];
    int32_t outer = *(const int32_t *)frame->args[1];
    atomic_fetch_add(&nest->sum, task);
    if (nest->outer_worker[outer] != worker) atomic_fetch_add(&nest->wrong_worker, 1);
}

static void outer_task(const KdrtFrame *frame, int32_t task, int32_t worker) {
    Nest *nest = frame->args[0];
    nest->outer_worker[task] = worker;
    void *args[] = { nest, &task };
    KdrtFrame inner = { .args = args, .pool = frame->pool };
    kdrt_parallel(&inner, inner_task, 10);
}

static void nested_runs_inline(void **state) {
    (void)state;
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(2, &pool), KDRT_OK);
    Nest *nest = calloc(1, sizeof *nest);
    void *args[] = { nest };
    KdrtFrame frame = { .args = args, .pool = pool };
    for (int k = 0; k < 100; k++) kdrt_parallel(&frame, outer_task, 4);
    assert_true(atomic_load(&nest->sum) == 100 * 4 * 45);
    assert_int_equal(nest->wrong_worker, 0);
    free(nest);
    kdrt_pool_destroy(pool);
}

enum { LONG_ENOUGH = 20000 }; /* yields, in which a worker that is awake takes a task */

/* The first waits for a task on another thread; args: the thread of the outer task, how many there
 * were on others, how many times it looks. */
static void stray_task(const KdrtFrame *frame, int32_t task, int32_t worker) {
    (void)worker;
    const pthread_t *outer = frame->args[0];
    atomic_int *strays = frame->args[1];
    if (!pthread_equal(*outer, pthread_self())) atomic_fetch_add(strays, 1);
    int times = task == 0 ? *(const int *)frame->args[2] : 0;
    for (int k = 0; k < times && atomic_load(strays) == 0; k++) sched_yield();
}

static void only_task(const KdrtFrame *frame, int32_t task, int32_t worker) {
    (void)task;
    (void)worker;
    *(pthread_t *)frame->args[0] = pthread_self();
    kdrt_parallel(frame, stray_task, 10);
}

/* A region of one task is no other than one of several. */
static void nested_in_one_task(void **state) {
    (void)state;
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(3, &pool), KDRT_OK);
    pthread_t outer;
    atomic_int strays = 0;
    int times = LONG_ENOUGH;
    void *args[] = { &outer, &strays, &times };
    KdrtFrame frame = { .args = args, .pool = pool };
    kdrt_parallel(&frame, only_task, 1);
    assert_int_equal(strays, 0);
    times = INT_MAX;
    kdrt_parallel(&frame, stray_task, 10); /* and behind it regions are shared again */
    assert_true(strays > 0);
    kdrt_pool_destroy(pool);
}

static void *second_caller(void *argument) {
    const KdrtFrame *frame = argument;
    for (int k = 0; k < 2000; k++) kdrt_parallel(frame, add_number, 5);
    return NULL;
}

static void two_callers(void **state) {
    (void)state;
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(2, &pool), KDRT_OK);
    atomic_llong mine = 0, theirs = 0;
    void *my_args[] = { &mine }, *their_args[] = { &theirs };
    KdrtFrame my_frame = { .args = my_args, .pool = pool };
    KdrtFrame their_frame = { .args = their_args, .pool = pool };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, second_caller, &their_frame), 0);
    second_caller(&my_frame);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&mine) == 20000 && atomic_load(&theirs) == 20000);
    kdrt_pool_destroy(pool);
}

static void allocation(void **state) {
    (void)state;
    for (size_t bytes = 0; bytes < 300; bytes += 37) {
        unsigned char *memory = kdrt_alloc(bytes);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % KDRT_ALIGN, 0);
        for (size_t k = 0; k < bytes + (KD_SANITIZE ? 0 : KDRT_SLACK); k++)
            assert_int_equal(memory[k], 0);
        kdrt_free(memory);
    }
    volatile size_t all = SIZE_MAX; /* volatile: the compiler would warn of the size */
    assert_null(kdrt_alloc(all));
    assert_null(kdrt_alloc(all - KDRT_SLACK));
    for (size_t less = 1; less < (size_t)1 << 23; less *= 2) assert_null(kdrt_alloc(all - less));
    kdrt_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_once),     cmocka_unit_test(bad_sizes),
        cmocka_unit_test(many_small_regions), cmocka_unit_test(more_than_a_region_holds),
        cmocka_unit_test(nested_runs_inline), cmocka_unit_test(nested_in_one_task),
        cmocka_unit_test(two_callers),        cmocka_unit_test(allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
