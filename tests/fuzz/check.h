/*
 * What must be true of a graph under one configuration of the compiler: the text comes back to the
 * byte, no pass changes what the interpreter sees, compiled code agrees with the interpreter, and
 * gradients agree with differences.
 */
#ifndef KD_FUZZ_CHECK_H
#define KD_FUZZ_CHECK_H

#include "tests/fuzz/form.h"
#include "tests/machine.h"

typedef struct GraphConfig {
    bool canonicalize, merge, openblas;
    int redzone, threads;
    const TestMachine *machine;
    GraphForm form;
} GraphConfig;

enum { GRAPH_CONFIG_TEXT = 160, GRAPH_WHY = 1200 };

/* The configuration that a seed draws, and the k-th of all; false when there is no k-th. */
GraphConfig graph_config_of_seed(uint64_t seed);
bool graph_config_at(int k, GraphConfig *config);
void graph_config_text(const GraphConfig *config, char text[GRAPH_CONFIG_TEXT]);

/* Makes the graph of `seed` and checks it under `config`; `show` (or NULL) receives its text after
 * each pass. False with the reason in `why`. OpenBLAS must have been started (kdrt_blas_start). */
bool graph_check(uint64_t seed, const GraphConfig *config, FILE *show, char why[GRAPH_WHY]);

#endif
