/*
 * Adjoints of affine accesses. A view and a contraction both read an operand A at a(d) for every
 * iteration d, so A's adjoint sums, for each of its elements j, over the iterations that read it:
 *
 *     dA[j] = Σ over { d : a(d) = j } of dy[d's result dims] · (the other operand at b(d))
 *
 * Solving a(d) = j, one linear equation for each dim of A, turns that set into ordinary loops. A
 * dim gives up one iterator, its pivot; those left over stay free and are summed. With x the
 * rows of a convolution's input, s its stride:
 *
 *     x = s·y + k - pad    pivot y, free k:    y = (x - k + pad) / s
 *
 * An access outside of dy, or at a fraction, reads 0, which is just what iterations that do not
 * exist must contribute: the bounds of the solved iterators check themselves, for strides,
 * padding and dilation alike. What dy does not check is given a dim of its own in dy: `extra`.
 */
#include "passes/autodiff.h"

#include <stdlib.h>
#include <string.h>

#define MAX_OLD  KD_MAX_ITERS
#define MAX_VARS (MAX_OLD + KD_MAX_RANK)

/* (Σ c[v] · var v + offset) / divisor. Variables: the old iterators, then j0, j1, …, A's dims. */
typedef struct Line {
    int64_t c[MAX_VARS];
    int64_t offset, divisor;
    bool large; /* a number was beyond LARGEST, and none of them means anything any more */
} Line;

/* A product of two such numbers, and a sum of some, fits 64 bits. */
#define LARGEST ((int64_t)1 << 30)

typedef struct Solve {
    int nold;                /* iterators of the forward op */
    int64_t extent[MAX_OLD]; /* theirs */
    int nresult;             /* how many of them are result dims, and so index dy */
    const KdType *of;        /* A's type */
    const KdAccess *a, *b;   /* accesses of A and of the other operand (NULL for a view) */
    KdType other;            /* the other operand's type */
    bool solved[MAX_OLD];
    Line line[MAX_OLD]; /* of solved iterators, free of other solved ones */
    int place[MAX_OLD]; /* free iterators: their number in the new op, after A's dims */
    int nfree;
    int nextra;
    Line extra[KD_MAX_RANK]; /* indices into dims appended to dy */
    int64_t extra_extent[KD_MAX_RANK];
} Solve;

static int64_t gcd(int64_t x, int64_t y) {
    if (x < 0) x = -x;
    if (y < 0) y = -y;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return x;
}

static void note_large(Line *x) {
    x->large |= llabs(x->offset) > LARGEST || x->divisor > LARGEST;
    for (int k = 0; k < MAX_VARS; k++) x->large |= llabs(x->c[k]) > LARGEST;
}

/* Puts line `by` in the place of variable v. */
static void substitute(Line *x, int v, const Line *by) {
    int64_t c = x->c[v];
    if (!c) return;
    x->large |= by->large;
    if (x->large) return;
    x->c[v] = 0;
    int64_t scale = by->divisor / gcd(c, by->divisor), factor = c * scale / by->divisor;
    for (int k = 0; k < MAX_VARS; k++) x->c[k] = x->c[k] * scale + by->c[k] * factor;
    x->offset = x->offset * scale + by->offset * factor;
    x->divisor *= scale;
    note_large(x);
}

static Line line_of_index(const KdIndex *x) {
    Line line = { .offset = x->offset, .divisor = x->divisor };
    for (int k = 0; k < x->nterms; k++) line.c[x->term[k].iter] = x->term[k].coeff;
    note_large(&line);
    return line;
}

/* x with every solved iterator replaced. */
static Line resolved(const Solve *s, Line x) {
    for (int v = 0; v < s->nold; v++)
        if (s->solved[v]) substitute(&x, v, &s->line[v]);
    return x;
}

/* How much iterator v suits as a pivot: one that dy checks, with a large extent, so that little is
 * left to sum; among equals the one with the smallest coefficient. */
static bool is_better_pivot(const Solve *s, const Line *x, int v, int than) {
    if (than < 0) return true;
    bool checks = v < s->nresult, other = than < s->nresult;
    if (checks != other) return checks;
    uint64_t extent = (uint64_t)s->extent[v], limit = (uint64_t)s->extent[than]; /* B is largest */
    if (extent != limit) return extent > limit;
    return x->c[v] * x->c[v] < x->c[than] * x->c[than];
}

static bool is_bare(const KdIndex *x) {
    return x->nterms == 1 && kd_index_is_iter(x, x->term[0].iter);
}

static bool is_within(int64_t extent, int64_t limit) {
    return extent == limit || (extent > 0 && limit > 0 && extent < limit);
}

/* Does something check 0 <= iterator v < its extent, and that it is whole, once solved? dy does
 * for result dims; A's own shape does for a bare dim; the other operand's for its bare dim. */
static bool is_checked(const Solve *s, int v, const KdIndex *from, int dim) {
    if (v < s->nresult) return true;
    if (is_bare(from) && is_within(s->of->dim[dim], s->extent[v])) return true;
    for (int k = 0; s->b && k < s->b->rank; k++)
        if (kd_index_is_iter(&s->b->dim[k], v) && is_within(s->other.dim[k], s->extent[v]))
            return true;
    return false;
}

