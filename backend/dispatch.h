/* Code for several levels of one machine: the function that chooses among them when it is called.
 */
#ifndef KD_BACKEND_DISPATCH_H
#define KD_BACKEND_DISPATCH_H

#include "backend/emit.h"

/* Can code ask at run time what CPU it is on, without an operating system's help? (x86-64) */
bool kd_can_dispatch(KdEmit *e);

/* The exported function NAME: calls the first of the n functions, all of its type, whose target's
 * features this CPU and its operating system have, or returns `code`. */
void kd_emit_dispatch(KdEmit *e, const char *name, int n, const LLVMValueRef *fn,
                      const KdTarget *target, int code);

/* What every x86-64 CPU runs. */
extern const KdTarget kd_any_x86;

#endif
