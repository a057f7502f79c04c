/*
 * A unit of a contraction's work: some row tiles and column panels of one group, all of k.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"

#include <string.h>

/* Where sums of a tile's vector lie between blocks of k. */
LLVMValueRef kd_partial_at(const KdUnit *u, LLVMValueRef panel, LLVMValueRef row, int v) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    int64_t width = (int64_t)p->col_panels.size[0] * p->lanes;
    int64_t rows = p->tiles_per_unit * p->row_tiles.size[0];
    LLVMValueRef line = add(e, scaled(e, sub(e, panel, u->panel_lo), rows), sub(e, row, u->row_lo));
    LLVMValueRef at = add(e, scaled(e, line, width), kd_emit_i64(e, (int64_t)v * p->lanes));
    return kd_emit_element(e, e->f32, u->c->partial, at);
}

static void zero_partials(KdUnit *u) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    int64_t count =
        p->panels_per_unit * p->tiles_per_unit * p->row_tiles.size[0] * p->col_panels.size[0];
    if (p->parts) count = kd_part_elements(p) / p->lanes;
    KdLoop l;
    kd_loop_begin(e, &l, kd_emit_i64(e, 0), kd_emit_i64(e, count), 1);
    LLVMValueRef at = kd_emit_element(e, e->f32, u->c->partial, scaled(e, l.index, p->lanes));
    kd_emit_store(e, LLVMConstNull(kd_vector_type(e->f32, p->lanes)), at, NULL);
    kd_loop_end(e, &l);
}

void kd_contract_finish(KdContraction *c, const KdColumn *column, LLVMValueRef value) {
    const KdPlan *p = c->p;
    KdPoint point = { .lanes = p->lanes,
                      .rank = p->rank,
                      .mask = column->active,
                      .prefix = column->active && !column->masked,
                      .dead = column->dead };
    KdIdx at[KD_PLAN_ITERS];
    memcpy(at, c->at, sizeof at);
    for (int k = 0; k < p->outer.n; k++) {
        at[p->outer.iter[k]] = column->at[p->outer.iter[k]];
    }
    for (int k = 0; k < p->inner.n; k++) {
        at[p->inner.iter[k]] = column->at[p->inner.iter[k]];
    }
    for (int d = 0; d < p->rank; d++) {
        KdIdx index = p->extent[d] == 1 ? kd_idx_constant(0) : at[d];
        point.dim[d] = kd_idx_combine(c->e, p->lanes, 1, &index, &p->step[d], p->first[d]);
    }
    if (p->words) value = LLVMBuildBitCast(c->e->b, value, kd_vector_type(c->e->i32, p->lanes), "");
    kd_eval_bind(c->ev, p->op->results[0], &point, value);
    /* All results before the first store: one of them may take over an operand's memory. */
    const KdInstr *kernel = p->kernel;
    LLVMValueRef *result = KD_NEW_ARRAY(c->e->arena, LLVMValueRef, kernel->nresults);
    for (int k = 0; k < kernel->nresults; k++)
        if (kd_is_whole(p, kernel->results[k]))
            result[k] = kd_eval(c->ev, kernel->body->results[k], &point);
    if (p->sums) kd_sums_add(c, &point);
    if (p->pool) kd_pool_keep(c, &point);
    for (int k = 0; k < kernel->nresults; k++)
        if (result[k]) kd_emit_store_at(c->e, kernel->results[k], &point, result[k]);
}

/* Are there sums to be read from scratch, before the epilogue? */
static bool makes_product(const KdPlan *p) {
    return p->fold || p->phases || kd_winograd_has_planes(p);
}

/* What becomes of one row of a tile after the last block of k: its epilogue, or it is stored. */
static void finish_row(KdUnit *u, const KdTile *t, int r, LLVMValueRef first,
                       const KdColumn *column) {
    KdContraction here = *u->c; /* that stays outside of the row */
    kd_flat_decode(&here, &here.p->rows, add(here.e, first, kd_emit_i64(here.e, r)), here.at);
    kd_sums_enter_row(&here, first, r);
    for (int v = 0; v < t->nv; v++) kd_contract_finish(&here, &column[v], t->acc[r * t->nv + v]);
    kd_sums_leave_row(&here, first, r);
}

