/*
 * ./dev bench in five files: bench.c reads the command line and goes through the cases, worker.c is
 * kdc as a contestant, predict.c as one of --predict, contestant.c starts contestants and talks to
 * them, report.c writes the table and the JSON file.
 *
 * Every contestant is a process of its own that answers on a pipe:
 *
 *   contestant: ready SECONDS HASH VERSION   (it has trained; SECONDS: to compile)
 *   kd-bench:   run SECONDS                  (train whole epochs for about that long)
 *   contestant: MILLISECONDS LOSS            (per step; mean of the last epoch)
 *
 * With --predict the step is a call on one batch, the first answer ends with the BYTES of the
 * model's file, and the LOSS is the mean square of the logits, which must be everyone's.
 */
#ifndef KD_TESTS_BENCH_H
#define KD_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { BENCH_CONTESTANTS = 24, BENCH_REPEATS = 51, BENCH_ARGS = 32 };

/* One row group of the table: what all its contestants train. */
typedef struct BenchCase {
    const char *network;
    const char *optimizer; /* "sgd" or "adam" */
    int threads, batch, width;
    int64_t rows;  /* of the data set */
    int64_t steps; /* in an epoch, so many rows of it */
    int64_t parameters, multiplications;
    double flops;       /* of a step: a multiplication and an addition, for the output, the weights'
                           gradient and, but for the first layer, the input's gradient */
    double state_bytes; /* weights, gradients, optimizer state and data: what nobody can spare */
    double peak;        /* GFLOP/s of so many threads; 0: not known */
    bool predict;       /* a step is a call of inference */
} BenchCase;

typedef struct Contestant {
    char label[64];
    const char *command[8]; /* its program and the arguments of its own, NULL-ended */
    bool caches;            /* a second start may find code that the first one left */
    pid_t pid;
    FILE *to, *from;
    char version[32];
    unsigned long hash; /* of kdc's code; 0 for peers */
    bool same;          /* its code is the first contestant's: nothing to measure */
    char error[128];    /* why it does not take part, or "" */
    double cold, warm;  /* seconds to compile; negative: not measured */
    double rss;         /* bytes, at its peak */
    double bytes;       /* of what it loads, with --predict */
    double loss;
    int n;
    double ms[BENCH_REPEATS];
} Contestant;

/* --- contestant.c --- */

/* Starts it with its code cache in that folder and waits for its first epochs. False, and `error`,
 * when it cannot take part. */
bool contestant_start(Contestant *c, const BenchCase *of, const char *cache);
/* Trains for about so long and notes the milliseconds. */
void contestant_run(Contestant *c, double seconds);
/* Notes the peak of its memory and ends it. */
void contestant_stop(Contestant *c);
/* Median of the milliseconds per step; 0 where there are none. */
double contestant_ms(const Contestant *c);

/* --- worker.c --- */

/* kdc as a contestant. Returns the exit code. */
int worker_main(int argc, char **argv);

/* --- predict.c --- */

/* kdc as a contestant of --predict. Returns the exit code. */
int predict_main(int argc, char **argv);
/* The weights by formula of the network that the run trains, as safetensors. */
struct KdRun;
bool predict_write_weights(const struct KdRun *run, const char *path);

/* --- report.c --- */

void report_header(FILE *out, bool predict);
void report_case(FILE *out, const BenchCase *of, const Contestant *c, int n, bool ablation);
/* One line of a sweep: each contestant's milliseconds, and how many times those of the size before.
 */
typedef struct BenchSweep {
    const char *over; /* "batch" or "width" */
    int size;
    bool first;
    double *before; /* a number a contestant, kept from line to line */
} BenchSweep;
void report_sweep(FILE *out, const BenchCase *of, BenchSweep sweep, const Contestant *c, int n);
/* An object of the JSON file's `cases`; keys in README.md. */
struct cJSON;
struct cJSON *report_json(const BenchCase *of, const Contestant *c, int n);
double bench_median(const double *x, int n);

#endif
