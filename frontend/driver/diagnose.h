/* What went wrong in a step whose loss or gradients are not finite. */
#ifndef KD_FRONTEND_DRIVER_DIAGNOSE_H
#define KD_FRONTEND_DRIVER_DIAGNOSE_H

#include "frontend/driver/train.h"

/* Runs the failed step again in the reference interpreter, on the parameters it began with, and
 * says the step, the first op whose result is not finite, and its line. */
void kd_diagnose_not_finite(const KdTraining *t, KdDiag *d);

#endif
