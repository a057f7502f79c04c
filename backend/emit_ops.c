/*
 * Emit rules of elementwise ops, leaves and random numbers, and the table that leads from an op to
 * its rule. Arithmetic carries no fast-math flags and is never contracted, so a value has the same
 * bits in whatever kernel it is computed.
 */
#include "backend/eval.h"
#include "backend/subtarget.h"

#include <string.h>

static bool is_float(LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    if (LLVMGetTypeKind(t) == LLVMVectorTypeKind) {
        t = LLVMGetElementType(t);
    }
    return LLVMGetTypeKind(t) == LLVMFloatTypeKind;
}

static LLVMValueRef arg(KdEval *ev, const KdInstr *i, int k, const KdPoint *at) {
    return kd_eval_arg(ev, i, k, at);
}

static LLVMValueRef unary_intrinsic(KdEmit *e, const char *name, LLVMValueRef x) {
    LLVMTypeRef t = LLVMTypeOf(x);
    return kd_emit_intrinsic(e, name, &t, 1, &x, 1);
}

static LLVMValueRef emit_neg(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at);
    return is_float(x) ? LLVMBuildFNeg(ev->e->b, x, "") : LLVMBuildNeg(ev->e->b, x, "");
}

static LLVMValueRef emit_abs(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at);
    if (is_float(x)) {
        return unary_intrinsic(ev->e, "llvm.fabs", x);
    }
    if (i->args[0]->type.dtype == KD_U8) {
        return x;
    }
    LLVMTypeRef t = LLVMTypeOf(x);
    LLVMValueRef args[] = { x, LLVMConstInt(ev->e->i1, 0, 0) };
    return kd_emit_intrinsic(ev->e, "llvm.abs", &t, 1, args, 2);
}

static LLVMValueRef emit_exp(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return kd_emit_exp(ev->e, arg(ev, i, 0, at));
}

static LLVMValueRef emit_log(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return kd_emit_log(ev->e, arg(ev, i, 0, at));
}

static LLVMValueRef emit_tanh(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return kd_emit_tanh(ev->e, arg(ev, i, 0, at));
}

static LLVMValueRef emit_sqrt(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return unary_intrinsic(ev->e, "llvm.sqrt", arg(ev, i, 0, at));
}

static LLVMValueRef emit_sin(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return kd_emit_sin(ev->e, arg(ev, i, 0, at));
}

static LLVMValueRef emit_cos(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return kd_emit_cos(ev->e, arg(ev, i, 0, at));
}

static LLVMValueRef emit_floor(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at);
    return is_float(x) ? kd_emit_floor(ev->e, x) : x;
}

static LLVMValueRef emit_not(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return LLVMBuildNot(ev->e->b, arg(ev, i, 0, at), "");
}

static LLVMValueRef emit_detach(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return arg(ev, i, 0, at);
}

/* Does the machine convert halves itself? Elsewhere LLVM would call a function for each. */
static bool converts_halves(KdEmit *e) {
    static const char *const x86[] = { "f16c" }, *const arm[] = { "neon" };
    const char *triple = LLVMGetTarget(e->mod);
    bool is_x86 = strncmp(triple, "x86_64", 6) == 0, has = false;
    if (!is_x86 && strncmp(triple, "aarch64", 7) != 0) return false;
    if (e->halves == 0 && kd_subtarget_has(e->target, 1, is_x86 ? x86 : arm, &has, e->diag))
        e->halves = has ? 1 : -1;
    return e->halves == 1;
}

/* The bits of finite halves as f32, exactly, by what every machine has: exponent and fraction move
 * to their places in a float, which is 2^112 times too small then. */
