/*
 * The adjoint rules, one per row of the op table. In each, y is the result, dy its adjoint, and
 * the rule's first line is its formula. The rules of affine accesses (view, contract) are in
 * adjoint_access.c.
 */
#include "passes/autodiff.h"

typedef KdGrad G;
typedef const KdInstr I;
typedef KdValue V;

static V *zeros(G *g, const V *like) {
    return kd_constant_like(g->b, like, 0);
}

/* C leaves the order of argument evaluation open, and instructions must come in one order: no call
 * below has more than one argument that appends. */
static V *number(G *g, const V *like, double value) {
    return kd_constant_like(g->b, like, value);
}

static V *binary(G *g, KdOp op, V *x, V *y) {
    return kd_binary(g->b, op, x, y);
}

static V *select(G *g, V *c, V *x, V *y) {
    return kd_select(g->b, c, x, y);
}

/* --- elementwise ---------------------------------------------------------------------------- */

/* y = -a: da = -dy */
static bool grad_neg(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], kd_unary(g->b, KD_OP_NEG, dy));
}

/* y = |a|: da = dy where a > 0, -dy where a < 0, 0 at 0 */
static bool grad_abs(G *g, I *i, V *dy) {
    V *a = i->args[0], *zero = zeros(g, a);
    V *down = kd_unary(g->b, KD_OP_NEG, dy);
    V *below = select(g, binary(g, KD_OP_LT, a, zero), down, zero);
    return kd_grad_add(g, a, select(g, binary(g, KD_OP_LT, zero, a), dy, below));
}

/* y = e^a: da = dy · y */
static bool grad_exp(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], binary(g, KD_OP_MUL, dy, i->results[0]));
}

/* y = log a: da = dy / a */
static bool grad_log(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], binary(g, KD_OP_DIV, dy, i->args[0]));
}

/* y = tanh a: da = dy · (1 - y²) */
static bool grad_tanh(G *g, I *i, V *dy) {
    V *y = i->results[0];
    V *square = binary(g, KD_OP_MUL, y, y);
    V *slope = binary(g, KD_OP_SUB, number(g, y, 1), square);
    return kd_grad_add(g, i->args[0], binary(g, KD_OP_MUL, dy, slope));
}

/* y = √a: da = dy · ½ / y */
static bool grad_sqrt(G *g, I *i, V *dy) {
    V *y = i->results[0];
    V *slope = binary(g, KD_OP_DIV, number(g, y, 0.5), y);
    return kd_grad_add(g, i->args[0], binary(g, KD_OP_MUL, dy, slope));
}

/* y = sin a: da = dy · cos a */
static bool grad_sin(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0],
                       binary(g, KD_OP_MUL, dy, kd_unary(g->b, KD_OP_COS, i->args[0])));
}

/* y = cos a: da = -dy · sin a */
static bool grad_cos(G *g, I *i, V *dy) {
    V *down = kd_unary(g->b, KD_OP_NEG, dy);
    return kd_grad_add(g, i->args[0],
                       binary(g, KD_OP_MUL, down, kd_unary(g->b, KD_OP_SIN, i->args[0])));
}

/* y = cast a: da = dy between floats; integers have no adjoint (they are never active) */
static bool grad_cast(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], dy);
}

/* y = a + b: da = dy, db = dy */
static bool grad_add(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], dy) && kd_grad_add(g, i->args[1], dy);
}

/* y = a - b: da = dy, db = -dy */
static bool grad_sub(G *g, I *i, V *dy) {
    if (!kd_grad_add(g, i->args[0], dy)) return false;
    if (!kd_grad_wants(g, i->args[1])) return true;
    return kd_grad_add(g, i->args[1], kd_unary(g->b, KD_OP_NEG, dy));
}

/* y = a · b: da = dy · b, db = dy · a */
static bool grad_mul(G *g, I *i, V *dy) {
    V *a = i->args[0], *b = i->args[1];
    if (kd_grad_wants(g, a) && !kd_grad_add(g, a, binary(g, KD_OP_MUL, dy, b))) return false;
    return !kd_grad_wants(g, b) || kd_grad_add(g, b, binary(g, KD_OP_MUL, dy, a));
}

