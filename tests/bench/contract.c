/*
 * kd-bench-contract: where a training step spends its time, kernel by kernel, and how near each
 * contraction comes to the FMA peak measured in the same run.
 *
 * The step is compiled as --profile has it, so that every kernel is timed where it runs. Times are
 * those of the quickest call, and the peak is the highest seen: what a disturbed machine disturbs
 * least.
 */
#include "frontend/driver/profile.h"
#include "frontend/driver/train.h"
#include "runtime/host/peak.h"
#include "tests/numeric/formula.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 2 };

/* --- a run ------------------------------------------------------------------------------------ */

typedef struct Settings {
    int threads, repeats, batch;
    bool all; /* rows for kernels without contractions too */
    const char *only, *gemm, *precision;
} Settings;

static KdrtDataset data_for(const KdRun *run, int64_t rows) {
    const int64_t *dim = &run->data->input.dim[1];
    KdrtDataset data = {
        .x = { .dtype = KDRT_U8, .rank = 4, .dim = { rows, dim[0], dim[1], dim[2] } },
        .y = { .dtype = KDRT_U8, .rank = 1, .dim = { rows } },
        .train = { 0, rows },
    };
    int64_t count = rows * dim[0] * dim[1] * dim[2];
    uint8_t *x = data.x.data = kdrt_alloc((size_t)count);
    uint8_t *y = data.y.data = kdrt_alloc((size_t)rows);
    for (int64_t k = 0; k < count; k++) x[k] = (uint8_t)(formula_word((uint32_t)k, 100) >> 24);
    for (int64_t k = 0; k < rows; k++) y[k] = (uint8_t)(formula_word((uint32_t)k, 101) % 10);
    return data;
}

/* One epoch of STEPS steps; seconds a step, or a negative number. */
static double run_epoch(KdTraining *t, const Settings *s, KdDiag *d) {
    KdArena *a = kd_arena_create();
    float loss;
    int32_t unset = 0;
    void *results[2 + KD_MAX_STATES] = { &loss };
    KdBindings b = t->bindings;
    b.index = b.epoch = b.step = &unset;
    void **args = kd_bind_args(&b, t->c->step, a, d);
    kdrt_shuffle(t->order, STEPS * s->batch, 1, (uint32_t)t->epoch);
    KdrtEpoch e = {
        .frame = kd_frame(t->c, t->c->step, args, results, 0),
        .args = args,
        .order = t->order,
        .samples = (int64_t)STEPS * s->batch,
        .batch = s->batch,
        .epoch = t->epoch++,
        .progress_every = 1 << 20,
    };
    double start = kdrt_seconds();
    KdrtStatus status = (KdrtStatus)t->c->run_epoch(&e);
    double seconds = (kdrt_seconds() - start) / (double)STEPS;
    kd_arena_destroy(a);
    return status == KDRT_OK ? seconds : -1;
}

/* --- the table -------------------------------------------------------------------------------- */

static void print_share(double flops, double seconds, double peak) {
    if (flops > 0) printf(" %9.1f", flops / seconds / 1e9);
    if (flops > 0 && peak > 0) printf(" %6.1f %%", 100 * flops / seconds / 1e9 / peak);
    printf("\n");
}

static void print_kernels(const char *net, const KdCompiled *c, const Settings *s, double peak) {
    KdArena *a = kd_arena_create();
    int n;
    KdKernelProfile *list = kd_profile_kernels(c, &n, a);
    for (int k = 0; k < n; k++) {
        double flops = list[k].cost.contraction;
        if (list[k].f != c->step || (flops == 0 && !s->all)) continue;
        char text[KD_TYPE_TEXT];
        const KdValue *v = list[k].kernel->results[0];
        printf("%-14s %-28.28s %-22s %10.1f", net, v->name, kd_type_text(v->type, text),
               list[k].least * 1e6);
        print_share(flops, list[k].least, peak);
    }
    kd_arena_destroy(a);
}

static void print_step(const char *net, const KdCompiled *c, const Settings *s, double seconds,
                       double peak) {
    double flops = 0;
    KD_EACH_INSTR(i, c->step)
    if (i->op == KD_OP_KERNEL) flops += kd_cost(i, s->batch).contraction;
    printf("%-14s %-28s %-22s %10.1f", net, "step", "", seconds * 1e6);
    print_share(flops, seconds, peak);
    printf("%-14s %-28s %-22s %10s %9.1f\n\n", net, "FMA peak, measured", "", "", peak);
    fflush(stdout);
}

