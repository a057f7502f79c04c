/* What LLVM knows of a processor: its features, and which names there are. */
#ifndef KD_BACKEND_SUBTARGET_H
#define KD_BACKEND_SUBTARGET_H

#include "backend/machine.h"

/* Does that CPU with those features (of t, LLVM's form) have each of the n wanted ones? */
bool kd_subtarget_has(const KdTarget *t, int n, const char *const *wanted, bool *has, KdDiag *d);

/* False after an error: t's triple has no such CPU, or no such feature, or `features` is no list of
 * +NAME and -NAME. */
bool kd_subtarget_check(const KdTarget *t, KdArena *a, KdDiag *d);

#endif
