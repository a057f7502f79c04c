/* Other people's programs: compilers, a check's command, what dot and gnuplot draw better. */
#ifndef KD_FRONTEND_PROCESS_H
#define KD_FRONTEND_PROCESS_H

#include <stdio.h>

#define KD_PROCESS_FAILED  (-1) /* there was no process */
#define KD_PROCESS_MISSING 127  /* no such program; also what a shell says of one */

/* Runs argv[0], looked up in PATH, with those arguments (NULL-ended) and standard streams (file
 * descriptors; -1: ours), and waits for its end. Its exit status, 128 and the signal that ended it,
 * or one of the above. */
int kd_process_run(const char *const *argv, int in, int out, int err);
/* The same from one file, read from its beginning, into another; both are flushed first. */
int kd_process_filter(const char *const *argv, FILE *in, FILE *out);

#endif
