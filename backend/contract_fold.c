/*
 * Adjoints of windows, such as a convolution's gradient with respect to its input:
 *
 *     dX[n,c,y,x] = Σ_{o,i,j} dY[n,o,y-i,x-j] · W[o,c,i,j]        zero where y-i, x-j lie outside
 *
 * Taken as it stands, much of the work is products with zeros where dY is smaller than dX. Instead
 * the product is made once for every element of dY, and then the taps (i, j) of each element of dX
 * are summed:
 *
 *     P[c,i,j,y',x'] = Σ_o dY[n,o,y',x'] · W[o,c,i,j]             rows c,i,j; columns y',x'; one n
 *     dX[n,c,y,x]    = Σ_{i,j} P[c,i,j,y-i,x-j]
 *
 * P of one n stays in the second-level cache. In the plan of the product the iterators y and x mean
 * y' and x'; `fold` keeps their old meaning, its V is P, its sum runs over the taps.
 */
#include "backend/contract.h"

/* Work saved must pay for writing and summing P, which second-level caches must hold. No cache of
 * the target is asked, so that the order of sums depends on shapes alone. */
#define FOLD_PAYS 1.3
#define FOLD_MOST (1 << 20)
#define FOLD_ROW  4 /* columns: shorter rows are more runs than a vector may have, */
#define FOLD_DIMS 2 /* and so are those of windows with more dims */

static bool contains(const KdFlat *x, int iter) {
    for (int k = 0; k < x->n; k++) {
        if (x->iter[k] == iter) {
            return true;
        }
    }
    return false;
}

/* The two iterators of dim d when its index is y + a·i + b, with y a column and i summed. */
static bool is_window(const KdPlan *p, int d, int *y, int *i) {
    const KdIndex *x = &p->v.access->dim[d];
    if (x->divisor != 1 || x->nterms != 2 || x->term[0].coeff != 1 || p->v.type.dim[d] < 0) {
        return false;
    }
    *y = x->term[0].iter;
    *i = x->term[1].iter;
    if (!contains(&p->inner, *y) || !contains(&p->sum, *i)) {
        return false;
    }
    for (int k = 0; k < p->v.type.rank; k++) { /* used nowhere else */
        const KdIndex *other = &p->v.access->dim[k];
        if (k != d && (kd_index_uses(other, *y) || kd_index_uses(other, *i))) {
            return false;
        }
    }
    return true;
}

static bool has_batch(const KdPlan *p, const KdFlat *x) {
    for (int k = 0; k < x->n; k++) {
        if (p->extent[x->iter[k]] == KD_BATCH) {
            return true;
        }
    }
    return false;
}

static bool fold_fits(const KdPlan *p) {
    double saved = 1, elements = (double)kd_flat_most(p, &p->rows);
    int windows = 0;
    if (p->parts || !p->v.linear || !p->c_linear || has_batch(p, &p->rows) ||
        has_batch(p, &p->inner)) {
        return false;
    }
    for (int d = 0; d < p->v.type.rank; d++) {
        int y, i;
        if (!p->v.checked[d]) {
            continue;
        }
        if (!is_window(p, d, &y, &i)) {
            return false;
        }
        saved *= (double)p->extent[y] / (double)p->v.type.dim[d];
        elements *= (double)(p->extent[i] * p->v.type.dim[d]);
        windows++;
    }
    return windows == p->inner.n && windows <= FOLD_DIMS && saved >= FOLD_PAYS &&
           elements * 4 <= FOLD_MOST && p->extent[p->inner.iter[p->inner.n - 1]] >= FOLD_ROW;
}

static void remove_from(KdFlat *x, int iter) {
    int kept = 0;
    for (int k = 0; k < x->n; k++) {
        if (x->iter[k] != iter) {
            x->iter[kept++] = x->iter[k];
        }
    }
    x->n = kept;
}

/* From here on y runs over dim d of V itself, and i is a row. */
static void unroll_window(KdPlan *p, KdAccess *access, int d, int y, int i) {
    p->v.offset -= p->v.lin[y] * access->dim[d].offset;
    p->v.lin[i] = 0;
    p->v.checked[d] = false;
    p->extent[y] = p->most[y] = p->v.type.dim[d];
    access->dim[d] = kd_index_iter(y);
    remove_from(&p->sum, i);
    p->rows.iter[p->rows.n++] = i;
}

void kd_lay_out_product(KdPlan *p) {
    int64_t stride = 1;
    for (int k = p->inner.n - 1; k >= 0; k--) {
        p->clin[p->inner.iter[k]] = stride;
        stride *= p->extent[p->inner.iter[k]];
    }
    stride = (stride + p->lanes - 1) / p->lanes * p->lanes;
    for (int k = p->rows.n - 1; k >= 0; k--) {
        p->clin[p->rows.iter[k]] = stride;
        stride *= p->extent[p->rows.iter[k]];
    }
    p->v_linear = kd_flat_collapses(p, &p->inner, p->v.lin);
    p->row_linear = p->s.linear && kd_flat_collapses(p, &p->rows, p->s.lin);
    p->row_s = p->rows.n ? p->s.lin[p->rows.iter[p->rows.n - 1]] : 0;
    p->row_c = p->rows.n ? p->clin[p->rows.iter[p->rows.n - 1]] : 0;
}

