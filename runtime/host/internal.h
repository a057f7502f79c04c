/* Shared by the files of runtime/host only. */
#ifndef KDRT_HOST_INTERNAL_H
#define KDRT_HOST_INTERNAL_H

#include "runtime/host/error.h"

#include <stdbool.h>

/* Formats into `error` (cut to its size) and returns false, so that callers can `return fail(…)`.
 */
bool kdrt_fail(KdrtError *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
