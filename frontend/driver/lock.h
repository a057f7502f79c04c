/*
 * One kdc at a time works in an output folder: it holds a lock on <folder>/.lock, which stays
 * empty. The system takes the lock back when its holder ends in whatever way. Members of a crew
 * hold it too, since they write checkpoints there; they die with the process that made them, a
 * moment later.
 */
#ifndef KD_FRONTEND_DRIVER_LOCK_H
#define KD_FRONTEND_DRIVER_LOCK_H

#include "ir/diag.h"

#include <stdbool.h>

/* Locks the folder until *fd is closed; nothing to do when *fd is not -1. With `make` its file,
 * which the caller found missing before, is made; without, a missing one says that nobody is there.
 * *fd stays -1 where nothing can be locked. False after an error: another kdc has it, without
 * `make` for two seconds. */
bool kd_lock_folder(int *fd, const char *folder, bool make, KdDiag *d);

#endif
