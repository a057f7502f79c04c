/*
 * What a trace of generated code says about its kernels: a table sorted by time, beside the
 * roofline of this machine, and every span for chrome://tracing or ui.perfetto.dev.
 *
 * The roofline (Williams et al. 2009): no kernel is quicker than its arithmetic at the FMA peak,
 * nor than its bytes at the bandwidth of a working set as large as the step's. Both are measured
 * here, behind the run. Bytes are counted once per call, so what stays in a nearer cache beats its
 * bound.
 */
#include "frontend/driver/profile.h"

#include "runtime/host/peak.h"
#include "runtime/host/progress.h"
#include "runtime/host/report.h"
#include "runtime/host/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SPANS 100000 /* kept of a run: some 20 MB of JSON */

static const KdLoc nowhere = { NULL, 0 };

/* --- kernels ---------------------------------------------------------------------------------- */

static KdrtTask *phase_of(const KdCompiled *c, const KdFunc *f, const KdInstr *i, int phase) {
    KdrtTask *run;
    void *symbol = kd_jit_symbol(c->jit, kd_kernel_symbol(f->module->arena, f, i, phase));
    memcpy(&run, &symbol, sizeof run); /* C has no cast from void * to a function */
    return run;
}

static bool look_up(KdKernelProfile *p, const KdCompiled *c) {
    double rows = 0;
    for (int k = 0; k < KD_MAX_PHASES; k++) {
        p->phase[k] = k && !p->phase[k - 1] ? NULL : phase_of(c, p->f, p->kernel, k);
        const KdrtTimes *t = p->phase[k] ? kdrt_trace_times(c->trace, p->phase[k]) : NULL;
        if (!t) continue;
        p->calls = t->calls;
        p->seconds += t->seconds;
        p->least += t->least;
        rows = t->rows;
    }
    if (p->calls) p->cost = kd_cost(p->kernel, rows / (double)p->calls);
    return p->calls > 0;
}

KdKernelProfile *kd_profile_kernels(const KdCompiled *c, int *n, KdArena *a) {
    const KdFunc *functions[] = { c->step, c->evaluate, c->teacher };
    int room = 1;
    for (int k = 0; k < 3; k++) {
        if (!functions[k]) continue;
        KD_EACH_INSTR(i, functions[k]) room++;
    }
    KdKernelProfile *list = KD_NEW_ARRAY(a, KdKernelProfile, room);
    *n = 0;
    for (int k = 0; k < 3; k++) {
        if (!functions[k]) continue;
        KD_EACH_INSTR(i, functions[k]) {
            list[*n] = (KdKernelProfile){ .f = functions[k], .kernel = i };
            if (i->op == KD_OP_KERNEL && look_up(&list[*n], c)) (*n)++;
        }
    }
    return list;
}

/* --- the roofline ----------------------------------------------------------------------------- */

typedef struct Roof {
    double flops, bytes; /* per second; 0: not known */
    size_t working_set;
} Roof;

static Roof measure_roof(const KdCompiled *c) {
    int threads = kdrt_pool_threads(c->pool);
    size_t slab = (size_t)kd_slab_elements(c->m, c->run->network) * sizeof(float);
    size_t set = (size_t)c->step->arena_bytes + 3 * slab; /* parameters, gradients, a state */
    Roof roof = { .working_set = set };
    for (int k = 0; k < 4; k++) { /* the highest: other programs only take away */
        double flops = 1e9 * kdrt_peak_flops(threads);
        double bytes = 1e9 * kdrt_peak_bandwidth(threads, set);
        if (flops > roof.flops) roof.flops = flops;
        if (bytes > roof.bytes) roof.bytes = bytes;
    }
    return roof;
}

static double flops_of(const KdKernelProfile *p) {
    return p->cost.contraction + p->cost.elementwise;
}

/* The least seconds of a call, and what takes them. */
static double bound(const KdKernelProfile *p, const Roof *roof, const char **by) {
    double flops = roof->flops > 0 ? flops_of(p) / roof->flops : 0;
    double bytes = roof->bytes > 0 ? p->cost.bytes / roof->bytes : 0;
    *by = flops > bytes ? "flops" : "bytes";
    return flops > bytes ? flops : bytes;
}

/* --- the table -------------------------------------------------------------------------------- */

