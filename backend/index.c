/*
 * Index arithmetic of the evaluator. The lanes of a vector read one dim at base + offset + lane[l],
 * where only the base is a run-time value and lane[] a constant pattern; products and sums keep
 * that form, and so does division by a number the base is known to be a multiple of. So accesses of
 * windows, strides and their adjoints end as constant patterns, which load.c turns into vector
 * loads and shuffles. What has no such form becomes a vector of indices.
 *
 * Several dims in one (a collapsed loop, a reshape) are kept as parts of a whole: reading a tensor
 * at all the parts in order is reading it at the whole, with no division.
 */
#include "backend/emit.h"

#include <string.h>

KdIdx kd_idx_constant(int64_t x) {
    return (KdIdx){ .offset = x };
}

KdIdx kd_idx_uniform(LLVMValueRef base, int64_t multiple) {
    return (KdIdx){ .base = base, .multiple = multiple };
}

KdIdx kd_idx_pattern(KdEmit *e, LLVMValueRef base, int64_t multiple, const int32_t *lane,
                     int lanes) {
    KdIdx x = { .base = base, .multiple = base ? multiple : 0, .offset = lane[0] };
    int32_t *from_first = KD_NEW_ARRAY(e->arena, int32_t, lanes);
    bool varies = false;
    for (int l = 0; l < lanes; l++) {
        from_first[l] = lane[l] - lane[0];
        varies = varies || from_first[l];
    }
    x.lane = varies ? from_first : NULL;
    return x;
}

KdIdx kd_idx_lanes(KdEmit *e, LLVMValueRef base, int64_t multiple) {
    int32_t *ids = KD_NEW_ARRAY(e->arena, int32_t, e->lanes);
    for (int l = 0; l < e->lanes; l++) {
        ids[l] = l;
    }
    return kd_idx_pattern(e, base, multiple, ids, e->lanes);
}

bool kd_idx_is_uniform(const KdIdx *x) {
    return x->whole ? kd_idx_is_uniform(x->whole) : !x->lane && !x->vector;
}

bool kd_idx_equal(const KdIdx *x, const KdIdx *y, int lanes) {
    if (x->base != y->base || x->offset != y->offset || x->vector != y->vector ||
        x->divide != y->divide || x->modulus != y->modulus || !x->whole != !y->whole ||
        !x->lane != !y->lane) {
        return false;
    }
    if (x->lane && x->lane != y->lane &&
        memcmp(x->lane, y->lane, (size_t)lanes * sizeof *x->lane) != 0) {
        return false;
    }
    return !x->whole || x->whole == y->whole || kd_idx_equal(x->whole, y->whole, lanes);
}

