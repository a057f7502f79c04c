/* A check sees a module as a file of its own, so that it may be any program: kdc itself, most
 * often. */
#define _DEFAULT_SOURCE /* mkstemps */
#include "frontend/check_command.h"

#include "frontend/process.h"
#include "ir/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_RUN 126 /* what the shell says of a command that it may not run */

static const KdLoc nowhere = { NULL, 0 };

/* The status of sh -c 'command "$1"', as kd_process_run gives it. */
static int run(const char *command, const char *path) {
    int null = open("/dev/null", O_RDWR);
    if (null < 0) return KD_PROCESS_FAILED;
    KdArena *a = kd_arena_create();
    const char *line = kd_arena_format(a, "%s \"$1\"", command);
    const char *argv[] = { "sh", "-c", line, "sh", path, NULL };
    int status = kd_process_run(argv, null, null, null);
    kd_arena_destroy(a);
    close(null);
    return status;
}

KdVerdict kd_check_text(const char *command, const char *text, KdDiag *d) {
    const char *base = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/kdc-check-XXXXXX.kir", base && *base ? base : "/tmp");
    int file = mkstemps(path, 4);
    size_t size = strlen(text);
    bool ok = file >= 0 && write(file, text, size) == (ssize_t)size;
    if (file >= 0 && close(file) != 0) ok = false;
    int status = ok ? run(command, path) : KD_PROCESS_FAILED;
    if (file >= 0) unlink(path);
    if (!ok) kd_error(d, nowhere, "%s: cannot write: %s", path, strerror(errno));
    bool ran = status != KD_PROCESS_FAILED && status != NOT_RUN && status != KD_PROCESS_MISSING;
    if (ok && !ran) kd_error(d, nowhere, "--check: the shell cannot run '%s'", command);
    return !ran ? KD_NO_VERDICT : status == 0 ? KD_GOOD : KD_BROKEN;
}
