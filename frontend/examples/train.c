/*
 * Trains a network that `kdc FILE.lua --emit=lib --entry=epoch,evaluate …` left behind; kdc builds
 * this very program for --emit=exe. By hand, for a network "student":
 *
 *     cc -O2 -include student.h -DNET_SYMBOL=student -DNET_PREFIX=STUDENT_ \
 *         train.c student.a $(pkg-config --cflags --libs kdrt) -lm -o train
 *     ./train -e 10 -o student.safetensors train-images train-labels t10k-images t10k-labels
 *
 * Images and labels are IDX files of bytes, as MNIST's are when unpacked. A line an epoch; the
 * weights are written at the end. With -r the state is kept in a file, and training goes on from
 * it.
 */
#include "idx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOIN_NAMES(a, b) a##b
#define JOIN(a, b)       JOIN_NAMES(a, b)
#define MACRO(name)      JOIN(NET_PREFIX, name)
#define NET(name)        JOIN(NET_SYMBOL, _##name)

#if MACRO(NORMALIZE) == 2
#error "this network's header leaves it to the caller to normalise images"
#endif

typedef struct Options {
    int epochs, threads;
    uint64_t seed;
    const char *from, *resume, *output;
    const char *files[4]; /* images, labels, and those to test */
} Options;

static int usage(const char *name) {
    fprintf(stderr,
            "usage: %s [-e EPOCHS] [-t THREADS] [-s SEED] [-w START.safetensors] [-r STATE]\n"
            "          -o WEIGHTS.safetensors IMAGES LABELS [TEST-IMAGES TEST-LABELS]\n",
            name);
    return 2;
}

static int read_options(Options *o, int argc, char **argv) {
    *o = (Options){ .epochs = MACRO(EPOCHS), .threads = 1, .seed = MACRO(SEED) };
    for (int c; (c = getopt(argc, argv, "e:t:s:w:r:o:")) != -1;) {
        switch (c) {
        case 'e': o->epochs = atoi(optarg); break;
        case 't': o->threads = atoi(optarg); break;
        case 's': o->seed = strtoull(optarg, NULL, 10); break;
        case 'w': o->from = optarg; break;
        case 'r': o->resume = optarg; break;
        case 'o': o->output = optarg; break;
        default: return 0;
        }
    }
    int n = argc - optind;
    for (int k = 0; k < n && k < 4; k++) o->files[k] = argv[optind + k];
    return o->output && o->epochs > 0 && (n == 2 || n == 4);
}

static int fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 0;
}

/* The whole file, or nothing: it is renamed when all of it is there. What is no ordinary file (a
 * device, a pipe) stays what it is, and is written directly. */
static int write_file(const char *path, const void *bytes, size_t size) {
    char part[4096];
    struct stat now;
    int whole = stat(path, &now) != 0 || S_ISREG(now.st_mode);
    if (snprintf(part, sizeof part, "%s%s", path, whole ? ".part" : "") >= (int)sizeof part)
        return fail("a long name");
    FILE *out = fopen(part, "wb");
    int good = out && fwrite(bytes, 1, size, out) == size;
    if (out && fclose(out)) good = 0;
    if (good && (!whole || rename(part, path) == 0)) return 1;
    perror(path);
    if (out && whole) remove(part);
    return 0;
}

/* Will it be, when training is done? What is neither an ordinary file nor a folder is left alone.
 */
static int can_write(const char *path) {
    char part[4096];
    struct stat now;
    if (stat(path, &now) == 0 && S_ISDIR(now.st_mode)) {
        fprintf(stderr, "%s: is a folder, and a file is to be written\n", path);
        return 0;
    }
    if (stat(path, &now) == 0 && !S_ISREG(now.st_mode)) return 1;
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return fail("a long name");
    FILE *out = fopen(part, "wb");
    if (!out) {
        perror(path);
        return 0;
    }
    fclose(out);
    return remove(part) == 0;
}

/* At most `most` bytes; how many, most + 1 where the file has more. -1 where it cannot be read,
 * which is said. */
static int64_t read_file(const char *path, void *bytes, size_t most) {
    FILE *in = fopen(path, "rb");
    int64_t n = in ? (int64_t)fread(bytes, 1, most, in) : -1;
    if (in && n == (int64_t)most && fgetc(in) != EOF) n++;
    if (in && ferror(in)) n = -1;
    if (n < 0) perror(path);
    if (in) fclose(in);
    return n;
}

static int load_weights(const char *path, void *state) {
    static unsigned char bytes[MACRO(SAVED_BYTES) + (1 << 20)]; /* other headers may be longer */
    int64_t n = read_file(path, bytes, sizeof bytes);
    if (n < 0) return 0;
    if (n <= (int64_t)sizeof bytes && NET(load)(state, bytes, (size_t)n) == KDRT_OK) return 1;
    fprintf(stderr, "%s: not the weights of this network\n", path);
    return 0;
}

