/*
 * The end of a study: every run as a line of study.csv, every point of the grid as a line of a
 * table with its mean over the seeds and its difference to the baseline, and a plot.
 */
#ifndef KD_FRONTEND_DRIVER_STUDY_H
#define KD_FRONTEND_DRIVER_STUDY_H

#include "frontend/driver/output.h"

/* Writes <out>/study.csv anew with the runs that ended so far. False after an error. */
bool kd_study_csv(const KdOutput *out, const KdStudy *study, KdDiag *d);
/* The table: errors with 95 % intervals over the seeds (Student's t), paired differences. */
void kd_study_table(const KdOutput *out, const KdStudy *study, FILE *to);
/* <out>/study.gp, for gnuplot, and where that is installed <out>/study.svg: errors over the
 * axis with the most values. False after an error. */
bool kd_study_plot(const KdOutput *out, const KdStudy *study, FILE *to, KdDiag *d);

#endif
