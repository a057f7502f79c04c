/*
 * The intermediate representation: SSA over tensors.
 *
 * A module holds functions; a function is a list of instructions in order; an instruction applies
 * an op of ir/ops.def to values and defines its result values. There is no control flow at this
 * level: loops live inside kernels. Functions are pure: parameters and optimiser state go in and
 * come out, and memory planning makes that in-place.
 *
 *   tensor level   any op; what frontend and most passes see
 *   kernel level   after `fuse`: only kernels, and aliases (reshape, contiguous view, slab),
 *                  remain. A kernel's body is a KdFunc of tensor-level ops, its arguments bound to
 *                  the kernel's operands by position. So one interpreter gives both levels
 *                  a meaning.
 *
 * Letters used for locals throughout: m module, f function, i instruction, v value, t type,
 * a arena, d diagnostics, b builder, n count.
 */
#ifndef KD_IR_IR_H
#define KD_IR_IR_H

#include "ir/access.h"
#include "ir/arena.h"
#include "ir/diag.h"
#include "ir/ops.h"
#include "ir/target.h"
#include "ir/type.h"

typedef struct KdModule KdModule;
typedef struct KdFunc KdFunc;
typedef struct KdInstr KdInstr;
typedef struct KdValue KdValue;

/* --- attributes: `{ axis = 1, stream = "noise" }` ------------------------------------------ */

typedef enum KdAttrKind { KD_ATTR_INT, KD_ATTR_NUM, KD_ATTR_STR, KD_ATTR_INTS } KdAttrKind;

typedef struct KdAttr KdAttr;
struct KdAttr {
    const char *name;
    KdAttrKind kind;
    int64_t i;
    double num; /* printed in 9 digits: an f32 survives the round trip */
    const char *str;
    int nints;
    const int64_t *ints;
    KdAttr *next; /* kept in the order in which they were set */
};

const KdAttr *kd_attr_find(const KdAttr *list, const char *name);
int64_t kd_attr_int(const KdAttr *list, const char *name, int64_t absent);
double kd_attr_num(const KdAttr *list, const char *name, double absent); /* int or num */
const char *kd_attr_str(const KdAttr *list, const char *name, const char *absent);
/* Setters replace an attribute of the same name. Names and strings are copied into the pool. */
void kd_attr_set_int(KdArena *a, KdAttr **list, const char *name, int64_t value);
void kd_attr_set_num(KdArena *a, KdAttr **list, const char *name, double value);
void kd_attr_set_str(KdArena *a, KdAttr **list, const char *name, const char *value);
void kd_attr_set_ints(KdArena *a, KdAttr **list, const char *name, int n, const int64_t *value);
KdAttr *kd_attr_clone(KdArena *a, const KdAttr *list);
/* A list against a row such as "axis:int,fill:num?"; `what` begins the message. Passes check their
 * options with it, kd_check_attrs an instruction. */
bool kd_check_attr_list(const KdAttr *list, const char *row, const char *what, KdLoc loc,
                        KdDiag *d);
bool kd_check_attrs(const KdInstr *i, KdDiag *d);

/* --- values -------------------------------------------------------------------------------- */

/* Where plan-memory put a value. */
typedef enum KdPlace {
    KD_PLACE_NONE,  /* not planned yet; inside kernel bodies: registers */
    KD_PLACE_ARENA, /* `offset` bytes into the function's arena */
    KD_PLACE_ARG,   /* `offset` bytes into the memory of argument number `base` */
    KD_PLACE_RESULT /* `offset` bytes into the memory of result number `base` */
} KdPlace;

typedef struct KdBuffer {
    KdPlace place;
    int base;
    int64_t offset;
} KdBuffer;

struct KdValue {
    KdType type;
    const char *name; /* without '%'; unique in its function */
    int id;           /* 0 .. func->nvalues - 1, for side tables */
    KdInstr *def;     /* NULL: an argument of `func` */
    int index;        /* which result of `def`, or which argument */
    KdFunc *func;
    const char *kind; /* arguments: what the driver binds (see KD_ARG_…); NULL otherwise */
    KdLoc loc;
    KdBuffer buffer;
};

