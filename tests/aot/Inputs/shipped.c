/* The class of made-up images, and the images as PGM files in the folder of the argument. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    static float x[MY_NET_INPUTS], logits[MY_NET_CLASSES];
    static const char *const names[] = { MY_NET_CLASS_NAMES };
    size_t bytes = (MY_NET_SCRATCH_BYTES + MY_NET_ALIGN - 1) / MY_NET_ALIGN * MY_NET_ALIGN;
    void *scratch = aligned_alloc(MY_NET_ALIGN, bytes);
    for (int i = 0; i < 5; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d.pgm", argc > 1 ? argv[1] : ".", i);
        FILE *out = fopen(path, "wb");
        if (!out) return 1;
        fputs("P5\n# made up\n28 28\n255\n", out);
        for (int k = 0; k < MY_NET_INPUTS; k++) {
            unsigned char byte = (unsigned char)((k * (i + 3) * 7919 + i) % 251);
            fputc(byte, out);
            x[k] = (float)byte * MY_NET_INPUT_SCALE;
        }
        fclose(out);
        if (my_net_predict(x, 1, logits, NULL, scratch) != MY_NET_OK) return 2;
        int best = 0;
        for (int k = 1; k < MY_NET_CLASSES; k++) best = logits[k] > logits[best] ? k : best;
        printf("%s: %s (%.3f)\n", path, names[best], logits[best]);
    }
    free(scratch);
    return 0;
}
