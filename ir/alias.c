/*
 * Which views are plain pointers into their operand: every dim is read with stride one from a
 * constant start, and behind the outermost dim that is cut, every dim is read whole.
 */
#include "ir/alias.h"

/* Start of a dim read as d_k + start, or -1. */
static int64_t dim_start(const KdIndex *x, int k) {
    KdIndex plain = *x;
    plain.offset = 0;
    if (kd_index_is_iter(&plain, k)) return x->offset;
    return -1;
}

/* Does a step along dim k take as many elements for every batch? */
static bool has_constant_stride(KdType t, int k) {
    for (int j = k + 1; j < t.rank; j++)
        if (t.dim[j] < 0) return false;
    return true;
}

bool kd_view_is_slice(const KdInstr *i, int64_t *start) {
    if (i->op != KD_OP_VIEW) return false;
    KdType from = i->args[0]->type, to = i->results[0]->type;
    if (from.rank != to.rank || from.dtype != to.dtype || from.pad || to.pad) return false;
    int64_t stride[KD_MAX_RANK];
    kd_type_strides(from, 1, stride);
    bool cut = false; /* a dim further out holds more than one element */
    *start = 0;
    for (int k = 0; k < to.rank; k++) {
        const KdIndex *x = &i->access->dim[k];
        /* A dim of one element may also be read by a constant index. */
        int64_t at =
            to.dim[k] == 1 && x->nterms == 0 && x->divisor == 1 ? x->offset : dim_start(x, k);
        bool whole = at == 0 && from.dim[k] == to.dim[k];
        if (at < 0 || (cut && !whole)) return false;
        if (!whole && (from.dim[k] < 0 || to.dim[k] < 0)) return false;
        if (!whole && at + to.dim[k] > from.dim[k]) return false;
        if (at > 0 && !has_constant_stride(from, k)) return false;
        if (to.dim[k] != 1) cut = true;
        *start += at * stride[k];
    }
    return true;
}

bool kd_instr_is_alias(const KdInstr *i) {
    int64_t start;
    return i->op == KD_OP_SLAB || kd_op_has(i->op, KD_T_ALIAS) || kd_view_is_slice(i, &start);
}