/* What an argument is, so that driver and generated loops can bind it. Printed behind its type. */
#define KD_ARG_INPUT "input" /* given by the caller: x of @student */
#define KD_ARG_DATA  "data"  /* a whole data set array u8/f32/i32 [N,…]; its name is the array's */
#define KD_ARG_INDEX "index" /* i32[B]: the data set rows of this batch */
#define KD_ARG_EPOCH "epoch" /* i32 */
#define KD_ARG_STEP  "step"  /* i32: steps done since training began */
#define KD_ARG_PARAM "param" /* a parameter of the module, named <network>.<parameter> */
#define KD_ARG_SLAB  "slab"  /* f32[P]: all trained parameters, their gradients, a state */

/* --- instructions -------------------------------------------------------------------------- */

/* contract: result dims are d0…; `over` adds the summed iterators behind them, in order. */
typedef struct KdContract {
    int nover;
    int64_t over[KD_MAX_ITERS]; /* extents, possibly KD_BATCH */
    KdAccess a, b;
} KdContract;

struct KdInstr {
    KdOp op;
    int nargs;
    KdValue **args;
    int nresults;
    KdValue **results;
    KdAttr *attrs;
    KdAccess *access;     /* view only: iterators are the result's dims */
    KdContract *contract; /* contract only */
    KdFunc *body;         /* kernel only */
    const char *role;     /* "teacher", "student", "loss", "noise", "gradient", "update" or NULL */
    const char *site;     /* a named point of the network, where noise may be injected, or NULL */
    KdLoc loc;
    KdFunc *func;
    KdInstr *prev, *next;
};

/* --- functions ----------------------------------------------------------------------------- */

struct KdFunc {
    KdModule *module;
    const char *name; /* without '@' */
    int nargs;
    KdValue **args;
    int nresults;
    KdValue **results; /* values returned, in order */
    int *in_place;     /* per result: the argument whose memory it takes over, or -1; may be NULL */
    int64_t max_batch; /* bound of KD_BATCH; 0: no dynamic extent */
    int64_t arena_bytes; /* set by plan-memory */
    bool planned;
    KdInstr *first, *last;
    int nvalues;
    KdInstr *owner; /* the kernel whose body this is, or NULL */
    KdLoc loc;
    KdFunc *next;
    void *names; /* the set of names in use */
};

/* --- modules ------------------------------------------------------------------------------- */

typedef struct KdHyper {
    const char *name;
    double value;
    KdLoc loc;
} KdHyper;

/* A network's parameter. Slabs hold the parameters of one network in module order, each at the
 * next multiple of KD_SLAB_ALIGN elements: kd_slab_offset. Running statistics, which @objective
 * renews and no gradient reaches, lie behind all others. The gaps between them hold zeros, and no
 * optimiser changes that. */
#define KD_SLAB_ALIGN 16
typedef struct KdParam {
    const char *network; /* "student" */
    const char *name;    /* "fc1.weight", PyTorch's name; the value is %student.fc1.weight */
    KdType type;
    const char *init; /* "he_uniform", …: the laws of runtime/init.h, or "constant" */
    int64_t fan_in, fan_out;
    double value;   /* of "constant" */
    bool running;   /* a running statistic: not trained */
    bool auxiliary; /* of a loss: trained beside the network, and no part of it */
    /* What is known of values that are given: indices along dim 0 and 1 where all are zero
     * (zero_rows, zero_columns), elements of a vector that are at most 0 (negative). */
    KdAttr *facts;
    KdLoc loc;
} KdParam;

struct KdModule {
    KdArena *arena;
    KdTarget target;
    const char *source; /* script it came from, or NULL */
    int nhypers;
    KdHyper **hypers;
    int nparams;
    KdParam **params;
    KdFunc *first, *last; /* functions in order */
    KdAttr *program;      /* the training: batch, epochs, seed, optimizer, trained = network, … */
};

/* --- building ------------------------------------------------------------------------------ */

/* A module owns a new arena; kd_module_destroy drops everything in it. */
KdModule *kd_module_create(const char *source);
void kd_module_destroy(KdModule *m);

/* Index of the hyperparameter of that name, or -1; add returns the index (of the old one, whose
 * value it replaces, when the name is known). */
