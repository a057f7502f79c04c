/*
 * How a contraction becomes register tiles: the plan, and what its emitters share.
 *
 *     C[g, r, c] = Σ_k  S[g, r, k] · V[g, k, c]
 *
 * Every iterator has one role: group (in both operands and the result), row (in the broadcast side
 * S), column (in the vector side V), sum. Columns are lanes of vectors: V is packed into panels
 * [k][NR], so that one step of k loads NV vectors, broadcasts MR elements of S and does MR x NV
 * fused multiply-adds on accumulators that stay in registers. Each element sums its k in order, one
 * by one (contract_fold.c and contract_split.c aside, by shapes alone, and contract_taps.c, by
 * lanes), so no choice made here changes a bit of the result.
 *
 *   contract.c        the plan: roles, tile, blocks of k, units of work
 *   contract_emit.c   the kernel: its tasks, its scratch, the loop over units
 *   contract_unit.c   the loops over a unit's blocks and tiles, and the epilogue
 *   contract_index.c  indices flattened and taken apart; pieces of rows and columns
 *   microkernel.c     the loop over k of one tile
 *   contract_blas.c   the same panels by sgemm of OpenBLAS
 *   pack.c            panels of V and rows of S, any access, any prologue
 *   pack_transpose.c  panels of V by transposes in registers
 *   dot.c             one step of an integer contraction
 *   contract_tile.c   the register tile
 *   contract_direct.c the choice: no tiles for depthwise convolutions and the like
 *   contract_taps.c   long sums of few products in many groups: vectors along the sum
 *   contract_stride.c adjoints of windows with a stride: a phase for each residue
 *   contract_interleave.c  such phases sample by sample, put together in scratch
 *   contract_fold.c   adjoints of windows: a product, whose taps are summed afterwards
 *   contract_split.c  gradients of weights: sums over parts of the batch, added afterwards
 *   pack_fast.c       panels of V straight from memory
 *   contract_bf16.c   panels and rows rounded to pairs of bf16, whose products one instruction adds
 *   embed.c           panels of V that are constants of the object
 *   pack_halo.c       a factor and the padding around it
 *   prefetch.c        fetches of what is packed or copied next
 *   contract_join.c   convolutions of small planes: the pixels of all samples in one
 *   contract_window.c convolutions: tiles that read V from such a copy, without panels
 *   contract_winograd.c  convolutions of 3 x 3 and 5 x 5 with fewer products
 *   contract_sums.c   reductions of what the epilogue makes
 *   contract_pool.c   windows of it, once a unit has made a sample
 */
#ifndef KD_BACKEND_CONTRACT_H
#define KD_BACKEND_CONTRACT_H

#include "backend/emit.h"

/* One more than the IR's iterators: a sum over nothing gets an iterator of extent 1. */
#define KD_PLAN_ITERS   (KD_MAX_ITERS + 1)
#define KD_MAX_NV       5
#define KD_WANTED_UNITS 16 /* tasks that a contraction is cut into, or more */
#define KD_MAX_MR       28
#define KD_MAX_FETCHES  3

/* Iterators taken as one index, row-major, the last running fastest. */
typedef struct KdFlat {
    int n;
    int iter[KD_PLAN_ITERS];
} KdFlat;

/* One factor of the product. */
typedef struct KdFactor {
    const KdValue *value; /* of the kernel's body */
    const KdValue
        *memory; /* where it lies, when it is an f32 operand of the kernel itself; or NULL, */
    const KdValue *stored; /* and the operand of a stored type whose cast it is; or NULL */
    const KdAccess *access;
    KdType type;
    bool linear;               /* an element is at offset + Σ lin[i]·i, where in range */
    bool inside;               /* no iteration is out of range or not divisible */
    bool checked[KD_MAX_RANK]; /* dims that need a check */
    int64_t offset, lin[KD_PLAN_ITERS];
} KdFactor;

/* An extent cut into pieces of `size[0]`, then of `size[1]`. Counts of a dynamic extent are found
 * at run time: as many of size[0] as fit, and the rest in pieces of size[1] = 1. */
typedef struct KdSplit {
    bool dynamic;
    int size[2];
    int64_t count[2]; /* static; when dynamic, for the largest batch */
} KdSplit;

/* The part of a factor that a block of k reads, copied with zeros for what lies outside of the
 * tensor: dim d of the copy is of `size[d]`, and begins `low[d]` behind where the block stands.
 * Shifted along the last dim, or the last two, there is a copy for each step of the sum there. */
