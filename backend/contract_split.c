/*
 * Sums over the batch in parts, as of a convolution's gradient with respect to its weights:
 *
 *     dW[o,c,i,j] = Σ_{n,y,x} dY[n,o,y,x] · X[n,c,y+i,x+j]
 *
 * The result is small and the sum is long. Units of some tiles each would all pack the same panels,
 * and would all read X and dY from memory. So a unit has all tiles for some samples instead, and
 * leaves its sums in scratch; the phase behind it adds the parts in their order.
 *
 *     phase 0, a part a unit:     part[group][part][panel][row][NR]
 *     phase 1, some rows a task:  C = Σ_part part[…], and the epilogue
 *
 * How results are stored is of no weight beside such a sum, so either operand may feed the lanes:
 * the one whose panels are quicker to make. Of dY, which is packed once and not once a tap, with X
 * read where it lies or from a copy with its padding (pack_halo.c).
 *
 * Parts of a large result would take much memory. Where Winograd's products make it
 * (contract_winograd_gradient.c), whose panels cost little beside them, there is one part: a unit
 * has all samples of a slice of the result, keeps its sums, and finishes them itself.
 *
 * What is split, and how, depends on shapes alone, since it decides the order of sums.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"

#define MOST_PARTS   16
#define LEAST_PARTS  4
#define MOST_BYTES   ((int64_t)8 << 20) /* of all parts */
#define LEAST_STEPS  128                /* of a part's sum */
#define LEAST_FLOPS  4e6
#define ADDING_TASKS 16

/* Result elements, in rows of whole vectors of the widest machine: the same on all of them. */
static int64_t result_elements(const KdPlan *p) {
    int64_t columns = kd_flat_most(p, &p->outer) * kd_flat_most(p, &p->inner);
    return kd_flat_most(p, &p->group) * kd_flat_most(p, &p->rows) * columns;
}

static bool is_long_sum(const KdPlan *p) {
    if (p->sum.n < 2 || p->extent[p->sum.iter[0]] != KD_BATCH) return false;
    for (int k = 1; k < p->sum.n; k++)
        if (p->extent[p->sum.iter[k]] == KD_BATCH) return false;
    return kd_flat_is_static(p, &p->rows) && kd_flat_is_static(p, &p->outer) &&
           kd_flat_is_static(p, &p->inner) && kd_flat_is_static(p, &p->group) &&
           kd_flat_most(p, &p->rows) > 1 && p->inner.n > 0;
}

bool kd_split_plan(KdPlan *p) {
    if (p->blas || p->bf16 || p->words || p->empty || kd_stride_phases(p->op) > 1 ||
        !is_long_sum(p))
        return false;
    int64_t samples = p->most[p->sum.iter[0]], steps = kd_flat_most(p, &p->sum);
    int64_t parts = MOST_BYTES / (result_elements(p) * 4);
    bool large = parts < LEAST_PARTS;
    if (!p->s.memory || !p->s.linear) return false;
    parts = large ? 1 : parts > MOST_PARTS ? MOST_PARTS : parts;
    parts = parts > samples ? samples : parts;
    if ((parts < LEAST_PARTS && !large) || steps / parts < LEAST_STEPS ||
        2.0 * (double)steps * (double)result_elements(p) < LEAST_FLOPS)
        return false;
    p->part_samples = (samples + parts - 1) / parts;
    p->parts = (samples + p->part_samples - 1) / p->part_samples;
    if (!large || kd_winograd_is_gradient(p)) return true;
    p->parts = p->part_samples = 0;
    return false;
}

void kd_split_halve(KdPlan *p, int64_t elements) {
    int64_t samples = p->most[p->sum.iter[0]], parts = p->parts;
    while (parts / 2 >= LEAST_PARTS && parts * elements * 4 > MOST_BYTES * 5 / 4) parts /= 2;
    p->part_samples = ceil_div(samples, parts);
    p->parts = ceil_div(samples, p->part_samples);
}

int64_t kd_split_line(const KdPlan *p) {
    int64_t line = 1;
    for (int d = 0; d < p->s.type.rank; d++) {
        const KdIndex *x = &p->s.access->dim[d];
        int64_t step = 0;
        for (int k = 0; k < p->sum.n && !step; k++)
            for (int j = 0; j < x->nterms; j++)
                if (x->term[j].iter == p->sum.iter[k]) step = x->term[j].coeff;
        line *= step ? (step < 0 ? -step : step) : p->s.type.dim[d];
    }
    return line;
}

double kd_split_cycles(const KdPlan *p) {
    int64_t row = (kd_flat_most(p, &p->inner) + p->lanes - 1) / p->lanes; /* in vectors */
    double vectors = (double)(kd_flat_most(p, &p->outer) * row);
    double pack = !p->v.memory || !p->v.linear ? 40 : p->v.inside ? 12 : 27; /* a vector of V */
    double copy = p->s.inside ? 0 : 4.0 * (double)kd_split_line(p) / p->lanes;
    return vectors * ((double)kd_flat_most(p, &p->rows) + pack) + copy;
}