static void store_row(const KdUnit *u, const KdTile *t, int r, LLVMValueRef first,
                      const KdColumn *column) {
    const KdContraction *c = u->c;
    LLVMValueRef row = add(c->e, first, kd_emit_i64(c->e, r));
    for (int v = 0; v < t->nv; v++) {
        LLVMValueRef at = add(c->e, scaled(c->e, row, c->p->row_c), column[v].first);
        kd_emit_store(c->e, t->acc[r * t->nv + v], kd_emit_element(c->e, c->e->f32, c->product, at),
                      NULL);
    }
}

void kd_finish_tile(KdUnit *u, const KdTile *t, LLVMValueRef first_row, const KdColumn *column) {
    int mark = kd_eval_mark(u->c->ev);
    for (int r = 0; r < t->mr; r++) {
        if (makes_product(u->c->p))
            store_row(u, t, r, first_row, column);
        else
            finish_row(u, t, r, first_row, column);
    }
    kd_eval_release(u->c->ev, mark);
}

/* Where the copy of tile number `tile` begins. */
static LLVMValueRef tile_copy(const KdUnit *u, LLVMValueRef tile) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    LLVMValueRef nth = sub(e, tile, u->tile_lo);
    return kd_emit_element(e, e->f32, u->c->spack, scaled(e, nth, p->row_tiles.size[0] * p->kpad));
}

/* The loop over this unit's tiles of the k-th size; false when there is no such size. */
static bool begin_tiles(KdUnit *u, int k, KdLoop *tile) {
    if (!kd_has_size(&u->c->p->row_tiles, k)) return false;
    LLVMValueRef lo = u->tile_lo, hi = u->tile_hi;
    kd_piece_range(u->c->e, &u->tiles, k, &lo, &hi);
    kd_loop_begin(u->c->e, tile, lo, hi, 1);
    return true;
}

static void pack_tiles(KdUnit *u) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    KdLoop tile;
    for (int k = 0; k < 2; k++) {
        if (!begin_tiles(u, k, &tile)) continue;
        LLVMValueRef first = kd_piece_start(e, &u->tiles, tile.index);
        kd_pack_tile(u->c, kd_emit_element(e, e->f32, u->s_base, first), tile_copy(u, tile.index),
                     p->row_tiles.size[k]);
        kd_loop_end(e, &tile);
    }
}

/* The same of a tile whose rows are at known distances. */
static void point_runs(KdUnit *u, KdTile *t, LLVMValueRef first_row) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    KdIdx at[KD_PLAN_ITERS] = { { 0 } };
    kd_flat_decode(u->c, &p->rows, first_row, at);
    LLVMValueRef offset = kd_flat_offset(e, &p->rows, at, p->s.lin);
    LLVMValueRef first = kd_emit_element(e, e->f32, u->s_base, offset);
    for (int r = 0; r < t->mr; r++) {
        int64_t rest = r, distance = 0;
        for (int k = p->rows.n - 1; k >= 0; k--) {
            int it = p->rows.iter[k];
            distance += (k > 0 ? rest % p->extent[it] : rest) * p->s.lin[it];
            rest /= p->extent[it];
        }
        t->row[r] = kd_emit_element(e, e->f32, first, kd_emit_i64(e, distance));
    }
}

/* Where the rows of a tile begin in S. */
static void point_rows(KdUnit *u, KdTile *t, LLVMValueRef first_row) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef first = NULL;
    if (p->row_runs && !p->s_packed) {
        point_runs(u, t, first_row);
        return;
    }
    if (p->s_packed)
        first = scaled(e, sub(e, first_row, u->row_lo), p->kpad);
    else if (p->row_linear)
        first = scaled(e, first_row, p->row_s);
    LLVMValueRef base = p->s_packed ? c->spack : u->s_base;
    if (first) base = kd_emit_element(e, e->f32, base, first);
    for (int r = 0; r < t->mr; r++) {
        LLVMValueRef offset = kd_emit_i64(e, r * (p->s_packed ? p->kpad : p->row_s));
        if (!first) {
            KdIdx at[KD_PLAN_ITERS] = { { 0 } };
            kd_flat_decode(c, &p->rows, add(e, first_row, kd_emit_i64(e, r)), at);
            offset = kd_flat_offset(e, &p->rows, at, p->s.lin);
        }
        t->row[r] = kd_emit_element(e, e->f32, base, offset);
    }
}

