/*
 * What fuse does before it groups: a whole step becomes one function, and reshapes go behind the
 * elementwise ops that follow them, so that they lie between kernels and not inside.
 */
#include "passes/fuse.h"

/* More calls than this in one function means that functions call each other in a circle. */
enum { MAX_CALLS = 10000 };

static KdInstr *first_call(const KdFunc *f) {
    KD_EACH_INSTR(i, f)
    if (i->op == KD_OP_CALL) return i;
    return NULL;
}

static void inline_call(KdFunc *f, KdInstr *call, const KdFunc *callee, KdDiag *d) {
    KdBuilder b = kd_builder(f, d);
    b.before = call;
    b.loc = call->loc;
    KdValue **results = KD_NEW_ARRAY(f->module->arena, KdValue *, callee->nresults);
    kd_inline(&b, callee, call->args, NULL, results);
    for (int k = 0; k < call->nresults; k++) kd_replace_uses(call->results[k], results[k]);
    kd_instr_remove(call);
}

bool kd_fuse_inline(KdModule *m, KdDiag *d) {
    KD_EACH_FUNC(f, m) {
        int calls = 0;
        for (KdInstr *i; (i = first_call(f)); calls++) {
            KdFunc *callee = kd_module_func(m, kd_attr_str(i->attrs, "callee", ""));
            if (!callee) kd_bug(d, "call of an unknown function in @%s", f->name);
            if (callee == f || calls > MAX_CALLS)
                return kd_error(d, i->loc, "call: @%s calls itself", callee->name);
            inline_call(f, i, callee, d);
        }
    }
    return true;
}

/* The operand in the shape that it had before its reshape to t; NULL when that takes work. */
static KdValue *before_reshape(KdBuilder *b, KdValue *x, KdType shape) {
    KdInstr *def = x->def;
    if (!def) return NULL;
    if (def->op == KD_OP_RESHAPE && kd_shape_equal(def->args[0]->type, shape)) return def->args[0];
    if (def->op != KD_OP_CONSTANT) return NULL;
    KdType t = kd_type_with_dtype(shape, x->type.dtype);
    return kd_constant(b, t, kd_attr_num(def->attrs, "value", 0));
}

/* The first operand that is a reshape, and not of an argument (whose reshape is free). */
static KdInstr *reshaped_operand(const KdInstr *i) {
    if (!kd_op_has(i->op, KD_T_ELEMENTWISE)) return NULL;
    for (int k = 0; k < i->nargs; k++) {
        KdInstr *def = i->args[k]->def;
        if (def && def->op == KD_OP_RESHAPE && def->args[0]->def) return def;
    }
    return NULL;
}

/* op(reshape x, reshape y, constant) -> reshape(op(x, y, constant)). */
static void move_behind(KdInstr *i, KdInstr *reshape, KdDiag *d) {
    KdBuilder b = kd_builder(i->func, d);
    b.before = i;
    b.loc = i->loc;
    b.role = i->role;
    KdValue *args[3] = { NULL };
    for (int k = 0; k < i->nargs; k++) {
        args[k] = before_reshape(&b, i->args[k], reshape->args[0]->type);
        if (!args[k]) return;
    }
    KdValue *old = i->results[0];
    KdInstr *op = kd_instr_create(&b, i->op, i->nargs, args);
    op->attrs = kd_attr_clone(i->func->module->arena, i->attrs);
    op->site = i->site;
    KdType t = kd_type_with_dtype(args[0]->type, old->type.dtype);
    b.name = old->name;
    KdValue *v = kd_instr_finish(&b, op, &t);
    if (!v) kd_bug(d, "%s does not take the operands of its own reshape", kd_op_text(i->op));
    kd_replace_uses(old, kd_reshape(&b, v, old->type.rank, old->type.dim));
    kd_instr_remove(i);
}

void kd_fuse_move_reshapes(KdFunc *f, KdDiag *d) {
    for (KdInstr *i = f->first, *next; i; i = next) {
        next = i->next;
        KdInstr *reshape = reshaped_operand(i);
        if (reshape) move_behind(i, reshape, d);
    }
}
