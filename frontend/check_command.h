/* `--check=COMMAND`: a shell command that succeeds on a good module and fails on a broken one. */
#ifndef KD_FRONTEND_CHECK_COMMAND_H
#define KD_FRONTEND_CHECK_COMMAND_H

#include "ir/diag.h"

typedef enum KdVerdict { KD_GOOD, KD_BROKEN, KD_NO_VERDICT } KdVerdict;

/* Runs the command on a temporary file with that text; the file's path is its last argument, its
 * output is dropped. KD_NO_VERDICT after an error: it could not be run. */
KdVerdict kd_check_text(const char *command, const char *text, KdDiag *d);

#endif
