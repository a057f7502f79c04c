/*
 * What an x86-64 CPU has, asked by CPUID: a bit for each feature, and by XGETBV whether the
 * operating system saves the registers that go with it. The answer never changes, so it is kept:
 *
 *   NAME(…)    level = @NAME.level
 *              0:       ask, and keep the answer (whoever asks too finds the same)
 *              1 … n:   call that function
 *              n + 1:   return the code
 *
 * NAME itself is code that every x86-64 CPU runs.
 */
#include "backend/dispatch.h"

#include "backend/compat.h"
#include "backend/debug.h"
#include "backend/func.h"
#include "backend/subtarget.h"

#include <string.h>

/* The words that CPUID gives: a leaf, its subleaf, and the register. That of leaf 36 is a version
 * of AVX10, of which 1 has no more than AVX-512 has: bit 0 says whether it is a later one. */
typedef enum Word { W1_C, W7_B, W7_C, W7_D, W71_A, W71_D, W36_B, WEXT_C, NUM_WORDS } Word;
enum { EAX, EBX, ECX, EDX };

/* Bits of XCR0: SSE and AVX; these and AVX-512's masks and upper halves; APX's 16 more registers.
 */
enum { NO_STATE = 0, YMM = 0x6, ZMM = 0xe6, EGPR = 0x80000 };

/* Features that LLVM's code may use unasked, by its names. */
static const struct {
    const char *name;
    Word word;
    int bit, state;
} features[] = {
    { "sse3", W1_C, 0, NO_STATE },      { "ssse3", W1_C, 9, NO_STATE },
    { "fma", W1_C, 12, YMM },           { "sse4.1", W1_C, 19, NO_STATE },
    { "sse4.2", W1_C, 20, NO_STATE },   { "movbe", W1_C, 22, NO_STATE },
    { "popcnt", W1_C, 23, NO_STATE },   { "avx", W1_C, 28, YMM },
    { "f16c", W1_C, 29, YMM },          { "bmi", W7_B, 3, NO_STATE },
    { "avx2", W7_B, 5, YMM },           { "bmi2", W7_B, 8, NO_STATE },
    { "avx512f", W7_B, 16, ZMM },       { "avx512dq", W7_B, 17, ZMM },
    { "avx512ifma", W7_B, 21, ZMM },    { "avx512cd", W7_B, 28, ZMM },
    { "avx512bw", W7_B, 30, ZMM },      { "avx512vl", W7_B, 31, ZMM },
    { "avx512vbmi", W7_C, 1, ZMM },     { "avx512vbmi2", W7_C, 6, ZMM },
    { "gfni", W7_C, 8, NO_STATE },      { "avx512vnni", W7_C, 11, ZMM },
    { "avx512bitalg", W7_C, 12, ZMM },  { "avx512vpopcntdq", W7_C, 14, ZMM },
    { "avx512fp16", W7_D, 23, ZMM },    { "avxvnni", W71_A, 4, YMM },
    { "avx512bf16", W71_A, 5, ZMM },    { "avxifma", W71_A, 23, YMM },
    { "avxvnniint8", W71_D, 4, YMM },   { "avxneconvert", W71_D, 5, YMM },
    { "avxvnniint16", W71_D, 10, YMM }, { "egpr", W71_D, 21, EGPR },
    { "push2pop2", W71_D, 21, EGPR },   { "ppx", W71_D, 21, EGPR },
    { "ndd", W71_D, 21, EGPR },         { "ccmp", W71_D, 21, EGPR },
    { "nf", W71_D, 21, EGPR },          { "cf", W71_D, 21, EGPR },
    { "sahf", WEXT_C, 0, NO_STATE },    { "lzcnt", WEXT_C, 5, NO_STATE },
    { "sse4a", WEXT_C, 6, NO_STATE },   { "xop", WEXT_C, 11, YMM },
    { "fma4", WEXT_C, 16, YMM },        { "tbm", WEXT_C, 21, NO_STATE },
/* A name that LLVM does not know would count as one that all code has. */
#if LLVM_VERSION_MAJOR >= 22
    { "zu", W71_D, 21, EGPR },          { "avx10.2", W36_B, 0, ZMM },
#endif
};
enum { NUM_FEATURES = sizeof features / sizeof *features };

bool kd_can_dispatch(KdEmit *e) {
    return strncmp(LLVMGetTarget(e->mod), "x86_64", 6) == 0;
}

/* --- asking the CPU --------------------------------------------------------------------------- */

