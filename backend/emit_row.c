/*
 * Kernels of kind "row": softmax and its like. A row of C elements is held in ceil(C / lanes)
 * vectors; each reduction runs over them lane by lane and ends in a fixed tree over the lanes, so a
 * row's bits depend on nothing but the row. Long rows are walked in loops, once per reduction.
 *
 *   for row:   m = max over blocks     s = sum over blocks of exp(x - m)     store x - m - log s
 */
#include "backend/nest.h"

#define MAX_BLOCKS 8  /* vectors of a row that are kept in registers */
#define MAX_SHORT  16 /* elements of a row that lanes of the map nest go through one by one */

typedef struct Rows {
    KdEval *ev;
    KdSpace rows, columns; /* of one shape [R…, C…], by parts */
    int rank;              /* of R */
    int64_t length;        /* elements of a row */
    KdIdx row;             /* the row now, all R dims in one */
} Rows;

/* Does i reduce whole rows: exactly the axes from `rank` on? */
static bool reduces_rows(const KdInstr *i, int rank) {
    bool axis[KD_MAX_RANK];
    if (!kd_op_has(i->op, KD_T_REDUCTION)) {
        return false;
    }
    kd_reduced_axes(i, axis);
    for (int k = 0; k < i->args[0]->type.rank; k++) {
        if (axis[k] != (k >= rank)) {
            return false;
        }
    }
    return true;
}

static Rows rows_of(const KdInstr *kernel) {
    Rows r = { .length = 1 };
    const KdInstr *first = NULL;
    KD_EACH_INSTR(i, kernel->body) {
        if (kd_op_has(i->op, KD_T_REDUCTION) && !first) {
            int left = i->results[0]->type.rank;
            first = reduces_rows(i, left) ? i : NULL;
        }
    }
    KdType whole = first ? first->args[0]->type : kernel->results[0]->type;
    r.rank = first ? first->results[0]->type.rank : whole.rank;
    KdType rows = { .rank = r.rank }, columns = { .rank = whole.rank - r.rank };
    for (int k = 0; k < whole.rank; k++) {
        if (k < r.rank) {
            rows.dim[k] = whole.dim[k];
        } else {
            columns.dim[k - r.rank] = whole.dim[k];
            r.length *= whole.dim[k];
        }
    }
    r.rows = kd_space_flat(rows);
    r.columns = kd_space_flat(columns);
    return r;
}

static KdPoint row_point(Rows *r) {
    return kd_space_point(r->ev->e, &r->rows, &r->row, 1);
}

/* The point of a row's lanes [column, column + lanes); `left` of them exist. */
static KdPoint block_point(Rows *r, LLVMValueRef base, int64_t offset, int64_t left) {
    KdEmit *e = r->ev->e;
    KdIdx column = kd_idx_lanes(e, base, e->lanes);
    column.offset += offset;
    KdPoint at = kd_space_point(e, &r->rows, &r->row, e->lanes);
    KdPoint inner = kd_space_point(e, &r->columns, &column, e->lanes);
    for (int k = 0; k < inner.rank; k++) {
        at.dim[at.rank++] = inner.dim[k];
    }
    if (left < e->lanes) {
        int32_t *dead = KD_NEW_ARRAY(e->arena, int32_t, e->lanes);
        for (int l = 0; l < e->lanes; l++) {
            dead[l] = l >= left;
        }
        at.dead = dead;
    }
    return at;
}

typedef void BlockBody(Rows *r, const KdPoint *at, const void *user);

/* All blocks of the row: unrolled where values should stay in registers, else in a loop and a tail.
 */
static void each_block(Rows *r, BlockBody *body, const void *user) {
    KdEmit *e = r->ev->e;
    int64_t lanes = e->lanes, whole = r->length / lanes * lanes;
    bool loop = r->length > MAX_BLOCKS * lanes;
    if (loop) {
        KdLoop l;
        int mark = kd_eval_mark(r->ev);
        kd_loop_begin(e, &l, kd_emit_i64(e, 0), kd_emit_i64(e, whole), lanes);
        KdPoint at = block_point(r, l.index, 0, lanes);
        body(r, &at, user);
        kd_loop_end(e, &l);
        kd_eval_release(r->ev, mark);
    }
    for (int64_t column = loop ? whole : 0; column < r->length; column += lanes) {
        KdPoint at = block_point(r, NULL, column, r->length - column);
        body(r, &at, user);
    }
}

typedef struct Reducer {
    const KdInstr *i;
    LLVMValueRef best, index; /* stack slots: the running value; argmax: its column */
    LLVMTypeRef type;
} Reducer;

static void reduce_block(Rows *r, const KdPoint *at, const void *user) {
    const Reducer *x = user;
    KdEmit *e = r->ev->e;
    LLVMValueRef value = kd_eval(r->ev, x->i->args[0], at);
    value = kd_emit_active(e, at, value, kd_emit_identity(e, x->i, e->lanes));
    LLVMValueRef so_far = LLVMBuildLoad2(e->b, x->type, x->best, "");
    if (!x->index) {
        LLVMBuildStore(e->b, kd_emit_combine(e, x->i, so_far, value), x->best);
        return;
    }
    /* The first of equal maxima stays. */
    LLVMTypeRef ints = kd_vector_type(e->i32, e->lanes);
    LLVMValueRef more = kd_emit_greater(e, x->i, value, so_far);
    LLVMBuildStore(e->b, LLVMBuildSelect(e->b, more, value, so_far, ""), x->best);
    KdPoint inner = { .lanes = e->lanes, .rank = r->columns.shape.rank };
    for (int k = 0; k < inner.rank; k++) {
        inner.dim[k] = at->dim[r->rank + k];
    }
    KdIdx column = kd_emit_linear(e, r->columns.shape, &inner);
    LLVMValueRef number = kd_idx_value(e, e->lanes, column, e->i32);
    LLVMValueRef old = LLVMBuildLoad2(e->b, ints, x->index, "");
    LLVMBuildStore(e->b, LLVMBuildSelect(e->b, more, number, old, ""), x->index);
}