/* V of the fold is P, at (rows, taps, y + a·i + b …). */
static void aim_at_product(KdPlan *f, const KdPlan *product) {
    f->v.offset = 0;
    for (int i = 0; i < KD_PLAN_ITERS; i++) {
        bool kept = contains(&product->rows, i) || contains(&product->inner, i);
        f->v.lin[i] = kept ? product->clin[i] : 0;
    }
    for (int d = 0; d < f->v.type.rank; d++) {
        const KdIndex *x = &f->v.access->dim[d];
        if (f->v.checked[d]) {
            int64_t pitch = product->clin[x->term[0].iter];
            f->v.lin[x->term[1].iter] += pitch * x->term[1].coeff;
            f->v.offset += pitch * x->offset;
        }
    }
    f->level = 0;
    f->period = 1;
    for (int k = 1; k < f->sum.n; k++) {
        f->period *= f->extent[f->sum.iter[k]];
    }
    f->chunk = f->extent[f->sum.iter[0]];
    f->kc = f->chunk * f->period;
    f->v_linear = false;
}

void kd_fold_plan(KdEmit *e, KdPlan *p) {
    if (!fold_fits(p)) {
        return;
    }
    /* Columns but for y and x are units of work: P is made for one of them at a time. */
    kd_flat_join(p, &p->group, &p->outer);
    KdPlan *f = KD_NEW(e->arena, KdPlan);
    *f = *p;
    f->sum.n = 0;
    KdAccess *access = KD_NEW(e->arena, KdAccess);
    *access = *p->v.access;
    for (int k = 0; k < p->sum.n; k++) { /* taps in the order of the sum */
        for (int d = 0; d < p->v.type.rank; d++) {
            if (f->v.checked[d] && kd_index_uses(&f->v.access->dim[d], p->sum.iter[k])) {
                f->sum.iter[f->sum.n++] = p->sum.iter[k];
            }
        }
    }
    for (int d = 0; d < p->v.type.rank; d++) {
        if (f->v.checked[d]) {
            const KdIndex *x = &f->v.access->dim[d];
            unroll_window(p, access, d, x->term[0].iter, x->term[1].iter);
        }
    }
    p->v.access = access;
    p->v.inside = true;
    if (p->sum.n == 0) {
        p->sum.iter[p->sum.n++] = p->niters;
    }
    kd_lay_out_product(p);
    aim_at_product(f, p);
    if (!kd_runs_fit(f)) {
        kd_bug(e->diag, "a fold whose rows are no runs");
    }
    p->fold = f;
}

int64_t kd_fold_elements(const KdPlan *p) {
    int64_t columns = (kd_flat_most(p, &p->inner) + p->lanes - 1) / p->lanes * p->lanes;
    return p->fold ? kd_flat_most(p, &p->rows) * columns : 0;
}

/* The sum of taps where c stands, in order. */
static LLVMValueRef sum_taps(KdContraction *c, const KdColumn *column, const KdRuns *r,
                             LLVMValueRef product) {
    KdEmit *e = c->e;
    KdLoop tap;
    kd_loop_begin(e, &tap, kd_emit_i64(e, 0), kd_emit_i64(e, c->p->kc), 1);
    LLVMValueRef sum = kd_loop_carry(e, &tap, LLVMConstNull(kd_vector_type(e->f32, c->p->lanes)));
    kd_flat_decode(c, &c->p->sum, tap.index, c->at);
    LLVMValueRef part = kd_runs_load(c, column, r, product, tap.index);
    kd_loop_next(&tap, 0, LLVMBuildFAdd(e->b, sum, part, ""));
    kd_loop_end(e, &tap);
    return kd_loop_result(&tap, 0);
}

void kd_fold_emit(KdContraction *c, LLVMValueRef product) {
    KdEmit *e = c->e;
    const KdPlan *f = c->p->fold;
    KdContraction here = *c;
    here.p = f;
    here.inner_extent = kd_flat_extent(e, f, &f->inner);
    here.inner_vectors = kd_emit_ceil_div(e, here.inner_extent, f->lanes);
    here.chunk_count = kd_emit_i64(e, f->chunk);
    here.at[f->sum.iter[0]] = kd_idx_uniform(kd_emit_i64(e, 0), 1);
    int mark = kd_eval_mark(c->ev);
    KdLoop vector, row;
    kd_loop_begin(e, &vector, kd_emit_i64(e, 0), here.inner_vectors, 1);
    KdColumn column;
    kd_column_at(&here, vector.index, &column);
    KdRuns runs;
    kd_runs_begin(&here, &column, &runs);
    kd_loop_begin(e, &row, kd_emit_i64(e, 0), kd_flat_extent(e, f, &f->rows), 1);
    kd_flat_decode(&here, &f->rows, row.index, here.at);
    LLVMValueRef offset = kd_flat_offset(e, &f->rows, here.at, f->v.lin);
    LLVMValueRef base = kd_emit_element(e, e->f32, product, offset);
    LLVMValueRef sum = sum_taps(&here, &column, &runs, base);
    kd_sums_enter_row(&here, row.index, 0);
    kd_contract_finish(&here, &column, sum);
    kd_sums_leave_row(&here, row.index, 0);
    kd_loop_end(e, &row);
    kd_loop_end(e, &vector);
    kd_eval_release(c->ev, mark);
}
