/*
 * Shape rules of movement, reductions and contractions. Extents stay below KD_MAX_ELEMENTS and
 * accesses below the limits here, so that no later product or index can overflow.
 */
#include "ir/infer_rules.h"

#include <inttypes.h>
#include <string.h>

/* With terms at most 4 * 2^20 * 2^40, an index stays within 63 bits. */
#define MAX_ITERATIONS ((int64_t)1 << 56)

static KdType arg(const KdRule *r, int k) {
    return r->i->args[k]->type;
}

/* --- movement ------------------------------------------------------------------------------ */

/* The constant elements in front of the batch and behind it; false with more than one B. */
static bool split_at_batch(KdType t, int64_t *before, int64_t *behind, bool *batch) {
    *before = *behind = 1;
    *batch = false;
    for (int k = 0; k < t.rank; k++) {
        if (t.dim[k] == KD_BATCH) {
            if (*batch) return false;
            *batch = true;
            *before = *behind;
            *behind = 1;
        } else {
            *behind *= t.dim[k];
        }
    }
    return true;
}

bool infer_reshape(const KdRule *r) {
    if (!kd_rule_hint(r)) return false;
    KdType x = arg(r, 0), y = *r->hint;
    int64_t before[2], behind[2];
    bool batch[2];
    if (x.dtype != y.dtype) return kd_rule_pair(r, "element types differ (use cast)", x, y);
    if (!split_at_batch(x, &before[0], &behind[0], &batch[0]) ||
        !split_at_batch(y, &before[1], &behind[1], &batch[1])) {
        return kd_rule_pair(r, "B may occur once", x, y);
    }
    if (batch[0] != batch[1]) return kd_rule_pair(r, "B must stay", x, y);
    if (before[0] * behind[0] != before[1] * behind[1]) {
        return kd_rule_pair(r, "numbers of elements differ", x, y);
    }
    if (batch[0] && behind[0] != behind[1]) return kd_rule_pair(r, "B must keep its place", x, y);
    r->out[0] = y;
    return true;
}

/* Iterators, with the batch at its bound. */
typedef struct Iterators {
    int n;
    int64_t extent[KD_MAX_ITERS];
} Iterators;

static void add_iterators(const KdRule *r, Iterators *to, int n, const int64_t *extent) {
    for (int k = 0; k < n; k++)
        to->extent[to->n++] = extent[k] == KD_BATCH ? r->i->func->max_batch : extent[k];
}

static bool check_range(const KdRule *r, const KdIndex *x, int64_t extent, const Iterators *iters) {
    int64_t least, most;
    if (kd_index_is_computable(x, iters->extent, extent)) return true;
    kd_index_range(x, iters->extent, &least, &most);
    return kd_instr_error(r->i, r->d,
                          "an index from %" PRId64 " to %" PRId64
                          "; one that leaves its dim, or is divided, stays within 32 bits",
                          least, most);
}

/* An access of x by these iterators. */
static bool check_access(const KdRule *r, const KdAccess *access, KdType x,
                         const Iterators *iters) {
    const KdInstr *i = r->i;
    int niters = iters->n;
    if (!access) return kd_instr_error(i, r->d, "an access is missing");
    if (access->rank != x.rank) {
        char text[KD_TYPE_TEXT];
        return kd_instr_error(i, r->d, "an access of rank %d for %s", access->rank,
                              kd_type_text(x, text));
    }
    for (int k = 0; k < access->rank; k++) {
        const KdIndex *index = &access->dim[k];
        if (index->nterms < 0 || index->nterms > KD_MAX_TERMS) {
            return kd_instr_error(i, r->d, "an index of %d terms, at most %d", index->nterms,
                                  KD_MAX_TERMS);
        }
        for (int n = 0; n < index->nterms; n++) {
            KdTerm t = index->term[n];
            if (t.iter < 0 || t.iter >= niters) {
                return kd_instr_error(i, r->d, "no iterator d%d, there are %d", t.iter, niters);
            }
            if (n && t.iter <= index->term[n - 1].iter) {
                return kd_instr_error(i, r->d, "iterators must ascend within an index");
            }
            if (t.coeff == 0 || t.coeff > KD_MAX_COEFF || t.coeff < -KD_MAX_COEFF) {
                return kd_instr_error(i, r->d, "a coefficient of %" PRId64, t.coeff);
            }
        }
        if (index->divisor < 1 || index->divisor > KD_MAX_COEFF) {
            return kd_instr_error(i, r->d, "a divisor of %" PRId64, index->divisor);
        }
        if (index->offset > KD_MAX_ELEMENTS || index->offset < -KD_MAX_ELEMENTS) {
            return kd_instr_error(i, r->d, "an offset of %" PRId64, index->offset);
        }
        if (!check_range(r, index, x.dim[k], iters)) return false;
    }
    return true;
}

