/* Shared by optimize.c and schedule.c; private to passes/. */
#ifndef KD_PASSES_OPTIMIZE_H
#define KD_PASSES_OPTIMIZE_H

#include "passes/pass.h"

/* The learning rate of the step, from the base rate and the program's schedule keys; both f32
 * scalars, step an i32 scalar. NULL after an error. */
KdValue *kd_append_schedule(KdBuilder *b, KdValue *step, KdValue *lr);

#endif
