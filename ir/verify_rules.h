/* What the files of the verifier share. Inside of ir/ only. */
#ifndef KD_IR_VERIFY_RULES_H
#define KD_IR_VERIFY_RULES_H

#include "ir/ir.h"

/* Has the argument the type that its kind asks for, a parameter's that of the declared one? Have
 * parameters fixed shapes? */
bool kd_verify_argument(const KdModule *m, const KdFunc *f, const KdValue *x, KdDiag *d);
bool kd_verify_parameters(const KdModule *m, KdDiag *d);

/* A kernel's body holds what its `kind` may hold, as ir/README.md's table says. */
bool kd_verify_kernel(const KdInstr *i, KdDiag *d);

/* Is a value's padding the same for all that read and write it? `body`: v or i is of a kernel's. */
bool kd_verify_pad(const KdValue *v, bool body, KdDiag *d);
bool kd_verify_pads(const KdInstr *i, bool body, KdDiag *d);

/* Places of a planned function: each value has one, inside of its space; those live at one time
 * for max_batch rows do not overlap, but for aliases and kernels that work in place. */
bool kd_verify_memory(const KdFunc *f, KdDiag *d);

#endif
