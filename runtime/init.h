/*
 * First values of parameters, element by element from stream "init.<network>.<parameter>": they do
 * not depend on any other parameter, nor on the order in which parameters are initialised.
 */
#ifndef KDRT_INIT_H
#define KDRT_INIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct KdrtInit {
    const char *network, *parameter;
    const char *kind; /* "he_normal", "he_uniform", "glorot_normal", "glorot_uniform",
                         "fan_uniform", "constant" */
    int64_t fan_in, fan_out;
    double value; /* of "constant" */
} KdrtInit;

/* Fills n elements. False for an unknown kind. */
bool kdrt_init(const KdrtInit *init, uint64_t seed, float *data, int64_t n);

#endif
