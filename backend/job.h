/* One of the jobs that a compilation is dealt out over (object.c): its kernels, and what they
 * became. */
#ifndef KD_BACKEND_JOB_H
#define KD_BACKEND_JOB_H

#include "backend/emit.h"
#include "backend/pieces.h"

#include <llvm-c/TargetMachine.h>

typedef struct KdJob {
    KdEmit e;
    int npieces;
    const KdPiece **pieces;
    bool main; /* holds the functions that call the kernels */
    int nentries;
    const KdEntry *entries;
    const char *text; /* NULL: object bytes; "llvm-ir" or "asm" */
    LLVMTargetMachineRef machine;
    bool failed;
    char *message;
    char *bytes; /* malloc'ed */
    size_t size;
} KdJob;

/* Emits, optimises and writes it: bytes and size, or failed, with a message where LLVM has one. */
void kd_job_run(KdJob *job);

#endif
