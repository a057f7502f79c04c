/*
 * Gradients of convolutions with respect to their weights, by Winograd's products, the adjoint of
 * contract_winograd.c:
 *
 *     dg = Gᵀ [ Σ_tiles (A dY Aᵀ) ∘ (Bᵀ d B) ] G
 *
 * Sums over the batch are made in parts (contract_split.c):
 *
 *     phase 0, a part a unit, some samples at a time:
 *         V[t][channel][tile]        = Bᵀ d B
 *         for each panel of columns, which are the channels of dY:
 *             panel[pixel][column]   = dY                  packed as for any other contraction
 *             half[i][j][tile][column] = A dY
 *             for each product t:
 *                 Z[tile][column]    = A dY Aᵀ             which stays in the first-level cache
 *                 part[t][channel][column] += Σ_tile V · Z
 *     phase 1, some channels a task: Gᵀ (Σ_part part) G, and the epilogue
 *
 * or, where there would be one part, in slices: some channels and panels a unit, which ends with
 * what is phase 1 above.
 *
 * Tiles are summed in their order, images one after the other, for any width of vectors.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"
#include "backend/eval.h"

enum { TAPS = KD_WINOGRAD_MOST_TAPS, SIDE = KD_WINOGRAD_MOST_SIDE };

/* --- phase 0 ---------------------------------------------------------------------------------- */

/* A dY, behind V in scratch. */
static LLVMValueRef place_half(const KdContraction *c) {
    const KdWinograd *w = c->p->winograd;
    LLVMValueRef behind = kd_emit_i64(c->e, w->products * w->v_plane);
    return kd_emit_element(c->e, c->e->f32, c->product, behind);
}

void kd_winograd_gradient_inputs(const KdUnit *u) {
    const KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    KdContraction here = *c;
    int batch = p->sum.iter[0];
    LLVMValueRef first = kd_idx_value(e, 1, c->at[batch], e->i64);
    LLVMValueRef behind = kd_emit_i64(e, (2 * w->side + 1) * w->m_plane);
    LLVMValueRef lines = kd_emit_element(e, e->f32, place_half(c), behind);
    KdLoop sample;
    kd_loop_begin(e, &sample, kd_emit_i64(e, 0), c->chunk_count, 1);
    here.at[batch] = kd_idx_uniform(add(e, first, sample.index), 1);
    here.at[w->block] = kd_idx_uniform(kd_emit_i64(e, 0), 1);
    LLVMValueRef to = scaled(e, sample.index, w->image_tiles);
    kd_winograd_inputs(&here, u->row_lo, u->row_hi, lines,
                       kd_emit_element(e, e->f32, c->product, to));
    kd_loop_end(e, &sample);
}

/* The last row of A has 1 or -1 in its second place alone. */
static double last_factor(const KdWinograd *w) {
    return kd_winograd_coefficient(w->taps, KD_WINOGRAD_AT, true, (int)w->side - 1, 1);
}

/* One vector of A dY from the four pixels of a tile, the first of which is at `from`. */
static void transform_tile(const KdContraction *c, int64_t width, LLVMValueRef from,
                           LLVMValueRef to) {
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    for (int j = 0; j < 2; j++) {
        LLVMValueRef pixel[2], half[SIDE];
        for (int i = 0; i < 2; i++) {
            LLVMValueRef place = kd_emit_i64(e, (i * w->x.extent + j) * width);
            pixel[i] =
                kd_emit_load(e, e->f32, c->p->lanes, kd_emit_element(e, e->f32, from, place), NULL);
            if (c->p->rounded) pixel[i] = kd_emit_round_bf16(e, pixel[i]);
        }
        kd_winograd_apply(e, w->taps, KD_WINOGRAD_AT, true, pixel, half, w->side);
        for (int i = 0; i < w->side; i++) {
            LLVMValueRef plane = kd_emit_i64(e, (2 * i + j) * w->m_plane);
            if (j == 1 && last_factor(w) < 0) half[i] = LLVMBuildFNeg(e->b, half[i], "");
            kd_emit_store(e, half[i], kd_emit_element(e, e->f32, to, plane), NULL);
        }
    }
}

/* A dY of a packed panel. */
static void transform_panel(const KdContraction *c, int nv, LLVMValueRef half) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    int64_t width = (int64_t)nv * p->lanes, across = w->x.extent / 2, down = w->y.extent / 2;
    LLVMValueRef zero = kd_emit_i64(e, 0);
    KdLoop line, tile, vector;
    kd_loop_begin(e, &line, zero, scaled(e, c->chunk_count, down), 1);
    kd_loop_begin(e, &tile, zero, kd_emit_i64(e, across), 1);
    kd_loop_begin(e, &vector, zero, kd_emit_i64(e, width), p->lanes);
    LLVMValueRef pixel = add(e, scaled(e, line.index, 2 * w->x.extent), scaled(e, tile.index, 2));
    LLVMValueRef place = add(e, scaled(e, line.index, across), tile.index);
    LLVMValueRef from = add(e, scaled(e, pixel, width), vector.index);
    LLVMValueRef to = add(e, scaled(e, place, width), vector.index);
    transform_tile(c, width, kd_emit_element(e, e->f32, c->panel, from),
                   kd_emit_element(e, e->f32, half, to));
    kd_loop_end(e, &vector);
    kd_loop_end(e, &tile);
    kd_loop_end(e, &line);
}

