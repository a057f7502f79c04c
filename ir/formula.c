/*
 * A function's first result as a formula, read off its instructions: whatever computed it, this is
 * what is computed. Movement that only lays the same numbers out again is not shown; a value that
 * is read more than once gets a line of its own; what stems from the networks or the data is a
 * name. The numerically safe forms of softmax and its logarithm are recognised.
 */
#include "ir/ir.h"
#include "ir/text.h"

#include <string.h>

typedef enum Level { SUM, PRODUCT, POWER, ATOM } Level; /* how tightly a text binds */

enum { DEEPEST = 24 }; /* expressions nest so far in one line */

/* Tables are by value id. Texts are made twice: the first time only to count reads. */
typedef struct Formula {
    KdArena *a;
    bool counting;
    int depth;
    int *reads;
    bool *line;    /* it has one of its own */
    bool *pending; /* its operands were not counted yet */
} Formula;

/* --- what a value is seen as ------------------------------------------------------------------ */

/* Dims of the operand lie in the result in order, or are constant: rows and columns repeated. */
static bool only_repeats(const KdInstr *i) {
    for (int k = 0; k < i->access->rank; k++) {
        const KdIndex *x = &i->access->dim[k];
        if (x->nterms > 1 || x->offset || x->divisor > 1) return false;
        if (x->nterms == 1 && x->term[0].coeff != 1) return false;
    }
    return true;
}

/* Behind everything that leaves the numbers as they are. */
static const KdValue *plain(const KdValue *v) {
    for (const KdInstr *i = v->def; i; i = v->def) {
        bool same = i->op == KD_OP_RESHAPE || i->op == KD_OP_DETACH || i->op == KD_OP_CAST ||
                    i->op == KD_OP_PRINT || (i->op == KD_OP_VIEW && only_repeats(i));
        if (!same || i->site) break;
        v = i->args[0];
    }
    return v;
}

static const KdInstr *made_by(const KdValue *v, KdOp op) {
    v = plain(v);
    return v->def && v->def->op == op ? v->def : NULL;
}

/* A part of a loss or a noise; everything else is a name. */
static bool is_shown(const KdValue *v) {
    const char *role = v->def ? v->def->role : NULL;
    return role && (strcmp(role, "loss") == 0 || strcmp(role, "noise") == 0);
}

/* x of exp(x - max x), with the sum of that over the same axes in *sum; NULL: v is no such thing.
 */
static const KdValue *shifted(const KdValue *v) {
    const KdInstr *sub = made_by(v, KD_OP_SUB);
    const KdInstr *top = sub ? made_by(sub->args[1], KD_OP_REDUCE_MAX) : NULL;
    return top && plain(top->args[0]) == plain(sub->args[0]) ? plain(sub->args[0]) : NULL;
}

/* x where v is log_softmax x = (x - max x) - log sum exp(x - max x). */
static const KdValue *log_softmax_of(const KdValue *v) {
    const KdInstr *sub = made_by(v, KD_OP_SUB);
    const KdInstr *log = sub ? made_by(sub->args[1], KD_OP_LOG) : NULL;
    const KdInstr *sum = log ? made_by(log->args[0], KD_OP_REDUCE_SUM) : NULL;
    const KdInstr *exp = sum ? made_by(sum->args[0], KD_OP_EXP) : NULL;
    bool same = exp && plain(exp->args[0]) == plain(sub->args[0]);
    return same ? shifted(sub->args[0]) : NULL;
}

/* x where v is softmax x, by way of the logarithm or of a division. */
static const KdValue *softmax_of(const KdValue *v) {
    const KdInstr *exp = made_by(v, KD_OP_EXP), *div = made_by(v, KD_OP_DIV);
    if (exp) return log_softmax_of(exp->args[0]);
    const KdInstr *sum = div ? made_by(div->args[1], KD_OP_REDUCE_SUM) : NULL;
    bool same = sum && plain(sum->args[0]) == plain(div->args[0]);
    exp = same ? made_by(div->args[0], KD_OP_EXP) : NULL;
    return exp ? shifted(exp->args[0]) : NULL;
}

/* x where v is the mean over the batch: sum x / n. */
static const KdValue *batch_mean_of(const KdValue *v) {
    const KdInstr *div = made_by(v, KD_OP_DIV);
    const KdInstr *sum = div ? made_by(div->args[0], KD_OP_REDUCE_SUM) : NULL;
    if (!sum || !made_by(div->args[1], KD_OP_ROWS)) return NULL;
    const KdType t = sum->args[0]->type;
    return t.rank == 1 && t.dim[0] == KD_BATCH ? plain(sum->args[0]) : NULL;
}

/* --- words ------------------------------------------------------------------------------------ */

static const char *expression(Formula *s, const KdValue *v, Level inside);

/* A value of the networks or the data. */
static const char *name_of(const KdValue *v) {
    while (v->def && !v->def->site && !v->def->role && v->def->nargs > 0) v = v->def->args[0];
    return v->def && v->def->site ? v->def->site : v->name;
}

static const char *call(Formula *s, const char *name, int n, KdValue *const *args) {
    const char *text = kd_arena_format(s->a, "%s(", name);
    for (int k = 0; k < n; k++)
        text = kd_arena_format(s->a, "%s%s%s", text, k ? ", " : "", expression(s, args[k], SUM));
    return kd_arena_format(s->a, "%s)", text);
}

static const char *of(Formula *s, const char *name, const KdValue *x) {
    return kd_arena_format(s->a, "%s(%s)", name, expression(s, x, SUM));
}

