/*
 * The small words of code generation: constants, vectors, memory accesses, loops. Everything here
 * emits where e->b stands, except what is loaded once for the whole function (base pointers, stack
 * room), which goes to the entry block.
 */
#include "backend/compat.h"
#include "backend/embed.h"
#include "backend/machine.h"

#include <string.h>

void kd_emit_target(KdEmit *e, const KdTarget *t) {
    e->halves = e->fuses = 0;
    e->target = t;
    e->lanes = t->vector_bits / 32;
    e->features = kd_machine_features(t, e->arena);
}

LLVMValueRef kd_emit_i32(KdEmit *e, int64_t x) {
    return LLVMConstInt(e->i32, (unsigned long long)x, 1);
}

LLVMValueRef kd_emit_i64(KdEmit *e, int64_t x) {
    return LLVMConstInt(e->i64, (unsigned long long)x, 1);
}

LLVMValueRef kd_emit_f32(KdEmit *e, double x) {
    return LLVMConstReal(e->f32, (double)(float)x);
}

LLVMTypeRef kd_emit_type(KdEmit *e, KdDtype t) {
    switch (t) {
    case KD_F32: return e->f32;
    case KD_I32: return e->i32;
    case KD_U8:
    case KD_BOOL:
    case KD_I8: return e->i8;
    case KD_F16: return LLVMInt16TypeInContext(e->cx); /* its bits: see emit_cast */
    case KD_NUM_DTYPES: break;
    }
    kd_bug(e->diag, "no such dtype");
}

LLVMTypeRef kd_vector_type(LLVMTypeRef element, int lanes) {
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

int kd_lanes_of(LLVMValueRef v) {
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1;
}

LLVMValueRef kd_emit_shuffle(KdEmit *e, LLVMValueRef a, LLVMValueRef b, int lanes,
                             const int *pick) {
    LLVMValueRef *index = KD_NEW_ARRAY(e->arena, LLVMValueRef, lanes);
    for (int l = 0; l < lanes; l++) {
        index[l] = pick[l] < 0 ? LLVMGetPoison(e->i32) : kd_emit_i32(e, pick[l]);
    }
    return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(index, (unsigned)lanes), "");
}

LLVMValueRef kd_emit_splat(KdEmit *e, LLVMValueRef scalar, int lanes) {
    if (lanes == 1) {
        return scalar;
    }
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef *all = KD_NEW_ARRAY(e->arena, LLVMValueRef, lanes);
        for (int l = 0; l < lanes; l++) {
            all[l] = scalar;
        }
        return LLVMConstVector(all, (unsigned)lanes);
    }
    LLVMTypeRef type = kd_vector_type(LLVMTypeOf(scalar), lanes);
    LLVMValueRef one =
        LLVMBuildInsertElement(e->b, LLVMGetPoison(type), scalar, kd_emit_i32(e, 0), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->i32, (unsigned)lanes));
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type), zeros, "");
}

LLVMValueRef kd_emit_lane_constants(KdEmit *e, LLVMTypeRef type, int lanes, const int32_t *x) {
    LLVMValueRef *all = KD_NEW_ARRAY(e->arena, LLVMValueRef, lanes);
    for (int l = 0; l < lanes; l++) {
        all[l] = LLVMConstInt(type, (unsigned long long)(int64_t)x[l], 1);
    }
    return lanes == 1 ? all[0] : LLVMConstVector(all, (unsigned)lanes);
}

LLVMValueRef kd_emit_lane_ids(KdEmit *e, LLVMTypeRef type, int lanes) {
    int32_t *ids = KD_NEW_ARRAY(e->arena, int32_t, lanes);
    for (int l = 0; l < lanes; l++) {
        ids[l] = l;
    }
    return kd_emit_lane_constants(e, type, lanes, ids);
}

LLVMValueRef kd_emit_min(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef less = LLVMBuildICmp(e->b, LLVMIntSLT, a, b, "");
    return LLVMBuildSelect(e->b, less, a, b, "");
}

