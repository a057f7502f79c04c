/*
 * Data sets: samples and labels in one array each, the train file's rows first and the test file's
 * behind, so that a sample's number is the row that generated code gathers. u8 stays u8.
 *
 *   rows of the train file            rows of the test file
 *   [train … | unused | validation]   [test … | unused]
 */
#ifndef KDRT_HOST_DATASET_H
#define KDRT_HOST_DATASET_H

#include "runtime/host/array.h"

#include <limits.h>

#define KDRT_MAX_FOLDERS 5

typedef struct KdrtDatasetSpec {
    const char *name;
    const char *format;                    /* "idx", "npy", "cifar", "csv" or "svhn" */
    const char *folders[KDRT_MAX_FOLDERS]; /* the first that holds train_x is used; NULL-ended */
    const char *package; /* Debian package to name when files are missing, or NULL */
    const char *archive; /* tar or zip file that may hold the files of "npy" and "cifar", or NULL */
    const char *inside;  /* folder in a folder that may hold them too, or NULL */
    const char *train_x, *train_y, *test_x, *test_y; /* test_x NULL: no test file. "cifar" takes
                                                        several, with commas; only "idx" and "npy"
                                                        have files of labels */
    int label;              /* "cifar": which label byte; "csv": which column, from 0 */
    int labels;             /* "cifar": label bytes in front of an image */
    bool header;            /* "csv": the first line is names */
    bool transposed;        /* the last two dims are stored the other way round */
    int first_label;        /* the file's number of class 0 */
    const char *const *md5; /* "FILE=SUM" of files that must have it, NULL-ended, or NULL */
    int64_t train, validation,
        test;        /* samples; train or test 0: as many as there are. Without a test
                        file, `test` > 0 takes the last ones of the train file */
    KdrtDtype dtype; /* of samples, in the file */
    int rank;        /* of one sample */
    int64_t dim[KDRT_MAX_RANK];
    int classes; /* labels are 0 … classes - 1; 0: labels are not checked */
} KdrtDatasetSpec;

/* Rows [first, first + count) of a data set's arrays. */
typedef struct KdrtSplit {
    int64_t first, count;
} KdrtSplit;

typedef struct KdrtDataset {
    KdrtArray x; /* [rows, dim…] with the spec's dims */
    KdrtArray y; /* [rows]: u8 for up to 256 classes, else i32 */
    KdrtSplit train, validation, test;
    const int32_t *kept; /* the train.count training samples, by row; NULL: from the first on */
    float *mean, *rate;  /* of a sample's shape, or NULL: see normalize.h */
    uint64_t hash;       /* of every array's content, splits aside */
    char folder[PATH_MAX];
} KdrtDataset;

bool kdrt_dataset_read(const KdrtDatasetSpec *spec, KdrtDataset *data, KdrtError *error);
void kdrt_dataset_free(KdrtDataset *data);

#endif
