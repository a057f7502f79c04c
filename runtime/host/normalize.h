/* What is taken from each sample before a network sees it, learnt from the training samples. */
#ifndef KDRT_HOST_NORMALIZE_H
#define KDRT_HOST_NORMALIZE_H

#include "runtime/host/dataset.h"

/* Fills data->mean and data->rate, f32 of a sample's shape, so that the network's input is
 * (stored * scale - mean) * rate, over all training samples of the files, whatever `take` leaves:
 *   "mean"      the mean of each element; rate 1
 *   "standard"  the mean and 1 / standard deviation of each element
 *   "channel"   those of each channel, the samples' first dim
 * They are part of data->hash from then on. An element that never varies keeps rate 1. Kind NULL:
 * nothing is filled. */
bool kdrt_dataset_normalize(KdrtDataset *data, const char *kind, double scale, KdrtError *error);

#endif
