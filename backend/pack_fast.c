/*
 * Panels of V straight from memory, where V is an f32 operand of the kernel with affine offsets.
 *
 * segments    neighbouring columns are neighbours in memory, in runs (the rows of an image): a
 *             vector is one masked load a run, merged. Padding clears mask bits; they depend on few
 *             of the k iterators (the taps of a filter), so they are made once in a small table.
 *
 *             columns   … 6 7 | 0 1 2 3 4 5 6 7 | 0 1 …      runs of 8 in a vector of 12
 *             loads     [---]   [-------------]   [---]
 */
#include "backend/arith.h"
#include "backend/contract.h"

#define FETCHED_STEP 16 /* behind the one that is packed */

static LLVMValueRef both(KdEmit *e, LLVMValueRef a, LLVMValueRef b) {
    return !a ? b : !b ? a : LLVMBuildAnd(e->b, a, b, "");
}

/* --- loops over the steps of a block, in any order -------------------------------------------- */

typedef struct Steps {
    int n;
    int position[KD_PLAN_ITERS]; /* in p->sum, outermost loop first */
    KdLoop loop[KD_PLAN_ITERS];
    LLVMValueRef step; /* number of the step in the block */
    LLVMValueRef tap;  /* the same, of the checked iterators alone */
    KdIdx start;       /* of the chunked iterator, restored at the end */
} Steps;

static bool in_checked_dim(const KdFactor *f, int iter) {
    for (int d = 0; d < f->type.rank; d++)
        if (f->checked[d] && kd_index_uses(&f->access->dim[d], iter)) return true;
    return false;
}

/* Steps between two values of the iterator at `position` of the sum; of the checked ones alone. */
static int64_t stride_of(const KdPlan *p, int position, bool checked) {
    int64_t below = 1;
    for (int k = position + 1; k < p->sum.n; k++)
        below *= !checked || in_checked_dim(&p->v, p->sum.iter[k]) ? p->extent[p->sum.iter[k]] : 1;
    return below;
}

static void open_steps(KdContraction *c, Steps *s) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    s->step = s->tap = kd_emit_i64(e, 0);
    s->start = c->at[p->sum.iter[p->level]];
    for (int k = 0; k < s->n; k++) {
        int position = s->position[k], it = p->sum.iter[position];
        bool chunked = position == p->level;
        kd_loop_begin(e, &s->loop[k], kd_emit_i64(e, 0),
                      chunked ? c->chunk_count : kd_emit_i64(e, p->extent[it]), 1);
        LLVMValueRef index = s->loop[k].index;
        s->step = add(e, s->step, scaled(e, index, stride_of(p, position, false)));
        if (in_checked_dim(&p->v, it))
            s->tap = add(e, s->tap, scaled(e, index, stride_of(p, position, true)));
        c->at[it] = kd_idx_uniform(chunked ? add(e, index, s->start.base) : index, 1);
    }
}

static void close_steps(KdContraction *c, Steps *s) {
    for (int k = s->n - 1; k >= 0; k--) kd_loop_end(c->e, &s->loop[k]);
    c->at[c->p->sum.iter[c->p->level]] = s->start;
}

/* Offset in V of what is the same for all columns of `inner`. */
static LLVMValueRef common_offset(KdContraction *c, const KdColumn *column) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef at = kd_emit_i64(e, p->v.offset);
    at = add(e, at, kd_flat_offset(e, &p->group, c->at, p->v.lin));
    at = add(e, at, kd_flat_offset(e, &p->outer, column->at, p->v.lin));
    return add(e, at, kd_flat_offset(e, &p->sum, c->at, p->v.lin));
}

