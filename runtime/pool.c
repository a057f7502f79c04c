/*
 * The thread pool behind generated kernels. A region hands every worker (the caller is worker 0) a
 * range of task numbers; a worker takes from the front of its own range and, when that is empty,
 * from the back of the others'. So the same worker mostly sees the same part of a tensor in kernel
 * after kernel, and nobody idles.
 *
 *   range word:  generation (28 bits) | next (18 bits) | end (18 bits)
 *
 * Taking a task is one compare-and-swap of that word. It succeeds only while the region of that
 * generation is open, since the caller opens the next one only when every task is done; the job's
 * fields are therefore read after the swap and need no lock. Idle workers spin for some tens of
 * microseconds, then sleep on a condition variable.
 */
#include "runtime/kdrt.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_THREADS 256
#define FIELD_BITS  18
#define FIELD_MASK  ((UINT64_C(1) << FIELD_BITS) - 1)
#define MAX_REGION  ((int32_t)FIELD_MASK) /* tasks in one region */
#define IDLE_SPINS  4000                  /* pauses of ~15 ns before a worker sleeps */

typedef struct PoolWorker {
    _Alignas(KDRT_ALIGN) atomic_uint_least64_t range; /* a cache line of its own */
    KdrtPool *pool;
    pthread_t thread;
    int number;
} PoolWorker;

struct KdrtPool {
    PoolWorker *workers;
    int threads, started;
    int spins;
    atomic_bool busy; /* a region is open */

    /* the job; written while no task is open */
    const KdrtFrame *frame;
    KdrtTask *run;
    int32_t first; /* number of the region's first task */

    _Alignas(KDRT_ALIGN) atomic_uint generation;
    _Alignas(KDRT_ALIGN) atomic_int pending; /* tasks not yet done */
    atomic_int sleepers;
    atomic_bool caller_sleeps, stop;
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
};

/* Which worker of which pool the current thread is while it runs a task: nested regions of that
 * pool run inline, under the same number, whose scratch nobody else has. */
static _Thread_local const KdrtPool *task_pool;
static _Thread_local int32_t task_worker;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes one task out of `range`, from the front or the back. False when it is empty. */
static bool take_task(atomic_uint_least64_t *range, bool front, int32_t *task) {
    uint64_t old = atomic_load_explicit(range, memory_order_relaxed);
    for (;;) {
        uint64_t next = old >> FIELD_BITS & FIELD_MASK, end = old & FIELD_MASK;
        if (next >= end) return false;
        uint64_t left = front ? old + (UINT64_C(1) << FIELD_BITS) : old - 1;
        if (atomic_compare_exchange_weak_explicit(range, &old, left, memory_order_acquire,
                                                  memory_order_relaxed)) {
            *task = (int32_t)(front ? next : end - 1);
            return true;
        }
    }
}

/* Runs tasks until none is left to take; own range first, then the neighbours'. */
static void run_tasks(KdrtPool *pool, int self) {
    int32_t task, done = 0;
    task_pool = pool;
    task_worker = self;
    for (int k = 0; k < pool->threads; k++) {
        PoolWorker *owner = &pool->workers[(self + k) % pool->threads];
        while (take_task(&owner->range, k == 0, &task)) {
            pool->run(pool->frame, pool->first + task, self);
            done++;
        }
    }
    task_pool = NULL;
    if (done == 0) return;
    if (atomic_fetch_sub(&pool->pending, done) == done && atomic_load(&pool->caller_sleeps)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->finished);
        pthread_mutex_unlock(&pool->lock);
    }
}

/* Returns once a region newer than `seen` was opened, or the pool stops. */
static void await_region(KdrtPool *pool, unsigned seen) {
    for (int spin = 0; spin < pool->spins; spin++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen) return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen && !atomic_load(&pool->stop)) {
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument) {
    PoolWorker *self = argument;
    KdrtPool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        await_region(pool, seen);
        if (atomic_load(&pool->stop)) return NULL;
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        run_tasks(pool, self->number);
    }
}