#define KD_UNSHIFTED (-1)

typedef struct KdShift {
    int iter;           /* of the sum, whose steps they are; or KD_UNSHIFTED */
    int64_t steps;      /* 1 where it is not shifted */
    int64_t pace;       /* a copy has every so many-th element, that columns read at its step, */
    int64_t hop, plane; /* so far behind those of the step before; elements of a copy */
} KdShift;

typedef struct KdHalo {
    KdFactor from; /* the factor itself; that of the plan is the copy */
    KdFlat across; /* its rows, or columns: all of them are in the copy */
    int64_t low[KD_MAX_RANK], size[KD_MAX_RANK], stride[KD_MAX_RANK];
    KdShift along, lines; /* of the last dim, and the one before it */
    int64_t elements;
} KdHalo;

/* Reductions behind the contraction, all over the same dims: see contract_sums.c. */
typedef struct KdSums {
    int n;
    const KdInstr **of;
    KdType left;      /* their shape */
    int64_t elements; /* of it, in whole vectors */
} KdSums;

/* Pooling behind it: see contract_pool.c. */
typedef struct KdPool {
    const KdInstr *of; /* the first reduction */
    const KdValue *x;  /* what is pooled */
    int result;        /* which of the kernel's x is, or -1 */
} KdPool;

typedef struct KdPlan KdPlan;
typedef struct KdWinograd KdWinograd; /* contract_winograd.h */
struct KdPlan {
    const KdInstr *kernel, *op; /* op: the contraction in kernel->body */
    int lanes;
    int niters, rank; /* iterators below rank are the result's dims */
    int64_t extent[KD_PLAN_ITERS];
    int64_t most[KD_PLAN_ITERS];           /* extent, with the batch at its bound */
    KdFlat group, rows, outer, inner, sum; /* columns = outer x inner, lanes run along inner */
    KdFactor s, v;
    bool c_linear;               /* result strides are constants */
    int64_t clin[KD_PLAN_ITERS]; /* result stride of each iterator, in elements */
    /* A phase of a strided adjoint: iterator i means index first[i] + step[i]·i of the result, and
     * there may be nothing to sum. Strides are those of the phase's own elements, without gaps. */
    int64_t first[KD_MAX_RANK], step[KD_MAX_RANK];
    bool empty;
    int phases; /* such phases that a unit has all of: see contract_interleave.c; 0: on their own */
    bool v_linear;   /* columns of `inner` have one stride in V, that of its last iterator */
    bool row_linear; /* rows have one stride in S and one in C: those of the last row iterator */
    int64_t row_s, row_c;
    /* Sum: iterators sum.iter[0 … level-1] step one at a time, sum.iter[level] in blocks of
     * `chunk`, those behind it are whole (`period` of them). A block has at most chunk * period =
     * kc steps. */
    int level;
    int64_t chunk, period, kc;
    bool one_block;
    bool s_packed; /* S is copied to [row][kpad] first; else read where it lies */
    bool s_tiled;  /* copied to [tile][k][row of the tile]: rows are neighbours in memory, steps far
                      apart, at k * hop */
    int64_t kpad, hop;
    bool s_line;   /* the steps of a block are neighbours in S, where it lies */
    bool s_affine; /* step k of a block is at k * s_step; else at table[k] */
    int64_t s_step;
    KdHalo *s_halo,
        *v_halo; /* read from a copy with its padding: V too, in place of panels; or NULL */
    KdSplit row_tiles, col_panels; /* in rows, in vectors */
    bool row_runs;                 /* the rows of a tile are at known distances, see split_rows */
    int64_t tiles_per_unit, panels_per_unit;
    /* Adjoint of a window: see contract_fold.c. Then this plan is of the product alone, its result
     * lies in scratch, and `fold` says how results are read from there. */
    KdPlan *fold;
    /* Or the plan is of one of the products of transformed operands: see contract_winograd.c. */
    KdWinograd *winograd;
    /* Units are so small that each would spend its time on packing: a phase that comes first packs
     * V for all of them, to scratch of the first worker. `packs`: this is that phase. */
    bool v_shared, packs;
    int64_t shared_panels; /* at most, whatever the batch */
    bool rounded;          /* operands are rounded to bf16, */
    bool bf16;             /* and multiplied in pairs: see contract_bf16.c */
    bool v_constant;       /* V is an embedded parameter: its panels are a constant, see embed.c, */
    int stream;            /* in streams of so many columns, */
    bool v_widened;        /* of a stored type that is widened panel by panel, not by each tile */
    /* Sums are made in so many parts of the batch, each of so many samples, and added up in a phase
     * that comes behind; 1: units have slices of the result, and finish them; 0: as any other sum.
     * See contract_split.c. */
    int64_t parts, part_samples;
    bool blas;       /* sgemm in place of tiles */
    bool as_written; /* --gemm=direct: no Winograd */
    bool words;      /* of bytes, four to a step: see kd_contract_words */
    bool v_signed;   /* those of V are signed, else those of S */
    bool single;     /* so little work that one task does it */
    bool joined;     /* inner has the batch in front: see contract_join.c */
    KdSums *sums;    /* NULL: none */
    KdPool *pool;    /* the same */
};