LLVMValueRef kd_emit_max(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSGT, a, b, "");
    return LLVMBuildSelect(e->b, more, a, b, "");
}

LLVMValueRef kd_emit_tail_mask(KdEmit *e, LLVMValueRef count, int lanes) {
    /* In i32, so that one compare of one vector makes the mask. */
    LLVMValueRef few = kd_emit_min(e, count, kd_emit_i64(e, lanes));
    LLVMValueRef narrow = LLVMBuildTrunc(e->b, few, e->i32, "");
    LLVMValueRef limit = kd_emit_splat(e, narrow, lanes);
    return LLVMBuildICmp(e->b, LLVMIntSLT, kd_emit_lane_ids(e, e->i32, lanes), limit, "");
}

LLVMValueRef kd_emit_intrinsic(KdEmit *e, const char *name, LLVMTypeRef *types, int ntypes,
                               LLVMValueRef *args, int nargs) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) {
        kd_bug(e->diag, "LLVM has no intrinsic %s", name);
    }
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->mod, id, types, (size_t)ntypes);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->cx, id, types, (size_t)ntypes);
    return LLVMBuildCall2(e->b, type, fn, args, (unsigned)nargs, "");
}

LLVMValueRef kd_emit_multiply_add(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return kd_emit_intrinsic(e, "llvm.fmuladd", &type, 1, (LLVMValueRef[]){ a, b, c }, 3);
}

LLVMValueRef kd_emit_ceil_div(KdEmit *e, LLVMValueRef a, int64_t b) {
    LLVMValueRef up = LLVMBuildAdd(e->b, a, kd_emit_i64(e, b - 1), "");
    return LLVMBuildUDiv(e->b, up, kd_emit_i64(e, b), "");
}

LLVMValueRef kd_emit_extent(KdEmit *e, int64_t extent) {
    if (extent == KD_ROWS) {
        kd_bug(e->diag, "the rows of a data set are not known to generated code");
    }
    return extent == KD_BATCH ? e->n : kd_emit_i64(e, extent);
}

/* --- memory ---------------------------------------------------------------------------------- */

LLVMValueRef kd_emit_byte_offset(KdEmit *e, LLVMValueRef p, LLVMValueRef bytes) {
    return kd_emit_element(e, e->i8, p, bytes);
}

LLVMValueRef kd_emit_element(KdEmit *e, LLVMTypeRef type, LLVMValueRef p, LLVMValueRef index) {
    return LLVMBuildInBoundsGEP2(e->b, type, p, &index, 1, "");
}

LLVMValueRef kd_emit_member(KdEmit *e, LLVMValueRef object, size_t offset, LLVMTypeRef type) {
    LLVMValueRef p = kd_emit_byte_offset(e, object, kd_emit_i64(e, (int64_t)offset));
    return LLVMBuildLoad2(e->b, type, p, "");
}

/* Moves the builder in front of the entry block's terminator; returns where it stood. */
static LLVMBasicBlockRef enter_entry(KdEmit *e) {
    LLVMBasicBlockRef at = LLVMGetInsertBlock(e->b);
    LLVMMetadataRef line = LLVMGetCurrentDebugLocation2(e->b); /* which positioning changes */
    LLVMPositionBuilderBefore(e->b, LLVMGetBasicBlockTerminator(e->entry));
    LLVMSetCurrentDebugLocation2(e->b, line);
    return at;
}