static void await_finish(KdrtPool *pool) {
    for (int spin = 0; spin < pool->spins; spin++) {
        if (atomic_load_explicit(&pool->pending, memory_order_acquire) == 0) return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->pending) != 0) pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

/* Opens a region of `count` tasks from `first` on, takes part in it and waits for its end. */
static void run_region(KdrtPool *pool, int32_t first, int32_t count) {
    pool->first = first;
    atomic_store_explicit(&pool->pending, count, memory_order_relaxed);
    unsigned generation = atomic_load_explicit(&pool->generation, memory_order_relaxed) + 1;
    for (int w = 0; w < pool->threads; w++) {
        uint64_t next = (uint64_t)((int64_t)count * w / pool->threads);
        uint64_t end = (uint64_t)((int64_t)count * (w + 1) / pool->threads);
        uint64_t word = (uint64_t)generation << 2 * FIELD_BITS | next << FIELD_BITS | end;
        atomic_store_explicit(&pool->workers[w].range, word, memory_order_release);
    }
    atomic_store(&pool->generation, generation);
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
    }
    run_tasks(pool, 0);
    await_finish(pool);
}

/* All of it, in regions that are no larger than they may be. */
static void run_shared(KdrtPool *pool, const KdrtFrame *frame, KdrtTask *run, int32_t ntasks) {
    pool->frame = frame;
    pool->run = run;
    for (int32_t first = 0; first < ntasks; first += MAX_REGION) {
        int32_t left = ntasks - first;
        run_region(pool, first, left < MAX_REGION ? left : MAX_REGION);
        if (left <= MAX_REGION) break;
    }
    atomic_store(&pool->busy, false);
}

void kdrt_parallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks) {
    KdrtPool *pool = frame->pool;
    bool nested = pool && task_pool == pool;
    int32_t self = nested ? task_worker : 0;
    /* A task of another pool may be the caller: its place is kept. */
    const KdrtPool *outer_pool = task_pool;
    int32_t outer_worker = task_worker;
    if (!pool || nested || ntasks <= 1 || pool->threads == 1 ||
        atomic_exchange(&pool->busy, true)) {
        if (pool) task_pool = pool;
        task_worker = pool ? self : outer_worker;
        for (int32_t task = 0; task < ntasks; task++) run(frame, task, self);
    } else {
        run_shared(pool, frame, run, ntasks);
    }
    task_pool = outer_pool;
    task_worker = outer_worker;
}

int kdrt_pool_threads(const KdrtPool *pool) {
    return pool ? pool->threads : 1;
}

void kdrt_pool_destroy(KdrtPool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->generation, 1); /* ends the spinning */
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int w = 1; w < pool->started; w++) pthread_join(pool->workers[w].thread, NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    kdrt_free(pool->workers);
    kdrt_free(pool);
}

KdrtStatus kdrt_pool_create(int threads, KdrtPool **result) {
    *result = NULL;
    if (threads < 1 || threads > MAX_THREADS) return KDRT_NO_THREADS;
    KdrtPool *pool = kdrt_alloc(sizeof *pool);
    PoolWorker *workers = kdrt_alloc((size_t)threads * sizeof *workers);
    if (!pool || !workers) {
        kdrt_free(pool);
        kdrt_free(workers);
        return KDRT_NO_MEMORY;
    }
    /* More threads than processors: who spins only keeps another from working. */
    pool->spins = threads <= sysconf(_SC_NPROCESSORS_ONLN) ? IDLE_SPINS : 0;
    pool->workers = workers;
    pool->threads = threads;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    for (int w = 0; w < threads; w++) {
        workers[w].pool = pool;
        workers[w].number = w;
        pool->started = w;
        if (w == 0) continue;
        if (pthread_create(&workers[w].thread, NULL, worker_main, &workers[w])) {
            kdrt_pool_destroy(pool);
            return KDRT_NO_THREADS;
        }
    }
    pool->started = threads;
    *result = pool;
    return KDRT_OK;
}