static bool add_extra(Solve *s, Line x, int64_t extent) {
    if (s->nextra == KD_MAX_RANK) return false;
    s->extra[s->nextra] = x;
    s->extra_extent[s->nextra++] = extent;
    return true;
}

/* Solves the equation of A's dim: j · divisor = Σ c · d + offset. */
static bool solve_dim(Solve *s, int dim) {
    const KdIndex *index = &s->a->dim[dim];
    Line x = line_of_index(index);
    int64_t divisor = x.divisor;
    x.divisor = 1;
    x.c[s->nold + dim] = -divisor; /* now: x = 0 */
    x = resolved(s, x);
    x.divisor = 1;
    if (x.large) return false;

    int pivot = -1;
    for (int v = 0; v < s->nold; v++)
        if (x.c[v] && is_better_pivot(s, &x, v, pivot)) pivot = v;
    /* Nothing left to solve for, as in a slice at a constant: an index that must be 0. An extent of
     * 1 leaves no other. */
    bool only = s->of->dim[dim] == 1 && index->nterms == 0 && index->offset == 0;
    if (pivot < 0) {
        for (int v = 0; v < MAX_VARS; v++) x.c[v] = -x.c[v];
        x.offset = -x.offset;
        return only || add_extra(s, x, 1);
    }

    int64_t c = x.c[pivot], sign = c > 0 ? -1 : 1;
    x.c[pivot] = 0;
    for (int v = 0; v < MAX_VARS; v++) x.c[v] *= sign;
    x.offset *= sign;
    x.divisor = c > 0 ? c : -c;
    s->solved[pivot] = true;
    s->line[pivot] = x;
    for (int v = 0; v < s->nold; v++)
        if (s->solved[v] && v != pivot) substitute(&s->line[v], pivot, &x);
    return is_checked(s, pivot, index, dim) || add_extra(s, x, s->extent[pivot]);
}

/* Bare dims first: they leave the compound ones with less to choose from. */
static bool solve(Solve *s) {
    for (int dim = 0; dim < s->a->rank; dim++)
        if (is_bare(&s->a->dim[dim]) && !solve_dim(s, dim)) return false;
    for (int dim = 0; dim < s->a->rank; dim++)
        if (!is_bare(&s->a->dim[dim]) && !solve_dim(s, dim)) return false;
    for (int v = 0; v < s->nold; v++)
        if (!s->solved[v]) s->place[v] = s->a->rank + s->nfree++;
    return s->a->rank + s->nfree <= KD_MAX_ITERS;
}

/* The line, which holds solved iterators no more, as an index of the new op. */
static bool index_of_line(const Solve *s, Line x, KdIndex *out) {
    x = resolved(s, x);
    if (x.large) return false;
    int64_t common = gcd(x.offset, x.divisor);
    for (int v = 0; v < MAX_VARS; v++) common = gcd(common, x.c[v]);
    *out = (KdIndex){ .offset = x.offset / common, .divisor = x.divisor / common };
    for (int v = 0; v < s->nold + s->a->rank; v++) {
        if (!x.c[v]) continue;
        int iter = v < s->nold ? s->place[v] : v - s->nold;
        if (!kd_index_add(out, iter, x.c[v] / common)) return false;
    }
    return kd_index_fits(out);
}

static bool access_of_old(const Solve *s, const KdAccess *x, KdAccess *out) {
    *out = (KdAccess){ .rank = x->rank };
    for (int k = 0; k < x->rank; k++)
        if (!index_of_line(s, line_of_index(&x->dim[k]), &out->dim[k])) return false;
    return true;
}

/* How dy, with its extra dims behind, is read by the new op. */
static bool access_of_result(const Solve *s, KdAccess *out) {
    *out = (KdAccess){ .rank = s->nresult + s->nextra };
    if (out->rank > KD_MAX_RANK) return false;
    for (int k = 0; k < s->nresult; k++) {
        Line x = { .divisor = 1 };
        x.c[k] = 1;
        if (!index_of_line(s, x, &out->dim[k])) return false;
    }
    for (int k = 0; k < s->nextra; k++)
        if (!index_of_line(s, s->extra[k], &out->dim[s->nresult + k])) return false;
    return true;
}

/* dy repeated along the extra dims. */
static KdValue *with_extra_dims(KdGrad *g, const Solve *s, KdValue *dy) {
    if (!s->nextra) return dy;
    KdType t = dy->type;
    bool ones = true;
    int map[KD_MAX_RANK] = { 0 };
    for (int k = 0; k < t.rank; k++) map[k] = k;
    for (int k = 0; k < s->nextra; k++) {
        ones = ones && s->extra_extent[k] == 1;
        t.dim[t.rank++] = s->extra_extent[k];
    }
    return ones ? kd_reshape(g->b, dy, t.rank, t.dim) : kd_broadcast(g->b, dy, t, map);
}

