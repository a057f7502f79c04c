/*
 * ./dev bench: milliseconds per training step of three networks at batch 128, kdc beside itself
 * with one optional pass left out, beside its OpenBLAS contractions, and beside PyTorch where a
 * Python has it. Contestants take turns within each repetition, so that a machine that slows down
 * slows all of them; the table shows medians. The machine's FMA peak is measured in every
 * repetition too.
 */
#include "frontend/driver/train.h"
#include "passes/pass.h"
#include "runtime/host/blas.h"
#include "tests/bench/peak.h"
#include "tests/bench/torch.h"
#include "tests/numeric/formula.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 128, ROWS = 5120, MAX_CONTESTANTS = 16, MAX_REPEATS = 51 };

/* Multiplications of the forward pass of one image, per layer. */
typedef struct Network {
    const char *name; /* in networks.lua and pytorch.py */
    double macs[6];
} Network;

static const Network networks[] = {
    { "mlp_800", { 784.0 * 800, 800.0 * 800, 800 * 10 } },
    { "mlp_30", { 784 * 30, 30 * 30, 30 * 10 } },
    { "lenet", { 24 * 24 * 20 * 25, 8.0 * 8 * 50 * 500, 800 * 500, 500 * 10 } },
};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

/* Of one step: a multiplication and an addition, for the output, the weights' gradient and, but for
 * the first layer, the input's gradient. */
static double flops_per_step(const Network *n) {
    double all = 0;
    for (size_t k = 0; k < sizeof n->macs / sizeof *n->macs; k++) all += n->macs[k];
    return 2 * BATCH * (3 * all - n->macs[0]);
}

typedef struct Settings {
    int threads, repeats;
    double seconds; /* per contestant and repetition */
    const char *only;
} Settings;

/* --- contestants ---------------------------------------------------------------------------- */

typedef struct Contestant {
    char label[64];
    const char *skip[2]; /* a pass left out, or NULL */
    const char *gemm;
    Torch *torch;      /* PyTorch itself, or NULL */
    bool failed, same; /* same: its code is byte for byte the first contestant's */
    KdScript *script;
    KdArena *arena;
    KdCompiled *compiled;
    KdTraining training;
    double ms[MAX_REPEATS];
} Contestant;

static bool prepare(Contestant *c, const Network *net, const KdrtDataset *data, KdrtPool *pool,
                    KdDiag *d) {
    if (c->torch) return true;
    const KdScriptOptions none = { -1, -1, -1, -1, 0, NULL };
    c->script = kd_script_load(KD_BENCH_DIR "/networks.lua", &none, d);
    for (int k = 0; c->script && k < c->script->nlisted; k++) {
        if (strcmp(c->script->listed[k]->name, net->name) != 0) continue;
        KdDriveOptions o = { .skip = c->skip, .gemm = c->gemm, .threads = kdrt_pool_threads(pool) };
        c->arena = kd_arena_create();
        KdEngine engine = { .pool = pool };
        c->compiled = kd_compile_run(c->script->listed[k], &o, &engine, c->arena, d);
    }
    return c->compiled && kd_training_create(&c->training, c->compiled, data, d);
}

static void clean(Contestant *c) {
    if (c->compiled) {
        kd_training_destroy(&c->training);
        kd_compiled_destroy(c->compiled);
    }
    if (c->arena) kd_arena_destroy(c->arena);
    if (c->script) kd_script_destroy(c->script);
}

static bool same_code(const Contestant *a, const Contestant *b) {
    if (!a->compiled || !b->compiled) return false;
    const KdObject *x = a->compiled->object, *y = b->compiled->object;
    bool same = kd_object_count(x) == kd_object_count(y);
    for (int k = 0; same && k < kd_object_count(x); k++) {
        size_t nx = 0, ny = 0;
        const void *px = kd_object_bytes(x, k, &nx), *py = kd_object_bytes(y, k, &ny);
        same = nx == ny && !memcmp(px, py, nx);
    }
    return same;
}

/* Trains whole epochs for about that long; milliseconds per step, or a negative number. */
static double time_kdc(Contestant *c, double seconds, KdDiag *d) {
    KdTraining *t = &c->training;
    KdArena *a = kd_arena_create();
    float loss;
    int32_t unset = 0;
    void *results[2 + KD_MAX_STATES] = { &loss };
    KdBindings b = t->bindings;
    b.index = b.epoch = b.step = &unset;
    void **args = kd_bind_args(&b, c->compiled->step, a, d);
    int32_t first = t->step;
    double start = kdrt_seconds();
    KdrtStatus status = KDRT_OK;
    do {
        kdrt_shuffle(t->order, ROWS, 1, (uint32_t)t->epoch);
        KdrtEpoch e = {
            .frame = kd_frame(c->compiled, c->compiled->step, args, results, 0),
            .args = args,
            .order = t->order,
            .samples = ROWS,
            .batch = BATCH,
            .epoch = t->epoch++,
            .step = t->step,
            .progress_every = 1 << 20,
        };
        status = (KdrtStatus)c->compiled->run_epoch(&e);
        t->step = e.step;
    } while (status == KDRT_OK && kdrt_seconds() - start < seconds);
    double ms = 1e3 * (kdrt_seconds() - start) / (t->step - first);
    kd_arena_destroy(a);
    return status == KDRT_OK ? ms : -1;
}

