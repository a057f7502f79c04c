/*
 * The random numbers of generated code, for the interpreter: Philox 4x32-10 (Salmon et al. 2011)
 * and the maps of runtime/README.md. Written apart from the runtime's, which ir/ may not include; a
 * test holds the two against each other.
 */
#include "ir/interp.h"

#include <math.h>

typedef struct Block {
    uint32_t word[4];
} Block;

static Block philox(Block counter, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * counter.word[0];
        uint64_t q = (uint64_t)0xCD9E8D57u * counter.word[2];
        counter = (Block){ { (uint32_t)(q >> 32) ^ counter.word[1] ^ key0, (uint32_t)q,
                             (uint32_t)(p >> 32) ^ counter.word[3] ^ key1, (uint32_t)p } };
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

static Block block_of(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                      uint32_t stream) {
    Block counter = { { element / 4, index, epoch, stream } };
    return philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32));
}

double kd_philox_uniform(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                         uint32_t stream) {
    Block b = block_of(seed, element, index, epoch, stream);
    return (double)(b.word[element % 4] >> 8) * 0x1p-24;
}

double kd_philox_normal(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                        uint32_t stream) {
    Block b = block_of(seed, element, index, epoch, stream);
    uint32_t pair = element % 4 / 2 * 2;
    double u1 = ((double)(b.word[pair] >> 8) + 1) * 0x1p-24;
    double u2 = (double)(b.word[pair + 1] >> 8) * 0x1p-24;
    double r = sqrt(-2 * log(u1)), angle = 2 * acos(-1.0) * u2;
    return element % 2 ? r * sin(angle) : r * cos(angle);
}

uint32_t kd_stream_hash(const char *name) {
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}