/* Where what a plan has as a constant, V or the weights of Winograd's products, lies as a
 * parameter. */
const KdValue *kd_constant_source(const KdPlan *p);
/* How often the kernel's body reads v. */
int kd_count_reads(const KdInstr *kernel, const KdValue *v);
/* The contraction of a kernel of kind "contract", NULL for any other instruction. */
const KdInstr *kd_contraction_of(const KdInstr *i);
/* An integer contraction that sums 4 bytes next to each other at the end: then its plan is that of
 * the same contraction over words of 4 bytes, whose sums lie in the f32 accumulators as bits. */
bool kd_contract_words(const KdInstr *op);
/* Has v of the kernel, or its body, the contraction's shape? */
static inline bool kd_is_whole(const KdPlan *p, const KdValue *v) {
    return kd_shape_equal(v->type, p->op->results[0]->type);
}
/* The plan of one phase of such a kernel; how many phases it has by tiles, but for the one that
 * adds up sums. */
const KdPlan *kd_plan_create(KdEmit *e, const KdInstr *kernel, int phase);
int kd_plan_phases(KdEmit *e, const KdInstr *kernel);
/* Has a unit all rows and columns of its group, or part of the batch? */
bool kd_unit_has_all(const KdPlan *p);
/* contract_direct.c: is it better off without tiles? */
bool kd_contract_direct(KdEmit *e, const KdInstr *kernel);
/* contract_taps.c: or with vectors along its sum? Then these are its tasks (i32), and one of them.
 */
bool kd_contract_taps(KdEmit *e, const KdInstr *kernel);
LLVMValueRef kd_taps_tasks(KdEmit *e, const KdInstr *kernel);
void kd_taps_emit(KdEmit *e, const KdInstr *kernel);
/* contract_stride.c: how many phases; and makes of the whole contraction, p->extent and x (a copy),
 * what one of them computes. */
int kd_stride_phases(const KdInstr *op);
void kd_stride_enter(KdPlan *p, KdContract *x, int phase);
/* contract_interleave.c: may units have all phases of which p, without its tile, is one? Makes it
 * one of them. */
bool kd_interleave_fits(KdEmit *e, const KdPlan *p, int phases);
void kd_interleave_plan(KdPlan *p, int phases);
/* contract_join.c: are planes of p, without its tile, so small that lanes are wasted on them? Makes
 * the pixels of all samples its columns, where that fills more of them. */
bool kd_has_small_planes(const KdPlan *p);
void kd_join_plan(KdPlan *p);
/* Elements of scratch that all phases take; p's place among them, and where its own elements begin.
 */
int64_t kd_interleave_elements(const KdPlan *p);
int64_t kd_interleave_place(const KdPlan *p);
int64_t kd_interleave_offset(const KdPlan *p);
static inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
/* Product of extents with the batch at its bound; does none of them depend on n? */
int64_t kd_flat_most(const KdPlan *p, const KdFlat *x);
/* Vectors of columns of a group, and streams where panels are constant. */
int64_t kd_panel_vectors(const KdPlan *p);
int64_t kd_panel_streams(const KdPlan *p);
bool kd_flat_is_static(const KdPlan *p, const KdFlat *x);
/* Moves all iterators of `from` behind those of `to`, but a dynamic one to its front. */
void kd_flat_join(const KdPlan *p, KdFlat *to, KdFlat *from);

/* contract_tile.c: chooses row_tiles, col_panels and row_runs. */
void kd_choose_tile(KdPlan *p, const KdTarget *t);
int64_t kd_split_pieces(const KdSplit *x);
/* The most pieces that `total` or less is split into. */
int64_t kd_most_pieces(const KdSplit *x, int64_t total);

