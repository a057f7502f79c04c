/*
 * Canonicalisation rules of arithmetic. None reassociates, and none folds a function that generated
 * code computes by its own polynomial, so an element's bits stay what they were.
 */
#include "passes/canonicalize.h"

#include <math.h>

bool kd_is_splat(const KdValue *v, double *value) {
    if (!v->def || v->def->op != KD_OP_CONSTANT) return false;
    *value = kd_attr_num(v->def->attrs, "value", 0);
    if (v->type.dtype == KD_F32) *value = (double)(float)*value; /* as all that read it see it */
    return true;
}

static bool is_number(const KdValue *v, double wanted) {
    double value;
    return kd_is_splat(v, &value) && value == wanted;
}

/* The operand of v where v is made by op, else NULL. */
static KdValue *operand_of(const KdValue *v, KdOp op) {
    const KdInstr *i = kd_made_by(v, op);
    return i ? i->args[0] : NULL;
}

/* --- constants ------------------------------------------------------------------------------ */

/* The op on numbers, as the interpreter has it; false for ops that are not exact in f32. */
static bool evaluate(KdOp op, const double *x, double *out) {
    switch ((int)op) {
    case KD_OP_NEG: *out = -x[0]; return true;
    case KD_OP_ABS: *out = fabs(x[0]); return true;
    case KD_OP_FLOOR: *out = floor(x[0]); return true;
    case KD_OP_NOT: *out = x[0] == 0; return true;
    case KD_OP_CAST: *out = x[0]; return true;
    case KD_OP_ADD: *out = x[0] + x[1]; return true;
    case KD_OP_SUB: *out = x[0] - x[1]; return true;
    case KD_OP_MUL: *out = x[0] * x[1]; return true;
    case KD_OP_DIV: *out = x[0] / x[1]; return true;
    case KD_OP_MAX: *out = x[1] > x[0] ? x[1] : x[0]; return true;
    case KD_OP_MIN: *out = x[1] < x[0] ? x[1] : x[0]; return true;
    case KD_OP_EQ: *out = x[0] == x[1]; return true;
    case KD_OP_NE: *out = x[0] != x[1]; return true;
    case KD_OP_LT: *out = x[0] < x[1]; return true;
    case KD_OP_LE: *out = x[0] <= x[1]; return true;
    case KD_OP_AND: *out = x[0] != 0 && x[1] != 0; return true;
    case KD_OP_OR: *out = x[0] != 0 || x[1] != 0; return true;
    default: return false;
    }
}

/* The number as `to` holds it. False for what no integer of it is, and what is not finite. */
static bool fits(KdDtype to, double *x) {
    if (to == KD_F32) {
        *x = (double)(float)*x;
        return isfinite(*x);
    }
    if (to == KD_BOOL) {
        *x = *x != 0;
        return true;
    }
    *x = trunc(*x);
    return to == KD_U8 ? *x >= 0 && *x <= 255 : fabs(*x) < 2147483648.0;
}

/* op(constants) -> constant */
static KdValue *fold_constants(KdRewrite *r, KdInstr *i) {
    double x[2] = { 0 }, y;
    if (kd_op_has(i->op, KD_T_COSTLY) || i->nargs > 2) return NULL;
    for (int k = 0; k < i->nargs; k++) {
        if (!kd_is_splat(i->args[k], &x[k])) return NULL;
        if (i->args[k]->type.dtype == KD_F32) x[k] = (double)(float)x[k]; /* as code has it */
    }
    if (!evaluate(i->op, x, &y)) return NULL;
    if (!fits(i->results[0]->type.dtype, &y)) return NULL;
    return kd_constant(&r->b, i->results[0]->type, y);
}

/* constants go to the right of commuting ops, where the rules below look for them */
static KdValue *constant_to_the_right(KdRewrite *r, KdInstr *i) {
    double x, y;
    (void)r;
    if (!kd_op_has(i->op, KD_T_COMMUTES) || i->nargs != 2) return NULL;
    if (!kd_is_splat(i->args[0], &x) || kd_is_splat(i->args[1], &y)) return NULL;
    return kd_binary(&r->b, i->op, i->args[1], i->args[0]);
}

