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
    bool canonicalize, merge, padded, openblas;
    int redzone, threads;
    const TestMachine *machine;
    GraphForm form;
} GraphConfig;

enum {
    GRAPH_CONFIGS = GRAPH_FORMS, /* as many as the option with the most values has */
    GRAPH_CONFIG_TEXT = 160,
    GRAPH_WHY = 1200
};

/* The configurations of a seed, GRAPH_CONFIGS of them: the first is drawn, and together they hold
 * every value of each option (every combination would be more than a thousand). */
GraphConfig graph_config(uint64_t seed, int k);
void graph_config_text(const GraphConfig *config, char text[GRAPH_CONFIG_TEXT]);

/* Makes the graph of `seed` and checks it under `config`; `show` (or NULL) receives its text after
 * each pass. False with the reason in `why`. OpenBLAS must have been started (kdrt_blas_start). */
bool graph_check(uint64_t seed, const GraphConfig *config, FILE *show, char why[GRAPH_WHY]);

#endif
