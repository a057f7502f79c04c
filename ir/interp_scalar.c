/*
 * Meaning of elementwise ops, leaves and random numbers. Each elementwise rule is one expression of
 * the operands' elements a, b, c; comparisons give 0 or 1.
 */
#include <math.h>

#include "ir/interp_rules.h"

#define UNARY(name, expression)                       \
    bool kd_eval_##name(const KdEval *e) {            \
        for (int64_t k = 0; k < e->out->count; k++) { \
            const double a = e->arg[0].data[k];       \
            e->out->data[k] = (expression);           \
        }                                             \
        return true;                                  \
    }

#define BINARY(name, expression)                                       \
    bool kd_eval_##name(const KdEval *e) {                             \
        for (int64_t k = 0; k < e->out->count; k++) {                  \
            const double a = e->arg[0].data[k], b = e->arg[1].data[k]; \
            e->out->data[k] = (expression);                            \
        }                                                              \
        return true;                                                   \
    }

/* a ^ b as the op table has it: 0 for a = 0 < b; for a < 0 there is only a ^ 0. */
static double power(double a, double b) {
    if (a < 0 && b != 0) return (double)NAN;
    return a == 0 && b > 0 ? 0 : pow(a, b);
}

/* Doubles lose the low bits of a product of integers, which are those that i32 keeps. */
static double product(const KdEval *e, double a, double b) {
    if (e->out->type.dtype != KD_I32) return a * b;
    return (double)(int32_t)(uint32_t)((int64_t)a * (int64_t)b);
}

UNARY(neg, -a)
UNARY(abs, fabs(a))
UNARY(exp, exp(a))
UNARY(log, log(a))
UNARY(tanh, tanh(a))
UNARY(sqrt, sqrt(a))
UNARY(sin, sin(a))
UNARY(cos, cos(a))
UNARY(floor, floor(a))
UNARY(not, a == 0)
UNARY(detach, a)

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, product(e, a, b))
BINARY(div, a / b)
BINARY(pow, power(a, b))
BINARY(max, b > a ? b : a)
BINARY(min, b < a ? b : a)
BINARY(eq, a == b)
BINARY(ne, a != b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(and, a != 0 && b != 0)
BINARY(or, a != 0 || b != 0)

/* The whole number nearest to a towards 0 that the integer type holds; 0 for nan. */
static double saturated(KdDtype to, double a) {
    double least = to == KD_U8 ? 0 : INT32_MIN, most = to == KD_U8 ? UINT8_MAX : INT32_MAX;
    if (isnan(a)) return 0;
    return a < least ? least : a > most ? most : trunc(a);
}

/* Whole numbers in doubles are exact. */
bool kd_eval_cast(const KdEval *e) {
    KdDtype from = e->arg[0].type.dtype, to = e->out->type.dtype;
    for (int64_t k = 0; k < e->out->count; k++) {
        double a = e->arg[0].data[k];
        e->out->data[k] = to == KD_F32                    ? a
                          : to == KD_BOOL                 ? (double)(a != 0)
                          : from == KD_F32                ? saturated(to, a)
                          : from == KD_I32 && to == KD_U8 ? (double)(uint8_t)(int64_t)a
                                                          : a;
    }
    return true;
}

bool kd_eval_select(const KdEval *e) {
    for (int64_t k = 0; k < e->out->count; k++) {
        e->out->data[k] = e->arg[0].data[k] != 0 ? e->arg[1].data[k] : e->arg[2].data[k];
    }
    return true;
}

/* --- leaves --------------------------------------------------------------------------------- */

static bool fill(const KdEval *e, double value) {
    for (int64_t k = 0; k < e->out->count; k++) e->out->data[k] = value;
    return true;
}

bool kd_eval_constant(const KdEval *e) {
    return fill(e, kd_attr_num(e->i->attrs, "value", 0));
}

bool kd_eval_rows(const KdEval *e) {
    return fill(e, (double)e->in->n);
}

bool kd_eval_hyper(const KdEval *e) {
    const KdModule *m = e->i->func->module;
    int k = kd_module_hyper(m, kd_attr_str(e->i->attrs, "name", ""));
    if (k < 0) return kd_error(e->d, e->i->loc, "hyper: no such hyperparameter");
    return fill(e, e->in->hyper ? e->in->hyper[k] : m->hypers[k]->value);
}

bool kd_eval_iota(const KdEval *e) {
    KdShape s = kd_tensor_shape(e->out);
    int64_t axis = kd_attr_int(e->i->attrs, "axis", 0), at[KD_MAX_ITERS] = { 0 };
    for (int64_t k = 0; k < e->out->count; k++) {
        e->out->data[k] = (double)at[axis];
        kd_shape_next(&s, at);
    }
    return true;
}

/* --- random numbers ------------------------------------------------------------------------- */

typedef double Draw(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                    uint32_t stream);

/* Per sample, elements are counted within each row of the result; per batch, through all of it. */
static bool draw(const KdEval *e, Draw *number) {
    const KdTensor *index = &e->arg[0];
    uint32_t stream = kd_stream_hash(kd_attr_str(e->i->attrs, "stream", ""));
    uint32_t epoch = (uint32_t)(int64_t)e->arg[1].data[0];
    int64_t rows = index->type.rank ? index->count : 1;
    int64_t width = rows ? e->out->count / rows : 0;
    for (int64_t row = 0; row < rows; row++) {
        uint32_t at = (uint32_t)(int64_t)index->data[row];
        for (int64_t k = 0; k < width; k++) {
            e->out->data[row * width + k] = number(e->in->seed, (uint32_t)k, at, epoch, stream);
        }
    }
    return true;
}

bool kd_eval_rng_uniform(const KdEval *e) {
    return draw(e, kd_philox_uniform);
}

bool kd_eval_rng_normal(const KdEval *e) {
    return draw(e, kd_philox_normal);
}