static bool say_too_complex(KdGrad *g, const KdInstr *i) {
    return kd_error(g->b->diag, i->loc,
                    "autodiff: the access of this %s is too complicated to be "
                    "differentiated",
                    kd_op_text(i->op));
}

/* --- view ----------------------------------------------------------------------------------- */

/* Sums dy over the dims that the access does not use and closes the gaps in the access. */
static KdValue *reduce_unused(KdGrad *g, const KdInstr *i, KdValue *dy, KdAccess *access) {
    int axes[KD_MAX_RANK], naxes = 0, renamed[KD_MAX_RANK] = { 0 };
    for (int k = 0; k < dy->type.rank; k++) {
        renamed[k] = k - naxes;
        if (!kd_access_uses(i->access, k)) axes[naxes++] = k;
    }
    *access = *i->access;
    for (int k = 0; k < access->rank; k++)
        for (int t = 0; t < access->dim[k].nterms; t++)
            access->dim[k].term[t].iter = renamed[access->dim[k].term[t].iter];
    return naxes ? kd_reduce(g->b, KD_OP_REDUCE_SUM, dy, naxes, axes) : dy;
}

/* The free iterators behind A's dims, summed. Past the largest rank it is a contraction with 1. */
static KdValue *sum_free(KdGrad *g, const Solve *s, KdValue *dy, const KdAccess *access) {
    KdType t = *s->of;
    KdContract c = { .a = *access };
    int axes[KD_MAX_ITERS];
    for (int v = 0; v < s->nold; v++)
        if (!s->solved[v]) c.over[c.nover++] = s->extent[v];
    if (t.rank + c.nover > KD_MAX_RANK) {
        KdValue *one = kd_constant(g->b, kd_scalar(KD_F32), 1);
        return kd_contract(g->b, dy, one, t.rank, t.dim, &c);
    }
    for (int k = 0; k < c.nover; k++) {
        axes[k] = t.rank;
        t.dim[t.rank++] = c.over[k];
    }
    KdValue *v = kd_view(g->b, dy, t.rank, t.dim, access, 0);
    return c.nover ? kd_reduce(g->b, KD_OP_REDUCE_SUM, v, c.nover, axes) : v;
}

/* y[d] = x[a(d)]: dx[j] = Σ over { d : a(d) = j } of dy[d] */
bool kd_grad_view(KdGrad *g, const KdInstr *i, KdValue *dy) {
    KdValue *x = i->args[0];
    KdAccess forward, access;
    if (!kd_grad_wants(g, x)) return true;
    dy = reduce_unused(g, i, dy, &forward);
    if (!dy) return false;
    if (kd_access_is_identity(&forward) && kd_type_equal(dy->type, x->type))
        return kd_grad_add(g, x, dy);
    Solve s = { .nold = dy->type.rank, .nresult = dy->type.rank, .of = &x->type, .a = &forward };
    memcpy(s.extent, dy->type.dim, sizeof dy->type.dim);
    if (!solve(&s) || !access_of_result(&s, &access)) return say_too_complex(g, i);
    dy = with_extra_dims(g, &s, dy);
    return dy && kd_grad_add(g, x, sum_free(g, &s, dy, &access));
}

/* --- contract ------------------------------------------------------------------------------- */

/* The adjoint of operand `which` of contraction i. */
static KdValue *operand_adjoint(KdGrad *g, const KdInstr *i, KdValue *dy, int which) {
    const KdContract *c = i->contract;
    KdValue *x = i->args[which], *other = i->args[1 - which];
    Solve s = { .nold = dy->type.rank + c->nover,
                .nresult = dy->type.rank,
                .of = &x->type,
                .a = which ? &c->b : &c->a,
                .b = which ? &c->a : &c->b,
                .other = other->type };
    KdContract back = { 0 };
    memcpy(s.extent, dy->type.dim, (size_t)dy->type.rank * sizeof *s.extent);
    memcpy(s.extent + dy->type.rank, c->over, (size_t)c->nover * sizeof *s.extent);
    if (!solve(&s) || !access_of_result(&s, &back.a) || !access_of_old(&s, s.b, &back.b)) {
        say_too_complex(g, i);
        return NULL;
    }
    for (int v = 0; v < s.nold; v++)
        if (!s.solved[v]) back.over[back.nover++] = s.extent[v];
    dy = with_extra_dims(g, &s, dy);
    return kd_contract_like(g->b, i, dy, other, x->type.rank, x->type.dim, &back);
}

/* y[d] = Σ A[a(d,k)] · B[b(d,k)]: dA[j] = Σ over { d, k : a(d,k) = j } of dy[d] · B[b(d,k)], and
 * dB likewise with A */
bool kd_grad_contract(KdGrad *g, const KdInstr *i, KdValue *dy) {
    for (int which = 0; which < 2; which++) {
        if (!kd_grad_wants(g, i->args[which])) continue;
        if (!kd_grad_add(g, i->args[which], operand_adjoint(g, i, dy, which))) return false;
    }
    return true;
}