/* What the second of two numbers is multiplied by, before it is added to the first, in each row of
 * A but the first and the last, which are one of the numbers. */
static LLVMValueRef factor_table(KdEmit *e, const KdWinograd *w) {
    LLVMValueRef entry[SIDE];
    for (int j = 0; j < w->side; j++) {
        double factor = kd_winograd_coefficient(w->taps, KD_WINOGRAD_AT, true, j, 1);
        entry[j] = kd_emit_f32(e, factor * last_factor(w));
    }
    return kd_emit_table(e, "factors", entry, w->side);
}

/* Z of product number `t` of a panel, from A dY: made at `z`, or where it lies already. */
static LLVMValueRef provide_product(const KdContraction *c, int nv, LLVMValueRef t,
                                    LLVMValueRef half, LLVMValueRef z) {
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    LLVMValueRef side = kd_emit_i64(e, w->side), last = kd_emit_i64(e, w->side - 1);
    LLVMValueRef zero = kd_emit_i64(e, 0), j = LLVMBuildURem(e->b, t, side, "");
    LLVMValueRef i = LLVMBuildUDiv(e->b, t, side, "");
    LLVMValueRef a = kd_emit_element(e, e->f32, half, scaled(e, i, 2 * w->m_plane));
    LLVMValueRef b = kd_emit_element(e, e->f32, a, kd_emit_i64(e, w->m_plane));
    LLVMValueRef is_a = LLVMBuildICmp(e->b, LLVMIntEQ, j, zero, "");
    LLVMValueRef is_b = LLVMBuildICmp(e->b, LLVMIntEQ, j, last, "");
    LLVMValueRef count = scaled(e, c->k_count, (int64_t)nv * c->p->lanes);
    count = LLVMBuildSelect(e->b, LLVMBuildOr(e->b, is_a, is_b, ""), zero, count, "");
    LLVMValueRef factor = kd_emit_element(e, e->f32, factor_table(e, w), j);
    factor = kd_emit_splat(e, kd_emit_load(e, e->f32, 1, factor, NULL), c->p->lanes);
    KdLoop l;
    kd_loop_begin(e, &l, zero, count, c->p->lanes);
    LLVMValueRef x =
        kd_emit_load(e, e->f32, c->p->lanes, kd_emit_element(e, e->f32, a, l.index), NULL);
    LLVMValueRef y =
        kd_emit_load(e, e->f32, c->p->lanes, kd_emit_element(e, e->f32, b, l.index), NULL);
    x = LLVMBuildFAdd(e->b, x, LLVMBuildFMul(e->b, factor, y, ""), "");
    kd_emit_store(e, x, kd_emit_element(e, e->f32, z, l.index), NULL);
    kd_loop_end(e, &l);
    return LLVMBuildSelect(e->b, is_a, a, LLVMBuildSelect(e->b, is_b, b, z, ""), "");
}

void kd_winograd_gradient_panel(const KdUnit *of, int nv, LLVMValueRef panel,
                                const KdColumn *column) {
    KdContraction here = *of->c;
    KdUnit u = *of;
    KdEmit *e = here.e;
    const KdPlan *p = here.p;
    const KdWinograd *w = p->winograd;
    LLVMValueRef half = place_half(&here);
    LLVMValueRef z = kd_emit_element(e, e->f32, half, kd_emit_i64(e, 2 * w->side * w->m_plane));
    transform_panel(&here, nv, half);
    u.c = &here;
    here.k_count = scaled(e, here.chunk_count, w->image_tiles);
    KdLoop t;
    kd_loop_begin(e, &t, kd_emit_i64(e, 0), kd_emit_i64(e, w->products), 1);
    LLVMValueRef before = scaled(e, u.row_lo, p->row_s); /* of rows that other units have */
    u.s_base =
        kd_emit_element(e, e->f32, here.product, sub(e, scaled(e, t.index, w->v_plane), before));
    here.panel = provide_product(&here, nv, t.index, half, z);
    LLVMValueRef part = scaled(e, t.index, kd_part_elements(p) / w->products);
    here.partial = kd_emit_element(e, e->f32, of->c->partial, part);
    kd_emit_tiles(&u, nv, panel, column);
    kd_loop_end(e, &t);
}

/* --- phase 1 ---------------------------------------------------------------------------------- */