/* After the last block of k: the epilogue of rows [lo, hi), whose sums lie in scratch. */
static void finish_partials(KdUnit *u, int nv, LLVMValueRef panel, LLVMValueRef lo, LLVMValueRef hi,
                            const KdColumn *column) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    KdTile t = { .mr = 1, .nv = nv };
    KdLoop row;
    if (u->last) {
        hi = LLVMBuildSelect(e->b, u->last, hi, lo, "");
    }
    kd_loop_begin(e, &row, lo, hi, 1);
    for (int v = 0; v < nv; v++) {
        LLVMValueRef at = kd_partial_at(u, panel, row.index, v);
        t.acc[v] = kd_emit_load(e, e->f32, c->p->lanes, at, NULL);
    }
    kd_finish_tile(u, &t, row.index, column);
    kd_loop_end(e, &row);
}

/* Where a vector of columns begins in constant panels: see embed.c. */
static LLVMValueRef stream_column(const KdUnit *u, const KdColumn *column) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    LLVMValueRef width = kd_emit_i64(e, p->stream);
    LLVMValueRef nth = add(
        e, scaled(e, u->group, kd_panel_streams(p)),
        LLVMBuildMul(e->b, column->outer, kd_emit_ceil_div(e, u->c->inner_extent, p->stream), ""));
    nth = add(e, nth, LLVMBuildUDiv(e->b, column->first, width, ""));
    LLVMValueRef step = add(e, scaled(e, nth, kd_flat_most(p, &p->sum)), u->c->k_first);
    LLVMValueRef at =
        add(e, scaled(e, step, p->stream), LLVMBuildURem(e->b, column->first, width, ""));
    const KdValue *source = kd_constant_source(p);
    LLVMTypeRef type = p->v.stored ? kd_emit_type(e, source->type.dtype) : e->f32; /* or words */
    return kd_emit_element(e, type, kd_emit_base(e, source), at);
}

/* Constant panels of a stored type as one of f32. */
static void widen_panel(KdUnit *u, int nv, const KdColumn *column) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    KdTile t = { .nv = nv, .step = c->p->stream, .stored = c->p->v.stored->type.dtype };
    LLVMValueRef x[KD_MAX_NV];
    for (int v = 0; v < nv; v++) t.column[v] = stream_column(u, &column[v]);
    KdLoop step;
    kd_loop_begin(e, &step, kd_emit_i64(e, 0), c->k_count, 1);
    kd_tile_columns(e, &t, step.index, x);
    for (int v = 0; v < nv; v++) {
        LLVMValueRef at = scaled(e, step.index, (int64_t)nv * c->p->lanes);
        at = add(e, at, kd_emit_i64(e, (int64_t)v * c->p->lanes));
        kd_emit_store(e, x[v], kd_emit_element(e, e->f32, c->panel, at), NULL);
    }
    kd_loop_end(e, &step);
}

static void emit_tile(KdUnit *u, const KdTile *like, LLVMValueRef panel, LLVMValueRef tile,
                      const KdColumn *column) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int mr = like->mr, nv = like->nv;
    LLVMValueRef row = kd_piece_start(e, &u->tiles, tile);
    bool streams = p->v_constant && !p->v_widened;
    KdTile t = { .mr = mr,
                 .nv = nv,
                 .words = p->words,
                 .v_signed = p->v_signed,
                 .panel = p->v_halo || streams ? NULL : c->panel,
                 .stored = streams && p->v.stored ? p->v.stored->type.dtype : KD_F32,
                 .column_table = u->column_table,
                 .step = streams                     ? p->stream
                         : kd_winograd_has_planes(p) ? p->winograd->tiles
                                                     : (int64_t)nv * p->lanes,
                 .table = u->table,
                 .stride = p->s_tiled ? mr : p->s_step,
                 .count = p->bf16 ? kd_bf16_steps(e, c->k_count) : c->k_count,
                 .bf16 = p->bf16 };
    if (p->s_tiled) {
        LLVMValueRef copy = tile_copy(u, tile);
        for (int r = 0; r < mr; r++) t.row[r] = kd_emit_element(e, e->f32, copy, kd_emit_i64(e, r));
    } else {
        point_rows(u, &t, row);
    }
    for (int v = 0; v < nv && !t.panel; v++)
        t.column[v] = p->v_halo ? kd_window_column(c, &column[v]) : stream_column(u, &column[v]);
    for (int k = 0; k < mr * nv; k++) {
        t.acc[k] = LLVMConstNull(kd_vector_type(e->f32, p->lanes));
        if (u->last) {
            LLVMValueRef at = kd_partial_at(u, panel, add(e, row, kd_emit_i64(e, k / nv)), k % nv);
            t.acc[k] = kd_emit_load(e, e->f32, p->lanes, at, NULL);
        }
    }
    if (!p->empty) {
        if (!p->winograd) kd_prefetch_tile(u, column, panel, tile, &t);
        kd_tile_run(e, &t);
    }
    if (!u->last) {
        kd_finish_tile(u, &t, row, column);
        return;
    }
    for (int k = 0; k < mr * nv; k++) {
        LLVMValueRef at = kd_partial_at(u, panel, add(e, row, kd_emit_i64(e, k / nv)), k % nv);
        kd_emit_store(e, t.acc[k], at, NULL);
    }
    if (p->parts) return;
    finish_partials(u, nv, panel, row, add(e, row, kd_emit_i64(e, mr)), column);
}

