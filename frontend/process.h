/* Other people's programs: compilers, a check's command, what dot and gnuplot draw better. */
#ifndef KD_FRONTEND_PROCESS_H
#define KD_FRONTEND_PROCESS_H

#include <stdio.h>

#define KD_PROCESS_FAILED  (-1) /* no process, or it was ended by a signal */
#define KD_PROCESS_MISSING 127  /* no such program; also what a shell says of one */

/* Runs argv[0], looked up in PATH, with those arguments (NULL-ended) and standard streams (file
 * descriptors; -1: ours), and waits for its end. Its exit status, or one of the above. */
int kd_process_run(const char *const *argv, int in, int out, int err);
/* Runs it from one file into another; both are flushed first and `in` is read from its beginning.
 */
int kd_process_filter(const char *const *argv, FILE *in, FILE *out);

#endif
