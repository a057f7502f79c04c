/*
 * Builder calls: each makes one instruction, lets the shape rule find its result type and inserts
 * it. An operand of NULL stands for an error that was said already, and gives NULL.
 */
#include "ir/func.h"
#include "ir/infer.h"

#include <inttypes.h>
#include <string.h>

KdBuilder kd_builder(KdFunc *f, KdDiag *d) {
    return (KdBuilder){ .f = f, .diag = d, .loc = f->loc };
}

/* --- low level ----------------------------------------------------------------------------- */

KdInstr *kd_instr_create(KdBuilder *b, KdOp op, int nargs, KdValue *const *args) {
    for (int k = 0; k < nargs; k++) {
        if (!args[k]) return NULL;
    }
    KdArena *a = b->f->module->arena;
    KdInstr *i = KD_NEW(a, KdInstr);
    i->op = op;
    i->nargs = nargs;
    i->args = KD_COPY_ARRAY(a, args, nargs);
    i->role = b->role;
    i->loc = b->loc;
    i->func = b->f;
    return i;
}

KdValue *kd_instr_finish(KdBuilder *b, KdInstr *i, const KdType *hint) {
    const char *wanted = b->name;
    b->name = NULL;
    if (!i) return NULL;
    KdArena *a = b->f->module->arena;
    int n = kd_infer_count(i);
    KdType *types = KD_NEW_ARRAY(a, KdType, n ? n : 1);
    if (!kd_infer(i, hint, types, b->diag)) return NULL;
    if (!wanted) wanted = kd_op_text(i->op);
    i->nresults = n;
    i->results = KD_NEW_ARRAY(a, KdValue *, n);
    for (int k = 0; k < n; k++) {
        KdValue *v = i->results[k] = kd_value_create(b->f, wanted, types[k], i->loc);
        v->def = i;
        v->index = k;
    }
    if (i->body) i->body->owner = i;
    kd_instr_insert(i, b->before);
    return i->results[0];
}

static KdValue *finish(KdBuilder *b, KdOp op, int nargs, KdValue *const *args, const KdType *hint) {
    return kd_instr_finish(b, kd_instr_create(b, op, nargs, args), hint);
}

static bool rank_fits(KdBuilder *b, KdOp op, int rank) {
    if (rank >= 0 && rank <= KD_MAX_RANK) return true;
    return kd_error(b->diag, b->loc, "%s: a tensor of rank %d, at most %d", kd_op_text(op), rank,
                    KD_MAX_RANK);
}

/* --- elementwise --------------------------------------------------------------------------- */

KdValue *kd_unary(KdBuilder *b, KdOp op, KdValue *x) {
    return finish(b, op, 1, &x, NULL);
}

/* x, broadcast to the shape of `like` when it is a scalar and `like` is not. */
static KdValue *spread(KdBuilder *b, KdValue *x, const KdValue *like) {
    if (!x || !like || x->type.rank != 0 || like->type.rank == 0) return x;
    const char *name = b->name; /* is for the op itself */
    const KdAccess nothing = { .rank = 0 };
    b->name = NULL;
    KdValue *v = kd_view(b, x, like->type.rank, like->type.dim, &nothing, 0);
    b->name = name;
    return v;
}

KdValue *kd_binary(KdBuilder *b, KdOp op, KdValue *x, KdValue *y) {
    KdValue *args[] = { spread(b, x, y), spread(b, y, x) };
    return finish(b, op, 2, args, NULL);
}

KdValue *kd_select(KdBuilder *b, KdValue *c, KdValue *x, KdValue *y) {
    KdValue *like = x && x->type.rank ? x : y && y->type.rank ? y : c;
    KdValue *args[] = { spread(b, c, like), spread(b, x, like), spread(b, y, like) };
    return finish(b, KD_OP_SELECT, 3, args, NULL);
}

KdValue *kd_cast(KdBuilder *b, KdValue *x, KdDtype to) {
    if (!x) return NULL;
    KdType t = kd_type_with_dtype(x->type, to);
    return finish(b, KD_OP_CAST, 1, &x, &t);
}

/* --- leaves and random numbers ------------------------------------------------------------- */

KdValue *kd_constant(KdBuilder *b, KdType t, double value) {
    KdInstr *i = kd_instr_create(b, KD_OP_CONSTANT, 0, NULL);
    kd_attr_set_num(b->f->module->arena, &i->attrs, "value", value);
    return kd_instr_finish(b, i, &t);
}

KdValue *kd_constant_like(KdBuilder *b, const KdValue *x, double value) {
    return x ? kd_constant(b, x->type, value) : NULL;
}

