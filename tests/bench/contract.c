/*
 * kd-bench-contract: where a training step spends its time, kernel by kernel, and how near each
 * contraction comes to the FMA peak measured in the same run.
 *
 * The step runs as it always does; only kdrt_parallel is wrapped by the linker (--wrap), so that
 * each region's time is noted under the address of its kernel. Kernels of one task are called
 * directly and do not pass there; they are run once more, alone, behind each epoch. Times are those
 * of the quickest call, and the peak is the highest seen: what a disturbed machine disturbs least.
 */
#include "frontend/driver/train.h"
#include "tests/bench/peak.h"
#include "tests/numeric/formula.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 2, MAX_KERNELS = 512 };

/* --- times by kernel -------------------------------------------------------------------------- */

typedef struct Slot {
    KdrtTask *run;
    double seconds; /* of its quickest call */
    bool alone;     /* of one task */
} Slot;

typedef struct Profile {
    int n;
    Slot slot[MAX_KERNELS];
} Profile;

static Profile profile; /* what the wrapped function, which has no other way, writes to */

static Slot *slot_of(KdrtTask *run) {
    int k = 0;
    while (k < profile.n && profile.slot[k].run != run) k++;
    if (k == MAX_KERNELS) return NULL;
    if (k == profile.n) profile.slot[profile.n++] = (Slot){ .run = run };
    return &profile.slot[k];
}

static void note(KdrtTask *run, double seconds) {
    Slot *slot = slot_of(run);
    if (slot && (slot->seconds == 0 || seconds < slot->seconds)) slot->seconds = seconds;
}

void __real_kdrt_parallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks);
void __wrap_kdrt_parallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks);
void __wrap_kdrt_parallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks) {
    double start = kdrt_seconds();
    __real_kdrt_parallel(frame, run, ntasks);
    note(run, kdrt_seconds() - start);
}

/* --- work ------------------------------------------------------------------------------------- */

static int64_t extent_of(int64_t extent, int64_t batch) {
    return extent == KD_BATCH ? batch : extent;
}

/* Multiplications and additions a contraction needs. Where a gradient reaches over the edges of
 * what it reads (a window's adjoint), only as many of its columns as there are elements to read. */
static double contraction_flops(const KdInstr *op, int64_t batch) {
    const KdContract *x = op->contract;
    KdType t = op->results[0]->type;
    double flops = 2;
    for (int d = 0; d < t.rank; d++) flops *= (double)extent_of(t.dim[d], batch);
    for (int k = 0; k < x->nover; k++) flops *= (double)extent_of(x->over[k], batch);
    for (int side = 0; side < 2; side++) {
        KdType from = op->args[side]->type;
        const KdAccess *access = side ? &x->b : &x->a;
        for (int d = 0; d < from.rank; d++) {
            const KdIndex *at = &access->dim[d];
            if (at->nterms != 2) continue;
            for (int k = 0; k < 2; k++) {
                int it = at->term[k].iter;
                int64_t have = extent_of(from.dim[d], batch);
                bool adjoint = it < t.rank && at->term[k].coeff == 1 && have > 0 &&
                               extent_of(t.dim[it], batch) > have;
                if (adjoint) flops *= (double)have / (double)extent_of(t.dim[it], batch);
            }
        }
    }
    return flops;
}

static double kernel_flops(const KdInstr *kernel, int64_t batch) {
    double flops = 0;
    KD_EACH_INSTR(i, kernel->body)
    if (i->op == KD_OP_CONTRACT) flops += contraction_flops(i, batch);
    return flops;
}

/* --- a run ------------------------------------------------------------------------------------ */

