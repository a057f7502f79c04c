/*
 * Canonicalisation rules of movement: reshape and view. Two accesses compose by putting the outer
 * one's indices in the place of the inner one's iterators; what needs care is the elements out of
 * range, which must read the same fill as before.
 */
#include "passes/canonicalize.h"

#include <math.h>

static double fill_of(const KdInstr *i) {
    return kd_attr_num(i->attrs, "fill", 0);
}

/* --- reshape -------------------------------------------------------------------------------- */

/* reshape x to its own shape -> x */
static KdValue *reshape_to_itself(KdRewrite *r, KdInstr *i) {
    (void)r;
    return kd_type_equal(i->args[0]->type, i->results[0]->type) ? i->args[0] : NULL;
}

/* reshape (reshape x) -> reshape x */
static KdValue *reshape_twice(KdRewrite *r, KdInstr *i) {
    const KdInstr *inner = kd_made_by(i->args[0], KD_OP_RESHAPE);
    KdType t = i->results[0]->type;
    return inner ? kd_reshape(&r->b, inner->args[0], t.rank, t.dim) : NULL;
}

/* reshape constant -> constant */
static KdValue *reshape_constant(KdRewrite *r, KdInstr *i) {
    double value;
    return kd_is_splat(i->args[0], &value) ? kd_constant(&r->b, i->results[0]->type, value) : NULL;
}

/* --- bounds --------------------------------------------------------------------------------- */

/* Is the index in range and whole at every iteration? Iterators run over `extent`. */
static bool always_inside(const KdIndex *x, const int64_t *extent, int64_t limit) {
    if (x->nterms == 1 && kd_index_is_iter(x, x->term[0].iter)) {
        int64_t e = extent[x->term[0].iter];
        return e == limit || (e > 0 && limit > 0 && e <= limit);
    }
    int64_t least, most;
    if (!kd_index_range(x, extent, &least, &most)) return false;
    return x->divisor == 1 && least >= 0 && limit > 0 && most < limit;
}

bool kd_access_inside(const KdAccess *x, const int64_t *extent, const KdType *of) {
    for (int k = 0; k < x->rank; k++)
        if (!always_inside(&x->dim[k], extent, of->dim[k])) return false;
    return true;
}

/* view constant -> constant, where nothing else is read */
static KdValue *view_constant(KdRewrite *r, KdInstr *i) {
    double value;
    KdType t = i->results[0]->type;
    if (!kd_is_splat(i->args[0], &value)) return NULL;
    if (value != fill_of(i) && !kd_access_inside(i->access, t.dim, &i->args[0]->type)) return NULL;
    return kd_constant(&r->b, t, value);
}

/* view x at its own elements -> x */
static KdValue *view_itself(KdRewrite *r, KdInstr *i) {
    (void)r;
    bool same = kd_type_equal(i->args[0]->type, i->results[0]->type);
    return same && kd_access_is_identity(i->access) ? i->args[0] : NULL;
}

/* --- composition ---------------------------------------------------------------------------- */

/* inner's index with the outer access in the place of its iterators. False where a fraction, too
 * many terms or too large ones arise. */
static bool compose_index(const KdIndex *inner, const KdAccess *outer, KdIndex *out) {
    if (inner->nterms == 1 && kd_index_is_iter(inner, inner->term[0].iter)) {
        *out = outer->dim[inner->term[0].iter];
        return true;
    }
    *out = (KdIndex){ .offset = inner->offset, .divisor = inner->divisor };
    for (int k = 0; k < inner->nterms; k++) {
        const KdIndex *x = &outer->dim[inner->term[k].iter];
        int64_t c = inner->term[k].coeff;
        if (x->divisor != 1) return false;
        out->offset += c * x->offset;
        for (int t = 0; t < x->nterms; t++)
            if (!kd_index_add(out, x->term[t].iter, c * x->term[t].coeff)) return false;
    }
    return kd_index_fits(out);
}

/* Can code compute all indices of the access to x, by iterators of `extent`? Those of a view that
 * reads its fill may be larger than those that were composed. */
static bool is_computable(const KdAccess *access, int niters, const int64_t *extent,
                          const KdValue *x) {
    int64_t most[KD_MAX_ITERS];
    for (int k = 0; k < niters; k++)
        most[k] = extent[k] == KD_BATCH ? x->func->max_batch : extent[k];
    for (int k = 0; k < access->rank; k++)
        if (!kd_index_is_computable(&access->dim[k], most, x->type.dim[k])) return false;
    return true;
}

