/*
 * Trains the network of net.h by epochs on arrays in plain files and writes its weights:
 *
 *     arrays FOLDER ROWS EPOCHS OUT        FOLDER has x (f32), y (i32), mean and rate
 *
 * A network that knows its own means and rates takes those; its predict, of samples as they are in
 * the file, must say what evaluate says.
 */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *read_array(const char *folder, const char *name, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *in = fopen(path, "rb");
    void *bytes = kdrt_alloc(size);
    if (!in || !bytes || fread(bytes, size, 1, in) != 1) exit(10);
    fclose(in);
    return bytes;
}

#if MY_NET_NORMALIZE == 1
/* Has predict the bits of evaluate for each row? */
static int predicts_as(const my_net_training *t, const my_net_data *data) {
    size_t bytes = (size_t)data->rows * MY_NET_CLASSES * sizeof(float);
    float *logits = (float *)malloc(bytes), *wanted = (float *)malloc(bytes);
    void *scratch = kdrt_alloc(MY_NET_SCRATCH_BYTES);
    const void *weights = MY_NET_WEIGHTS(t->state);
    int same =
        my_net_evaluate(t, data, wanted, NULL) == MY_NET_OK &&
        my_net_predict(data->images, (int)data->rows, logits, weights, scratch) == MY_NET_OK &&
        memcmp(logits, wanted, bytes) == 0;
    free(logits);
    free(wanted);
    kdrt_free(scratch);
    return same;
}
#endif

/* A label that is no class is refused where it is read, and its row alone. */
static int refuses_labels(const my_net_training *t, const my_net_data *data, int32_t *label) {
    const int32_t row = (int32_t)(data->rows - 1), wrong[] = { MY_NET_CLASSES, -1 }, good = *label;
    int refused = 0;
    double error;
    for (int k = 0; k < 2; k++) {
        *label = wrong[k];
        refused += my_net_epoch(t, data, NULL) == MY_NET_BAD_ARGUMENT;
        refused += my_net_step(t, data, &row, 1, NULL) == MY_NET_BAD_ARGUMENT;
        refused += my_net_step(t, data, NULL, 1, NULL) == MY_NET_OK;
        refused += my_net_evaluate(t, data, NULL, &error) == MY_NET_BAD_ARGUMENT;
        refused += my_net_evaluate(t, data, NULL, NULL) == MY_NET_OK;
    }
    *label = good;
    return refused == 10;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const size_t rows = (size_t)atoi(argv[2]), inputs = MY_NET_INPUTS;
    const char *folder = argv[1];
    const float *x = (const float *)read_array(folder, "x", rows * inputs * sizeof *x);
    const int32_t *labels = (const int32_t *)read_array(folder, "y", rows * sizeof *labels);
#if MY_NET_NORMALIZE == 1
    const float *mean = my_net_mean, *rate = my_net_rate;
#else
    const float *mean = (const float *)read_array(folder, "mean", inputs * sizeof *mean);
    const float *rate = (const float *)read_array(folder, "rate", inputs * sizeof *rate);
#endif
    const my_net_data data = {
        .rows = (int64_t)rows, .images = x, .labels = labels, .mean = mean, .rate = rate
    };
    my_net_training t = { 0 };
    t.state = kdrt_alloc(MY_NET_STATE_BYTES);
    t.scratch = kdrt_alloc(MY_NET_TRAINING_BYTES(1, data.rows));
    double loss = 0, error = 1;
    int status = my_net_init(t.state, MY_NET_SEED);
    for (int k = 0; k < atoi(argv[3]) && status == MY_NET_OK; k++)
        status = my_net_epoch(&t, &data, &loss);
    if (status == MY_NET_OK) status = my_net_evaluate(&t, &data, NULL, &error);
#if MY_NET_NORMALIZE == 1
    if (!predicts_as(&t, &data)) return 12;
#endif
    void *bytes = malloc(MY_NET_SAVED_BYTES);
    FILE *out = fopen(argv[4], "wb");
    if (status == MY_NET_OK) status = my_net_save(t.state, bytes);
    if (!out || fwrite(bytes, MY_NET_SAVED_BYTES, 1, out) != 1 || fclose(out)) return 11;
    if (!refuses_labels(&t, &data, (int32_t *)(uintptr_t)&labels[rows - 1])) return 13;
    printf("status %d, loss %.6g, error %.4f\n", status, loss, error);
    const void *blocks[] = { t.state, t.scratch, x, labels };
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++)
        kdrt_free((void *)(uintptr_t)blocks[k]);
#if MY_NET_NORMALIZE != 1
    kdrt_free((void *)(uintptr_t)mean);
    kdrt_free((void *)(uintptr_t)rate);
#endif
    free(bytes);
    return status;
}
