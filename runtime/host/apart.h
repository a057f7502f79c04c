/*
 * Readers that stand on foreign code which nobody has doubted enough: they run in a process of
 * their own, where a file that makes them go wrong costs neither this process nor the machine's
 * memory.
 */
#ifndef KDRT_HOST_APART_H
#define KDRT_HOST_APART_H

#include "runtime/host/array.h"

/* Fills x and y, or says in `error` what is wrong. */
typedef bool KdrtPairReader(const char *path, KdrtArray pair[2], KdrtError *error);

/* read(path, pair, error), which may allocate `bytes`, and compute for two seconds and one more for
 * each 4 MiB of the file. */
bool kdrt_read_apart(KdrtPairReader *read, const char *path, size_t bytes, KdrtArray pair[2],
                     KdrtError *error);

#endif
