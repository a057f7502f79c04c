/*
 * XXH64: four lanes eat 32 bytes a round, then the tail is folded in by 8, 4 and 1 bytes, and an
 * avalanche spreads every bit. About 10 GB/s, so hashing a data set costs nothing beside reading
 * it.
 */
#include "runtime/host/hash.h"

#include <string.h>

#define PRIME_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME_3 UINT64_C(0x165667B19E3779F9)
#define PRIME_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME_5 UINT64_C(0x27D4EB2F165667C5)

static inline uint64_t rotate(uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

/* Little-endian loads, whatever the machine. */
static inline uint64_t load(const unsigned char *p, int bytes) {
    uint64_t x = 0;
    for (int k = bytes - 1; k >= 0; k--) x = x << 8 | p[k];
    return x;
}

static inline uint64_t lane(uint64_t sum, uint64_t input) {
    return rotate(sum + input * PRIME_2, 31) * PRIME_1;
}

static inline uint64_t merge(uint64_t hash, uint64_t sum) {
    return (hash ^ lane(0, sum)) * PRIME_1 + PRIME_4;
}

uint64_t kdrt_hash(const void *data, size_t bytes, uint64_t seed) {
    const unsigned char *p = data;
    size_t left = bytes;
    uint64_t hash = seed + PRIME_5;
    if (left >= 32) {
        uint64_t sums[4] = { seed + PRIME_1 + PRIME_2, seed + PRIME_2, seed, seed - PRIME_1 };
        for (; left >= 32; left -= 32, p += 32) {
            for (int k = 0; k < 4; k++) sums[k] = lane(sums[k], load(p + (size_t)8 * (size_t)k, 8));
        }
        hash = rotate(sums[0], 1) + rotate(sums[1], 7) + rotate(sums[2], 12) + rotate(sums[3], 18);
        for (int k = 0; k < 4; k++) hash = merge(hash, sums[k]);
    }
    hash += bytes;
    for (; left >= 8; left -= 8, p += 8) {
        hash = rotate(hash ^ lane(0, load(p, 8)), 27) * PRIME_1 + PRIME_4;
    }
    if (left >= 4) {
        hash = rotate(hash ^ load(p, 4) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        left -= 4;
        p += 4;
    }
    for (; left > 0; left--, p++) hash = rotate(hash ^ *p * PRIME_5, 11) * PRIME_1;
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}