/* Is d_k read bare by a dim of x of the same extent? Then leaving the one's range is leaving the
 * other's. */
static bool guards(const KdInstr *inner, int k) {
    for (int n = 0; n < inner->access->rank; n++)
        if (kd_index_is_iter(&inner->access->dim[n], k) &&
            inner->args[0]->type.dim[n] == inner->results[0]->type.dim[k])
            return true;
    return false;
}

/* outer ∘ inner view, for an outer access over `niters` iterators of `extent` that reads
 * outer_fill. False where the two fills would mix or the access cannot be written. */
static bool compose(const KdAccess *outer, int niters, const int64_t *extent, double outer_fill,
                    const KdInstr *inner, KdAccess *out) {
    KdType middle = inner->results[0]->type;
    bool leaves = false;
    for (int k = 0; k < outer->rank; k++) {
        if (always_inside(&outer->dim[k], extent, middle.dim[k])) continue;
        if (!guards(inner, k)) return false;
        leaves = true;
    }
    bool fills = !kd_access_inside(inner->access, middle.dim, &inner->args[0]->type);
    if (leaves && fills && fill_of(inner) != outer_fill) return false;
    *out = (KdAccess){ .rank = inner->access->rank };
    for (int k = 0; k < out->rank; k++)
        if (!compose_index(&inner->access->dim[k], outer, &out->dim[k])) return false;
    return is_computable(out, niters, extent, inner->args[0]);
}

/* view (view x) -> view x */
static KdValue *view_of_view(KdRewrite *r, KdInstr *i) {
    const KdInstr *inner = kd_made_by(i->args[0], KD_OP_VIEW);
    KdType t = i->results[0]->type;
    KdAccess access;
    if (!inner || !compose(i->access, t.rank, t.dim, fill_of(i), inner, &access)) return NULL;
    bool inside = kd_access_inside(i->access, t.dim, &i->args[0]->type);
    double fill = inside ? fill_of(inner) : fill_of(i);
    return kd_view(&r->b, inner->args[0], t.rank, t.dim, &access, fill);
}

/* Only views that read one element a dim in order: slices, transposes, broadcasts. */
static bool is_simple(const KdInstr *view) {
    for (int k = 0; k < view->access->rank; k++) {
        const KdIndex *x = &view->access->dim[k];
        if (x->nterms > 1 || x->divisor != 1) return false;
    }
    return true;
}

/* contract (view x), y -> contract x, y: a transposed operand is read where it lies; but bytes that
 * are multiplied lie as quantize laid them */
static KdValue *contract_of_view(KdRewrite *r, KdInstr *i) {
    KdType t = i->results[0]->type;
    if (t.dtype != KD_F32) return NULL;
    int64_t extent[KD_MAX_ITERS] = { 0 };
    KdContract c = *i->contract;
    KdValue *x[2] = { i->args[0], i->args[1] };
    KdAccess *access[2] = { &c.a, &c.b };
    bool changed = false;
    for (int k = 0; k < t.rank; k++) extent[k] = t.dim[k];
    for (int k = 0; k < c.nover; k++) extent[t.rank + k] = c.over[k];
    for (int k = 0; k < 2; k++) {
        const KdInstr *inner = kd_made_by(x[k], KD_OP_VIEW);
        KdAccess both;
        if (!inner || !is_simple(inner)) continue;
        bool fills = !kd_access_inside(inner->access, x[k]->type.dim, &inner->args[0]->type);
        if (fills && fill_of(inner) != 0) continue;
        if (!compose(access[k], t.rank + c.nover, extent, 0, inner, &both)) continue;
        *access[k] = both;
        x[k] = inner->args[0];
        changed = true;
    }
    return changed ? kd_contract_like(&r->b, i, x[0], x[1], t.rank, t.dim, &c) : NULL;
}

static void renumber(KdAccess *access, const int *iter) {
    for (int k = 0; k < access->rank; k++) {
        KdIndex *x = &access->dim[k];
        for (int j = 0; j < x->nterms; j++) x->term[j].iter = iter[x->term[j].iter];
    }
}

/* contract x, y along dims that neither reads -> a view of what it is once: the adjoint of a
 * convolution in front of global pooling, say, whose gradient is one number a channel */