/* contract_emit.c: the tasks of a phase, and one of them, by packed panels and register tiles. */
LLVMValueRef kd_contract_tasks(KdEmit *e, const KdInstr *kernel, int phase);
void kd_contract_emit(KdEmit *e, const KdInstr *kernel, int phase);

/* Do the iterators of x continue one another with strides `lin`? */
bool kd_flat_collapses(const KdPlan *p, const KdFlat *x, const int64_t *lin);

/* The emission of one contraction's task. */
typedef struct KdContraction {
    KdEmit *e;
    const KdPlan *p;
    KdEval *ev;
    KdIdx at[KD_PLAN_ITERS]; /* where each iterator stands */
    /* Run-time extents and counts, i64. */
    LLVMValueRef rows, vectors, inner_extent, inner_vectors;
    /* Scratch: packed V, packed S, sums between blocks, the product of a fold. */
    LLVMValueRef panel, spack, partial, product, vcopy;
    LLVMValueRef shared; /* packed V of all panels and groups, where units share it */
    /* Sums of the epilogue: those of all parts, of the unit's, and its running ones, the first of
     * which is row_lo's. */
    LLVMValueRef all_sums, part_sums, running, row_lo;
    int64_t first_part;          /* of the phase */
    LLVMValueRef *row_sums;      /* those of the row where c stands, in registers */
    LLVMValueRef pooled, sample; /* scratch for what is pooled; where that of the unit's lies */
    LLVMValueRef k_first, chunk_count,
        k_count; /* of the block of k at hand: its first step; steps of the chunked iterator, all */
} KdContraction;

/* One vector of columns. */
typedef struct KdColumn {
    LLVMValueRef outer;      /* i64: index in `outer` */
    LLVMValueRef first;      /* i64: index in `inner` of lane 0 */
    LLVMValueRef active;     /* <lanes x i1>, or NULL: all */
    bool masked;             /* active is any mask, else that of a tail */
    const int32_t *dead;     /* lanes that are never active, or NULL */
    KdIdx at[KD_PLAN_ITERS]; /* of outer and inner */
} KdColumn;

/* contract_index.c */
LLVMValueRef kd_flat_extent(KdEmit *e, const KdPlan *p, const KdFlat *x); /* i64, at run time */
/* Sets at[…] of x's iterators from their flattened index. */
void kd_flat_decode(KdContraction *c, const KdFlat *x, LLVMValueRef index, KdIdx *at);
/* Σ at[i] * lin[i] over x's iterators, all uniform. */
LLVMValueRef kd_flat_offset(KdEmit *e, const KdFlat *x, const KdIdx *at, const int64_t *lin);
/* contract_join.c: the vector of V there at the step where c stands; NULL where that is not pieces
 * in line. */
LLVMValueRef kd_joined_value(const KdContraction *c, const KdColumn *column);
/* Vector number `cv` of the columns. */
void kd_column_at(KdContraction *c, LLVMValueRef cv, KdColumn *out);

/* contract_unit.c: the epilogue at the row where c stands (c->at) and the columns of one vector,
 * whose contraction is `value`: evaluates and stores the results. */
void kd_contract_finish(KdContraction *c, const KdColumn *column, LLVMValueRef value);

/* pack.c: the factor's value where c->at stands, zero where the access reads outside; `lanes` 1 or
 * the target's. Memory of lanes that are not `active` (NULL: all are) is not touched. */
LLVMValueRef kd_factor_value(KdContraction *c, const KdFactor *f, int lanes, LLVMValueRef active);
/* Packs panel vectors first … first + nv - 1 of this block to c->panel as [k][nv * lanes]. */
void kd_pack_panel(const KdContraction *from, LLVMValueRef first, int nv);
/* Copies rows [lo, hi) of S of this block to c->spack as [row - lo][kpad]. */
void kd_pack_rows(const KdContraction *from, LLVMValueRef lo, LLVMValueRef hi);

/* Copies `mr` rows of S, steps of which begin at `from`, to `to` as [k][mr], of pairs for bf16. */
void kd_pack_tile(const KdContraction *c, LLVMValueRef from, LLVMValueRef to, int mr);

/* Where the lanes of one vector of columns lie in V: run s holds those with mask[s], at start[s]
 * plus the lane. */
