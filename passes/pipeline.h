/*
 * A pipeline as read from its text. Only the manager's files include this; others use pass.h.
 */
#ifndef KD_PASSES_PIPELINE_H
#define KD_PASSES_PIPELINE_H

#include "passes/pass.h"

enum { KD_MAX_STEPS = 64 };

typedef struct KdStep {
    const KdPassInfo *pass;
    KdAttr *options;
} KdStep;

typedef struct KdSteps {
    int n;
    KdStep step[KD_MAX_STEPS];
} KdSteps;

/* Reads the pipeline's text into steps, without those that are to be skipped. False after an error.
 */
bool kd_steps_read(const KdModule *m, const KdPipeline *p, KdSteps *steps, KdArena *a, KdDiag *d);

/* An error that names the nearest pass; false. */
bool kd_say_unknown_pass(KdDiag *d, const char *name);

#endif