/* --- neutral elements ----------------------------------------------------------------------- */

/* x + 0, x - 0 -> x */
static KdValue *drop_zero(KdRewrite *r, KdInstr *i) {
    (void)r;
    return is_number(i->args[1], 0) ? i->args[0] : NULL;
}

/* x · 1, x / 1 -> x; not x ^ 1, which is nan below 0 */
static KdValue *drop_one(KdRewrite *r, KdInstr *i) {
    (void)r;
    return is_number(i->args[1], 1) ? i->args[0] : NULL;
}

/* x · 0 -> 0 for integers; a float x may be infinite or NaN */
static KdValue *zero_product(KdRewrite *r, KdInstr *i) {
    (void)r;
    bool whole = i->results[0]->type.dtype != KD_F32;
    return whole && is_number(i->args[1], 0) ? i->args[1] : NULL;
}

/* x · -1 -> -x */
static KdValue *negate_product(KdRewrite *r, KdInstr *i) {
    return is_number(i->args[1], -1) ? kd_unary(&r->b, KD_OP_NEG, i->args[0]) : NULL;
}

/* x / c -> x · (1/c) where c is a power of two, whose reciprocal is exact */
static KdValue *divide_by_power(KdRewrite *r, KdInstr *i) {
    double c;
    int exponent;
    if (i->results[0]->type.dtype != KD_F32 || !kd_is_splat(i->args[1], &c)) return NULL;
    if (fabs(frexp(c, &exponent)) != 0.5 || exponent < -100 || exponent > 100) return NULL;
    KdValue *inverse = kd_constant_like(&r->b, i->args[1], 1 / c);
    return kd_binary(&r->b, KD_OP_MUL, i->args[0], inverse);
}

/* -(-x) -> x, not(not x) -> x */
static KdValue *undo_twice(KdRewrite *r, KdInstr *i) {
    (void)r;
    return operand_of(i->args[0], i->op);
}

/* x + (-y) -> x - y, (-x) + y -> y - x */
static KdValue *add_negated(KdRewrite *r, KdInstr *i) {
    KdValue *x = operand_of(i->args[0], KD_OP_NEG), *y = operand_of(i->args[1], KD_OP_NEG);
    if (y) return kd_binary(&r->b, KD_OP_SUB, i->args[0], y);
    return x ? kd_binary(&r->b, KD_OP_SUB, i->args[1], x) : NULL;
}

/* x - (-y) -> x + y */
static KdValue *subtract_negated(KdRewrite *r, KdInstr *i) {
    KdValue *y = operand_of(i->args[1], KD_OP_NEG);
    return y ? kd_binary(&r->b, KD_OP_ADD, i->args[0], y) : NULL;
}

/* max(x, x), min(x, x), x and x, x or x -> x */
static KdValue *same_operands(KdRewrite *r, KdInstr *i) {
    (void)r;
    return i->args[0] == i->args[1] ? i->args[0] : NULL;
}

/* x and true, x or false -> x; x and false -> false, x or true -> true */
static KdValue *logic_constant(KdRewrite *r, KdInstr *i) {
    (void)r;
    double y;
    if (!kd_is_splat(i->args[1], &y)) return NULL;
    return (y != 0) == (i->op == KD_OP_AND) ? i->args[0] : i->args[1];
}

/* cast to x's own dtype -> x */
static KdValue *cast_to_itself(KdRewrite *r, KdInstr *i) {
    (void)r;
    return kd_type_equal(i->args[0]->type, i->results[0]->type) ? i->args[0] : NULL;
}

/* --- select --------------------------------------------------------------------------------- */

/* select true, x, y -> x; select false, x, y -> y; select c, x, x -> x */
static KdValue *select_known(KdRewrite *r, KdInstr *i) {
    (void)r;
    double c;
    if (i->args[1] == i->args[2]) return i->args[1];
    if (!kd_is_splat(i->args[0], &c)) return NULL;
    return i->args[c != 0 ? 1 : 2];
}