#define KD_MAX_RUNS 4
typedef struct KdRuns {
    int n;
    LLVMValueRef mask[KD_MAX_RUNS];  /* NULL: all lanes */
    LLVMValueRef start[KD_MAX_RUNS]; /* i64 offset in V, without the common part */
    LLVMValueRef fast,
        slow;            /* <lanes x i32>: each lane's index in the last and the outer iterator */
    LLVMValueRef inside; /* table: for each tap a mask of lanes that read inside V; NULL: all do */
} KdRuns;

/* pack_fast.c: can a vector of columns be read from V as a few runs of neighbours? */
bool kd_runs_fit(const KdPlan *p);
/* Finds them, and fills the table for this block's taps. */
void kd_runs_begin(KdContraction *c, const KdColumn *column, KdRuns *r);
/* The vector at this step: V begins at `base`; `tap` is the step's number among checked iterators.
 */
LLVMValueRef kd_runs_load(KdContraction *c, const KdColumn *column, const KdRuns *r,
                          LLVMValueRef base, LLVMValueRef tap);

/* contract_split.c: is the sum, with roles as they are, to be made in parts of the batch? Sets how.
 * Cycles for each step of k, by which one choice of roles is better than another. Floats of S that
 * a step brings in. */
bool kd_split_plan(KdPlan *p);
/* Has half as many parts, or a quarter, where parts of so many elements take much memory. */
void kd_split_halve(KdPlan *p, int64_t elements);
double kd_split_cycles(const KdPlan *p);
int64_t kd_split_line(const KdPlan *p);

/* pack_halo.c: has factor f, S or V, whose rows or columns are `across`, read from such a copy,
 * once blocks are chosen, shifted by iterators of the sum that are not KD_UNSHIFTED along the last
 * dim and along the one before it; and makes it for the block at hand. Lines of at most
 * KD_LINE_VECTORS are copied without a loop, longer ones never shifted. */
#define KD_LINE_VECTORS 16
KdHalo *kd_halo_plan(KdEmit *e, const KdPlan *p, KdFactor *f, const KdFlat *across, int along,
                     int lines);
void kd_halo_copy(const KdContraction *c, const KdHalo *h, LLVMValueRef copy);

/* contract_window.c: has tiles read V from such copies where windows overlap. Before the tile is
 * chosen. */
void kd_window_plan(KdEmit *e, KdPlan *p);
/* Where a vector of columns begins in the copy, of the first step. */
LLVMValueRef kd_window_column(KdContraction *c, const KdColumn *column);

/* contract_fold.c: turns the plan of an adjoint of a window into one of product and fold, where
 * that saves work. */
void kd_fold_plan(KdEmit *e, KdPlan *p);
/* Strides of a result in scratch: rows, each of whole vectors of columns. */
void kd_lay_out_product(KdPlan *p);
/* Elements of scratch the product's result takes. */
int64_t kd_fold_elements(const KdPlan *p);
/* Sums the taps and evaluates the epilogue, for the group where c stands. */
void kd_fold_emit(KdContraction *c, LLVMValueRef product);

/* contract_sums.c: has the kernel reductions behind its contraction? In which of its phases, the
 * last one, are they added up? */
bool kd_has_sums(const KdInstr *kernel);
bool kd_is_adding_sums(KdEmit *e, const KdInstr *kernel, int phase);
LLVMValueRef kd_sums_tasks(KdEmit *e, const KdInstr *kernel);
void kd_sums_emit(KdEmit *e, const KdInstr *kernel);
/* Parts of sums that phases in front of that one leave, at most. */
int64_t kd_first_part(KdEmit *e, const KdInstr *kernel, int phase);
/* Those of the plan's kernel, NULL: none; bytes of all parts of all phases, at which the scratch of
 * a phase begins, and of a unit's running sums. */
KdSums *kd_sums_plan(KdEmit *e, const KdPlan *p);
size_t kd_sums_bytes(KdEmit *e, const KdPlan *p);
size_t kd_running_bytes(const KdPlan *p);
/* Around the epilogues of row first + r: brings its sums into registers, and back. What an
 * epilogue makes of a vector, at its point, joins them. */
void kd_sums_enter_row(KdContraction *c, LLVMValueRef first, int r);
void kd_sums_leave_row(KdContraction *c, LLVMValueRef first, int r);
void kd_sums_add(KdContraction *c, const KdPoint *at);

/* contract_pool.c: is there pooling behind the kernel's contraction? That of the plan's kernel,
 * NULL: none. May units have so many lines of planes, which run along `dim`? Elements of scratch.
 */
