/*
 * Panels of V by transposes, where steps of k are neighbours in memory and columns are not:
 *
 *     column 0   k0 k1 k2 …             panel  k0: c0 c1 c2 …
 *     column 1   k0 k1 k2 …      ->            k1: c0 c1 c2 …
 *     …                                        …
 *
 * Each column of a vector is loaded along k, and a square of lanes x lanes is transposed in
 * registers. Where columns are irregular (the taps of a filter), tables made at compile time say
 * where each of them lies, and what it adds to a padded dim's index.
 */
#include "backend/arith.h"
#include "backend/contract.h"

#define MAX_LANES 16

static bool transpose_fits(const KdPlan *p) {
    if (!p->v.memory || !p->v.linear || p->inner.n == 0 ||
        p->v.lin[p->sum.iter[p->sum.n - 1]] != 1 || p->lanes > MAX_LANES || p->lanes < 2)
        return false;
    bool is_static = true;
    for (int k = 0; k < p->inner.n; k++) is_static &= p->extent[p->inner.iter[k]] != KD_BATCH;
    for (int d = 0; d < p->v.type.rank; d++)
        if (p->v.checked[d] && (p->v.type.dim[d] < 0 || !is_static)) return false;
    return p->v_linear || (is_static && kd_flat_most(p, &p->inner) <= 1 << 16);
}

/* --- columns ---------------------------------------------------------------------------------- */

/* Σ of weight[…] over the iterators of `inner` at flattened index `column`. */
static int64_t weigh(const KdPlan *p, int64_t column, const int64_t *weight) {
    int64_t sum = 0;
    for (int k = p->inner.n - 1; k >= 0; k--) {
        int64_t extent = p->extent[p->inner.iter[k]];
        sum += column % extent * weight[p->inner.iter[k]];
        column /= extent;
    }
    return sum;
}

/* A constant i32 table of that sum for every column; the last one repeats up to whole vectors. */
static LLVMValueRef column_table(KdContraction *c, const int64_t *weight) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int64_t columns = kd_flat_most(p, &p->inner);
    int64_t padded = (columns + p->lanes - 1) / p->lanes * p->lanes;
    LLVMValueRef *entry = KD_NEW_ARRAY(e->arena, LLVMValueRef, padded);
    for (int64_t k = 0; k < padded; k++)
        entry[k] = kd_emit_i32(e, weigh(p, k < columns ? k : columns - 1, weight));
    return kd_emit_table(e, "columns", entry, padded);
}

static LLVMValueRef table_at(KdEmit *e, LLVMValueRef table, LLVMValueRef index) {
    return kd_emit_load(e, e->i32, 1, kd_emit_element(e, e->i32, table, index), NULL);
}

/* --- one vector of columns -------------------------------------------------------------------- */

typedef struct Square {
    KdContraction *c;
    KdColumn column;
    LLVMValueRef base;   /* pointer to V */
    LLVMValueRef places; /* table of offsets, or NULL: columns are `pitch` apart */
    int64_t pitch;
    LLVMValueRef index[KD_MAX_RANK];  /* tables for checked dims, else NULL */
    LLVMValueRef common[KD_MAX_RANK]; /* i32: the rest of their index, at step 0 of the run */
    LLVMValueRef offset;              /* i64: of the run, without the column */
} Square;

static int64_t coefficient(const KdIndex *x, int iter) {
    for (int k = 0; k < x->nterms; k++)
        if (x->term[k].iter == iter) return x->term[k].coeff;
    return 0;
}

static void prepare_tables(Square *q) {
    const KdPlan *p = q->c->p;
    q->base = kd_emit_base(q->c->e, p->v.memory);
    q->pitch = p->v.lin[p->inner.iter[p->inner.n - 1]];
    q->places = p->v_linear ? NULL : column_table(q->c, p->v.lin);
    for (int d = 0; d < p->v.type.rank; d++) {
        int64_t weight[KD_PLAN_ITERS] = { 0 };
        q->index[d] = NULL;
        if (!p->v.checked[d]) continue;
        for (int k = 0; k < p->inner.n; k++)
            weight[p->inner.iter[k]] = coefficient(&p->v.access->dim[d], p->inner.iter[k]);
        q->index[d] = column_table(q->c, weight);
    }
}

