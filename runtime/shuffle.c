/*
 * The order of samples in an epoch: Fisher–Yates from the back, swap number i drawing from element
 * i of stream "shuffle" at (index 0, epoch). One Philox block serves four swaps.
 */
#include "runtime/kdrt.h"

void kdrt_shuffle(int32_t *order, int64_t n, uint64_t seed, uint32_t epoch) {
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t stream = kdrt_stream("shuffle");
    uint32_t words[4] = { 0 };
    uint32_t block = UINT32_MAX;
    for (int64_t i = 0; i < n; i++) order[i] = (int32_t)i;
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t element = (uint32_t)i;
        if (element / 4 != block) {
            block = element / 4;
            const uint32_t counter[4] = { block, 0, epoch, stream };
            kdrt_philox(counter, key, words);
        }
        /* word * (i+1) >> 32 lies in [0, i]; its bias is below (i+1) / 2^32 */
        int64_t j = (int64_t)(((uint64_t)words[element % 4] * (uint64_t)(i + 1)) >> 32);
        int32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

void kdrt_resample(int32_t *order, int64_t n, uint64_t seed) {
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t stream = kdrt_stream("resample");
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        const uint32_t counter[4] = { (uint32_t)order[i], 0, 0, stream };
        kdrt_philox(counter, key, words);
        order[i] = (int32_t)(((uint64_t)words[0] * (uint64_t)n) >> 32);
    }
}
