/* Arguments and results of one call: memory laid out as generated code reads it. */
#ifndef KD_FRONTEND_INPUTS_H
#define KD_FRONTEND_INPUTS_H

#include "ir/interp.h"

typedef struct KdBlock {
    KdType type;
    int64_t n, rows; /* what B and N stand for */
    int64_t count;
    void *data; /* of kdrt_alloc */
} KdBlock;

/* Zeroed room for a value of that type; data NULL after an error. */
KdBlock kd_block_create(KdType t, int64_t n, int64_t rows, KdDiag *d);
void kd_block_free(KdBlock *b);
double kd_block_get(const KdBlock *b, int64_t k);

/* Arguments of f for a batch of n: from `inputs` ("x=FILE.npy", count of them), the others by the
 * pattern that `kdc run --help` states. NULL after an error. */
KdBlock *kd_inputs_read(const KdFunc *f, int64_t n, int ninputs, const char *const *inputs,
                        KdArena *a, KdDiag *d);

/* Do the arguments that f uses as indices of rows stay below their numbers? Code takes them as they
 * are. False after an error. */
bool kd_inputs_check_rows(const KdFunc *f, const KdBlock *args, KdDiag *d);

/* The block as the interpreter wants it, and back. */
KdTensor kd_block_tensor(const KdBlock *b, KdArena *a);

/* `%name: f32[B,10], B = 4` and the values, a row a line. */
void kd_block_print(const KdBlock *b, const char *name, FILE *out);

#endif
