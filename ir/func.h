/* What func.c, build.c and rewrite.c share about values and names. Inside of ir/ only. */
#ifndef KD_IR_FUNC_H
#define KD_IR_FUNC_H

#include "ir/ir.h"

/* A value of f under a unique form of `name`, with the next id; not yet an argument or a result. */
KdValue *kd_value_create(KdFunc *f, const char *name, KdType t, KdLoc loc);

/* The name may be given to another value again. */
void kd_func_release_name(KdFunc *f, const char *name);

/* Links i, which stands nowhere, in front of `where` (NULL: at the end). */
void kd_instr_insert(KdInstr *i, KdInstr *where);

#endif
