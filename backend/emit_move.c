/*
 * Emit rules of movement: they compute no value, only the point at which to ask an operand.
 *
 * Where an access can leave its operand, lanes outside read the fill value. A check is emitted only
 * where the extents do not already prove the index in range. An index that is the same in all lanes
 * is checked once and replaced by 0 when it is outside; otherwise the lanes outside are masked.
 */
#include "backend/eval.h"
#include "ir/half.h"

/* Where an access is valid: per lane constants, and run-time conditions. */
typedef struct Validity {
    LLVMValueRef uniform; /* i1 or NULL */
    LLVMValueRef lanes;   /* <lanes x i1> or NULL */
    int32_t *dead;        /* constant, or NULL */
} Validity;

static LLVMValueRef both(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return !a ? b : !b ? a : LLVMBuildAnd(e->b, a, b, "");
}

/* The smallest and largest numerator of an index, by the extents of the iterators. */
static void index_range(const KdEval *ev, const KdIndex *x, const int64_t *extents, int64_t *lo,
                        int64_t *hi) {
    *lo = *hi = x->offset;
    for (int k = 0; k < x->nterms; k++) {
        int64_t extent = extents[x->term[k].iter];
        if (extent < 0) {
            extent = ev->e->f->max_batch ? ev->e->f->max_batch : INT32_MAX;
        }
        int64_t most = x->term[k].coeff * (extent - 1);
        *(most < 0 ? lo : hi) += most;
    }
}

static void kill_lane(KdEval *ev, Validity *valid, const KdPoint *at, int lane) {
    if (!valid->dead) {
        valid->dead = KD_NEW_ARRAY(ev->e->arena, int32_t, at->lanes);
    }
    valid->dead[lane] = 1;
}

/* x / d; lanes where it is not whole are not valid. */
static KdIdx exact_quotient(KdEval *ev, const KdPoint *at, KdIdx x, int64_t d, Validity *valid) {
    KdEmit *e = ev->e;
    x = kd_idx_resolve(e, at->lanes, x);
    if (d == 1) {
        return x;
    }
    if (!x.vector && x.multiple % d == 0) {
        /* The base divides: which lanes do is known now. */
        int32_t *lane = KD_NEW_ARRAY(e->arena, int32_t, at->lanes);
        for (int l = 0; l < at->lanes; l++) {
            int64_t number = x.offset + (x.lane ? x.lane[l] : 0);
            lane[l] = (int32_t)(number / d);
            if (number % d) {
                kill_lane(ev, valid, at, l);
            }
        }
        LLVMValueRef base = NULL;
        if (x.base) {
            base = LLVMBuildExactSDiv(e->b, x.base, kd_emit_i64(e, d), "");
        }
        return kd_idx_pattern(e, base, x.multiple / d, lane, at->lanes);
    }
    bool uniform = kd_idx_is_uniform(&x);
    int lanes = uniform ? 1 : at->lanes;
    LLVMValueRef number = kd_idx_value(e, lanes, x, e->i32);
    LLVMValueRef by = kd_emit_splat(e, kd_emit_i32(e, d), lanes);
    LLVMValueRef rest = LLVMBuildSRem(e->b, number, by, "");
    LLVMValueRef whole = LLVMBuildICmp(e->b, LLVMIntEQ, rest, LLVMConstNull(LLVMTypeOf(rest)), "");
    LLVMValueRef quotient = LLVMBuildSDiv(e->b, number, by, "");
    quotient = LLVMBuildSExt(e->b, quotient, kd_vector_type(e->i64, lanes), "");
    if (uniform) {
        valid->uniform = both(e, valid->uniform, whole);
        return kd_idx_uniform(quotient, 1);
    }
    valid->lanes = both(e, valid->lanes, whole);
    return (KdIdx){ .vector = quotient };
}