/* What the run at hand adds, for all columns. */
static void enter_run(Square *q) {
    KdContraction *c = q->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    KdIdx at[KD_PLAN_ITERS];
    for (int k = 0; k < KD_PLAN_ITERS; k++) at[k] = c->at[k];
    for (int k = 0; k < p->outer.n; k++) at[p->outer.iter[k]] = q->column.at[p->outer.iter[k]];
    q->offset = add(e, kd_emit_i64(e, p->v.offset), kd_flat_offset(e, &p->group, at, p->v.lin));
    q->offset = add(e, q->offset, kd_flat_offset(e, &p->outer, at, p->v.lin));
    q->offset = add(e, q->offset, kd_flat_offset(e, &p->sum, at, p->v.lin));
    for (int d = 0; d < p->v.type.rank; d++) {
        if (!p->v.checked[d]) continue;
        const KdIndex *x = &p->v.access->dim[d];
        LLVMValueRef sum = kd_emit_i64(e, x->offset);
        for (int k = 0; k < x->nterms; k++) {
            int it = x->term[k].iter;
            bool is_inner = false;
            for (int j = 0; j < p->inner.n; j++) is_inner |= p->inner.iter[j] == it;
            if (!is_inner && p->extent[it] != 1)
                sum = add(e, sum, scaled(e, kd_idx_value(e, 1, at[it], e->i64), x->term[k].coeff));
        }
        q->common[d] = LLVMBuildTrunc(e->b, sum, e->i32, "");
    }
}

/* Steps `along` + 0, 1, … of the run that column number `index` of inner reads inside V. */
static LLVMValueRef steps_inside(Square *q, LLVMValueRef index, LLVMValueRef along, int width) {
    KdEmit *e = q->c->e;
    const KdPlan *p = q->c->p;
    int last = p->sum.iter[p->sum.n - 1];
    LLVMValueRef inside = NULL;
    for (int d = 0; d < p->v.type.rank; d++) {
        if (!q->index[d]) continue;
        int64_t by = coefficient(&p->v.access->dim[d], last);
        LLVMValueRef first = add(e, q->common[d], table_at(e, q->index[d], index));
        LLVMValueRef step = LLVMBuildTrunc(e->b, scaled(e, along, by), e->i32, "");
        LLVMValueRef at = kd_emit_splat(e, add(e, first, step), width);
        if (by) {
            LLVMValueRef ids = LLVMBuildMul(e->b, kd_emit_lane_ids(e, e->i32, width),
                                            kd_emit_splat(e, kd_emit_i32(e, by), width), "");
            at = add(e, at, ids);
        }
        LLVMValueRef limit = kd_emit_splat(e, kd_emit_i32(e, p->v.type.dim[d]), width);
        LLVMValueRef here = LLVMBuildICmp(e->b, LLVMIntULT, at, limit, "");
        inside = inside ? LLVMBuildAnd(e->b, inside, here, "") : here;
    }
    return inside;
}

/* Column `lane` of the vector, `width` steps of k from `along` on, of which `active` (NULL: all)
 * may be read. */
static LLVMValueRef load_column(Square *q, int lane, LLVMValueRef along, int width,
                                LLVMValueRef active) {
    KdContraction *c = q->c;
    KdEmit *e = c->e;
    LLVMValueRef index = add(e, q->column.first, kd_emit_i64(e, lane)), at;
    if (q->places) {
        at = LLVMBuildSExt(e->b, table_at(e, q->places, index), e->i64, "");
    } else {
        LLVMValueRef last = LLVMBuildSub(e->b, c->inner_extent, kd_emit_i64(e, 1), "");
        at = scaled(e, q->column.active ? kd_emit_min(e, index, last) : index, q->pitch);
    }
    LLVMValueRef mask = steps_inside(q, index, along, width);
    if (active) mask = mask ? LLVMBuildAnd(e->b, mask, active, "") : active;
    at = add(e, add(e, at, q->offset), along);
    return kd_emit_load(e, e->f32, width, kd_emit_element(e, e->f32, q->base, at), mask);
}

/* --- the square in registers ------------------------------------------------------------------ */

/* row[0 … lanes-1], `width` elements each, become column[0 … width-1] of `lanes` elements.
 * Read one behind the other, element (r, k) stands at r * width + k. Interleaving the first half of
 * all elements with the second rotates the bits of that number left by one: log2(lanes) times, and
 * it stands at k * lanes + r. */
static void transpose(KdEmit *e, LLVMValueRef *row, int width) {
    int pick[MAX_LANES * 2], count = e->lanes;
    for (int size = width; size < e->lanes; size *= 2, count /= 2) { /* whole vectors first */
        for (int k = 0; k < 2 * size; k++) pick[k] = k;
        for (int r = 0; r < count / 2; r++) {
            LLVMValueRef *pair = row + (ptrdiff_t)2 * r;
            row[r] = kd_emit_shuffle(e, pair[0], pair[1], 2 * size, pick);
        }
    }
    for (int k = 0; k < 2 * e->lanes; k++) pick[k] = k / 2 + (k % 2) * e->lanes;
    for (int round = 1; round < e->lanes; round *= 2) {
        LLVMValueRef next[MAX_LANES];
        for (int r = 0; r < width / 2; r++) {
            LLVMValueRef *pair = next + (ptrdiff_t)2 * r, other = row[r + width / 2];
            pair[0] = kd_emit_shuffle(e, row[r], other, e->lanes, pick);
            pair[1] = kd_emit_shuffle(e, row[r], other, e->lanes, pick + e->lanes);
        }
        for (int r = 0; r < width; r++) row[r] = next[r];
    }
}

