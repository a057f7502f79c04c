/* Where a training spends its time, kernel by kernel: --profile. */
#ifndef KD_FRONTEND_DRIVER_PROFILE_H
#define KD_FRONTEND_DRIVER_PROFILE_H

#include "frontend/driver/session.h"
#include "frontend/outfile.h"
#include "ir/cost.h"

/* A kernel's calls, all phases of it together. */
typedef struct KdKernelProfile {
    const KdFunc *f;
    const KdInstr *kernel;
    KdrtTask *phase[KD_MAX_PHASES]; /* NULL behind the last one */
    int64_t calls;
    double seconds, least; /* in sum; of the quickest call */
    KdCost cost;           /* of a mean call */
} KdKernelProfile;

/* What engine->trace saw of the kernels of c, in the order of the functions' instructions; the ones
 * never called are left out. */
KdKernelProfile *kd_profile_kernels(const KdCompiled *c, int *n, KdArena *a);

/* A profile of all runs of a training: a table each, and the spans in one file for Perfetto. */
typedef struct KdProfile {
    KdrtTrace *trace;
    KdOutFile file; /* stream NULL: tables only */
    int runs;
    double began;
    bool first; /* no event was written yet */
    bool lost;  /* for want of memory one could not be written */
} KdProfile;

/* Starts the engine's trace where o->profile asks for it. The file is opened at once. */
bool kd_profile_open(KdProfile *p, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                     KdDiag *d);
/* Reports what happened since the last call, all of it by c, and forgets it. */
void kd_profile_run(KdProfile *p, const KdCompiled *c, FILE *out);
/* `good`: keep the file. */
bool kd_profile_close(KdProfile *p, bool good, KdDiag *d);

#endif
