/*
 * Loop nests over an iteration space (nest.h).
 *
 *   for g0 in [lo, hi)              scalar loops over the outer groups
 *     for g1 …
 *       for x in g2 by lanes        vectors along the innermost group; the rest under a mask
 *
 * A narrow innermost group (12 of 16 lanes) is vectorised together with rows of its neighbour:
 *
 *       for y in g1 by 1 or more    lanes: (y, 0) (y, 1) … (y + 1, 0) …
 */
#include "backend/nest.h"

KdSpace kd_space(KdType shape, const bool *join) {
    KdSpace s = { .shape = shape };
    for (int k = 0; k < shape.rank; k++) {
        if (k == 0 || !join[k - 1]) {
            s.group[s.ngroups++] = (KdGroup){ .first = k, .extent = 1 };
        }
        KdGroup *g = &s.group[s.ngroups - 1];
        g->last = k;
        g->batch = g->batch || shape.dim[k] == KD_BATCH;
        g->extent *= shape.dim[k] == KD_BATCH ? 1 : shape.dim[k];
    }
    return s;
}

KdSpace kd_space_flat(KdType shape) {
    bool join[KD_MAX_RANK];
    for (int k = 0; k < KD_MAX_RANK; k++) {
        join[k] = true;
    }
    return kd_space(shape, join);
}

LLVMValueRef kd_group_extent(KdEmit *e, const KdGroup *g) {
    LLVMValueRef constant = kd_emit_i64(e, g->extent);
    return g->batch ? LLVMBuildNSWMul(e->b, e->n, constant, "") : constant;
}

KdPoint kd_space_point(KdEmit *e, const KdSpace *s, const KdIdx *index, int lanes) {
    KdPoint at = { .lanes = lanes, .rank = s->shape.rank };
    for (int g = 0; g < s->ngroups; g++) {
        int64_t below = 1;
        for (int k = s->group[g].last; k >= s->group[g].first; k--) {
            int64_t extent = s->shape.dim[k];
            bool outermost = k == s->group[g].first;
            at.dim[k] = kd_idx_part(e, index[g], below, outermost ? 0 : extent);
            below *= outermost ? 1 : extent;
        }
    }
    return at;
}

typedef struct Walk {
    KdEval *ev;
    const KdSpace *s;
    LLVMValueRef lo, hi; /* of the outermost group */
    KdWalkBody *body;
    void *user;
    KdIdx index[KD_MAX_RANK];
} Walk;

/* Rows of the next group in a vector: 0 when the innermost group alone fills it. */
static int64_t tile_rows(KdEmit *e, const KdSpace *s) {
    if (s->ngroups < 2) {
        return 0;
    }
    const KdGroup *inner = &s->group[s->ngroups - 1];
    return inner->batch || inner->extent >= e->lanes ? 0 : e->lanes / inner->extent;
}

int64_t kd_walk_step(KdEmit *e, const KdSpace *s) {
    if (s->ngroups == 1) {
        return e->lanes;
    }
    int64_t rows = tile_rows(e, s);
    return s->ngroups == 2 && rows ? rows : 1;
}

static void visit(Walk *w, LLVMValueRef mask, const int32_t *dead) {
    KdPoint at = kd_space_point(w->ev->e, w->s, w->index, w->ev->e->lanes);
    at.mask = mask;
    at.prefix = mask != NULL;
    at.dead = dead;
    w->body(w->ev, &at, w->user);
}

static void range_of(Walk *w, int g, LLVMValueRef *lo, LLVMValueRef *hi) {
    KdEmit *e = w->ev->e;
    *lo = g == 0 ? w->lo : kd_emit_i64(e, 0);
    *hi = g == 0 ? w->hi : kd_group_extent(e, &w->s->group[g]);
}

/* Whole vectors in one loop, then what is left of `unit` lanes an index under a mask. */
static void vector_loops(Walk *w, int g, int64_t step, int64_t unit,
                         void (*set)(Walk *w, int g, LLVMValueRef i), const int32_t *dead) {
    KdEmit *e = w->ev->e;
    LLVMValueRef lo, hi;
    range_of(w, g, &lo, &hi);
    LLVMValueRef length = LLVMBuildSub(e->b, hi, lo, "");
    LLVMValueRef whole = LLVMBuildUDiv(e->b, length, kd_emit_i64(e, step), "");
    whole = LLVMBuildAdd(e->b, lo, LLVMBuildMul(e->b, whole, kd_emit_i64(e, step), ""), "");
    KdLoop loop;
    for (int tail = 0; tail < 2; tail++) {
        if (tail && step == 1) {
            return;
        }
        bool constant = LLVMIsConstant(length);
        int64_t known = constant ? LLVMConstIntGetSExtValue(length) : 0;
        if (constant && (tail ? known % step == 0 : known < step)) {
            continue;
        }
        int mark = kd_eval_mark(w->ev);
        kd_loop_begin(e, &loop, tail ? whole : lo, tail ? hi : whole, step);
        set(w, g, loop.index);
        LLVMValueRef mask = NULL;
        if (tail) {
            LLVMValueRef left = LLVMBuildSub(e->b, hi, loop.index, "");
            left = LLVMBuildMul(e->b, left, kd_emit_i64(e, unit), "");
            mask = kd_emit_tail_mask(e, left, e->lanes);
        }
        visit(w, mask, dead);
        kd_loop_end(e, &loop);
        kd_eval_release(w->ev, mark);
    }
}

static void set_lanes(Walk *w, int g, LLVMValueRef i) {
    w->index[g] = kd_idx_lanes(w->ev->e, i, w->ev->e->lanes);
}

