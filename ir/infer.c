/*
 * Shape rules of the elementwise ops, leaves, random numbers and structure; movement and products
 * are in infer_shape.c. A rule checks the operands of its instruction and sets the result types.
 * The table below is pasted from ir/ops.def, so a row that names a rule nobody wrote does not
 * compile. Scripts and texts are hostile: every result passes kd_type_valid before anything
 * multiplies its extents.
 */
#include "ir/infer_rules.h"

#include <math.h>
#include <string.h>

/* --- saying what is wrong ------------------------------------------------------------------ */

bool kd_instr_error(const KdInstr *i, KdDiag *d, const char *format, ...) {
    char text[KD_TYPE_TEXT * 3];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    kd_error(d, i->loc, "%s: %s", kd_op_text(i->op), text);
    int said = 0;
    for (int k = 0; k < i->nargs && said < 4; k++) {
        const KdValue *v = i->args[k];
        if (!v->loc.file || (k && v == i->args[k - 1])) continue;
        kd_note(d, v->loc, "%%%s: %s made here", v->name, kd_type_text(v->type, text));
        said++;
    }
    return false;
}

/* `op: what, f32[64,784] and f32[128,10]` */
bool kd_rule_pair(const KdRule *r, const char *what, KdType x, KdType y) {
    char first[KD_TYPE_TEXT], second[KD_TYPE_TEXT];
    return kd_instr_error(r->i, r->d, "%s, %s and %s", what, kd_type_text(x, first),
                          kd_type_text(y, second));
}

bool kd_rule_one(const KdRule *r, const char *what, KdType x) {
    char text[KD_TYPE_TEXT];
    return kd_instr_error(r->i, r->d, "%s, found %s", what, kd_type_text(x, text));
}

bool kd_rule_hint(const KdRule *r) {
    return r->hint || kd_instr_error(r->i, r->d, "its result type must be given");
}

bool kd_type_valid(KdType t, int64_t max_batch) {
    if (t.rank < 0 || t.rank > KD_MAX_RANK) return false;
    int64_t count = 1;
    for (int k = 0; k < t.rank; k++) {
        int64_t extent = t.dim[k] == KD_BATCH ? max_batch : t.dim[k] == KD_ROWS ? 1 : t.dim[k];
        if (t.dim[k] == KD_ROWS && k > 0) return false;
        if (extent < 1 || extent > KD_MAX_ELEMENTS / count) return false;
        count *= extent;
    }
    return true;
}

/* --- elementwise --------------------------------------------------------------------------- */

static KdType arg(const KdRule *r, int k) {
    return r->i->args[k]->type;
}

static bool is_number(KdDtype d) {
    return d == KD_F32 || d == KD_I32;
}

static bool infer_unary(const KdRule *r) {
    KdOp op = r->i->op;
    KdType x = arg(r, 0);
    bool any = op == KD_OP_DETACH || op == KD_OP_PRINT;
    bool whole = op == KD_OP_NEG || op == KD_OP_ABS;
    if (!any && x.dtype != KD_F32 && !(whole && x.dtype == KD_I32)) {
        return kd_rule_one(r, whole ? "operand must be f32 or i32" : "operand must be f32", x);
    }
    r->out[0] = x;
    return true;
}

static bool same_types(const KdRule *r, KdType x, KdType y) {
    if (!kd_shape_equal(x, y)) return kd_rule_pair(r, "shapes differ", x, y);
    if (x.dtype != y.dtype) return kd_rule_pair(r, "element types differ (use cast)", x, y);
    return true;
}

static bool infer_binary(const KdRule *r) {
    KdType x = arg(r, 0), y = arg(r, 1);
    if (!same_types(r, x, y)) return false;
    bool float_only = r->i->op == KD_OP_DIV || kd_op_has(r->i->op, KD_T_COSTLY);
    if (float_only && x.dtype != KD_F32) return kd_rule_pair(r, "operands must be f32", x, y);
    if (!is_number(x.dtype)) return kd_rule_pair(r, "operands must be f32 or i32", x, y);
    r->out[0] = x;
    return true;
}

static bool infer_compare(const KdRule *r) {
    if (!same_types(r, arg(r, 0), arg(r, 1))) return false;
    if (kd_dtype_is_stored(arg(r, 0).dtype))
        return kd_rule_one(r, "f16 and i8 are stored, and cast to f32 alone", arg(r, 0));
    r->out[0] = kd_type_with_dtype(arg(r, 0), KD_BOOL);
    return true;
}

static bool infer_logic(const KdRule *r) {
    for (int k = 0; k < r->i->nargs; k++) {
        if (arg(r, k).dtype != KD_BOOL) return kd_rule_one(r, "operands must be bool", arg(r, k));
        if (k && !same_types(r, arg(r, 0), arg(r, k))) return false;
    }
    r->out[0] = arg(r, 0);
    return true;
}

