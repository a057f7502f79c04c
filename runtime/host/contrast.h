/* Local contrast normalisation of a data set's images. */
#ifndef KDRT_HOST_CONTRAST_H
#define KDRT_HOST_CONTRAST_H

#include "runtime/host/dataset.h"

/* Replaces the images, u8 or f32, by their local contrast in f32: each pixel less the weighted mean
 * around it, over the deviation there or, if larger, the image's mean deviation. Brightness and
 * contrast of an image make no difference; a flat one becomes zeros. data->hash tells. */
bool kdrt_dataset_contrast(KdrtDataset *data, KdrtError *error);

#endif
