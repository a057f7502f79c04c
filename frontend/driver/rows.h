/*
 * study.csv: a study's runs as rows of a table that may be kept, and taken as done by a later study
 * (--rows). A row's last cell says by what settings it came, so that no other ones pass for them.
 */
#ifndef KD_FRONTEND_DRIVER_ROWS_H
#define KD_FRONTEND_DRIVER_ROWS_H

#include "frontend/driver/output.h"
#include "runtime/host/dataset.h"

/* What decides a run's results, its own seed aside, as one number: the text of its module, its
 * patience, data, weights that it loads, and what those were for each of its teachers, whose
 * numbers stand in `teachers` in their order. The module must be as the script made it, and its
 * schedule in steps. The same wherever the script lies, on any machine. */
uint64_t kd_run_settings(const KdRun *run, const KdrtDataset *data, const uint64_t *teachers);

/* The lines of study.csv: a header, and the runs that ended so far. */
void kd_rows_print(const KdOutput *out, const KdStudy *study, FILE *to);

/* Takes the rows of such a file into `out`, but for runs that have a row there already. Each must
 * be one of the study's runs, by its settings too; settings[k] are those of study->runs[k]. False
 * after an error. */
bool kd_rows_read(KdOutput *out, const KdStudy *study, const char *path, const uint64_t *settings,
                  KdDiag *d);

#endif