static LLVMValueRef assembly(KdEmit *e, LLVMTypeRef type, const char *code, const char *operands,
                             LLVMValueRef *args, unsigned nargs) {
    LLVMValueRef fn = LLVMGetInlineAsm(type, code, strlen(code), operands, strlen(operands), 1, 0,
                                       LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(e->b, type, fn, args, nargs, "");
}

/* { eax, ebx, ecx, edx } of that leaf. */
static LLVMValueRef cpuid(KdEmit *e, uint32_t leaf, int subleaf) {
    LLVMTypeRef params[] = { e->i32, e->i32 }, words[] = { e->i32, e->i32, e->i32, e->i32 };
    LLVMTypeRef answer = LLVMStructTypeInContext(e->cx, words, 4, 0);
    LLVMValueRef args[] = { LLVMConstInt(e->i32, leaf, 0), kd_emit_i32(e, subleaf) };
    return assembly(e, LLVMFunctionType(answer, params, 2, 0), "cpuid",
                    "={ax},={bx},={cx},={dx},0,2,~{dirflag},~{fpsr},~{flags}", args, 2);
}

/* A register of an answer; 0 where the leaf is not there. */
static LLVMValueRef word(KdEmit *e, LLVMValueRef there, LLVMValueRef answer, unsigned reg) {
    LLVMValueRef x = LLVMBuildExtractValue(e->b, answer, reg, "");
    return there ? LLVMBuildSelect(e->b, there, x, kd_emit_i32(e, 0), "") : x;
}

static LLVMValueRef at_least(KdEmit *e, LLVMValueRef x, uint32_t least) {
    return LLVMBuildICmp(e->b, LLVMIntUGE, x, LLVMConstInt(e->i32, least, 0), "");
}

static void read_words(KdEmit *e, LLVMValueRef w[NUM_WORDS]) {
    const uint32_t extended = 0x80000000;
    LLVMValueRef most = word(e, NULL, cpuid(e, 0, 0), EAX), one = cpuid(e, 1, 0);
    LLVMValueRef has7 = at_least(e, most, 7), seven = cpuid(e, 7, 0);
    LLVMValueRef has71 = at_least(e, word(e, has7, seven, EAX), 1), seven1 = cpuid(e, 7, 1);
    LLVMValueRef has36 = at_least(e, most, 36), version = word(e, has36, cpuid(e, 36, 0), EBX);
    version = LLVMBuildAnd(e->b, version, kd_emit_i32(e, 0xff), "");
    w[W36_B] = LLVMBuildZExt(e->b, at_least(e, version, 2), e->i32, "");
    most = word(e, NULL, cpuid(e, extended, 0), EAX);
    LLVMValueRef has_extended = at_least(e, most, extended + 1);
    w[W1_C] = word(e, NULL, one, ECX);
    w[W7_B] = word(e, has7, seven, EBX);
    w[W7_C] = word(e, has7, seven, ECX);
    w[W7_D] = word(e, has7, seven, EDX);
    w[W71_A] = word(e, has71, seven1, EAX);
    w[W71_D] = word(e, has71, seven1, EDX);
    w[WEXT_C] = word(e, has_extended, cpuid(e, extended + 1, 0), ECX);
}

/* XCR0, or 0 on a system that does not use it: there XGETBV is no instruction. */
static LLVMValueRef read_state(KdEmit *e, LLVMValueRef const w[NUM_WORDS]) {
    const int osxsave = 27;
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef ask = LLVMAppendBasicBlockInContext(e->cx, e->fn, "xgetbv");
    LLVMBasicBlockRef join = LLVMAppendBasicBlockInContext(e->cx, e->fn, "state");
    LLVMValueRef bit = LLVMBuildAnd(e->b, w[W1_C], kd_emit_i32(e, 1 << osxsave), "");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntNE, bit, kd_emit_i32(e, 0), ""), ask, join);
    LLVMPositionBuilderAtEnd(e->b, ask);
    LLVMTypeRef words[] = { e->i32, e->i32 };
    LLVMTypeRef pair = LLVMStructTypeInContext(e->cx, words, 2, 0);
    LLVMValueRef zero = kd_emit_i32(e, 0);
    LLVMValueRef low = word(
        e, NULL,
        assembly(e, LLVMFunctionType(pair, &e->i32, 1, 0), "xgetbv", "={ax},={dx},{cx}", &zero, 1),
        0);
    LLVMBuildBr(e->b, join);
    LLVMPositionBuilderAtEnd(e->b, join);
    LLVMValueRef state = LLVMBuildPhi(e->b, e->i32, "xcr0"), values[] = { zero, low };
    LLVMBasicBlockRef blocks[] = { from, ask };
    LLVMAddIncoming(state, values, blocks, 2);
    return state;
}

static LLVMValueRef has_bits(KdEmit *e, LLVMValueRef x, uint32_t bits) {
    LLVMValueRef mask = LLVMConstInt(e->i32, bits, 0);
    return LLVMBuildICmp(e->b, LLVMIntEQ, LLVMBuildAnd(e->b, x, mask, ""), mask, "");
}

