/* Reads argv[1] by examples/idx.h, as images of 28 x 28 bytes; exits with 1 where they are refused.
 */
#include "idx.h"

int main(int argc, char **argv) {
    int64_t rows = 0;
    uint8_t *images = argc == 2 ? read_idx(argv[1], &rows, 784) : NULL;
    kdrt_free(images);
    return !images;
}