/* lo <= x < hi where the caller could not prove it; bounds are i64 or constants. */
static void check_range(KdEval *ev, const KdPoint *at, KdIdx x, int64_t lo, LLVMValueRef hi,
                        Validity *valid) {
    KdEmit *e = ev->e;
    if (!x.vector && !x.base && LLVMIsConstant(hi)) {
        int64_t end = LLVMConstIntGetSExtValue(hi);
        for (int l = 0; l < at->lanes; l++) {
            int64_t number = x.offset + (x.lane ? x.lane[l] : 0);
            if (number < lo || number >= end) {
                kill_lane(ev, valid, at, l);
            }
        }
        return;
    }
    bool uniform = kd_idx_is_uniform(&x);
    int lanes = uniform ? 1 : at->lanes;
    /* One unsigned compare: x - lo below hi - lo, in 32 bits, where extents of one dim fit. */
    LLVMValueRef number = kd_idx_value(e, lanes, x, e->i32);
    LLVMValueRef low = kd_emit_splat(e, kd_emit_i32(e, lo), lanes);
    LLVMValueRef width = LLVMBuildSub(e->b, hi, kd_emit_i64(e, lo), "");
    width = kd_emit_splat(e, LLVMBuildTrunc(e->b, width, e->i32, ""), lanes);
    number = lo ? LLVMBuildSub(e->b, number, low, "") : number;
    LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntULT, number, width, "");
    LLVMValueRef *into = uniform ? &valid->uniform : &valid->lanes;
    *into = both(e, *into, inside);
}

/* Applies a validity to the point of the operand; returns it as i1 or <lanes x i1>, NULL: always.
 */
static LLVMValueRef restrict_point(KdEval *ev, KdPoint *to, const Validity *valid) {
    KdEmit *e = ev->e;
    int lanes = to->lanes;
    if (valid->uniform) {
        for (int k = 0; k < to->rank; k++) {
            KdIdx *x = &to->dim[k];
            *x = kd_idx_resolve(e, lanes, *x);
            if (kd_idx_is_uniform(x) && x->base) {
                LLVMValueRef number = kd_idx_value(e, 1, *x, e->i64);
                number = LLVMBuildSelect(e->b, valid->uniform, number, kd_emit_i64(e, 0), "");
                *x = kd_idx_uniform(number, 1);
            }
        }
    }
    LLVMValueRef all = valid->uniform ? kd_emit_splat(e, valid->uniform, lanes) : NULL;
    if (valid->lanes) {
        to->mask = both(e, to->mask, valid->lanes);
        to->prefix = false;
        all = both(e, all, valid->lanes);
    }
    if (valid->dead) {
        LLVMValueRef *alive = KD_NEW_ARRAY(e->arena, LLVMValueRef, lanes);
        int32_t *dead = KD_NEW_ARRAY(e->arena, int32_t, lanes);
        for (int l = 0; l < lanes; l++) {
            dead[l] = valid->dead[l] || (to->dead && to->dead[l]);
            alive[l] = LLVMConstInt(e->i1, !valid->dead[l], 0);
        }
        to->dead = lanes > 1 ? dead : NULL;
        all = both(e, all, lanes > 1 ? LLVMConstVector(alive, (unsigned)lanes) : alive[0]);
    }
    return all;
}

/* All lanes invalid at compile time: nothing to ask the operand for. */
static bool never_valid(const KdPoint *at, const Validity *valid) {
    for (int l = 0; l < at->lanes; l++) {
        if (!valid->dead || !valid->dead[l]) {
            return false;
        }
    }
    return true;
}

LLVMValueRef kd_emit_constant(KdEmit *e, KdDtype dtype, int lanes, double x) {
    LLVMValueRef one;
    if (dtype == KD_F32) {
        one = kd_emit_f32(e, x);
    } else if (dtype == KD_F16) {
        one = LLVMConstInt(kd_emit_type(e, dtype), kd_half_from(x), 0);
    } else if (dtype == KD_BOOL) {
        one = LLVMConstInt(e->i1, x != 0, 0);
    } else {
        one = LLVMConstInt(kd_emit_type(e, dtype), (unsigned long long)(int64_t)x, 1);
    }
    return kd_emit_splat(e, one, lanes);
}

/* The operand's value where valid, else fill. */
static LLVMValueRef choose(KdEval *ev, const KdValue *v, const KdPoint *to, LLVMValueRef valid,
                           double fill) {
    LLVMValueRef value = kd_eval(ev, v, to);
    if (!valid) {
        return value;
    }
    LLVMValueRef other = kd_emit_constant(ev->e, v->type.dtype, to->lanes, fill);
    return LLVMBuildSelect(ev->e->b, valid, value, other, "");
}

