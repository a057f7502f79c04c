/*
 * Kernels of kind "reduce": sums and maxima over axes that need not be the last, as a bias gradient
 * [B,C,H,W] -> [C] or a loss [B] -> []; and of kind "norm": what is computed with these, as a batch
 * norm.
 *
 * Where the innermost dim is kept, vectors run along it and each lane sums its own column in order:
 * that is the map nest. Where it is reduced, vectors run along the reduced dims, and the lanes'
 * partial sums meet in a fixed tree:
 *
 *   for b:  for c in [C]:  for hw by lanes: acc[c] += x[b, c, hw …]          out[c] = tree(acc[c])
 *
 * A task has some neighbouring slices c, and goes through their pieces as these lie in memory: a
 * page that is looked up for one holds others too. It does so once for each level of reductions,
 * those that need others being of a later one, and a norm once more, to store what has the whole
 * shape.
 */
#include "backend/nest.h"

#include <string.h>

#define AHEAD 2048 /* bytes */

/* A reduction whose result is wanted. */
typedef struct Running {
    const KdInstr *i;
    int level;          /* 1 where it needs no other one */
    LLVMTypeRef type;   /* of its running value */
    LLVMValueRef value; /* a vector for each slice of the task */
} Running;

typedef struct Reduce {
    const KdInstr *kernel;
    KdType shape, reduced; /* of what is reduced, and of the reductions */
    bool axis[KD_MAX_RANK];
    int n, levels;
    Running *of;
    int *level;           /* by value id: of the reductions that it needs; 0: of none */
    int *read;            /* by operand of the kernel: at which level first */
    KdSpace kept;         /* all kept dims in one: slices */
    KdSpace outer, inner; /* reduced dims, neighbours joined: the first, if there are several, and
                             those that make a piece */
    int64_t width;        /* slices of a task */
    LLVMValueRef *slot;   /* by value id: what there is once for a slice, for each of the task's */
    LLVMValueRef lo, hi;  /* the task's slices */
    /* Where code stands. */
    int now;          /* level; behind the last one results are stored */
    LLVMValueRef nth; /* slice of the task */
    KdPoint at;       /* the slice, lanes 1 */
    KdPoint outer_at; /* the piece of it */
} Reduce;

/* --- the plan --------------------------------------------------------------------------------- */

static bool same_axes(const bool *a, const bool *b) {
    for (int k = 0; k < KD_MAX_RANK; k++) {
        if (a[k] != b[k]) {
            return false;
        }
    }
    return true;
}

static bool is_norm(const KdInstr *kernel) {
    return strcmp(kd_attr_str(kernel->attrs, "kind", ""), "norm") == 0;
}

static void find_levels(KdEmit *e, Reduce *r) {
    r->level = KD_NEW_ARRAY(e->arena, int, r->kernel->body->nvalues);
    KD_EACH_INSTR(i, r->kernel->body) {
        int level = 0;
        for (int k = 0; k < i->nargs; k++)
            if (r->level[i->args[k]->id] > level) level = r->level[i->args[k]->id];
        level += kd_op_has(i->op, KD_T_REDUCTION);
        for (int k = 0; k < i->nresults; k++) r->level[i->results[k]->id] = level;
        if (level > r->levels) r->levels = level;
    }
}

/* Results of the whole shape are made behind all levels, and read their operands there. */
static void find_reads(KdEmit *e, Reduce *r) {
    const KdFunc *body = r->kernel->body;
    int *first = KD_NEW_ARRAY(e->arena, int, body->nvalues);
    for (int v = 0; v < body->nvalues; v++) first[v] = r->levels + 1;
    for (const KdInstr *i = body->last; i; i = i->prev) {
        int id = i->results[0]->id;
        int from = kd_op_has(i->op, KD_T_REDUCTION) ? r->level[id] : first[id];
        for (int k = 0; k < i->nargs; k++)
            if (from < first[i->args[k]->id]) first[i->args[k]->id] = from;
    }
    r->read = KD_NEW_ARRAY(e->arena, int, r->kernel->nargs);
    for (int k = 0; k < r->kernel->nargs; k++) r->read[k] = first[body->args[k]->id];
}

/* Is i a reduction that the nest makes? Of a kernel of kind "reduce" that ends in others, these. */
static bool is_made(const KdInstr *i, const KdInstr *kernel) {
    return kd_op_has(i->op, KD_T_REDUCTION) &&
           (is_norm(kernel) || kd_shape_equal(i->results[0]->type, kernel->results[0]->type));
}