/* i1: all that code for t may use is there. */
static LLVMValueRef supports(KdEmit *e, const KdTarget *t, LLVMValueRef const w[NUM_WORDS],
                             LLVMValueRef state) {
    uint32_t bits[NUM_WORDS] = { 0 }, states = 0;
    const char *names[NUM_FEATURES];
    bool has[NUM_FEATURES];
    for (int k = 0; k < NUM_FEATURES; k++) names[k] = features[k].name;
    if (!kd_subtarget_has(t, NUM_FEATURES, names, has, e->diag))
        kd_bug(e->diag, "no features of %s", t->cpu);
    for (int k = 0; k < NUM_FEATURES; k++) {
        if (!has[k]) continue;
        bits[features[k].word] |= (uint32_t)1 << features[k].bit;
        states |= (uint32_t)features[k].state;
    }
    LLVMValueRef all = has_bits(e, state, states);
    for (int k = 0; k < NUM_WORDS; k++)
        if (bits[k]) all = LLVMBuildAnd(e->b, all, has_bits(e, w[k], bits[k]), "");
    return all;
}

/* --- the function ------------------------------------------------------------------------------
 */

static LLVMValueRef add_level(KdEmit *e, const char *name) {
    LLVMValueRef level = LLVMAddGlobal(e->mod, e->i32, kd_arena_format(e->arena, "%s.level", name));
    LLVMSetInitializer(level, kd_emit_i32(e, 0));
    LLVMSetLinkage(level, LLVMInternalLinkage);
    return level;
}

/* 1 … n: the first target that is supported; n + 1: none. */
static LLVMValueRef ask_level(KdEmit *e, int n, const KdTarget *target) {
    LLVMValueRef w[NUM_WORDS], level = kd_emit_i32(e, n + 1);
    read_words(e, w);
    LLVMValueRef state = read_state(e, w);
    for (int k = n - 1; k >= 0; k--) {
        LLVMValueRef fits = supports(e, &target[k], w, state);
        level = LLVMBuildSelect(e->b, fits, kd_emit_i32(e, k + 1), level, "");
    }
    return level;
}

static LLVMValueRef find_level(KdEmit *e, const char *name, int n, const KdTarget *target) {
    LLVMValueRef place = add_level(e, name), kept = LLVMBuildLoad2(e->b, e->i32, place, "kept");
    LLVMSetOrdering(kept, LLVMAtomicOrderingMonotonic);
    LLVMSetAlignment(kept, 4);
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b);
    LLVMBasicBlockRef ask = LLVMAppendBasicBlockInContext(e->cx, e->fn, "ask");
    LLVMBasicBlockRef join = LLVMAppendBasicBlockInContext(e->cx, e->fn, "asked");
    LLVMValueRef unknown = LLVMBuildICmp(e->b, LLVMIntEQ, kept, kd_emit_i32(e, 0), "");
    LLVMBuildCondBr(e->b, unknown, ask, join);
    LLVMPositionBuilderAtEnd(e->b, ask);
    LLVMValueRef asked = ask_level(e, n, target), store = LLVMBuildStore(e->b, asked, place);
    LLVMSetOrdering(store, LLVMAtomicOrderingMonotonic);
    LLVMSetAlignment(store, 4);
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, join);
    LLVMPositionBuilderAtEnd(e->b, join);
    LLVMValueRef level = LLVMBuildPhi(e->b, e->i32, "level"), values[] = { kept, asked };
    LLVMBasicBlockRef blocks[] = { from, last };
    LLVMAddIncoming(level, values, blocks, 2);
    return level;
}

const KdTarget kd_any_x86 = { .triple = "", .cpu = "x86-64", .features = "", .vector_bits = 128 };

void kd_emit_dispatch(KdEmit *e, const char *name, int n, const LLVMValueRef *fn,
                      const KdTarget *target, int code) {
    const KdTarget *own = e->target;
    kd_emit_target(e, &kd_any_x86);
    LLVMTypeRef type = LLVMGlobalGetValueType(fn[0]);
    e->fn = LLVMAddFunction(e->mod, name, type);
    kd_emit_attributes(e, e->fn);
    kd_debug_function(e, name, e->f->loc);
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->cx, e->fn, "entry"));
    unsigned nparams = LLVMCountParams(e->fn);
    LLVMValueRef *args = KD_NEW_ARRAY(e->arena, LLVMValueRef, nparams + 1);
    LLVMGetParams(e->fn, args);
    LLVMValueRef level = find_level(e, name, n, target);
    LLVMBasicBlockRef none = LLVMAppendBasicBlockInContext(e->cx, e->fn, "unsupported");
    LLVMValueRef choice = LLVMBuildSwitch(e->b, level, none, (unsigned)n);
    for (int k = 0; k < n; k++) {
        LLVMBasicBlockRef here = LLVMAppendBasicBlockInContext(e->cx, e->fn, target[k].cpu);
        LLVMAddCase(choice, kd_emit_i32(e, k + 1), here);
        LLVMPositionBuilderAtEnd(e->b, here);
        LLVMValueRef result = LLVMBuildCall2(e->b, type, fn[k], args, nparams, "");
        LLVMSetTailCall(result, 1);
        LLVMBuildRet(e->b, result);
    }
    LLVMPositionBuilderAtEnd(e->b, none);
    LLVMBuildRet(e->b, kd_emit_i32(e, code));
    kd_emit_target(e, own);
}
