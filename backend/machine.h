/* Inside the backend: LLVM's target machine for a KdTarget. */
#ifndef KD_BACKEND_MACHINE_H
#define KD_BACKEND_MACHINE_H

#include <llvm-c/TargetMachine.h>

#include "backend/backend.h"

/* To be called before the others, from any thread, any number of times. */
void kd_machine_initialize(void);
/* The feature string that goes with t->cpu: the host's own when it is the host's CPU, else none. */
const char *kd_machine_features(const KdTarget *t, KdArena *a);
/* What "openblas" code of o calls, or NULL. */
KdSgemm *kd_object_sgemm(const KdObject *o);
/* What calls the kernels of o. */
KdParallel *kd_object_parallel(const KdObject *o);
/* Who is told that o was loaded. */
KdDebugKind kd_object_debug(const KdObject *o);
/* NULL after an error. */
LLVMTargetMachineRef kd_machine_create(const KdTarget *t, const char *features, KdDiag *d);

#endif
