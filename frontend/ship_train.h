/* Training entries of what ships: what they are made from, and what the header says of them. */
#ifndef KD_FRONTEND_SHIP_TRAIN_H
#define KD_FRONTEND_SHIP_TRAIN_H

#include "backend/entry.h"
#include "frontend/options.h"
#include "frontend/script.h"

/* Does that --entry train or evaluate? */
bool kd_entries_train(unsigned entries);

/* The trainer of a run whose passes have not run, with the weights of network and teachers, if they
 * are to be embedded. NULL after an error. */
KdTrainer *kd_trainer_create(const KdRun *run, const KdOptions *o, const char *symbol, KdArena *a,
                             KdDiag *d);
/* Does it need that function of the module? */
bool kd_trainer_needs(const KdTrainer *t, const char *function);
/* Behind the passes: finds the functions and lays out all memory. False after an error. */
bool kd_trainer_plan(KdTrainer *t, const KdRun *run, const KdOptions *o, KdArena *a, KdDiag *d);
/* Is that all that examples/train.c needs? False after an error. */
bool kd_trainer_check_program(const KdTrainer *t, const KdRun *run, KdDiag *d);
/* What to compile; returns how many. */
int kd_trainer_functions(const KdTrainer *t, KdEntry entry[3]);

/* The declarations, for macros that begin with NAME. The object's workers need `worker_bytes`. */
void kd_trainer_print(const KdTrainer *t, const KdRun *run, const char *name, int64_t worker_bytes,
                      KdArena *a, FILE *out);

#endif
