/*
 * kdc as a contestant of ./dev bench: compiles one run of networks.lua and trains it when asked.
 * The loop is the generated one, over bytes gathered by a shuffled order, with noise and the loss's
 * sum, as in `kdc --jit`; only validation and files are missing. Images and the teacher's logits
 * come from an integer formula that the peers compute too.
 */
#include "frontend/driver/train.h"
#include "runtime/host/blas.h"
#include "tests/bench/bench.h"
#include "tests/numeric/formula.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

typedef struct Worker {
    const char *network, *optimizer, *gemm;
    const char *skip[2]; /* a pass left out, or NULL */
    int threads, teacher;
    int64_t batch, rows, steps, width;
    KdArena *arena;
    KdrtPool *pool;
    KdCompiled *compiled;
    KdTraining training;
    KdrtDataset data;
    void **args;
    void *results[2 + KD_MAX_STATES];
    float loss;
    int32_t unset;
} Worker;

static bool read_options(Worker *w, int argc, char **argv) {
    static const struct option options[] = {
        { "network", 1, NULL, 'n' }, { "optimizer", 1, NULL, 'o' }, { "threads", 1, NULL, 't' },
        { "batch", 1, NULL, 'b' },   { "rows", 1, NULL, 'r' },      { "steps", 1, NULL, 's' },
        { "width", 1, NULL, 'w' },   { "skip", 1, NULL, 'k' },      { "gemm", 1, NULL, 'g' },
        { "teacher", 1, NULL, 'T' }, { NULL, 0, NULL, 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'n': w->network = optarg; break;
        case 'o': w->optimizer = optarg; break;
        case 't': w->threads = atoi(optarg); break;
        case 'b': w->batch = atol(optarg); break;
        case 'r': w->rows = atol(optarg); break;
        case 's': w->steps = atol(optarg); break;
        case 'w': w->width = atol(optarg); break;
        case 'k': w->skip[0] = optarg; break;
        case 'g': w->gemm = optarg; break;
        case 'T': w->teacher = atoi(optarg); break;
        default: return false;
        }
    }
    return w->network && w->rows >= w->steps * w->batch && w->steps > 0 && w->batch > 0;
}

/* --- data ----------------------------------------------------------------------------------- */

/* Bytes of the input's shape; labels, which logit regression never reads, are 0. */
static KdrtDataset make_data(const KdType *input, int64_t rows) {
    KdrtDataset data = {
        .x = { .dtype = KDRT_U8, .rank = input->rank, .dim = { rows } },
        .y = { .dtype = KDRT_U8, .rank = 1, .dim = { rows } },
        .train = { 0, rows },
    };
    int64_t bytes = rows;
    for (int k = 1; k < input->rank; k++) bytes *= data.x.dim[k] = input->dim[k];
    uint8_t *x = data.x.data = kdrt_alloc((size_t)bytes);
    data.y.data = kdrt_alloc((size_t)rows);
    for (int64_t k = 0; x && k < bytes; k++) x[k] = (uint8_t)(formula_word((uint32_t)k, 100) >> 24);
    return data;
}

/* The teacher's weights, and a table of logits in [-4, 4) where it was hoisted. */
static bool bind_teacher(Worker *w) {
    const KdModule *m = w->compiled->m;
    const char *network = w->compiled->run->teachers[0]->network;
    float *slab = kdrt_alloc((size_t)kd_slab_elements(m, network) * sizeof *slab);
    if (!slab) return false;
    formula_params(m, network, 200, slab);
    kd_bind(&w->training.bindings, kd_arena_format(w->arena, "%s.params", network), slab);
    for (int k = 0; k < w->compiled->step->nargs; k++) {
        const KdValue *v = w->compiled->step->args[k];
        if (!v->kind || strcmp(v->kind, KD_ARG_DATA) != 0) continue;
        if (v->type.dtype != KD_F32 || v->type.rank != 2) continue;
        int64_t count = w->rows * v->type.dim[1];
        float *table = kdrt_alloc((size_t)count * sizeof *table);
        if (!table) return false;
        for (int64_t j = 0; j < count; j++) table[j] = 4 * formula_unit((uint32_t)j, 101);
        kd_bind(&w->training.bindings, v->name, table);
    }
    return true;
}

/* --- training ------------------------------------------------------------------------------- */