/* Fills r->of, and what they have in common; false where the nest of this file does not apply. */
static bool find_reductions(KdEmit *e, Reduce *r) {
    int count = 0;
    KD_EACH_INSTR(i, r->kernel->body) count++;
    r->of = KD_NEW_ARRAY(e->arena, Running, count);
    KD_EACH_INSTR(i, r->kernel->body) {
        bool axis[KD_MAX_RANK];
        if (!is_made(i, r->kernel)) continue;
        kd_reduced_axes(i, axis);
        if (r->n == 0) {
            kd_reduced_axes(i, r->axis);
            r->shape = i->args[0]->type;
            r->reduced = i->results[0]->type;
        }
        if (i->op == KD_OP_ARGMAX || !same_axes(axis, r->axis) ||
            !kd_shape_equal(i->args[0]->type, r->shape)) {
            return false;
        }
        r->of[r->n++] = (Running){ .i = i, .level = r->level[i->results[0]->id] };
    }
    return r->n > 0 && r->axis[r->shape.rank - 1];
}

/* Neighbouring dims of the whole shape that every access permits to join. */
static void find_joins(KdEmit *e, const Reduce *r, bool join[KD_MAX_RANK]) {
    const KdInstr *kernel = r->kernel;
    KdValue **root = KD_NEW_ARRAY(e->arena, KdValue *, r->n + kernel->nresults);
    int n = 0;
    for (int k = 0; k < r->n; k++) root[n++] = r->of[k].i->args[0];
    for (int k = 0; k < kernel->nresults; k++)
        if (kd_shape_equal(kernel->results[k]->type, r->shape))
            root[n++] = kernel->body->results[k];
    kd_joinable(e, kernel, n, root, join);
}

/* The groups [from, to) of a space. */
static KdSpace part_of(const KdSpace *s, int from, int to) {
    KdSpace part = { 0 };
    for (int g = from; g < to; g++) {
        part.group[part.ngroups] = s->group[g];
        part.group[part.ngroups].first = part.shape.rank;
        for (int k = s->group[g].first; k <= s->group[g].last; k++)
            part.shape.dim[part.shape.rank++] = s->shape.dim[k];
        part.group[part.ngroups++].last = part.shape.rank - 1;
    }
    return part;
}

static void find_spaces(KdEmit *e, Reduce *r) {
    bool join[KD_MAX_RANK], over_join[KD_MAX_RANK] = { false };
    find_joins(e, r, join);
    KdType kept = { 0 }, over = { 0 };
    for (int k = 0; k < r->shape.rank; k++) {
        if (r->axis[k]) {
            over_join[over.rank] = k + 1 < r->shape.rank && r->axis[k + 1] && join[k];
            over.dim[over.rank++] = r->shape.dim[k];
        } else {
            kept.dim[kept.rank++] = r->shape.dim[k];
        }
    }
    KdSpace all = kd_space(over, over_join);
    r->kept = kd_space_flat(kept);
    r->outer = part_of(&all, 0, all.ngroups > 1 ? 1 : 0);
    r->inner = part_of(&all, r->outer.ngroups, all.ngroups);
}

static int64_t piece_bytes(const Reduce *r) {
    int64_t bytes = 4;
    for (int g = 0; g < r->inner.ngroups; g++) bytes *= r->inner.group[g].extent;
    return bytes;
}

/* False where the nest of this file does not apply, which the map nest then does. */
static bool plan_reduce(KdEmit *e, const KdInstr *kernel, Reduce *r) {
    *r = (Reduce){ .kernel = kernel };
    find_levels(e, r);
    find_reads(e, r);
    if (!find_reductions(e, r)) {
        if (is_norm(kernel)) kd_bug(e->diag, "%%%s: no norm", kernel->results[0]->name);
        return false;
    }
    find_spaces(e, r);
    int64_t side_by_side = r->outer.ngroups && r->kept.ngroups ? r->kept.group[0].extent : 1;
    r->width = kd_task_slices(kd_kernel_cost(kernel), piece_bytes(r), side_by_side);
    return true;
}

static LLVMValueRef slice_count(KdEmit *e, const Reduce *r) {
    return r->kept.ngroups ? kd_group_extent(e, &r->kept.group[0]) : kd_emit_i64(e, 1);
}

static LLVMValueRef reduce_tasks(KdEmit *e, const KdInstr *kernel, int phase) {
    Reduce r;
    if (!plan_reduce(e, kernel, &r)) {
        return kd_kind_map.tasks(e, kernel, phase);
    }
    return kd_task_count(e, slice_count(e, &r), r.width);
}

/* --- slices ----------------------------------------------------------------------------------- */

static LLVMValueRef of_slice(KdEmit *e, const Reduce *r, LLVMTypeRef type, LLVMValueRef base) {
    return kd_emit_element(e, type, base, r->nth);
}

