/*
 * What fuse does before it groups: a whole step becomes one function, and reshapes go behind the
 * elementwise ops that follow them, so that they lie between kernels and not inside. Where a
 * reshape only adds dims of one element (a softmax that keeps its reduced axis), views read through
 * it; and where it splits dims into windows that are pooled, of what a contraction makes.
 */
#include "passes/fuse.h"
#include "passes/pass.h"

bool kd_fuse_inline(KdModule *m, KdDiag *d) {
    KD_EACH_FUNC(f, m) {
        if (!kd_inline_calls(f, false, d)) return false;
    }
    return true;
}

/* The operand in the shape that `by` reshapes from; NULL when that takes work. What lies in memory
 * anyway, if the op becomes a product's epilogue, has any shape for nothing. */
static KdValue *before_reshape(KdBuilder *b, KdValue *x, const KdInstr *by) {
    KdInstr *def = x->def;
    KdValue *from = by->args[0];
    if (def && def->op == KD_OP_RESHAPE && kd_shape_equal(def->args[0]->type, from->type))
        return def->args[0];
    if (def && def->op == KD_OP_CONSTANT)
        return kd_constant(b, kd_type_with_dtype(from->type, x->type.dtype),
                           kd_attr_num(def->attrs, "value", 0));
    bool copied = def && (kd_op_info(def->op)->traits & (KD_T_LEAF | KD_T_MOVEMENT)) &&
                  def->op != KD_OP_RESHAPE;
    bool product = kd_op_info(from->def->op)->traits & (KD_T_CONTRACTION | KD_T_ELEMENTWISE);
    return copied || !product ? NULL : kd_reshape(b, x, from->type.rank, from->type.dim);
}

/* The first operand that is a reshape, and not of an argument or a part of one (which is free). */
static KdInstr *reshaped_operand(const KdInstr *i) {
    if (!kd_op_has(i->op, KD_T_ELEMENTWISE)) return NULL;
    for (int k = 0; k < i->nargs; k++) {
        KdInstr *def = i->args[k]->def;
        if (def && def->op == KD_OP_RESHAPE && !kd_fuse_in_memory(def->args[0])) return def;
    }
    return NULL;
}

