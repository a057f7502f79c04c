/* The op enum and the facts that ir/ops.def states of each op. */
#ifndef KD_IR_OPS_H
#define KD_IR_OPS_H

#include <stdbool.h>

typedef enum KdOp {
#define KD_OP(e, text, nargs, infer, adjoint, emit, eval, traits, attrs, meaning) KD_OP_##e,
#include "ir/ops.def"
    KD_NUM_OPS
} KdOp;

enum KdTrait {
    KD_T_ELEMENTWISE = 1 << 0, /* result element depends on the operands' same element */
    KD_T_COMMUTES = 1 << 1,    /* operands may be swapped: bits and adjoints stay */
    KD_T_LEAF = 1 << 2,        /* no operands; cheap to compute again wherever it is used */
    KD_T_RANDOM = 1 << 3,      /* reads the seed; still a pure function of it and its operands */
    KD_T_MOVEMENT = 1 << 4,    /* rearranges elements without arithmetic */
    KD_T_ALIAS = 1 << 5,       /* may share its operand's memory */
    KD_T_REDUCTION = 1 << 6,   /* drops `axes` */
    KD_T_CONTRACTION = 1 << 7, /* the matrix-product family */
    KD_T_EFFECT = 1 << 8,      /* must stay, in order */
    KD_T_STRUCTURE = 1 << 9,   /* holds or names other code */
    KD_T_COSTLY = 1 << 10,     /* not worth computing twice */
    KD_T_SETTING = 1 << 11,    /* what it reads is settled by each call: n, a hyperparameter */
};

typedef struct KdOpInfo {
    const char *name;
    const char *text;
    int nargs;
    unsigned traits;
    const char *attrs;
    const char *meaning;
} KdOpInfo;

const KdOpInfo *kd_op_info(KdOp op);
const char *kd_op_text(KdOp op);
bool kd_op_has(KdOp op, unsigned traits); /* all of them */
/* The op named `text`, or KD_NUM_OPS. */
KdOp kd_op_find(const char *text);

#endif
