/*
 * Kernels of kind "reduce": sums and maxima over axes that need not be the last, as a bias gradient
 * [B,C,H,W] -> [C] or a loss [B] -> [].
 *
 * Where the innermost dim is kept, vectors run along it and each lane sums its own column in order:
 * that is the map nest. Where it is reduced, vectors run along the reduced dims, and the lanes'
 * partial sums meet in a fixed tree:
 *
 *   for c in [C]:  acc = 0;  for b: for hw by lanes: acc += x[b, c, hw …];  out[c] = tree(acc)
 */
#include "backend/nest.h"

/* A reduction whose result is wanted, and its running value on the stack. */
typedef struct Running {
    const KdInstr *i;
    LLVMValueRef slot;
    LLVMTypeRef type;
} Running;

typedef struct Reduce {
    const KdInstr *kernel;
    KdType shape; /* of what is reduced */
    bool axis[KD_MAX_RANK];
    int n;
    Running *of;
    KdSpace kept, over; /* all kept dims in one; reduced dims, neighbours joined */
    KdPoint at;         /* the kept point now, lanes 1 */
} Reduce;

static bool same_axes(const bool *a, const bool *b) {
    for (int k = 0; k < KD_MAX_RANK; k++) {
        if (a[k] != b[k]) {
            return false;
        }
    }
    return true;
}

/* Fills r; false where the nest of this file does not apply. */
static bool across_lanes(KdEmit *e, const KdInstr *kernel, Reduce *r) {
    *r = (Reduce){ .kernel = kernel };
    int count = 0;
    KD_EACH_INSTR(i, kernel->body) {
        count++;
    }
    r->of = KD_NEW_ARRAY(e->arena, Running, count);
    KdValue **roots = KD_NEW_ARRAY(e->arena, KdValue *, count);
    KD_EACH_INSTR(i, kernel->body) {
        bool axis[KD_MAX_RANK];
        if (!kd_op_has(i->op, KD_T_REDUCTION) ||
            !kd_shape_equal(i->results[0]->type, kernel->results[0]->type)) {
            continue;
        }
        kd_reduced_axes(i, axis);
        if (r->n == 0) {
            kd_reduced_axes(i, r->axis);
            r->shape = i->args[0]->type;
        }
        if (i->op == KD_OP_ARGMAX || !same_axes(axis, r->axis) ||
            !kd_shape_equal(i->args[0]->type, r->shape)) {
            return false;
        }
        roots[r->n] = i->args[0];
        r->of[r->n++].i = i;
    }
    if (r->n == 0 || !r->axis[r->shape.rank - 1]) {
        return false;
    }
    bool join[KD_MAX_RANK], over_join[KD_MAX_RANK] = { false };
    kd_joinable(e, kernel->body, r->n, roots, join);
    KdType kept = { 0 }, over = { 0 };
    for (int k = 0; k < r->shape.rank; k++) {
        if (r->axis[k]) {
            over_join[over.rank] = k + 1 < r->shape.rank && r->axis[k + 1] && join[k];
            over.dim[over.rank++] = r->shape.dim[k];
        } else {
            kept.dim[kept.rank++] = r->shape.dim[k];
        }
    }
    r->kept = kd_space_flat(kept);
    r->over = kd_space(over, over_join);
    return true;
}

static LLVMValueRef kept_count(KdEmit *e, const Reduce *r) {
    return r->kept.ngroups ? kd_group_extent(e, &r->kept.group[0]) : kd_emit_i64(e, 1);
}

static LLVMValueRef reduce_tasks(KdEmit *e, const KdInstr *kernel, int phase) {
    Reduce r;
    if (!across_lanes(e, kernel, &r)) {
        return kd_kind_map.tasks(e, kernel, phase);
    }
    return kd_task_count(e, kept_count(e, &r), kd_task_length(kd_kernel_cost(kernel), 1));
}

/* One vector of what is reduced joins the running values. */
static void accumulate(KdEval *ev, const KdPoint *over, void *user) {
    const Reduce *r = user;
    KdEmit *e = ev->e;
    KdPoint at = *over;
    at.rank = r->shape.rank;
    for (int k = 0, kept = 0, reduced = 0; k < at.rank; k++) {
        at.dim[k] = r->axis[k] ? over->dim[reduced++] : r->at.dim[kept++];
    }
    kd_fetch_ahead(ev, r->shape, &at, 1);
    for (int k = 0; k < r->n; k++) {
        const KdInstr *i = r->of[k].i;
        LLVMValueRef value = kd_eval(ev, i->args[0], &at);
        value = kd_emit_active(e, &at, value, kd_emit_identity(e, i, at.lanes));
        LLVMValueRef so_far = LLVMBuildLoad2(e->b, r->of[k].type, r->of[k].slot, "");
        LLVMBuildStore(e->b, kd_emit_combine(e, i, so_far, value), r->of[k].slot);
    }
}

static void reduce_one(KdEval *ev, Reduce *r) {
    KdEmit *e = ev->e;
    for (int k = 0; k < r->n; k++) {
        LLVMValueRef start = kd_emit_identity(e, r->of[k].i, e->lanes);
        r->of[k].type = LLVMTypeOf(start);
        r->of[k].slot = kd_emit_alloca(e, r->of[k].type, 1, KDRT_ALIGN);
        LLVMBuildStore(e->b, start, r->of[k].slot);
    }
    LLVMValueRef end = kd_group_extent(e, &r->over.group[0]);
    kd_walk(ev, &r->over, kd_emit_i64(e, 0), end, accumulate, r);
    for (int k = 0; k < r->n; k++) {
        LLVMValueRef all = LLVMBuildLoad2(e->b, r->of[k].type, r->of[k].slot, "");
        const KdInstr *i = r->of[k].i;
        kd_eval_bind(ev, i->results[0], &r->at, kd_emit_across(e, i, all));
    }
    const KdInstr *kernel = r->kernel;
    LLVMValueRef *value = KD_NEW_ARRAY(e->arena, LLVMValueRef, kernel->nresults);
    for (int k = 0; k < kernel->nresults; k++) /* before the first store, as in maps */
        value[k] = kd_eval(ev, kernel->body->results[k], &r->at);
    for (int k = 0; k < kernel->nresults; k++)
        kd_emit_store_at(e, kernel->results[k], &r->at, value[k]);
}

static void reduce_emit(KdEmit *e, const KdInstr *kernel, int phase) {
    Reduce r;
    if (!across_lanes(e, kernel, &r)) {
        kd_kind_map.emit(e, kernel, phase);
        return;
    }
    KdEval *ev = kd_eval_create(e, kernel);
    LLVMValueRef lo, hi;
    kd_task_bounds(e, kept_count(e, &r), kd_task_length(kd_kernel_cost(kernel), 1), &lo, &hi);
    KdLoop loop;
    kd_loop_begin(e, &loop, lo, hi, 1);
    int mark = kd_eval_mark(ev);
    KdIdx index = kd_idx_uniform(loop.index, 1);
    r.at = kd_space_point(e, &r.kept, &index, 1);
    reduce_one(ev, &r);
    kd_eval_release(ev, mark);
    kd_loop_end(e, &loop);
}

const KdKernelKind kd_kind_reduce = { .kind = "reduce",
                                      .tasks = reduce_tasks,
                                      .emit = reduce_emit };
