/* Contestants as child processes on two pipes; the protocol stands in bench.h. */
#include "tests/bench/bench.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 600000 }; /* for one answer */

/* --- the child ------------------------------------------------------------------------------ */

typedef struct Arguments {
    const char *value[BENCH_ARGS];
    char text[BENCH_ARGS][24];
    int n;
} Arguments;

static void add_number(Arguments *a, const char *name, int64_t value) {
    snprintf(a->text[a->n], sizeof a->text[a->n], "%lld", (long long)value);
    a->value[a->n + 1] = a->text[a->n];
    a->value[a->n] = name;
    a->n += 2;
}

/* In place: the numbers' texts are part of it. */
static void list_arguments(Arguments *a, const Contestant *c, const BenchCase *of) {
    for (; c->command[a->n]; a->n++) a->value[a->n] = c->command[a->n];
    a->value[a->n++] = "--network";
    a->value[a->n++] = of->network;
    a->value[a->n++] = "--optimizer";
    a->value[a->n++] = of->optimizer;
    add_number(a, "--threads", of->threads);
    add_number(a, "--batch", of->batch);
    add_number(a, "--rows", of->rows);
    add_number(a, "--steps", of->steps);
    add_number(a, "--width", of->width);
}

static void run_child(const Contestant *c, const BenchCase *of, const char *cache,
                      const int pipes[4]) {
    Arguments a = { .n = 0 };
    list_arguments(&a, c, of);
    char threads[16];
    snprintf(threads, sizeof threads, "%d", of->threads);
    dup2(pipes[0], STDIN_FILENO);
    dup2(pipes[3], STDOUT_FILENO);
    for (int k = 0; k < 4; k++) close(pipes[k]);
    if (!freopen("/dev/null", "w", stderr) && getenv("KD_BENCH_DEBUG")) _exit(127);
    setenv("TORCHINDUCTOR_CACHE_DIR", cache, 1);
    setenv("JAX_COMPILATION_CACHE_DIR", cache, 1);
    setenv("XDG_CACHE_HOME", cache, 1);
    setenv("OMP_NUM_THREADS", threads, 1);
    signal(SIGPIPE, SIG_DFL);
    char *argv[BENCH_ARGS + 1];
    memcpy(argv, a.value, sizeof a.value);
    argv[a.n] = NULL;
    execvp(argv[0], argv);
    _exit(127);
}

/* --- the talk ------------------------------------------------------------------------------- */

static bool fail(Contestant *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->error, sizeof c->error, format, args);
    va_end(args);
    contestant_stop(c);
    return false;
}

/* The next line it says. One line is asked for at a time, so none waits in the FILE's buffer. */
static bool read_line(Contestant *c, char *line, int size) {
    struct pollfd wait = { .fd = fileno(c->from), .events = POLLIN };
    int ready = poll(&wait, 1, PATIENCE_MS);
    if (ready == 0) return fail(c, "no answer in %d s", PATIENCE_MS / 1000);
    if (ready < 0 || !fgets(line, size, c->from)) return fail(c, "does not run");
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "error ", 6)) return fail(c, "%.100s", line + 6);
    return true;
}

bool contestant_start(Contestant *c, const BenchCase *of, const char *cache) {
    int in[2], out[2];
    char line[256];
    double seconds;
    if (pipe(in) || pipe(out)) return fail(c, "no pipe");
    const int pipes[4] = { in[0], in[1], out[0], out[1] };
    c->pid = fork();
    if (c->pid == 0) run_child(c, of, cache, pipes);
    close(in[0]);
    close(out[1]);
    c->to = fdopen(in[1], "w");
    c->from = fdopen(out[0], "r");
    if (c->pid < 0 || !c->to || !c->from) return fail(c, "no process");
    if (!read_line(c, line, sizeof line)) return false;
    if (sscanf(line, "ready %lf %lx %31s %lf", &seconds, &c->hash, c->version, &c->bytes) < 3)
        return fail(c, "said '%.60s'", line);
    *(c->cold < 0 ? &c->cold : &c->warm) = seconds;
    return true;
}

void contestant_run(Contestant *c, double seconds) {
    char line[256];
    double ms;
    if (!c->to) return;
    if (fprintf(c->to, "run %g\n", seconds) < 0 || fflush(c->to)) {
        fail(c, "ended early");
        return;
    }
    if (!read_line(c, line, sizeof line)) return;
    if (sscanf(line, "%lf %lf", &ms, &c->loss) == 2 && c->n < BENCH_REPEATS)
        c->ms[c->n++] = ms;
    else
        fail(c, "said '%.60s'", line);
}

/* VmHWM: the most memory it ever had resident. */
static double peak_memory(pid_t pid) {
    char path[64], line[128];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    if (f) fclose(f);
    return 1024.0 * (double)kib;
}

void contestant_stop(Contestant *c) {
    if (c->pid > 0) {
        c->rss = peak_memory(c->pid);
        kill(c->pid, SIGKILL); /* nothing of it is needed any more */
        waitpid(c->pid, NULL, 0);
    }
    if (c->to) fclose(c->to);
    if (c->from) fclose(c->from);
    c->to = c->from = NULL;
    c->pid = 0;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const double *x, int n) {
    double sorted[BENCH_REPEATS];
    if (n == 0) return 0;
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double contestant_ms(const Contestant *c) {
    return c->error[0] || c->same ? 0 : bench_median(c->ms, c->n);
}
