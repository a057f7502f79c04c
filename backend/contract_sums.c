/*
 * Reductions behind a contraction, such as a bias's gradient behind the product that makes what it
 * sums:
 *
 *     g[n,c,y,x] = mask[n,c,y,x] · Σ_k …         db[c] = Σ_{n,y,x} g[n,c,y,x]
 *
 * They go over all columns, so that a sum is left for each row. A unit sums what its epilogue
 * makes, while that is in registers. Units that have the same rows leave a part of the sums each,
 * and a last phase adds the parts in their order:
 *
 *     a unit    running[row][sum] += lanes of g        part[sum][row] = tree(running[row][sum])
 *     phase n   db[c] = Σ_part part[0][c],  and what is computed with it
 *
 * Which parts there are, and what is in them, depends on shapes and n alone.
 */
#include "backend/arith.h"
#include "backend/contract_unit.h"
#include "backend/nest.h"

/* --- the plan --------------------------------------------------------------------------------- */

bool kd_has_sums(const KdInstr *kernel) {
    if (kd_has_pooling(kernel)) return false;
    KD_EACH_INSTR(i, kernel->body)
    if (kd_op_has(i->op, KD_T_REDUCTION)) return true;
    return false;
}

KdSums *kd_sums_plan(KdEmit *e, const KdPlan *p) {
    if (!kd_has_sums(p->kernel)) return NULL;
    KdSums *s = KD_NEW(e->arena, KdSums);
    KD_EACH_INSTR(i, p->kernel->body) {
        if (!kd_op_has(i->op, KD_T_REDUCTION)) continue;
        s->of = KD_GROW_ARRAY(e->arena, s->of, s->n);
        s->of[s->n++] = i;
    }
    s->left = s->of[0]->results[0]->type;
    s->elements = ceil_div(kd_type_elements(s->left, 1, 1), p->lanes) * p->lanes;
    for (int k = 0; k < p->rows.n; k++)
        if (kd_reduces(s->of[0], p->rows.iter[k]) && p->most[p->rows.iter[k]] > 1)
            kd_bug(e->diag, "a sum over rows");
    return s;
}

/* Phases that make results, one behind the other, and the plan of the k-th. */
static int making_phases(KdEmit *e, const KdInstr *kernel) {
    int phases = kd_stride_phases(kd_contraction_of(kernel));
    return kd_plan_create(e, kernel, 0)->phases ? 1 : phases;
}

static const KdPlan *making_plan(KdEmit *e, const KdInstr *kernel, int k) {
    int last = kd_plan_phases(e, kernel) - 1;
    return kd_plan_create(e, kernel, making_phases(e, kernel) > 1 ? k : last);
}

/* Parts that the units of a phase leave, at most. */
static int64_t most_parts(const KdPlan *p) {
    int64_t panels = kd_most_pieces(&p->col_panels, kd_panel_vectors(p));
    return kd_flat_most(p, &p->group) * ceil_div(panels, p->panels_per_unit);
}

/* Those of the first k such phases. */
static int64_t parts_before(KdEmit *e, const KdInstr *kernel, int k) {
    int64_t parts = 0;
    while (k-- > 0) parts += most_parts(making_plan(e, kernel, k));
    return parts;
}

int64_t kd_first_part(KdEmit *e, const KdInstr *kernel, int phase) {
    return making_phases(e, kernel) > 1 ? parts_before(e, kernel, phase) : 0;
}

static int64_t part_elements(const KdSums *s) {
    return s->n * s->elements;
}

size_t kd_sums_bytes(KdEmit *e, const KdPlan *p) {
    if (!p->sums) return 0;
    int64_t parts = parts_before(e, p->kernel, making_phases(e, p->kernel));
    return (size_t)(ceil_div(parts * part_elements(p->sums) * 4, 64) * 64);
}

/* The plan of the epilogue: rows of a fold's product are not those of the result. */
static const KdPlan *finishing(const KdPlan *p) {
    return p->fold ? p->fold : p;
}

/* Rows of a unit, at most. */
static int64_t unit_rows(const KdPlan *p) {
    if (kd_unit_has_all(p)) return kd_flat_most(finishing(p), &finishing(p)->rows);
    return p->tiles_per_unit * p->row_tiles.size[0];
}

size_t kd_running_bytes(const KdPlan *p) {
    if (!p->sums) return 0;
    return (size_t)(ceil_div(p->sums->n * unit_rows(p) * p->lanes * 4, 64) * 64);
}

/* --- a unit ----------------------------------------------------------------------------------- */

