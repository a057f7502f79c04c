/* Packs weights by one object, and asks two others of the same network to read them. */
#include "one.h"
#include "other.h"
#include "same.h"

#include <stdlib.h>

static size_t larger(size_t a, size_t b) {
    return ((a > b ? a : b) + ONE_ALIGN - 1) / ONE_ALIGN * ONE_ALIGN;
}

int main(void) {
    static float x[ONE_INPUTS], logits[ONE_CLASSES];
    size_t bytes = larger(ONE_WEIGHT_BYTES, OTHER_WEIGHT_BYTES);
    void *weights = aligned_alloc(ONE_ALIGN, bytes);
    void *scratch = aligned_alloc(ONE_ALIGN, larger(ONE_SCRATCH_BYTES, OTHER_SCRATCH_BYTES));
    for (size_t k = 0; k < bytes / sizeof(float); k++) ((float *)weights)[k] = 0;
    if (one_pack(weights) != ONE_OK || one_predict(x, 1, logits, weights, scratch) != ONE_OK)
        return 1;
    if (same_predict(x, 1, logits, weights, scratch) != SAME_OK) return 2;
    if (other_predict(x, 1, logits, weights, scratch) != OTHER_NOT_PACKED) return 3;
    if (other_pack(weights) != OTHER_OK) return 4;
    if (other_predict(x, 1, logits, weights, scratch) != OTHER_OK) return 5;
    if (one_predict(x, 1, logits, weights, scratch) != ONE_NOT_PACKED) return 6;
    free(weights);
    free(scratch);
    return 0;
}
