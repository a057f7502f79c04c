/*
 * Trains the network of net.h on the first rows of an IDX file and writes its weights:
 *
 *     train IMAGES LABELS ROWS EPOCHS THREADS epoch|step|stop TEACHER|- OUT
 *
 * by whole epochs, by single steps in the order that an epoch has, or by epochs that are stopped
 * after each third step and go on from a copy of the state. Prints loss and error.
 */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *read_file(const char *path, size_t *size) {
    FILE *in = fopen(path, "rb");
    if (!in) exit(10);
    fseek(in, 0, SEEK_END);
    *size = (size_t)ftell(in);
    rewind(in);
    void *bytes = kdrt_alloc(*size);
    if (!bytes || fread(bytes, 1, *size, in) != *size) exit(11);
    fclose(in);
    return bytes;
}

/* The bytes behind an IDX header of `rank` extents, in memory of their own. */
static uint8_t *read_idx(const char *path, int rank) {
    size_t size, header = 4 + 4 * (size_t)rank;
    uint8_t *file = (uint8_t *)read_file(path, &size);
    uint8_t *bytes = (uint8_t *)kdrt_alloc(size - header);
    if (!bytes) exit(11);
    memcpy(bytes, file + header, size - header);
    kdrt_free(file);
    return bytes;
}

static void check(int status) {
    if (status == MY_NET_OK) return;
    fprintf(stderr, "status %d\n", status);
    exit(12);
}

static double by_steps(const my_net_training *t, const my_net_data *data) {
    KdrtState *state = (KdrtState *)t->state;
    int32_t *order = (int32_t *)kdrt_alloc((size_t)data->rows * 4);
    double sum = 0;
    kdrt_shuffle(order, data->rows, state->seed, (uint32_t)state->epoch);
    for (int64_t done = 0; done < data->rows; done += MY_NET_BATCH) {
        int n = data->rows - done < MY_NET_BATCH ? (int)(data->rows - done) : MY_NET_BATCH;
        float loss;
        check(my_net_step(t, data, order + done, n, &loss));
        sum += (double)loss * n;
    }
    state->epoch++;
    kdrt_free(order);
    return sum / (double)data->rows;
}

static int32_t stop(void *user, KdrtEpoch *now) {
    (void)user;
    return now->done < now->samples;
}

/* Each part in memory of its own, that holds rubbish at first. */
static double by_parts(const my_net_training *whole, const my_net_data *data) {
    my_net_training t = *whole;
    double loss = 0;
    int status;
    t.progress = stop;
    t.progress_every = 3;
    do {
        t.state = memcpy(kdrt_alloc(MY_NET_STATE_BYTES), whole->state, MY_NET_STATE_BYTES);
        memset(t.scratch, 0xa5, MY_NET_TRAINING_BYTES(kdrt_pool_threads(t.pool), data->rows));
        status = my_net_epoch(&t, data, &loss);
        memcpy(whole->state, t.state, MY_NET_STATE_BYTES);
        kdrt_free(t.state);
    } while (status == MY_NET_STOPPED);
    check(status);
    return loss;
}

#if MY_NET_TEACH
/* A step that asks the teacher itself has the loss of one that is given its table. */
static void check_asked(const my_net_training *whole, my_net_data data) {
    float loss[2];
    for (int k = 0; k < 2; k++) {
        my_net_training t = *whole;
        t.state = memcpy(kdrt_alloc(MY_NET_STATE_BYTES), whole->state, MY_NET_STATE_BYTES);
        check(my_net_step(&t, &data, NULL, MY_NET_BATCH, &loss[k]));
        kdrt_free(t.state);
        data.teacher_logits = NULL;
    }
    if (loss[0] != loss[1]) exit(14);
}
#endif

static void save(const void *state, const char *path) {
    void *bytes = malloc(MY_NET_SAVED_BYTES);
    FILE *out = fopen(path, "wb");
    check(my_net_save(state, bytes));
    if (!out || fwrite(bytes, MY_NET_SAVED_BYTES, 1, out) != 1 || fclose(out)) exit(13);
    free(bytes);
}

int main(int argc, char **argv) {
    if (argc != 9) return 2;
    int threads = atoi(argv[5]), epochs = atoi(argv[4]);
    my_net_training t = { 0 };
    my_net_data data = { 0 };
    data.rows = atoi(argv[3]);
    uint8_t *images = read_idx(argv[1], 3), *labels = read_idx(argv[2], 1);
    data.images = images;
    data.labels = labels;
    t.state = kdrt_alloc(MY_NET_STATE_BYTES);
    t.scratch = kdrt_alloc(MY_NET_TRAINING_BYTES(threads, data.rows));
    if (threads > 1 && kdrt_pool_create(threads, &t.pool) != KDRT_OK) return 3;
    memset(t.scratch, 0xa5, MY_NET_TRAINING_BYTES(threads, data.rows));
    check(my_net_init(t.state, MY_NET_SEED));
    void *teacher = NULL;
    float *logits = NULL;
#if MY_NET_TEACHER_BYTES
    size_t size;
    void *bytes = read_file(argv[7], &size);
    teacher = kdrt_alloc(MY_NET_TEACHER_BYTES);
    check(my_net_load_teacher(teacher, 0, bytes, size));
    kdrt_free(bytes);
    t.teacher = teacher;
#endif
#if MY_NET_TEACH
    logits = (float *)kdrt_alloc((size_t)data.rows * MY_NET_TEACHER_WIDTH * 4);
    check(my_net_teach(&t, &data, logits));
    data.teacher_logits = logits;
    check_asked(&t, data);
#endif
    double loss = 0, error;
    for (int k = 0; k < epochs; k++) {
        if (strcmp(argv[6], "epoch") == 0)
            check(my_net_epoch(&t, &data, &loss));
        else
            loss = strcmp(argv[6], "step") == 0 ? by_steps(&t, &data) : by_parts(&t, &data);
    }
    check(my_net_evaluate(&t, &data, NULL, &error));
    printf("%d steps, loss %.6g, error %.4f\n", ((KdrtState *)t.state)->step, loss, error);
    save(t.state, argv[8]);
    kdrt_pool_destroy(t.pool);
    void *blocks[] = { t.state, t.scratch, images, labels, teacher, logits };
    for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) kdrt_free(blocks[k]);
    return 0;
}