/* Of all lanes that hold the maximum, the smallest column. */
static LLVMValueRef first_maximum(KdEmit *e, const Reducer *x, LLVMValueRef all) {
    LLVMTypeRef ints = kd_vector_type(e->i32, e->lanes);
    LLVMValueRef most = kd_emit_splat(e, kd_emit_across(e, x->i, all), e->lanes);
    LLVMValueRef is_most = LLVMBuildNot(e->b, kd_emit_greater(e, x->i, most, all), "");
    LLVMValueRef index = LLVMBuildLoad2(e->b, ints, x->index, "");
    LLVMValueRef none = kd_emit_splat(e, kd_emit_i32(e, INT32_MAX), e->lanes);
    index = LLVMBuildSelect(e->b, is_most, index, none, "");
    return kd_emit_intrinsic(e, "llvm.vector.reduce.smin", &ints, 1, &index, 1);
}

/* The reduction's value for this row, remembered at the row's point. */
static void reduce_row(Rows *r, const KdInstr *i) {
    KdEmit *e = r->ev->e;
    Reducer x = { .i = i };
    LLVMValueRef start = kd_emit_identity(e, i, e->lanes);
    x.type = LLVMTypeOf(start);
    x.best = kd_emit_alloca(e, x.type, 1, KDRT_ALIGN);
    LLVMBuildStore(e->b, start, x.best);
    if (i->op == KD_OP_ARGMAX) {
        LLVMTypeRef ints = kd_vector_type(e->i32, e->lanes);
        x.index = kd_emit_alloca(e, ints, 1, KDRT_ALIGN);
        LLVMBuildStore(e->b, LLVMConstNull(ints), x.index);
    }
    each_block(r, reduce_block, &x);
    LLVMValueRef all = LLVMBuildLoad2(e->b, x.type, x.best, "");
    LLVMValueRef value = x.index ? first_maximum(e, &x, all) : kd_emit_across(e, i, all);
    KdPoint at = row_point(r);
    kd_eval_bind(r->ev, i->results[0], &at, value);
}

static void store_block(Rows *r, const KdPoint *at, const void *user) {
    const KdInstr *kernel = user;
    LLVMValueRef *value = KD_NEW_ARRAY(r->ev->e->arena, LLVMValueRef, kernel->nresults);
    for (int k = 0; k < kernel->nresults; k++) {
        if (kernel->results[k]->type.rank == at->rank) {
            value[k] = kd_eval(r->ev, kernel->body->results[k], at);
        }
    }
    for (int k = 0; k < kernel->nresults; k++) {
        if (value[k]) {
            kd_emit_store_at(r->ev->e, kernel->results[k], at, value[k]);
        }
    }
}

static int64_t run_length(const KdInstr *kernel) {
    return kd_task_length(kd_kernel_cost(kernel), 1);
}

static LLVMValueRef row_count(KdEmit *e, const Rows *r) {
    return r->rows.ngroups ? kd_group_extent(e, &r->rows.group[0]) : kd_emit_i64(e, 1);
}

/* Pooling windows and the like: a lane a row does better, all results being row scalars. */
static bool is_short(const KdInstr *kernel, const Rows *r) {
    for (int k = 0; k < kernel->nresults; k++) {
        if (kernel->results[k]->type.rank != r->rank) {
            return false;
        }
    }
    return r->length <= MAX_SHORT;
}

static LLVMValueRef row_tasks(KdEmit *e, const KdInstr *kernel, int phase) {
    Rows r = rows_of(kernel);
    if (is_short(kernel, &r)) {
        return kd_kind_map.tasks(e, kernel, phase);
    }
    return kd_task_count(e, row_count(e, &r), run_length(kernel));
}

static void row_emit(KdEmit *e, const KdInstr *kernel, int phase) {
    Rows r = rows_of(kernel);
    if (is_short(kernel, &r)) {
        kd_kind_map.emit(e, kernel, phase);
        return;
    }
    r.ev = kd_eval_create(e, kernel);
    LLVMValueRef lo, hi;
    kd_task_bounds(e, row_count(e, &r), run_length(kernel), &lo, &hi);
    KdLoop loop;
    kd_loop_begin(e, &loop, lo, hi, 1);
    int mark = kd_eval_mark(r.ev);
    r.row = kd_idx_uniform(loop.index, 1);
    KD_EACH_INSTR(i, kernel->body) {
        if (reduces_rows(i, r.rank)) {
            reduce_row(&r, i);
        }
    }
    bool wide = false;
    KdPoint at = row_point(&r);
    for (int k = 0; k < kernel->nresults; k++) {
        bool scalar = kernel->results[k]->type.rank == r.rank;
        wide = wide || !scalar;
        if (scalar) {
            LLVMValueRef value = kd_eval(r.ev, kernel->body->results[k], &at);
            kd_emit_store_at(e, kernel->results[k], &at, value);
        }
    }
    if (wide) {
        each_block(&r, store_block, kernel);
    }
    kd_eval_release(r.ev, mark);
    kd_loop_end(e, &loop);
}

const KdKernelKind kd_kind_row = { .kind = "row", .tasks = row_tasks, .emit = row_emit };
