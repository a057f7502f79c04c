/* Trained teachers, kept between invocations in the user's cache folder. */
#ifndef KD_FRONTEND_DRIVER_TEACHER_CACHE_H
#define KD_FRONTEND_DRIVER_TEACHER_CACHE_H

#include "frontend/driver/train.h"

/* Where the weights of a teacher trained exactly so would lie: the name is a hash of its training
 * IR without locations, its data and splits, its seed and program, of all weights that it learned
 * from itself (`teachers`, their hash), and kdc's version. NULL when there is no cache folder. */
const char *kd_teacher_path(const KdTraining *t, uint64_t teachers, KdArena *a);

/* Fills t->params and t->best and the counters of a finished training; false when there is none. */
bool kd_teacher_recall(KdTraining *t, const char *path);

/* Keeps a finished training's best weights; a failure only costs the reuse. */
void kd_teacher_keep(const KdTraining *t, const char *path);

#endif