/* kdc; kdc without each optional pass; kdc with OpenBLAS; PyTorch. */
static int list_contestants(Contestant *c, Torch *torch) {
    int n = 0;
    snprintf(c[n++].label, sizeof c->label, "kdc");
    for (int k = 0; k < kd_pass_count() && n < MAX_CONTESTANTS - 2; k++) {
        const KdPassInfo *pass = kd_pass_at(k);
        if (!pass->optional) continue;
        c[n].skip[0] = pass->name;
        snprintf(c[n++].label, sizeof c->label, "kdc --no-pass=%.40s", pass->name);
    }
    c[n].gemm = "openblas";
    snprintf(c[n++].label, sizeof c->label, "kdc --gemm=openblas");
    if (torch) {
        c[n].torch = torch;
        snprintf(c[n++].label, sizeof c->label, "PyTorch %.20s", torch_version(torch));
    }
    return n;
}

/* --- the table ------------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void print_row(const Network *net, Contestant *c, const Settings *s, double peak) {
    double ms = c->failed || c->same ? 0 : median(c->ms, s->repeats);
    printf("%-8s %7d  %-28s", net->name, s->threads, c->label);
    if (c->failed || c->same) {
        printf(c->same ? " the same code\n" : " does not run\n");
        return;
    }
    double gflops = flops_per_step(net) / ms / 1e6;
    printf(" %9.3f %10.0f %8.1f", ms, 1e3 * (double)BATCH / ms, gflops);
    if (peak > 0)
        printf(" %6.1f %%", 100 * gflops / peak);
    else
        printf("        -");
    if (c->compiled) printf(" %8.0f ms", 1e3 * c->compiled->seconds);
    printf("\n");
}

static void bench_network(const Network *net, const Settings *s, Torch *torch, KdDiag *d) {
    Contestant *c = calloc(MAX_CONTESTANTS, sizeof *c);
    KdrtPool *pool = NULL;
    KdrtDataset data = formula_data(ROWS);
    double peaks[MAX_REPEATS];
    int n = c ? list_contestants(c, torch) : 0;
    if (kdrt_pool_create(s->threads, &pool) != KDRT_OK) n = 0;
    for (int k = 0; k < n; k++) {
        c[k].failed = !prepare(&c[k], net, &data, pool, d);
        c[k].same = k > 0 && same_code(&c[0], &c[k]);
        if (c[k].failed || c[k].same || c[k].torch) continue;
        c[k].failed = time_kdc(&c[k], 0, d) < 0; /* warm */
    }
    for (int repeat = 0; repeat < s->repeats; repeat++) {
        peaks[repeat] = measure_peak(s->threads);
        for (int k = 0; k < n; k++) {
            if (c[k].failed || c[k].same) continue;
            double ms = c[k].torch ? torch_time(torch, net->name, s->threads, s->seconds)
                                   : time_kdc(&c[k], s->seconds, d);
            c[k].ms[repeat] = ms;
            c[k].failed = !(ms > 0);
        }
    }
    double peak = median(peaks, s->repeats);
    for (int k = 0; k < n; k++) {
        print_row(net, &c[k], s, peak);
        clean(&c[k]);
    }
    printf("%-8s %7d  %-28s %9s %10s %8.1f\n\n", "", s->threads, "FMA peak, measured", "", "",
           peak);
    fflush(stdout);
    kdrt_dataset_free(&data);
    kdrt_pool_destroy(pool);
    free(c);
}

/* --- the command ---------------------------------------------------------------------------- */

static const char usage[] =
    "usage: ./dev bench [--threads N] [--repeats N] [--seconds S] [--only NETWORK]\n"
    "Times a training step of mlp_800, mlp_30 and lenet at batch 128, on 1 and on all threads.\n"
    "PyTorch takes part when $KD_PYTHON, build/venv/bin/python or python3 can import torch.\n";

static bool read_settings(int argc, char **argv, Settings *s) {
    static const struct option options[] = { { "threads", 1, NULL, 't' },
                                             { "repeats", 1, NULL, 'r' },
                                             { "seconds", 1, NULL, 's' },
                                             { "only", 1, NULL, 'o' },
                                             { NULL, 0, NULL, 0 } };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't': s->threads = atoi(optarg); break;
        case 'r': s->repeats = atoi(optarg); break;
        case 's': s->seconds = atof(optarg); break;
        case 'o': s->only = optarg; break;
        default: return false;
        }
    }
    return optind == argc && s->repeats >= 1 && s->repeats <= MAX_REPEATS && s->seconds >= 0 &&
           s->threads >= 0 && s->threads <= 256;
}

int main(int argc, char **argv) {
    Settings s = { .repeats = 5, .seconds = 0.3 };
    if (!read_settings(argc, argv, &s)) {
        fputs(usage, stderr);
        return 2;
    }
    KdDiag d;
    KdrtError error = { "" };
    kd_diag_init(&d, stderr, false);
    if (!kdrt_blas_start(&error)) fprintf(stderr, "%s\n", error.text);
    Torch *torch = torch_start(KD_BENCH_DIR "/pytorch.py");
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    printf("%s\n", kdrt_blas_name());
    if (!torch) printf("no Python with torch found: set KD_PYTHON to one\n");
    printf("%-8s %7s  %-28s %9s %10s %8s %8s %11s\n", "network", "threads", "", "ms/step",
           "images/s", "GFLOP/s", "of peak", "to compile");
    for (int many = 0; many < (s.threads || cores == 1 ? 1 : 2); many++) {
        Settings now = s;
        if (!s.threads) now.threads = many ? cores : 1;
        for (int k = 0; k < NETWORKS; k++) {
            if (s.only && strcmp(s.only, networks[k].name) != 0) continue;
            bench_network(&networks[k], &now, torch, &d);
        }
    }
    torch_stop(torch);
    return 0;
}
