/* What the machine can do: fused multiply-adds on full vectors, measured, not looked up. */
#ifndef KD_TESTS_PEAK_H
#define KD_TESTS_PEAK_H

/* GFLOP/s of `threads` threads at once over a few hundredths of a second; 0 where it is not known
 * how to measure it. */
double measure_peak(int threads);

#endif
