/*
 * Adjoints of windows with a stride s, such as a strided convolution's gradient with respect to its
 * input:
 *
 *     dX[n,c,y] = Σ_{o,i} dY[n,o,(y + b - i) / s] · W[o,c,i]       only where s divides y + b - i
 *
 * Which taps i take part depends on y mod s alone. So each residue r is a phase of the kernel, a
 * contraction of its own: with y = s·y' + r and those taps written as i = first + step·i', the
 * index (y + b - i) / s is an affine one again, and nothing is multiplied that is not wanted.
 */
#include "backend/contract.h"

/* An index (y + a·i + b) / s: y a dim of the result, i summed, or -1 where there is none. */
typedef struct Window {
    int side, dim, y, i;
    int64_t s, a, b;
} Window;

static int64_t modulo(int64_t a, int64_t b) {
    return (a % b + b) % b;
}

static int64_t gcd(int64_t a, int64_t b) {
    return b ? gcd(b, a % b) : a < 0 ? -a : a;
}

static const KdAccess *access_of(const KdContract *x, int side) {
    return side ? &x->b : &x->a;
}

/* How many dims of both operands are indexed with iterator `iter`. */
static int count_uses(const KdContract *x, int iter) {
    int uses = 0;
    for (int side = 0; side < 2; side++) {
        const KdAccess *access = access_of(x, side);
        for (int d = 0; d < access->rank; d++) uses += kd_index_uses(&access->dim[d], iter);
    }
    return uses;
}

static bool is_window(const KdInstr *op, int side, int dim, Window *w) {
    const KdContract *x = op->contract;
    const KdType *t = &op->results[0]->type;
    const KdIndex *at = &access_of(x, side)->dim[dim];
    if (at->nterms < 1 || at->nterms > 2 || at->term[0].coeff != 1 || at->term[0].iter >= t->rank) {
        return false;
    }
    *w = (Window){ side, dim, at->term[0].iter, -1, at->divisor, 0, at->offset };
    if (at->nterms == 2) {
        w->i = at->term[1].iter;
        w->a = at->term[1].coeff;
        if (w->i < t->rank || x->over[w->i - t->rank] == KD_BATCH) return false;
    }
    return t->dim[w->y] >= w->s && count_uses(x, w->y) == 1;
}

/* All divided indices as windows; 0 when there are none or some other kind of them. */
static int find_windows(const KdInstr *op, Window w[KD_MAX_RANK]) {
    int n = 0;
    int64_t phases = 1;
    for (int side = 0; side < 2; side++) {
        const KdAccess *access = access_of(op->contract, side);
        for (int d = 0; d < access->rank; d++) {
            if (access->dim[d].divisor == 1) continue;
            if (n == KD_MAX_RANK || !is_window(op, side, d, &w[n])) return 0;
            for (int k = 0; k < n; k++)
                if (w[n].i >= 0 && w[k].i == w[n].i) return 0;
            phases *= w[n++].s;
        }
    }
    return phases <= KD_MAX_PHASES ? n : 0;
}

int kd_stride_phases(const KdInstr *op) {
    Window w[KD_MAX_RANK];
    int n = find_windows(op, w), phases = 1;
    for (int k = 0; k < n; k++) phases *= (int)w[k].s;
    return phases;
}

/* Writes first + step * iter in place of iter everywhere. */
static void substitute(KdContract *x, int iter, int64_t first, int64_t step) {
    KdAccess *access[] = { &x->a, &x->b };
    for (int side = 0; side < 2; side++) {
        for (int d = 0; d < access[side]->rank; d++) {
            KdIndex *at = &access[side]->dim[d];
            for (int k = 0; k < at->nterms; k++) {
                if (at->term[k].iter != iter) continue;
                at->offset += at->term[k].coeff * first;
                at->term[k].coeff *= step;
            }
        }
    }
}

static void enter_window(KdPlan *p, KdContract *x, const Window *w, int64_t residue) {
    KdIndex *at = &(w->side ? &x->b : &x->a)->dim[w->dim];
    p->first[w->y] = residue;
    p->step[w->y] = w->s;
    p->extent[w->y] = (p->extent[w->y] - residue + w->s - 1) / w->s;
    int64_t taps = w->i < 0 ? 1 : p->extent[w->i], first = 0, period = w->s / gcd(w->s, w->a);
    while (first < taps && modulo(residue + w->b + w->a * first, w->s) != 0) first++;
    if (first == taps) { /* no tap reaches this residue */
        *at = kd_index_iter(w->y);
        p->empty = true;
        if (w->i >= 0) p->extent[w->i] = 1;
        return;
    }
    substitute(x, w->y, residue, w->s);
    if (w->i >= 0) {
        substitute(x, w->i, first, period);
        p->extent[w->i] = (taps - 1 - first) / period + 1;
    }
    for (int k = 0; k < at->nterms; k++) at->term[k].coeff /= w->s;
    at->offset /= w->s; /* all divisible, by the choice of taps */
    at->divisor = 1;
}

void kd_stride_enter(KdPlan *p, KdContract *x, int phase) {
    Window w[KD_MAX_RANK];
    int n = find_windows(p->op, w);
    for (int k = n - 1; k >= 0; k--) {
        enter_window(p, x, &w[k], phase % w[k].s);
        phase /= (int)w[k].s;
    }
}
