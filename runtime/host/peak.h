/*
 * What the machine can do, measured and not looked up: fused multiply-adds on full vectors, and
 * bytes from memory. Together they bound any kernel from below (Williams et al. 2009, "Roofline").
 */
#ifndef KDRT_HOST_PEAK_H
#define KDRT_HOST_PEAK_H

#include <stddef.h>

/* GFLOP/s of `threads` threads at once over a few hundredths of a second; 0 where it is not known
 * how to measure it. */
double kdrt_peak_flops(int threads);

/* GB/s, read and written together, at which `threads` threads at once go through a working set of
 * `bytes`: of the caches where it fits into them. 0 without memory for it. */
double kdrt_peak_bandwidth(int threads, size_t bytes);

#endif