static KdValue *contract_spread(KdRewrite *r, KdInstr *i) {
    KdType t = i->results[0]->type;
    if (t.dtype != KD_F32) return NULL;
    KdContract c = *i->contract;
    int64_t dim[KD_MAX_RANK];
    int kept[KD_MAX_RANK], iter[KD_MAX_ITERS] = { 0 }, n = 0;
    for (int k = 0; k < t.rank; k++) {
        bool read = kd_access_uses(&c.a, k) || kd_access_uses(&c.b, k);
        if (!read && t.dim[k] != 1) continue;
        iter[k] = n;
        kept[n] = k;
        dim[n++] = t.dim[k];
    }
    if (n == t.rank) return NULL;
    for (int k = 0; k < c.nover; k++) iter[t.rank + k] = n + k;
    renumber(&c.a, iter);
    renumber(&c.b, iter);
    KdValue *once = kd_contract_like(&r->b, i, i->args[0], i->args[1], n, dim, &c);
    return kd_broadcast(&r->b, once, t, kept);
}

/* --- windows that do not overlap ------------------------------------------------------------ */

/* Is dim k of x read at s·d_y + d_w, with w's extent s, covering it once? */
static bool is_tiling(const KdInstr *i, int k, int *y, int *w) {
    const KdIndex *x = &i->access->dim[k];
    const KdType *t = &i->results[0]->type;
    if (x->nterms != 2 || x->offset || x->divisor != 1) return false;
    bool second = x->term[1].coeff == 1;
    if (!second && x->term[0].coeff != 1) return false;
    *y = x->term[second ? 0 : 1].iter;
    *w = x->term[second ? 1 : 0].iter;
    int64_t stride = x->term[second ? 0 : 1].coeff;
    return stride > 1 && t->dim[*w] == stride && t->dim[*y] > 0 &&
           t->dim[*y] * stride == i->args[0]->type.dim[k];
}

/* view x at […, s·y + w, …] with w < s -> reshape x to […, Y, s, …], then a permutation: pooling
 * and its adjoint then read each element once */
static KdValue *tile_windows(KdRewrite *r, KdInstr *i) {
    KdType from = i->args[0]->type, to = i->results[0]->type, split = kd_scalar(from.dtype);
    KdAccess access = { 0 };
    bool tiled = false;
    for (int k = 0; k < from.rank; k++) {
        int y, w;
        bool here = is_tiling(i, k, &y, &w);
        if (split.rank + 1 + here > KD_MAX_RANK) return NULL;
        split.dim[split.rank++] = here ? to.dim[y] : from.dim[k];
        access.dim[access.rank++] = here ? kd_index_iter(y) : i->access->dim[k];
        if (here) {
            split.dim[split.rank++] = to.dim[w];
            access.dim[access.rank++] = kd_index_iter(w);
        }
        tiled = tiled || here;
    }
    if (!tiled) return NULL;
    KdValue *tiles = kd_reshape(&r->b, i->args[0], split.rank, split.dim);
    return kd_view(&r->b, tiles, to.rank, to.dim, &access, fill_of(i));
}

/* --- reductions ----------------------------------------------------------------------------- */

/* reduce over axes of extent 1 -> reshape */
static KdValue *reduce_nothing(KdRewrite *r, KdInstr *i) {
    const KdAttr *axes = kd_attr_find(i->attrs, "axes");
    KdType t = i->results[0]->type;
    if (t.dtype != i->args[0]->type.dtype || !axes) return NULL;
    for (int k = 0; k < axes->nints; k++)
        if (i->args[0]->type.dim[axes->ints[k]] != 1) return NULL;
    return kd_reshape(&r->b, i->args[0], t.rank, t.dim);
}

static bool is_used_once(const KdValue *v) {
    int uses = 0;
    KD_EACH_INSTR(i, v->func)
    for (int k = 0; k < i->nargs; k++) uses += i->args[k] == v;
    for (int k = 0; k < v->func->nresults; k++) uses += v->func->results[k] == v;
    return uses == 1;
}

/* Does every window of a maximum hold an element of x, and nothing larger than any? Its iterators
 * at half of their extents are inside for the first window and for the last, so for all. */
static bool windows_meet(const KdInstr *reduce, const KdInstr *window) {
    KdType t = window->results[0]->type, from = window->args[0]->type;
    if (kd_access_inside(window->access, t.dim, &from)) return true;
    const KdAttr *axes = kd_attr_find(reduce->attrs, "axes");
    bool over[KD_MAX_RANK] = { 0 };
    for (int k = 0; k < axes->nints; k++) over[axes->ints[k]] = true;
    if (fill_of(window) != -INFINITY) return false;
    for (int d = 0; d < from.rank; d++) {
        const KdIndex *x = &window->access->dim[d];
        if (always_inside(x, t.dim, from.dim[d])) continue;
        int64_t least = x->offset, most = x->offset;
        for (int k = 0; k < x->nterms; k++) {
            int64_t extent = t.dim[x->term[k].iter], c = x->term[k].coeff;
            if (extent < 0 || c < 0) return false;
            bool inner = over[x->term[k].iter];
            least += inner ? c * ((extent - 1) / 2) : 0;
            most += c * (inner ? (extent - 1) / 2 : extent - 1);
        }
        if (x->divisor != 1 || least < 0 || most >= from.dim[d]) return false;
    }
    return true;
}

