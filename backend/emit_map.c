/*
 * Kernels of kind "map": every result element on its own, over one iteration space. Tasks are runs
 * of the outermost group, of tens of KB of traffic each. The evaluator knows every op of a
 * body, so this nest also serves kernels whose kind has no better one for their shape.
 */
#include "backend/contract.h"
#include "backend/nest.h"

static KdSpace map_space(KdEmit *e, const KdInstr *kernel) {
    bool join[KD_MAX_RANK];
    kd_joinable(e, kernel, kernel->nresults, kernel->body->results, join);
    return kd_space(kernel->results[0]->type, join);
}

/* Indices of the outermost group in one task. */
static int64_t run_length(KdEmit *e, const KdInstr *kernel, const KdSpace *s) {
    int64_t cost = kd_kernel_cost(kernel);
    for (int g = 1; g < s->ngroups; g++) {
        cost *= s->group[g].extent;
    }
    return kd_task_length(cost, kd_walk_step(e, s));
}

static LLVMValueRef map_tasks(KdEmit *e, const KdInstr *kernel, int phase) {
    (void)phase;
    KdSpace s = map_space(e, kernel);
    if (s.ngroups == 0) {
        return kd_emit_i32(e, 1);
    }
    return kd_task_count(e, kd_group_extent(e, &s.group[0]), run_length(e, kernel, &s));
}

/* All results of a point before the first store: one of them may take over an operand's memory. Of
 * windows, and of products in place, the loads wait for memory; else stores do. */
static void map_point(KdEval *ev, const KdPoint *at, void *user) {
    (void)user;
    const KdInstr *kernel = ev->kernel;
    kd_fetch_ahead(ev, kernel->results[0]->type, at, kd_contraction_of(kernel) ? 1 : 2);
    LLVMValueRef *value = KD_NEW_ARRAY(ev->e->arena, LLVMValueRef, kernel->nresults);
    for (int k = 0; k < kernel->nresults; k++) {
        value[k] = kd_eval(ev, kernel->body->results[k], at);
    }
    for (int k = 0; k < kernel->nresults; k++) {
        kd_emit_store_at(ev->e, kernel->results[k], at, value[k]);
    }
}

static void map_emit(KdEmit *e, const KdInstr *kernel, int phase) {
    (void)phase;
    KdSpace s = map_space(e, kernel);
    KdEval *ev = kd_eval_create(e, kernel);
    LLVMValueRef lo = NULL, hi = NULL;
    if (s.ngroups) {
        LLVMValueRef total = kd_group_extent(e, &s.group[0]);
        kd_task_bounds(e, total, run_length(e, kernel, &s), &lo, &hi);
    }
    kd_walk(ev, &s, lo, hi, map_point, NULL);
}

const KdKernelKind kd_kind_map = { .kind = "map", .tasks = map_tasks, .emit = map_emit };