/* The tiles of one packed panel. */
void kd_emit_tiles(KdUnit *u, int nv, LLVMValueRef panel, const KdColumn *column) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    KdLoop tile;
    for (int k = 0; k < 2; k++) {
        if (!begin_tiles(u, k, &tile)) continue;
        const KdTile like = { .mr = p->row_tiles.size[k], .nv = nv };
        emit_tile(u, &like, panel, tile.index, column);
        kd_loop_end(e, &tile);
    }
}

/* sgemm on one packed panel, and at the last block of k the epilogue, row by row. */
static void emit_blas(KdUnit *u, int nv, LLVMValueRef panel, const KdColumn *column) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    KdTile t = { .mr = 1, .nv = nv };
    point_rows(u, &t, u->row_lo);
    kd_blas_panel(c, t.row[0], sub(e, u->row_hi, u->row_lo), nv,
                  kd_partial_at(u, panel, u->row_lo, 0));
    finish_partials(u, nv, panel, u->row_lo, u->row_hi, column);
}

int64_t kd_panel_elements(const KdPlan *p) {
    return (p->kc + p->lanes) * p->col_panels.size[0] * p->lanes;
}

/* Packs the panel, or finds it among those that are shared. */
static void provide_panel(KdUnit *u, LLVMValueRef panel, LLVMValueRef first, int nv) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    if (p->v_shared) {
        LLVMValueRef nth = add(e, LLVMBuildMul(e->b, u->group, u->panels.total, ""), panel);
        c->panel = kd_emit_element(e, e->f32, c->shared, scaled(e, nth, kd_panel_elements(p)));
    }
    if (kd_winograd_has_planes(p)) { /* its columns lie so already */
        c->panel = kd_emit_element(e, e->f32, c->vcopy, scaled(e, first, p->lanes));
        return;
    }
    if (p->empty || p->v_constant || p->v_halo || (p->v_shared && !p->packs)) return;
    bool directly = p->bf16 && kd_bf16_has_lines(p);
    if (!directly && !kd_pack_panel_fast(c, first, nv)) kd_pack_panel(c, first, nv);
    if (p->bf16) kd_bf16_panel(c, directly ? first : NULL, nv);
}

/* All column panels and row tiles of the unit for one block of k. */
static void emit_panels(KdUnit *u, int size) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    int nv = c->p->col_panels.size[size];
    LLVMValueRef lo = u->panel_lo, hi = u->panel_hi;
    kd_piece_range(e, &u->panels, size, &lo, &hi);
    KdLoop panel;
    kd_loop_begin(e, &panel, lo, hi, 1);
    LLVMValueRef first = kd_piece_start(e, &u->panels, panel.index);
    provide_panel(u, panel.index, first, nv);
    if (c->p->packs) {
        kd_loop_end(e, &panel);
        return;
    }
    KdColumn column[KD_MAX_NV];
    for (int v = 0; v < nv; v++) {
        kd_column_at(c, add(e, first, kd_emit_i64(e, v)), &column[v]);
    }
    if (c->p->v_widened) widen_panel(u, nv, column);
    if (c->p->blas) {
        emit_blas(u, nv, panel.index, column);
    } else if (c->p->winograd && c->p->winograd->gradient) {
        kd_winograd_gradient_panel(u, nv, panel.index, column);
    } else {
        kd_emit_tiles(u, nv, panel.index, column);
    }
    kd_loop_end(e, &panel);
}

void kd_emit_panels(KdUnit *u) {
    for (int size = 0; size < 2; size++)
        if (kd_has_size(&u->c->p->col_panels, size)) emit_panels(u, size);
}

