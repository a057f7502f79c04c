/*
 * kd-fuzz-graphs: random graphs in several processes, one after the other in each. A process that
 * dies (a fault of kdc, a crash, a graph that takes five minutes) costs its graph and is replaced.
 * Every failure is a line with the seed, the configuration and the reason; `--seed N` shows that
 * one.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/host/blas.h"
#include "tests/fuzz/check.h"

enum { MOST_JOBS = 64, GRAPH_SECONDS = 300, REPORT_SECONDS = 10 };

typedef struct Options {
    uint64_t from, graphs;
    bool all, one;
    int jobs, config;
} Options;

/* What a worker leaves for its parent; in memory shared by both. */
typedef struct Slot {
    pid_t pid;
    uint64_t next, done, failed;
} Slot;

static const char help[] = "usage: kd-fuzz-graphs [--from SEED] [--graphs N] [--jobs N] [--all]\n"
                           "       kd-fuzz-graphs --seed SEED [--config K | --all]\n"
                           "Checks N random graphs (1000) from SEED (1) on, each under one random\n"
                           "configuration, or under as many (--all) as hold every value of each\n"
                           "option.\n";

static bool check(uint64_t seed, int k, FILE *show) {
    GraphConfig config = graph_config(seed, k);
    char why[GRAPH_WHY] = "", text[GRAPH_CONFIG_TEXT];
    if (graph_check(seed, &config, show, why)) return true;
    graph_config_text(&config, text);
    printf("seed %" PRIu64 ", config %d, %s: %s\n", seed, k, text, why);
    fflush(stdout);
    return false;
}

static bool check_seed(const Options *o, uint64_t seed, FILE *show) {
    bool ok = true;
    if (!o->all) return check(seed, o->config, show);
    for (int k = 0; k < GRAPH_CONFIGS; k++) ok = check(seed, k, show) && ok;
    return ok;
}

static void work(const Options *o, Slot *slot) {
    for (; slot->next < o->from + o->graphs; slot->next += (uint64_t)o->jobs) {
        alarm(o->all ? GRAPH_CONFIGS * GRAPH_SECONDS : GRAPH_SECONDS);
        if (!check_seed(o, slot->next, NULL)) slot->failed++;
        slot->done++;
    }
}

static void start(const Options *o, Slot *slot) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        work(o, slot);
        exit(0);
    }
    if (pid < 0) {
        perror("kd-fuzz-graphs");
        exit(1);
    }
    slot->pid = pid; /* by the parent alone: the memory is shared */
}

/* A worker ended: in peace, or over the graph it was at. True when it goes on. */
static bool ended(const Options *o, Slot *slot, int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    printf("seed %" PRIu64 ": the process ended with %s %d\n", slot->next,
           WIFSIGNALED(status) ? "signal" : "exit code",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    slot->failed++;
    slot->done++;
    slot->next += (uint64_t)o->jobs;
    start(o, slot);
    return true;
}

static void report(const Options *o, const Slot *slots, bool last) {
    uint64_t done = 0, failed = 0;
    for (int k = 0; k < o->jobs; k++) {
        done += slots[k].done;
        failed += slots[k].failed;
    }
    fprintf(last ? stdout : stderr, "%" PRIu64 " graphs%s, %" PRIu64 " failed\n", done,
            o->all ? " under every value of each option" : "", failed);
}

static int run(const Options *o) {
    Slot *slots = mmap(NULL, MOST_JOBS * sizeof *slots, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED) return 1;
    for (int k = 0; k < o->jobs; k++) {
        slots[k].next = o->from + (uint64_t)k;
        start(o, &slots[k]);
    }
    time_t said = time(NULL);
    for (int alive = o->jobs; alive > 0;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0) nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
        for (int k = 0; pid > 0 && k < o->jobs; k++) {
            if (slots[k].pid == pid && !ended(o, &slots[k], status)) alive--;
        }
        if (time(NULL) - said < REPORT_SECONDS) continue;
        report(o, slots, false);
        said = time(NULL);
    }
    report(o, slots, true);
    for (int k = 0; k < o->jobs; k++) {
        if (slots[k].failed) return 1;
    }
    return 0;
}

static bool read_options(int argc, char **argv, Options *o) {
    static const struct option names[] = {
        { "from", required_argument, NULL, 'f' },
        { "graphs", required_argument, NULL, 'g' },
        { "jobs", required_argument, NULL, 'j' },
        { "seed", required_argument, NULL, 's' },
        { "config", required_argument, NULL, 'c' },
        { "all", no_argument, NULL, 'a' },
        { 0 },
    };
    *o = (Options){ .from = 1, .graphs = 1000, .jobs = 2 };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'f': o->from = strtoull(optarg, NULL, 10); break;
        case 'g': o->graphs = strtoull(optarg, NULL, 10); break;
        case 'j': o->jobs = atoi(optarg); break;
        case 'c': o->config = atoi(optarg); break;
        case 'a': o->all = true; break;
        case 's':
            o->from = strtoull(optarg, NULL, 10);
            o->one = true;
            break;
        default: return false;
        }
    }
    return optind == argc && o->jobs >= 1 && o->jobs <= MOST_JOBS && o->config >= 0 &&
           o->config < GRAPH_CONFIGS;
}

int main(int argc, char **argv) {
    Options o;
    KdrtError error;
    if (!read_options(argc, argv, &o)) {
        fputs(help, stderr);
        return 2;
    }
    if (!kdrt_blas_start(&error)) {
        fprintf(stderr, "kd-fuzz-graphs: OpenBLAS computes wrong products here\n");
        return 1;
    }
    if (o.one) return check_seed(&o, o.from, o.all ? NULL : stderr) ? 0 : 1;
    return run(&o);
}