/* --- a panel ---------------------------------------------------------------------------------- */

/* Steps that are neighbours in memory: those of the sum's iterators from `from` on. */
typedef struct Run {
    int from;
    int width;           /* steps transposed at once */
    bool ragged;         /* the length may be no multiple of that */
    LLVMValueRef length; /* i64 */
} Run;

static bool in_checked_dim(const KdFactor *f, int iter) {
    for (int d = 0; d < f->type.rank; d++)
        if (f->checked[d] && kd_index_uses(&f->access->dim[d], iter)) return true;
    return false;
}

static Run find_run(KdContraction *c) {
    const KdPlan *p = c->p;
    const int *it = p->sum.iter;
    Run r = { .from = p->sum.n - 1 };
    int64_t length = p->extent[it[r.from]];
    while (r.from > p->level && !in_checked_dim(&p->v, it[r.from]) &&
           !in_checked_dim(&p->v, it[r.from - 1]) && p->v.lin[it[r.from - 1]] == length) {
        r.from--;
        length = r.from == p->level ? length : length * p->extent[it[r.from]];
    }
    bool whole = r.from == p->level; /* then as long as the block */
    r.length = whole ? c->k_count : kd_emit_i64(c->e, length);
    length = whole ? p->kc : length;
    for (r.width = 2; r.width < p->lanes && r.width < length;) r.width *= 2;
    r.ragged = whole || length % r.width != 0;
    return r;
}

static void pack_run(Square *q, const Run *r, LLVMValueRef step, LLVMValueRef to, int nv) {
    KdEmit *e = q->c->e;
    enter_run(q);
    KdLoop along;
    kd_loop_begin(e, &along, kd_emit_i64(e, 0), r->length, r->width);
    LLVMValueRef active = NULL;
    if (r->ragged)
        active = kd_emit_tail_mask(e, LLVMBuildSub(e->b, r->length, along.index, ""), r->width);
    LLVMValueRef row[MAX_LANES] = { 0 };
    for (int lane = 0; lane < e->lanes; lane++)
        row[lane] = load_column(q, lane, along.index, r->width, active);
    transpose(e, row, r->width);
    LLVMValueRef line = scaled(e, add(e, step, along.index), (int64_t)nv * e->lanes);
    for (int k = 0; k < r->width; k++) {
        LLVMValueRef at = add(e, add(e, line, kd_emit_i64(e, (int64_t)k * nv * e->lanes)), to);
        kd_emit_store(e, row[k], kd_emit_element(e, e->f32, q->c->panel, at), NULL);
    }
    kd_loop_end(e, &along);
}

bool kd_pack_transposed(const KdContraction *from, LLVMValueRef first, int nv) {
    KdContraction here = *from, *c = &here; /* the caller stays where it is */
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    if (!transpose_fits(p)) return false;
    Square q = { .c = c };
    prepare_tables(&q);
    Run run = find_run(c);
    KdLoop vector;
    kd_loop_begin(e, &vector, kd_emit_i64(e, 0), kd_emit_i64(e, nv), 1);
    kd_column_at(c, add(e, first, vector.index), &q.column);
    KdLoop loop[KD_PLAN_ITERS];
    KdIdx start = c->at[p->sum.iter[p->level]];
    LLVMValueRef step = kd_emit_i64(e, 0);
    int64_t below = p->period;
    for (int k = p->level; k < run.from; k++) {
        int it = p->sum.iter[k];
        bool chunked = k == p->level;
        below = chunked ? below : below / p->extent[it];
        kd_loop_begin(e, &loop[k], kd_emit_i64(e, 0),
                      chunked ? c->chunk_count : kd_emit_i64(e, p->extent[it]), 1);
        LLVMValueRef index = loop[k].index;
        c->at[it] = kd_idx_uniform(chunked ? add(e, index, start.base) : index, 1);
        step = add(e, step, scaled(e, index, below));
    }
    pack_run(&q, &run, step, scaled(e, vector.index, p->lanes), nv);
    for (int k = run.from - 1; k >= p->level; k--) kd_loop_end(e, &loop[k]);
    c->at[p->sum.iter[p->level]] = start;
    for (int k = p->level + 1; k < p->sum.n; k++) c->at[p->sum.iter[k]] = kd_idx_constant(0);
    kd_loop_end(e, &vector);
    return true;
}
