/*
 * A contraction's loops:
 *
 *     (a phase of its own: pack V, where units share it)
 *     for each unit of this task                    (group, some row tiles, some column panels)
 *         for each block of k
 *             pack rows of S, where it is not read in place
 *             for each column panel
 *                 pack V, where it is not shared
 *                 for each row tile
 *                     load sums so far; microkernel; store sums, or epilogue at the last block
 *     (a phase of its own: add up the parts of the sums, and the epilogue)
 *     (a phase of its own: add up what units summed of the epilogue)
 *
 * Panels and tiles come in at most two sizes, so there are at most four microkernels.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"

/* Distances of the steps of a block in a factor, as a constant. */
static LLVMValueRef step_table(KdEmit *e, const KdPlan *p, const KdFactor *f) {
    LLVMValueRef *entry = KD_NEW_ARRAY(e->arena, LLVMValueRef, p->kc);
    for (int64_t step = 0; step < p->kc; step++) {
        int64_t rest = step, offset = 0;
        for (int k = p->sum.n - 1; k >= p->level; k--) {
            int it = p->sum.iter[k];
            int64_t index = k == p->level ? rest : rest % p->extent[it];
            rest = k == p->level ? 0 : rest / p->extent[it];
            offset += index * f->lin[it];
        }
        entry[step] = kd_emit_i32(e, offset);
    }
    return kd_emit_table(e, "steps", entry, p->kc);
}

static void find_extents(KdContraction *c, KdPieces *tiles, KdPieces *panels) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    c->rows = kd_flat_extent(e, p, &p->rows);
    c->inner_extent = kd_flat_extent(e, p, &p->inner);
    c->inner_vectors = kd_emit_ceil_div(e, c->inner_extent, p->lanes);
    c->vectors = LLVMBuildMul(e->b, kd_flat_extent(e, p, &p->outer), c->inner_vectors, "");
    *tiles = kd_pieces_of(e, &p->row_tiles, c->rows);
    *panels = kd_pieces_of(e, &p->col_panels, c->vectors);
}

KdUnits kd_count_units(KdContraction *c, KdPieces *tiles, KdPieces *panels) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    find_extents(c, tiles, panels);
    KdUnits x = { .rows = p->packs ? kd_emit_i64(e, 1)
                                   : kd_emit_ceil_div(e, tiles->total, p->tiles_per_unit),
                  .columns = kd_emit_ceil_div(e, panels->total, p->panels_per_unit),
                  .groups = kd_flat_extent(e, p, &p->group) };
    x.total = LLVMBuildMul(e->b, LLVMBuildMul(e->b, x.rows, x.columns, ""), x.groups, "");
    if (p->parts) x.total = scaled(e, x.total, p->parts);
    return x;
}

LLVMValueRef kd_contract_tasks(KdEmit *e, const KdInstr *kernel, int phase) {
    const KdPlan *p = kd_plan_create(e, kernel, phase);
    if (p->single) return kd_emit_i32(e, 1);
    if (p->parts > 1 && phase == 1) return kd_emit_i32(e, kd_adding_tasks(p));
    if (p->winograd && p->packs) return kd_emit_i32(e, p->winograd->rows);
    KdContraction c = { .e = e, .p = p };
    KdPieces tiles, panels;
    return LLVMBuildTrunc(e->b, kd_count_units(&c, &tiles, &panels).total, e->i32, "tasks");
}

static size_t up64(int64_t bytes) {
    return (size_t)((bytes + 63) / 64 * 64);
}

static void reserve_scratch(KdContraction *c) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int64_t width = (int64_t)p->col_panels.size[0] * p->lanes;
    int64_t rows = p->tiles_per_unit * p->row_tiles.size[0];
    size_t panel =
        p->v_shared || (p->v_constant && !p->v_widened) || p->v_halo || kd_winograd_has_planes(p)
            ? 0
            : up64(kd_panel_elements(p) * 4);
    size_t copies = p->s_packed ? up64(rows * p->kpad * 4) : 0;
    size_t spack = p->packs ? 0 : copies;
    if (p->s_halo) spack = up64((p->s_halo->elements + p->lanes) * 4);
    size_t vcopy = p->v_halo ? up64((p->v_halo->elements + p->lanes) * 4) : 0;
    bool partials = p->blas || !(p->one_block || p->parts);
    size_t partial = partials ? up64(p->panels_per_unit * rows * width * 4) : 0;
    if (p->parts == 1) partial = up64(kd_part_elements(p) * 4);
    size_t product =
        up64((kd_fold_elements(p) + kd_interleave_elements(p) + kd_winograd_elements(p)) * 4);
    size_t pooled = up64(kd_pool_elements(p) * 4);
    size_t sums = kd_sums_bytes(e, p), running = kd_running_bytes(p);
    size_t kept = sums + product + running + pooled;
    LLVMValueRef begin = kd_emit_scratch(e, kept + panel + spack + partial + vcopy);
    begin = kd_emit_byte_offset(e, begin, kd_emit_i64(e, (int64_t)sums));
    c->product = kd_emit_element(e, e->f32, begin, kd_emit_i64(e, kd_interleave_offset(p)));
    c->running = kd_emit_byte_offset(e, begin, kd_emit_i64(e, (int64_t)product));
    c->pooled = kd_emit_byte_offset(e, c->running, kd_emit_i64(e, (int64_t)running));
    c->panel = kd_emit_byte_offset(e, c->pooled, kd_emit_i64(e, (int64_t)pooled));
    c->spack = kd_emit_byte_offset(e, c->panel, kd_emit_i64(e, (int64_t)panel));
    c->partial = kd_emit_byte_offset(e, c->spack, kd_emit_i64(e, (int64_t)spack));
    c->vcopy = kd_emit_byte_offset(e, c->partial, kd_emit_i64(e, (int64_t)partial));
    if (sums) c->all_sums = kd_emit_shared_scratch(e, 0, sums);
    if (p->parts > 1) {
        int64_t all = kd_flat_most(p, &p->group) * p->parts * kd_part_elements(p);
        c->shared = kd_emit_shared_scratch(e, kept + panel + spack, up64(all * 4));
    }
    if (kd_winograd_has_planes(p) && !p->winograd->constant)
        c->shared = kd_emit_shared_scratch(e, kept, up64(kd_winograd_weights(p) * 4));
    if (kd_winograd_has_planes(p) && p->winograd->constant)
        c->shared = kd_emit_base(e, kd_constant_source(p));
    if (!p->v_shared) return;
    /* Behind the copies, though the phase that packs makes none. */
    c->shared =
        kd_emit_shared_scratch(e, kept + copies, up64(p->shared_panels * kd_panel_elements(p) * 4));
}

