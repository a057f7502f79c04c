/*
 * He: variance 2 / fan_in (He et al. 2015); Glorot: 2 / (fan_in + fan_out) (Glorot and Bengio
 * 2010); fan: 1 / (3 fan_in), PyTorch's default for layers. A uniform on [-b, b) has variance b²/3.
 */
#include "runtime/init.h"

#include "runtime/kdrt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool kdrt_init(const KdrtInit *init, uint64_t seed, float *data, int64_t n) {
    if (!strcmp(init->kind, "constant")) {
        for (int64_t k = 0; k < n; k++) data[k] = (float)init->value;
        return true;
    }
    bool he = !strncmp(init->kind, "he_", 3), glorot = !strncmp(init->kind, "glorot_", 7);
    bool plain = !strcmp(init->kind, "fan_uniform");
    const char *shape = init->kind + (he ? 3 : plain ? 4 : 7);
    if (!he && !glorot && !plain) return false;
    bool normal = !strcmp(shape, "normal");
    if (!normal && strcmp(shape, "uniform") != 0) return false;

    double fan = (double)(init->fan_in + (glorot ? init->fan_out : 0));
    double variance = fan > 0 ? (plain ? 1.0 / 3 : 2) / fan : 0;
    float scale = (float)sqrt(normal ? variance : 3 * variance);
    char name[512];
    snprintf(name, sizeof name, "init.%s.%s", init->network, init->parameter);
    uint32_t stream = kdrt_stream(name);
    for (int64_t k = 0; k < n; k++) {
        uint32_t element = (uint32_t)k, index = (uint32_t)((uint64_t)k >> 32);
        float x = normal ? kdrt_normal(seed, element, index, 0, stream)
                         : 2 * kdrt_uniform(seed, element, index, 0, stream) - 1;
        data[k] = scale * x;
    }
    return true;
}
