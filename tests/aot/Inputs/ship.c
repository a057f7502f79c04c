/* Calls a shipped network on made-up samples, all at once and one by one; prints the logits. The
 * probabilities and classes must be theirs. */
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

int main(void) {
    static int classes[SAMPLES];
    static float p[SAMPLES * MY_NET_CLASSES];
    static float x[SAMPLES * MY_NET_INPUTS], all[SAMPLES * MY_NET_CLASSES], one[MY_NET_CLASSES];
    size_t bytes = (MY_NET_SCRATCH_BYTES + MY_NET_ALIGN - 1) / MY_NET_ALIGN * MY_NET_ALIGN;
    void *scratch = aligned_alloc(MY_NET_ALIGN, bytes);
    for (int k = 0; k < SAMPLES * MY_NET_INPUTS; k++) x[k] = (float)(k * 7919 % 1009) / 1009;
    if (my_net_predict(x, SAMPLES, all, NULL, scratch) != MY_NET_OK) return 1;
    if (my_net_probabilities(x, SAMPLES, p, NULL, scratch) != MY_NET_OK) return 5;
    if (my_net_classes(x, SAMPLES, classes, NULL, scratch) != MY_NET_OK) return 6;
    for (int i = 0; i < SAMPLES; i++) {
        int at = i * MY_NET_CLASSES;
        if (!follows(all + at, p + at, classes[i])) return 7;
        if (my_net_predict(x + i * MY_NET_INPUTS, 1, one, NULL, scratch) != MY_NET_OK) return 2;
        for (int k = 0; k < MY_NET_CLASSES; k++) {
            if (one[k] != all[i * MY_NET_CLASSES + k]) return 3;
            printf("%.6f\n", one[k]);
        }
    }
    if (my_net_predict(x, -1, all, NULL, scratch) != MY_NET_BAD_ARGUMENT) return 4;
    if (my_net_classes(x, -1, classes, NULL, scratch) != MY_NET_BAD_ARGUMENT) return 8;
    if (my_net_classes(x, 1, NULL, NULL, scratch) != MY_NET_BAD_ARGUMENT) return 9;
    free(scratch);
    return 0;
}
