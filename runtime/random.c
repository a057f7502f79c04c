/*
 * From Philox words to uniform and normal floats. runtime/README.md states the maps; generated code
 * and the interpreter follow them too. Uniforms are exact. Normals go through log, sqrt, sin and
 * cos: these here are computed in double and rounded once, generated code may differ in the last
 * bits.
 */
#include "runtime/kdrt.h"

#include <math.h>

#define TWO_PI 6.283185307179586476925286766559

static void draw_block(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                       uint32_t stream, uint32_t words[4]) {
    const uint32_t counter[4] = { element / 4, index, epoch, stream };
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    kdrt_philox(counter, key, words);
}

float kdrt_uniform(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                   uint32_t stream) {
    uint32_t words[4];
    draw_block(seed, element, index, epoch, stream, words);
    return (float)(words[element % 4] >> 8) * 0x1p-24f;
}

/* Box–Muller: words (0,1) give normals 0 (cosine) and 1 (sine), words (2,3) normals 2 and 3. */
float kdrt_normal(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                  uint32_t stream) {
    uint32_t words[4];
    draw_block(seed, element, index, epoch, stream, words);
    const uint32_t *pair = words + (element & 2u);
    double u1 = ((double)(pair[0] >> 8) + 1) * 0x1p-24; /* (0, 1]: the logarithm is finite */
    double u2 = (double)(pair[1] >> 8) * 0x1p-24;
    double r = sqrt(-2 * log(u1));
    return (float)(r * (element % 2 ? sin(TWO_PI * u2) : cos(TWO_PI * u2)));
}

/* FNV-1a, 32 bit. */
uint32_t kdrt_stream(const char *name) {
    uint32_t hash = 2166136261u;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = (hash ^ *c) * 16777619u;
    }
    return hash;
}
