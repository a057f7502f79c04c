/*
 * Files that hold samples and their labels together. Each reader fills x [rows, …] and y [rows],
 * or returns false and says what is wrong at which place.
 */
#ifndef KDRT_HOST_FORMATS_H
#define KDRT_HOST_FORMATS_H

#include "runtime/host/archive.h"
#include "runtime/host/array.h"

/* CIFAR-10 and -100: per record `labels` label bytes, of which number `label` counts, then
 * [channels, height, width] bytes, `pixels` of them. The files' records follow one another. */
typedef struct KdrtCifar {
    int labels, label, classes;
    int rank;
    int64_t dim[KDRT_MAX_RANK]; /* of one image */
} KdrtCifar;
bool kdrt_cifar_read(const char *path, const KdrtMember *file, int n, const KdrtCifar *layout,
                     KdrtArray pair[2], KdrtError *error);

/* Comma-separated numbers, gzipped or not: column `label` (0 is the first) is a whole number, the
 * others are the sample, f32, in their order. */
typedef struct KdrtCsv {
    int64_t columns; /* of a sample, the label not counted */
    int label, classes;
    bool header; /* the first line holds names */
} KdrtCsv;
bool kdrt_csv_read(const char *path, const KdrtCsv *layout, KdrtArray pair[2], KdrtError *error);

/* SVHN's cropped digits, a MATLAB file: X [height, width, channels, rows] u8 in column order, y
 * [rows] from 1 to 10, where 10 is the digit 0. Becomes [rows, channels, height, width]. */
bool kdrt_svhn_read(const char *path, KdrtArray pair[2], KdrtError *error);

#endif