bool infer_view(const KdRule *r) {
    if (!kd_rule_hint(r)) return false;
    if (r->hint->dtype != arg(r, 0).dtype) {
        return kd_rule_pair(r, "element types differ (use cast)", arg(r, 0), *r->hint);
    }
    if (!kd_dtype_holds(r->hint->dtype, kd_attr_num(r->i->attrs, "fill", 0)))
        return kd_rule_one(r, "its elements do not hold the fill", *r->hint);
    Iterators iters = { 0 };
    add_iterators(r, &iters, r->hint->rank, r->hint->dim);
    if (!check_access(r, r->i->access, arg(r, 0), &iters)) return false;
    r->out[0] = *r->hint;
    return true;
}

bool infer_concat(const KdRule *r) {
    if (!r->i->nargs) return kd_instr_error(r->i, r->d, "takes at least one operand");
    KdType t = arg(r, 0);
    int64_t axis = kd_attr_int(r->i->attrs, "axis", -1);
    if (axis < 0 || axis >= t.rank) {
        char text[KD_TYPE_TEXT];
        return kd_instr_error(r->i, r->d, "no axis %" PRId64 " in %s", axis, kd_type_text(t, text));
    }
    for (int k = 1; k < r->i->nargs; k++) {
        KdType x = arg(r, k);
        if (t.dim[axis] < 0 || (x.rank == t.rank && x.dim[axis] < 0)) {
            return kd_rule_pair(r, "the batch cannot be joined", arg(r, 0), x);
        }
        KdType other = x;
        if (axis < x.rank) other.dim[axis] = t.dim[axis];
        if (!kd_type_equal(t, other)) {
            return kd_rule_pair(r, "operands differ off the axis", arg(r, 0), x);
        }
        t.dim[axis] += x.dim[axis]; /* each at most 2^40; checked below before it can grow far */
        if (t.dim[axis] > KD_MAX_ELEMENTS) return kd_rule_pair(r, "too many elements", t, x);
    }
    r->out[0] = t;
    return true;
}

static bool check_index(const KdRule *r, KdType table, KdType index) {
    if (table.rank < 1) return kd_rule_one(r, "the rows must have a rank of at least 1", table);
    if (index.dtype != KD_I32 || index.rank != 1) {
        return kd_rule_one(r, "the index must be i32 of rank 1", index);
    }
    return true;
}

bool infer_gather(const KdRule *r) {
    KdType table = arg(r, 0), index = arg(r, 1);
    if (!check_index(r, table, index)) return false;
    table.dim[0] = index.dim[0];
    r->out[0] = table;
    return true;
}

bool infer_scatter(const KdRule *r) {
    KdType rows = arg(r, 0), index = arg(r, 1);
    if (!check_index(r, rows, index)) return false;
    if (rows.dtype != KD_F32) return kd_rule_one(r, "the rows must be f32", rows);
    if (rows.dim[0] != index.dim[0]) {
        return kd_rule_pair(r, "the index must have one entry per row", rows, index);
    }
    int64_t n = kd_attr_int(r->i->attrs, "rows", 0);
    if (n < 1) return kd_instr_error(r->i, r->d, "rows must be at least 1, found %" PRId64, n);
    rows.dim[0] = n;
    r->out[0] = rows;
    return true;
}