/* Lane l stands in row l / width, column l % width. */
static void set_tile(Walk *w, int g, LLVMValueRef i) {
    KdEmit *e = w->ev->e;
    int64_t width = w->s->group[g + 1].extent, rows = e->lanes / width;
    int32_t *row = KD_NEW_ARRAY(e->arena, int32_t, e->lanes);
    int32_t *column = KD_NEW_ARRAY(e->arena, int32_t, e->lanes);
    for (int l = 0; l < e->lanes; l++) {
        bool alive = l < rows * width;
        row[l] = alive ? (int32_t)(l / width) : 0;
        column[l] = alive ? (int32_t)(l % width) : 0;
    }
    w->index[g] = kd_idx_pattern(e, i, rows, row, e->lanes);
    w->index[g + 1] = kd_idx_pattern(e, NULL, 0, column, e->lanes);
}

static void walk_group(Walk *w, int g) {
    KdEmit *e = w->ev->e;
    int last = w->s->ngroups - 1;
    int64_t rows = tile_rows(e, w->s);
    if (rows && g == last - 1) {
        int64_t width = w->s->group[last].extent;
        int32_t *dead = KD_NEW_ARRAY(e->arena, int32_t, e->lanes);
        for (int l = 0; l < e->lanes; l++) {
            dead[l] = l >= rows * width;
        }
        vector_loops(w, g, rows, width, set_tile, rows * width < e->lanes ? dead : NULL);
        return;
    }
    if (g == last) {
        vector_loops(w, g, e->lanes, 1, set_lanes, NULL);
        return;
    }
    KdLoop loop;
    LLVMValueRef lo, hi;
    range_of(w, g, &lo, &hi);
    int mark = kd_eval_mark(w->ev);
    kd_loop_begin(e, &loop, lo, hi, 1);
    w->index[g] = kd_idx_uniform(loop.index, 1);
    walk_group(w, g + 1);
    kd_loop_end(e, &loop);
    kd_eval_release(w->ev, mark);
}

void kd_walk(KdEval *ev, const KdSpace *s, LLVMValueRef lo, LLVMValueRef hi, KdWalkBody *body,
             void *user) {
    Walk w = { .ev = ev, .s = s, .lo = lo, .hi = hi, .body = body, .user = user };
    if (s->ngroups == 0) {
        const KdPoint scalar = { .lanes = 1 };
        body(ev, &scalar, user);
        return;
    }
    walk_group(&w, 0);
}

/* --- tasks ------------------------------------------------------------------------------------ */

#define TASK_BYTES 32768

int64_t kd_kernel_cost(const KdInstr *kernel) {
    int64_t bytes = 0, reduced_most = 1;
    for (int k = 0; k < kernel->nargs; k++) {
        KdType t = kernel->args[k]->type;
        bytes += t.rank ? (int64_t)kd_dtype_size(t.dtype) : 0;
    }
    for (int k = 0; k < kernel->nresults; k++) {
        bytes += (int64_t)kd_dtype_size(kernel->results[k]->type.dtype);
    }
    KD_EACH_INSTR(i, kernel->body) {
        if (i->results[0]->type.rank > 0) { /* scalars are computed once */
            bytes += kd_op_has(i->op, KD_T_COSTLY) ? 32 : 1;
        }
        int64_t reduced = 1, max = i->func->max_batch ? i->func->max_batch : 64;
        bool axis[KD_MAX_RANK];
        for (int k = 0; i->contract && k < i->contract->nover; k++) {
            reduced *= i->contract->over[k] < 0 ? max : i->contract->over[k];
        }
        reduced_most = reduced > reduced_most ? reduced : reduced_most;
        if (!kd_op_has(i->op, KD_T_REDUCTION)) {
            continue;
        }
        kd_reduced_axes(i, axis);
        for (int k = 0; k < i->args[0]->type.rank; k++) {
            int64_t extent = i->args[0]->type.dim[k];
            reduced *= !axis[k] ? 1 : extent < 0 ? max : extent;
        }
        reduced_most = reduced > reduced_most ? reduced : reduced_most;
    }
    return bytes * reduced_most;
}

int64_t kd_task_length(int64_t cost, int64_t step) {
    int64_t length = cost > 0 ? TASK_BYTES / cost : TASK_BYTES;
    return length < step ? step : length / step * step;
}

/* Whatever the machine, there are tasks for so many workers. A task may hold what it knows of each
 * slice on the stack. */
enum { WIDE = 32768, LEAST_TASKS = 16, MOST_SLICES = 64 };

int64_t kd_task_slices(int64_t cost, int64_t piece, int64_t slices) {
    int64_t length = kd_task_length(cost, 1), wide = (WIDE + piece - 1) / piece;
    if (wide > slices / LEAST_TASKS) wide = slices / LEAST_TASKS;
    if (wide > length) length = wide;
    return length > MOST_SLICES ? MOST_SLICES : length;
}

LLVMValueRef kd_task_count(KdEmit *e, LLVMValueRef total, int64_t length) {
    return LLVMBuildTrunc(e->b, kd_emit_ceil_div(e, total, length), e->i32, "");
}

void kd_task_bounds(KdEmit *e, LLVMValueRef total, int64_t length, LLVMValueRef *lo,
                    LLVMValueRef *hi) {
    LLVMValueRef task = LLVMBuildSExt(e->b, e->task, e->i64, "");
    LLVMValueRef run = kd_emit_i64(e, length);
    *lo = LLVMBuildNSWMul(e->b, task, run, "");
    *hi = kd_emit_min(e, LLVMBuildNSWAdd(e->b, *lo, run, ""), total);
}