LLVMValueRef kd_emit_base(KdEmit *e, const KdValue *v) {
    if (e->base[v->id]) {
        return e->base[v->id];
    }
    LLVMBasicBlockRef at = enter_entry(e);
    LLVMValueRef p;
    KdBuffer where = v->buffer;
    if (!v->def) {
        where = (KdBuffer){ KD_PLACE_ARG, v->index, 0 };
    }
    const KdParam *param = kd_embedded_param(e, v);
    if (param) {
        p = kd_embed_raw(e, param);
        where.offset = 0;
    } else if (where.place == KD_PLACE_ARENA) {
        p = kd_emit_member(e, e->frame, offsetof(KdrtFrame, arena), e->ptr);
    } else if (where.place == KD_PLACE_ARG || where.place == KD_PLACE_RESULT) {
        size_t list =
            where.place == KD_PLACE_ARG ? offsetof(KdrtFrame, args) : offsetof(KdrtFrame, results);
        LLVMValueRef all = kd_emit_member(e, e->frame, list, e->ptr);
        LLVMValueRef place = kd_emit_element(e, e->ptr, all, kd_emit_i64(e, where.base));
        p = LLVMBuildLoad2(e->b, e->ptr, place, ""); /* of the target's size, not of ours */
    } else {
        kd_bug(e->diag, "%%%s of @%s has no memory planned", v->name, e->f->name);
    }
    if (where.offset) {
        p = kd_emit_byte_offset(e, p, kd_emit_i64(e, where.offset));
    }
    if (!param) LLVMSetValueName2(p, v->name, strlen(v->name));
    e->base[v->id] = p;
    LLVMPositionBuilderAtEnd(e->b, at);
    return p;
}