/* Index in dim d without the iterators of `inner` and without iterator `skip`. */
static LLVMValueRef common_index(KdContraction *c, const KdColumn *column, int d, int skip) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdIndex *x = &p->v.access->dim[d];
    LLVMValueRef sum = kd_emit_i64(e, x->offset);
    for (int k = 0; k < x->nterms; k++) {
        int it = x->term[k].iter;
        bool is_inner = false, is_outer = false;
        for (int j = 0; j < p->inner.n; j++) is_inner |= p->inner.iter[j] == it;
        for (int j = 0; j < p->outer.n; j++) is_outer |= p->outer.iter[j] == it;
        if (is_inner || it == skip || p->extent[it] == 1) continue;
        KdIdx at = is_outer ? column->at[it] : c->at[it];
        sum = add(e, sum, scaled(e, kd_idx_value(e, 1, at, e->i64), x->term[k].coeff));
    }
    return LLVMBuildTrunc(e->b, sum, e->i32, "");
}

static int64_t coefficient(const KdIndex *x, int iter) {
    for (int k = 0; k < x->nterms; k++)
        if (x->term[k].iter == iter) return x->term[k].coeff;
    return 0;
}

/* <lanes x i1>: 0 <= index < extent. */
static LLVMValueRef in_range(KdEmit *e, LLVMValueRef index, int64_t extent) {
    LLVMValueRef limit = kd_emit_splat(e, kd_emit_i32(e, extent), kd_lanes_of(index));
    return LLVMBuildICmp(e->b, LLVMIntULT, index, limit, "");
}

static LLVMValueRef ramp(KdEmit *e, LLVMValueRef first, int lanes) {
    LLVMValueRef narrow = LLVMBuildTrunc(e->b, first, e->i32, "");
    return add(e, kd_emit_splat(e, narrow, lanes), kd_emit_lane_ids(e, e->i32, lanes));
}

/* --- segments --------------------------------------------------------------------------------- */

static int64_t gcd(int64_t a, int64_t b) {
    return b ? gcd(b, a % b) : a;
}

/* Length of a run of columns, or 0 when all of `inner` is one run. */
static int64_t run_length(const KdPlan *p) {
    return p->inner.n == 1 || (p->v_linear && p->v.inside)
               ? 0
               : p->extent[p->inner.iter[p->inner.n - 1]];
}

static int64_t count_runs(const KdPlan *p) {
    int64_t length = run_length(p);
    return length ? (length - gcd(length, p->lanes) + p->lanes - 1) / length + 1 : 1;
}

bool kd_runs_fit(const KdPlan *p) {
    if (!p->v.linear || p->inner.n == 0 || p->v.lin[p->inner.iter[p->inner.n - 1]] != 1) {
        return false;
    }
    for (int d = 0; d < p->v.type.rank; d++) {
        if (p->v.checked[d] && p->v.type.dim[d] < 0) {
            return false;
        }
    }
    return run_length(p) == 0 || (p->inner.n == 2 && count_runs(p) <= KD_MAX_RUNS);
}

static void find_runs(KdContraction *c, const KdColumn *column, KdRuns *r) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int64_t length = run_length(p);
    *r = (KdRuns){ .n = (int)count_runs(p) };
    if (length == 0) {
        r->mask[0] = column->active;
        r->start[0] = column->first;
        r->fast = ramp(e, column->first, p->lanes);
        return;
    }
    LLVMValueRef row = LLVMBuildUDiv(e->b, column->first, kd_emit_i64(e, length), "");
    LLVMValueRef x = LLVMBuildURem(e->b, column->first, kd_emit_i64(e, length), "");
    int64_t pitch = p->v.lin[p->inner.iter[0]];
    r->fast = ramp(e, x, p->lanes); /* less one run length at each later run */
    r->slow = kd_emit_splat(e, LLVMBuildTrunc(e->b, row, e->i32, ""), p->lanes);
    LLVMValueRef unwrapped = r->fast, from = NULL;
    for (int s = 0; s < r->n; s++) {
        LLVMValueRef limit = kd_emit_splat(e, kd_emit_i32(e, (s + 1) * length), p->lanes);
        LLVMValueRef behind = LLVMBuildICmp(e->b, LLVMIntSGE, unwrapped, limit, "");
        LLVMValueRef here = s + 1 < r->n ? LLVMBuildNot(e->b, behind, "") : NULL;
        r->mask[s] = both(e, both(e, from, here), column->active);
        r->start[s] =
            add(e, add(e, scaled(e, row, pitch), x), kd_emit_i64(e, s * (pitch - length)));
        if (s + 1 < r->n) {
            LLVMValueRef one = LLVMBuildZExt(e->b, behind, LLVMTypeOf(unwrapped), "");
            LLVMValueRef back =
                LLVMBuildMul(e->b, one, kd_emit_splat(e, kd_emit_i32(e, length), p->lanes), "");
            r->slow = add(e, r->slow, one);
            r->fast = LLVMBuildSub(e->b, r->fast, back, "");
        }
        from = behind;
    }
}

