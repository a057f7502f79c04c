/*
 * What a kernel's body may hold, by its kind. fuse makes kernels to fit this table and the backend
 * has one loop nest a kind, so a body that fits none would be compiled to something else.
 */
#include <stdlib.h>
#include <string.h>

#include "ir/verify_rules.h"

enum { MAX_SMALL_REDUCTION = 64, MAX_ROW = 4096 };

static bool fail(const KdInstr *kernel, const KdInstr *i, KdDiag *d, const char *why) {
    const char *kind = kd_attr_str(kernel->attrs, "kind", "?");
    if (!i) return kd_error(d, kernel->loc, "kernel: kind %s: %s", kind, why);
    return kd_error(d, i->loc, "kernel: kind %s: %s %s", kind, kd_op_text(i->op), why);
}

/* Elementwise, leaves, random, movement: an element is computed where it is needed. */
static bool is_map_like(KdOp op) {
    return kd_op_has(op, KD_T_ELEMENTWISE) || kd_op_has(op, KD_T_LEAF) ||
           kd_op_has(op, KD_T_RANDOM) || kd_op_has(op, KD_T_MOVEMENT);
}

/* Elements over which a reduction goes, or -1 when that depends on the batch. */
static int64_t reduced_elements(const KdInstr *i) {
    KdType t = i->args[0]->type;
    int64_t n = 1;
    for (int k = 0; k < t.rank; k++) {
        if (!kd_reduces(i, k)) continue;
        if (t.dim[k] < 0) return -1;
        n *= t.dim[k];
    }
    return n;
}

static bool same_reduction(const KdInstr *x, const KdInstr *y) {
    if (!kd_shape_equal(x->args[0]->type, y->args[0]->type)) return false;
    for (int k = 0; k < x->args[0]->type.rank; k++) {
        if (kd_reduces(x, k) != kd_reduces(y, k)) return false;
    }
    return true;
}

static bool same_shapes(const KdInstr *kernel, KdType like, KdDiag *d, const char *why) {
    const KdFunc *body = kernel->body;
    for (int k = 0; k < body->nresults; k++) {
        if (!kd_shape_equal(body->results[k]->type, like)) return fail(kernel, NULL, d, why);
    }
    return true;
}

static bool check_map(const KdInstr *kernel, KdDiag *d) {
    KD_EACH_INSTR(i, kernel->body) {
        if (is_map_like(i->op)) continue;
        if (!kd_op_has(i->op, KD_T_REDUCTION)) return fail(kernel, i, d, "is not for it");
        int64_t n = reduced_elements(i);
        if (n < 0 || n > MAX_SMALL_REDUCTION) {
            return fail(kernel, i, d, "is over more than 64 elements");
        }
    }
    if (kernel->body->nresults == 0) return true;
    return same_shapes(kernel, kernel->body->results[0]->type, d, "results differ in shape");
}

static bool check_reduce(const KdInstr *kernel, KdDiag *d) {
    const KdInstr *first = NULL;
    bool *behind = calloc((size_t)kernel->body->nvalues + 1, 1); /* depends on a reduction */
    if (!behind) kd_out_of_memory((size_t)kernel->body->nvalues);
    bool good = true;
    KD_EACH_INSTR(i, kernel->body) {
        bool after = false;
        for (int k = 0; k < i->nargs; k++) after |= behind[i->args[k]->id];
        bool reduction = kd_op_has(i->op, KD_T_REDUCTION);
        for (int k = 0; k < i->nresults; k++) behind[i->results[k]->id] = after || reduction;
        if (!good) continue;
        if (reduction && after) {
            good = fail(kernel, i, d, "is of a reduced value");
        } else if (reduction && first && !same_reduction(first, i)) {
            good = fail(kernel, i, d, "is over other axes than the first");
        } else if (!reduction && !is_map_like(i->op)) {
            good = fail(kernel, i, d, "is not for it");
        } else if (!reduction && after && !kd_op_has(i->op, KD_T_ELEMENTWISE)) {
            good = fail(kernel, i, d, "is not elementwise behind the reduction");
        }
        if (reduction && !first) first = i;
    }
    free(behind);
    if (!good) return false;
    if (!first) return fail(kernel, NULL, d, "there is no reduction");
    return same_shapes(kernel, first->results[0]->type, d, "a result has not the reduced shape");
}

/* Reductions drop all dims behind the row dims; results are rows, or one element a row. */
static bool check_row(const KdInstr *kernel, KdDiag *d) {
    const KdInstr *first = NULL;
    KD_EACH_INSTR(i, kernel->body) {
        if (is_map_like(i->op)) continue;
        if (!kd_op_has(i->op, KD_T_REDUCTION)) return fail(kernel, i, d, "is not for it");
        bool inside = false;
        for (int k = 0; k < i->args[0]->type.rank; k++) {
            if (inside && !kd_reduces(i, k)) return fail(kernel, i, d, "is not over trailing axes");
            inside |= kd_reduces(i, k);
        }
        int64_t n = reduced_elements(i);
        if (n < 0 || n > MAX_ROW) {
            return fail(kernel, i, d, "has rows that are not of 1 to 4096 elements");
        }
        if (first && !kd_shape_equal(first->results[0]->type, i->results[0]->type)) {
            return fail(kernel, i, d, "has other rows than the first");
        }
        if (!first) first = i;
    }
    if (!first) return fail(kernel, NULL, d, "there is no reduction");
    KdType row = first->results[0]->type;
    for (int k = 0; k < kernel->body->nresults; k++) {
        KdType t = kernel->body->results[k]->type;
        bool good = t.rank >= row.rank;
        for (int j = 0; good && j < row.rank; j++) good = t.dim[j] == row.dim[j];
        if (!good) return fail(kernel, NULL, d, "a result has not the rows' dims");
    }
    return true;
}

