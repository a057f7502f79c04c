/*
 * Padding behind the rows of a tensor (ir/type.h) is a matter between the kernels that write it and
 * those that read it: no value has any that others see, and all of these know of it.
 */
#include <string.h>

#include "ir/verify_rules.h"

bool kd_verify_pad(const KdValue *v, bool body, KdDiag *d) {
    const KdType t = v->type;
    if (!t.pad) return true;
    bool argument = !v->def, fixed = t.rank >= 2;
    bool holds = v->def && (v->def->op == KD_OP_KERNEL || v->def->op == KD_OP_RESHAPE);
    const char *wrong = NULL;
    for (int k = 1; k < t.rank; k++) fixed &= t.dim[k] > 0;
    if (!fixed) wrong = "has padding behind rows of no fixed length";
    if (body ? !argument : !holds)
        wrong = "has padding, which only results of kernels, and reshapes of them, may have";
    if (!wrong) return true;
    return kd_error(d, v->loc, "%%%s %s", v->name, wrong);
}

/* A reshape of padded rows leaves them what they are. */
static bool keeps_rows(const KdInstr *i) {
    KdType from = i->args[0]->type, to = i->results[0]->type;
    return from.pad == to.pad && (!to.pad || from.dim[0] == to.dim[0]);
}

bool kd_verify_pads(const KdInstr *i, bool body, KdDiag *d) {
    if (body) return true; /* its arguments alone have any, which any access may read */
    if (i->op == KD_OP_RESHAPE)
        return keeps_rows(i) || kd_error(d, i->loc, "reshape: the padding of rows does not stay");
    bool single = strcmp(kd_attr_str(i->attrs, "kind", ""), "single") == 0;
    for (int k = 0; k < i->nargs; k++) {
        int64_t wanted = i->op == KD_OP_KERNEL && !single ? i->body->args[k]->type.pad : 0;
        if (i->args[k]->type.pad != wanted)
            return kd_error(d, i->loc, "%s: operand %%%s has padding of %lld elements, not %lld",
                            kd_op_text(i->op), i->args[k]->name, (long long)i->args[k]->type.pad,
                            (long long)wanted);
    }
    for (int k = 0; single && k < i->nresults; k++)
        if (i->results[k]->type.pad)
            return kd_error(d, i->loc, "kernel: kind single: a result has padding");
    return true;
}
