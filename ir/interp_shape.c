/*
 * Meaning of movement, reductions and contractions: plain walks over all places in row-major order.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ir/interp_rules.h"

KdShape kd_tensor_shape(const KdTensor *t) {
    KdShape s = { .rank = t->type.rank };
    for (int k = 0; k < s.rank; k++) {
        int64_t extent = t->type.dim[k];
        s.dim[k] = extent == KD_BATCH ? t->n : extent == KD_ROWS ? t->rows : extent;
    }
    return s;
}

bool kd_shape_next(const KdShape *s, int64_t *at) {
    for (int k = s->rank - 1; k >= 0; k--) {
        if (++at[k] < s->dim[k]) return true;
        at[k] = 0;
    }
    return false;
}

int64_t kd_shape_flat(const KdShape *s, const int64_t *at) {
    int64_t flat = 0;
    for (int k = 0; k < s->rank; k++) flat = flat * s->dim[k] + at[k];
    return flat;
}

/* --- movement ------------------------------------------------------------------------------- */

bool kd_eval_reshape(const KdEval *e) {
    memcpy(e->out->data, e->arg[0].data, (size_t)e->out->count * sizeof(double));
    return true;
}

typedef struct Operand {
    KdShape shape;
    const KdAccess *access;
    const double *data;
} Operand;

static Operand operand(const KdTensor *t, const KdAccess *access) {
    return (Operand){ kd_tensor_shape(t), access, t->data };
}

/* The operand's element for iteration `at`, or `outside`. */
static double read(const Operand *x, const int64_t *at, double outside) {
    int64_t flat = 0;
    for (int k = 0; k < x->shape.rank; k++) {
        int64_t index;
        if (!kd_index_eval(&x->access->dim[k], at, x->shape.dim[k], &index)) return outside;
        flat = flat * x->shape.dim[k] + index;
    }
    return x->data[flat];
}

bool kd_eval_view(const KdEval *e) {
    KdShape s = kd_tensor_shape(e->out);
    Operand x = operand(&e->arg[0], e->i->access);
    double outside = kd_attr_num(e->i->attrs, "fill", 0);
    int64_t at[KD_MAX_ITERS] = { 0 };
    for (int64_t k = 0; k < e->out->count; k++) {
        e->out->data[k] = read(&x, at, outside);
        kd_shape_next(&s, at);
    }
    return true;
}

bool kd_eval_concat(const KdEval *e) {
    KdShape s = kd_tensor_shape(e->out);
    int64_t axis = kd_attr_int(e->i->attrs, "axis", 0), begin = 0;
    for (int k = 0; k < e->i->nargs; k++) {
        KdShape from = kd_tensor_shape(&e->arg[k]);
        int64_t at[KD_MAX_ITERS] = { 0 };
        for (int64_t n = 0; n < e->arg[k].count; n++) {
            at[axis] += begin;
            e->out->data[kd_shape_flat(&s, at)] = e->arg[k].data[n];
            at[axis] -= begin;
            kd_shape_next(&from, at);
        }
        begin += from.dim[axis];
    }
    return true;
}

/* The index's entry as a row below `rows`. */
static bool row_at(const KdEval *e, int64_t k, int64_t rows, int64_t *row) {
    double value = e->arg[1].data[k];
    if (value >= 0 && value < (double)rows) {
        *row = (int64_t)value;
        return true;
    }
    return kd_error(e->d, e->i->loc, "%s: index %" PRId64 " is %.9g, out of the %" PRId64 " rows",
                    kd_op_text(e->i->op), k, value, rows);
}

bool kd_eval_gather(const KdEval *e) {
    int64_t rows = kd_tensor_shape(&e->arg[0]).dim[0];
    int64_t width = rows ? e->arg[0].count / rows : 0;
    for (int64_t k = 0; k < e->arg[1].count; k++) {
        int64_t row = 0;
        if (!row_at(e, k, rows, &row)) return false;
        memcpy(e->out->data + k * width, e->arg[0].data + row * width,
               (size_t)width * sizeof(double));
    }
    return true;
}

