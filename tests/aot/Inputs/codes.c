/*
 * What the entries of net.h say to wrong arguments, C or C++; and that hyperparameters count. The
 * object has the teacher's logits given and the network's weights inside, which argv[1] holds too.
 */
#include "net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 40

static int failures;

static void expect(const char *what, int found, int wanted) {
    if (found == wanted) return;
    fprintf(stderr, "%s: %d, expected %d\n", what, found, wanted);
    failures++;
}

static unsigned char *read_file(const char *path, size_t *size) {
    static unsigned char bytes[1 << 20];
    FILE *in = fopen(path, "rb");
    *size = in ? fread(bytes, 1, sizeof bytes, in) : 0;
    if (in) fclose(in);
    return bytes;
}

static my_net_data make_data(void) {
    my_net_data data = { 0 };
    uint8_t *images = (uint8_t *)kdrt_alloc(ROWS * MY_NET_INPUTS);
    uint8_t *labels = (uint8_t *)kdrt_alloc(ROWS);
    float *logits = (float *)kdrt_alloc(ROWS * MY_NET_CLASSES * sizeof(float));
    for (int k = 0; k < ROWS * MY_NET_INPUTS; k++) images[k] = (uint8_t)(k * 7919 % 251);
    for (int k = 0; k < ROWS * MY_NET_CLASSES; k++) logits[k] = (float)(k % 13) / 4;
    for (int k = 0; k < ROWS; k++) labels[k] = (uint8_t)(k % MY_NET_CLASSES);
    data.rows = ROWS;
    data.images = images;
    data.labels = labels;
    data.teacher_logits = logits;
    return data;
}

static void free_data(const my_net_data *data) {
    kdrt_free((void *)(uintptr_t)data->images);
    kdrt_free((void *)(uintptr_t)data->labels);
    kdrt_free((void *)(uintptr_t)data->teacher_logits);
}

static void check_memory(my_net_training t, const my_net_data *data) {
    char *state = (char *)t.state, *scratch = (char *)t.scratch;
    double x;
    expect("no state", my_net_init(NULL, 1), MY_NET_BAD_ARGUMENT);
    expect("crooked state", my_net_init(state + 4, 1), MY_NET_MISALIGNED);
    expect("never initialised", my_net_epoch(&t, data, &x), MY_NET_BAD_STATE);
    expect("init", my_net_init(state, 1), MY_NET_OK);
    t.scratch = scratch + 8;
    expect("crooked scratch", my_net_epoch(&t, data, &x), MY_NET_MISALIGNED);
    t.scratch = NULL;
    expect("no scratch", my_net_evaluate(&t, data, NULL, &x), MY_NET_BAD_ARGUMENT);
    expect("no training", my_net_epoch(NULL, data, &x), MY_NET_BAD_ARGUMENT);
}

static void check_data(const my_net_training *t, my_net_data data) {
    const my_net_data good = data;
    const int32_t rows[] = { 3, ROWS };
    float loss;
    double x;
    expect("no rows", my_net_step(t, &good, NULL, 0, &loss), MY_NET_BAD_ARGUMENT);
    expect("more than a batch", my_net_step(t, &good, NULL, MY_NET_BATCH + 1, &loss),
           MY_NET_BAD_ARGUMENT);
    expect("a row behind the last", my_net_step(t, &good, rows, 2, &loss), MY_NET_BAD_ARGUMENT);
    expect("a good row", my_net_step(t, &good, rows, 1, NULL), MY_NET_OK);
    data.teacher_logits = NULL;
    expect("no teacher", my_net_step(t, &data, NULL, 2, &loss), MY_NET_BAD_ARGUMENT);
    data = good;
    data.images = NULL;
    expect("no images", my_net_epoch(t, &data, &x), MY_NET_BAD_ARGUMENT);
    data = good;
    ((uint8_t *)(uintptr_t)data.labels)[ROWS - 1] = MY_NET_CLASSES;
    expect("no class to test", my_net_evaluate(t, &data, NULL, &x), MY_NET_BAD_ARGUMENT);
    expect("not read", my_net_epoch(t, &data, &x), MY_NET_OK);
    ((uint8_t *)(uintptr_t)data.labels)[ROWS - 1] = 0;
    data.labels = NULL;
    expect("no labels to test", my_net_evaluate(t, &data, NULL, &x), MY_NET_BAD_ARGUMENT);
    expect("none needed", my_net_evaluate(t, &data, NULL, NULL), MY_NET_OK);
    data.rows = 0;
    expect("an empty epoch", my_net_epoch(t, &data, &x), MY_NET_BAD_ARGUMENT);
}

