/*
 * Numbers from an integer formula, so that a test and an independent implementation (reference.py)
 * begin with the same weights and data without sharing a file.
 */
#ifndef KD_TESTS_FORMULA_H
#define KD_TESTS_FORMULA_H

#include "frontend/driver/session.h"
#include "runtime/kdrt.h"

#include <math.h>
#include <string.h>

static inline uint32_t formula_word(uint32_t i, uint32_t salt) {
    uint32_t h = (i + salt * 7919u) * 2654435761u;
    h ^= h >> 15;
    h *= 2246822519u;
    return h ^ h >> 13;
}

/* [-1, 1), multiples of 2^-23. */
static inline float formula_unit(uint32_t i, uint32_t salt) {
    return (float)(formula_word(i, salt) >> 8) * 0x1p-23f - 1;
}

/* A network's slab: weights uniform on ±sqrt(6 / fan in), biases on ±0.1; parameter number k of the
 * network uses salt first + k. Running means on ±0.5 and variances on 1 ± 0.5, number k of them by
 * salt first + 40 + k. */
static inline void formula_params(const KdModule *m, const char *network, uint32_t first,
                                  float *slab) {
    uint32_t running = first + 40;
    for (int p = 0; p < m->nparams; p++) {
        const KdParam *param = m->params[p];
        if (strcmp(param->network, network) != 0) continue;
        int64_t count = kd_type_elements(param->type, 0, 0);
        double fan = (double)(count / param->type.dim[0]);
        float scale = (float)(param->type.rank > 1 ? sqrt(6 / fan) : 0.1);
        float *at = slab + kd_slab_offset(m, param);
        uint32_t salt = param->running ? running++ : first++;
        if (param->running) scale = 0.5f;
        for (int64_t k = 0; k < count; k++) {
            at[k] = formula_unit((uint32_t)k, salt) * scale;
            if (param->running) at[k] += (float)param->value;
        }
    }
}

/* `rows` images [1,28,28] of bytes and labels below 10, all of them for training. */
static inline KdrtDataset formula_data(int64_t rows) {
    KdrtDataset data = {
        .x = { .dtype = KDRT_U8, .rank = 4, .dim = { rows, 1, 28, 28 } },
        .y = { .dtype = KDRT_U8, .rank = 1, .dim = { rows } },
        .train = { 0, rows },
    };
    uint8_t *x = data.x.data = kdrt_alloc((size_t)rows * 784);
    uint8_t *y = data.y.data = kdrt_alloc((size_t)rows);
    for (int64_t k = 0; k < rows * 784; k++) x[k] = (uint8_t)(formula_word((uint32_t)k, 100) >> 24);
    for (int64_t k = 0; k < rows; k++) y[k] = (uint8_t)(formula_word((uint32_t)k, 101) % 10);
    return data;
}

#endif
