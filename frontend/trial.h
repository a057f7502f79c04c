/* A network tried out on the validation samples of its run, for those who change it to ship it. */
#ifndef KD_FRONTEND_TRIAL_H
#define KD_FRONTEND_TRIAL_H

#include "frontend/driver/data.h"
#include "frontend/script.h"

typedef struct KdTrial KdTrial;

/* The function of that name in a module's text, compiled for this machine: the logits first, then
 * any number of f32 scalars. NULL after an error. */
KdTrial *kd_trial_open(const char *text, const char *network, KdDiag *d);
void kd_trial_close(KdTrial *t); /* NULL: nothing */

/* Runs all validation samples with the parameters in `slab`: their logits, and the largest value of
 * each scalar over all batches (`most` may be NULL where there are none). */
void kd_trial_run(KdTrial *t, const float *slab, const KdDataSpec *spec, const KdrtDataset *data,
                  float *logits, float *most);

#endif