static bool infer_select(const KdRule *r) {
    KdType c = arg(r, 0), x = arg(r, 1), y = arg(r, 2);
    if (c.dtype != KD_BOOL) return kd_rule_one(r, "the condition must be bool", c);
    if (!same_types(r, x, y)) return false;
    if (!kd_shape_equal(c, x))
        return kd_rule_pair(r, "condition and choices differ in shape", c, x);
    r->out[0] = x;
    return true;
}

static bool infer_cast(const KdRule *r) {
    if (!kd_rule_hint(r)) return false;
    if (!kd_shape_equal(arg(r, 0), *r->hint)) {
        return kd_rule_pair(r, "shape must not change", arg(r, 0), *r->hint);
    }
    KdDtype from = arg(r, 0).dtype, to = r->hint->dtype;
    if (kd_dtype_is_stored(to) || (kd_dtype_is_stored(from) && to != KD_F32)) {
        return kd_rule_pair(r, "f16 and i8 are stored, and cast to f32 alone", arg(r, 0), *r->hint);
    }
    r->out[0] = *r->hint;
    return true;
}

/* --- leaves and random numbers ------------------------------------------------------------- */

bool kd_dtype_holds(KdDtype dtype, double x) {
    if (dtype == KD_F32) return true;
    if (x != floor(x)) return false; /* a nan neither */
    if (dtype == KD_BOOL) return x == 0 || x == 1;
    return dtype == KD_U8 ? x >= 0 && x <= UINT8_MAX : x >= INT32_MIN && x <= INT32_MAX;
}

static bool infer_leaf(const KdRule *r) {
    if (!kd_rule_hint(r)) return false;
    if (kd_dtype_is_stored(r->hint->dtype)) {
        return kd_rule_one(r, "f16 and i8 are for parameters", *r->hint);
    }
    if (r->i->op == KD_OP_CONSTANT &&
        !kd_dtype_holds(r->hint->dtype, kd_attr_num(r->i->attrs, "value", 0)))
        return kd_rule_one(r, "its elements do not hold the value", *r->hint);
    r->out[0] = *r->hint;
    return true;
}

static bool infer_iota(const KdRule *r) {
    if (!kd_rule_hint(r)) return false;
    if (r->hint->dtype != KD_I32) return kd_rule_one(r, "the result must be i32", *r->hint);
    int64_t axis = kd_attr_int(r->i->attrs, "axis", -1);
    if (axis < 0 || axis >= r->hint->rank) return kd_rule_one(r, "no such axis", *r->hint);
    r->out[0] = *r->hint;
    return true;
}

static bool infer_rows(const KdRule *r) {
    if (!r->i->func->max_batch) return kd_instr_error(r->i, r->d, "the function has no batch");
    r->out[0] = kd_scalar(KD_F32);
    return true;
}

