/*
 * The tables of `--gemm=auto`: remembered in the user's cache folder by CPU, vector width, threads
 * and OpenBLAS, and recorded in the output folder's manifest, from which --resume repeats them.
 */
#ifndef KD_FRONTEND_DRIVER_TUNING_H
#define KD_FRONTEND_DRIVER_TUNING_H

#include "backend/tune.h"
#include "runtime/host/report.h"

/* Reads what was remembered for this machine; a file that cannot be read is told and forgotten. */
void kd_tuning_recall(KdTuning *t, const KdTarget *target, int threads, KdDiag *d);
/* Remembers it. A cache folder that cannot be written costs another measurement, no more. */
void kd_tuning_remember(const KdTuning *t, const KdTarget *target, int threads);

/* An array of choices as JSON, and back; false when an entry is malformed. */
KdrtJson *kd_tuning_json(const KdTuning *t);
bool kd_tuning_read(KdTuning *t, const KdrtJson *choices);

#endif