static LLVMValueRef widen_half(KdEmit *e, LLVMValueRef bits, int lanes) {
    LLVMTypeRef whole = kd_vector_type(e->i32, lanes), real = kd_vector_type(e->f32, lanes);
    if (converts_halves(e)) {
        LLVMTypeRef half = kd_vector_type(LLVMHalfTypeInContext(e->cx), lanes);
        return LLVMBuildFPExt(e->b, LLVMBuildBitCast(e->b, bits, half, ""), real, "");
    }
    LLVMValueRef x = LLVMBuildZExt(e->b, bits, whole, "");
    LLVMValueRef sign = LLVMBuildAnd(e->b, x, kd_emit_splat(e, kd_emit_i32(e, 0x8000), lanes), "");
    LLVMValueRef size = LLVMBuildXor(e->b, x, sign, "");
    sign = LLVMBuildShl(e->b, sign, kd_emit_splat(e, kd_emit_i32(e, 16), lanes), "");
    size = LLVMBuildShl(e->b, size, kd_emit_splat(e, kd_emit_i32(e, 13), lanes), "");
    LLVMValueRef scale = kd_emit_splat(e, kd_emit_f32(e, 0x1p112), lanes);
    size = LLVMBuildFMul(e->b, LLVMBuildBitCast(e->b, size, real, ""), scale, "");
    size = LLVMBuildBitCast(e->b, size, whole, "");
    return LLVMBuildBitCast(e->b, LLVMBuildOr(e->b, size, sign, ""), real, "");
}

/* By way of i32: of llvm.fptoui.sat to bytes LLVM makes scalars. */
static LLVMValueRef float_to_byte(KdEmit *e, LLVMValueRef x, int lanes) {
    LLVMValueRef least = kd_emit_splat(e, kd_emit_f32(e, 0), lanes);
    LLVMValueRef most = kd_emit_splat(e, kd_emit_f32(e, 255), lanes);
    x = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOGT, x, least, ""), x, least, "");
    x = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOLT, x, most, ""), x, most, "");
    x = LLVMBuildFPToSI(e->b, x, kd_vector_type(e->i32, lanes), "");
    return LLVMBuildTrunc(e->b, x, kd_vector_type(e->i8, lanes), "");
}

LLVMValueRef kd_emit_widen(KdEmit *e, KdDtype from, LLVMValueRef x) {
    int lanes = kd_lanes_of(x);
    if (from == KD_F16) return widen_half(e, x, lanes);
    x = LLVMBuildSExt(e->b, x, kd_vector_type(e->i32, lanes), "");
    return LLVMBuildSIToFP(e->b, x, kd_vector_type(e->f32, lanes), "");
}

/* Floats saturate: nan becomes 0, what is too large the largest integer. */
static LLVMValueRef emit_cast(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    KdEmit *e = ev->e;
    KdDtype from = i->args[0]->type.dtype, to = i->results[0]->type.dtype;
    LLVMValueRef x = arg(ev, i, 0, at);
    LLVMTypeRef type = kd_vector_type(to == KD_BOOL ? e->i1 : kd_emit_type(e, to), at->lanes);
    if (from == to) {
        return x;
    }
    if (kd_dtype_is_stored(from) && to == KD_F32) return kd_emit_widen(e, from, x);
    if (to == KD_BOOL) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
        return is_float(x) ? LLVMBuildFCmp(e->b, LLVMRealUNE, x, zero, "")
                           : LLVMBuildICmp(e->b, LLVMIntNE, x, zero, "");
    }
    if (to == KD_F32) {
        if (from == KD_I32) {
            return LLVMBuildSIToFP(e->b, x, type, "");
        }
        /* Through i32: bytes convert by one vector instruction then. */
        LLVMTypeRef whole = kd_vector_type(e->i32, at->lanes);
        return LLVMBuildSIToFP(e->b, LLVMBuildZExt(e->b, x, whole, ""), type, "");
    }
    if (from == KD_F32 && to == KD_U8) return float_to_byte(e, x, at->lanes);
    if (from == KD_F32) {
        LLVMTypeRef types[] = { type, LLVMTypeOf(x) };
        return kd_emit_intrinsic(e, "llvm.fptosi.sat", types, 2, &x, 1);
    }
    return from == KD_I32 ? LLVMBuildTrunc(e->b, x, type, "") : LLVMBuildZExt(e->b, x, type, "");
}

