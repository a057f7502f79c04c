/* What a kernel has to do and to move, by its shapes alone: the yardstick of measured times. */
#ifndef KD_IR_COST_H
#define KD_IR_COST_H

#include "ir/ir.h"

typedef struct KdCost {
    double contraction; /* multiplications and additions of its contractions */
    double elementwise; /* of everything else: one for each element that an op computes or sums */
    double bytes;       /* of its operands and results, each once */
} KdCost;

/* Of one kernel (or of any other instruction of a function) for n rows, which may be a mean over
 * several calls. */
KdCost kd_cost(const KdInstr *kernel, double n);

#endif
