/* MD5 of a file: the sums that the authors of the well-known data sets publish. It tells a damaged
 * file from a whole one, not an honest one from a forged one. */
#ifndef KDRT_HOST_MD5_H
#define KDRT_HOST_MD5_H

#include "runtime/host/error.h"

#include <stdbool.h>

/* `expected`: 32 hex digits in lower case. */
bool kdrt_md5_check(const char *path, const char *expected, KdrtError *error);

#endif
