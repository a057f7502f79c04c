/* The losses PyTorch gave (losses.txt, made by reference.py), and the run of networks.lua they are
 * of. */
#ifndef KD_TESTS_RECORD_H
#define KD_TESTS_RECORD_H

#include "frontend/script.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 64, BATCH = 32, STEPS = 10, CLASSES = 10 };

/* Salts of formula_params. */
enum { TRAINED_SALT = 0, TEACHER_SALT = 50 };

static inline void read_losses(const char *name, double expected[STEPS]) {
    FILE *f = fopen(KD_NUMERIC_DIR "/losses.txt", "r");
    assert_non_null(f);
    char line[512], word[64];
    int found = 0;
    while (fgets(line, sizeof line, f)) {
        int used = 0;
        if (sscanf(line, "%63s%n", word, &used) != 1 || strcmp(word, name) != 0) continue;
        char *at = line + used;
        while (found < STEPS) expected[found++] = strtod(at, &at);
    }
    fclose(f);
    assert_int_equal(found, STEPS);
}

/* Every loss within `tolerance`, relative; `what` names the way it was computed. */
static inline void check_losses(const char *name, const char *what, const double *loss,
                                double tolerance) {
    double expected[STEPS];
    read_losses(name, expected);
    for (int k = 0; k < STEPS; k++) {
        if (fabs(loss[k] - expected[k]) <= tolerance * fabs(expected[k])) continue;
        fail_msg("%s, %s, step %d: loss %.9g, PyTorch has %.9g", name, what, k, loss[k],
                 expected[k]);
    }
}

/* Where element k of the ten that losses.txt has of a network's running statistics lies in its
 * slab: five of the first one, then the last five of the last one. -1: it has none. */
static inline int64_t statistic_at(const KdModule *m, const char *network, int k) {
    int64_t at = -1;
    for (int p = 0; p < m->nparams; p++) {
        const KdParam *param = m->params[p];
        if (!param->running || strcmp(param->network, network) != 0) continue;
        if (k < 5) return kd_slab_offset(m, param) + k;
        at = kd_slab_offset(m, param) + kd_type_elements(param->type, 0, 0) + k - STEPS;
    }
    return at;
}

static inline KdScript *load_networks(KdDiag *d) {
    const KdScriptOptions none = { -1, -1, -1, -1, 0, NULL, NULL };
    KdScript *script = kd_script_load(KD_NUMERIC_DIR "/networks.lua", &none, d);
    assert_non_null(script);
    return script;
}

static inline KdRun *find_run(const KdScript *script, const char *name) {
    for (int k = 0; k < script->nlisted; k++) {
        if (!strcmp(script->listed[k]->name, name)) return script->listed[k];
    }
    fail_msg("networks.lua has no run %s", name);
    return NULL;
}

#endif