int kd_module_hyper(const KdModule *m, const char *name);
int kd_module_add_hyper(KdModule *m, const char *name, double value, KdLoc loc);
KdParam *kd_module_add_param(KdModule *m, const char *network, const char *name, KdType type);
void kd_module_drop_auxiliary(KdModule *m); /* when no function reads them any more */
KdParam *kd_module_param(const KdModule *m, const char *network, const char *name);
KdParam *kd_param_of_value(const KdModule *m, const KdValue *v); /* "<network>.<name>", or NULL */
/* Element offset of a parameter in its network's slab, the slab's length, and the length of the
 * part of it that is trained. */
int64_t kd_slab_offset(const KdModule *m, const KdParam *p);
int64_t kd_slab_elements(const KdModule *m, const char *network);
int64_t kd_slab_trained(const KdModule *m, const char *network);
/* First element of operand `k` within the result of slab `i`. */
int64_t kd_slab_operand_offset(const KdInstr *i, int k);

KdFunc *kd_module_func(const KdModule *m, const char *name);              /* or NULL */
KdFunc *kd_func_create(KdModule *m, const char *name, int64_t max_batch); /* appended */
void kd_func_remove(KdModule *m, KdFunc *f);
/* A function that is not in the module's list: the body of a kernel that will stand in `outer`.
 * kd_instr_finish of the kernel makes it the body's owner. */
KdFunc *kd_body_create(KdFunc *outer);
KdValue *kd_func_add_arg(KdFunc *f, const char *name, KdType t, const char *kind);
KdValue *kd_func_arg(const KdFunc *f, const char *name);      /* or NULL */
KdValue *kd_func_arg_kind(const KdFunc *f, const char *kind); /* the first of that kind, or NULL */
/* The argument for a parameter, added on first use. */
KdValue *kd_func_param(KdFunc *f, const KdParam *p);
void kd_func_set_results(KdFunc *f, int n, KdValue *const *values);
/* `wanted`, or `wanted.1`, `wanted.2`, … when taken; recorded as taken. */
const char *kd_func_unique_name(KdFunc *f, const char *wanted);
void kd_value_rename(KdValue *v, const char *wanted);

/* Where new instructions go, and what they inherit. */
typedef struct KdBuilder {
    KdFunc *f;
    KdInstr *before; /* insert in front of this; NULL: at the end */
    KdDiag *diag;
    KdLoc loc;
    const char *role;
    const char
        *name; /* wanted name of the next result; NULL: made from the op; cleared after use */
} KdBuilder;

KdBuilder kd_builder(KdFunc *f, KdDiag *d);

/* Low level: an instruction with its results left to the shape rule; attrs, access, contract, body
 * are set before kd_instr_finish, which infers and checks result types (`hint` gives the result
 * type where the rule needs it: view, reshape, cast, constant, iota, rng, contract; else NULL) and
 * inserts. Returns the first result, or NULL after a kd_error that names op, shapes and the
 * operands' places. */
KdInstr *kd_instr_create(KdBuilder *b, KdOp op, int nargs, KdValue *const *args);
KdValue *kd_instr_finish(KdBuilder *b, KdInstr *i, const KdType *hint);

/* One call per form of op. NULL operands give NULL (an error was said already). */
KdValue *kd_unary(KdBuilder *b, KdOp op, KdValue *x);
/* Operands of one shape, or one of them a scalar, which is broadcast by a view. */
KdValue *kd_binary(KdBuilder *b, KdOp op, KdValue *x, KdValue *y);
KdValue *kd_select(KdBuilder *b, KdValue *c, KdValue *x, KdValue *y);
KdValue *kd_cast(KdBuilder *b, KdValue *x, KdDtype to);
KdValue *kd_constant(KdBuilder *b, KdType t, double value);
KdValue *kd_constant_like(KdBuilder *b, const KdValue *x, double value); /* x's type */
KdValue *kd_iota(KdBuilder *b, KdType t, int axis);
KdValue *kd_rows(KdBuilder *b);
KdValue *kd_hyper(KdBuilder *b, const char *name);
KdValue *kd_rng(KdBuilder *b, KdOp op, KdValue *index, KdValue *epoch, KdType t,
                const char *stream);
KdValue *kd_reshape(KdBuilder *b, KdValue *x, int rank, const int64_t *dim);
KdValue *kd_view(KdBuilder *b, KdValue *x, int rank, const int64_t *dim, const KdAccess *access,
                 double fill);
