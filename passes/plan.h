/*
 * Inside of plan-memory: where each value of a kernel-level function lies.
 *
 * Every value has a root, the value whose buffer it lies in: itself for a kernel's result, the
 * operand's root for an alias, the slab for an operand of a slab. A root has a home: an argument's
 * memory, a result's, or a buffer of the arena with a live range.
 */
#ifndef KD_PASSES_PLAN_H
#define KD_PASSES_PLAN_H

#include "ir/ir.h"

typedef struct KdLive {
    int first, last; /* positions of instructions, both included */
} KdLive;

typedef struct KdRoot {
    KdValue *v;
    int64_t offset; /* bytes into v's buffer */
} KdRoot;

/* By value id of f; filled anew after instructions were inserted. */
typedef struct KdPlan {
    KdFunc *f;
    KdDiag *d;
    KdArena *a;
    int ninstrs;
    int *position; /* of the instruction that defines the value; -1: an argument */
    KdRoot *root;
    bool *homed; /* roots whose place is set: arguments, results, what takes them over */
} KdPlan;

/* plan_live.c. `slabs`: operands of a slab lie in it; without, each is still its own root. */
void kd_plan_resolve(KdPlan *p, bool slabs);
int64_t kd_plan_bytes(const KdPlan *p, const KdValue *v);
/* Positions from the first write into a root's buffer to the last read. */
KdLive kd_plan_live(const KdPlan *p, const KdValue *root);
/* Does kernel `i` read operand k, while computing an element of its results, at that element only?
 */
bool kd_kernel_reads_in_step(const KdInstr *i, int k);

/* plan_home.c: inserts the copies that slabs and results need, resolves, and sets the places of
 * what lies in arguments and results. False after an error. */
bool kd_plan_homes(KdPlan *p);

#endif
