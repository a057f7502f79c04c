/* Data sets of a script, each read once: runs that train on fewer samples share its arrays. */
#ifndef KD_FRONTEND_DRIVER_DATA_H
#define KD_FRONTEND_DRIVER_DATA_H

#include "frontend/script.h"
#include "runtime/host/dataset.h"

#define KD_MAX_DATASETS 8

typedef struct KdDatasets {
    int n;
    struct {
        const KdDataSpec *spec;
        KdrtDataset data;
    } entry[KD_MAX_DATASETS];
    int nsubsets;
    struct {
        const KdDataSpec *spec; /* whose classes were left out */
        int32_t *kept;
        int64_t count;
    } subset[KD_MAX_DATASETS];
} KdDatasets;

/* The data of a run's spec, `take` applied; reads the files on first use, below `dir` (--data)
 * before the spec's own folders. The arrays belong to `all`. False after an error. */
bool kd_data_open(KdDatasets *all, const KdDataSpec *spec, const char *dir, KdrtDataset *data,
                  KdDiag *d);
/* A schedule in epochs, because the script could not say how many samples they have, becomes one in
 * steps of the run's module. */
void kd_data_schedule(const KdRun *run, const KdrtDataset *data);
/* Are all schedules in steps? Else an error: code of epochs needs data that were not read. */
bool kd_data_is_counted(const KdModule *m, KdLoc loc, KdDiag *d);
void kd_data_close(KdDatasets *all);

#endif