/* reduce_max (window (max(x, c))) -> max(reduce_max (window x), c): relu behind the pooling is relu
 * on fewer elements, forward and backward; the largest element is the same, and so is its adjoint
 */
static KdValue *pool_before_max(KdRewrite *r, KdInstr *i) {
    const KdInstr *window = kd_made_by(i->args[0], KD_OP_VIEW);
    if (!window || !windows_meet(i, window)) return NULL;
    const KdInstr *tiles = kd_made_by(window->args[0], KD_OP_RESHAPE);
    const KdInstr *max = kd_made_by(tiles ? tiles->args[0] : window->args[0], KD_OP_MAX);
    double c;
    if (!max || max->site || !kd_is_splat(max->args[1], &c)) return NULL;
    if (!is_used_once(max->results[0]) || !is_used_once(window->args[0])) return NULL;

    KdType split = window->args[0]->type, shape = window->results[0]->type;
    int axes[KD_MAX_RANK];
    const KdAttr *given = kd_attr_find(i->attrs, "axes");
    for (int k = 0; k < given->nints; k++) axes[k] = (int)given->ints[k];
    KdValue *x = max->args[0];
    if (tiles) x = kd_reshape(&r->b, x, split.rank, split.dim);
    x = kd_view(&r->b, x, shape.rank, shape.dim, window->access, fill_of(window));
    x = kd_reduce(&r->b, KD_OP_REDUCE_MAX, x, given->nints, axes);
    return x ? kd_binary(&r->b, KD_OP_MAX, x, kd_constant_like(&r->b, x, c)) : NULL;
}

/* --- windows with a stride ------------------------------------------------------------------ */

/* What an iterator becomes where residues modulo `by` are told apart: by·at + residue. */
typedef struct Split {
    int at, residue; /* new iterators; residue -1: the iterator stays whole */
    int64_t by;
} Split;

/* Is the index (y - w + offset) / s, whole only where y and w leave the same residue? y is kept and
 * w summed; s divides the extent of y, and w is checked, where it stands alone, against its own. */
static bool is_stride(const KdInstr *view, int k, const bool *summed, int *y, int *w) {
    const KdIndex *x = &view->access->dim[k];
    KdType t = view->results[0]->type;
    if (x->divisor == 1 || x->nterms != 2 || x->offset % x->divisor) return false;
    bool second = x->term[1].coeff == 1;
    if (x->term[second].coeff != 1 || x->term[!second].coeff != -1) return false;
    *y = x->term[second].iter;
    *w = x->term[!second].iter;
    if (summed[*y] || !summed[*w] || t.dim[*y] <= 0 || t.dim[*y] % x->divisor) return false;
    for (int d = 0; d < view->access->rank; d++)
        if (kd_index_is_iter(&view->access->dim[d], *w))
            return view->args[0]->type.dim[d] == t.dim[*w];
    return false;
}

/* Splits y and w of every such dim of the view; how many dims were found. */
static int split_strides(const KdInstr *view, const bool *summed, Split *split) {
    int found = 0;
    for (int k = 0; k < view->access->rank; k++) {
        int y, w;
        if (!is_stride(view, k, summed, &y, &w) || split[y].by > 1 || split[w].by > 1) continue;
        split[y].by = split[w].by = view->access->dim[k].divisor;
        split[w].residue = y; /* for now: whose residue it shares */
        found++;
    }
    return found;
}

/* The new iterators: those kept, in order, y as two; then those that are summed. */
static KdType number_iterators(KdType t, const bool *summed, Split *split) {
    KdType out = { .dtype = t.dtype };
    for (int k = 0; k < t.rank; k++) {
        if (summed[k]) continue;
        split[k].at = out.rank;
        out.dim[out.rank++] = split[k].by > 1 ? t.dim[k] / split[k].by : t.dim[k];
        split[k].residue = split[k].by > 1 ? out.rank : -1;
        if (split[k].by > 1) out.dim[out.rank++] = split[k].by;
    }
    for (int k = 0; k < t.rank; k++) {
        if (!summed[k]) continue;
        split[k].at = out.rank;
        out.dim[out.rank++] =
            split[k].by > 1 ? (t.dim[k] + split[k].by - 1) / split[k].by : t.dim[k];
        split[k].residue = split[k].by > 1 ? split[split[k].residue].residue : -1;
    }
    return out;
}