/* op(reshape x, reshape y, constant) -> reshape(op(x, y, constant)); false: that takes work. */
static bool move_behind(KdInstr *i, KdInstr *reshape, KdDiag *d) {
    KdBuilder b = kd_builder(i->func, d);
    b.before = i;
    b.loc = i->loc;
    b.role = i->role;
    KdValue *args[3] = { NULL };
    for (int k = 0; k < i->nargs; k++) {
        args[k] = before_reshape(&b, i->args[k], reshape);
        if (!args[k]) return false;
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
    return true;
}

/* --- dims of one element --------------------------------------------------------------------- */

/* Is the view its operand with dims of one element added or dropped? Then it is a reshape. */
static bool is_reshape(const KdInstr *i) {
    KdType from = i->args[0]->type, to = i->results[0]->type;
    int at = 0; /* next dim of the result that has more than one element */
    for (int k = 0; k < from.rank; k++) {
        const KdIndex *x = &i->access->dim[k];
        if (from.dim[k] == 1 && x->nterms == 0 && x->offset == 0) continue;
        while (at < to.rank && to.dim[at] == 1) at++;
        if (at == to.rank || to.dim[at] != from.dim[k] || !kd_index_is_iter(x, at)) return false;
        at++;
    }
    while (at < to.rank && to.dim[at] == 1) at++;
    return at == to.rank;
}

/* The access to x that reads through its reshape to `through` as `access` does; false when the
 * reshape does more than add or drop dims of one element, or these are read elsewhere than at 0. */
static bool skip_reshape(KdType x, KdType through, const KdAccess *access, KdAccess *out) {
    *out = (KdAccess){ .rank = x.rank };
    int at = 0;
    for (int k = 0; k < x.rank; k++) {
        out->dim[k] = kd_index_constant(0);
        if (x.dim[k] == 1) continue;
        for (; at < through.rank && through.dim[at] == 1; at++)
            if (access->dim[at].nterms || access->dim[at].offset) return false;
        if (at == through.rank || through.dim[at] != x.dim[k]) return false;
        out->dim[k] = access->dim[at++];
    }
    for (; at < through.rank; at++)
        if (through.dim[at] != 1 || access->dim[at].nterms || access->dim[at].offset) return false;
    return true;
}

/* The same of a reshape that splits dims, where the view stays inside: its windows of x. */
static bool skip_split(const KdInstr *view, const KdInstr *reshape, KdAccess *out) {
    KdType x = reshape->args[0]->type, through = reshape->results[0]->type;
    *out = (KdAccess){ .rank = x.rank };
    int at = 0;
    for (int k = 0; k < x.rank; k++) {
        int64_t parts = 1;
        KdIndex *sum = &out->dim[k];
        *sum = kd_index_constant(0);
        for (bool first = true; at < through.rank && (first || parts != x.dim[k]); first = false) {
            const KdIndex *part = &view->access->dim[at];
            int64_t extent = through.dim[at++];
            if (part->nterms != 1 || !kd_index_is_iter(part, part->term[0].iter) ||
                view->results[0]->type.dim[part->term[0].iter] != extent)
                return false;
            for (int t = 0; t < sum->nterms; t++) sum->term[t].coeff *= extent;
            parts *= extent;
            if (!kd_index_add(sum, part->term[0].iter, 1)) return false;
        }
        if (parts != x.dim[k] || !kd_index_fits(sum)) return false;
    }
    return at == through.rank;
}

enum { LONGEST_EPILOGUE = 8 }; /* that is followed */

/* Is it a contraction's result, or computed from one element by element? Not with what was computed
 * of it and is spread again, as by a norm. */
static bool is_of_epilogue(const KdValue *v, int most) {
    if (!v->def || most == 0) return false;
    if (kd_op_has(v->def->op, KD_T_CONTRACTION)) return true;
    bool any = false;
    for (int k = 0; kd_op_has(v->def->op, KD_T_ELEMENTWISE) && k < v->def->nargs; k++) {
        const KdInstr *x = v->def->args[k]->def;
        if (x && x->op == KD_OP_VIEW && !kd_fuse_in_memory(x->args[0])) return false;
        any |= is_of_epilogue(v->def->args[k], most - 1);
    }
    return any;
}

static bool feeds_reductions_alone(const KdInstr *view) {
    bool any = false;
    for (const KdInstr *i = view->next; i; i = i->next)
        for (int k = 0; k < i->nargs; k++) {
            if (i->args[k] != view->results[0]) continue;
            if (!kd_op_has(i->op, KD_T_REDUCTION)) return false;
            any = true;
        }
    return any;
}

/* Are its windows of what a contraction makes to be pooled behind that? Then they are *out. */
static bool finds_windows(const KdInstr *view, const KdInstr *reshape, KdAccess *out) {
    const KdValue *x = reshape->args[0];
    return kd_fuse_keeps_sample(view->func, x->type) && is_of_epilogue(x, LONGEST_EPILOGUE) &&
           feeds_reductions_alone(view) && skip_split(view, reshape, out);
}

static KdInstr *reshape_of(const KdValue *v) {
    return v->def && v->def->op == KD_OP_RESHAPE ? v->def : NULL;
}

/* view(reshape x) -> view x, and a view that only reshapes -> reshape x; false: neither. */
static bool simplify_view(KdInstr *i, KdDiag *d) {
    KdBuilder b = kd_builder(i->func, d);
    b.before = i;
    b.loc = i->loc;
    b.role = i->role;
    KdValue *old = i->results[0], *v = NULL;
    const KdInstr *reshape = reshape_of(i->args[0]);
    KdAccess access;
    b.name = old->name;
    if (is_reshape(i))
        v = kd_reshape(&b, i->args[0], old->type.rank, old->type.dim);
    else if (reshape &&
             (skip_reshape(reshape->args[0]->type, reshape->results[0]->type, i->access, &access) ||
              finds_windows(i, reshape, &access)))
        v = kd_view(&b, reshape->args[0], old->type.rank, old->type.dim, &access,
                    kd_attr_num(i->attrs, "fill", 0));
    if (!v) return false;
    kd_replace_uses(old, v);
    kd_instr_remove(i);
    return true;
}

/* reshape(reshape x) -> reshape x, or x itself; false: it is neither. */
static bool simplify_reshape(KdInstr *i) {
    const KdInstr *inner = reshape_of(i->args[0]);
    if (inner) i->args[0] = inner->args[0];
    bool same = kd_type_equal(i->args[0]->type, i->results[0]->type);
    if (same) kd_replace_uses(i->results[0], i->args[0]);
    return inner || same;
}

void kd_fuse_move_reshapes(KdFunc *f, KdDiag *d) {
    for (KdInstr *i = f->first, *next; i && kd_steps_left(d); i = next) {
        next = i->next;
        KdInstr *reshape = reshaped_operand(i);
        bool moved = i->op == KD_OP_VIEW      ? simplify_view(i, d)
                     : i->op == KD_OP_RESHAPE ? simplify_reshape(i)
                                              : reshape && move_behind(i, reshape, d);
        if (moved) kd_step(d);
    }
}
