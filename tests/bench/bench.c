/*
 * ./dev bench: training steps of kdc and its peers, in turn, in one run on one machine. The cases
 * are networks of networks.lua by thread counts, batch sizes and optimisers; within a case all
 * contestants are started one after another, and then each trains a little in every repetition, so
 * that a machine that slows down slows all of them. The table shows medians, and the highest FMA
 * peak that so many threads reached in the same repetitions.
 */
#include "tests/bench/bench.h"
#include "frontend/script.h"
#include "passes/pass.h"
#include "runtime/host/peak.h"
#include "runtime/host/progress.h"

#include <cjson/cJSON.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SIZES = 16, MAX_WIDTH = 65536 };

typedef struct List {
    int n;
    int value[MAX_SIZES];
} List;

typedef struct Settings {
    List threads, batches;
    int repeats, width;
    double seconds, budget; /* per contestant and repetition; per case, once three are done */
    int64_t rows;
    bool quick, ablate, sweep, epoch, predict;
    const char *nets, *optimizer, *json, *self, *python, *cache;
    cJSON *cases;
    int done;
} Settings;

/* --- contestants ---------------------------------------------------------------------------- */

static Contestant *add(Contestant *c, int *n, const char *label) {
    Contestant *made = &c[(*n)++];
    *made = (Contestant){ .cold = -1, .warm = -1 };
    snprintf(made->label, sizeof made->label, "%.60s", label);
    return made;
}

static Contestant *add_kdc(const Settings *s, Contestant *c, int *n, const char *label) {
    Contestant *made = add(c, n, label);
    made->caches = true;
    made->command[0] = s->self;
    made->command[1] = "--worker";
    return made;
}

static Contestant *add_peer(const Settings *s, Contestant *c, int *n, const char *label) {
    Contestant *made = add(c, n, label);
    made->command[0] = s->python;
    return made;
}

static int list_peers(const Settings *s, Contestant *c) {
    int n = 0;
    add_kdc(s, c, &n, "kdc");
    if (!s->python) return n;
    Contestant *eager = add_peer(s, c, &n, "PyTorch eager");
    eager->command[1] = KD_BENCH_DIR "/peers/torch_peer.py";
    Contestant *compiled = add_peer(s, c, &n, "torch.compile");
    compiled->caches = true;
    compiled->command[1] = KD_BENCH_DIR "/peers/torch_peer.py";
    compiled->command[2] = "--compile";
    Contestant *jax = add_peer(s, c, &n, "JAX, lax.scan");
    jax->caches = true;
    jax->command[1] = KD_BENCH_DIR "/peers/jax_peer.py";
    return n;
}

/* Inference: every one of them gets the weights' file. */
static int list_predictors(const Settings *s, Contestant *c, const char *weights) {
    static const struct {
        const char *label, *program, *flag;
    } peers[] = {
        { "ONNX Runtime", KD_BENCH_DIR "/peers/predict_onnx.py", NULL },
        { "PyTorch eager", KD_BENCH_DIR "/peers/predict_torch.py", NULL },
        { "PyTorch, frozen TorchScript", KD_BENCH_DIR "/peers/predict_torch.py", "--freeze" },
        { "torch.compile", KD_BENCH_DIR "/peers/predict_torch.py", "--compile" },
    };
    int n = 0;
    add_kdc(s, c, &n, "kdc")->command[1] = "--predict-worker";
    for (size_t k = 0; s->python && k < sizeof peers / sizeof *peers; k++) {
        Contestant *peer = add_peer(s, c, &n, peers[k].label);
        peer->command[1] = peers[k].program;
        peer->command[4] = peers[k].flag;
    }
    for (int k = 0; k < n; k++) {
        c[k].caches = false;
        c[k].command[2] = "--weights";
        c[k].command[3] = weights;
    }
    return n;
}

/* kdc; kdc without each pass that can be left out, without Winograd's products, with OpenBLAS. */
static int list_ablations(const Settings *s, Contestant *c) {
    int n = 0;
    add_kdc(s, c, &n, "kdc");
    for (int k = 0; k < kd_pass_count() && n < BENCH_CONTESTANTS - 2; k++) {
        if (!kd_pass_at(k)->optional) continue;
        char label[64];
        snprintf(label, sizeof label, "--no-pass=%.40s", kd_pass_at(k)->name);
        Contestant *without = add_kdc(s, c, &n, label);
        without->command[2] = "--skip";
        without->command[3] = kd_pass_at(k)->name;
    }
    static const char *const gemms[][2] = { { "direct", "--gemm=direct" },
                                            { "openblas", "--gemm=openblas" } };
    for (int k = 0; k < 2; k++) {
        Contestant *other = add_kdc(s, c, &n, gemms[k][1]);
        other->command[2] = "--gemm";
        other->command[3] = gemms[k][0];
    }
    for (int k = 0; k < n; k++) {
        Contestant *i = &c[k];
        i->command[i->command[2] ? 4 : 2] = "--teacher"; /* the paper's, so that hoisting shows */
        i->command[i->command[2] && i->command[4] ? 5 : 3] = "1";
        i->caches = false;
    }
    return n;
}