static int64_t gcd(int64_t a, int64_t b) {
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* base + offset as one i64. */
static LLVMValueRef uniform_value(KdEmit *e, const KdIdx *x) {
    if (!x->base) {
        return kd_emit_i64(e, x->offset);
    }
    return x->offset ? LLVMBuildNSWAdd(e->b, x->base, kd_emit_i64(e, x->offset), "") : x->base;
}

LLVMValueRef kd_idx_value(KdEmit *e, int lanes, KdIdx x, LLVMTypeRef type) {
    x = kd_idx_resolve(e, lanes, x);
    if (x.vector) {
        return type == e->i64 ? x.vector
                              : LLVMBuildTrunc(e->b, x.vector, kd_vector_type(type, lanes), "");
    }
    LLVMValueRef uniform = uniform_value(e, &x);
    if (type != e->i64) {
        uniform = LLVMBuildTrunc(e->b, uniform, type, "");
    }
    LLVMValueRef all = kd_emit_splat(e, uniform, lanes);
    return x.lane ? LLVMBuildAdd(e->b, all, kd_emit_lane_constants(e, type, lanes, x.lane), "")
                  : all;
}

/* A vector in the form of an index; the number of lanes must be more than one. */
static KdIdx from_vector(LLVMValueRef vector) {
    return (KdIdx){ .vector = vector };
}

static KdIdx combine_vectors(KdEmit *e, int lanes, int n, const KdIdx *x, const int64_t *coeff,
                             int64_t offset) {
    LLVMValueRef sum = kd_emit_splat(e, kd_emit_i64(e, offset), lanes);
    for (int k = 0; k < n; k++) {
        LLVMValueRef factor = kd_emit_splat(e, kd_emit_i64(e, coeff[k]), lanes);
        LLVMValueRef term = kd_idx_value(e, lanes, x[k], e->i64);
        sum = LLVMBuildAdd(e->b, sum, LLVMBuildMul(e->b, term, factor, ""), "");
    }
    return from_vector(sum);
}

KdIdx kd_idx_combine(KdEmit *e, int lanes, int n, const KdIdx *x, const int64_t *coeff,
                     int64_t offset) {
    if (n == 1 && coeff[0] == 1 && offset == 0) {
        return x[0];
    }
    KdIdx term[KD_MAX_ITERS];
    bool vectors = false;
    for (int k = 0; k < n; k++) {
        term[k] = kd_idx_resolve(e, lanes, x[k]);
        vectors = vectors || term[k].vector;
    }
    if (vectors) {
        return combine_vectors(e, lanes, n, term, coeff, offset);
    }
    KdIdx sum = { .offset = offset };
    int32_t *lane = NULL;
    for (int k = 0; k < n; k++) {
        sum.offset += coeff[k] * term[k].offset;
        if (term[k].base && coeff[k]) {
            LLVMValueRef part =
                coeff[k] == 1 ? term[k].base
                              : LLVMBuildNSWMul(e->b, term[k].base, kd_emit_i64(e, coeff[k]), "");
            sum.base = sum.base ? LLVMBuildNSWAdd(e->b, sum.base, part, "") : part;
            sum.multiple = gcd(sum.multiple, coeff[k] * term[k].multiple);
        }
        for (int l = 0; term[k].lane && l < lanes; l++) {
            lane = lane ? lane : KD_NEW_ARRAY(e->arena, int32_t, lanes);
            lane[l] += (int32_t)(coeff[k] * term[k].lane[l]);
        }
    }
    if (lane) {
        KdIdx pattern = kd_idx_pattern(e, NULL, 0, lane, lanes);
        sum.lane = pattern.lane;
        sum.offset += pattern.offset;
    }
    return sum;
}

KdIdx kd_idx_part(KdEmit *e, KdIdx whole, int64_t divide, int64_t modulus) {
    if (divide == 1 && modulus == 0) {
        return whole;
    }
    if (modulus == 1) {
        return kd_idx_constant(0);
    }
    KdIdx *kept = KD_NEW(e->arena, KdIdx);
    *kept = whole;
    return (KdIdx){ .whole = kept, .divide = divide, .modulus = modulus };
}

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static LLVMValueRef unsigned_op(KdEmit *e, LLVMValueRef a, int64_t b, LLVMOpcode op) {
    return b == 1 && op == LLVMUDiv ? a : LLVMBuildBinOp(e->b, op, a, kd_emit_i64(e, b), "");
}

/* x / d (quotient) or x % d of a resolved x >= 0. */
static KdIdx divided(KdEmit *e, int lanes, KdIdx x, int64_t d, bool quotient) {
    LLVMOpcode op = quotient ? LLVMUDiv : LLVMURem;
    if (d == 1) {
        return quotient ? x : kd_idx_constant(0);
    }
    if (x.vector) {
        /* Below 2^31, where a division by a constant is a product of 32 bit lanes. */
        LLVMTypeRef narrow = LLVMVectorType(e->i32, (unsigned)lanes);
        LLVMValueRef value = LLVMBuildTrunc(e->b, x.vector, narrow, "");
        LLVMValueRef by = kd_emit_splat(e, kd_emit_i32(e, d), lanes);
        value = LLVMBuildBinOp(e->b, op, value, by, "");
        return from_vector(LLVMBuildZExt(e->b, value, LLVMVectorType(e->i64, (unsigned)lanes), ""));
    }
    int64_t g = gcd(x.multiple, d); /* the base is a multiple of g, and so is base % d */
    int64_t lowest = INT64_MAX, highest = INT64_MIN;
    for (int l = 0; l < lanes; l++) {
        int64_t at = x.offset + (x.lane ? x.lane[l] : 0);
        lowest = at < lowest ? at : lowest;
        highest = at > highest ? at : highest;
    }
    if (!x.base || g == d) {
        /* Exact for the base: quotients and remainders of constants are left. */
        int32_t *lane = KD_NEW_ARRAY(e->arena, int32_t, lanes);
        for (int l = 0; l < lanes; l++) {
            int64_t at = x.offset + (x.lane ? x.lane[l] : 0);
            int64_t down = floor_div(at, d);
            lane[l] = (int32_t)(quotient ? down : at - down * d);
        }
        LLVMValueRef base = NULL;
        if (quotient && x.base) {
            base = LLVMBuildExactSDiv(e->b, x.base, kd_emit_i64(e, d), "");
        }
        return kd_idx_pattern(e, base, x.multiple / d, lane, lanes);
    }
    if (floor_div(lowest, g) == floor_div(highest, g)) {
        /* All lanes lie in one stretch of g, which no multiple of d divides. */
        int64_t start = floor_div(lowest, g) * g;
        KdIdx stretch = { .base = x.base, .offset = start };
        LLVMValueRef value = unsigned_op(e, uniform_value(e, &stretch), d, op);
        KdIdx out = kd_idx_uniform(value, quotient ? 1 : g);
        if (!quotient) {
            out.offset = x.offset - start;
            out.lane = x.lane;
        }
        return out;
    }
    return divided(e, lanes, from_vector(kd_idx_value(e, lanes, x, e->i64)), d, quotient);
}

KdIdx kd_idx_resolve(KdEmit *e, int lanes, KdIdx x) {
    if (!x.whole) {
        return x;
    }
    KdIdx value = kd_idx_resolve(e, lanes, *x.whole);
    value = divided(e, lanes, value, x.divide, true);
    return x.modulus ? divided(e, lanes, value, x.modulus, false) : value;
}

/* How many dims from `first` on are all the parts of one whole, in order; 0 when they are not. */
static int parts_of_whole(KdType t, const KdPoint *at, int first) {
    const KdIdx *outer = &at->dim[first];
    if (!outer->whole || outer->modulus) {
        return 0;
    }
    int64_t below = outer->divide;
    for (int k = first + 1; k < t.rank; k++) {
        const KdIdx *x = &at->dim[k];
        if (t.dim[k] == 1 && below > 1) {
            continue;
        }
        if (!x->whole || x->modulus != t.dim[k] || x->divide * x->modulus != below ||
            (x->whole != outer->whole && !kd_idx_equal(x->whole, outer->whole, at->lanes))) {
            return 0;
        }
        below = x->divide;
        if (below == 1) {
            return k - first + 1;
        }
    }
    return 0;
}

/* ((d0 * D1 + d1) * D2 + d2) …, with parts put together again where no padding is between them. A
 * batch inside the tensor makes a stride a run-time value. */
KdIdx kd_emit_linear(KdEmit *e, KdType t, const KdPoint *at) {
    KdIdx term[KD_MAX_RANK];
    int64_t coeff[KD_MAX_RANK];
    int n = 0;
    for (int k = 0; k < t.rank; k++) {
        bool apart = k == 0 && t.pad;
        int parts = apart ? 0 : parts_of_whole(t, at, k);
        KdIdx x = parts ? *at->dim[k].whole : at->dim[k];
        k += parts ? parts - 1 : 0;
        int64_t stride = 1;
        bool batch = false;
        for (int j = k + 1; j < t.rank; j++) {
            stride *= t.dim[j] < 0 ? 1 : t.dim[j];
            batch = batch || t.dim[j] < 0;
        }
        stride += apart ? t.pad : 0;
        if (batch) {
            x = kd_idx_resolve(e, at->lanes, x);
            LLVMValueRef n_rows = e->n;
            if (kd_idx_is_uniform(&x)) {
                LLVMValueRef value = LLVMBuildNSWMul(e->b, uniform_value(e, &x), n_rows, "");
                x = kd_idx_uniform(value, 1);
            } else {
                LLVMValueRef value = kd_idx_value(e, at->lanes, x, e->i64);
                LLVMValueRef by = kd_emit_splat(e, n_rows, at->lanes);
                x = from_vector(LLVMBuildMul(e->b, value, by, ""));
            }
        }
        term[n] = x;
        coeff[n++] = stride;
    }
    return kd_idx_resolve(e, at->lanes, kd_idx_combine(e, at->lanes, n, term, coeff, 0));
}