/* Of sum k: where the lanes of row first + r are added up, and where the unit leaves what they are
 * together. */
static LLVMValueRef running_row(const KdContraction *c, int k, LLVMValueRef first, int r) {
    KdEmit *e = c->e;
    int64_t n = c->p->sums->n, lanes = c->p->lanes;
    LLVMValueRef at =
        kd_emit_element(e, e->f32, c->running, scaled(e, sub(e, first, c->row_lo), n * lanes));
    return kd_emit_element(e, e->f32, at, kd_emit_i64(e, (r * n + k) * lanes));
}

static LLVMValueRef element_of_part(const KdContraction *c, int k, LLVMValueRef element) {
    LLVMValueRef at = add(c->e, element, kd_emit_i64(c->e, k * c->p->sums->elements));
    return kd_emit_element(c->e, c->e->f32, c->part_sums, at);
}

/* The loop over the unit's rows. */
static void each_row(const KdUnit *u, KdLoop *row) {
    const KdContraction *c = u->c;
    const KdPlan *f = finishing(c->p);
    kd_loop_begin(c->e, row, c->row_lo, f == c->p ? u->row_hi : kd_flat_extent(c->e, f, &f->rows),
                  1);
}

static void begin_rows(KdUnit *u) {
    const KdContraction *c = u->c;
    const KdSums *s = c->p->sums;
    KdLoop row;
    each_row(u, &row);
    for (int k = 0; k < s->n; k++)
        kd_emit_store(c->e, kd_emit_identity(c->e, s->of[k], c->p->lanes),
                      running_row(c, k, row.index, 0), NULL);
    kd_loop_end(c->e, &row);
}

void kd_sums_begin(KdUnit *u, const KdUnits *units, LLVMValueRef index) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdSums *s = c->p->sums;
    LLVMValueRef column = LLVMBuildURem(e->b, index, units->columns, "");
    LLVMValueRef part = add(e, LLVMBuildMul(e->b, u->group, units->columns, ""), column);
    part = add(e, part, kd_emit_i64(e, c->first_part));
    c->part_sums = kd_emit_element(e, e->f32, c->all_sums, scaled(e, part, part_elements(s)));
    c->row_lo = c->p->fold ? kd_emit_i64(e, 0) : u->row_lo;
    begin_rows(u);
}

void kd_sums_enter_row(KdContraction *c, LLVMValueRef first, int r) {
    const KdSums *s = c->p->sums;
    if (!s) return;
    c->row_sums = KD_NEW_ARRAY(c->e->arena, LLVMValueRef, s->n);
    for (int k = 0; k < s->n; k++)
        c->row_sums[k] =
            kd_emit_load(c->e, c->e->f32, c->p->lanes, running_row(c, k, first, r), NULL);
}

void kd_sums_leave_row(KdContraction *c, LLVMValueRef first, int r) {
    const KdSums *s = c->p->sums;
    for (int k = 0; s && k < s->n; k++)
        kd_emit_store(c->e, c->row_sums[k], running_row(c, k, first, r), NULL);
}

void kd_sums_add(KdContraction *c, const KdPoint *at) {
    KdEmit *e = c->e;
    const KdSums *s = c->p->sums;
    for (int k = 0; k < s->n; k++) {
        LLVMValueRef value = kd_eval(c->ev, s->of[k]->args[0], at);
        value = kd_emit_active(e, at, value, kd_emit_identity(e, s->of[k], at->lanes));
        c->row_sums[k] = kd_emit_combine(e, s->of[k], c->row_sums[k], value);
    }
}

void kd_sums_end(KdUnit *u) {
    const KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdSums *s = c->p->sums;
    KdLoop row;
    each_row(u, &row);
    for (int k = 0; k < s->n; k++) {
        LLVMValueRef all =
            kd_emit_load(e, e->f32, c->p->lanes, running_row(c, k, row.index, 0), NULL);
        kd_emit_store(e, kd_emit_across(e, s->of[k], all), element_of_part(c, k, row.index), NULL);
    }
    kd_loop_end(e, &row);
}

/* --- all parts -------------------------------------------------------------------------------- */

bool kd_is_adding_sums(KdEmit *e, const KdInstr *kernel, int phase) {
    return kd_has_sums(kernel) && phase == kd_plan_phases(e, kernel);
}

static int64_t elements_of_task(KdEmit *e, const KdInstr *kernel) {
    int64_t parts = parts_before(e, kernel, making_phases(e, kernel));
    return kd_task_length(4 * parts * making_plan(e, kernel, 0)->sums->n, e->lanes);
}

