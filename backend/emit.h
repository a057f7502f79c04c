/*
 * Inside the backend: the emitter's state, and the vocabulary in which kernels are written.
 *
 *   object.c     deals kernels out over jobs
 *   job.c        one of them: a context, an LLVM module and a KdEmit; optimises and writes it
 *   emit_func.c  NAME(frame) calls the kernels in order, those with several tasks by
 *                kdrt_parallel; NAME_epoch(epoch) is the loop around a step
 *   KdKernelKind emits void kernel(const KdrtFrame *, i32 task, i32 worker), one a phase
 *   eval.c       the elemental evaluator: the value of a body instruction at a KdPoint
 *
 * All scalar index arithmetic is i64. bool is i1 in registers and a byte in memory.
 */
#ifndef KD_BACKEND_EMIT_H
#define KD_BACKEND_EMIT_H

#include <llvm-c/Core.h>

#include "backend/backend.h"

typedef struct KdEval KdEval;

/* How vectors of the kernel under construction reach memory, for remarks. */
typedef struct KdSeen {
    int loads, gathers, stores, scatters; /* of vectors */
    int scalars;                          /* loads and stores of single elements */
} KdSeen;

typedef struct KdEmit {
    LLVMContextRef cx;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    LLVMTypeRef f32, i1, i8, i32, i64, ptr, none;
    KdArena *arena; /* scratch of this compilation */
    KdDiag *diag;
    const KdModule *m;
    const KdTarget *target;
    const KdBackendOptions *options;
    const char *features; /* of the target machine, for function attributes */
    int lanes;            /* f32 lanes of the target's vectors */
    int halves;           /* 1: it converts vectors of f16, -1: it does not; 0: not asked yet */
    int fuses;            /* the same: it has instructions for a * b + c */
    const char *suffix;   /* of the names of all functions made for this target */
    const KdFunc *f;      /* the planned function being compiled */
    size_t scratch;       /* bytes a worker needs, the largest of all kernels so far */
    /* The LLVM function under construction: a phase of a kernel, or (task NULL) the caller. */
    LLVMValueRef fn, frame, task, worker;
    LLVMValueRef n;          /* i64, rows in this batch */
    LLVMBasicBlockRef entry; /* allocas and base pointers go here, in front of its terminator */
    LLVMValueRef *base;      /* per value id of f: its base pointer once loaded */
    KdSeen seen;
    int64_t weight_bytes;    /* of the block that SYMBOL_pack fills */
    struct KdPanels *panels; /* of parameters that are packed once: see emit_pack.c */
    struct KdDebug *debug;   /* backend/debug.h; NULL: no debug information */
} KdEmit;

/* From here on code is for that machine. */
void kd_emit_target(KdEmit *e, const KdTarget *t);

/* --- kernel kinds ---------------------------------------------------------------------------- */

/* How a kernel of some kind becomes code. A kernel is one or more phases that run one after the
 * other, each a set of tasks that may run at once. The tasks, and what each of them does, depend on
 * shapes and n alone, never on the number of workers. */
typedef struct KdKernelKind {
    const char *kind;
    int (*phases)(KdEmit *e, const KdInstr *kernel); /* NULL: one */
    /* Emits into the calling function: the number of tasks, i32 (a constant where shapes allow; a
     * constant 1 is called directly). Uses e->n. */
    LLVMValueRef (*tasks)(KdEmit *e, const KdInstr *kernel, int phase);
    /* Fills the function: e->fn exists, e->b stands in its body behind the entry block; the caller
     * adds `ret void` where e->b stands afterwards. */
    void (*emit)(KdEmit *e, const KdInstr *kernel, int phase);
    /* Where operand number k lies for this kernel, when that is not where its value does. NULL, and
     * for all of it: no such operand. */
    LLVMValueRef (*operand)(KdEmit *e, const KdInstr *kernel, int k);
} KdKernelKind;

extern const KdKernelKind kd_kind_map, kd_kind_reduce, kd_kind_row, kd_kind_norm, kd_kind_single;
extern const KdKernelKind kd_kind_contract; /* contract.c */

/* --- memory ---------------------------------------------------------------------------------- */

LLVMTypeRef kd_emit_type(KdEmit *e, KdDtype t); /* in memory: f32, i32, i8, i8 */
/* Pointer to the first element of a value of the planned function e->f: arena, argument or result
 * memory by its plan (an argument of e->f too). Loaded once, in the entry block. */