bool kd_eval_scatter(const KdEval *e) {
    int64_t rows = kd_tensor_shape(e->out).dim[0], width = e->out->count / rows;
    for (int64_t k = 0; k < e->arg[1].count; k++) {
        int64_t row = 0;
        if (!row_at(e, k, rows, &row)) return false;
        for (int64_t n = 0; n < width; n++) {
            e->out->data[row * width + n] += e->arg[0].data[k * width + n];
        }
    }
    return true;
}

bool kd_eval_slab(const KdEval *e) {
    int64_t begin = 0;
    for (int k = 0; k < e->i->nargs; k++) {
        memcpy(e->out->data + begin, e->arg[k].data, (size_t)e->arg[k].count * sizeof(double));
        begin += (e->arg[k].count + KD_SLAB_ALIGN - 1) / KD_SLAB_ALIGN * KD_SLAB_ALIGN;
    }
    return true;
}

/* --- reductions ----------------------------------------------------------------------------- */

/* One element on its way into a reduction: `to` in the result, number `inner` within the axes. */
typedef void Step(KdTensor *out, int64_t to, double x, int64_t inner, double *best);

static bool reduce(const KdEval *e, double start, Step *step) {
    KdShape s = kd_tensor_shape(&e->arg[0]);
    const KdAttr *axes = kd_attr_find(e->i->attrs, "axes");
    bool dropped[KD_MAX_ITERS] = { false };
    for (int k = 0; k < axes->nints; k++) dropped[axes->ints[k]] = true;
    double *best = kd_arena_array(e->in->arena, (size_t)e->out->count + 1, sizeof(double));
    for (int64_t k = 0; k < e->out->count; k++) e->out->data[k] = best[k] = start;
    int64_t at[KD_MAX_ITERS] = { 0 };
    for (int64_t n = 0; n < e->arg[0].count; n++) {
        int64_t to = 0, inner = 0;
        for (int k = 0; k < s.rank; k++) {
            int64_t *flat = dropped[k] ? &inner : &to;
            *flat = *flat * s.dim[k] + at[k];
        }
        step(e->out, to, e->arg[0].data[n], inner, best);
        kd_shape_next(&s, at);
    }
    return true;
}

static void step_sum(KdTensor *out, int64_t to, double x, int64_t inner, double *best) {
    (void)inner, (void)best;
    out->data[to] += x;
}

static void step_max(KdTensor *out, int64_t to, double x, int64_t inner, double *best) {
    (void)inner, (void)best;
    if (x > out->data[to] || isnan(x)) out->data[to] = x;
}

static void step_argmax(KdTensor *out, int64_t to, double x, int64_t inner, double *best) {
    if (inner == 0) best[to] = (double)-INFINITY;
    if (!(x > best[to])) return;
    best[to] = x;
    out->data[to] = (double)inner;
}

bool kd_eval_reduce_sum(const KdEval *e) {
    return reduce(e, 0, step_sum);
}

bool kd_eval_reduce_max(const KdEval *e) {
    return reduce(e, (double)-INFINITY, step_max);
}

bool kd_eval_argmax(const KdEval *e) {
    return reduce(e, 0, step_argmax);
}

/* --- contraction ---------------------------------------------------------------------------- */

/* The nearest number of 8 significant bits, of two as near the even one; the exponent is f32's. */
static double round_bf16(double x) {
    if (x == 0 || !isfinite(x)) return x;
    int exponent;
    frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(x, 8 - exponent)), exponent - 8);
}

/* at: the result's dims, then the summed iterators. */
bool kd_eval_contract(const KdEval *e) {
    const KdContract *c = e->i->contract;
    KdShape outer = kd_tensor_shape(e->out), inner = { .rank = c->nover };
    for (int k = 0; k < c->nover; k++)
        inner.dim[k] = c->over[k] == KD_BATCH ? e->in->n : c->over[k];
    Operand a = operand(&e->arg[0], &c->a), b = operand(&e->arg[1], &c->b);
    bool rounds = kd_attr_find(e->i->attrs, "round") != NULL;
    int64_t at[KD_MAX_ITERS] = { 0 };
    for (int64_t n = 0; n < e->out->count; n++) {
        double sum = 0;
        do {
            double x = read(&a, at, 0), y = read(&b, at, 0);
            sum += rounds ? round_bf16(x) * round_bf16(y) : x * y;
        } while (kd_shape_next(&inner, at + outer.rank));
        e->out->data[n] = sum;
        kd_shape_next(&outer, at);
    }
    return true;
}
