/* Affine accesses: building, asking and evaluating them. Terms stay sorted by iterator. */
#include "ir/access.h"

KdIndex kd_index_iter(int iter) {
    return (KdIndex){ .nterms = 1, .term = { { iter, 1 } }, .divisor = 1 };
}

KdIndex kd_index_constant(int64_t offset) {
    return (KdIndex){ .offset = offset, .divisor = 1 };
}

bool kd_index_add(KdIndex *x, int iter, int64_t coeff) {
    int at = 0;
    while (at < x->nterms && x->term[at].iter < iter) at++;
    if (at < x->nterms && x->term[at].iter == iter) {
        x->term[at].coeff += coeff;
        if (x->term[at].coeff) return true;
        x->nterms--; /* cancelled out */
        for (int k = at; k < x->nterms; k++) x->term[k] = x->term[k + 1];
        x->term[x->nterms] = (KdTerm){ 0 };
        return true;
    }
    if (!coeff) return true;
    if (x->nterms == KD_MAX_TERMS) return false;
    for (int k = x->nterms; k > at; k--) x->term[k] = x->term[k - 1];
    x->term[at] = (KdTerm){ iter, coeff };
    x->nterms++;
    return true;
}

static bool is_within(int64_t x, int64_t most) {
    return x >= -most && x <= most;
}

bool kd_index_fits(const KdIndex *x) {
    for (int k = 0; k < x->nterms; k++)
        if (!is_within(x->term[k].coeff, KD_MAX_COEFF)) return false;
    return x->divisor >= 1 && x->divisor <= KD_MAX_COEFF && is_within(x->offset, KD_MAX_ELEMENTS);
}

bool kd_index_is_iter(const KdIndex *x, int iter) {
    return x->nterms == 1 && x->term[0].iter == iter && x->term[0].coeff == 1 && x->offset == 0 &&
           x->divisor == 1;
}

bool kd_index_uses(const KdIndex *x, int iter) {
    for (int k = 0; k < x->nterms; k++) {
        if (x->term[k].iter == iter) return true;
    }
    return false;
}

bool kd_access_uses(const KdAccess *x, int iter) {
    for (int k = 0; k < x->rank; k++) {
        if (kd_index_uses(&x->dim[k], iter)) return true;
    }
    return false;
}

bool kd_access_is_identity(const KdAccess *x) {
    for (int k = 0; k < x->rank; k++) {
        if (!kd_index_is_iter(&x->dim[k], k)) return false;
    }
    return true;
}

static bool index_equal(const KdIndex *x, const KdIndex *y) {
    if (x->nterms != y->nterms || x->offset != y->offset || x->divisor != y->divisor) return false;
    for (int k = 0; k < x->nterms; k++) {
        if (x->term[k].iter != y->term[k].iter || x->term[k].coeff != y->term[k].coeff)
            return false;
    }
    return true;
}

bool kd_access_equal(const KdAccess *x, const KdAccess *y) {
    if (x->rank != y->rank) return false;
    for (int k = 0; k < x->rank; k++) {
        if (!index_equal(&x->dim[k], &y->dim[k])) return false;
    }
    return true;
}

bool kd_index_eval(const KdIndex *x, const int64_t *at, int64_t extent, int64_t *out) {
    int64_t sum = x->offset;
    for (int k = 0; k < x->nterms; k++) sum += x->term[k].coeff * at[x->term[k].iter];
    if (sum < 0 || sum % x->divisor != 0) return false;
    *out = sum / x->divisor;
    return *out < extent;
}

bool kd_index_range(const KdIndex *x, const int64_t *extent, int64_t *least, int64_t *most) {
    *least = *most = x->offset;
    for (int k = 0; k < x->nterms; k++) {
        if (extent[x->term[k].iter] < 0) return false;
        int64_t reach = x->term[k].coeff * (extent[x->term[k].iter] - 1);
        *(reach < 0 ? least : most) += reach;
    }
    return true;
}

bool kd_index_is_computable(const KdIndex *x, const int64_t *extent, int64_t limit) {
    int64_t least, most;
    kd_index_range(x, extent, &least, &most);
    bool inside = x->divisor == 1 && least >= 0 && limit > 0 && most < limit;
    return inside || (least >= INT32_MIN && most <= INT32_MAX);
}