static bool infer_hyper(const KdRule *r) {
    const KdModule *m = r->i->func->module;
    const char *name = kd_attr_str(r->i->attrs, "name", "");
    if (kd_module_hyper(m, name) < 0) {
        const char **names = KD_NEW_ARRAY(m->arena, const char *, m->nhypers);
        for (int k = 0; k < m->nhypers; k++) names[k] = m->hypers[k]->name;
        const char *near = kd_nearest(name, names, m->nhypers);
        return kd_instr_error(r->i, r->d, "unknown hyperparameter '%s'%s%s%s", name,
                              near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    r->out[0] = kd_scalar(KD_F32);
    return true;
}

static bool infer_rng(const KdRule *r) {
    KdType index = arg(r, 0), epoch = arg(r, 1);
    if (epoch.dtype != KD_I32 || epoch.rank != 0) {
        return kd_rule_one(r, "the epoch must be an i32 scalar", epoch);
    }
    if (index.dtype != KD_I32 || index.rank > 1) {
        return kd_rule_one(r, "the index must be an i32 scalar or i32[B]", index);
    }
    if (!kd_rule_hint(r)) return false;
    if (r->hint->dtype != KD_F32) return kd_rule_one(r, "the result must be f32", *r->hint);
    if (index.rank && (r->hint->rank == 0 || r->hint->dim[0] != index.dim[0])) {
        return kd_rule_pair(r, "the index must have one entry per row", index, *r->hint);
    }
    /* A counter's element number has 32 bits; a per-sample draw starts anew in each row. */
    KdType draw = *r->hint;
    if (index.rank) draw.dim[0] = 1;
    if (kd_type_valid(draw, r->i->func->max_batch) &&
        kd_type_elements(draw, r->i->func->max_batch, 1) > (int64_t)1 << 32) {
        return kd_rule_one(r, "more than 2^32 numbers of one counter", *r->hint);
    }
    r->out[0] = *r->hint;
    return true;
}

/* --- structure ----------------------------------------------------------------------------- */

static const KdFunc *callee_of(const KdInstr *i) {
    if (i->op == KD_OP_KERNEL) return i->body;
    return kd_module_func(i->func->module, kd_attr_str(i->attrs, "callee", ""));
}

/* Operands against the arguments of `callee`, results from its results. B means the same n in
 * caller and callee. */
static bool bind(const KdRule *r, const KdFunc *callee) {
    const KdInstr *i = r->i;
    if (callee->nargs != i->nargs) {
        return kd_instr_error(i, r->d, "%d operands for the %d arguments of @%s", i->nargs,
                              callee->nargs, callee->name);
    }
    bool batch = false;
    for (int k = 0; k < i->nargs; k++) {
        KdType given = arg(r, k), wanted = callee->args[k]->type;
        batch |= kd_type_has(wanted, KD_BATCH);
        if (kd_type_equal(given, wanted)) continue;
        char what[160];
        snprintf(what, sizeof what, "operand %d does not fit argument %%%.80s", k,
                 callee->args[k]->name);
        return kd_rule_pair(r, what, given, wanted);
    }
    if (!callee->nresults) return kd_instr_error(i, r->d, "@%s returns nothing", callee->name);
    for (int k = 0; k < callee->nresults; k++) {
        r->out[k] = callee->results[k]->type;
        batch |= kd_type_has(r->out[k], KD_BATCH);
    }
    if (batch && callee->max_batch < i->func->max_batch) {
        return kd_instr_error(i, r->d, "@%s takes at most %lld rows, the caller has up to %lld",
                              callee->name, (long long)callee->max_batch,
                              (long long)i->func->max_batch);
    }
    return true;
}

static bool infer_call(const KdRule *r) {
    const KdFunc *callee = callee_of(r->i);
    if (!callee) {
        return kd_instr_error(r->i, r->d, "no function @%s stands before this one",
                              kd_attr_str(r->i->attrs, "callee", ""));
    }
    if (callee == r->i->func) return kd_instr_error(r->i, r->d, "@%s calls itself", callee->name);
    return bind(r, callee);
}

static bool infer_kernel(const KdRule *r) {
    if (!r->i->body) return kd_instr_error(r->i, r->d, "it has no body");
    return bind(r, r->i->body);
}

/* --- the table ----------------------------------------------------------------------------- */

static KdShapeRule *const rules[KD_NUM_OPS] = {
#define KD_OP(e, text, nargs, infer, adjoint, emit, eval, traits, attrs, meaning) \
    [KD_OP_##e] = infer_##infer,
#include "ir/ops.def"
};

int kd_infer_count(const KdInstr *i) {
    if (!kd_op_has(i->op, KD_T_STRUCTURE)) return 1;
    const KdFunc *callee = callee_of(i);
    return callee ? callee->nresults : 0;
}

/* N is read by gather, print and calls alone; nothing computes a whole data set. */
static bool check_rows(const KdRule *r) {
    const KdInstr *i = r->i;
    for (int k = 0; k < i->nargs; k++) {
        bool table = i->op == KD_OP_GATHER && k == 0;
        if (table || kd_op_has(i->op, KD_T_STRUCTURE)) continue;
        if (kd_type_has(arg(r, k), KD_ROWS)) {
            return kd_rule_one(r, "only gather may read a whole data set", arg(r, k));
        }
    }
    return true;
}

static bool check_results(const KdRule *r, int n) {
    for (int k = 0; k < n; k++) {
        char text[KD_TYPE_TEXT];
        kd_type_text(r->out[k], text);
        if (!kd_type_valid(r->out[k], r->i->func->max_batch) || kd_type_has(r->out[k], KD_ROWS)) {
            bool batch = kd_type_has(r->out[k], KD_BATCH) && !r->i->func->max_batch;
            return kd_instr_error(r->i, r->d, "%s is %s", text,
                                  batch ? "in a function without a batch"
                                        : "not a tensor that fits (extents from 1, at most 2^40 "
                                          "elements, N only in data)");
        }
    }
    return true;
}

bool kd_infer(KdInstr *i, const KdType *hint, KdType *out, KdDiag *d) {
    const KdRule r = { .i = i, .hint = hint, .out = out, .d = d };
    int wanted = kd_op_info(i->op)->nargs;
    if (wanted >= 0 && i->nargs != wanted) {
        return kd_instr_error(i, d, "takes %d operand%s, found %d", wanted, wanted == 1 ? "" : "s",
                              i->nargs);
    }
    if (!kd_check_attrs(i, d)) return false;
    if (hint && !kd_type_valid(*hint, i->func->max_batch)) {
        out[0] = *hint;
        return check_results(&r, 1);
    }
    if (!check_rows(&r) || !rules[i->op](&r) || !check_results(&r, kd_infer_count(i))) return false;
    for (int k = 0; k < kd_infer_count(i); k++) out[k].pad = 0; /* which `layout` alone decides */
    if (hint && !kd_type_equal(*hint, out[0])) {
        char made[KD_TYPE_TEXT], said[KD_TYPE_TEXT];
        return kd_instr_error(i, d, "the result is %s, not %s", kd_type_text(out[0], made),
                              kd_type_text(*hint, said));
    }
    return true;
}
