/* A child process between two files. */
#include "frontend/filter.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_FOUND = 127 };

KdFilterResult kd_run_filter(const char *program, const char *option, FILE *in, FILE *out) {
    if (fflush(in) != 0 || fflush(out) != 0 || lseek(fileno(in), 0, SEEK_SET) != 0)
        return KD_FILTER_FAILED;
    pid_t child = fork();
    if (child < 0) return KD_FILTER_FAILED;
    if (child == 0) {
        if (dup2(fileno(in), STDIN_FILENO) < 0 || dup2(fileno(out), STDOUT_FILENO) < 0) _exit(1);
        execlp(program, program, option, (char *)NULL);
        _exit(errno == ENOENT ? NOT_FOUND : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return KD_FILTER_FAILED;
    }
    if (!WIFEXITED(status)) return KD_FILTER_FAILED;
    return WEXITSTATUS(status) == 0           ? KD_FILTER_DONE
           : WEXITSTATUS(status) == NOT_FOUND ? KD_FILTER_MISSING
                                              : KD_FILTER_FAILED;
}