/* --- emission --------------------------------------------------------------------------------- */

/* Elements of one part of the sums. */
int64_t kd_part_elements(const KdPlan *p) {
    int64_t products = p->winograd ? p->winograd->products : 1;
    return products * p->panels_per_unit * p->tiles_per_unit * p->row_tiles.size[0] *
           p->col_panels.size[0] * p->lanes;
}

/* Tasks that add up the parts of the sums. */
int64_t kd_adding_tasks(const KdPlan *p) {
    int64_t rows = kd_flat_most(p, &p->rows);
    return rows < ADDING_TASKS ? rows : ADDING_TASKS;
}

/* The unit that makes part `index` % parts of what units `index` / parts have. */
void kd_enter_part(KdUnit *u, LLVMValueRef index) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef zero = kd_emit_i64(e, 0), parts = kd_emit_i64(e, p->parts);
    u->first_sample = scaled(e, LLVMBuildURem(e->b, index, parts, ""), p->part_samples);
    LLVMValueRef left = kd_emit_max(e, zero, sub(e, e->n, u->first_sample));
    u->samples = kd_emit_min(e, left, kd_emit_i64(e, p->part_samples));
    c->partial = kd_emit_element(e, e->f32, c->shared, scaled(e, index, kd_part_elements(p)));
}

/* The sum of a row's parts, in order, and its epilogue. */
static void add_parts(KdUnit *u, int nv, LLVMValueRef panel, LLVMValueRef row,
                      const KdColumn *column) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    KdTile t = { .mr = 1, .nv = nv };
    KdLoop part;
    kd_loop_begin(e, &part, kd_emit_i64(e, 0), kd_emit_i64(e, c->p->parts), 1);
    LLVMValueRef zero = LLVMConstNull(kd_vector_type(e->f32, e->lanes)), sum[KD_MAX_NV];
    for (int v = 0; v < nv; v++) sum[v] = kd_loop_carry(e, &part, zero);
    LLVMValueRef behind = scaled(e, part.index, kd_part_elements(c->p));
    for (int v = 0; v < nv; v++) {
        LLVMValueRef at = kd_emit_element(e, e->f32, kd_partial_at(u, panel, row, v), behind);
        LLVMValueRef value = kd_emit_load(e, e->f32, e->lanes, at, NULL);
        kd_loop_next(&part, v, LLVMBuildFAdd(e->b, sum[v], value, ""));
    }
    kd_loop_end(e, &part);
    for (int v = 0; v < nv; v++) t.acc[v] = kd_loop_result(&part, v);
    kd_finish_tile(u, &t, row, column);
}

/* Rows [lo, hi) of the unit's panels; the first part of their sums is at c->partial. */
static void add_rows(KdUnit *u, LLVMValueRef lo, LLVMValueRef hi) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    KdLoop panel, row;
    for (int size = 0; size < 2; size++) {
        if (!kd_has_size(&p->col_panels, size)) continue;
        int nv = p->col_panels.size[size];
        LLVMValueRef first = u->panel_lo, end = u->panel_hi;
        kd_piece_range(e, &u->panels, size, &first, &end);
        kd_loop_begin(e, &panel, first, end, 1);
        KdColumn column[KD_MAX_NV];
        for (int v = 0; v < nv; v++) {
            LLVMValueRef vector = kd_piece_start(e, &u->panels, panel.index);
            kd_column_at(c, add(e, vector, kd_emit_i64(e, v)), &column[v]);
        }
        kd_loop_begin(e, &row, lo, hi, 1);
        if (p->winograd)
            kd_winograd_gradient_add(u, nv, panel.index, row.index);
        else
            add_parts(u, nv, panel.index, row.index, column);
        kd_loop_end(e, &row);
        kd_loop_end(e, &panel);
    }
}

void kd_finish_slice(KdUnit *u) {
    add_rows(u, u->row_lo, u->row_hi);
}

/* Phase 1: some rows of all groups and panels. */
void kd_emit_adding(KdUnit *u) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef lo, hi, zero = kd_emit_i64(e, 0);
    kd_emit_task_range(e, c->rows, kd_emit_i32(e, kd_adding_tasks(p)), &lo, &hi);
    KdLoop group;
    kd_loop_begin(e, &group, zero, kd_flat_extent(e, p, &p->group), 1);
    kd_flat_decode(c, &p->group, group.index, c->at);
    c->partial = kd_emit_element(e, e->f32, c->shared,
                                 scaled(e, group.index, p->parts * kd_part_elements(p)));
    u->panel_lo = u->row_lo = zero;
    u->panel_hi = u->panels.total;
    add_rows(u, lo, hi);
    kd_loop_end(e, &group);
}
