/* What must hold of a module at any time; passes are checked against this after each run. */
#ifndef KD_IR_VERIFY_H
#define KD_IR_VERIFY_H

#include "ir/ir.h"

/* Definitions before uses, types as the shape rules have them, attributes as the op table has
 * them, names unique, calls and hyperparameters known, kernel bodies bound to their operands, no
 * gradient of a teacher's parameters, no randomness in a teacher in inference form, planned buffers
 * that are live at one time disjoint.
 * Says an error per violation and returns whether there was none. */
bool kd_verify(const KdModule *m, KdDiag *d);

#endif
