/* A child process on two pipes; see the header. */
#include "tests/bench/torch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct Torch {
    pid_t child;
    FILE *to, *from;
    char version[32];
};

static void run_child(const char *python, const char *script, const int in[2], const int out[2]) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    close(in[1]);
    close(out[0]);
    if (!freopen("/dev/null", "w", stderr)) _exit(127);
    execlp(python, python, script, (char *)NULL);
    _exit(127);
}

/* The first line of the script is torch's version; none comes where torch cannot be imported. */
static Torch *start_with(const char *python, const char *script) {
    int in[2], out[2];
    Torch *t = calloc(1, sizeof *t);
    if (!t || pipe(in) || pipe(out)) {
        free(t);
        return NULL;
    }
    t->child = fork();
    if (t->child == 0) run_child(python, script, in, out);
    close(in[0]);
    close(out[1]);
    t->to = fdopen(in[1], "w");
    t->from = fdopen(out[0], "r");
    if (t->child > 0 && t->to && t->from && fgets(t->version, sizeof t->version, t->from)) {
        t->version[strcspn(t->version, "\n")] = 0;
        return t;
    }
    torch_stop(t);
    return NULL;
}

Torch *torch_start(const char *script) {
    const char *const pythons[] = { getenv("KD_PYTHON"), "build/venv/bin/python", "python3" };
    signal(SIGPIPE, SIG_IGN); /* a child that ended gives an error instead */
    for (size_t k = 0; k < sizeof pythons / sizeof *pythons; k++) {
        Torch *t = pythons[k] && *pythons[k] ? start_with(pythons[k], script) : NULL;
        if (t) return t;
    }
    return NULL;
}

const char *torch_version(const Torch *t) {
    return t->version;
}

double torch_time(Torch *t, const char *network, int threads, double seconds) {
    char line[64];
    if (fprintf(t->to, "%s %d %g\n", network, threads, seconds) < 0 || fflush(t->to)) return -1;
    return fgets(line, sizeof line, t->from) ? atof(line) : -1;
}

void torch_stop(Torch *t) {
    if (!t) return;
    if (t->to) fclose(t->to);
    if (t->from) fclose(t->from);
    if (t->child > 0) waitpid(t->child, NULL, 0);
    free(t);
}
