/*
 * zero-sums: x less its own mean sums to zero. So of a sum over terms those that are a multiple of
 * such a difference, by numbers that do not vary along what is summed, need not be summed, and what
 * is left is less:
 *
 *     Σ(a·g + b·(x - mean x))  =  a·Σg
 *
 * The adjoint of a batch norm ends in one, behind sums that its other parts need: without it all
 * sums of a batch norm's adjoint are made in one pass over memory. Results change by rounding
 * alone; that of the sum left out was all there was of it.
 */
#include "passes/pass.h"

#include <math.h>

enum { MOST_DEPTH = 16 };

typedef struct Sum {
    KdBuilder b; /* stands in front of the sum */
    KdType whole, kept;
    int naxes, axes[KD_MAX_RANK];
    int kept_as[KD_MAX_RANK]; /* by dim of the whole shape: which dim of the kept one; -1: summed */
    int centred, others;      /* terms of either kind */
} Sum;

static void find_axes(Sum *s, const KdInstr *sum) {
    s->whole = sum->args[0]->type;
    s->kept = sum->results[0]->type;
    for (int k = 0, next = 0; k < s->whole.rank; k++) {
        bool summed = kd_reduces(sum, k);
        s->kept_as[k] = summed ? -1 : next++;
        if (summed) s->axes[s->naxes++] = k;
    }
}

/* --- numbers that do not vary along what is summed -------------------------------------------- */

static bool is_even(const Sum *s, const KdValue *v) {
    if (kd_made_by(v, KD_OP_CONSTANT)) return true;
    const KdInstr *view = kd_made_by(v, KD_OP_VIEW);
    for (int k = 0; view && k < s->naxes; k++)
        if (kd_access_uses(view->access, s->axes[k])) view = NULL;
    return view != NULL;
}

/* The same numbers in the kept shape. */
static KdValue *narrowed(Sum *s, const KdValue *v) {
    const KdInstr *i = v->def;
    if (i->op == KD_OP_CONSTANT)
        return kd_constant(&s->b, s->kept, kd_attr_num(i->attrs, "value", 0));
    KdAccess at = *i->access;
    for (int k = 0; k < at.rank; k++)
        for (int j = 0; j < at.dim[k].nterms; j++)
            at.dim[k].term[j].iter = s->kept_as[at.dim[k].term[j].iter];
    return kd_view(&s->b, i->args[0], s->kept.rank, s->kept.dim, &at,
                   kd_attr_num(i->attrs, "fill", 0));
}

/* --- x less its mean -------------------------------------------------------------------------- */

static bool has_axes(const Sum *s, const KdInstr *reduce) {
    for (int k = 0; k < s->whole.rank; k++)
        if (kd_reduces(reduce, k) != (s->kept_as[k] < 0)) return false;
    return true;
}

/* v / n, n being the rows there are: then v. */
static const KdValue *by_rows(const KdValue *v) {
    const KdInstr *div = kd_made_by(v, KD_OP_DIV);
    const KdInstr *view = div ? kd_made_by(div->args[1], KD_OP_VIEW) : NULL;
    return view && kd_made_by(view->args[0], KD_OP_ROWS) ? div->args[0] : NULL;
}

/* Is m the sum of x, divided by how many elements it has? */
static bool is_mean(const Sum *s, const KdValue *m, const KdValue *x) {
    double elements = 1, factor = 1;
    bool batch = false;
    for (int k = 0; k < s->naxes; k++) {
        int64_t extent = s->whole.dim[s->axes[k]];
        batch |= extent == KD_BATCH;
        elements *= extent < 0 ? 1 : (double)extent;
    }
    if (batch) m = by_rows(m);
    const KdInstr *mul = m ? kd_made_by(m, KD_OP_MUL) : NULL;
    if (mul) {
        const KdInstr *by = kd_made_by(mul->args[1], KD_OP_CONSTANT);
        if (!by) return false;
        factor = kd_attr_num(by->attrs, "value", 0);
        m = mul->args[0];
    }
    const KdInstr *sum = m ? kd_made_by(m, KD_OP_REDUCE_SUM) : NULL;
    return sum && sum->args[0] == x && has_axes(s, sum) && fabs(factor * elements - 1) < 1e-6;
}