/* Statistics of slices, of which some may need others, and what is computed with them: everything
 * has the shape that is reduced or the reduced one, and its last dim is reduced. */
static bool check_norm(const KdInstr *kernel, KdDiag *d) {
    const KdInstr *first = NULL;
    KD_EACH_INSTR(i, kernel->body) {
        if (is_map_like(i->op)) continue;
        if (!kd_op_has(i->op, KD_T_REDUCTION) || i->op == KD_OP_ARGMAX)
            return fail(kernel, i, d, "is not for it");
        if (!kd_reduces(i, i->args[0]->type.rank - 1))
            return fail(kernel, i, d, "is not over the last axis");
        if (first && !same_reduction(first, i))
            return fail(kernel, i, d, "is over other axes than the first");
        if (!first) first = i;
    }
    if (!first) return fail(kernel, NULL, d, "there is no reduction");
    for (int k = 0; k < kernel->body->nresults; k++) {
        KdType t = kernel->body->results[k]->type;
        if (!kd_shape_equal(t, first->args[0]->type) && !kd_shape_equal(t, first->results[0]->type))
            return fail(kernel, NULL, d, "a result has neither the whole nor the reduced shape");
    }
    return true;
}

/* A reduction behind a contraction, or what is computed with one; `first`: the first of them. */
static const char *why_not_reduced(const KdInstr *i, const KdInstr *hero, const KdInstr *first,
                                   bool behind) {
    if (!kd_op_has(i->op, KD_T_REDUCTION))
        return kd_op_has(i->op, KD_T_ELEMENTWISE) ? NULL
                                                  : "is not elementwise behind the reduction";
    if (behind) return "is of a reduced value";
    if (!hero || (!kd_reduces_side(hero, i) && !kd_pools(hero, i)))
        return "is not over one side of the contraction, nor over windows of its planes";
    return first && !same_reduction(first, i) ? "is over other axes than the first" : NULL;
}

/* Of `reduced`: by value id, does it depend on a reduction? */
static bool check_behind(const KdInstr *kernel, const KdInstr **hero, const KdInstr **first,
                         bool *reduced, KdDiag *d) {
    KD_EACH_INSTR(i, kernel->body) {
        bool behind = false, reduction = kd_op_has(i->op, KD_T_REDUCTION);
        for (int k = 0; k < i->nargs; k++) behind |= reduced[i->args[k]->id];
        for (int k = 0; k < i->nresults; k++) reduced[i->results[k]->id] = behind || reduction;
        if (behind || reduction) {
            const char *why = why_not_reduced(i, *hero, *first, behind);
            if (why) return fail(kernel, i, d, why);
            if (!*first) *first = i;
        } else if (kd_op_has(i->op, KD_T_CONTRACTION)) {
            if (*hero) return fail(kernel, i, d, "is the second one");
            *hero = i;
        } else if (!is_map_like(i->op)) {
            return fail(kernel, i, d, "is not for it");
        }
    }
    return true;
}

static bool check_contract(const KdInstr *kernel, KdDiag *d) {
    const KdInstr *hero = NULL, *first = NULL;
    const KdFunc *body = kernel->body;
    bool *reduced = calloc((size_t)body->nvalues + 1, 1);
    if (!reduced) kd_out_of_memory((size_t)body->nvalues);
    bool good = check_behind(kernel, &hero, &first, reduced, d);
    free(reduced);
    if (!good) return false;
    if (!hero) return fail(kernel, NULL, d, "there is no contraction");
    for (int k = 0; k < body->nresults; k++) {
        KdType t = body->results[k]->type;
        bool whole = kd_shape_equal(t, hero->results[0]->type);
        if (!whole && !(first && kd_shape_equal(t, first->results[0]->type)))
            return fail(kernel, NULL, d,
                        first ? "a result has neither the contraction's shape nor the reduced one"
                              : "a result has not the contraction's shape");
    }
    return true;
}

static bool check_single(const KdInstr *kernel, KdDiag *d) {
    const KdInstr *i = kernel->body->first;
    if (!i || i->next) return fail(kernel, NULL, d, "the body must be one instruction");
    bool fits = i->op == KD_OP_SCATTER_ADD || i->op == KD_OP_SLAB || i->op == KD_OP_PRINT;
    return fits || fail(kernel, i, d, "is not for it");
}

bool kd_verify_kernel(const KdInstr *i, KdDiag *d) {
    static const struct {
        const char *kind;
        bool (*check)(const KdInstr *, KdDiag *);
    } table[] = {
        { "map", check_map },   { "reduce", check_reduce },     { "row", check_row },
        { "norm", check_norm }, { "contract", check_contract }, { "single", check_single },
    };
    const char *kind = kd_attr_str(i->attrs, "kind", "");
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        if (strcmp(table[k].kind, kind) == 0) return table[k].check(i, d);
    }
    return kd_error(
        d, i->loc,
        "kernel: unknown kind '%s'; there are map, reduce, row, norm, contract and single", kind);
}