/* One epoch of w->steps steps; the mean loss, or a negative number. */
static double train_epoch(Worker *w) {
    KdTraining *t = &w->training;
    kdrt_shuffle(t->order, w->rows, 1, (uint32_t)t->epoch);
    KdrtEpoch e = {
        .frame = kd_frame(w->compiled, w->compiled->step, w->args, w->results, 0),
        .args = w->args,
        .order = t->order,
        .samples = w->steps * w->batch,
        .batch = (int32_t)w->batch,
        .epoch = t->epoch++,
        .step = t->step,
        .progress_every = 1 << 20,
    };
    if (w->compiled->run_epoch(&e) != KDRT_OK) return -1;
    t->step = e.step;
    return e.loss_sum / (double)e.done;
}

static bool compile(Worker *w, KdDiag *d) {
    const char *const sets[] = {
        kd_arena_format(w->arena, "adam=%d", !strcmp(w->optimizer, "adam")),
        kd_arena_format(w->arena, "width=%lld", (long long)w->width),
        kd_arena_format(w->arena, "teacher=%d", w->teacher),
    };
    const KdScriptOptions o = { -1, w->batch, -1, -1, 3, sets, NULL };
    KdScript *script = kd_script_load(KD_BENCH_DIR "/networks.lua", &o, d);
    KdRun *run = script ? kd_script_run(script, w->network) : NULL;
    if (!run || kdrt_pool_create(w->threads, &w->pool) != KDRT_OK) return false;
    KdDriveOptions options = { .skip = w->skip, .gemm = w->gemm, .threads = w->threads };
    KdEngine engine = { .pool = w->pool };
    w->compiled = kd_compile_run(run, &options, &engine, w->arena, d);
    return w->compiled != NULL;
}

static bool prepare(Worker *w, KdDiag *d) {
    w->data = make_data(&w->compiled->run->data->input, w->rows);
    if (!w->data.x.data || !kd_training_create(&w->training, w->compiled, &w->data, d))
        return false;
    if (!bind_teacher(w)) return false;
    KdBindings *b = &w->training.bindings;
    b->index = b->epoch = b->step = &w->unset;
    w->results[0] = &w->loss;
    w->args = kd_bind_args(b, w->compiled->step, w->arena, d);
    return true;
}

/* FNV-1a of the object code: two contestants of the same hash run the same instructions. */
static unsigned long code_hash(const KdObject *o) {
    uint64_t h = 14695981039346656037u;
    for (int k = 0; k < kd_object_count(o); k++) {
        size_t size = 0;
        const unsigned char *bytes = kd_object_bytes(o, k, &size);
        for (size_t j = 0; j < size; j++) h = (h ^ bytes[j]) * 1099511628211u;
    }
    return (unsigned long)h;
}

static int serve(Worker *w) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        double seconds = atof(line + strlen("run ")), start = kdrt_seconds(), loss;
        int32_t first = w->training.step;
        do loss = train_epoch(w);
        while (loss >= 0 && kdrt_seconds() - start < seconds);
        double ms = 1e3 * (kdrt_seconds() - start) / (w->training.step - first);
        if (!(loss >= 0)) {
            printf("error the loss is not finite\n");
            return 1;
        }
        printf("%.6f %.6f\n", ms, loss);
        fflush(stdout);
    }
    return 0;
}

int worker_main(int argc, char **argv) {
    Worker w = { .optimizer = "sgd", .threads = 1, .batch = 128, .width = 800 };
    KdDiag d;
    KdrtError unsaid = { "" };
    kd_diag_init(&d, stderr, false);
    if (!read_options(&w, argc, argv)) {
        printf("error kd-bench --worker: a bad command line\n");
        return 2;
    }
    kdrt_blas_start(&unsaid);
    w.arena = kd_arena_create();
    double start = kdrt_seconds();
    bool ready = compile(&w, &d);
    double seconds = kdrt_seconds() - start;
    ready = ready && prepare(&w, &d);
    double times[2] = { 0, 0 };
    for (int k = 0; ready && k < 2; k++) {
        double before = kdrt_seconds();
        ready = train_epoch(&w) >= 0;
        times[k] = kdrt_seconds() - before;
    }
    if (!ready) {
        printf("error does not compile or train\n");
        return 1;
    }
    if (times[0] > times[1]) seconds += times[0] - times[1]; /* what the first epoch cost more */
    printf("ready %.6f %lx kdc\n", seconds, code_hash(w.compiled->object));
    fflush(stdout);
    return serve(&w);
}