KdValue *kd_iota(KdBuilder *b, KdType t, int axis) {
    KdInstr *i = kd_instr_create(b, KD_OP_IOTA, 0, NULL);
    kd_attr_set_int(b->f->module->arena, &i->attrs, "axis", axis);
    t.dtype = KD_I32;
    return kd_instr_finish(b, i, &t);
}

KdValue *kd_rows(KdBuilder *b) {
    return finish(b, KD_OP_ROWS, 0, NULL, NULL);
}

KdValue *kd_hyper(KdBuilder *b, const char *name) {
    KdInstr *i = kd_instr_create(b, KD_OP_HYPER, 0, NULL);
    kd_attr_set_str(b->f->module->arena, &i->attrs, "name", name);
    if (!b->name) b->name = name;
    return kd_instr_finish(b, i, NULL);
}

KdValue *kd_rng(KdBuilder *b, KdOp op, KdValue *index, KdValue *epoch, KdType t,
                const char *stream) {
    KdValue *args[] = { index, epoch };
    KdInstr *i = kd_instr_create(b, op, 2, args);
    if (i) kd_attr_set_str(b->f->module->arena, &i->attrs, "stream", stream);
    return kd_instr_finish(b, i, &t);
}

/* --- movement ------------------------------------------------------------------------------ */

KdValue *kd_reshape(KdBuilder *b, KdValue *x, int rank, const int64_t *dim) {
    if (!x || !rank_fits(b, KD_OP_RESHAPE, rank)) return NULL;
    KdType t = kd_type(x->type.dtype, rank, dim);
    return finish(b, KD_OP_RESHAPE, 1, &x, &t);
}

KdValue *kd_view(KdBuilder *b, KdValue *x, int rank, const int64_t *dim, const KdAccess *access,
                 double fill) {
    if (!x || !rank_fits(b, KD_OP_VIEW, rank)) return NULL;
    KdArena *a = b->f->module->arena;
    KdType t = kd_type(x->type.dtype, rank, dim);
    KdInstr *i = kd_instr_create(b, KD_OP_VIEW, 1, &x);
    if (!i) return NULL;
    i->access = kd_arena_copy(a, access, sizeof *access);
    if (fill != 0) kd_attr_set_num(a, &i->attrs, "fill", fill);
    return kd_instr_finish(b, i, &t);
}

KdValue *kd_broadcast(KdBuilder *b, KdValue *x, KdType like, const int *map) {
    if (!x) return NULL;
    KdAccess access = { .rank = x->type.rank };
    for (int k = 0; k < x->type.rank; k++) {
        int to = map[k];
        if (to < 0 || to >= like.rank || like.dim[to] != x->type.dim[k]) {
            char have[KD_TYPE_TEXT], want[KD_TYPE_TEXT];
            kd_error(b->diag, b->loc, "view: cannot broadcast dim %d of %s to %s", k,
                     kd_type_text(x->type, have), kd_type_text(like, want));
            return NULL;
        }
        access.dim[k] = kd_index_iter(to);
    }
    return kd_view(b, x, like.rank, like.dim, &access, 0);
}

KdValue *kd_transpose(KdBuilder *b, KdValue *x, const int *order) {
    if (!x) return NULL;
    int rank = x->type.rank;
    KdAccess access = { .rank = rank };
    int64_t dim[KD_MAX_RANK];
    for (int k = 0; k < rank; k++) {
        if (order[k] < 0 || order[k] >= rank || access.dim[order[k]].divisor) {
            char text[KD_TYPE_TEXT];
            kd_error(b->diag, b->loc, "view: not an order of the dims of %s",
                     kd_type_text(x->type, text));
            return NULL;
        }
        dim[k] = x->type.dim[order[k]];
        access.dim[order[k]] = kd_index_iter(k);
    }
    return kd_view(b, x, rank, dim, &access, 0);
}

KdValue *kd_slice(KdBuilder *b, KdValue *x, const int64_t *start, const int64_t *dim) {
    if (!x) return NULL;
    KdAccess access = { .rank = x->type.rank };
    for (int k = 0; k < x->type.rank; k++) {
        int64_t have = x->type.dim[k];
        bool whole = start[k] == 0 && dim[k] == have;
        if (!whole && (have < 0 || start[k] < 0 || dim[k] < 1 || start[k] > have - dim[k])) {
            char text[KD_TYPE_TEXT];
            kd_error(b->diag, b->loc,
                     "view: slice from %" PRId64 " of %" PRId64 " leaves dim %d of %s", start[k],
                     dim[k], k, kd_type_text(x->type, text));
            return NULL;
        }
        access.dim[k] = kd_index_iter(k);
        access.dim[k].offset = start[k];
    }
    return kd_view(b, x, x->type.rank, dim, &access, 0);
}