typedef struct Settings {
    int threads, repeats, batch;
    bool all; /* rows for kernels without contractions too */
    const char *only, *gemm;
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

/* Kernels that the wrapped function has not seen have one task: they run again, timed. */
static void time_lone_kernels(const KdCompiled *c, const KdrtFrame *frame) {
    KD_EACH_INSTR(i, c->step) {
        if (i->op != KD_OP_KERNEL || kernel_flops(i, 1) == 0) continue;
        char name[256];
        snprintf(name, sizeof name, "%s.%s", c->step->name, i->results[0]->name);
        void *symbol = kd_jit_symbol(c->jit, name);
        KdrtTask *run;
        memcpy(&run, &symbol, sizeof run);
        if (!run) continue;
        Slot *slot = slot_of(run);
        if (!slot || (slot->seconds > 0 && !slot->alone)) continue;
        slot->alone = true;
        for (int k = 0; k < STEPS; k++) {
            double start = kdrt_seconds();
            run(frame, 0, 0);
            note(run, kdrt_seconds() - start);
        }
    }
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
    if (status == KDRT_OK) time_lone_kernels(t->c, &e.frame);
    kd_arena_destroy(a);
    return status == KDRT_OK ? seconds : -1;
}

/* --- the table -------------------------------------------------------------------------------- */

static void print_share(double flops, double seconds, double peak) {
    if (flops > 0) printf(" %9.1f", flops / seconds / 1e9);
    if (flops > 0 && peak > 0) printf(" %6.1f %%", 100 * flops / seconds / 1e9 / peak);
    printf("\n");
}

/* Seconds a call of phase number `phase` of the kernel, or 0 when it was never seen. */
static double kernel_seconds(const KdCompiled *c, const KdInstr *i, int phase) {
    char name[256];
    if (phase)
        snprintf(name, sizeof name, "%s.%s.%d", c->step->name, i->results[0]->name, phase);
    else
        snprintf(name, sizeof name, "%s.%s", c->step->name, i->results[0]->name);
    void *symbol = kd_jit_symbol(c->jit, name);
    for (int k = 0; symbol && k < profile.n; k++)
        if (memcmp(&profile.slot[k].run, &symbol, sizeof symbol) == 0)
            return profile.slot[k].seconds;
    return 0;
}

static void print_kernels(const char *net, const KdCompiled *c, const Settings *s, double peak) {
    KD_EACH_INSTR(i, c->step) {
        if (i->op != KD_OP_KERNEL) continue;
        double flops = kernel_flops(i, s->batch), seconds = 0;
        for (int phase = 0; phase < 4; phase++) seconds += kernel_seconds(c, i, phase);
        if (seconds == 0 || (flops == 0 && !s->all)) continue;
        char text[KD_TYPE_TEXT];
        const KdValue *v = i->results[0];
        printf("%-14s %-28.28s %-22s %10.1f", net, v->name, kd_type_text(v->type, text),
               seconds * 1e6);
        print_share(flops, seconds, peak);
    }
}

static void print_step(const char *net, const KdCompiled *c, const Settings *s, double seconds,
                       double peak) {
    double flops = 0;
    KD_EACH_INSTR(i, c->step)
    if (i->op == KD_OP_KERNEL) flops += kernel_flops(i, s->batch);
    printf("%-14s %-28s %-22s %10.1f", net, "step", "", seconds * 1e6);
    print_share(flops, seconds, peak);
    printf("%-14s %-28s %-22s %10s %9.1f\n\n", net, "FMA peak, measured", "", "", peak);
    fflush(stdout);
}

static void bench_run(const KdRun *run, const Settings *s, KdrtPool *pool, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdrtDataset data = data_for(run, (int64_t)STEPS * s->batch);
    KdDriveOptions o = { .gemm = s->gemm, .threads = s->threads };
    KdEngine engine = { .pool = pool };
    KdCompiled *c = kd_compile_run(run, &o, &engine, a, d);
    KdTraining t;
    profile.n = 0;
    if (c && kd_training_create(&t, c, &data, d)) {
        double peak = 0, least = run_epoch(&t, s, d);
        for (int k = 0; least >= 0 && k < s->repeats; k++) {
            double now = measure_peak(s->threads), seconds = run_epoch(&t, s, d);
            peak = now > peak ? now : peak;
            least = seconds < least ? seconds : least;
        }
        if (least >= 0) print_kernels(run->name, c, s, peak);
        if (least >= 0) print_step(run->name, c, s, least, peak);
        kd_training_destroy(&t);
    }
    kd_compiled_destroy(c);
    kdrt_dataset_free(&data);
    kd_arena_destroy(a);
}

/* --- the command ------------------------------------------------------------------------------ */

static const char usage[] =
    "usage: kd-bench-contract [--threads N] [--batch N] [--repeats N] [--only NET] [--all]\n"
    "                         [--gemm HOW] [SCRIPT]\n"
    "Times each contraction of a training step, and with --all every kernel of several tasks.\n";

static bool read_settings(int argc, char **argv, Settings *s) {
    static const struct option options[] = { { "threads", 1, NULL, 't' }, { "batch", 1, NULL, 'b' },
                                             { "repeats", 1, NULL, 'r' }, { "only", 1, NULL, 'o' },
                                             { "gemm", 1, NULL, 'g' },    { "all", 0, NULL, 'a' },
                                             { NULL, 0, NULL, 0 } };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't': s->threads = atoi(optarg); break;
        case 'b': s->batch = atoi(optarg); break;
        case 'r': s->repeats = atoi(optarg); break;
        case 'o': s->only = optarg; break;
        case 'g': s->gemm = optarg; break;
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
    const KdScriptOptions o = { -1, s.batch, -1, -1, 0, NULL };
    KdScript *script =
        kd_script_load(optind < argc ? argv[optind] : KD_BENCH_DIR "/contract.lua", &o, &d);
    KdrtPool *pool = NULL;
    if (!script || kdrt_pool_create(s.threads, &pool) != KDRT_OK) return 1;
    printf("%-14s %-28s %-22s %10s %9s %8s\n", "net", "kernel", "result", "us", "GFLOP/s",
           "of peak");
    for (int k = 0; k < script->nlisted; k++)
        if (!s.only || strcmp(s.only, script->listed[k]->name) == 0)
            bench_run(script->listed[k], &s, pool, &d);
    kdrt_pool_destroy(pool);
    kd_script_destroy(script);
    return 0;
}