/* Lanes that read inside V at this step; NULL: all. */
static LLVMValueRef inside_mask(KdContraction *c, const KdColumn *column, const KdRuns *r) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef inside = NULL;
    for (int d = 0; d < p->v.type.rank; d++) {
        if (!p->v.checked[d]) continue;
        LLVMValueRef index = kd_emit_splat(e, common_index(c, column, d, -1), p->lanes);
        for (int k = 0; k < p->inner.n; k++) {
            int64_t by = coefficient(&p->v.access->dim[d], p->inner.iter[k]);
            LLVMValueRef lane = k == p->inner.n - 1 ? r->fast : r->slow;
            if (by)
                index = add(
                    e, index,
                    LLVMBuildMul(e->b, lane, kd_emit_splat(e, kd_emit_i32(e, by), p->lanes), ""));
        }
        inside = both(e, inside, in_range(e, index, p->v.type.dim[d]));
    }
    return inside;
}

/* One mask of `lanes` bits a tap, as i16. Returns the table, or NULL where all is inside. */
static LLVMValueRef mask_table(const KdContraction *from, const KdColumn *column, const KdRuns *r) {
    KdContraction here = *from, *c = &here; /* the caller stays where it is */
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    if (p->v.inside) return NULL;
    Steps s = { 0 };
    int64_t taps = 1;
    for (int k = p->level; k < p->sum.n; k++) {
        if (!in_checked_dim(&p->v, p->sum.iter[k])) continue;
        s.position[s.n++] = k;
        taps *= k == p->level ? p->chunk : p->extent[p->sum.iter[k]];
    }
    LLVMTypeRef word = LLVMIntTypeInContext(e->cx, 16);
    LLVMTypeRef bits = LLVMIntTypeInContext(e->cx, (unsigned)p->lanes);
    LLVMValueRef table = kd_emit_alloca(e, word, taps, 64);
    open_steps(c, &s);
    LLVMValueRef mask = LLVMBuildBitCast(e->b, inside_mask(c, column, r), bits, "");
    mask = LLVMBuildZExtOrBitCast(e->b, mask, word, "");
    kd_emit_store(e, mask, kd_emit_element(e, word, table, s.tap), NULL);
    close_steps(c, &s);
    return table;
}

static LLVMValueRef mask_at(KdEmit *e, LLVMValueRef table, LLVMValueRef tap) {
    LLVMTypeRef word = LLVMIntTypeInContext(e->cx, 16);
    LLVMTypeRef bits = LLVMIntTypeInContext(e->cx, (unsigned)e->lanes);
    LLVMValueRef mask = LLVMBuildLoad2(e->b, word, kd_emit_element(e, word, table, tap), "");
    mask = LLVMBuildTruncOrBitCast(e->b, mask, bits, "");
    return LLVMBuildBitCast(e->b, mask, kd_vector_type(e->i1, e->lanes), "");
}

void kd_runs_begin(KdContraction *c, const KdColumn *column, KdRuns *r) {
    find_runs(c, column, r);
    r->inside = mask_table(c, column, r);
}

