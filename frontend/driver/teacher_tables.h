/*
 * Tables of what hoist-teacher took out of the step: one for each value, a row for each sample of
 * the data. Runs whose @teacher_logits and teachers' weights are the same share them.
 */
#ifndef KD_FRONTEND_DRIVER_TEACHER_TABLES_H
#define KD_FRONTEND_DRIVER_TEACHER_TABLES_H

#include "frontend/driver/train.h"

typedef struct KdTeacherTables {
    int n, room;
    struct KdTeacherTable *item;
} KdTeacherTables;

/* Binds the tables that t's @step reads; they are filled on first use. `weights` is a hash of all
 * its teachers' weights, `keep` the last run that may read them. A signal interrupts it: then
 * tables are not to be read. */
KdOutcome kd_teacher_tables_bind(KdTeacherTables *all, KdTraining *t, uint64_t weights, int keep,
                                 KdrtProgress *progress, KdDiag *d);
/* Frees those that no run behind number `done` reads. */
void kd_teacher_tables_release(KdTeacherTables *all, int done);

/* The teacher's best slab `weights` as t's module lays it out, without what the teacher's loss had
 * beside the network: `weights` itself, or a copy in t's arena. */
float *kd_teacher_slab(const KdTraining *t, const KdRun *teacher, float *weights);

#endif