static LLVMValueRef arithmetic(KdEval *ev, const KdInstr *i, const KdPoint *at, LLVMOpcode real,
                               LLVMOpcode integer) {
    LLVMValueRef x = arg(ev, i, 0, at), y = arg(ev, i, 1, at);
    return LLVMBuildBinOp(ev->e->b, is_float(x) ? real : integer, x, y, "");
}

static LLVMValueRef emit_add(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return arithmetic(ev, i, at, LLVMFAdd, LLVMAdd);
}

static LLVMValueRef emit_sub(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return arithmetic(ev, i, at, LLVMFSub, LLVMSub);
}

static LLVMValueRef emit_mul(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return arithmetic(ev, i, at, LLVMFMul, LLVMMul);
}

static LLVMValueRef emit_div(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at);
    return LLVMBuildFDiv(ev->e->b, x, arg(ev, i, 1, at), "");
}

static LLVMValueRef emit_pow(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at);
    return kd_emit_pow(ev->e, x, arg(ev, i, 1, at));
}

/* a < b in the order of the dtype; floats: false for nan. */
static LLVMValueRef less(KdEval *ev, const KdInstr *i, LLVMValueRef a, LLVMValueRef b) {
    if (is_float(a)) {
        return LLVMBuildFCmp(ev->e->b, LLVMRealOLT, a, b, "");
    }
    bool sign = i->args[0]->type.dtype == KD_I32;
    return LLVMBuildICmp(ev->e->b, sign ? LLVMIntSLT : LLVMIntULT, a, b, "");
}

/* nan in the first operand stays: relu(x) = max(x, 0) does not hide it. */
static LLVMValueRef emit_max(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at), y = arg(ev, i, 1, at);
    return LLVMBuildSelect(ev->e->b, less(ev, i, x, y), y, x, "");
}

static LLVMValueRef emit_min(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at), y = arg(ev, i, 1, at);
    return LLVMBuildSelect(ev->e->b, less(ev, i, y, x), y, x, "");
}

static LLVMValueRef emit_lt(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at);
    return less(ev, i, x, arg(ev, i, 1, at));
}

static LLVMValueRef emit_le(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at), y = arg(ev, i, 1, at);
    if (is_float(x)) {
        return LLVMBuildFCmp(ev->e->b, LLVMRealOLE, x, y, "");
    }
    bool sign = i->args[0]->type.dtype == KD_I32;
    return LLVMBuildICmp(ev->e->b, sign ? LLVMIntSLE : LLVMIntULE, x, y, "");
}

static LLVMValueRef emit_eq(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at), y = arg(ev, i, 1, at);
    return is_float(x) ? LLVMBuildFCmp(ev->e->b, LLVMRealOEQ, x, y, "")
                       : LLVMBuildICmp(ev->e->b, LLVMIntEQ, x, y, "");
}

static LLVMValueRef emit_ne(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef x = arg(ev, i, 0, at), y = arg(ev, i, 1, at);
    return is_float(x) ? LLVMBuildFCmp(ev->e->b, LLVMRealUNE, x, y, "")
                       : LLVMBuildICmp(ev->e->b, LLVMIntNE, x, y, "");
}

static LLVMValueRef emit_and(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return arithmetic(ev, i, at, LLVMAnd, LLVMAnd);
}

static LLVMValueRef emit_or(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return arithmetic(ev, i, at, LLVMOr, LLVMOr);
}

static LLVMValueRef emit_select(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    LLVMValueRef c = arg(ev, i, 0, at), x = arg(ev, i, 1, at), y = arg(ev, i, 2, at);
    return LLVMBuildSelect(ev->e->b, c, x, y, "");
}

/* --- leaves ----------------------------------------------------------------------------------- */

static LLVMValueRef emit_constant(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return kd_emit_constant(ev->e, i->results[0]->type.dtype, at->lanes,
                            kd_attr_num(i->attrs, "value", 0));
}

static LLVMValueRef emit_rows(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    (void)i;
    LLVMValueRef n = LLVMBuildTrunc(ev->e->b, ev->e->n, ev->e->i32, "");
    return kd_emit_splat(ev->e, LLVMBuildSIToFP(ev->e->b, n, ev->e->f32, ""), at->lanes);
}