/* The index in the new iterators: residues of y and w cancel where they are divided. */
static bool split_index(const KdIndex *x, const Split *split, KdIndex *out) {
    bool whole = true;
    *out = (KdIndex){ .offset = x->offset, .divisor = x->divisor };
    for (int k = 0; k < x->nterms; k++) {
        const Split *s = &split[x->term[k].iter];
        int64_t c = x->term[k].coeff;
        if (!kd_index_add(out, s->at, c * s->by)) return false;
        if (s->residue >= 0 && !kd_index_add(out, s->residue, c)) return false;
    }
    if (!kd_index_fits(out)) return false;
    for (int k = 0; k < out->nterms; k++) whole &= out->term[k].coeff % x->divisor == 0;
    if (!whole || x->offset % x->divisor) return true;
    for (int k = 0; k < out->nterms; k++) out->term[k].coeff /= x->divisor;
    out->offset /= x->divisor;
    out->divisor = 1;
    return true;
}

/* reduce_sum over w of view x at […, (y - w)/s, …, w, …] -> y as s·y' + p and w as s·w' + p, so
 * that only windows that meet the element are visited: the adjoint of pooling with overlap. The
 * order of the sum stays; what falls out of it are zeros. */
static KdValue *meet_windows(KdRewrite *r, KdInstr *i) {
    const KdInstr *view = kd_made_by(i->args[0], KD_OP_VIEW);
    if (!view || fill_of(view) != 0) return NULL;
    KdType t = view->results[0]->type;
    bool summed[KD_MAX_RANK] = { 0 };
    const KdAttr *given = kd_attr_find(i->attrs, "axes");
    for (int k = 0; k < given->nints; k++) summed[given->ints[k]] = true;
    Split split[KD_MAX_RANK];
    for (int k = 0; k < KD_MAX_RANK; k++) split[k] = (Split){ .residue = -1, .by = 1 };
    int found = split_strides(view, summed, split);
    if (found == 0 || t.rank + found > KD_MAX_RANK) return NULL;
    KdType shape = number_iterators(t, summed, split);
    KdAccess access = { .rank = view->access->rank };
    for (int k = 0; k < access.rank; k++)
        if (!split_index(&view->access->dim[k], split, &access.dim[k])) return NULL;
    if (!is_computable(&access, shape.rank, shape.dim, view->args[0])) return NULL;
    int axes[KD_MAX_RANK];
    for (int k = 0; k < given->nints; k++) axes[k] = shape.rank - given->nints + k;
    KdValue *x = kd_view(&r->b, view->args[0], shape.rank, shape.dim, &access, 0);
    x = kd_reduce(&r->b, KD_OP_REDUCE_SUM, x, given->nints, axes);
    KdType to = i->results[0]->type;
    return x ? kd_reshape(&r->b, x, to.rank, to.dim) : NULL;
}

/* clang-format off */
const KdRuleInfo kd_rules_movement[] = {
    { "reshape-to-itself", KD_OP_RESHAPE,    0, reshape_to_itself },
    { "reshape-twice",     KD_OP_RESHAPE,    0, reshape_twice },
    { "reshape-constant",  KD_OP_RESHAPE,    0, reshape_constant },
    { "view-constant",     KD_OP_VIEW,       0, view_constant },
    { "view-itself",       KD_OP_VIEW,       0, view_itself },
    { "view-of-view",      KD_OP_VIEW,       0, view_of_view },
    { "contract-of-view",  KD_OP_CONTRACT,   0, contract_of_view },
    { "contract-spread",   KD_OP_CONTRACT,   0, contract_spread },
    { "tile-windows",      KD_OP_VIEW,       0, tile_windows },
    { "reduce-nothing",    KD_OP_REDUCE_SUM, 0, reduce_nothing },
    { "reduce-nothing",    KD_OP_REDUCE_MAX, 0, reduce_nothing },
    { "meet-windows",      KD_OP_REDUCE_SUM, 0, meet_windows },
    { "pool-before-max",   KD_OP_REDUCE_MAX, 0, pool_before_max },
    { NULL, KD_NUM_OPS, 0, NULL },
};
/* clang-format on */