LLVMValueRef kd_emit_base(KdEmit *e, const KdValue *v);
/* A member of the frame: kd_emit_member(e, e->frame, offsetof(KdrtFrame, seed), e->i64). */
LLVMValueRef kd_emit_member(KdEmit *e, LLVMValueRef object, size_t offset, LLVMTypeRef type);
/* p + bytes; p + index * size. bytes and index are i64. */
LLVMValueRef kd_emit_byte_offset(KdEmit *e, LLVMValueRef p, LLVMValueRef bytes);
LLVMValueRef kd_emit_element(KdEmit *e, LLVMTypeRef type, LLVMValueRef p, LLVMValueRef index);
/* This worker's scratch, `bytes` of it, KDRT_ALIGN-aligned. */
LLVMValueRef kd_emit_scratch(KdEmit *e, size_t bytes);
/* The same memory for all workers, `before` bytes behind where the first one's begins, which those
 * that use it in the same phase must not need more of. What one phase of a kernel writes the next
 * can read. */
LLVMValueRef kd_emit_shared_scratch(KdEmit *e, size_t before, size_t bytes);
/* A constant of the module, aligned to KDRT_ALIGN. */
LLVMValueRef kd_emit_bytes(KdEmit *e, const char *name, const char *bytes, int64_t size);
/* n constants of i32 as one of the module. */
LLVMValueRef kd_emit_table(KdEmit *e, const char *name, LLVMValueRef *entry, int64_t n);
/* Stack room in the entry block, `align` bytes aligned. */
LLVMValueRef kd_emit_alloca(KdEmit *e, LLVMTypeRef type, int64_t count, unsigned align);
/* `lanes` elements (1: a scalar) of `type` with alignment 4 (1 for bytes); under mask (<lanes x i1>
 * or NULL) inactive lanes are not touched and read as zero. */
LLVMValueRef kd_emit_load(KdEmit *e, LLVMTypeRef type, int lanes, LLVMValueRef p,
                          LLVMValueRef mask);
/* The same, several lanes; inactive ones read as anything. */
LLVMValueRef kd_emit_load_part(KdEmit *e, LLVMTypeRef type, int lanes, LLVMValueRef p,
                               LLVMValueRef mask);
void kd_emit_store(KdEmit *e, LLVMValueRef value, LLVMValueRef p, LLVMValueRef mask);
/* Lane l at pointers[l], a vector of pointers; inactive lanes read zero and write nothing. */
LLVMValueRef kd_emit_gather(KdEmit *e, LLVMTypeRef type, LLVMValueRef pointers, LLVMValueRef mask);
void kd_emit_scatter(KdEmit *e, LLVMValueRef value, LLVMValueRef pointers, LLVMValueRef mask);

/* --- values ---------------------------------------------------------------------------------- */

LLVMValueRef kd_emit_i32(KdEmit *e, int64_t x);
LLVMValueRef kd_emit_i64(KdEmit *e, int64_t x);
LLVMValueRef kd_emit_f32(KdEmit *e, double x);
LLVMTypeRef kd_vector_type(LLVMTypeRef element, int lanes); /* lanes 1: the element type */
int kd_lanes_of(LLVMValueRef v);                            /* 1 for scalars */
LLVMValueRef kd_emit_splat(KdEmit *e, LLVMValueRef scalar, int lanes);
LLVMValueRef kd_emit_lane_constants(KdEmit *e, LLVMTypeRef type, int lanes, const int32_t *x);
/* 0, 1, 2, … as integers of `type`. */
LLVMValueRef kd_emit_lane_ids(KdEmit *e, LLVMTypeRef type, int lanes);
/* <lanes x i1>: lane < count (i64). */
LLVMValueRef kd_emit_tail_mask(KdEmit *e, LLVMValueRef count, int lanes);
/* a * b + c rounded once; a, b, c of one float type, doubles between 2^-450 and 2^450 if not 0
 * (fma.c). */