KdValue *kd_concat(KdBuilder *b, int n, KdValue *const *xs, int axis) {
    KdInstr *i = kd_instr_create(b, KD_OP_CONCAT, n, xs);
    if (i) kd_attr_set_int(b->f->module->arena, &i->attrs, "axis", axis);
    return kd_instr_finish(b, i, NULL);
}

KdValue *kd_gather(KdBuilder *b, KdValue *table, KdValue *index) {
    KdValue *args[] = { table, index };
    return finish(b, KD_OP_GATHER, 2, args, NULL);
}

KdValue *kd_scatter_add(KdBuilder *b, KdValue *rows, KdValue *index, int64_t nrows) {
    KdValue *args[] = { rows, index };
    KdInstr *i = kd_instr_create(b, KD_OP_SCATTER_ADD, 2, args);
    if (i) kd_attr_set_int(b->f->module->arena, &i->attrs, "rows", nrows);
    return kd_instr_finish(b, i, NULL);
}

KdValue *kd_slab(KdBuilder *b, int n, KdValue *const *xs) {
    return finish(b, KD_OP_SLAB, n, xs, NULL);
}

/* --- reductions and products --------------------------------------------------------------- */

KdValue *kd_reduce(KdBuilder *b, KdOp op, KdValue *x, int naxes, const int *axes) {
    if (!x || !rank_fits(b, op, naxes)) return NULL;
    int64_t wide[KD_MAX_RANK];
    for (int k = 0; k < naxes; k++) wide[k] = axes[k];
    KdInstr *i = kd_instr_create(b, op, 1, &x);
    kd_attr_set_ints(b->f->module->arena, &i->attrs, "axes", naxes, wide);
    return kd_instr_finish(b, i, NULL);
}

KdValue *kd_contract_like(KdBuilder *b, const KdInstr *like, KdValue *x, KdValue *y, int rank,
                          const int64_t *dim, const KdContract *c) {
    if (!x || !y || !rank_fits(b, KD_OP_CONTRACT, rank)) return NULL;
    KdType t = kd_type(KD_F32, rank, dim);
    KdValue *args[] = { x, y };
    KdInstr *i = kd_instr_create(b, KD_OP_CONTRACT, 2, args);
    if (!i) return NULL;
    i->contract = kd_arena_copy(b->f->module->arena, c, sizeof *c);
    if (like) i->attrs = kd_attr_clone(b->f->module->arena, like->attrs);
    return kd_instr_finish(b, i, &t);
}

KdValue *kd_contract(KdBuilder *b, KdValue *x, KdValue *y, int rank, const int64_t *dim,
                     const KdContract *c) {
    return kd_contract_like(b, NULL, x, y, rank, dim, c);
}

KdValue *kd_matmul_nt(KdBuilder *b, KdValue *x, KdValue *y) {
    if (!x || !y) return NULL;
    if (x->type.rank != 2 || y->type.rank != 2 || x->type.dim[1] != y->type.dim[1]) {
        char first[KD_TYPE_TEXT], second[KD_TYPE_TEXT];
        KdValue *args[] = { x, y };
        const KdInstr *i = kd_instr_create(b, KD_OP_CONTRACT, 2, args);
        bool ranks = x->type.rank == 2 && y->type.rank == 2;
        kd_instr_error(i, b->diag, "%s, %s and %s",
                       ranks ? "inner sizes differ" : "operands must be matrices",
                       kd_type_text(x->type, first), kd_type_text(y->type, second));
        b->name = NULL;
        return NULL;
    }
    const int64_t dim[] = { x->type.dim[0], y->type.dim[0] };
    KdContract c = { .nover = 1, .over = { x->type.dim[1] } };
    c.a = (KdAccess){ 2, { kd_index_iter(0), kd_index_iter(2) } };
    c.b = (KdAccess){ 2, { kd_index_iter(1), kd_index_iter(2) } };
    return kd_contract(b, x, y, 2, dim, &c);
}

/* --- structure ----------------------------------------------------------------------------- */

KdValue *kd_print(KdBuilder *b, KdValue *x, const char *label) {
    KdInstr *i = kd_instr_create(b, KD_OP_PRINT, 1, &x);
    if (i) kd_attr_set_str(b->f->module->arena, &i->attrs, "label", label);
    return kd_instr_finish(b, i, NULL);
}

bool kd_call(KdBuilder *b, KdFunc *callee, KdValue *const *args, KdValue **results) {
    KdInstr *i = kd_instr_create(b, KD_OP_CALL, callee->nargs, args);
    if (!i) return false;
    kd_attr_set_str(b->f->module->arena, &i->attrs, "callee", callee->name);
    if (!kd_instr_finish(b, i, NULL)) return false;
    for (int k = 0; k < i->nresults; k++) results[k] = i->results[k];
    return true;
}
