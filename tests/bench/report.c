/* The table and the JSON file of ./dev bench. */
#include "tests/bench/bench.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

/* The fastest contestant that is not kdc, or NULL. */
static const Contestant *best_peer(const Contestant *c, int n) {
    const Contestant *best = NULL;
    for (int k = 0; k < n; k++) {
        double ms = c[k].hash ? 0 : contestant_ms(&c[k]);
        if (ms > 0 && (!best || ms < contestant_ms(best))) best = &c[k];
    }
    return best;
}

static double gflops(const BenchCase *of, const Contestant *c) {
    return of->flops / contestant_ms(c) / 1e6;
}

/* --- the table ------------------------------------------------------------------------------ */

void report_header(FILE *out, bool predict) {
    fprintf(out, "%-13s %-7s %-26s %10s %9s %8s %7s %8s", "network", predict ? "batch" : "threads",
            "contestant", predict ? "µs/call" : "ms/step", "images/s", "GFLOP/s", "of peak",
            "RSS MiB");
    if (predict)
        fprintf(out, " %10s", "model KiB");
    else
        fprintf(out, " %8s %8s", "cold s", "warm s");
    fprintf(out, " %7s\n", "ratio");
}

static void print_seconds(FILE *out, double seconds) {
    if (seconds < 0)
        fprintf(out, " %8s", "-");
    else
        fprintf(out, " %8.2f", seconds);
}

/* `ratio`: how much faster than `than` it is; 0.50 takes twice as long. */
static void print_row(FILE *out, const BenchCase *of, const Contestant *c, double than) {
    double ms = contestant_ms(c);
    fprintf(out, "%-13s %7d %-26s", of->network, of->predict ? of->batch : of->threads, c->label);
    if (c->same || !(ms > 0)) {
        fprintf(out, " %s\n", c->same ? "the same code" : c->error);
        return;
    }
    fprintf(out, of->predict ? " %10.2f" : " %10.3f", of->predict ? 1e3 * ms : ms);
    fprintf(out, " %9.0f %8.1f", 1e3 * of->batch / ms, gflops(of, c));
    if (of->peak > 0)
        fprintf(out, " %5.1f %%", 100 * gflops(of, c) / of->peak);
    else
        fprintf(out, " %7s", "-");
    fprintf(out, " %8.0f", c->rss / (1 << 20));
    if (of->predict) {
        fprintf(out, " %10.0f", c->bytes / 1024);
    } else {
        print_seconds(out, c->cold);
        print_seconds(out, c->warm);
    }
    if (than > 0) fprintf(out, " %7.2f", than / ms);
    fprintf(out, "\n");
}

/* All have the same weights and images, so their logits may differ by rounding alone. */
static void report_agreement(FILE *out, const Contestant *c, int n) {
    fprintf(out, "%-13s %7s ", "", "");
    for (int k = 1; k < n; k++)
        if (c[k].n && !(fabs(c[k].loss / c[0].loss - 1) < 1e-4))
            fprintf(out, "%s computes something else (%g, not %g); ", c[k].label, c[k].loss,
                    c[0].loss);
}

void report_case(FILE *out, const BenchCase *of, const Contestant *c, int n, bool ablation) {
    const Contestant *peer = best_peer(c, n);
    double than = ablation ? contestant_ms(&c[0]) : peer ? contestant_ms(peer) : 0;
    for (int k = 0; k < n; k++) print_row(out, of, &c[k], than);
    if (of->predict)
        report_agreement(out, c, n);
    else
        fprintf(out, "%-13s %7d batch %d, %s, ", "", of->threads, of->batch, of->optimizer);
    fprintf(out, "measured FMA peak %.1f GFLOP/s\n\n", of->peak);
    fflush(out);
}

void report_sweep(FILE *out, const BenchCase *of, BenchSweep sweep, const Contestant *c, int n) {
    if (sweep.first) {
        fprintf(out, "%s, %d thread%s: ms/step, and how many times the line above\n%8s",
                of->network, of->threads, of->threads > 1 ? "s" : "", sweep.over);
        for (int k = 0; k < n; k++) fprintf(out, "  %20s", c[k].label);
        fprintf(out, "\n");
    }
    fprintf(out, "%8d", sweep.size);
    for (int k = 0; k < n; k++) {
        double ms = contestant_ms(&c[k]), before = sweep.before[k];
        fprintf(out, "  %11.3f", ms);
        if (ms > 0 && before > 0)
            fprintf(out, "  x %5.2f", ms / before);
        else
            fprintf(out, "  %7s", "");
        sweep.before[k] = ms;
    }
    fprintf(out, "\n");
    fflush(out);
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void add_positive(cJSON *to, const char *key, double value) {
    if (value > 0)
        cJSON_AddNumberToObject(to, key, value);
    else
        cJSON_AddNullToObject(to, key);
}

static cJSON *result_json(const BenchCase *of, const Contestant *c, double than) {
    cJSON *r = cJSON_CreateObject();
    double ms = contestant_ms(c);
    cJSON_AddStringToObject(r, "contestant", c->label);
    cJSON_AddStringToObject(r, "version", c->version);
    if (c->error[0]) cJSON_AddStringToObject(r, "error", c->error);
    cJSON_AddBoolToObject(r, "same_code", c->same);
    if (!(ms > 0)) return r;
    cJSON_AddNumberToObject(r, "ms_per_step", ms);
    cJSON_AddItemToObject(r, "ms", cJSON_CreateDoubleArray(c->ms, c->n));
    cJSON_AddNumberToObject(r, "images_per_second", 1e3 * of->batch / ms);
    cJSON_AddNumberToObject(r, "gflops", gflops(of, c));
    add_positive(r, "share_of_peak", of->peak > 0 ? gflops(of, c) / of->peak : 0);
    cJSON_AddNumberToObject(r, "peak_rss_bytes", c->rss);
    cJSON_AddNumberToObject(r, "working_bytes", c->rss - of->state_bytes);
    if (of->predict) cJSON_AddNumberToObject(r, "model_bytes", c->bytes);
    add_positive(r, "compile_seconds_cold", c->cold);
    add_positive(r, "compile_seconds_warm", c->warm);
    cJSON_AddNumberToObject(r, "loss", c->loss);
    add_positive(r, "times_faster_than_best_peer", than / ms);
    return r;
}

struct cJSON *report_json(const BenchCase *of, const Contestant *c, int n) {
    const Contestant *peer = best_peer(c, n);
    double than = peer ? contestant_ms(peer) : 0;
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "network", of->network);
    cJSON_AddStringToObject(j, "optimizer", of->optimizer);
    cJSON_AddNumberToObject(j, "threads", of->threads);
    cJSON_AddNumberToObject(j, "batch", of->batch);
    cJSON_AddNumberToObject(j, "width", of->width);
    cJSON_AddNumberToObject(j, "rows", (double)of->rows);
    cJSON_AddNumberToObject(j, "steps_per_epoch", (double)of->steps);
    cJSON_AddNumberToObject(j, "parameters", (double)of->parameters);
    cJSON_AddNumberToObject(j, "multiplications", (double)of->multiplications);
    cJSON_AddNumberToObject(j, "flops_per_step", of->flops);
    cJSON_AddNumberToObject(j, "state_bytes", of->state_bytes);
    add_positive(j, "peak_gflops", of->peak);
    if (peer) cJSON_AddStringToObject(j, "best_peer", peer->label);
    cJSON *results = cJSON_AddArrayToObject(j, "results");
    for (int k = 0; k < n; k++) cJSON_AddItemToArray(results, result_json(of, &c[k], than));
    return j;
}
