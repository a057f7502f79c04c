/* Between dataset.c, which knows what a data set must be, and dataset_files.c, which knows where
 * and in which format it lies. */
#ifndef KDRT_HOST_DATASET_FILES_H
#define KDRT_HOST_DATASET_FILES_H

#include "runtime/host/archive.h"
#include "runtime/host/dataset.h"

#include <limits.h>

#define KDRT_MAX_FILES 16

typedef struct KdrtReading {
    const KdrtDatasetSpec *spec;
    KdrtDataset *data;
    KdrtError *error;
    bool packed;   /* the files are in spec->archive */
    bool too_long; /* a path was */
    int nmembers;  /* files read as a whole */
    KdrtMember member[KDRT_MAX_FILES];
    int uses[KDRT_MAX_FILES]; /* of each, still to come */
    char names[512];          /* theirs, each zero-ended */
    char path[PATH_MAX];      /* of the file at hand */
    char from[2][PATH_MAX];   /* the files that samples and labels came from, for errors */
} KdrtReading;

/* Finds the folder that holds the files, or an error that lists the places; checks their sums. */
bool kdrt_files_find(KdrtReading *r);
/* Samples and labels as the files hold them; the caller frees both, after an error too. */
bool kdrt_files_read(KdrtReading *r, const char *x_file, const char *y_file, KdrtArray pair[2]);

#endif