/* select not c, x, y -> select c, y, x */
static KdValue *select_negated(KdRewrite *r, KdInstr *i) {
    KdValue *c = operand_of(i->args[0], KD_OP_NOT);
    return c ? kd_select(&r->b, c, i->args[2], i->args[1]) : NULL;
}

/* --- broadcast scalars ---------------------------------------------------------------------- */

static bool is_broadcast_scalar(const KdValue *v) {
    return v->def && v->def->op == KD_OP_VIEW && v->def->access->rank == 0 && !v->def->site;
}

/* op(broadcast s, broadcast t or constant) -> broadcast op(s, t): computed once, not per element */
static KdValue *scalar_first(KdRewrite *r, KdInstr *i) {
    KdValue *scalar[3];
    double value;
    bool any = false, all = i->nargs <= 3 && i->results[0]->type.rank > 0;
    for (int k = 0; k < i->nargs && all; k++) {
        bool broadcast = is_broadcast_scalar(i->args[k]);
        any = any || broadcast;
        all = broadcast || kd_is_splat(i->args[k], &value);
    }
    if (!any || !all) return NULL;
    for (int k = 0; k < i->nargs; k++) {
        KdType t = kd_scalar(i->args[k]->type.dtype);
        scalar[k] = is_broadcast_scalar(i->args[k]) ? i->args[k]->def->args[0] : NULL;
        if (!scalar[k] && kd_is_splat(i->args[k], &value)) scalar[k] = kd_constant(&r->b, t, value);
    }
    KdInstr *small = kd_instr_create(&r->b, i->op, i->nargs, scalar);
    small->attrs = kd_attr_clone(i->func->module->arena, i->attrs);
    KdType t = kd_scalar(i->results[0]->type.dtype);
    KdValue *once = kd_instr_finish(&r->b, small, &t);
    return kd_broadcast(&r->b, once, i->results[0]->type, NULL);
}

/* --- once gradients are made ---------------------------------------------------------------- */

/* detach x -> x */
static KdValue *drop_detach(KdRewrite *r, KdInstr *i) {
    return r->drop_detach ? i->args[0] : NULL;
}

/* clang-format off */
const KdRuleInfo kd_rules_algebra[] = {
    { "fold-constants",        KD_NUM_OPS,    KD_T_ELEMENTWISE, fold_constants },
    { "constant-to-the-right", KD_NUM_OPS,    KD_T_ELEMENTWISE | KD_T_COMMUTES, constant_to_the_right },
    { "drop-zero",             KD_OP_ADD,     0, drop_zero },
    { "drop-zero",             KD_OP_SUB,     0, drop_zero },
    { "drop-one",              KD_OP_MUL,     0, drop_one },
    { "drop-one",              KD_OP_DIV,     0, drop_one },
    { "zero-product",          KD_OP_MUL,     0, zero_product },
    { "divide-by-power",       KD_OP_DIV,     0, divide_by_power },
    { "negate-product",        KD_OP_MUL,     0, negate_product },
    { "undo-twice",            KD_OP_NEG,     0, undo_twice },
    { "undo-twice",            KD_OP_NOT,     0, undo_twice },
    { "add-negated",           KD_OP_ADD,     0, add_negated },
    { "subtract-negated",      KD_OP_SUB,     0, subtract_negated },
    { "same-operands",         KD_OP_MAX,     0, same_operands },
    { "same-operands",         KD_OP_MIN,     0, same_operands },
    { "same-operands",         KD_OP_AND,     0, same_operands },
    { "same-operands",         KD_OP_OR,      0, same_operands },
    { "logic-constant",        KD_OP_AND,     0, logic_constant },
    { "logic-constant",        KD_OP_OR,      0, logic_constant },
    { "cast-to-itself",        KD_OP_CAST,    0, cast_to_itself },
    { "select-known",          KD_OP_SELECT,  0, select_known },
    { "select-negated",        KD_OP_SELECT,  0, select_negated },
    { "scalar-first",          KD_NUM_OPS,    KD_T_ELEMENTWISE, scalar_first },
    { "drop-detach",           KD_OP_DETACH,  0, drop_detach },
    { NULL, KD_NUM_OPS, 0, NULL },
};
/* clang-format on */