/* Every cut of a good file, and every byte of its header changed: an error, or the same weights. */
static void check_weights(const my_net_training *t, unsigned char *bytes, size_t size) {
    static unsigned char before[MY_NET_SAVED_BYTES], after[MY_NET_SAVED_BYTES];
    size_t header = 8 + bytes[0] + 256u * bytes[1];
    expect("load", my_net_load(t->state, bytes, size), MY_NET_OK);
    expect("save", my_net_save(t->state, before), MY_NET_OK);
    expect("load what was saved", my_net_load(t->state, before, sizeof before), MY_NET_OK);
    expect("no bytes", my_net_load(t->state, NULL, 10), MY_NET_BAD_ARGUMENT);
    for (size_t k = 0; k < size; k += k < header ? 1 : 997)
        expect("a cut file", my_net_load(t->state, bytes, k), MY_NET_BAD_WEIGHTS);
    int refused = 0;
    for (size_t k = 0; k < header; k++) {
        unsigned char was = bytes[k];
        bytes[k] ^= 0x15;
        refused += my_net_load(t->state, bytes, size) == MY_NET_BAD_WEIGHTS;
        bytes[k] = was;
    }
    if (refused < 100) expect("damaged headers", refused, 100);
    expect("load", my_net_load(t->state, bytes, size), MY_NET_OK);
    expect("save", my_net_save(t->state, after), MY_NET_OK);
    expect("the same", memcmp(before, after, sizeof before), 0);
    expect("from inside", my_net_init_shipped(t->state, 5), MY_NET_OK);
    expect("save", my_net_save(t->state, after), MY_NET_OK);
    expect("the same from inside", memcmp(before, after, sizeof before), 0);
}

/* A rate of 0 changes nothing, the script's rate does; what is no number leaves all as it was. */
static void check_hyper(my_net_training t, const my_net_data *data) {
    static unsigned char before[MY_NET_SAVED_BYTES], after[MY_NET_SAVED_BYTES];
    static const my_net_hyper script = MY_NET_HYPER;
    my_net_hyper other = script;
    float loss, again;
    other.lr = 0;
    t.hyper = &other;
    my_net_save(t.state, before);
    expect("step", my_net_step(&t, data, NULL, MY_NET_BATCH, &loss), MY_NET_OK);
    my_net_save(t.state, after);
    expect("a rate of 0", memcmp(before, after, sizeof before), 0);
    other.lr = NAN;
    ((float *)(uintptr_t)data->teacher_logits)[0] = NAN;
    expect("NaN", my_net_step(&t, data, NULL, MY_NET_BATCH, &loss), MY_NET_NOT_FINITE);
    ((float *)(uintptr_t)data->teacher_logits)[0] = 0;
    my_net_save(t.state, after);
    expect("nothing updated", memcmp(before, after, sizeof before), 0);
    t.hyper = NULL;
    expect("step", my_net_step(&t, data, NULL, MY_NET_BATCH, &loss), MY_NET_OK);
    for (int k = 0; k < 200; k++) my_net_step(&t, data, NULL, MY_NET_BATCH, &again);
    expect("it learns", again < loss, 1);
}

int main(int argc, char **argv) {
    size_t size = 0;
    my_net_training t = { 0 };
    my_net_data data = make_data();
    unsigned char *bytes = read_file(argc > 1 ? argv[1] : "", &size);
    t.state = kdrt_alloc(MY_NET_STATE_BYTES);
    t.scratch = kdrt_alloc(MY_NET_TRAINING_BYTES(1, ROWS));
    check_memory(t, &data);
    check_data(&t, data);
    check_weights(&t, bytes, size);
    check_hyper(t, &data);
    kdrt_free(t.state);
    kdrt_free(t.scratch);
    free_data(&data);
    return failures != 0;
}