/* The index that `x` makes of the iterators, and where it is valid, for an operand's `extent`. */
static KdIdx access_index(KdEval *ev, const KdIndex *x, int64_t extent, const KdIterators *iters,
                          const KdPoint *at, Validity *valid) {
    if (x->nterms == 1 && kd_index_is_iter(x, x->term[0].iter) &&
        iters->extent[x->term[0].iter] == extent) {
        return iters->at[x->term[0].iter]; /* parts stay parts */
    }
    KdIdx terms[KD_MAX_TERMS];
    int64_t coeff[KD_MAX_TERMS];
    for (int k = 0; k < x->nterms; k++) {
        terms[k] = iters->at[x->term[k].iter];
        coeff[k] = x->term[k].coeff;
    }
    KdIdx sum = kd_idx_combine(ev->e, at->lanes, x->nterms, terms, coeff, x->offset);
    sum = exact_quotient(ev, at, sum, x->divisor, valid);
    int64_t lo, hi;
    index_range(ev, x, iters->extent, &lo, &hi);
    if (lo < 0 || extent < 0 || hi / x->divisor >= extent) {
        check_range(ev, at, sum, 0, kd_emit_extent(ev->e, extent), valid);
    }
    return sum;
}

/* The operand's point for an access; false when no lane is valid. */
static bool access_point(KdEval *ev, KdType t, const KdAccess *access, const KdIterators *iters,
                         KdPoint *to, LLVMValueRef *inside) {
    Validity valid = { 0 };
    KdPoint at = *to;
    to->rank = t.rank;
    for (int k = 0; k < t.rank; k++) {
        to->dim[k] = access_index(ev, &access->dim[k], t.dim[k], iters, &at, &valid);
    }
    if (never_valid(&at, &valid)) {
        return false;
    }
    *inside = restrict_point(ev, to, &valid);
    return true;
}

LLVMValueRef kd_eval_access(KdEval *ev, const KdValue *v, const KdAccess *access,
                            const KdIterators *iters, const KdPoint *at) {
    KdPoint to = *at;
    LLVMValueRef inside;
    if (!access_point(ev, v->type, access, iters, &to, &inside)) {
        return kd_emit_constant(ev->e, v->type.dtype, at->lanes, 0);
    }
    return choose(ev, v, &to, inside, 0);
}

LLVMValueRef emit_view(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    const KdValue *v = i->args[0];
    double fill = kd_attr_num(i->attrs, "fill", 0);
    int key = -1 - i->results[0]->id;
    KdMemo *m = kd_memo_find(ev, key, at);
    if (m) {
        KdPoint to = m->to;
        return choose(ev, v, &to, m->value, fill);
    }
    KdIterators iters = { .n = at->rank };
    for (int k = 0; k < at->rank; k++) {
        iters.at[k] = at->dim[k];
        iters.extent[k] = i->results[0]->type.dim[k];
    }
    KdPoint to = *at;
    LLVMValueRef inside;
    if (!access_point(ev, v->type, i->access, &iters, &to, &inside)) {
        return kd_emit_constant(ev->e, v->type.dtype, at->lanes, fill);
    }
    kd_memo_add(ev, key, at, inside)->to = to;
    return choose(ev, v, &to, inside, fill);
}

/* Splits both shapes into groups of equal products, outermost first: (r0 … r1) and (o0 … o1). */
static bool next_group(KdType r, KdType o, int *r1, int *o1) {
    if (*r1 >= r.rank && *o1 >= o.rank) {
        return false;
    }
    int64_t left = *r1 < r.rank ? r.dim[(*r1)++] : 1, right = *o1 < o.rank ? o.dim[(*o1)++] : 1;
    while (left != right) {
        if (left < right && *r1 < r.rank) {
            left *= r.dim[(*r1)++];
        } else {
            right *= o.dim[(*o1)++];
        }
    }
    return true;
}

/* The point of the same element in a tensor of shape `to`, when `at` belongs to shape `from`. */
KdPoint kd_point_reshape(KdEmit *e, KdType from, KdType to, const KdPoint *at) {
    KdPoint out = *at;
    out.rank = to.rank;
    int r0 = 0, o0 = 0, r1 = 0, o1 = 0;
    while (next_group(from, to, &r1, &o1)) {
        KdType group = { .rank = r1 - r0 };
        KdPoint part = { .lanes = at->lanes, .rank = r1 - r0 };
        for (int k = r0; k < r1; k++) {
            group.dim[k - r0] = from.dim[k];
            part.dim[k - r0] = at->dim[k];
        }
        if (r1 - r0 == 1 && o1 - o0 == 1) {
            out.dim[o0] = at->dim[r0];
        } else {
            KdIdx whole = kd_emit_linear(e, group, &part);
            int64_t below = 1;
            bool outermost = false;
            for (int k = o1 - 1; k >= o0; k--) {
                outermost = k == o0;
                out.dim[k] = kd_idx_part(e, whole, below, outermost ? 0 : to.dim[k]);
                below *= to.dim[k];
            }
        }
        r0 = r1;
        o0 = o1;
    }
    return out;
}

