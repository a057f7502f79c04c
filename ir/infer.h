/* Shape rules, shared by builder, parser and verifier. Inside of ir/ only. */
#ifndef KD_IR_INFER_H
#define KD_IR_INFER_H

#include "ir/ir.h"

/* Checks i's operands, attributes, access, contract and body, and finds its result types: out has
 * room for kd_infer_count(i) of them. `hint` is the type of the first result where the rule cannot
 * know it (view, reshape, cast, constant, iota, rng, contract); elsewhere NULL or the type to
 * agree with. False after a kd_error that names op and shapes, and notes for the operands. */
bool kd_infer(KdInstr *i, const KdType *hint, KdType *out, KdDiag *d);

/* How many results i has: 1, or as many as its callee or its body returns (0 when there is none).
 */
int kd_infer_count(const KdInstr *i);

/* Says the error `i's op: …` and a note for each operand's place. Always false. */
bool kd_instr_error(const KdInstr *i, KdDiag *d, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Is t a tensor that may exist: rank, extents and the number of elements within their limits? */
bool kd_type_valid(KdType t, int64_t max_batch);

#endif