/* Keeps v, which has the reduced shape, for this slice. */
static void keep(KdEval *ev, Reduce *r, const KdValue *v, LLVMValueRef value) {
    KdEmit *e = ev->e;
    LLVMTypeRef type = LLVMTypeOf(value);
    if (!r->slot[v->id]) r->slot[v->id] = kd_emit_alloca(e, type, r->width, KDRT_ALIGN);
    LLVMBuildStore(e->b, value, of_slice(e, r, type, r->slot[v->id]));
}

/* What was kept for this slice is known from here on. */
static void recall(KdEval *ev, const Reduce *r) {
    KD_EACH_INSTR(i, r->kernel->body) {
        const KdValue *v = i->results[0];
        if (!r->slot[v->id]) continue;
        LLVMTypeRef type = LLVMGetElementType(LLVMGetAllocatedType(r->slot[v->id]));
        LLVMValueRef from = of_slice(ev->e, r, type, r->slot[v->id]);
        kd_eval_bind(ev, v, &r->at, LLVMBuildLoad2(ev->e->b, type, from, ""));
    }
}

typedef void SliceBody(KdEval *ev, Reduce *r);

static void each_slice(KdEval *ev, Reduce *r, SliceBody *body) {
    KdEmit *e = ev->e;
    KdLoop loop;
    kd_loop_begin(e, &loop, r->lo, r->hi, 1);
    int mark = kd_eval_mark(ev);
    KdIdx index = kd_idx_uniform(loop.index, 1);
    r->at = kd_space_point(e, &r->kept, &index, 1);
    r->nth = LLVMBuildSub(e->b, loop.index, r->lo, "");
    recall(ev, r);
    body(ev, r);
    kd_eval_release(ev, mark);
    kd_loop_end(e, &loop);
}

/* The pieces of all slices, in the order of memory. */
static void each_piece(KdEval *ev, Reduce *r, SliceBody *body) {
    KdEmit *e = ev->e;
    if (r->outer.ngroups == 0) {
        each_slice(ev, r, body);
        return;
    }
    KdLoop loop;
    kd_loop_begin(e, &loop, kd_emit_i64(e, 0), kd_group_extent(e, &r->outer.group[0]), 1);
    int mark = kd_eval_mark(ev);
    KdIdx index = kd_idx_uniform(loop.index, 1);
    r->outer_at = kd_space_point(e, &r->outer, &index, 1);
    each_slice(ev, r, body);
    kd_eval_release(ev, mark);
    kd_loop_end(e, &loop);
}

static void walk_piece(KdEval *ev, Reduce *r, KdWalkBody *body) {
    KdEmit *e = ev->e;
    LLVMValueRef end = kd_group_extent(e, &r->inner.group[0]);
    kd_walk(ev, &r->inner, kd_emit_i64(e, 0), end, body, r);
}

/* The point of the whole shape. */
static KdPoint whole_point(const Reduce *r, const KdPoint *inner) {
    KdPoint at = *inner;
    at.rank = r->shape.rank;
    for (int k = 0, kept = 0, over = 0; k < at.rank; k++) {
        if (!r->axis[k])
            at.dim[k] = r->at.dim[kept++];
        else if (over++ < r->outer.shape.rank)
            at.dim[k] = r->outer_at.dim[over - 1];
        else
            at.dim[k] = inner->dim[over - 1 - r->outer.shape.rank];
    }
    return at;
}

/* Asks for what is read at this level for the first time, and for where results will be stored, in
 * the samples to come: their pieces lie apart, where no CPU looks on its own. */
static void fetch_samples(KdEval *ev, const Reduce *r, const KdPoint *at) {
    const KdInstr *kernel = r->kernel;
    if (r->outer.ngroups == 0 || !r->axis[0] || r->shape.dim[0] != KD_BATCH) {
        if (r->now == 1) kd_fetch_ahead(ev, r->shape, at, 1);
        return;
    }
    int64_t bytes = piece_bytes(r) * r->width;
    int64_t ahead = (AHEAD + bytes - 1) / bytes * kd_type_elements(r->shape, 1, 1);
    for (int k = 0; k < kernel->nargs; k++)
        if (r->read[k] == r->now && kd_shape_equal(kernel->args[k]->type, r->shape))
            kd_fetch_value(ev, kernel->args[k], at, ahead);
    for (int k = 0; k < kernel->nresults && r->now > r->levels; k++)
        if (kd_shape_equal(kernel->results[k]->type, r->shape))
            kd_fetch_value(ev, kernel->results[k], at, ahead);
}

/* --- levels ----------------------------------------------------------------------------------- */

static void start_running(KdEval *ev, Reduce *r) {
    KdEmit *e = ev->e;
    for (int k = 0; k < r->n; k++) {
        Running *x = &r->of[k];
        if (x->level != r->now) continue;
        LLVMValueRef start = kd_emit_identity(e, x->i, e->lanes);
        x->type = LLVMTypeOf(start);
        if (!x->value) x->value = kd_emit_alloca(e, x->type, r->width, KDRT_ALIGN);
        LLVMBuildStore(e->b, start, of_slice(e, r, x->type, x->value));
    }
}

