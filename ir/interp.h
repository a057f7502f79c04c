/*
 * The reference interpreter: slow, obviously correct, in double precision. It gives every op its
 * meaning at the tensor and at the kernel level; what the compiler emits is checked against it.
 */
#ifndef KD_IR_INTERP_H
#define KD_IR_INTERP_H

#include "ir/ir.h"

/* A tensor's values, row major; every dtype is held in doubles. */
typedef struct KdTensor {
    KdType type;
    int64_t n;    /* what KD_BATCH stands for */
    int64_t rows; /* what KD_ROWS stands for */
    int64_t count;
    double *data;
} KdTensor;

KdTensor kd_tensor_create(KdArena *a, KdType t, int64_t n, int64_t rows);

typedef struct KdInterp {
    KdArena *arena;      /* where results go */
    uint64_t seed;       /* key of the random numbers */
    const double *hyper; /* by module order; NULL: the module's own values */
    int64_t n;           /* rows in the batch */
    bool round_f32;      /* round each f32 result to float: closer to what runs */
    FILE *print;         /* where `print` writes; NULL: nowhere */
    /* Called with each value computed when set; false stops (used to find the first NaN). */
    bool (*watch)(void *user, const KdInstr *i, const KdTensor *value);
    void *user;
} KdInterp;

/* Runs f on args (f->nargs of them); fills results (f->nresults). False after an error: an
 * argument of another shape, an index out of range in gather. */
bool kd_interpret(const KdInterp *in, const KdFunc *f, const KdTensor *args, KdTensor *results,
                  KdDiag *d);

/* One random number of the stream, as generated code draws it (runtime/README.md). */
double kd_philox_uniform(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                         uint32_t stream);
double kd_philox_normal(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                        uint32_t stream);
uint32_t kd_stream_hash(const char *name); /* FNV-1a, 32 bit */

#endif
