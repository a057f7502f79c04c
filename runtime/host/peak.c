/*
 * Peaks by running what reaches them. Flops: twelve independent chains of vector FMAs in registers
 * keep both FMA units of a core busy: latency 4, two a cycle; AVX-512 where the machine has it,
 * else AVX2. Bandwidth: each thread copies one half of its share of the working set to the other,
 * again and again.
 */
#include "runtime/host/peak.h"

#include "runtime/host/progress.h"
#include "runtime/kdrt.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { MAX_THREADS = 256 };

/* Threads begin together, or the first would run on a core that the others do not load yet. */
typedef struct Runner {
    pthread_barrier_t *together;
    void (*work)(struct Runner *self);
    float value;         /* chains: where they begin and end */
    unsigned char *from; /* copies: `bytes` from here */
    unsigned char *to;
    size_t bytes;
    int rounds;
} Runner;

static void *run_one(void *argument) {
    Runner *r = argument;
    pthread_barrier_wait(r->together);
    r->work(r);
    return NULL;
}

/* Seconds that `threads` runners take together. */
static double run_together(int threads, Runner *runner) {
    pthread_t thread[MAX_THREADS];
    pthread_barrier_t together;
    if (pthread_barrier_init(&together, NULL, (unsigned)threads)) abort();
    runner[0].together = &together;
    for (int k = 1; k < threads; k++) {
        runner[k].together = &together;
        if (pthread_create(&thread[k], NULL, run_one, &runner[k])) abort();
    }
    double start = kdrt_seconds();
    run_one(&runner[0]);
    for (int k = 1; k < threads; k++) pthread_join(thread[k], NULL);
    double seconds = kdrt_seconds() - start;
    pthread_barrier_destroy(&together);
    for (int k = 0; k < threads; k++) runner[k].together = NULL;
    return seconds;
}

/* --- flops ------------------------------------------------------------------------------------ */

#ifdef __x86_64__

#define CHAINS 12
#define ROUNDS 12000000
/* Written out: an array of accumulators would stay in memory where a compiler does not unroll. */
#define EACH_CHAIN(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)

/* clang-format off */
#define DECLARE_512(k) __m512 sum##k = _mm512_set1_ps(seed + k);
#define ROUND_512(k)   sum##k = _mm512_fmadd_ps(sum##k, x, y);
#define TOTAL_512(k)   total = _mm512_add_ps(total, sum##k);
#define DECLARE_256(k) __m256 sum##k = _mm256_set1_ps(seed + k);
#define ROUND_256(k)   sum##k = _mm256_fmadd_ps(sum##k, x, y);
#define TOTAL_256(k)   total = _mm256_add_ps(total, sum##k);
/* clang-format on */

__attribute__((target("avx512f"))) static float chains_512(float seed) {
    __m512 x = _mm512_set1_ps(seed), y = _mm512_set1_ps(1e-7f), total = y;
    EACH_CHAIN(DECLARE_512)
    for (int round = 0; round < ROUNDS; round++) {
        EACH_CHAIN(ROUND_512)
    }
    EACH_CHAIN(TOTAL_512)
    return _mm512_reduce_add_ps(total);
}

__attribute__((target("avx2,fma"))) static float chains_256(float seed) {
    __m256 x = _mm256_set1_ps(seed), y = _mm256_set1_ps(1e-7f), total = y;
    EACH_CHAIN(DECLARE_256)
    for (int round = 0; round < ROUNDS; round++) {
        EACH_CHAIN(ROUND_256)
    }
    EACH_CHAIN(TOTAL_256)
    float lanes[8];
    _mm256_storeu_ps(lanes, total);
    return lanes[0];
}

static void run_chains(Runner *r) {
    volatile float value = r->value;
    r->value = __builtin_cpu_supports("avx512f") ? chains_512(value) : chains_256(value);
}

double kdrt_peak_flops(int threads) {
    Runner runner[MAX_THREADS] = { 0 };
    bool wide = __builtin_cpu_supports("avx512f");
    bool middle = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (threads < 1 || threads > MAX_THREADS || !(wide || middle)) return 0;
    for (int k = 0; k < threads; k++) runner[k] = (Runner){ .work = run_chains, .value = 0.5f };
    double flops = 2.0 * (wide ? 16 : 8) * CHAINS * (double)ROUNDS * threads;
    return flops / run_together(threads, runner) / 1e9;
}
#else
double kdrt_peak_flops(int threads) {
    (void)threads;
    return 0;
}
#endif

/* --- bytes ------------------------------------------------------------------------------------ */

#define COPIED ((size_t)256 << 20) /* bytes that a thread copies, at least */

static void run_copies(Runner *r) {
    for (int round = 0; round < r->rounds; round++) {
        memcpy(r->to, r->from, r->bytes);
        *(volatile unsigned char *)r->from =
            r->to[r->bytes - 1]; /* each copy is of something new */
    }
}

double kdrt_peak_bandwidth(int threads, size_t bytes) {
    Runner runner[MAX_THREADS] = { 0 };
    if (threads < 1 || threads > MAX_THREADS) return 0;
    size_t half = bytes / 2 / (size_t)threads / KDRT_ALIGN * KDRT_ALIGN;
    half = half < 4096 ? 4096 : half;
    unsigned char *memory = kdrt_alloc(2 * half * (size_t)threads);
    if (!memory) return 0;
    memset(memory, 1, 2 * half * (size_t)threads);
    for (int k = 0; k < threads; k++) {
        unsigned char *own = memory + 2 * half * (size_t)k;
        runner[k] = (Runner){ .work = run_copies,
                              .from = own,
                              .to = own + half,
                              .bytes = half,
                              .rounds = (int)(COPIED / half) + 1 };
    }
    double moved = 2.0 * (double)half * runner[0].rounds * threads;
    double seconds = run_together(threads, runner);
    kdrt_free(memory);
    return moved / seconds / 1e9;
}