static bool is_centred(const Sum *s, const KdValue *v) {
    const KdInstr *sub = kd_made_by(v, KD_OP_SUB);
    const KdInstr *view = sub ? kd_made_by(sub->args[1], KD_OP_VIEW) : NULL;
    if (!view || view->access->rank != s->kept.rank) return false;
    for (int k = 0; k < s->whole.rank; k++) {
        if (s->kept_as[k] < 0) continue;
        const KdIndex *at = &view->access->dim[s->kept_as[k]];
        bool same = at->nterms == 1 && at->term[0].iter == k && at->term[0].coeff == 1;
        if (!same || at->offset != 0 || at->divisor != 1) return false;
    }
    return is_mean(s, view->args[0], sub->args[0]);
}

/* --- terms ------------------------------------------------------------------------------------ */

typedef enum Kind { TERM, NEGATED, SUM, DIFFERENCE, MULTIPLE, QUOTIENT } Kind;

/* How v is made of what is summed; of a multiple, *of is the operand that varies. */
static Kind kind_of(const Sum *s, const KdValue *v, int *of) {
    *of = 0;
    if (kd_made_by(v, KD_OP_NEG)) return NEGATED;
    if (kd_made_by(v, KD_OP_ADD)) return SUM;
    if (kd_made_by(v, KD_OP_SUB)) return DIFFERENCE;
    if (kd_made_by(v, KD_OP_DIV) && is_even(s, v->def->args[1])) return QUOTIENT;
    if (!kd_made_by(v, KD_OP_MUL)) return TERM;
    *of = is_even(s, v->def->args[0]);
    return is_even(s, v->def->args[1 - *of]) ? MULTIPLE : TERM;
}

static void count_terms(Sum *s, const KdValue *v, int depth) {
    int of;
    if (is_centred(s, v)) {
        s->centred++;
        return;
    }
    Kind kind = depth < MOST_DEPTH ? kind_of(s, v, &of) : TERM;
    if (kind == TERM) {
        s->others++;
        return;
    }
    for (int k = 0; k < v->def->nargs && s->others < 2; k++)
        if (kind == NEGATED || kind == SUM || kind == DIFFERENCE || k == of)
            count_terms(s, v->def->args[k], depth + 1);
}

/* The sum of v; NULL: zero. */
static KdValue *sum_of(Sum *s, KdValue *v, int depth) {
    int of;
    if (is_centred(s, v)) return NULL;
    Kind kind = depth < MOST_DEPTH ? kind_of(s, v, &of) : TERM;
    if (kind == TERM) return kd_reduce(&s->b, KD_OP_REDUCE_SUM, v, s->naxes, s->axes);
    KdInstr *i = v->def;
    KdValue *x = sum_of(s, i->args[of], depth + 1), *y = NULL;
    if (kind == MULTIPLE || kind == QUOTIENT)
        return x ? kd_binary(&s->b, i->op, x, narrowed(s, i->args[1 - of])) : NULL;
    if (kind == NEGATED) return x ? kd_unary(&s->b, KD_OP_NEG, x) : NULL;
    y = sum_of(s, i->args[1], depth + 1);
    if (x && y) return kd_binary(&s->b, i->op, x, y);
    return x ? x : y && kind == DIFFERENCE ? kd_unary(&s->b, KD_OP_NEG, y) : y;
}

static void simplify(KdInstr *i, KdDiag *d) {
    Sum s = { .b = kd_builder(i->func, d) };
    s.b.before = i;
    s.b.loc = i->loc;
    s.b.role = i->role;
    find_axes(&s, i);
    count_terms(&s, i->args[0], 0);
    if (s.centred == 0 || s.others > 1 || !kd_step(d)) return;
    KdValue *sum = sum_of(&s, i->args[0], 0);
    if (!sum) sum = kd_constant(&s.b, s.kept, 0);
    kd_remark(d, "zero-sums", i->loc, "%%%s needs no sum of what was centred", i->results[0]->name);
    kd_replace_uses(i->results[0], sum);
}

bool kd_pass_zero_sums(KdModule *m, const KdAttr *options, KdDiag *d) {
    (void)options;
    KD_EACH_FUNC(f, m) {
        KD_EACH_INSTR(i, f) {
            bool sum = i->op == KD_OP_REDUCE_SUM && i->results[0]->type.dtype == KD_F32;
            if (sum && !i->site) simplify(i, d);
        }
    }
    return true;
}
