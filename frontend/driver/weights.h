/* Parameters of a network as safetensors files, under PyTorch's names. */
#ifndef KD_FRONTEND_DRIVER_WEIGHTS_H
#define KD_FRONTEND_DRIVER_WEIGHTS_H

#include "frontend/driver/train.h"
#include "runtime/host/safetensors.h"

/* What a file of the network's parameters in `slab` holds: each parameter, and behind a running
 * variance the number of batches that it has seen. Strings and list are from a. */
KdrtTensors kd_weights_tensors(const KdModule *m, const char *network, const float *slab,
                               const int64_t *batches, KdArena *a);

/* The trained network's parameters, at its last epoch and at its best, with how they came about as
 * metadata: the same bytes for the same training. */
bool kd_weights_save_last(const KdTraining *t, const char *path, KdDiag *d);
bool kd_weights_save_best(const KdTraining *t, const char *path, KdDiag *d);
/* The best ones, with all that the table says of the training. */
bool kd_weights_keep(const KdTraining *t, const char *path, KdDiag *d);

/* Fills the slab of a network of m from a file. Names and shapes must be the network's: else one
 * error that lists what is missing, what is too much and what differs, with shapes. */
bool kd_weights_load(const KdModule *m, const char *network, float *slab, const char *path,
                     KdDiag *d);

#endif
