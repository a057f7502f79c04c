/*
 * Fine-tunes a shipped student where it runs, on images that nobody has labelled: the teacher is in
 * the object, and tells what it thinks of each batch. For models/student.lua:
 *
 *     kdc models/student.lua --run noisy --emit=lib --entry=predict,step -o student.a \
 *         --weights out/student/noisy/best.safetensors \
 *         --teacher out/student/teacher/best.safetensors
 *     cc -O2 finetune.c student.a $(pkg-config --cflags --libs kdrt) -lm -o finetune
 *     ./finetune images.idx tuned.safetensors
 *
 * A batch at a time: of the images only those of the step under way need memory.
 */
#include "idx.h"
#include "student.h"

#include <stdlib.h>

#if STUDENT_NORMALIZE == 2
#error "this network's header leaves it to the caller to normalise images"
#endif

/* One pass over the images; the mean loss, or -1. */
static double tune(const student_training *t, const uint8_t *images, int64_t rows) {
    static uint8_t batch[STUDENT_BATCH * STUDENT_INPUTS + KDRT_SLACK]; /* a camera's, say */
    double sum = 0;
    for (int64_t done = 0; done < rows; done += STUDENT_BATCH) {
        student_data data = { 0 };
        float loss;
        data.rows = rows - done < STUDENT_BATCH ? rows - done : STUDENT_BATCH;
        for (int64_t k = 0; k < data.rows * STUDENT_INPUTS; k++)
            batch[k] = images[done * STUDENT_INPUTS + k];
        data.images = batch;
#if STUDENT_NORMALIZE == 1
        data.mean = student_mean;
        data.rate = student_rate;
#endif
        int status = student_step(t, &data, NULL, (int)data.rows, &loss);
        if (status != STUDENT_OK) {
            fprintf(stderr, "student_step: code %d\n", status);
            return -1;
        }
        sum += (double)loss * (double)data.rows;
    }
    return sum / (double)rows;
}

/* The class of one image by the weights as they are now. */
static int classify(const student_training *t, const uint8_t *image) {
    float x[STUDENT_INPUTS], logits[STUDENT_CLASSES];
    void *scratch = kdrt_alloc(STUDENT_SCRATCH_BYTES);
    for (int k = 0; k < STUDENT_INPUTS; k++) x[k] = (float)image[k] * STUDENT_INPUT_SCALE;
    int status = student_predict(x, 1, logits, STUDENT_WEIGHTS(t->state), scratch);
    kdrt_free(scratch);
    return status == STUDENT_OK ? kdrt_argmax(logits, STUDENT_CLASSES) : -1;
}

static int save(const void *state, const char *path) {
    static unsigned char bytes[STUDENT_SAVED_BYTES];
    FILE *out = student_save(state, bytes) == STUDENT_OK ? fopen(path, "wb") : NULL;
    int good = out && fwrite(bytes, sizeof bytes, 1, out) == 1;
    if (out && fclose(out)) good = 0;
    if (!good) fprintf(stderr, "%s: cannot be written\n", path);
    return good;
}

/* Five passes, in small steps from weights that are good already. */
static int tune_all(student_training t, const uint8_t *images, int64_t rows) {
    student_hyper hyper = STUDENT_HYPER;
    hyper.lr /= 4;
    t.hyper = &hyper;
    if (student_init_shipped(t.state, STUDENT_SEED) != STUDENT_OK) return 0;
    for (int pass = 1; pass <= 5; pass++) {
        double loss = tune(&t, images, rows);
        if (loss < 0) return 0;
        printf("pass %d: loss %.5g, image 0 is of class %d\n", pass, loss, classify(&t, images));
    }
    return 1;
}

int main(int argc, char **argv) {
    int64_t rows = 0;
    student_training t = { 0 };
    if (argc != 3) {
        fprintf(stderr, "usage: %s IMAGES WEIGHTS.safetensors\n", argv[0]);
        return 2;
    }
    uint8_t *images = read_idx(argv[1], &rows, STUDENT_INPUTS);
    if (!images) return 1;
    t.state = kdrt_alloc(STUDENT_STATE_BYTES);
    t.scratch = kdrt_alloc(STUDENT_TRAINING_BYTES(1, 0));
    int good = t.state && t.scratch && tune_all(t, images, rows) && save(t.state, argv[2]);
    kdrt_free(t.scratch);
    kdrt_free(t.state);
    kdrt_free(images);
    return !good;
}
