/* Checkpoints of a training: written at each epoch's end and at a signal, read by --resume. */
#ifndef KD_FRONTEND_DRIVER_RESUME_H
#define KD_FRONTEND_DRIVER_RESUME_H

#include "frontend/driver/train.h"

/* Writes out/<run>/ckpt-<step>.kdck, whole or not at all. */
bool kd_checkpoint_save(KdOutput *out, const KdTraining *t, KdDiag *d);

/* Continues from the newest whole checkpoint of the run, if there is one: the training goes on to
 * the same bits as one that never stopped. False after an error. */
bool kd_checkpoint_restore(KdOutput *out, KdTraining *t, bool *found, KdDiag *d);

/* After an error: says where the newest checkpoint lies, if there is one. */
void kd_checkpoint_note(KdOutput *out, const KdTraining *t, KdDiag *d);

/* The run has ended: its checkpoints go. */
void kd_checkpoint_remove(KdOutput *out, const KdRun *run, KdDiag *d);

#endif