/* --- a case --------------------------------------------------------------------------------- */

static void say(const BenchCase *of, const char *what, const char *whom) {
    const char *end = isatty(STDERR_FILENO) ? "\033[K\r" : "\n";
    fprintf(stderr, "bench: %s, %d thread%s, batch %d: %s %s%s", of->network, of->threads,
            of->threads > 1 ? "s" : "", of->batch, what, whom, end);
}

/* Starts all: those whose code can be cached once without and once with the cache. */
static void start_contestants(Settings *s, const BenchCase *of, Contestant *c, int n) {
    for (int k = 0; k < n; k++) {
        char cache[512];
        snprintf(cache, sizeof cache, "%s/%d-%d", s->cache, s->done, k);
        say(of, "starting", c[k].label);
        if (!contestant_start(&c[k], of, cache)) continue;
        if (c[k].caches && !s->quick) {
            contestant_stop(&c[k]);
            if (!contestant_start(&c[k], of, cache)) continue;
        }
        c[k].same = k > 0 && c[k].hash && c[k].hash == c[0].hash;
        if (c[k].same) contestant_stop(&c[k]);
    }
}

/* Threads that wait for more work spin for a while, to the cost of whoever is next. */
static void let_threads_sleep(void) {
    nanosleep(&(struct timespec){ .tv_nsec = 300 * 1000 * 1000 }, NULL);
}

static void measure_case(Settings *s, BenchCase *of, Contestant *c, int n) {
    int done = 0;
    start_contestants(s, of, c, n);
    double start = kdrt_seconds();
    while (done < s->repeats && (done < 3 || kdrt_seconds() - start < s->budget)) {
        let_threads_sleep();
        double peak = kdrt_peak_flops(of->threads);
        if (peak > of->peak) of->peak = peak;
        done++;
        for (int k = 0; k < n; k++) {
            say(of, "timing", c[k].label);
            let_threads_sleep();
            contestant_run(&c[k], s->seconds);
        }
    }
    for (int k = 0; k < n; k++) contestant_stop(&c[k]);
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\033[K");
}

/* What the network costs, by the compiler's own layer table. */
static void count_work(BenchCase *of, const KdNetwork *network, const KdType *input) {
    KdNetworkCost cost = kd_network_cost(network);
    double first = 0, sample = 1;
    for (int k = network->nlayers - 1; k >= 0; k--) {
        if (network->layers[k]->multiplications > 0)
            first = (double)network->layers[k]->multiplications;
    }
    for (int k = 1; k < input->rank; k++) sample *= (double)input->dim[k];
    int slabs = strcmp(of->optimizer, "adam") ? 3 : 4;
    of->parameters = cost.params;
    of->multiplications = cost.multiplications;
    of->flops = 2 * of->batch * (3 * (double)cost.multiplications - first);
    if (of->predict) of->flops = 2 * of->batch * (double)cost.multiplications;
    of->state_bytes = 4.0 * slabs * (double)cost.params + (double)of->rows * (sample + 4 * 10);
}

/* An epoch of about a third of a second for a contestant at 40 GFLOP/s a thread. */
static void choose_epoch(const Settings *s, BenchCase *of) {
    double steps = 1.2e10 * of->threads / of->flops;
    of->steps = of->rows / of->batch;
    if (!s->epoch && steps < (double)of->steps) of->steps = steps < 1 ? 1 : (int64_t)steps;
}

static bool run_case(Settings *s, BenchCase *of, const char *name, Contestant *c, int *n) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    char width[32];
    snprintf(width, sizeof width, "width=%d", of->width);
    const char *const sets[] = { width };
    const KdScriptOptions o = { -1, of->batch, -1, -1, 1, sets, NULL };
    KdScript *script = kd_script_load(KD_BENCH_DIR "/networks.lua", &o, &d);
    if (!script) return false;
    KdRun *run = kd_script_run(script, name);
    count_work(of, kd_script_network(script, run->network), &run->data->input);
    char weights[512];
    snprintf(weights, sizeof weights, "%s/%s.safetensors", s->cache, name);
    bool written = !s->predict || predict_write_weights(run, weights);
    kd_script_destroy(script);
    if (!written) return false;
    choose_epoch(s, of);
    *n = s->predict  ? list_predictors(s, c, weights)
         : s->ablate ? list_ablations(s, c)
                     : list_peers(s, c);
    measure_case(s, of, c, *n);
    s->done++;
    cJSON_AddItemToArray(s->cases, report_json(of, c, *n));
    return true;
}