static LLVMValueRef emit_hyper(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    KdEmit *e = ev->e;
    int k = kd_module_hyper(e->m, kd_attr_str(i->attrs, "name", ""));
    if (k < 0) {
        kd_bug(e->diag, "unknown hyperparameter %s", kd_attr_str(i->attrs, "name", ""));
    }
    LLVMValueRef all = kd_emit_member(e, e->frame, offsetof(KdrtFrame, hyper), e->ptr);
    return kd_emit_splat(e, kd_emit_member(e, all, (size_t)k * sizeof(float), e->f32), at->lanes);
}

/* Of each four lanes that are alive: have they one index x, or with `count` four in a row of which
 * the first is a multiple of 4? */
static bool in_fours(const KdPoint *at, const KdIdx *x, bool count) {
    if (x->vector || (count && (x->multiple % 4 || x->offset % 4 || !x->lane))) return false;
    for (int l = 0; l < at->lanes && x->lane; l++) {
        int32_t first = x->lane[l - l % 4];
        if (count && at->dead && at->dead[l]) continue;
        if (count ? first % 4 || x->lane[l] - first != l % 4 : x->lane[l] != first) return false;
    }
    return true;
}

/* Per sample ([B,…] with index i32[B]) an element is numbered within its sample, per batch within
 * the whole tensor. */
static LLVMValueRef draw(KdEval *ev, const KdInstr *i, const KdPoint *at, bool normal) {
    KdEmit *e = ev->e;
    KdType t = i->results[0]->type;
    bool per_sample = i->args[0]->type.rank == 1;
    int first = per_sample ? 1 : 0;
    KdType rest = { .dtype = t.dtype, .rank = t.rank - first };
    KdPoint place = { .lanes = at->lanes, .rank = rest.rank };
    for (int k = 0; k < rest.rank; k++) {
        rest.dim[k] = t.dim[k + first];
        place.dim[k] = at->dim[k + first];
    }
    KdIdx number = rest.rank ? kd_emit_linear(e, rest, &place) : kd_idx_constant(0);
    KdPoint sample = *at, scalar = { .lanes = 1 };
    sample.rank = 1;
    LLVMValueRef index =
        per_sample ? arg(ev, i, 0, &sample) : kd_emit_splat(e, arg(ev, i, 0, &scalar), at->lanes);
    LLVMValueRef epoch = kd_emit_splat(e, arg(ev, i, 1, &scalar), at->lanes);
    KdIdx resolved = kd_idx_resolve(e, at->lanes, number), row = kd_idx_constant(0);
    if (per_sample) row = kd_idx_resolve(e, at->lanes, at->dim[0]);
    bool fours = at->lanes % 4 == 0 && in_fours(at, &resolved, true) && in_fours(at, &row, false);
    LLVMValueRef element = kd_idx_value(e, at->lanes, resolved, e->i32);
    uint32_t stream = kdrt_stream(kd_attr_str(i->attrs, "stream", ""));
    return normal ? kd_emit_normal(e, element, index, epoch, stream, fours)
                  : kd_emit_uniform(e, element, index, epoch, stream, fours);
}

static LLVMValueRef emit_rng_uniform(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return draw(ev, i, at, false);
}

static LLVMValueRef emit_rng_normal(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    return draw(ev, i, at, true);
}

/* --- the table -------------------------------------------------------------------------------- */

/* What has a kernel form of its own and never stands in another kernel's body as a value. */
static LLVMValueRef emit_hero(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    if (i->op == KD_OP_CONTRACT) {
        return kd_emit_contract_element(ev, i, at);
    }
    kd_bug(ev->e->diag, "%s cannot be computed element by element", kd_op_text(i->op));
}

LLVMValueRef kd_emit_op(KdEval *ev, const KdInstr *i, const KdPoint *at) {
    static KdEmitRule *const rules[KD_NUM_OPS] = {
#define KD_OP(name, text, nargs, infer, adjoint, emit, eval, traits, attrs, meaning) \
    [KD_OP_##name] = emit_##emit,
#include "ir/ops.def"
    };
    return rules[i->op](ev, i, at);
}