static void bench_run(const KdRun *run, const Settings *s, KdrtPool *pool, KdDiag *d) {
    KdArena *a = kd_arena_create();
    if (s->precision)
        kd_attr_set_str(run->module->arena, &run->module->program, "precision", s->precision);
    KdrtDataset data = data_for(run, (int64_t)STEPS * s->batch);
    KdDriveOptions o = { .gemm = s->gemm, .threads = s->threads };
    KdEngine engine = { .pool = pool, .trace = kdrt_trace_create(s->threads, 0) };
    KdCompiled *c = kd_compile_run(run, &o, &engine, a, d);
    KdTraining t;
    if (c && kd_training_create(&t, c, &data, d)) {
        double peak = 0, least = run_epoch(&t, s, d);
        for (int k = 0; least >= 0 && k < s->repeats; k++) {
            double now = kdrt_peak_flops(s->threads), seconds = run_epoch(&t, s, d);
            peak = now > peak ? now : peak;
            least = seconds < least ? seconds : least;
        }
        if (least >= 0) print_kernels(run->name, c, s, peak);
        if (least >= 0) print_step(run->name, c, s, least, peak);
        kd_training_destroy(&t);
    }
    kd_compiled_destroy(c);
    kdrt_trace_destroy(engine.trace);
    kdrt_dataset_free(&data);
    kd_arena_destroy(a);
}

/* --- regions ---------------------------------------------------------------------------------- */

#define TASK_SECONDS 20e-6

static void keep_busy(const KdrtFrame *frame, int32_t task, int32_t worker) {
    (void)frame;
    (void)task;
    (void)worker;
    for (double start = kdrt_seconds(); kdrt_seconds() - start < TASK_SECONDS;) {
    }
}

/* What a parallel region costs beyond its tasks, of which each worker has one: the mean of the
 * quickest run of many regions. */
static void bench_region(KdrtPool *pool, int threads) {
    const int regions = 200, runs = 20;
    const KdrtFrame frame = { .pool = pool };
    double least = 0;
    for (int k = 0; k < runs; k++) {
        double start = kdrt_seconds();
        for (int r = 0; r < regions; r++) kdrt_parallel(&frame, keep_busy, threads);
        double seconds = (kdrt_seconds() - start) / regions - TASK_SECONDS;
        least = k == 0 || seconds < least ? seconds : least;
    }
    printf("%-14s %-28s %-22s %10.2f\n", "", "parallel region", "", least * 1e6);
}

/* --- the command ------------------------------------------------------------------------------ */

static const char usage[] =
    "usage: kd-bench-contract [--threads N] [--batch N] [--repeats N] [--only NET] [--all]\n"
    "                         [--gemm HOW] [--precision TYPE] [SCRIPT]\n"
    "Times each contraction of a training step, and with --all every kernel.\n";

static bool read_settings(int argc, char **argv, Settings *s) {
    static const struct option options[] = {
        { "threads", 1, NULL, 't' },   { "batch", 1, NULL, 'b' }, { "repeats", 1, NULL, 'r' },
        { "precision", 1, NULL, 'p' }, { "only", 1, NULL, 'o' },  { "gemm", 1, NULL, 'g' },
        { "all", 0, NULL, 'a' },       { NULL, 0, NULL, 0 }
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't': s->threads = atoi(optarg); break;
        case 'b': s->batch = atoi(optarg); break;
        case 'r': s->repeats = atoi(optarg); break;
        case 'o': s->only = optarg; break;
        case 'g': s->gemm = optarg; break;
        case 'p': s->precision = optarg; break;
        case 'a': s->all = true; break;
        default: return false;
        }
    }
    return s->threads >= 1 && s->threads <= 256 && s->batch >= 1 && s->batch <= 4096 &&
           s->repeats >= 1 && optind + 1 >= argc;
}

int main(int argc, char **argv) {
    Settings s = { .threads = 1, .repeats = 20, .batch = 128 };
    if (!read_settings(argc, argv, &s)) {
        fputs(usage, stderr);
        return 2;
    }
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    const KdScriptOptions o = { -1, s.batch, -1, -1, 0, NULL, NULL };
    KdScript *script =
        kd_script_load(optind < argc ? argv[optind] : KD_BENCH_DIR "/contract.lua", &o, &d);
    KdrtPool *pool = NULL;
    if (!script || kdrt_pool_create(s.threads, &pool) != KDRT_OK) return 1;
    printf("%-14s %-28s %-22s %10s %9s %8s\n", "net", "kernel", "result", "us", "GFLOP/s",
           "of peak");
    for (int k = 0; k < script->nlisted; k++)
        if (!s.only || strcmp(s.only, script->listed[k]->name) == 0)
            bench_run(script->listed[k], &s, pool, &d);
    bench_region(pool, s.threads);
    kdrt_pool_destroy(pool);
    kd_script_destroy(script);
    return 0;
}
