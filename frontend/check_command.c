/* A check sees a module as a file of its own, so that it may be any program: kdc itself, most
 * often. */
#define _DEFAULT_SOURCE /* mkstemps */
#include "frontend/check_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_RUN = 126 }; /* 126, 127: what the shell says of commands that it cannot run */

static const KdLoc nowhere = { NULL, 0 };

/* The exit status of sh -c 'command "$1"'; a crash counts as 1. -1: no process. */
static int run(const char *command, const char *path) {
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        if (null < 0) _exit(NOT_RUN);
        for (int k = 0; k < 3; k++) dup2(null, k);
        size_t length = strlen(command);
        char *line = malloc(length + 6);
        if (!line) _exit(NOT_RUN);
        memcpy(line, command, length);
        memcpy(line + length, " \"$1\"", 6);
        execl("/bin/sh", "sh", "-c", line, "sh", path, (char *)NULL);
        _exit(NOT_RUN);
    }
    int status;
    while (child > 0 && waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    if (child < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

KdVerdict kd_check_text(const char *command, const char *text, KdDiag *d) {
    const char *base = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/kdc-check-XXXXXX.kir", base && *base ? base : "/tmp");
    int file = mkstemps(path, 4);
    size_t size = strlen(text);
    bool ok = file >= 0 && write(file, text, size) == (ssize_t)size;
    if (file >= 0 && close(file) != 0) ok = false;
    int status = ok ? run(command, path) : -1;
    if (file >= 0) unlink(path);
    if (!ok) kd_error(d, nowhere, "%s: cannot write: %s", path, strerror(errno));
    if (ok && (status < 0 || status == NOT_RUN || status == NOT_RUN + 1)) {
        kd_error(d, nowhere, "--check: the shell cannot run '%s'", command);
        status = -1;
    }
    return status < 0 ? KD_NO_VERDICT : status == 0 ? KD_GOOD : KD_BROKEN;
}
