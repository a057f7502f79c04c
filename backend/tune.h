/*
 * `--gemm=auto`: a short measurement decides for each distinct contraction whether our own kernels
 * or OpenBLAS compute it. The decisions are a table by key, so that they can be remembered,
 * recorded and repeated: equal tables give equal code.
 */
#ifndef KD_BACKEND_TUNE_H
#define KD_BACKEND_TUNE_H

#include "backend/backend.h"

typedef struct KdChoice {
    const char *key; /* of the contraction: shapes and accesses, nothing else */
    bool openblas;   /* else native */
    double native_seconds, openblas_seconds; /* of the kernel it was measured in; 0: not known */
} KdChoice;

/* Zeroed, it is empty. Keys live in `arena`. */
typedef struct KdTuning {
    KdArena *arena;
    int n, room;
    KdChoice *choice;
} KdTuning;

/* Shapes, accesses and the batch's bound as one line: what decides a contraction's speed. */
const char *kd_contraction_key(const KdInstr *i, KdArena *a);

const KdChoice *kd_tuning_find(const KdTuning *t, const char *key); /* or NULL */
/* Adds a choice, or replaces the one of that key; the key is copied. */
void kd_tuning_add(KdTuning *t, const KdChoice *choice);

/* A line for each contraction of the functions that OpenBLAS computes: all that code depends on. */
const char *kd_tuning_plan(const KdTuning *t, int n, const KdEntry *entries, KdArena *a);

/* Measures every contraction of the functions whose key has no choice yet, by running its kernel on
 * `pool`, as o->threads and o->sgemm say. Returns how many were measured, -1 after an error. */
int kd_tune(int n, const KdEntry *entries, const KdBackendOptions *o, KdrtPool *pool, KdTuning *t,
            KdDiag *d);

#endif