LLVMValueRef emit_reshape(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    int key = -1 - i->results[0]->id;
    KdMemo *m = kd_memo_find(ev, key, at);
    if (m) {
        KdPoint to = m->to;
        return kd_eval_arg(ev, i, 0, &to);
    }
    KdPoint to = kd_point_reshape(ev->e, i->results[0]->type, i->args[0]->type, at);
    kd_memo_add(ev, key, at, NULL)->to = to;
    return kd_eval_arg(ev, i, 0, &to);
}

LLVMValueRef emit_concat(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    KdEmit *e = ev->e;
    int axis = (int)kd_attr_int(i->attrs, "axis", 0);
    KdDtype dtype = i->results[0]->type.dtype;
    LLVMValueRef out = kd_emit_constant(e, dtype, at->lanes, 0);
    KdIdx start = kd_idx_constant(0);
    KdIdx x = kd_idx_resolve(e, at->lanes, at->dim[axis]);
    for (int k = 0; k < i->nargs; k++) {
        LLVMValueRef extent = kd_emit_extent(e, i->args[k]->type.dim[axis]);
        KdPoint to = *at;
        Validity valid = { 0 };
        to.dim[axis] =
            kd_idx_combine(e, at->lanes, 2, (KdIdx[]){ x, start }, (int64_t[]){ 1, -1 }, 0);
        check_range(ev, at, to.dim[axis], 0, extent, &valid);
        if (!never_valid(at, &valid)) {
            LLVMValueRef inside = restrict_point(ev, &to, &valid);
            LLVMValueRef value = kd_eval_arg(ev, i, k, &to);
            out = inside ? LLVMBuildSelect(e->b, inside, value, out, "") : value;
        }
        KdIdx length = LLVMIsConstant(extent) ? kd_idx_constant(LLVMConstIntGetSExtValue(extent))
                                              : kd_idx_uniform(extent, 1);
        start = kd_idx_combine(e, 1, 2, (KdIdx[]){ start, length }, (int64_t[]){ 1, 1 }, 0);
    }
    return out;
}

/* Rows of a data set lie anywhere: those a few samples ahead are asked for in time, the part that
 * goes with this point. */
#define ROWS_AHEAD 4

static void ask_ahead(KdEval *ev, const KdInstr *i, const KdPoint *at, KdPoint row) {
    KdEmit *e = ev->e;
    const KdValue *table = i->args[0];
    if (table->def || table->type.rank < 2) return;
    LLVMValueRef last = kd_emit_extent(e, i->args[1]->type.dim[0]);
    last = LLVMBuildSub(e->b, last, kd_emit_i64(e, 1), "");
    LLVMValueRef ahead = kd_idx_value(e, 1, row.dim[0], e->i64);
    ahead = LLVMBuildAdd(e->b, ahead, kd_emit_i64(e, ROWS_AHEAD), "");
    row.dim[0] = kd_idx_uniform(kd_emit_min(e, ahead, last), 1);
    KdPoint to = *at;
    LLVMValueRef index = kd_eval_arg(ev, i, 1, &row);
    to.dim[0] = kd_idx_uniform(LLVMBuildSExt(e->b, index, e->i64, ""), 1);
    kd_emit_prefetch_at(e, table->type, kd_emit_base(e, ev->kernel->args[table->index]), &to);
}

LLVMValueRef emit_gather(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    KdEmit *e = ev->e;
    KdPoint row = *at, to = *at;
    row.rank = 1;
    LLVMValueRef index;
    if (kd_idx_is_uniform(&at->dim[0])) {
        row = kd_point_scalar(&row);
        index = kd_eval_arg(ev, i, 1, &row);
        to.dim[0] = kd_idx_uniform(LLVMBuildSExt(e->b, index, e->i64, ""), 1);
        ask_ahead(ev, i, at, row);
    } else {
        index = kd_eval_arg(ev, i, 1, &row);
        LLVMTypeRef wide = kd_vector_type(e->i64, at->lanes);
        to.dim[0] = (KdIdx){ .vector = LLVMBuildSExt(e->b, index, wide, "") };
    }
    return kd_eval_arg(ev, i, 0, &to);
}

LLVMValueRef emit_iota(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    int axis = (int)kd_attr_int(i->attrs, "axis", 0);
    LLVMTypeRef type = ev->e->i32;
    return kd_idx_value(ev->e, at->lanes, at->dim[axis], type);
}