static int by_time(const void *x, const void *y) {
    const KdKernelProfile *a = x, *b = y;
    return a->seconds < b->seconds ? 1 : a->seconds > b->seconds ? -1 : 0;
}

/* "student.lua:12" of a location, the file without its folder; "-" for what no line asked for. */
static const char *place(const KdInstr *i, char text[64]) {
    const char *file = i->loc.file ? i->loc.file : "", *slash = strrchr(file, '/');
    if (i->loc.line > 0)
        snprintf(text, 64, "%.48s:%d", slash ? slash + 1 : file, i->loc.line);
    else
        snprintf(text, 64, "-");
    return text;
}

static void print_row(const KdKernelProfile *p, double total, const Roof *roof, FILE *out) {
    char name[256], where[64];
    const char *by;
    double mean = p->seconds / (double)p->calls, least = bound(p, roof, &by);
    snprintf(name, sizeof name, "%s.%s", p->f->name, p->kernel->results[0]->name);
    fprintf(out, "%-36.36s %-18.18s %-8s %8lld %9.1f %5.1f %% %10.1f %8.1f", name,
            place(p->kernel, where), kd_attr_str(p->kernel->attrs, "kind", ""), (long long)p->calls,
            1e3 * p->seconds, 100 * p->seconds / total, 1e6 * mean, flops_of(p) / mean / 1e9);
    if (roof->flops > 0)
        fprintf(out, " %5.1f %%", 100 * flops_of(p) / mean / roof->flops);
    else
        fprintf(out, " %7s", "-");
    fprintf(out, " %7.1f %9.1f %-5s %4.0f %%\n", p->cost.bytes / mean / 1e9, 1e6 * least, by,
            100 * least / mean);
}

static void print_table(const KdCompiled *c, int n, KdKernelProfile *list, const Roof *roof,
                        FILE *out) {
    double total = 0, least = 0;
    for (int k = 0; k < n; k++) {
        const char *by;
        total += list[k].seconds;
        least += bound(&list[k], roof, &by) * (double)list[k].calls;
    }
    qsort(list, (size_t)n, sizeof *list, by_time);
    fprintf(
        out,
        "profile of %s: %.3f s in kernels on %d threads; peak %.0f GFLOP/s, %.0f GB/s over %.1f "
        "MB\n",
        c->run->name, total, kdrt_pool_threads(c->pool), roof->flops / 1e9, roof->bytes / 1e9,
        (double)roof->working_set / 1e6);
    fprintf(out, "%-36s %-18s %-8s %8s %9s %7s %10s %8s %7s %7s %9s %-5s %6s\n", "kernel", "line",
            "kind", "calls", "ms", "share", "us/call", "GFLOP/s", "of peak", "GB/s", "bound us",
            "by", "there");
    for (int k = 0; k < n; k++) print_row(&list[k], total, roof, out);
    fprintf(out, "%-36s %-18s %-8s %8s %9.1f %5.1f %% at the bound: %.1f ms, %.0f %%\n\n", "all",
            "", "", "", 1e3 * total, 100.0, 1e3 * least, total > 0 ? 100 * least / total : 0);
}

/* --- the spans -------------------------------------------------------------------------------- */

/* An event of the file, to be filled and put. */
static KdrtJson *event(const KdProfile *p, const char *phase, const char *name) {
    KdrtJson *e = kdrt_json_object();
    kdrt_json_string(e, "ph", phase);
    kdrt_json_string(e, "name", name);
    kdrt_json_integer(e, "pid", p->runs);
    return e;
}

static void put(KdProfile *p, KdrtJson *e) {
    fputs(p->first ? "\n" : ",\n", p->file.stream);
    p->first = false;
    if (!kdrt_json_print(p->file.stream, e) && !ferror(p->file.stream)) p->lost = true;
    kdrt_json_free(e);
}

/* What Perfetto shows in place of a number: of the process, or of one of its threads (-1: none). */
static void put_name(KdProfile *p, const char *what, const char *key, const char *name,
                     int thread) {
    KdrtJson *e = event(p, "M", what);
    if (thread >= 0) kdrt_json_integer(e, "tid", thread);
    kdrt_json_string(kdrt_json_child(e, "args"), key, name);
    put(p, e);
}

