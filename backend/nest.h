/*
 * Iteration spaces: the dims of a kernel's results (or of what it reduces), neighbours joined into
 * groups that are walked as one loop, and the vectors over the innermost of them.
 */
#ifndef KD_BACKEND_NEST_H
#define KD_BACKEND_NEST_H

#include "backend/eval.h"

typedef struct KdGroup {
    int first, last; /* dims of the shape */
    int64_t extent;  /* product of their constant extents */
    bool batch;      /* times n */
} KdGroup;

typedef struct KdSpace {
    KdType shape;
    int ngroups;
    KdGroup group[KD_MAX_RANK];
} KdSpace;

/* The space of `shape` with dims k and k + 1 joined where join[k]. */
KdSpace kd_space(KdType shape, const bool *join);
/* Which neighbouring dims of the roots, n values of the kernel's body of one shape, every access
 * permits to join: join[k] for (k, k + 1). */
void kd_joinable(KdEmit *e, const KdInstr *kernel, int n, KdValue *const *roots,
                 bool join[KD_MAX_RANK]);
/* All dims in one group; none for a scalar. */
KdSpace kd_space_flat(KdType shape);
LLVMValueRef kd_group_extent(KdEmit *e, const KdGroup *g);
/* The point of the shape for one index per group. */
KdPoint kd_space_point(KdEmit *e, const KdSpace *s, const KdIdx *index, int lanes);

/* What is emitted at each point of a walk; `lanes` > 1 but in a space without dims. */
typedef void KdWalkBody(KdEval *ev, const KdPoint *at, void *user);

/* Walks all of s but for the outermost group, of which [lo, hi): vectors along the innermost group,
 * or, where that is narrower than a vector, along it and rows of the next. */
void kd_walk(KdEval *ev, const KdSpace *s, LLVMValueRef lo, LLVMValueRef hi, KdWalkBody *body,
             void *user);
/* What `lo` must be a multiple of. */
int64_t kd_walk_step(KdEmit *e, const KdSpace *s);

/* prefetch.c: a nest goes through `shape` in order and stands at `at`: asks for what it will read a
 * page on of large operands, those with at least so many elements for each of the shape. */
void kd_fetch_ahead(KdEval *ev, KdType shape, const KdPoint *at, int64_t least);

/* The same of one value of that shape, so many elements on. */
void kd_fetch_value(KdEval *ev, const KdValue *v, const KdPoint *at, int64_t ahead);

/* Rough bytes of traffic (costly ops count as some) for one element of each of the kernel's
 * operands, results and ops; reductions count all their elements. */
int64_t kd_kernel_cost(const KdInstr *kernel);
/* Indices of an outermost group in one task: about as many as make a task worth its start, a
 * multiple of step. `cost`: of one index. */
int64_t kd_task_length(int64_t cost, int64_t step);
/* The same of slices that are gone through side by side, a piece of so many bytes of each at a
 * time: so many, where there are enough, that the pieces fill some pages. */
int64_t kd_task_slices(int64_t cost, int64_t piece, int64_t slices);
/* Number of tasks, i32, and this task's [lo, hi), for a group of `total` in runs of `length`. */
LLVMValueRef kd_task_count(KdEmit *e, LLVMValueRef total, int64_t length);
void kd_task_bounds(KdEmit *e, LLVMValueRef total, int64_t length, LLVMValueRef *lo,
                    LLVMValueRef *hi);

#endif