/* The extent of the k-th iterator of the sum: of the batch, that of the unit's part. */
static LLVMValueRef sum_extent(const KdUnit *u, int k) {
    const KdPlan *p = u->c->p;
    return p->parts > 1 && k == 0 ? u->samples : kd_emit_extent(u->c->e, p->extent[p->sum.iter[k]]);
}

/* Sets the iterators of the sum to the beginning of block `nth`. */
static void enter_block(KdUnit *u, LLVMValueRef nth) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int chunked = p->sum.iter[p->level], batch = p->sum.iter[0];
    LLVMValueRef extent = sum_extent(u, p->level);
    LLVMValueRef chunks = kd_emit_ceil_div(e, extent, p->chunk);
    LLVMValueRef first = scaled(e, LLVMBuildURem(e->b, nth, chunks, ""), p->chunk);
    LLVMValueRef rest = LLVMBuildUDiv(e->b, nth, chunks, "");
    c->k_first = scaled(e, add(e, LLVMBuildMul(e->b, rest, extent, ""), first), p->period);
    c->at[chunked] = kd_idx_uniform(first, 1);
    c->chunk_count = kd_emit_min(e, kd_emit_i64(e, p->chunk), sub(e, extent, first));
    c->k_count = scaled(e, c->chunk_count, p->period);
    for (int k = p->level + 1; k < p->sum.n; k++) c->at[p->sum.iter[k]] = kd_idx_constant(0);
    KdFlat outer = { .n = p->level };
    for (int k = 0; k < p->level; k++) outer.iter[k] = p->sum.iter[k];
    kd_flat_decode(c, &outer, rest, c->at);
    if (p->parts > 1) {
        LLVMValueRef sample = kd_idx_value(e, 1, c->at[batch], e->i64);
        c->at[batch] = kd_idx_uniform(add(e, sample, u->first_sample), 1);
    }
    if (p->s_packed && !p->s_tiled && !p->s_line) return;
    if (p->s_halo) {
        u->s_base = kd_emit_element(e, e->f32, c->spack, kd_emit_i64(e, p->s.offset));
        return;
    }
    LLVMValueRef at =
        add(e, kd_emit_i64(e, p->s.offset), kd_flat_offset(e, &p->group, c->at, p->s.lin));
    at = add(e, at, kd_flat_offset(e, &p->sum, c->at, p->s.lin));
    u->s_base = kd_emit_element(e, e->f32, kd_emit_base(e, p->s.memory), at);
}

/* Blocks of k of the whole sum. */
static LLVMValueRef count_blocks(const KdUnit *u) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    LLVMValueRef blocks = kd_emit_ceil_div(e, sum_extent(u, p->level), p->chunk);
    for (int k = 0; k < p->level; k++) blocks = LLVMBuildMul(e->b, blocks, sum_extent(u, k), "");
    return blocks;
}

static void provide_rows(KdUnit *u) {
    const KdPlan *p = u->c->p;
    bool directly = p->bf16 && p->s_line;
    if (!directly) kd_pack_rows(u->c, u->row_lo, u->row_hi);
    if (p->bf16) kd_bf16_rows(u->c, directly ? u->s_base : NULL, u->row_lo, u->row_hi);
}

static void emit_block(KdUnit *u, LLVMValueRef nth) {
    const KdPlan *p = u->c->p;
    enter_block(u, nth);
    if (p->s_tiled && !p->empty && !p->packs)
        pack_tiles(u);
    else if (p->s_packed && !p->empty && !p->packs)
        provide_rows(u);
    else if (p->s_halo)
        kd_halo_copy(u->c, p->s_halo, u->c->spack);
    if (p->v_halo && !p->empty) kd_halo_copy(u->c, p->v_halo, u->c->vcopy);
    if (p->winograd) kd_winograd_gradient_inputs(u);
    kd_emit_panels(u);
}

void kd_emit_unit(KdUnit *u) {
    KdEmit *e = u->c->e;
    if (u->c->p->blas || !u->c->p->one_block) {
        zero_partials(u);
    }
    if (u->c->p->one_block) {
        emit_block(u, kd_emit_i64(e, 0));
        return;
    }
    LLVMValueRef blocks = count_blocks(u);
    KdLoop l;
    kd_loop_begin(e, &l, kd_emit_i64(e, 0), blocks, 1);
    u->last = LLVMBuildICmp(e->b, LLVMIntEQ, l.index, sub(e, blocks, kd_emit_i64(e, 1)), "last");
    emit_block(u, l.index);
    kd_loop_end(e, &l);
    if (u->c->p->parts == 1) kd_finish_slice(u);
}
