/* Calls a shipped network on made-up samples, all at once and one by one; prints the logits. The
 * probabilities and classes must be theirs. Weights that are not part of it come from a file. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES 37

/* e^x for x <= 0, without a library of mathematics. */
static double power(double x) {
    double y = 1 + x / (1 << 20);
    for (int k = 0; k < 20; k++) y *= y;
    return y;
}

/* Do p and `class` follow from these logits? */
static int follows(const float *logits, const float *p, int class_) {
    double sum = 0, most = logits[class_];
    for (int k = 0; k < MY_NET_CLASSES; k++) {
        if (logits[k] > most || (k < class_ && logits[k] == most)) return 0;
        sum += power(logits[k] - most);
    }
    for (int k = 0; k < MY_NET_CLASSES; k++) {
        double off = p[k] - power(logits[k] - most) / sum;
        if (off > 1e-5 || off < -1e-5) return 0;
    }
    return 1;
}

#if MY_NET_WEIGHT_BYTES
/* The block of that file, packed; NULL where predict takes one that is not, or pack fails. */
static void *read_weights(const char *path, const float *x, float *logits, void *scratch) {
    size_t bytes = (MY_NET_WEIGHT_BYTES + MY_NET_ALIGN - 1) / MY_NET_ALIGN * MY_NET_ALIGN;
    char *block = (char *)aligned_alloc(MY_NET_ALIGN, bytes);
    FILE *file = fopen(path, "rb");
    if (!block || !file || fread(block, MY_NET_WEIGHT_BYTES, 1, file) != 1) return NULL;
    fclose(file);
    if (my_net_predict(x, 1, logits, block, scratch) != MY_NET_NOT_PACKED) return NULL;
    if (my_net_pack(NULL) != MY_NET_BAD_ARGUMENT) return NULL;
    if (my_net_pack(block + 4) != MY_NET_MISALIGNED) return NULL;
    return my_net_pack(block) == MY_NET_OK ? block : NULL;
}
#endif

int main(int argc, char **argv) {
    static int classes[SAMPLES];
    static float p[SAMPLES * MY_NET_CLASSES];
    static float x[SAMPLES * MY_NET_INPUTS], all[SAMPLES * MY_NET_CLASSES], one[MY_NET_CLASSES];
    size_t bytes = (MY_NET_SCRATCH_BYTES + MY_NET_ALIGN - 1) / MY_NET_ALIGN * MY_NET_ALIGN;
    void *scratch = aligned_alloc(MY_NET_ALIGN, bytes);
    for (int k = 0; k < SAMPLES * MY_NET_INPUTS; k++) x[k] = (float)(k * 7919 % 1009) / 1009;
    void *weights = NULL;
#if MY_NET_WEIGHT_BYTES
    weights = argc == 2 ? read_weights(argv[1], x, all, scratch) : NULL;
    if (!weights) return 10;
#else
    (void)argv;
    if (argc != 1) return 11;
#endif
    if (my_net_predict(x, SAMPLES, all, weights, scratch) != MY_NET_OK) return 1;
    if (my_net_probabilities(x, SAMPLES, p, weights, scratch) != MY_NET_OK) return 5;
    if (my_net_classes(x, SAMPLES, classes, weights, scratch) != MY_NET_OK) return 6;
    for (int i = 0; i < SAMPLES; i++) {
        int at = i * MY_NET_CLASSES;
        if (!follows(all + at, p + at, classes[i])) return 7;
        if (my_net_predict(x + i * MY_NET_INPUTS, 1, one, weights, scratch) != MY_NET_OK) return 2;
        for (int k = 0; k < MY_NET_CLASSES; k++) {
            if (one[k] != all[i * MY_NET_CLASSES + k]) return 3;
            printf("%.6f\n", one[k]);
        }
    }
    if (my_net_predict(x, -1, all, weights, scratch) != MY_NET_BAD_ARGUMENT) return 4;
    if (my_net_classes(x, -1, classes, weights, scratch) != MY_NET_BAD_ARGUMENT) return 8;
    if (my_net_classes(x, 1, NULL, weights, scratch) != MY_NET_BAD_ARGUMENT) return 9;
    free(weights);
    free(scratch);
    return 0;
}
