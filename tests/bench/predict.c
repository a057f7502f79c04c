/*
 * kdc as a contestant of ./dev bench --predict: ships a network of networks.lua as a shared library
 * with its weights inside, as `kdc --emit=shared --weights` does, loads that and calls
 * SYMBOL_predict on one batch that lies ready. Weights and images come from the integer formula;
 * the peers read the same weights from a file.
 */
#include "backend/predict.h"
#include "frontend/linker.h"
#include "frontend/ship.h"
#include "runtime/host/progress.h"
#include "runtime/host/safetensors.h"
#include "tests/bench/bench.h"
#include "tests/numeric/formula.h"

#include <dlfcn.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef int Predict(const float *x, int n, float *logits, const void *weights, void *scratch);

typedef struct Shipped {
    const char *network, *weights, *folder, *object, *library;
    KdType input;
    int batch;
    KdArena *arena;
    Predict *predict;
    float *x, *logits;
    void *scratch;
    int64_t classes;
} Shipped;

/* --- weights -------------------------------------------------------------------------------- */

bool predict_write_weights(const KdRun *run, const char *path) {
    const KdModule *m = run->module;
    KdArena *a = kd_arena_create();
    float *slab = KD_NEW_ARRAY(a, float, kd_slab_elements(m, run->network));
    formula_params(m, run->network, 1, slab);
    KdrtTensors file = { .tensors = KD_NEW_ARRAY(a, KdrtTensor, m->nparams) };
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (strcmp(p->network, run->network) != 0) continue;
        KdrtTensor *to = &file.tensors[file.ntensors++];
        *to = (KdrtTensor){ .name = p->name, .dtype = "F32", .rank = p->type.rank };
        to->data = slab + kd_slab_offset(m, p);
        to->bytes = (size_t)kd_type_bytes(p->type, 0, 0);
        memcpy(to->dim, p->type.dim, sizeof to->dim);
    }
    KdrtError error;
    bool written = kdrt_tensors_write(path, &file, &error);
    if (!written) fprintf(stderr, "bench: %s\n", error.text);
    kd_arena_destroy(a);
    return written;
}

/* --- the library ---------------------------------------------------------------------------- */

static double size_of_file(const char *path) {
    FILE *f = fopen(path, "rb");
    long size = f && !fseek(f, 0, SEEK_END) ? ftell(f) : 0;
    if (f) fclose(f);
    return (double)size;
}

/* The number behind `#define NET_<name>` in the header. */
static long header_number(const char *path, const char *name) {
    char line[512], wanted[64];
    long number = 0;
    FILE *f = fopen(path, "r");
    snprintf(wanted, sizeof wanted, "#define NET_%s %%ld", name);
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, wanted, &number) == 1) break;
    if (f) fclose(f);
    return number;
}

/* Writes FOLDER/net.o, net.h and net.so. */
static bool ship(Shipped *s, KdDiag *d) {
    const KdScriptOptions all = { -1, -1, -1, -1, 0, NULL, NULL };
    KdScript *script = kd_script_load(KD_BENCH_DIR "/networks.lua", &all, d);
    KdRun *run = script ? kd_script_run(script, s->network) : NULL;
    KdOptions o = { .emit = "obj", .output = s->object, .weights = s->weights, .symbol = "net" };
    bool shipped = run && kd_ship(run, &o, s->arena, d);
    if (shipped) s->input = run->data->input;
    if (script) kd_script_destroy(script);
    const char *args[] = { "-shared", s->object, "-o", s->library, NULL };
    return shipped && kd_link("cc", args, d);
}

/* Images as the peers have them: [row, height, width, channel] of the formula, channels in front.
 */
static void fill(Shipped *s) {
    int64_t c = s->input.dim[1], hw = s->input.dim[2] * s->input.dim[3];
    for (int64_t k = 0; k < s->batch * c * hw; k++) {
        int64_t row = k / (c * hw), channel = k / hw % c, pixel = k % hw;
        uint32_t at = (uint32_t)((row * hw + pixel) * c + channel);
        s->x[k] = (float)(formula_word(at, 100) >> 24) / 255;
    }
}

static bool prepare(Shipped *s, KdDiag *d) {
    s->object = kd_arena_format(s->arena, "%s/net.o", s->folder);
    s->library = kd_arena_format(s->arena, "%s/net.so", s->folder);
    const char *header = kd_arena_format(s->arena, "%s/net.h", s->folder);
    if (!ship(s, d)) return false;
    void *handle = dlopen(s->library, RTLD_NOW);
    void *symbol = handle ? dlsym(handle, "net_predict") : NULL;
    if (!symbol) return false;
    memcpy(&s->predict, &symbol, sizeof symbol);
    s->classes = header_number(header, "CLASSES");
    s->x = kdrt_alloc((size_t)kd_type_elements(s->input, s->batch, 1) * sizeof(float));
    s->logits = kdrt_alloc((size_t)(s->batch * s->classes) * sizeof(float));
    s->scratch = kdrt_alloc((size_t)header_number(header, "SCRATCH_BYTES"));
    if (s->x) fill(s);
    return s->x && s->logits && s->scratch;
}

/* --- the talk ------------------------------------------------------------------------------- */

static bool call(const Shipped *s) {
    return s->predict(s->x, s->batch, s->logits, NULL, s->scratch) == KD_PREDICT_OK;
}

/* Mean square of the logits. */
static double check(const Shipped *s) {
    double sum = 0;
    int64_t n = s->batch * s->classes;
    for (int64_t k = 0; k < n; k++) sum += (double)s->logits[k] * (double)s->logits[k];
    return sum / (double)n;
}

static int serve(Shipped *s) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        double seconds = atof(line + strlen("run ")), start = kdrt_seconds();
        int64_t calls = 0;
        do {
            for (int k = 0; k < 8; k++) call(s);
            calls += 8;
        } while (kdrt_seconds() - start < seconds);
        printf("%.7f %.9g\n", 1e3 * (kdrt_seconds() - start) / (double)calls, check(s));
        fflush(stdout);
    }
    return 0;
}

static bool read_options(Shipped *s, int argc, char **argv) {
    static const struct option options[] = {
        { "network", 1, NULL, 'n' },   { "weights", 1, NULL, 'W' }, { "batch", 1, NULL, 'b' },
        { "optimizer", 1, NULL, '-' }, { "threads", 1, NULL, '-' }, { "rows", 1, NULL, '-' },
        { "steps", 1, NULL, '-' },     { "width", 1, NULL, '-' },   { NULL, 0, NULL, 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'n': s->network = optarg; break;
        case 'W': s->weights = optarg; break;
        case 'b': s->batch = atoi(optarg); break;
        case '-': break; /* of training */
        default: return false;
        }
    }
    s->folder = getenv("XDG_CACHE_HOME");
    return s->network && s->weights && s->folder && s->batch > 0;
}

int predict_main(int argc, char **argv) {
    Shipped s = { 0 };
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    if (!read_options(&s, argc, argv)) {
        printf("error kd-bench --predict-worker: a bad command line\n");
        return 2;
    }
    s.arena = kd_arena_create();
    mkdir(s.folder, 0700);
    double start = kdrt_seconds();
    if (!prepare(&s, &d)) {
        printf("error does not compile\n");
        return 1;
    }
    double seconds = kdrt_seconds() - start;
    bool ready = true;
    for (int k = 0; k < 20; k++) ready = ready && call(&s);
    printf(ready ? "ready %.6f 1 kdc %.0f\n" : "error does not run\n", seconds,
           size_of_file(s.object));
    fflush(stdout);
    return ready ? serve(&s) : 1;
}
