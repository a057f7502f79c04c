/*
 * From a planned function to LLVM functions: one per phase of each kernel, the function NAME that
 * runs them in order, and NAME_epoch, the loop around a training step.
 *
 *   i32 NAME(frame)         kernel 0; kernel 1 on all workers; …; is the loss finite?; updates
 *   i32 NAME_epoch(epoch)   while done < samples: bind n, index, epoch, step; NAME; progress
 *
 * Kernels of equal signature share their code, which is told where their operands lie.
 */
#include "backend/debug.h"
#include "backend/func.h"
#include "backend/predict.h"
#include "ir/guard.h"

#include <string.h>

static const KdKernelKind *const kinds[] = { &kd_kind_map,  &kd_kind_reduce,   &kd_kind_row,
                                             &kd_kind_norm, &kd_kind_contract, &kd_kind_single };

const KdKernelKind *kd_kernel_kind(KdEmit *e, const KdInstr *kernel) {
    const char *kind = kd_attr_str(kernel->attrs, "kind", "");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (strcmp(kinds[k]->kind, kind) == 0) {
            return kinds[k];
        }
    }
    kd_bug(e->diag, "%%%s is a kernel of unknown kind \"%s\"", kernel->results[0]->name, kind);
}

int kd_kernel_phases(KdEmit *e, const KdInstr *kernel) {
    const KdKernelKind *kind = kd_kernel_kind(e, kernel);
    return kind->phases ? kind->phases(e, kernel) : 1;
}

char *kd_kernel_symbol(KdArena *a, const KdFunc *f, const KdInstr *kernel, int phase) {
    const char *result = kernel->results[0]->name;
    return phase ? kd_arena_format(a, "%s.%s$%d", f->name, result, phase)
                 : kd_arena_format(a, "%s.%s", f->name, result);
}

/* The same for the target at hand. */
static char *symbol_of(KdEmit *e, const KdInstr *kernel, int phase) {
    return kd_arena_format(e->arena, "%s%s", kd_kernel_symbol(e->arena, e->f, kernel, phase),
                           e->suffix);
}

char *kd_function_symbol(KdEmit *e, const KdFunc *f) {
    return kd_arena_format(e->arena, "%s%s", f->name, e->suffix);
}

