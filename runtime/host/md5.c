/* Sums by libmd; here only what is said of them. */
#include "runtime/host/md5.h"

#include "runtime/host/internal.h"

#include <errno.h>
#include <sys/types.h>

#include <md5.h>
#include <string.h>

bool kdrt_md5_check(const char *path, const char *expected, KdrtError *error) {
    char found[MD5_DIGEST_STRING_LENGTH];
    if (!MD5File(path, found))
        return kdrt_fail(error, "%s: cannot read: %s", path, strerror(errno));
    return strcmp(found, expected) == 0 ||
           kdrt_fail(error, "%s: expected the MD5 sum %s, found %s: another or a damaged file",
                     path, expected, found);
}