bool kd_has_pooling(const KdInstr *kernel);
KdPool *kd_pool_plan(KdEmit *e, const KdPlan *p);
bool kd_pool_takes_lines(const KdPlan *p, int dim, int64_t lines);
int64_t kd_pool_elements(const KdPlan *p);
/* In a unit, where c stands: before its epilogues; in one of them, at its point; and behind all of
 * them, when lines [first, end) are made (NULL: all). */
void kd_pool_enter(KdContraction *c);
void kd_pool_keep(KdContraction *c, const KdPoint *at);
void kd_pool_emit(const KdContraction *c, LLVMValueRef first, LLVMValueRef end);

/* The epilogue of the group where c, the contraction of one phase, stands, once all are made. */
void kd_interleave_emit(const KdContraction *c);

/* pack_fast.c: as kd_pack_panel; false where V does not allow it. */
bool kd_pack_panel_fast(const KdContraction *c, LLVMValueRef first, int nv);
/* pack_transpose.c: likewise. */
bool kd_pack_transposed(const KdContraction *c, LLVMValueRef first, int nv);

/* contract_bf16.c: two steps of k become one element of 32 bits, a pair of bf16, in the same place;
 * a last step without another is paired with zero. */
LLVMValueRef kd_bf16_steps(KdEmit *e, LLVMValueRef steps); /* pairs in so many steps */
/* Of c->panel; of rows [lo, hi) in c->spack. Steps lie there as f32, or where they lie in memory:
 * those of the panel's vectors from `first` on (NULL: there), of the block of S at s_base. */
bool kd_bf16_has_lines(const KdPlan *p);
void kd_bf16_panel(const KdContraction *from, LLVMValueRef first, int nv);
void kd_bf16_rows(const KdContraction *c, LLVMValueRef s_base, LLVMValueRef lo, LLVMValueRef hi);
/* Pairs of two steps' values, <lanes x f32> each, as so many f32 that are never read as such. */
LLVMValueRef kd_bf16_pair(KdEmit *e, LLVMValueRef even, LLVMValueRef odd);
/* acc + the products of a's and b's pairs, the odd ones first. */
LLVMValueRef kd_bf16_multiply_add(KdEmit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc);

/* Memory that is wanted soon: so many cache lines of it at a time, anew every `pace` steps of a
 * tile (a power of two). */
typedef struct KdFetch {
    LLVMValueRef first;
    int lines;
    int64_t pace, step; /* bytes from one time to the next, */
    int64_t run, hop;   /* and from run to run, of so many times; 0: one run */
} KdFetch;

/* microkernel.c: one register tile. acc[r * nv + v] comes in and goes out as <lanes x f32>. */
typedef struct KdTile {
    int mr, nv;
    bool words, v_signed; /* bytes, and it is V's that are signed */
    LLVMValueRef panel; /* packed V: vectors of a step are neighbours, `step` further at the next */
    int64_t step;
    /* or NULL: where vectors begin, and i32 offsets of steps, or NULL: as above */
    LLVMValueRef column[KD_MAX_NV], column_table;
    LLVMValueRef row[KD_MAX_MR]; /* where each row of S begins */
    LLVMValueRef table;          /* i32 offsets of the steps, or NULL: step * stride */
    int64_t stride;
    LLVMValueRef count; /* i64 steps, at least 1 */
    bool bf16;          /* steps are pairs */
    KdDtype stored;     /* what V's elements lie there as, if not as f32 */
    KdFetch fetch[KD_MAX_FETCHES];
    int nfetches;
    LLVMValueRef acc[KD_MAX_MR * KD_MAX_NV];
} KdTile;
void kd_tile_run(KdEmit *e, KdTile *t);
/* The vectors of V at one step. */
void kd_tile_columns(KdEmit *e, const KdTile *t, LLVMValueRef index, LLVMValueRef *v);
/* prefetch.c: what the tile asked kd_prefetch_tile (contract_unit.h) for, at a step. */
void kd_prefetch_step(KdEmit *e, const KdTile *t, LLVMValueRef index);
/* Is a tensor larger than the caches that a core has for itself? */
bool kd_is_large(const KdEmit *e, KdType t);
/* Has the line at p brought into the second-level cache, to be read. */
void kd_emit_prefetch(KdEmit *e, LLVMValueRef p);

/* contract_blas.c: rows [lo, hi) of S times the packed panel of nv vectors, added to sums at `to`,
 * rows of which are `width` apart. */
void kd_blas_panel(KdContraction *c, LLVMValueRef s, LLVMValueRef rows, int nv, LLVMValueRef to);

#endif
