/*
 * Kernels of kind "single": ops with a loop nest of their own. scatter_add goes through its rows in
 * order, so that sums have one order; slab copies its operands one behind the other; print copies
 * and shows. Each is one task.
 */
#include "backend/nest.h"

static LLVMValueRef count_of(KdEmit *e, KdType t) {
    KdSpace flat = kd_space_flat(t);
    return flat.ngroups ? kd_group_extent(e, &flat.group[0]) : kd_emit_i64(e, 1);
}

/* Zeroes all of a kernel's result. */
static void clear(KdEmit *e, const KdValue *v) {
    LLVMValueRef size = kd_emit_i64(e, (int64_t)kd_dtype_size(v->type.dtype));
    LLVMValueRef bytes = LLVMBuildMul(e->b, count_of(e, v->type), size, "");
    LLVMBuildMemSet(e->b, kd_emit_base(e, v), LLVMConstNull(e->i8), bytes, 1);
}

/* --- scatter_add -------------------------------------------------------------------------------
 */

typedef struct Scatter {
    const KdInstr *i, *kernel;
    KdIdx from, to; /* row of the operand, row of the result */
} Scatter;

static void add_columns(KdEval *ev, const KdPoint *columns, void *user) {
    const Scatter *s = user;
    KdEmit *e = ev->e;
    KdPoint from = *columns, to;
    from.rank = columns->rank + 1;
    for (int k = 0; k < columns->rank; k++) {
        from.dim[k + 1] = columns->dim[k];
    }
    to = from;
    from.dim[0] = s->from;
    to.dim[0] = s->to;
    const KdValue *out = s->kernel->results[0];
    LLVMValueRef sum = kd_emit_load_at(e, out->type, kd_emit_base(e, out), &to);
    LLVMValueRef value = kd_eval(ev, s->i->args[0], &from);
    bool real = out->type.dtype == KD_F32;
    sum = real ? LLVMBuildFAdd(e->b, sum, value, "") : LLVMBuildAdd(e->b, sum, value, "");
    kd_emit_store_at(e, out, &to, sum);
}

static void emit_scatter_add(KdEval *ev, const KdInstr *i) {
    KdEmit *e = ev->e;
    Scatter s = { .i = i, .kernel = ev->kernel };
    KdType t = i->args[0]->type, inner = { .dtype = t.dtype, .rank = t.rank - 1 };
    for (int k = 1; k < t.rank; k++) {
        inner.dim[k - 1] = t.dim[k];
    }
    clear(e, s.kernel->results[0]);
    KdSpace columns = kd_space_flat(inner);
    KdLoop loop;
    kd_loop_begin(e, &loop, kd_emit_i64(e, 0), kd_emit_extent(e, t.dim[0]), 1);
    int mark = kd_eval_mark(ev);
    s.from = kd_idx_uniform(loop.index, 1);
    KdPoint row = { .lanes = 1, .rank = 1, .dim = { s.from } };
    LLVMValueRef index = kd_eval(ev, i->args[1], &row);
    s.to = kd_idx_uniform(LLVMBuildSExt(e->b, index, e->i64, ""), 1);
    LLVMValueRef end = columns.ngroups ? kd_group_extent(e, &columns.group[0]) : NULL;
    kd_walk(ev, &columns, kd_emit_i64(e, 0), end, add_columns, &s);
    kd_eval_release(ev, mark);
    kd_loop_end(e, &loop);
}

/* --- copies ------------------------------------------------------------------------------------
 */

typedef struct Copy {
    const KdValue *from; /* in the body */
    const KdValue *to;   /* the kernel's result */
    int64_t offset;      /* of the first element, when `to` is a slab */
    bool slab;
} Copy;

static void copy_point(KdEval *ev, const KdPoint *at, void *user) {
    const Copy *c = user;
    KdPoint to = *at;
    if (c->slab) {
        KdIdx place = kd_emit_linear(ev->e, c->from->type, at);
        place = kd_idx_combine(ev->e, at->lanes, 1, &place, (int64_t[]){ 1 }, c->offset);
        to.rank = 1;
        to.dim[0] = place;
    }
    kd_emit_store_at(ev->e, c->to, &to, kd_eval(ev, c->from, at));
}

static void copy(KdEval *ev, Copy c) {
    KdSpace flat = kd_space_flat(c.from->type);
    kd_walk(ev, &flat, kd_emit_i64(ev->e, 0), count_of(ev->e, c.from->type), copy_point, &c);
}

static void emit_slab(KdEval *ev, const KdInstr *i) {
    const KdValue *out = ev->kernel->results[0];
    int64_t offset = 0;
    clear(ev->e, out);
    for (int k = 0; k < i->nargs; k++) {
        copy(ev, (Copy){ .from = i->args[k], .to = out, .offset = offset, .slab = true });
        offset += kd_type_elements(i->args[k]->type, 1, 1);
        offset = (offset + KD_SLAB_ALIGN - 1) / KD_SLAB_ALIGN * KD_SLAB_ALIGN;
    }
}

static void emit_print(KdEval *ev, const KdInstr *i) {
    KdEmit *e = ev->e;
    const KdValue *out = ev->kernel->results[0];
    copy(ev, (Copy){ .from = i->args[0], .to = out });
    char shape[KD_TYPE_TEXT];
    kd_type_text(out->type, shape);
    LLVMTypeRef params[] = { e->ptr, e->ptr, e->i32, e->ptr, e->i64 };
    LLVMTypeRef type = LLVMFunctionType(e->none, params, 5, 0);
    LLVMValueRef fn = LLVMGetNamedFunction(e->mod, "kdrt_print");
    fn = fn ? fn : LLVMAddFunction(e->mod, "kdrt_print", type);
    LLVMValueRef args[] = { LLVMBuildGlobalStringPtr(e->b, kd_attr_str(i->attrs, "label", ""), ""),
                            LLVMBuildGlobalStringPtr(e->b, shape, ""),
                            kd_emit_i32(e, out->type.dtype), kd_emit_base(e, out),
                            count_of(e, out->type) };
    LLVMBuildCall2(e->b, type, fn, args, 5, "");
}

/* The one op of the body that is neither elementwise nor movement. */
static const KdInstr *single_op(KdEmit *e, const KdInstr *kernel) {
    KD_EACH_INSTR(i, kernel->body) {
        if (i->op == KD_OP_SCATTER_ADD || i->op == KD_OP_SLAB || i->op == KD_OP_PRINT) {
            return i;
        }
    }
    kd_bug(e->diag, "%%%s: a single kernel without such an op", kernel->results[0]->name);
}

static LLVMValueRef single_tasks(KdEmit *e, const KdInstr *kernel, int phase) {
    (void)kernel;
    (void)phase;
    return kd_emit_i32(e, 1);
}

static void single_emit(KdEmit *e, const KdInstr *kernel, int phase) {
    (void)phase;
    KdEval *ev = kd_eval_create(e, kernel);
    const KdInstr *i = single_op(e, kernel);
    if (i->op == KD_OP_SCATTER_ADD) {
        emit_scatter_add(ev, i);
    } else if (i->op == KD_OP_SLAB) {
        emit_slab(ev, i);
    } else {
        emit_print(ev, i);
    }
}

const KdKernelKind kd_kind_single = { .kind = "single",
                                      .tasks = single_tasks,
                                      .emit = single_emit };
