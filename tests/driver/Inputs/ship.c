/* Calls a shipped network on made-up samples, all at once and one by one; prints the logits. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES 37

int main(void) {
    static float x[SAMPLES * MY_NET_INPUTS], all[SAMPLES * MY_NET_CLASSES], one[MY_NET_CLASSES];
    size_t bytes = (MY_NET_SCRATCH_BYTES + MY_NET_ALIGN - 1) / MY_NET_ALIGN * MY_NET_ALIGN;
    void *scratch = aligned_alloc(MY_NET_ALIGN, bytes);
    for (int k = 0; k < SAMPLES * MY_NET_INPUTS; k++) x[k] = (float)(k * 7919 % 1009) / 1009;
    if (my_net_predict(x, SAMPLES, all, NULL, scratch) != MY_NET_OK) return 1;
    for (int i = 0; i < SAMPLES; i++) {
        if (my_net_predict(x + i * MY_NET_INPUTS, 1, one, NULL, scratch) != MY_NET_OK) return 2;
        for (int k = 0; k < MY_NET_CLASSES; k++) {
            if (one[k] != all[i * MY_NET_CLASSES + k]) return 3;
            printf("%.6f\n", one[k]);
        }
    }
    if (my_net_predict(x, -1, all, NULL, scratch) != MY_NET_BAD_ARGUMENT) return 4;
    free(scratch);
    return 0;
}