/* y = a / b: da = dy / b, db = -dy · y / b */
static bool grad_div(G *g, I *i, V *dy) {
    V *a = i->args[0], *b = i->args[1];
    V *over = binary(g, KD_OP_DIV, dy, b);
    if (!over || !kd_grad_add(g, a, over)) return false;
    if (!kd_grad_wants(g, b)) return true;
    V *up = binary(g, KD_OP_MUL, over, i->results[0]);
    return up && kd_grad_add(g, b, kd_unary(g->b, KD_OP_NEG, up));
}

/* y = a ^ b: da = dy · b · a^(b-1), db = dy · y · log a where a > 0, else 0 */
static bool grad_pow(G *g, I *i, V *dy) {
    V *a = i->args[0], *b = i->args[1];
    if (kd_grad_wants(g, a)) {
        V *less = binary(g, KD_OP_SUB, b, number(g, b, 1));
        V *slope = binary(g, KD_OP_MUL, b, binary(g, KD_OP_POW, a, less));
        if (!kd_grad_add(g, a, binary(g, KD_OP_MUL, dy, slope))) return false;
    }
    if (!kd_grad_wants(g, b)) return true;
    V *positive = binary(g, KD_OP_LT, zeros(g, a), a);
    V *log = kd_unary(g->b, KD_OP_LOG, select(g, positive, a, number(g, a, 1)));
    return kd_grad_add(g, b, binary(g, KD_OP_MUL, dy, binary(g, KD_OP_MUL, i->results[0], log)));
}

/* dy goes to x where c holds and to y where it does not. */
static bool split(G *g, V *c, V *dy, V *x, V *y) {
    V *zero = zeros(g, dy);
    if (kd_grad_wants(g, x) && !kd_grad_add(g, x, select(g, c, dy, zero))) return false;
    return !kd_grad_wants(g, y) || kd_grad_add(g, y, select(g, c, zero, dy));
}

/* y = max(a, b): da = dy where a > b, db = dy elsewhere. a > b is y > b, and asking y lets relu's
 * input go as soon as its result is there. */
static bool grad_max(G *g, I *i, V *dy) {
    V *a = i->args[0], *b = i->args[1];
    return split(g, binary(g, KD_OP_LT, b, i->results[0]), dy, a, b);
}

/* y = min(a, b): da = dy where a < b, which is y < b, db = dy elsewhere */
static bool grad_min(G *g, I *i, V *dy) {
    V *a = i->args[0], *b = i->args[1];
    return split(g, binary(g, KD_OP_LT, i->results[0], b), dy, a, b);
}

/* y = c ? a : b: da = dy where c holds, db = dy elsewhere */
static bool grad_select(G *g, I *i, V *dy) {
    return split(g, i->args[0], dy, i->args[1], i->args[2]);
}

/* y = a, shown while running: da = dy */
static bool grad_print(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], dy);
}

/* --- movement ------------------------------------------------------------------------------- */

/* y = a in another shape: da = dy in a's shape */
static bool grad_reshape(G *g, I *i, V *dy) {
    KdType t = i->args[0]->type;
    return kd_grad_add(g, i->args[0], kd_reshape(g->b, dy, t.rank, t.dim));
}

static bool grad_view(G *g, I *i, V *dy) {
    return kd_grad_view(g, i, dy);
}

/* y = operands along axis: each gets its slice of dy */
static bool grad_concat(G *g, I *i, V *dy) {
    int64_t axis = kd_attr_int(i->attrs, "axis", 0), start[KD_MAX_RANK] = { 0 };
    for (int k = 0; k < i->nargs; k++) {
        V *x = i->args[k];
        if (kd_grad_wants(g, x) && !kd_grad_add(g, x, kd_slice(g->b, dy, start, x->type.dim)))
            return false;
        start[axis] += x->type.dim[axis];
    }
    return true;
}

/* y[m,…] = table[index[m],…]: dtable[r,…] = Σ over m with index[m] = r of dy[m,…] */
static bool grad_gather(G *g, I *i, V *dy) {
    V *table = i->args[0];
    if (!kd_grad_wants(g, table)) return true;
    if (table->type.dim[0] < 0)
        return kd_error(g->b->diag, i->loc,
                        "autodiff: a gather from rows of the batch cannot be differentiated");
    return kd_grad_add(g, table, kd_scatter_add(g->b, dy, i->args[1], table->type.dim[0]));
}

/* y[r,…] = Σ over m with index[m] = r of rows[m,…]: drows[m,…] = dy[index[m],…] */
static bool grad_scatter(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], kd_gather(g->b, dy, i->args[1]));
}