bool infer_slab(const KdRule *r) {
    int64_t total = 0;
    if (!r->i->nargs) return kd_instr_error(r->i, r->d, "takes at least one operand");
    for (int k = 0; k < r->i->nargs; k++) {
        KdType x = arg(r, k);
        if (x.dtype != KD_F32 || kd_type_has(x, KD_BATCH)) {
            return kd_rule_one(r, "operands must be f32 of constant shape", x);
        }
        int64_t count = kd_type_elements(x, 0, 0);
        total += (count + KD_SLAB_ALIGN - 1) / KD_SLAB_ALIGN * KD_SLAB_ALIGN;
        if (total > KD_MAX_ELEMENTS) return kd_rule_one(r, "too many elements", x);
    }
    r->out[0] = kd_type(KD_F32, 1, &total);
    return true;
}

/* --- reductions and products --------------------------------------------------------------- */

static bool drop_axes(const KdRule *r, KdType x, KdType *out) {
    const KdAttr *axes = kd_attr_find(r->i->attrs, "axes");
    char text[KD_TYPE_TEXT];
    kd_type_text(x, text);
    if (!axes->nints) return kd_instr_error(r->i, r->d, "no axes given for %s", text);
    for (int k = 0; k < axes->nints; k++) {
        if (axes->ints[k] < 0 || axes->ints[k] >= x.rank) {
            return kd_instr_error(r->i, r->d, "no axis %" PRId64 " in %s", axes->ints[k], text);
        }
        if (k && axes->ints[k] <= axes->ints[k - 1]) {
            return kd_instr_error(r->i, r->d, "axes must ascend, for %s", text);
        }
    }
    *out = kd_scalar(x.dtype);
    for (int k = 0, next = 0; k < x.rank; k++) {
        if (next < axes->nints && axes->ints[next] == k) {
            next++;
        } else {
            out->dim[out->rank++] = x.dim[k];
        }
    }
    return true;
}

bool infer_reduce(const KdRule *r) {
    KdType x = arg(r, 0);
    if (x.dtype != KD_F32 && x.dtype != KD_I32) {
        return kd_rule_one(r, "operand must be f32 or i32", x);
    }
    return drop_axes(r, x, &r->out[0]);
}

bool infer_argmax(const KdRule *r) {
    if (!infer_reduce(r)) return false;
    r->out[0].dtype = KD_I32;
    return true;
}

static bool is_byte(KdDtype t) {
    return t == KD_U8 || t == KD_I8;
}

bool infer_contract(const KdRule *r) {
    const KdInstr *i = r->i;
    const KdContract *c = i->contract;
    KdType x = arg(r, 0), y = arg(r, 1);
    if (!kd_rule_hint(r)) return false;
    if (!c) return kd_instr_error(i, r->d, "its accesses are missing");
    bool real = x.dtype == KD_F32 && y.dtype == KD_F32 && r->hint->dtype == KD_F32;
    bool bytes = is_byte(x.dtype) && is_byte(y.dtype) && r->hint->dtype == KD_I32;
    if (!real && !bytes)
        return kd_rule_pair(r, "operands must be f32, or u8 and i8 with sums in i32", x, y);
    const char *round = kd_attr_str(i->attrs, "round", NULL);
    if (round && (bytes || strcmp(round, "bf16") != 0))
        return kd_instr_error(i, r->d, "operands in f32 can be rounded to bf16, not to '%s'",
                              round);
    int niters = r->hint->rank + c->nover;
    if (c->nover < 0 || niters > KD_MAX_ITERS) {
        return kd_instr_error(i, r->d, "%d iterators, at most %d", niters, KD_MAX_ITERS);
    }
    int64_t bound = i->func->max_batch;
    int64_t iterations = kd_type_elements(*r->hint, bound, 1);
    for (int k = 0; k < c->nover; k++) {
        int64_t extent = c->over[k] == KD_BATCH ? bound : c->over[k];
        if (extent < 1) return kd_instr_error(i, r->d, "over has an extent of %" PRId64, extent);
        if (iterations > MAX_ITERATIONS / extent) return kd_rule_pair(r, "too large", x, y);
        iterations *= extent;
    }
    Iterators iters = { 0 };
    add_iterators(r, &iters, r->hint->rank, r->hint->dim);
    add_iterators(r, &iters, c->nover, c->over);
    if (!check_access(r, &c->a, x, &iters) || !check_access(r, &c->b, y, &iters)) return false;
    r->out[0] = *r->hint;
    return true;
}