/* Special views. kd_broadcast: x's dim k becomes result dim map[k]. kd_slice: [start, start + dim)
 * per dim. kd_transpose: result dim k is x's dim order[k]. */
KdValue *kd_broadcast(KdBuilder *b, KdValue *x, KdType like, const int *map);
KdValue *kd_transpose(KdBuilder *b, KdValue *x, const int *order);
KdValue *kd_slice(KdBuilder *b, KdValue *x, const int64_t *start, const int64_t *dim);
KdValue *kd_concat(KdBuilder *b, int n, KdValue *const *xs, int axis);
KdValue *kd_gather(KdBuilder *b, KdValue *table, KdValue *index);
KdValue *kd_scatter_add(KdBuilder *b, KdValue *rows, KdValue *index, int64_t nrows);
KdValue *kd_slab(KdBuilder *b, int n, KdValue *const *xs);
KdValue *kd_reduce(KdBuilder *b, KdOp op, KdValue *x, int naxes, const int *axes);
/* kd_contract_like: with the attributes of another contraction (NULL: none), as how it rounds. */
KdValue *kd_contract_like(KdBuilder *b, const KdInstr *like, KdValue *x, KdValue *y, int rank,
                          const int64_t *dim, const KdContract *c);
KdValue *kd_contract(KdBuilder *b, KdValue *x, KdValue *y, int rank, const int64_t *dim,
                     const KdContract *c);
/* x [M,K] times y transposed [N,K] -> [M,N]. */
KdValue *kd_matmul_nt(KdBuilder *b, KdValue *x, KdValue *y);
KdValue *kd_print(KdBuilder *b, KdValue *x, const char *label);
/* results: room for the callee's nresults values, filled in. */
bool kd_call(KdBuilder *b, KdFunc *callee, KdValue *const *args, KdValue **results);

/* --- rewriting ----------------------------------------------------------------------------- */

/* Does reduction i go over that dim of its operand? */
bool kd_reduces(const KdInstr *i, int dim);
/* behind.c: may it stand behind a contraction, in its kernel? Because it goes over all dims of the
 * result that one operand alone is read at, the batch and the last among them, and leaves those of
 * the other; or over windows that lie side by side in the planes of each sample. */
bool kd_reduces_side(const KdInstr *contraction, const KdInstr *reduction);
bool kd_pools(const KdInstr *contraction, const KdInstr *reduction);
/* How many elements such a window has along a dim of the contraction. */
int64_t kd_pool_window(const KdInstr *reduction, int dim);
void kd_instr_remove(KdInstr *i);                      /* unlinks; its results must be unused */
void kd_instr_move_before(KdInstr *i, KdInstr *where); /* where NULL: to the end */
/* Every use of `old` in instructions and results of its function reads `by` instead. */
void kd_replace_uses(KdValue *old, KdValue *by);
/* Number of uses per value id (function results count as one each), in `a`. */
int *kd_count_uses(const KdFunc *f, KdArena *a);
/* Removes what nobody reads: instructions without effect, and then data and parameters among the
 * arguments. Scratch memory comes from `a`. */
void kd_func_drop_dead(KdFunc *f, KdArena *a);
/* Copies instruction i with its operands looked up in map[value id] (NULL: the same value). Used to
 * clone and to inline; fills map for the results. */
KdInstr *kd_instr_clone(KdBuilder *b, const KdInstr *i, KdValue **map);
/* Inserts the callee's instructions at the builder; args replace its arguments. Result names are
 * prefixed by `prefix` + "." where given. Locations and sites are kept; roles too, unless b->role
 * is set. */
void kd_inline(KdBuilder *b, const KdFunc *callee, KdValue *const *args, const char *prefix,
               KdValue **results);
/* Inlines all calls in f, and those that they bring; with names of the callee's as prefixes or
 * without. False, with an error, where f would grow beyond measure. */
bool kd_inline_calls(KdFunc *f, bool prefixed, KdDiag *d);
KdFunc *kd_func_clone(KdFunc *f, const char *name);

#define KD_EACH_INSTR(i, f) for (KdInstr *i = (f)->first; i; i = i->next)
#define KD_EACH_FUNC(f, m)  for (KdFunc *f = (m)->first; f; f = f->next)

#endif
