/* The class that logits stand for. */
#include "runtime/kdrt.h"

#include <math.h>

int kdrt_argmax(const float *row, int classes) {
    int best = 0;
    for (int c = 1; c < classes; c++) {
        if (row[c] > row[best] || (isnan(row[best]) && !isnan(row[c]))) best = c;
    }
    return best;
}