/* --- all cases ------------------------------------------------------------------------------ */

static bool is_listed(const char *names, const char *name) {
    size_t length = strlen(name);
    for (const char *at = names; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, name, length) && (at[length] == ',' || !at[length])) return true;
    }
    return false;
}

static BenchCase make_case(const Settings *s, const char *network, int threads, int batch) {
    int64_t rows = s->rows > batch ? s->rows : batch;
    return (BenchCase){ .network = network,
                        .optimizer = s->optimizer,
                        .threads = threads,
                        .batch = batch,
                        .predict = s->predict,
                        .width = s->width,
                        .rows = rows };
}

static bool run_table(Settings *s, const char *network) {
    for (int b = 0; b < s->batches.n; b++) {
        for (int t = 0; t < s->threads.n; t++) {
            Contestant c[BENCH_CONTESTANTS];
            BenchCase of = make_case(s, network, s->threads.value[t], s->batches.value[b]);
            int n = 0;
            if (!run_case(s, &of, network, c, &n)) return false;
            report_case(stdout, &of, c, n, s->ablate);
        }
    }
    return true;
}

/* One network over sizes of its batch, or of its width, at one thread count. */
static bool sweep_over(Settings *s, const char *network, bool width) {
    static const int batches[] = { 16, 32, 64, 128, 256, 512 };
    static const int widths[] = { 100, 200, 400, 800, 1600 };
    int count = width ? 5 : 6;
    double before[BENCH_CONTESTANTS] = { 0 };
    for (int k = 0; k < count; k++) {
        Contestant c[BENCH_CONTESTANTS];
        int size = width ? widths[k] : batches[k], n = 0;
        BenchCase of = make_case(s, network, s->threads.value[0], width ? 128 : size);
        if (width) of.width = size;
        if (!run_case(s, &of, network, c, &n)) return false;
        report_sweep(stdout, &of, (BenchSweep){ width ? "width" : "batch", size, k == 0, before },
                     c, n);
    }
    printf("\n");
    return true;
}

static const char trained[] = "mlp30,mlp800,lenet,svhn_student,cifar_student,nin,resnet20,"
                              "mobilenet";
static const char shipped[] = "student,lenet,mlp800,cifar_student,resnet20";

static bool run_all(Settings *s) {
    static const char *const networks[] = { "student", "mlp30",        "mlp800",
                                            "lenet",   "svhn_student", "cifar_student",
                                            "nin",     "resnet20",     "mobilenet" };
    const char *nets = s->nets ? s->nets : s->predict ? shipped : trained;
    if (!s->sweep) report_header(stdout, s->predict);
    for (size_t k = 0; k < sizeof networks / sizeof *networks; k++) {
        if (!is_listed(nets, networks[k])) continue;
        if (!s->sweep && !run_table(s, networks[k])) return false;
        if (s->sweep && !sweep_over(s, networks[k], false)) return false;
        if (s->sweep && !strcmp(networks[k], "mlp800") && !sweep_over(s, networks[k], true))
            return false;
    }
    return true;
}

/* --- the command ---------------------------------------------------------------------------- */

static const char usage[] =
    "usage: ./dev bench [OPTION]…\n"
    "Times training steps of kdc, PyTorch, torch.compile and JAX in turn and prints medians.\n"
    "  --predict         inference instead: kdc's objects, ONNX Runtime and PyTorch, one thread,\n"
    "                    batches of 1, 16 and 128\n"
    "  --nets A,B        of mlp30, mlp800, lenet, svhn_student, cifar_student, nin, resnet20,\n"
    "                    mobilenet (all), student\n"
    "  --threads A,B     thread counts (1 and all cores)\n"
    "  --batch A,B       batch sizes (128)\n"
    "  --optimizer NAME  sgd (momentum .9) or adam (sgd)\n"
    "  --repeats N       repetitions, at least 3 and at most 51 (5; fewer where a case takes "
    "long)\n"
    "  --seconds S       for each contestant in each repetition (0.3)\n"
    "  --quick           three short repetitions, no second start for the warm compile time\n"
    "  --sweep           batch size, and width of mlp800, instead: how cost grows\n"
    "  --ablate          kdc alone, each optimisation left out in turn\n"
    "  --rows N          images in the data set (8192, at least that)\n"
    "  --epoch           epochs go through the whole data set, however long that takes\n"
    "  --plot=FILE.svg   a picture of it, where the Python has matplotlib\n"
    "  --json FILE       all of it as JSON; the keys are in tests/bench/README.md\n"
    "The peers run by $KD_PYTHON, or by a virtual environment made in build/venv.\n";