static const char *reduction(Formula *s, const KdInstr *i) {
    const KdAttr *axes = kd_attr_find(i->attrs, "axes");
    bool batch = false, others = false;
    for (int k = 0; k < axes->nints; k++) {
        bool b = i->args[0]->type.dim[axes->ints[k]] == KD_BATCH;
        batch |= b;
        others |= !b;
    }
    const char *name = i->op == KD_OP_REDUCE_SUM ? "sum" : i->op == KD_OP_ARGMAX ? "argmax" : "max";
    const char *over = batch && others ? "all" : batch ? "samples" : "row";
    return of(s, kd_arena_format(s->a, "%s_%s", name, over), i->args[0]);
}

/* Two operands with a sign between them. The right one of - and / binds more tightly. */
static const char *infix(Formula *s, const KdInstr *i, const char *sign, Level own, Level inside) {
    bool ordered = !kd_op_has(i->op, KD_T_COMMUTES);
    const char *text = kd_arena_format(s->a, "%s %s %s", expression(s, i->args[0], own), sign,
                                       expression(s, i->args[1], ordered ? (Level)(own + 1) : own));
    return own < inside ? kd_arena_format(s->a, "(%s)", text) : text;
}

static const char *squared(Formula *s, const KdInstr *i, Level inside) {
    const char *text = kd_arena_format(s->a, "%s^2", expression(s, i->args[0], ATOM));
    return inside > POWER ? kd_arena_format(s->a, "(%s)", text) : text;
}

static const char *comparison(Formula *s, const KdInstr *i, const char *sign) {
    return kd_arena_format(s->a, "[%s]", infix(s, i, sign, SUM, SUM));
}

static const char *instruction(Formula *s, const KdInstr *i, Level inside) {
    switch ((int)i->op) {
    case KD_OP_CONSTANT: return kd_arena_format(s->a, "%.9g", kd_attr_num(i->attrs, "value", 0));
    case KD_OP_HYPER: return kd_attr_str(i->attrs, "name", "");
    case KD_OP_ROWS: return "n";
    case KD_OP_IOTA: return "j";
    case KD_OP_RNG_NORMAL: return "N(0, 1)";
    case KD_OP_RNG_UNIFORM: return "U(0, 1)";
    case KD_OP_ADD: return infix(s, i, "+", SUM, inside);
    case KD_OP_SUB: return infix(s, i, "-", SUM, inside);
    case KD_OP_DIV: return infix(s, i, "/", PRODUCT, inside);
    case KD_OP_MUL:
        return plain(i->args[0]) == plain(i->args[1]) ? squared(s, i, inside)
                                                      : infix(s, i, "*", PRODUCT, inside);
    case KD_OP_POW: return infix(s, i, "^", POWER, inside);
    case KD_OP_NEG:
        return kd_arena_format(s->a, inside > SUM ? "(-%s)" : "-%s",
                               expression(s, i->args[0], PRODUCT));
    case KD_OP_EQ: return comparison(s, i, "=");
    case KD_OP_NE: return comparison(s, i, "!=");
    case KD_OP_LT: return comparison(s, i, "<");
    case KD_OP_LE: return comparison(s, i, "<=");
    default: break;
    }
    if (kd_op_has(i->op, KD_T_REDUCTION)) return reduction(s, i);
    return call(s, kd_op_text(i->op), i->nargs, i->args);
}

/* The text of v itself, whether or not it has a line of its own. */
static const char *definition(Formula *s, const KdValue *v, Level inside) {
    if (!is_shown(v)) return name_of(v);
    const KdValue *x = batch_mean_of(v);
    if (x) return of(s, "mean", x);
    x = log_softmax_of(v);
    if (x) return of(s, "log_softmax", x);
    x = softmax_of(v);
    if (x) return of(s, "softmax", x);
    return instruction(s, v->def, inside);
}

/* Only parts that have parts are worth a line. */
static bool is_long(const KdValue *v) {
    return is_shown(v) && v->def->nargs > 0;
}

/* Each value's operands are counted once, so that what is shared costs nothing. */
static void count_read(Formula *s, const KdValue *v) {
    if (s->reads[v->id]++ > 0) {
        s->line[v->id] = is_long(v);
    } else if (s->depth >= DEEPEST && is_long(v)) {
        s->line[v->id] = s->pending[v->id] = true;
    } else {
        s->depth++;
        definition(s, v, SUM);
        s->depth--;
    }
}

static const char *expression(Formula *s, const KdValue *v, Level inside) {
    v = plain(v);
    if (s->counting) count_read(s, v);
    return s->counting ? "" : s->line[v->id] ? v->name : definition(s, v, inside);
}

/* --- lines ------------------------------------------------------------------------------------ */

void kd_print_formula(const KdFunc *f, FILE *out) {
    KdArena *a = kd_arena_create();
    Formula s = { .a = a,
                  .counting = true,
                  .reads = KD_NEW_ARRAY(a, int, f->nvalues + 1),
                  .line = KD_NEW_ARRAY(a, bool, f->nvalues + 1),
                  .pending = KD_NEW_ARRAY(a, bool, f->nvalues + 1) };
    const KdValue *result = plain(f->results[0]);
    s.line[result->id] = s.pending[result->id] = true;
    for (const KdInstr *i = f->last; i; i = i->prev) /* readers come first */
        if (i->nresults && s.pending[i->results[0]->id]) definition(&s, i->results[0], SUM);
    s.counting = false;
    for (const KdInstr *i = f->last; i; i = i->prev)
        if (i->nresults && s.line[i->results[0]->id])
            fprintf(out, "  %s = %s\n", i->results[0]->name, definition(&s, i->results[0], SUM));
    kd_arena_destroy(a);
}