/* One phase of the kernel, ready to emit units. */
static KdUnits begin_units(KdEmit *e, const KdPlan *p, KdEval *ev, KdContraction *c, KdUnit *u) {
    *c = (KdContraction){ .e = e, .p = p, .ev = ev };
    *u = (KdUnit){ .c = c,
                   .table = p->s_affine ? NULL : step_table(e, p, &p->s),
                   .column_table = p->v_halo ? step_table(e, p, &p->v) : NULL };
    KdUnits units = kd_count_units(c, &u->tiles, &u->panels);
    reserve_scratch(c);
    return units;
}

static void enter_unit(KdUnit *u, const KdUnits *units, LLVMValueRef index) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    if (p->parts > 1) {
        kd_enter_part(u, index);
        index = LLVMBuildUDiv(e->b, index, kd_emit_i64(e, p->parts), "");
    }
    LLVMValueRef column = LLVMBuildURem(e->b, index, units->columns, "");
    LLVMValueRef rest = LLVMBuildUDiv(e->b, index, units->columns, "");
    LLVMValueRef row = LLVMBuildURem(e->b, rest, units->rows, "");
    u->group = LLVMBuildUDiv(e->b, rest, units->rows, "");
    kd_flat_decode(c, &p->group, u->group, c->at);
    u->tile_lo = scaled(e, row, p->tiles_per_unit);
    u->tile_hi =
        kd_emit_min(e, add(e, u->tile_lo, kd_emit_i64(e, p->tiles_per_unit)), u->tiles.total);
    u->panel_lo = scaled(e, column, p->panels_per_unit);
    u->panel_hi =
        kd_emit_min(e, add(e, u->panel_lo, kd_emit_i64(e, p->panels_per_unit)), u->panels.total);
    u->row_lo = kd_piece_start(e, &u->tiles, u->tile_lo);
    u->row_hi = kd_piece_start(e, &u->tiles, u->tile_hi);
}

/* What is pooled of the unit's sample: all, or the lines of its block. */
static void pool_unit(const KdContraction *c) {
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    LLVMValueRef first = NULL, end = NULL;
    if (w && w->blocks > 1) {
        int64_t lines = kd_winograd_lines(w);
        first = scaled(e, kd_idx_value(e, 1, c->at[w->block], e->i64), lines);
        end = add(e, first, kd_emit_i64(e, lines));
    }
    kd_pool_emit(c, first, end);
}

void kd_contract_emit(KdEmit *e, const KdInstr *kernel, int phase) {
    const KdPlan *p = kd_plan_create(e, kernel, phase);
    int phases = p->phases ? p->phases : 1;
    KdContraction *c = KD_NEW_ARRAY(e->arena, KdContraction, phases);
    KdUnit *u = KD_NEW_ARRAY(e->arena, KdUnit, phases);
    KdEval *ev = kd_eval_create(e, kernel);
    KdUnits units = begin_units(e, p, ev, c, u);
    if (p->sums && !p->packs) c->first_part = kd_first_part(e, kernel, phase);
    for (int k = 1; k < phases; k++) begin_units(e, kd_plan_create(e, kernel, k), ev, &c[k], &u[k]);
    if (p->parts > 1 && phase == 1) {
        kd_emit_adding(u);
        return;
    }
    LLVMValueRef lo, hi, tasks = kd_contract_tasks(e, kernel, phase);
    if (p->winograd && p->packs) {
        kd_emit_task_range(e, c->rows, tasks, &lo, &hi);
        const KdFactor *f = &p->winograd->weights;
        LLVMValueRef from = f->memory && f->linear ? kd_emit_base(e, f->memory) : NULL;
        kd_winograd_make_weights(c, lo, hi, from, c->shared);
        return;
    }
    kd_emit_task_range(e, units.total, tasks, &lo, &hi);
    KdLoop l;
    kd_loop_begin(e, &l, lo, hi, 1);
    for (int k = 0; k < phases; k++) {
        enter_unit(&u[k], &units, l.index);
        if (p->sums && !p->packs && k == 0) kd_sums_begin(u, &units, l.index);
        if (p->pool) kd_pool_enter(c);
        if (kd_winograd_has_planes(p))
            kd_winograd_emit(&u[k], c->shared);
        else
            kd_emit_unit(&u[k]);
    }
    if (p->fold) kd_fold_emit(c, c->product);
    if (p->phases) kd_interleave_emit(c);
    if (p->sums && !p->packs) kd_sums_end(u);
    if (p->pool) pool_unit(c);
    kd_loop_end(e, &l);
}