/* The state of an earlier run, if there was one: what cannot be read must not be written over. */
static int load_state(const char *path, void *state) {
    struct stat now;
    if (stat(path, &now) != 0 && errno == ENOENT) return 1;
    int64_t n = read_file(path, state, MACRO(STATE_BYTES));
    if (n < 0) return 0;
    return n == 0 || n == MACRO(STATE_BYTES) || fail("the state is another network's");
}

/* The script's first weights, or those that are inside or in a file; or the state of an earlier
 * run. */
static int begin(const Options *o, void *state) {
#ifdef NET_SHIPPED
    int status = NET(init_shipped)(state, o->seed);
#else
    int status = NET(init)(state, o->seed);
#endif
    if (status != KDRT_OK) return fail("no memory");
    return (!o->from || load_weights(o->from, state)) &&
           (!o->resume || load_state(o->resume, state));
}

static int read_labels(NET(data) * data, const char *path) {
    data->labels = read_idx(path, &data->rows, 1);
    for (int64_t k = 0; data->labels && k < data->rows; k++) {
        int label = data->labels[k];
        if (label < MACRO(CLASSES)) continue;
        fprintf(stderr, "%s: row %lld has label %d, of classes 0 to %d\n", path, (long long)k,
                label, MACRO(CLASSES) - 1);
        return 0;
    }
    return data->labels != NULL;
}

static int read_data(NET(data) * data, const char *images, const char *labels) {
    data->images = read_idx(images, &data->rows, MACRO(INPUTS));
#if MACRO(NORMALIZE) == 1
    data->mean = NET(mean);
    data->rate = NET(rate);
#endif
    return data->images && read_labels(data, labels);
}

static int train(const Options *o, const NET(training) * t, const NET(data) * data,
                 const NET(data) * test) {
    const KdrtState *state = (const KdrtState *)t->state;
    double loss, error;
    while (state->epoch < o->epochs) {
        int status = NET(epoch)(t, data, &loss);
        if (status == KDRT_BAD_STATE) return fail("the state is another network's");
        if (status == KDRT_NOT_FINITE) return fail("the loss is no number any more: a lower rate?");
        if (status != KDRT_OK) return fail("cannot train");
        if (NET(evaluate)(t, test, NULL, &error) != KDRT_OK) return fail("cannot test");
        printf("epoch %d/%d  loss %.5g  error %.2f %%\n", state->epoch, o->epochs, loss,
               100 * error);
        fflush(stdout);
        if (o->resume && !write_file(o->resume, t->state, MACRO(STATE_BYTES))) return 0;
    }
    return 1;
}

/* Fills in all that training reads and writes. */
static int prepare(const Options *o, NET(training) * t, NET(data) * data, NET(data) * test) {
    if (!can_write(o->output) || (o->resume && !can_write(o->resume))) return 0;
    if (!read_data(data, o->files[0], o->files[1])) return 0;
    if (o->files[2] && !read_data(test, o->files[2], o->files[3])) return 0;
    t->state = kdrt_alloc(MACRO(STATE_BYTES));
    t->scratch = kdrt_alloc(MACRO(TRAINING_BYTES)(o->threads, data->rows));
    if (!t->state || !t->scratch || kdrt_pool_create(o->threads, &t->pool) != KDRT_OK)
        return fail("no memory, or not so many threads");
    if (!begin(o, t->state)) return 0;
#if MACRO(TEACH)
    float *logits = (float *)kdrt_alloc((size_t)data->rows * MACRO(TEACHER_WIDTH) * sizeof(float));
    data->teacher_logits = logits;
    if (!logits || NET(teach)(t, data, logits) != KDRT_OK) return fail("cannot ask the teacher");
#endif
    return 1;
}

static void free_data(const NET(data) * data) {
    kdrt_free((void *)data->images);
    kdrt_free((void *)data->labels);
#if MACRO(TEACH)
    kdrt_free((void *)data->teacher_logits);
#endif
}

int main(int argc, char **argv) {
    static unsigned char saved[MACRO(SAVED_BYTES)];
    Options o;
    NET(training) t = { 0 };
    NET(data) data = { 0 }, test = { 0 };
    if (!read_options(&o, argc, argv)) return usage(argv[0]);
    int good = prepare(&o, &t, &data, &test) && train(&o, &t, &data, o.files[2] ? &test : &data) &&
               NET(save)(t.state, saved) == KDRT_OK && write_file(o.output, saved, sizeof saved);
    kdrt_pool_destroy(t.pool);
    kdrt_free(t.scratch);
    kdrt_free(t.state);
    free_data(&test);
    free_data(&data);
    return !good;
}