static bool read_list(const char *text, int most, List *list) {
    list->n = 0;
    for (char *end; *text && list->n < MAX_SIZES; text = end + (*end == ',')) {
        long value = strtol(text, &end, 10);
        if (end == text || (*end && *end != ',') || value < 1 || value > most) return false;
        list->value[list->n++] = (int)value;
    }
    return list->n > 0 && !*text;
}

static bool read_settings(int argc, char **argv, Settings *s) {
    static const struct option options[] = {
        { "nets", 1, NULL, 'n' },    { "threads", 1, NULL, 't' },   { "batch", 1, NULL, 'b' },
        { "repeats", 1, NULL, 'r' }, { "optimizer", 1, NULL, 'o' }, { "seconds", 1, NULL, 's' },
        { "quick", 0, NULL, 'q' },   { "sweep", 0, NULL, 'S' },     { "ablate", 0, NULL, 'a' },
        { "rows", 1, NULL, 'R' },    { "epoch", 0, NULL, 'e' },     { "json", 1, NULL, 'j' },
        { "predict", 0, NULL, 'p' }, { NULL, 0, NULL, 0 },
    };
    int option;
    bool right = true;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'n': s->nets = optarg; break;
        case 't': right = right && read_list(optarg, 256, &s->threads); break;
        case 'b': right = right && read_list(optarg, 4096, &s->batches); break;
        case 'r': s->repeats = atoi(optarg); break;
        case 'o': s->optimizer = optarg; break;
        case 's': s->seconds = atof(optarg); break;
        case 'q': s->quick = true; break;
        case 'S': s->sweep = true; break;
        case 'a': s->ablate = true; break;
        case 'R': s->rows = atol(optarg); break;
        case 'e': s->epoch = true; break;
        case 'p':
            s->predict = true;
            s->threads = (List){ 1, { 1 } };
            s->batches = (List){ 3, { 1, 16, 128 } };
            break;
        case 'j': s->json = optarg; break;
        default: return false;
        }
    }
    if (s->quick) s->repeats = 3, s->seconds /= 3;
    bool known = !strcmp(s->optimizer, "sgd") || !strcmp(s->optimizer, "adam");
    return right && known && optind == argc && s->repeats >= 3 && s->repeats <= BENCH_REPEATS &&
           s->seconds >= 0 && s->rows >= 2 * 4096;
}

static bool write_json(const Settings *s, cJSON *all) {
    FILE *f = fopen(s->json, "w");
    char *text = cJSON_Print(all);
    bool written = f && text && fprintf(f, "%s\n", text) > 0;
    if (f && fclose(f)) written = false;
    free(text);
    if (!written) fprintf(stderr, "bench: cannot write %s\n", s->json);
    return written;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--worker")) return worker_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "--predict-worker")) return predict_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "--help")) return fputs(usage, stdout) < 0;
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    Settings s = { .repeats = 5,
                   .seconds = 0.3,
                   .budget = 20,
                   .rows = 8192,
                   .width = 800,
                   .optimizer = "sgd",
                   .self = argv[0],
                   .python = getenv("KD_BENCH_PYTHON"),
                   .cache = getenv("KD_BENCH_CACHE"),
                   .batches = { 1, { 128 } },
                   .threads = { cores > 1 ? 2 : 1, { 1, cores } } };
    if (!s.cache || !read_settings(argc, argv, &s)) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* a contestant that ended gives an error instead */
    char date[32];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    cJSON *all = cJSON_CreateObject();
    cJSON_AddStringToObject(all, "date", date);
    cJSON_AddNumberToObject(all, "cores", cores);
    s.cases = cJSON_AddArrayToObject(all, "cases");
    bool done = run_all(&s) && (!s.json || write_json(&s, all));
    cJSON_Delete(all);
    return done ? 0 : 1;
}