static void set_attribute(KdEmit *e, LLVMValueRef fn, const char *name, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(e->cx, name, (unsigned)strlen(name), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static void set_flag(KdEmit *e, LLVMValueRef fn, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAttributeRef a = LLVMCreateEnumAttribute(e->cx, kind, 0);
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

void kd_emit_attributes(KdEmit *e, LLVMValueRef fn) {
    set_attribute(e, fn, "target-cpu", e->target->cpu);
    set_attribute(e, fn, "target-features", e->features);
    const char *width = kd_arena_format(e->arena, "%d", e->target->vector_bits);
    set_attribute(e, fn, "prefer-vector-width", width);
    set_attribute(e, fn, "min-legal-vector-width", width);
    set_attribute(e, fn, "no-trapping-math", "true");
    set_flag(e, fn, "nounwind");
    if (e->options->sanitize) set_flag(e, fn, KD_SANITIZE_MARK);
}

/* C compilers extend an int to a register on some machines, and rely on it. */
LLVMValueRef kd_emit_c_function(KdEmit *e, const char *name, LLVMTypeRef type) {
    LLVMValueRef fn = LLVMGetNamedFunction(e->mod, name);
    if (fn) return fn;
    unsigned kind = LLVMGetEnumAttributeKindForName("signext", 7), n = LLVMCountParamTypes(type);
    LLVMAttributeRef extended = LLVMCreateEnumAttribute(e->cx, kind, 0);
    LLVMTypeRef *params = KD_NEW_ARRAY(e->arena, LLVMTypeRef, n + 1);
    LLVMGetParamTypes(type, params);
    fn = LLVMAddFunction(e->mod, name, type);
    for (unsigned k = 0; k < n; k++)
        if (params[k] == e->i32) LLVMAddAttributeAtIndex(fn, k + 1, extended);
    if (LLVMGetReturnType(type) == e->i32)
        LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeReturnIndex, extended);
    return fn;
}

static LLVMTypeRef function_type(KdEmit *e) {
    return LLVMFunctionType(e->i32, &e->ptr, 1, 0);
}

static LLVMTypeRef kernel_type(KdEmit *e) {
    LLVMTypeRef params[] = { e->ptr, e->i32, e->i32 };
    return LLVMFunctionType(e->none, params, 3, 0);
}

static LLVMValueRef declare(KdEmit *e, const char *name, LLVMTypeRef type) {
    LLVMValueRef fn = LLVMGetNamedFunction(e->mod, name);
    return fn ? fn : LLVMAddFunction(e->mod, name, type);
}

static LLVMValueRef declare_kernel(KdEmit *e, const KdInstr *kernel, int phase) {
    LLVMValueRef fn = declare(e, symbol_of(e, kernel, phase), kernel_type(e));
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
    return fn;
}

/* Starts a body: the entry block with frame members every function wants, then the block where
 * code goes. */
static void begin_function(KdEmit *e, LLVMValueRef fn, KdLoc loc) {
    kd_emit_attributes(e, fn);
    e->fn = fn;
    size_t length;
    kd_debug_function(e, LLVMGetValueName2(fn, &length), loc);
    e->frame = LLVMGetParam(fn, 0);
    e->task = e->worker = NULL;
    e->base = KD_NEW_ARRAY(e->arena, LLVMValueRef, e->f->nvalues);
    e->entry = LLVMAppendBasicBlockInContext(e->cx, fn, "entry");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(e->cx, fn, "body");
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMValueRef n = kd_emit_member(e, e->frame, offsetof(KdrtFrame, n), e->i32);
    e->n = LLVMBuildSExt(e->b, n, e->i64, "n");
    LLVMBuildBr(e->b, body);
    LLVMPositionBuilderAtEnd(e->b, body);
}

/* From here on operands lie where the kernel wants them. */
static void place_operands(KdEmit *e, const KdInstr *kernel) {
    const KdKernelKind *kind = kd_kernel_kind(e, kernel);
    for (int k = 0; kind->operand && k < kernel->nargs; k++) {
        LLVMValueRef place = kind->operand(e, kernel, k);
        if (place) e->base[kernel->args[k]->id] = place;
    }
}

void kd_emit_kernel(KdEmit *e, const KdInstr *kernel, int phase) {
    LLVMValueRef fn = declare_kernel(e, kernel, phase);
    begin_function(e, fn, kernel->loc);
    e->task = LLVMGetParam(fn, 1);
    e->worker = LLVMGetParam(fn, 2);
    place_operands(e, kernel);
    kd_kernel_kind(e, kernel)->emit(e, kernel, phase);
    LLVMBuildRetVoid(e->b);
}

/* `frame, task, worker`, then pointers to the operands, then to the results. */
static LLVMTypeRef shared_type(KdEmit *e, const KdInstr *kernel) {
    int n = kernel->nargs + kernel->nresults;
    LLVMTypeRef *params = KD_NEW_ARRAY(e->arena, LLVMTypeRef, n + 3);
    params[0] = e->ptr;
    params[1] = params[2] = e->i32;
    for (int k = 0; k < n; k++) params[k + 3] = e->ptr;
    return LLVMFunctionType(e->none, params, (unsigned)n + 3, 0);
}

LLVMValueRef kd_emit_shared_kernel(KdEmit *e, const KdInstr *kernel, int phase) {
    const char *symbol = symbol_of(e, kernel, phase);
    LLVMValueRef fn = LLVMAddFunction(e->mod, kd_arena_format(e->arena, "%s$shared", symbol),
                                      shared_type(e, kernel));
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    begin_function(e, fn, kernel->loc);
    e->task = LLVMGetParam(fn, 1);
    e->worker = LLVMGetParam(fn, 2);
    for (int k = 0; k < kernel->nargs; k++)
        e->base[kernel->args[k]->id] = LLVMGetParam(fn, (unsigned)k + 3);
    for (int k = 0; k < kernel->nresults; k++)
        e->base[kernel->results[k]->id] = LLVMGetParam(fn, (unsigned)(kernel->nargs + k) + 3);
    kd_kernel_kind(e, kernel)->emit(e, kernel, phase);
    LLVMBuildRetVoid(e->b);
    return fn;
}

void kd_emit_kernel_call(KdEmit *e, const KdInstr *kernel, int phase, LLVMValueRef code) {
    LLVMValueRef fn = declare_kernel(e, kernel, phase);
    int n = kernel->nargs + kernel->nresults;
    LLVMValueRef *args = KD_NEW_ARRAY(e->arena, LLVMValueRef, n + 3);
    begin_function(e, fn, kernel->loc);
    for (int k = 0; k < 3; k++) args[k] = LLVMGetParam(fn, (unsigned)k);
    place_operands(e, kernel);
    for (int k = 0; k < n; k++)
        args[k + 3] = kd_emit_base(e, k < kernel->nargs ? kernel->args[k]
                                                        : kernel->results[k - kernel->nargs]);
    LLVMBuildCall2(e->b, shared_type(e, kernel), code, args, (unsigned)n + 3, "");
    LLVMBuildRetVoid(e->b);
}

/* --- NAME ------------------------------------------------------------------------------------ */

bool kd_is_inference(const KdEmit *e) {
    return e->options && kd_predict_has(e->options->predict, e->f);
}

static void call_kernel(KdEmit *e, const KdInstr *kernel, int phase) {
    kd_debug_enter(e, kernel->loc);
    LLVMValueRef fn = declare_kernel(e, kernel, phase);
    LLVMValueRef tasks = kd_kernel_kind(e, kernel)->tasks(e, kernel, phase);
    bool one = LLVMIsConstant(tasks) && LLVMConstIntGetSExtValue(tasks) == 1;
    if (one && !e->options->parallel) {
        LLVMValueRef args[] = { e->frame, kd_emit_i32(e, 0), kd_emit_i32(e, 0) };
        LLVMBuildCall2(e->b, kernel_type(e), fn, args, 3, "");
        return;
    }
    if (kd_is_inference(e)) { /* no pool: one task after the other */
        KdLoop l;
        kd_loop_begin(e, &l, kd_emit_i64(e, 0), LLVMBuildSExt(e->b, tasks, e->i64, ""), 1);
        LLVMValueRef task = LLVMBuildTrunc(e->b, l.index, e->i32, "");
        LLVMValueRef args[] = { e->frame, task, kd_emit_i32(e, 0) };
        LLVMBuildCall2(e->b, kernel_type(e), fn, args, 3, "");
        kd_loop_end(e, &l);
        return;
    }
    LLVMTypeRef params[] = { e->ptr, e->ptr, e->i32 };
    LLVMTypeRef type = LLVMFunctionType(e->none, params, 3, 0);
    LLVMValueRef args[] = { e->frame, fn, tasks };
    LLVMBuildCall2(e->b, type, kd_emit_c_function(e, "kdrt_parallel", type), args, 3, "");
}

/* Clears what lies between the parts of a slab and behind them. */
static void clear_gaps(KdEmit *e, const KdInstr *slab) {
    int64_t size = (int64_t)kd_dtype_size(KD_F32), end = 0;
    for (int k = 0; k <= slab->nargs; k++) {
        bool last = k == slab->nargs;
        int64_t from = last ? slab->results[0]->type.dim[0] : kd_slab_operand_offset(slab, k);
        if (from > end) {
            LLVMValueRef to = kd_emit_byte_offset(e, kd_emit_base(e, slab->results[0]),
                                                  kd_emit_i64(e, end * size));
            LLVMValueRef bytes = kd_emit_i64(e, (from - end) * size);
            LLVMBuildMemSet(e->b, to, LLVMConstNull(e->i8), bytes, (unsigned)size);
        }
        if (!last) end = from + kd_type_elements(slab->args[k]->type, 1, 1);
    }
}

/* The instruction that computes v, behind what only gives it another shape. */
static const KdInstr *origin(const KdValue *v) {
    const KdInstr *i = v->def;
    while (i && i->op != KD_OP_KERNEL && i->nargs == 1) {
        i = i->args[0]->def;
    }
    return i;
}

/* Is the first result a loss, whose value must be finite before anything is updated? Not where the
 * program says check = "off". */
static bool has_loss(const KdFunc *f) {
    if (strcmp(kd_attr_str(f->module->program, "check", "loss"), "off") == 0) return false;
    if (f->nresults == 0 || f->results[0]->type.rank != 0 || f->results[0]->type.dtype != KD_F32) {
        return false;
    }
    const KdInstr *i = origin(f->results[0]);
    return i && (strcmp(f->name, "step") == 0 || (i->role && strcmp(i->role, "loss") == 0));
}

/* Returns KDRT_NOT_FINITE from the function when the loss is no number. */
static void check_loss(KdEmit *e) {
    LLVMValueRef x = LLVMBuildLoad2(e->b, e->f32, kd_emit_base(e, e->f->results[0]), "loss");
    LLVMValueRef size = kd_emit_intrinsic(e, "llvm.fabs", &e->f32, 1, &x, 1);
    LLVMValueRef most = LLVMConstReal(e->f32, (double)__builtin_inff());
    LLVMValueRef finite = LLVMBuildFCmp(e->b, LLVMRealOLT, size, most, "");
    LLVMBasicBlockRef bad = LLVMAppendBasicBlockInContext(e->cx, e->fn, "not_finite");
    LLVMBasicBlockRef good = LLVMAppendBasicBlockInContext(e->cx, e->fn, "finite");
    LLVMBuildCondBr(e->b, finite, good, bad);
    LLVMPositionBuilderAtEnd(e->b, bad);
    LLVMBuildRet(e->b, kd_emit_i32(e, KDRT_NOT_FINITE));
    LLVMPositionBuilderAtEnd(e->b, good);
}

void kd_emit_function(KdEmit *e) {
    begin_function(e, declare(e, kd_function_symbol(e, e->f), function_type(e)), e->f->loc);
    const KdInstr *loss = has_loss(e->f) ? origin(e->f->results[0]) : NULL;
    KD_EACH_INSTR(i, e->f) {
        if (i->op != KD_OP_KERNEL) { /* an alias: the plan says where its memory is */
            if (i->op == KD_OP_SLAB) clear_gaps(e, i);
            continue;
        }
        int phases = kd_kernel_phases(e, i);
        for (int p = 0; p < phases; p++) {
            call_kernel(e, i, p);
        }
        if (i == loss) {
            check_loss(e);
        }
    }
    LLVMBuildRet(e->b, kd_emit_i32(e, KDRT_OK));
}

/* --- NAME_epoch ------------------------------------------------------------------------------- */

static LLVMValueRef member_of(KdEmit *e, size_t offset) {
    return kd_emit_byte_offset(e, e->frame, kd_emit_i64(e, (int64_t)offset));
}

static void put(KdEmit *e, size_t offset, LLVMValueRef value) {
    LLVMBuildStore(e->b, value, member_of(e, offset));
}

static LLVMValueRef get(KdEmit *e, size_t offset, LLVMTypeRef type) {
    return kd_emit_member(e, e->frame, offset, type);
}

static void bind_argument(KdEmit *e, const char *kind, LLVMValueRef pointer) {
    for (int k = 0; k < e->f->nargs; k++) {
        const char *have = e->f->args[k]->kind;
        if (have && strcmp(have, kind) == 0) {
            LLVMValueRef args = get(e, offsetof(KdrtEpoch, args), e->ptr);
            LLVMBuildStore(e->b, pointer, kd_emit_element(e, e->ptr, args, kd_emit_i64(e, k)));
        }
    }
}

/* The call of progress, where it is due; stops with KDRT_STOPPED. Ends at the loop's next round. */
static void report(KdEmit *e, LLVMValueRef step, LLVMValueRef at_end, LLVMBasicBlockRef next) {
    LLVMBasicBlockRef divide = LLVMAppendBasicBlockInContext(e->cx, e->fn, "listener");
    LLVMBasicBlockRef call = LLVMAppendBasicBlockInContext(e->cx, e->fn, "report");
    LLVMBasicBlockRef stop = LLVMAppendBasicBlockInContext(e->cx, e->fn, "stop");
    LLVMValueRef progress = get(e, offsetof(KdrtEpoch, progress), e->ptr);
    LLVMBuildCondBr(e->b, LLVMBuildIsNull(e->b, progress, ""), next, divide);
    LLVMPositionBuilderAtEnd(e->b, divide);
    LLVMValueRef every = get(e, offsetof(KdrtEpoch, progress_every), e->i32);
    LLVMValueRef one = kd_emit_i32(e, 1);
    LLVMValueRef positive = LLVMBuildICmp(e->b, LLVMIntSGT, every, one, "");
    every = LLVMBuildSelect(e->b, positive, every, one, "");
    LLVMValueRef rest = LLVMBuildSRem(e->b, step, every, "");
    LLVMValueRef due = LLVMBuildICmp(e->b, LLVMIntEQ, rest, kd_emit_i32(e, 0), "");
    LLVMBuildCondBr(e->b, LLVMBuildOr(e->b, due, at_end, ""), call, next);
    LLVMPositionBuilderAtEnd(e->b, call);
    LLVMTypeRef params[] = { e->ptr, e->ptr };
    LLVMTypeRef type = LLVMFunctionType(e->i32, params, 2, 0);
    LLVMValueRef args[] = { get(e, offsetof(KdrtEpoch, user), e->ptr), e->frame };
    LLVMValueRef answer = LLVMBuildCall2(e->b, type, progress, args, 2, "");
    LLVMValueRef on = LLVMBuildICmp(e->b, LLVMIntEQ, answer, kd_emit_i32(e, 0), "");
    LLVMBuildCondBr(e->b, on, next, stop);
    LLVMPositionBuilderAtEnd(e->b, stop);
    LLVMBuildRet(e->b, kd_emit_i32(e, KDRT_STOPPED));
}

/* Runs one step; returns with the builder where the step's status was KDRT_OK. */
static LLVMValueRef run_step(KdEmit *e, LLVMValueRef done, LLVMValueRef n) {
    LLVMValueRef order = get(e, offsetof(KdrtEpoch, order), e->ptr);
    put(e, offsetof(KdrtEpoch, frame.n), LLVMBuildTrunc(e->b, n, e->i32, ""));
    bind_argument(e, KD_ARG_INDEX, kd_emit_element(e, e->i32, order, done));
    bind_argument(e, KD_ARG_EPOCH, member_of(e, offsetof(KdrtEpoch, epoch)));
    bind_argument(e, KD_ARG_STEP, member_of(e, offsetof(KdrtEpoch, step)));
    LLVMTypeRef type = function_type(e);
    LLVMValueRef step = declare(e, kd_function_symbol(e, e->f), type);
    LLVMValueRef status = LLVMBuildCall2(e->b, type, step, &e->frame, 1, "status");
    LLVMValueRef loss = LLVMBuildLoad2(e->b, e->f32, kd_emit_base(e, e->f->results[0]), "loss");
    put(e, offsetof(KdrtEpoch, loss), loss);
    LLVMBasicBlockRef failed = LLVMAppendBasicBlockInContext(e->cx, e->fn, "failed");
    LLVMBasicBlockRef fine = LLVMAppendBasicBlockInContext(e->cx, e->fn, "fine");
    LLVMValueRef ok = LLVMBuildICmp(e->b, LLVMIntEQ, status, kd_emit_i32(e, KDRT_OK), "");
    LLVMBuildCondBr(e->b, ok, fine, failed);
    LLVMPositionBuilderAtEnd(e->b, failed);
    LLVMBuildRet(e->b, status);
    LLVMPositionBuilderAtEnd(e->b, fine);
    return loss;
}

void kd_emit_epoch(KdEmit *e) {
    const char *name = kd_arena_format(e->arena, "%s_epoch%s", e->f->name, e->suffix);
    LLVMTypeRef f64 = LLVMDoubleTypeInContext(e->cx);
    begin_function(e, declare(e, name, function_type(e)), e->f->loc);
    LLVMBasicBlockRef test = LLVMAppendBasicBlockInContext(e->cx, e->fn, "test");
    LLVMBasicBlockRef step = LLVMAppendBasicBlockInContext(e->cx, e->fn, "step");
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(e->cx, e->fn, "end");
    LLVMBuildBr(e->b, test);
    LLVMPositionBuilderAtEnd(e->b, test);
    LLVMValueRef done = get(e, offsetof(KdrtEpoch, done), e->i64);
    LLVMValueRef samples = get(e, offsetof(KdrtEpoch, samples), e->i64);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, done, samples, ""), step, end);
    LLVMPositionBuilderAtEnd(e->b, step);
    LLVMValueRef batch = get(e, offsetof(KdrtEpoch, batch), e->i32);
    LLVMValueRef left = LLVMBuildSub(e->b, samples, done, "");
    LLVMValueRef n = kd_emit_min(e, LLVMBuildSExt(e->b, batch, e->i64, ""), left);
    LLVMValueRef loss = run_step(e, done, n);
    LLVMValueRef rows = LLVMBuildSIToFP(e->b, n, f64, "");
    LLVMValueRef part = LLVMBuildFMul(e->b, LLVMBuildFPExt(e->b, loss, f64, ""), rows, "");
    LLVMValueRef sum = get(e, offsetof(KdrtEpoch, loss_sum), f64);
    put(e, offsetof(KdrtEpoch, loss_sum), LLVMBuildFAdd(e->b, sum, part, ""));
    LLVMValueRef now = LLVMBuildAdd(e->b, done, n, "");
    put(e, offsetof(KdrtEpoch, done), now);
    LLVMValueRef steps = get(e, offsetof(KdrtEpoch, step), e->i32);
    steps = LLVMBuildAdd(e->b, steps, kd_emit_i32(e, 1), "");
    put(e, offsetof(KdrtEpoch, step), steps);
    report(e, steps, LLVMBuildICmp(e->b, LLVMIntSGE, now, samples, ""), test);
    LLVMPositionBuilderAtEnd(e->b, end);
    LLVMBuildRet(e->b, kd_emit_i32(e, KDRT_OK));
}