/* One vector of what is reduced joins the running values. */
static void accumulate(KdEval *ev, const KdPoint *inner, void *user) {
    const Reduce *r = user;
    KdEmit *e = ev->e;
    KdPoint at = whole_point(r, inner);
    fetch_samples(ev, r, &at);
    for (int k = 0; k < r->n; k++) {
        const Running *x = &r->of[k];
        if (x->level != r->now) continue;
        LLVMValueRef value = kd_eval(ev, x->i->args[0], &at);
        value = kd_emit_active(e, &at, value, kd_emit_identity(e, x->i, at.lanes));
        LLVMValueRef place = of_slice(e, r, x->type, x->value);
        LLVMValueRef so_far = LLVMBuildLoad2(e->b, x->type, place, "");
        LLVMBuildStore(e->b, kd_emit_combine(e, x->i, so_far, value), place);
    }
}

static void accumulate_piece(KdEval *ev, Reduce *r) {
    walk_piece(ev, r, accumulate);
}

/* What has the reduced shape and needs this level: reductions, and what is computed with them. */
static void finish_level(KdEval *ev, Reduce *r) {
    KdEmit *e = ev->e;
    for (int k = 0; k < r->n; k++) {
        const Running *x = &r->of[k];
        if (x->level != r->now) continue;
        LLVMValueRef all = LLVMBuildLoad2(e->b, x->type, of_slice(e, r, x->type, x->value), "");
        LLVMValueRef sum = kd_emit_across(e, x->i, all);
        kd_eval_bind(ev, x->i->results[0], &r->at, sum);
        keep(ev, r, x->i->results[0], sum);
    }
    KD_EACH_INSTR(i, r->kernel->body) {
        const KdValue *v = i->results[0];
        bool here = r->level[v->id] == r->now && kd_shape_equal(v->type, r->reduced);
        if (here && !kd_op_has(i->op, KD_T_REDUCTION) && !kd_op_has(i->op, KD_T_LEAF))
            keep(ev, r, v, kd_eval(ev, v, &r->at));
    }
}

/* --- results ---------------------------------------------------------------------------------- */

/* Those of shape `t` at a point: all of them before the first store, as in maps. */
static void store_results(KdEval *ev, const Reduce *r, KdType t, const KdPoint *at) {
    const KdInstr *kernel = r->kernel;
    LLVMValueRef *value = KD_NEW_ARRAY(ev->e->arena, LLVMValueRef, kernel->nresults);
    for (int k = 0; k < kernel->nresults; k++)
        if (kd_shape_equal(kernel->results[k]->type, t))
            value[k] = kd_eval(ev, kernel->body->results[k], at);
    for (int k = 0; k < kernel->nresults; k++)
        if (value[k]) kd_emit_store_at(ev->e, kernel->results[k], at, value[k]);
}

static void store_whole(KdEval *ev, const KdPoint *inner, void *user) {
    const Reduce *r = user;
    KdPoint at = whole_point(r, inner);
    fetch_samples(ev, r, &at);
    store_results(ev, r, r->shape, &at);
}

static void store_piece(KdEval *ev, Reduce *r) {
    walk_piece(ev, r, store_whole);
}

static void store_slice(KdEval *ev, Reduce *r) {
    store_results(ev, r, r->reduced, &r->at);
}

static void reduce_emit(KdEmit *e, const KdInstr *kernel, int phase) {
    Reduce r;
    if (!plan_reduce(e, kernel, &r)) {
        kd_kind_map.emit(e, kernel, phase);
        return;
    }
    KdEval *ev = kd_eval_create(e, kernel);
    r.slot = KD_NEW_ARRAY(e->arena, LLVMValueRef, kernel->body->nvalues);
    kd_task_bounds(e, slice_count(e, &r), r.width, &r.lo, &r.hi);
    each_slice(ev, &r, finish_level); /* level 0: what needs no reduction */
    for (r.now = 1; r.now <= r.levels; r.now++) {
        each_slice(ev, &r, start_running);
        each_piece(ev, &r, accumulate_piece);
        each_slice(ev, &r, finish_level);
    }
    if (is_norm(kernel)) each_piece(ev, &r, store_piece);
    each_slice(ev, &r, store_slice);
}

const KdKernelKind kd_kind_norm = { .kind = "norm", .tasks = reduce_tasks, .emit = reduce_emit };
const KdKernelKind kd_kind_reduce = { .kind = "reduce",
                                      .tasks = reduce_tasks,
                                      .emit = reduce_emit };