/* y = operands flattened at aligned offsets: each gets its part of dy, in its shape */
static bool grad_slab(G *g, I *i, V *dy) {
    int64_t start = 0;
    for (int k = 0; k < i->nargs; k++) {
        V *x = i->args[k];
        int64_t elements = kd_type_elements(x->type, 1, 1);
        if (kd_grad_wants(g, x)) {
            V *part = kd_slice(g->b, dy, &start, &elements);
            if (!part || !kd_grad_add(g, x, kd_reshape(g->b, part, x->type.rank, x->type.dim)))
                return false;
        }
        start += (elements + KD_SLAB_ALIGN - 1) / KD_SLAB_ALIGN * KD_SLAB_ALIGN;
    }
    return true;
}

/* --- reductions and products ---------------------------------------------------------------- */

/* r, which lacks i's axes, repeated along them in the shape of i's operand. */
static V *spread(G *g, I *i, V *r) {
    int map[KD_MAX_RANK], n = 0;
    KdType like = kd_type_with_dtype(i->args[0]->type, r->type.dtype);
    for (int k = 0; k < like.rank; k++)
        if (!kd_reduces(i, k)) map[n++] = k;
    return kd_broadcast(g->b, r, like, map);
}

/* y = Σ a over axes: da = dy, the same for all that were summed */
static bool grad_reduce_sum(G *g, I *i, V *dy) {
    return kd_grad_add(g, i->args[0], spread(g, i, dy));
}

/* n, the rows of the batch, at each element of an i32[…]. */
static V *rows_like(G *g, KdType t) {
    return kd_broadcast(g->b, kd_cast(g->b, kd_rows(g->b), KD_I32), t, NULL);
}

/* The row-major index of each of t's elements within i's axes, i32. */
static V *index_in_axes(G *g, I *i, KdType t) {
    V *sum = NULL;
    int64_t stride = 1;    /* of the dims behind that have an extent */
    bool behind_b = false; /* and one of them is the batch */
    t.dtype = KD_I32;
    for (int k = t.rank - 1; k >= 0; k--) {
        if (!kd_reduces(i, k)) continue;
        V *at = kd_iota(g->b, t, k);
        if (at && stride != 1) at = binary(g, KD_OP_MUL, at, number(g, at, (double)stride));
        if (at && behind_b) at = binary(g, KD_OP_MUL, at, rows_like(g, t));
        sum = sum ? binary(g, KD_OP_ADD, sum, at) : at;
        behind_b |= t.dim[k] == KD_BATCH;
        if (t.dim[k] != KD_BATCH) stride *= t.dim[k];
    }
    return sum;
}

/* y = max a over axes: da = dy at the first maximal element, 0 elsewhere */
static bool grad_reduce_max(G *g, I *i, V *dy) {
    V *a = i->args[0];
    KdInstr *argmax = kd_instr_create(g->b, KD_OP_ARGMAX, 1, &a);
    argmax->attrs = kd_attr_clone(g->b->f->module->arena, i->attrs);
    V *first = kd_instr_finish(g->b, argmax, NULL);
    V *at = first ? index_in_axes(g, i, a->type) : NULL;
    if (!at) return false;
    V *hit = binary(g, KD_OP_EQ, at, spread(g, i, first));
    V *zero = zeros(g, a);
    return kd_grad_add(g, a, select(g, hit, spread(g, i, dy), zero));
}

static bool grad_contract(G *g, I *i, V *dy) {
    return kd_grad_contract(g, i, dy);
}

/* --- structure ------------------------------------------------------------------------------ */

/* Calls are inlined before, and kernels are what fuse leaves: neither has a derivative here. */
static bool grad_structure(G *g, I *i, V *dy) {
    (void)dy;
    return kd_error(g->b->diag, i->loc,
                    "autodiff: a %s cannot be differentiated, only what it holds",
                    kd_op_text(i->op));
}

/* --- the table ------------------------------------------------------------------------------ */

#define grad_none NULL
static KdGradRule *const rules[KD_NUM_OPS] = {
#define KD_OP(e, text, nargs, infer, adjoint, ...) [KD_OP_##e] = grad_##adjoint,
#include "ir/ops.def"
};

KdGradRule *kd_grad_rule(KdOp op) {
    return rules[op];
}
