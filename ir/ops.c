/* The op table as data, pasted from ir/ops.def. */
#include "ir/ops.h"

#include <string.h>

static const KdOpInfo table[KD_NUM_OPS] = {
#define KD_OP(e, text, nargs, infer, adjoint, emit, eval, traits, attrs, meaning) \
    [KD_OP_##e] = { #e, text, nargs, traits, attrs, meaning },
#include "ir/ops.def"
};

const KdOpInfo *kd_op_info(KdOp op) {
    return &table[op];
}

const char *kd_op_text(KdOp op) {
    return table[op].text;
}

bool kd_op_has(KdOp op, unsigned traits) {
    return (table[op].traits & traits) == traits;
}

KdOp kd_op_find(const char *text) {
    int op = 0;
    while (op < KD_NUM_OPS && strcmp(table[op].text, text) != 0) op++;
    return (KdOp)op;
}