static LLVMValueRef count_left(KdEmit *e, const KdSums *s) {
    return kd_emit_i64(e, kd_type_elements(s->left, 1, 1));
}

LLVMValueRef kd_sums_tasks(KdEmit *e, const KdInstr *kernel) {
    const KdSums *s = making_plan(e, kernel, 0)->sums;
    return kd_task_count(e, count_left(e, s), elements_of_task(e, kernel));
}

/* All parts, as one phase after the other left them. */
typedef struct Parts {
    const KdSums *sums;
    LLVMValueRef memory;
    int nphases;
    int64_t *first;      /* part of each phase, */
    LLVMValueRef *count; /* and how many it left */
} Parts;

static Parts find_parts(KdEmit *e, const KdInstr *kernel) {
    const KdPlan *last = making_plan(e, kernel, 0);
    Parts x = { .sums = last->sums, .nphases = making_phases(e, kernel) };
    x.memory = kd_emit_shared_scratch(e, 0, kd_sums_bytes(e, last));
    x.first = KD_NEW_ARRAY(e->arena, int64_t, x.nphases);
    x.count = KD_NEW_ARRAY(e->arena, LLVMValueRef, x.nphases);
    for (int k = 0; k < x.nphases; k++) {
        KdContraction c = { .e = e, .p = making_plan(e, kernel, k) };
        KdPieces tiles, panels;
        KdUnits units = kd_count_units(&c, &tiles, &panels);
        x.first[k] = parts_before(e, kernel, k);
        x.count[k] = LLVMBuildMul(e->b, units.groups, units.columns, "");
    }
    return x;
}

/* Adds to `sum` those of the parts of one phase. */
static void add_phase(KdEmit *e, const Parts *x, int phase, const KdPoint *at, LLVMValueRef *sum) {
    const KdSums *s = x->sums;
    LLVMValueRef lo = kd_emit_i64(e, x->first[phase]);
    KdLoop part;
    kd_loop_begin(e, &part, lo, add(e, lo, x->count[phase]), 1);
    for (int k = 0; k < s->n; k++) sum[k] = kd_loop_carry(e, &part, sum[k]);
    for (int k = 0; k < s->n; k++) {
        LLVMValueRef from =
            add(e, scaled(e, part.index, part_elements(s)), kd_emit_i64(e, k * s->elements));
        KdType left = kd_type_with_dtype(s->left, KD_F32);
        LLVMValueRef more =
            kd_emit_load_at(e, left, kd_emit_element(e, e->f32, x->memory, from), at);
        kd_loop_next(&part, k, kd_emit_combine(e, s->of[k], sum[k], more));
    }
    kd_loop_end(e, &part);
    for (int k = 0; k < s->n; k++) sum[k] = kd_loop_result(&part, k);
}

static void finish_point(KdEval *ev, const KdPoint *at, void *user) {
    KdEmit *e = ev->e;
    const Parts *x = user;
    const KdInstr *kernel = ev->kernel;
    LLVMValueRef *sum = KD_NEW_ARRAY(e->arena, LLVMValueRef, x->sums->n);
    for (int k = 0; k < x->sums->n; k++) sum[k] = kd_emit_identity(e, x->sums->of[k], at->lanes);
    for (int phase = 0; phase < x->nphases; phase++) add_phase(e, x, phase, at, sum);
    for (int k = 0; k < x->sums->n; k++) kd_eval_bind(ev, x->sums->of[k]->results[0], at, sum[k]);
    /* All results before the first store, as in maps. */
    LLVMValueRef *value = KD_NEW_ARRAY(e->arena, LLVMValueRef, kernel->nresults);
    for (int k = 0; k < kernel->nresults; k++)
        if (kd_shape_equal(kernel->results[k]->type, x->sums->left))
            value[k] = kd_eval(ev, kernel->body->results[k], at);
    for (int k = 0; k < kernel->nresults; k++)
        if (value[k]) kd_emit_store_at(e, kernel->results[k], at, value[k]);
}

void kd_sums_emit(KdEmit *e, const KdInstr *kernel) {
    KdEval *ev = kd_eval_create(e, kernel);
    Parts parts = find_parts(e, kernel);
    KdSpace space = kd_space_flat(parts.sums->left);
    LLVMValueRef lo, hi;
    kd_task_bounds(e, count_left(e, parts.sums), elements_of_task(e, kernel), &lo, &hi);
    kd_walk(ev, &space, lo, hi, finish_point, &parts);
}