static void name_tracks(KdProfile *p, const KdCompiled *c) {
    const KdrtTrace *t = p->trace;
    char text[64];
    put_name(p, "process_name", "name", c->run->name, -1);
    snprintf(text, sizeof text, "the first %lld of %lld spans", (long long)t->nspans,
             (long long)t->seen_spans);
    if (t->nspans < t->seen_spans) put_name(p, "process_labels", "labels", text, -1);
    for (int k = 0; k < t->threads; k++) {
        snprintf(text, sizeof text, "worker %d", k);
        put_name(p, "thread_name", "name", text, k);
    }
}

/* x to a few decimals: the others would only make the file longer. */
static double rounded(double x, double decimals) {
    return round(x * decimals) / decimals;
}

static void put_span(KdProfile *p, const KdrtSpan *s, const KdKernelProfile *kernel,
                     const Roof *roof) {
    char name[256], where[64];
    double seconds = s->end - s->start, share = (double)s->share;
    KdCost cost = kd_cost(kernel->kernel, s->rows);
    double rate = seconds > 0 ? share * (cost.contraction + cost.elementwise) / seconds : 0;
    snprintf(name, sizeof name, "%s.%s", kernel->f->name, kernel->kernel->results[0]->name);
    KdrtJson *e = event(p, "X", name), *args = kdrt_json_child(e, "args");
    kdrt_json_integer(e, "tid", s->worker);
    kdrt_json_string(e, "cat", kd_attr_str(kernel->kernel->attrs, "kind", ""));
    kdrt_json_number(e, "ts", rounded(1e6 * (s->start - p->began), 1e3));
    kdrt_json_number(e, "dur", rounded(1e6 * seconds, 1e3));
    kdrt_json_string(args, "line", place(kernel->kernel, where));
    kdrt_json_integer(args, "rows", s->rows);
    kdrt_json_number(args, "GFLOP/s", rounded(rate / 1e9, 1e2));
    kdrt_json_number(args, "bytes", round(share * cost.bytes));
    /* The peak is that of all threads; a span is one thread's. */
    if (roof->flops > 0)
        kdrt_json_number(args, "share of peak",
                         rounded(rate / roof->flops * p->trace->threads, 1e4));
    put(p, e);
}

static void put_spans(KdProfile *p, const KdCompiled *c, int n, const KdKernelProfile *list,
                      const Roof *roof) {
    name_tracks(p, c);
    for (int64_t k = 0; k < p->trace->nspans; k++) {
        const KdrtSpan *s = &p->trace->span[k];
        const KdKernelProfile *kernel = NULL;
        for (int j = 0; j < n && !kernel; j++) {
            for (int phase = 0; phase < KD_MAX_PHASES; phase++)
                if (list[j].phase[phase] == s->run) kernel = &list[j];
        }
        if (kernel) put_span(p, s, kernel, roof);
    }
}

/* --- a training ------------------------------------------------------------------------------- */

bool kd_profile_open(KdProfile *p, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                     KdDiag *d) {
    *p = (KdProfile){ .began = kdrt_seconds(), .first = true };
    if (!o->profile) return true;
    p->trace = kdrt_trace_create(kdrt_pool_threads(engine->pool), MAX_SPANS);
    if (!p->trace) return kd_error(d, nowhere, "no memory for a profile");
    engine->trace = p->trace;
    if (!o->profile_file) return true;
    if (!kd_outfile_open(&p->file, o->profile_file, a, d)) return false;
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", p->file.stream);
    return true;
}

void kd_profile_run(KdProfile *p, const KdCompiled *c, FILE *out) {
    if (!p->trace) return;
    KdArena *a = kd_arena_create();
    Roof roof = measure_roof(c);
    int n;
    KdKernelProfile *list = kd_profile_kernels(c, &n, a);
    p->runs++;
    if (p->file.stream) put_spans(p, c, n, list, &roof);
    print_table(c, n, list, &roof, out);
    kdrt_trace_reset(p->trace);
    kd_arena_destroy(a);
}

bool kd_profile_close(KdProfile *p, bool good, KdDiag *d) {
    kdrt_trace_destroy(p->trace);
    p->trace = NULL;
    if (!p->file.stream) return true;
    fputs("\n]}\n", p->file.stream);
    if (good && p->lost) kd_error(d, nowhere, "no memory for the spans of a profile");
    bool written = kd_outfile_close(&p->file, good && !p->lost, d);
    p->file.stream = NULL;
    return written || !good;
}