/* The sum of the parts of one product, in their order. */
static LLVMValueRef sum_parts(const KdUnit *u, LLVMValueRef at) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    if (p->parts == 1) return kd_emit_load(e, e->f32, p->lanes, at, NULL);
    LLVMValueRef zero = LLVMConstNull(kd_vector_type(e->f32, p->lanes));
    KdLoop part;
    kd_loop_begin(e, &part, kd_emit_i64(e, 0), kd_emit_i64(e, p->parts), 1);
    LLVMValueRef sum = kd_loop_carry(e, &part, zero);
    LLVMValueRef behind = scaled(e, part.index, kd_part_elements(p));
    LLVMValueRef here = kd_emit_element(e, e->f32, at, behind);
    LLVMValueRef value = kd_emit_load(e, e->f32, p->lanes, here, NULL);
    kd_loop_next(&part, 0, LLVMBuildFAdd(e->b, sum, value, ""));
    kd_loop_end(e, &part);
    return kd_loop_result(&part, 0);
}

/* Room for `count` vectors on the stack. */
static LLVMValueRef make_room(KdEmit *e, int64_t count) {
    return kd_emit_alloca(e, kd_vector_type(e->f32, e->lanes), count, KDRT_ALIGN);
}

static LLVMValueRef vector_at(KdEmit *e, LLVMValueRef room, LLVMValueRef index) {
    return kd_emit_element(e, kd_vector_type(e->f32, e->lanes), room, index);
}

/* The sums of all products, of a row in one vector of columns; those of the first part are at `at`.
 */
static LLVMValueRef sum_products(const KdUnit *u, LLVMValueRef at) {
    KdEmit *e = u->c->e;
    const KdWinograd *w = u->c->p->winograd;
    LLVMValueRef all = make_room(e, w->products);
    KdLoop t;
    kd_loop_begin(e, &t, kd_emit_i64(e, 0), kd_emit_i64(e, w->products), 1);
    LLVMValueRef plane = scaled(e, t.index, kd_part_elements(u->c->p) / w->products);
    LLVMValueRef sum = sum_parts(u, kd_emit_element(e, e->f32, at, plane));
    kd_emit_store(e, sum, vector_at(e, all, t.index), NULL);
    kd_loop_end(e, &t);
    return all;
}

/* Gᵀ times them, as [tap of y][side]. */
static LLVMValueRef transform_columns(KdEmit *e, const KdWinograd *w, LLVMValueRef sums) {
    LLVMValueRef half = make_room(e, w->taps * w->side), x[SIDE], taps[TAPS];
    KdLoop j;
    kd_loop_begin(e, &j, kd_emit_i64(e, 0), kd_emit_i64(e, w->side), 1);
    for (int i = 0; i < w->side; i++) {
        LLVMValueRef at = vector_at(e, sums, add(e, kd_emit_i64(e, w->side * i), j.index));
        x[i] = kd_emit_load(e, e->f32, e->lanes, at, NULL);
    }
    kd_winograd_apply(e, w->taps, KD_WINOGRAD_G, true, x, taps, w->taps);
    for (int i = 0; i < w->taps; i++) {
        LLVMValueRef at = vector_at(e, half, add(e, kd_emit_i64(e, w->side * i), j.index));
        kd_emit_store(e, taps[i], at, NULL);
    }
    kd_loop_end(e, &j);
    return half;
}

/* Times G, and the epilogue. */
static void finish_lines(KdUnit *u, LLVMValueRef half, LLVMValueRef row, const KdColumn *column) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    LLVMValueRef x[SIDE], taps[TAPS], last = kd_emit_i64(e, w->taps - 1);
    KdLoop i;
    kd_loop_begin(e, &i, kd_emit_i64(e, 0), kd_emit_i64(e, w->taps), 1);
    for (int j = 0; j < w->side; j++) {
        LLVMValueRef at = add(e, scaled(e, i.index, w->side), kd_emit_i64(e, j));
        x[j] = kd_emit_load(e, e->f32, e->lanes, vector_at(e, half, at), NULL);
    }
    kd_winograd_apply(e, w->taps, KD_WINOGRAD_G, true, x, taps, w->taps);
    c->at[w->y.tap] = kd_idx_uniform(w->y.turned ? sub(e, last, i.index) : i.index, 1);
    for (int j = 0; j < w->taps; j++) {
        KdTile t = { .mr = 1, .nv = 1, .acc = { taps[j] } };
        c->at[w->x.tap] = kd_idx_constant(w->x.turned ? w->taps - 1 - j : j);
        kd_finish_tile(u, &t, row, column);
    }
    kd_loop_end(e, &i);
}

void kd_winograd_gradient_add(KdUnit *u, int nv, LLVMValueRef panel, LLVMValueRef row) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    LLVMValueRef first = kd_piece_start(e, &u->panels, panel);
    LLVMValueRef from = kd_partial_at(u, panel, row, 0);
    KdColumn column;
    KdLoop v; /* without unrolling: there is much code to each, and little work in all */
    kd_loop_begin(e, &v, kd_emit_i64(e, 0), kd_emit_i64(e, nv), 1);
    kd_column_at(c, add(e, first, v.index), &column);
    LLVMValueRef at = kd_emit_element(e, e->f32, from, scaled(e, v.index, c->p->lanes));
    LLVMValueRef half = transform_columns(e, c->p->winograd, sum_products(u, at));
    finish_lines(u, half, row, &column);
    kd_loop_end(e, &v);
}
