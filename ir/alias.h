/*
 * Instructions that cost nothing at the kernel level, because their result is memory that is
 * there already: `reshape`, a `view` that is a contiguous slice, `slab`.
 */
#ifndef KD_IR_ALIAS_H
#define KD_IR_ALIAS_H

#include "ir/ir.h"

/* Is the view `i` a run of its operand's elements, in order and in range? Then *start is the
 * first of them, the same for every batch size. */
bool kd_view_is_slice(const KdInstr *i, int64_t *start);

/* Is `i` one of the aliases of the kernel level? */
bool kd_instr_is_alias(const KdInstr *i);

#endif
