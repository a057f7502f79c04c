/* A child process, waited for. */
#include "frontend/process.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static void replace(int file, int stream) {
    if (file >= 0 && dup2(file, stream) < 0) _exit(1);
}

int kd_process_run(const char *const *argv, int in, int out, int err) {
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return KD_PROCESS_FAILED;
    if (child == 0) {
        replace(in, STDIN_FILENO);
        replace(out, STDOUT_FILENO);
        replace(err, STDERR_FILENO);
        execvp(argv[0], (char *const *)argv);
        _exit(errno == ENOENT ? KD_PROCESS_MISSING : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return KD_PROCESS_FAILED;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int kd_process_filter(const char *const *argv, FILE *in, FILE *out) {
    if (fflush(in) != 0 || fflush(out) != 0 || lseek(fileno(in), 0, SEEK_SET) != 0)
        return KD_PROCESS_FAILED;
    return kd_process_run(argv, fileno(in), fileno(out), -1);
}