static void reserve_scratch(KdEmit *e, size_t bytes) {
    bytes = (bytes + KDRT_SLACK + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
    if (bytes > e->scratch) {
        e->scratch = bytes;
    }
}

LLVMValueRef kd_emit_scratch(KdEmit *e, size_t bytes) {
    reserve_scratch(e, bytes);
    LLVMValueRef first = kd_emit_member(e, e->frame, offsetof(KdrtFrame, scratch), e->ptr);
    LLVMValueRef stride = kd_emit_member(e, e->frame, offsetof(KdrtFrame, scratch_stride), e->i64);
    LLVMValueRef worker = LLVMBuildSExt(e->b, e->worker, e->i64, "");
    return kd_emit_byte_offset(e, first, LLVMBuildMul(e->b, worker, stride, ""));
}

LLVMValueRef kd_emit_shared_scratch(KdEmit *e, size_t before, size_t bytes) {
    reserve_scratch(e, before + bytes);
    LLVMValueRef first = kd_emit_member(e, e->frame, offsetof(KdrtFrame, scratch), e->ptr);
    return kd_emit_byte_offset(e, first, kd_emit_i64(e, (int64_t)before));
}

static LLVMValueRef constant(KdEmit *e, const char *name, LLVMValueRef value, LLVMLinkage linkage) {
    LLVMValueRef global = LLVMAddGlobal(e->mod, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, linkage);
    return global;
}

LLVMValueRef kd_emit_bytes(KdEmit *e, const char *name, const char *bytes, int64_t size) {
    LLVMValueRef value = LLVMConstStringInContext2(e->cx, bytes, (size_t)size, 1);
    LLVMValueRef global = constant(e, name, value, LLVMInternalLinkage);
    LLVMSetAlignment(global, KDRT_ALIGN);
    return global;
}

LLVMValueRef kd_emit_table(KdEmit *e, const char *name, LLVMValueRef *entry, int64_t n) {
    LLVMValueRef all = LLVMConstArray2(e->i32, entry, (uint64_t)n);
    LLVMValueRef table = constant(e, name, all, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(table, LLVMGlobalUnnamedAddr);
    return table;
}

LLVMValueRef kd_emit_alloca(KdEmit *e, LLVMTypeRef type, int64_t count, unsigned align) {
    LLVMBasicBlockRef at = enter_entry(e);
    LLVMTypeRef array = LLVMArrayType2(type, (uint64_t)count);
    LLVMValueRef p = LLVMBuildAlloca(e->b, array, "");
    LLVMSetAlignment(p, align);
    LLVMPositionBuilderAtEnd(e->b, at);
    return p;
}

static unsigned align_of(KdEmit *e, LLVMTypeRef type) {
    return type == e->i8 || type == e->i1 ? 1 : type == LLVMInt16TypeInContext(e->cx) ? 2 : 4;
}

#if !KD_MASKED_ALIGN_OPERAND
static void set_align(KdEmit *e, LLVMValueRef call, unsigned operand, unsigned align) {
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAddCallSiteAttribute(call, operand + 1, LLVMCreateEnumAttribute(e->cx, kind, align));
}
#endif

/* llvm.masked.load/gather over `p` (a pointer, or a vector of them); inactive lanes are those of
 * `other`. */
static LLVMValueRef masked_read(KdEmit *e, const char *name, LLVMValueRef p, LLVMValueRef mask,
                                LLVMValueRef other) {
    LLVMTypeRef vector = LLVMTypeOf(other);
    LLVMTypeRef types[] = { vector, LLVMTypeOf(p) };
    unsigned align = align_of(e, LLVMGetElementType(vector));
#if KD_MASKED_ALIGN_OPERAND
    LLVMValueRef args[] = { p, kd_emit_i32(e, align), mask, other };
    return kd_emit_intrinsic(e, name, types, 2, args, 4);
#else
    LLVMValueRef args[] = { p, mask, other };
    LLVMValueRef call = kd_emit_intrinsic(e, name, types, 2, args, 3);
    set_align(e, call, 0, align);
    return call;
#endif
}

static void masked_write(KdEmit *e, const char *name, LLVMValueRef value, LLVMValueRef p,
                         LLVMValueRef mask) {
    LLVMTypeRef types[] = { LLVMTypeOf(value), LLVMTypeOf(p) };
    unsigned align = align_of(e, LLVMGetElementType(types[0]));
#if KD_MASKED_ALIGN_OPERAND
    LLVMValueRef args[] = { value, p, kd_emit_i32(e, align), mask };
    kd_emit_intrinsic(e, name, types, 2, args, 4);
#else
    LLVMValueRef args[] = { value, p, mask };
    set_align(e, kd_emit_intrinsic(e, name, types, 2, args, 3), 1, align);
#endif
}

LLVMValueRef kd_emit_load(KdEmit *e, LLVMTypeRef type, int lanes, LLVMValueRef p,
                          LLVMValueRef mask) {
    LLVMTypeRef vector = kd_vector_type(type, lanes);
    *(lanes > 1 ? &e->seen.loads : &e->seen.scalars) += 1;
    if (lanes > 1 && mask) {
        return masked_read(e, "llvm.masked.load", p, mask, LLVMConstNull(vector));
    }
    LLVMValueRef load = LLVMBuildLoad2(e->b, vector, p, "");
    LLVMSetAlignment(load, align_of(e, type));
    return load;
}

LLVMValueRef kd_emit_load_part(KdEmit *e, LLVMTypeRef type, int lanes, LLVMValueRef p,
                               LLVMValueRef mask) {
    e->seen.loads++;
    LLVMValueRef any = LLVMGetPoison(kd_vector_type(type, lanes));
    return masked_read(e, "llvm.masked.load", p, mask, any);
}

void kd_emit_store(KdEmit *e, LLVMValueRef value, LLVMValueRef p, LLVMValueRef mask) {
    int lanes = kd_lanes_of(value);
    *(lanes > 1 ? &e->seen.stores : &e->seen.scalars) += 1;
    if (lanes > 1 && mask) {
        masked_write(e, "llvm.masked.store", value, p, mask);
        return;
    }
    LLVMTypeRef type = LLVMTypeOf(value);
    LLVMValueRef store = LLVMBuildStore(e->b, value, p);
    LLVMSetAlignment(store, align_of(e, lanes > 1 ? LLVMGetElementType(type) : type));
}

LLVMValueRef kd_emit_gather(KdEmit *e, LLVMTypeRef type, LLVMValueRef pointers, LLVMValueRef mask) {
    int lanes = kd_lanes_of(pointers);
    e->seen.gathers++;
    if (!mask) {
        mask = LLVMConstAllOnes(kd_vector_type(e->i1, lanes));
    }
    LLVMValueRef zero = LLVMConstNull(kd_vector_type(type, lanes));
    return masked_read(e, "llvm.masked.gather", pointers, mask, zero);
}

void kd_emit_scatter(KdEmit *e, LLVMValueRef value, LLVMValueRef pointers, LLVMValueRef mask) {
    e->seen.scatters++;
    if (!mask) {
        mask = LLVMConstAllOnes(kd_vector_type(e->i1, kd_lanes_of(value)));
    }
    masked_write(e, "llvm.masked.scatter", value, pointers, mask);
}

/* --- loops ----------------------------------------------------------------------------------- */

/* The test stands at both ends: before the first round, and behind each. */
void kd_loop_begin(KdEmit *e, KdLoop *l, LLVMValueRef lo, LLVMValueRef hi, int64_t step) {
    *l = (KdLoop){ .hi = hi, .step = kd_emit_i64(e, step) };
    l->before = LLVMGetInsertBlock(e->b);
    l->body = LLVMAppendBasicBlockInContext(e->cx, e->fn, "loop");
    l->after = LLVMAppendBasicBlockInContext(e->cx, e->fn, "after");
    LLVMValueRef any = LLVMBuildICmp(e->b, LLVMIntSLT, lo, hi, "");
    LLVMBuildCondBr(e->b, any, l->body, l->after);
    LLVMPositionBuilderAtEnd(e->b, l->body);
    l->index = LLVMBuildPhi(e->b, e->i64, "i");
    LLVMAddIncoming(l->index, &lo, &l->before, 1);
}

LLVMValueRef kd_loop_carry(KdEmit *e, KdLoop *l, LLVMValueRef init) {
    if (l->ncarried == KD_MAX_CARRIED) {
        kd_bug(e->diag, "a loop carries more than %d values", KD_MAX_CARRIED);
    }
    int k = l->ncarried++;
    l->phi[k] = LLVMBuildPhi(e->b, LLVMTypeOf(init), "");
    LLVMAddIncoming(l->phi[k], &init, &l->before, 1);
    l->init[k] = init;
    l->next[k] = l->phi[k];
    return l->phi[k];
}

void kd_loop_next(KdLoop *l, int k, LLVMValueRef value) {
    l->next[k] = value;
}

void kd_loop_end(KdEmit *e, KdLoop *l) {
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->b);
    LLVMValueRef index = LLVMBuildNSWAdd(e->b, l->index, l->step, "");
    LLVMAddIncoming(l->index, &index, &last, 1);
    LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, index, l->hi, "");
    LLVMBuildCondBr(e->b, more, l->body, l->after);
    LLVMPositionBuilderAtEnd(e->b, l->after);
    for (int k = 0; k < l->ncarried; k++) {
        LLVMAddIncoming(l->phi[k], &l->next[k], &last, 1);
        l->out[k] = LLVMBuildPhi(e->b, LLVMTypeOf(l->phi[k]), "");
        LLVMAddIncoming(l->out[k], &l->init[k], &l->before, 1);
        LLVMAddIncoming(l->out[k], &l->next[k], &last, 1);
    }
}

LLVMValueRef kd_loop_result(const KdLoop *l, int k) {
    return l->out[k];
}

/* Piece counts differ by at most one: task t has [t * total / ntasks, (t + 1) * total / ntasks). */
void kd_emit_task_range(KdEmit *e, LLVMValueRef total, LLVMValueRef ntasks, LLVMValueRef *lo,
                        LLVMValueRef *hi) {
    LLVMValueRef task = LLVMBuildSExt(e->b, e->task, e->i64, "");
    LLVMValueRef tasks = LLVMBuildSExt(e->b, ntasks, e->i64, "");
    LLVMValueRef next = LLVMBuildAdd(e->b, task, kd_emit_i64(e, 1), "");
    *lo = LLVMBuildUDiv(e->b, LLVMBuildMul(e->b, task, total, ""), tasks, "");
    *hi = LLVMBuildUDiv(e->b, LLVMBuildMul(e->b, next, total, ""), tasks, "");
}