LLVMValueRef kd_runs_load(KdContraction *c, const KdColumn *column, const KdRuns *r,
                          LLVMValueRef base, LLVMValueRef tap) {
    KdEmit *e = c->e;
    LLVMValueRef inside = r->inside ? mask_at(e, r->inside, tap) : NULL;
    LLVMValueRef common = common_offset(c, column), value = NULL;
    for (int k = 0; k < r->n; k++) {
        LLVMValueRef mask = both(e, r->mask[k], inside);
        LLVMValueRef at = kd_emit_element(e, e->f32, base, add(e, common, r->start[k]));
        LLVMValueRef part = kd_emit_load(e, e->f32, c->p->lanes, at, mask);
        value = value ? LLVMBuildSelect(e->b, mask, part, value, "") : part;
    }
    return value;
}

static void pack_segments(const KdContraction *from, LLVMValueRef first, int nv) {
    KdContraction here = *from, *c = &here; /* the caller stays where it is */
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef base = kd_emit_base(e, p->v.memory);
    KdLoop vector;
    kd_loop_begin(e, &vector, kd_emit_i64(e, 0), kd_emit_i64(e, nv), 1);
    KdColumn column;
    kd_column_at(c, add(e, first, vector.index), &column);
    KdRuns r;
    kd_runs_begin(c, &column, &r);
    Steps s = { .n = p->sum.n - p->level };
    for (int k = 0; k < s.n; k++) {
        s.position[k] = p->level + k;
    }
    open_steps(c, &s);
    LLVMValueRef value = kd_runs_load(c, &column, &r, base, s.tap);
    LLVMValueRef to =
        add(e, scaled(e, s.step, (int64_t)nv * p->lanes), scaled(e, vector.index, p->lanes));
    kd_emit_store(e, value, kd_emit_element(e, e->f32, c->panel, to), NULL);
    close_steps(c, &s);
    kd_loop_end(e, &vector);
}

/* Lines of a large V: all of a step's at a time, since each step may lie in a page of its own, and
 * those of a step further on are fetched. */
static void pack_lines(const KdContraction *from, LLVMValueRef first, int nv) {
    KdContraction here = *from, *c = &here; /* the caller stays where it is */
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef base = kd_emit_base(e, p->v.memory);
    KdColumn column[KD_MAX_NV];
    KdRuns r[KD_MAX_NV];
    for (int v = 0; v < nv; v++) {
        kd_column_at(c, add(e, first, kd_emit_i64(e, v)), &column[v]);
        kd_runs_begin(c, &column[v], &r[v]);
    }
    Steps s = { .n = p->sum.n - p->level };
    for (int k = 0; k < s.n; k++) s.position[k] = p->level + k;
    open_steps(c, &s);
    int64_t ahead = FETCHED_STEP * p->v.lin[p->sum.iter[p->sum.n - 1]];
    for (int v = 0; v < nv; v++) {
        LLVMValueRef line = add(e, common_offset(c, &column[v]), r[v].start[0]);
        kd_emit_prefetch(e, kd_emit_element(e, e->f32, base, add(e, line, kd_emit_i64(e, ahead))));
        LLVMValueRef value = kd_runs_load(c, &column[v], &r[v], base, s.tap);
        LLVMValueRef to = add(e, scaled(e, s.step, (int64_t)nv * p->lanes),
                              kd_emit_i64(e, (int64_t)v * p->lanes));
        kd_emit_store(e, value, kd_emit_element(e, e->f32, c->panel, to), NULL);
    }
    close_steps(c, &s);
}

bool kd_pack_panel_fast(const KdContraction *c, LLVMValueRef first, int nv) {
    if (!c->p->v.memory || !kd_runs_fit(c->p)) {
        return kd_pack_transposed(c, first, nv);
    }
    if (run_length(c->p) == 0 && c->p->v.inside && kd_is_large(c->e, c->p->v.type))
        pack_lines(c, first, nv);
    else
        pack_segments(c, first, nv);
    return true;
}
