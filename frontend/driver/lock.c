/* The lock of an output folder; see lock.h. */
#include "frontend/driver/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* How long a killed holder, and its crew, may take to be gone. */
#define TRIES       100
#define NANOSECONDS 20000000

/* False: somebody else has it, each time that we look. */
static bool take(int fd, int tries) {
    const struct timespec pause = { .tv_nsec = NANOSECONDS };
    for (int k = 0; k < tries; k++) {
        if (k) nanosleep(&pause, NULL);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
        if (errno != EWOULDBLOCK && errno != EINTR) return true;
    }
    return false;
}

bool kd_lock_folder(int *fd, const char *folder, bool make, KdDiag *d) {
    char path[PATH_MAX];
    if (*fd >= 0) return true;
    snprintf(path, sizeof path, "%s/.lock", folder);
    *fd = open(path, O_RDONLY | O_CLOEXEC | (make ? O_CREAT : 0), 0666);
    /* Where its file was missing a moment ago, a holder is no killed one: what it does is new. */
    if (*fd < 0 || take(*fd, make ? 1 : TRIES)) return true;
    close(*fd);
    *fd = -1;
    return kd_error(d, (KdLoc){ folder, 0 },
                    "another kdc works in this folder; choose --out DIR, or wait for its end");
}