LLVMValueRef kd_emit_fma(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* The same, rounded twice on a machine that cannot fuse: there kd_emit_fma takes many instructions.
 */
LLVMValueRef kd_emit_multiply_add(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* x of f32 or <lanes x f32>, rounded to 8 significant bits, of two as near the even one. */
LLVMValueRef kd_emit_round_bf16(KdEmit *e, LLVMValueRef x);
/* x of a stored type as f32. */
LLVMValueRef kd_emit_widen(KdEmit *e, KdDtype from, LLVMValueRef x);
/* Overloaded intrinsic by name: kd_emit_intrinsic(e, "llvm.floor", &type, 1, args, 1). */
LLVMValueRef kd_emit_intrinsic(KdEmit *e, const char *name, LLVMTypeRef *types, int ntypes,
                               LLVMValueRef *args, int nargs);
LLVMValueRef kd_emit_shuffle(KdEmit *e, LLVMValueRef a, LLVMValueRef b, int lanes, const int *pick);
/* Ceiling of a / b for i64 a >= 0, constant b > 0; min and max of i64. */
LLVMValueRef kd_emit_ceil_div(KdEmit *e, LLVMValueRef a, int64_t b);
LLVMValueRef kd_emit_min(KdEmit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef kd_emit_max(KdEmit *e, LLVMValueRef a, LLVMValueRef b);
/* Number of elements or an extent with KD_BATCH as e->n, i64. */
LLVMValueRef kd_emit_extent(KdEmit *e, int64_t extent);

/* --- loops ----------------------------------------------------------------------------------- */

/*   KdLoop l = kd_loop_begin(e, lo, hi, step);     for (i = lo; i < hi; i += step)
 *   acc = kd_loop_carry(e, &l, zero);              a value carried round (before other code)
 *   … l.index … kd_loop_next(e, &l, 0, new value);
 *   kd_loop_end(e, &l);  … kd_loop_result(e, &l, 0)   what it was after the last round (or zero) */
#define KD_MAX_CARRIED 64
typedef struct KdLoop {
    LLVMValueRef index; /* i64 */
    LLVMBasicBlockRef before, body, after;
    LLVMValueRef hi, step;
    int ncarried;
    LLVMValueRef phi[KD_MAX_CARRIED], init[KD_MAX_CARRIED], next[KD_MAX_CARRIED],
        out[KD_MAX_CARRIED];
} KdLoop;

void kd_loop_begin(KdEmit *e, KdLoop *l, LLVMValueRef lo, LLVMValueRef hi, int64_t step);
LLVMValueRef kd_loop_carry(KdEmit *e, KdLoop *l, LLVMValueRef init);
void kd_loop_next(KdLoop *l, int k, LLVMValueRef value);
void kd_loop_end(KdEmit *e, KdLoop *l);
LLVMValueRef kd_loop_result(const KdLoop *l, int k);

/* This task's share [lo, hi) of `total` pieces when `ntasks` (as `tasks` computed it, i32) share.
 */
void kd_emit_task_range(KdEmit *e, LLVMValueRef total, LLVMValueRef ntasks, LLVMValueRef *lo,
                        LLVMValueRef *hi);

/* --- the evaluator ---------------------------------------------------------------------------- */

/* The index of some lanes in one dim: base + offset + lane[l]; or the vector; or, while nobody
 * needs the number itself, a part of the index of several dims in one: whole / divide % modulus. */
typedef struct KdIdx KdIdx;
struct KdIdx {
    LLVMValueRef base; /* i64, the same for all lanes; NULL: 0 */
    int64_t multiple;  /* base is known to be a multiple of this; 0 when base is NULL */
    int64_t offset;
    const int32_t *lane;     /* per lane, first one 0; NULL: 0 in every lane */
    LLVMValueRef vector;     /* <lanes x i64>, or NULL: an index that is no such sum */
    const KdIdx *whole;      /* NULL: not a part */
    int64_t divide, modulus; /* modulus 0: none, the outermost part */
};

/* Which elements of a tensor: `lanes` of them, one index per dim each. */
typedef struct KdPoint {
    int lanes; /* 1: a scalar */
    int rank;
    KdIdx dim[KD_MAX_RANK];
    LLVMValueRef mask;   /* <lanes x i1>: lanes whose memory may be touched; NULL: all */
    bool prefix;         /* mask is a tail mask: the first lanes are active */
    const int32_t *dead; /* per lane, 1: never active; NULL: none */
} KdPoint;

KdIdx kd_idx_constant(int64_t x);
KdIdx kd_idx_uniform(LLVMValueRef base, int64_t multiple);
/* base + 0, 1, 2, …: consecutive lanes. */
KdIdx kd_idx_lanes(KdEmit *e, LLVMValueRef base, int64_t multiple);
KdIdx kd_idx_pattern(KdEmit *e, LLVMValueRef base, int64_t multiple, const int32_t *lane,
                     int lanes);
/* Sum of coeff[k] * x[k], plus offset. */
KdIdx kd_idx_combine(KdEmit *e, int lanes, int n, const KdIdx *x, const int64_t *coeff,
                     int64_t offset);
/* whole / divide % modulus without computing it yet. */
KdIdx kd_idx_part(KdEmit *e, KdIdx whole, int64_t divide, int64_t modulus);
/* Without parts: base, offset, lane or vector. */
KdIdx kd_idx_resolve(KdEmit *e, int lanes, KdIdx x);
bool kd_idx_is_uniform(const KdIdx *x);
bool kd_idx_equal(const KdIdx *x, const KdIdx *y, int lanes);
/* The number itself in integer `type`: a scalar when lanes is 1. */
LLVMValueRef kd_idx_value(KdEmit *e, int lanes, KdIdx x, LLVMTypeRef type);
/* The row-major element number of point `at` in a tensor of type t. */
KdIdx kd_emit_linear(KdEmit *e, KdType t, const KdPoint *at);

/* Evaluates body values of `kernel`; arguments are loaded from the operands' memory. Rank 0 values
 * are computed at once, where e->b stands. */
KdEval *kd_eval_create(KdEmit *e, const KdInstr *kernel);
/* The value of `v` (of the body) at `at`: <at->lanes x T>, or T for one lane. */
LLVMValueRef kd_eval(KdEval *ev, const KdValue *v, const KdPoint *at);
/* From here on v at exactly this point is `value`: how the contraction's tile (or a reduction's
 * result) reaches its epilogue. */
void kd_eval_bind(KdEval *ev, const KdValue *v, const KdPoint *at, LLVMValueRef value);
/* Values are remembered; those made inside a loop or branch must be forgotten when it ends. */
int kd_eval_mark(KdEval *ev);
void kd_eval_release(KdEval *ev, int mark);
/* Stores to v of e->f (a kernel's result) at a point of any pattern. */
void kd_emit_store_at(KdEmit *e, const KdValue *v, const KdPoint *at, LLVMValueRef value);
/* The same to a tensor of type t that begins at `base`. */
void kd_emit_store_in(KdEmit *e, KdType t, LLVMValueRef base, const KdPoint *at,
                      LLVMValueRef value);

/* --- vector math (vecmath.c): x of f32 or <lanes x f32>; error bounds stand there ------------- */

LLVMValueRef kd_emit_floor(KdEmit *e, LLVMValueRef x);
LLVMValueRef kd_emit_exp(KdEmit *e, LLVMValueRef x);
LLVMValueRef kd_emit_log(KdEmit *e, LLVMValueRef x);
LLVMValueRef kd_emit_tanh(KdEmit *e, LLVMValueRef x);
LLVMValueRef kd_emit_sin(KdEmit *e, LLVMValueRef x);
LLVMValueRef kd_emit_cos(KdEmit *e, LLVMValueRef x);
LLVMValueRef kd_emit_pow(KdEmit *e, LLVMValueRef a, LLVMValueRef b);
/* sin, or one quarter turn on cos, of 0 <= turns < 1 whole turns: for Box–Muller. */
LLVMValueRef kd_emit_sine_of_turns(KdEmit *e, LLVMValueRef turns, LLVMValueRef quarter_turns);

/* --- random numbers (philox.c) ---------------------------------------------------------------- */

/* Uniform or standard normal for counter (element, index, epoch, stream): i32 or <lanes x i32>.
 * `fours`: lanes 4 k to 4 k + 3 have one index, and elements 4 j to 4 j + 3, whatever j is. */
LLVMValueRef kd_emit_uniform(KdEmit *e, LLVMValueRef element, LLVMValueRef index,
                             LLVMValueRef epoch, uint32_t stream, bool fours);
LLVMValueRef kd_emit_normal(KdEmit *e, LLVMValueRef element, LLVMValueRef index, LLVMValueRef epoch,
                            uint32_t stream, bool fours);

#endif
