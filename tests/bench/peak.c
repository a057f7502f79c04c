/*
 * Twelve independent chains of vector FMAs in registers keep both FMA units of a core busy: latency
 * 4, two a cycle. AVX-512 where the machine has it, else AVX2.
 */
#include "tests/bench/peak.h"

#include "runtime/host/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>

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

/* Threads begin together, or the first would run on a core that the others do not load yet. */
typedef struct Runner {
    pthread_barrier_t *together;
    float value;
} Runner;

static void *run_chains(void *argument) {
    Runner *r = argument;
    pthread_barrier_wait(r->together);
    volatile float value = r->value;
    r->value = __builtin_cpu_supports("avx512f") ? chains_512(value) : chains_256(value);
    return NULL;
}

double measure_peak(int threads) {
    enum { MAX = 256 };
    pthread_t thread[MAX];
    Runner runner[MAX];
    pthread_barrier_t together;
    bool wide = __builtin_cpu_supports("avx512f");
    if (threads > MAX || (!wide && !__builtin_cpu_supports("fma"))) return 0;
    if (pthread_barrier_init(&together, NULL, (unsigned)threads)) return 0;
    runner[0] = (Runner){ &together, 0.5f };
    for (int k = 1; k < threads; k++) {
        runner[k] = (Runner){ &together, 0.5f };
        if (pthread_create(&thread[k], NULL, run_chains, &runner[k])) abort();
    }
    double start = kdrt_seconds();
    run_chains(&runner[0]);
    for (int k = 1; k < threads; k++) pthread_join(thread[k], NULL);
    double flops = 2.0 * (wide ? 16 : 8) * CHAINS * (double)ROUNDS * threads;
    double seconds = kdrt_seconds() - start;
    pthread_barrier_destroy(&together);
    return flops / seconds / 1e9;
}
#else
double measure_peak(int threads) {
    (void)threads;
    return 0;
}
#endif
