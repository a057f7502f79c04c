/*
 * Results of Winograd's products (contract_winograd.c):
 *
 *     Y = Aᵀ M A
 *
 * put in the order of memory, and through the epilogue.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"
#include "backend/eval.h"

enum { SIDE = KD_WINOGRAD_MOST_SIDE };

/* The four results of each of a vector's tiles, as four vectors in the order of memory: lane l of
 * vector s is pixel (y, x) of those that lie `lines` of tiles below one another. */
typedef struct Pixels {
    int32_t *y, *x, *dead;
    int *pick[2]; /* from tiles' left and right pixels, of upper and lower ones */
    bool any_dead, upper, lower;
} Pixels;

static Pixels pixels_of(KdEmit *e, const KdPlan *p, int s) {
    const KdWinograd *w = p->winograd;
    Pixels x = { .y = KD_NEW_ARRAY(e->arena, int32_t, p->lanes),
                 .x = KD_NEW_ARRAY(e->arena, int32_t, p->lanes),
                 .dead = KD_NEW_ARRAY(e->arena, int32_t, p->lanes) };
    for (int k = 0; k < 2; k++) x.pick[k] = KD_NEW_ARRAY(e->arena, int, p->lanes);
    int wide = 2 * (int)w->width;
    for (int l = 0; l < p->lanes; l++) {
        int nth = s * p->lanes + l, line = nth / wide, tile = line / 2, across = nth % wide;
        x.dead[l] = tile >= w->lines || (w->lines > 1 && across >= w->x.extent);
        if (x.dead[l]) tile = line = across = 0;
        x.y[l] = line;
        x.x[l] = across;
        x.pick[0][l] = x.pick[1][l] = tile * (int)w->width + across / 2 + across % 2 * p->lanes;
        x.any_dead |= x.dead[l];
        *(line % 2 ? &x.lower : &x.upper) |= !x.dead[l];
    }
    return x;
}

static LLVMValueRef gather_pixels(KdEmit *e, const Pixels *x, LLVMValueRef y[2][2], int lanes) {
    LLVMValueRef part[2] = { NULL, NULL };
    if (x->upper) part[0] = kd_emit_shuffle(e, y[0][0], y[0][1], lanes, x->pick[0]);
    if (x->lower) part[1] = kd_emit_shuffle(e, y[1][0], y[1][1], lanes, x->pick[1]);
    if (!x->upper || !x->lower) return part[x->upper ? 0 : 1];
    int *pick = KD_NEW_ARRAY(e->arena, int, lanes);
    for (int l = 0; l < lanes; l++) pick[l] = l + x->y[l] % 2 * lanes;
    return kd_emit_shuffle(e, part[0], part[1], lanes, pick);
}

/* An index of lanes: base plus what a pattern says, which need not begin with 0. */
static KdIdx pattern(KdEmit *e, LLVMValueRef base, int64_t multiple, const int32_t *x, int lanes) {
    int32_t *from = KD_NEW_ARRAY(e->arena, int32_t, lanes);
    for (int l = 0; l < lanes; l++) from[l] = x[l] - x[0];
    KdIdx index = kd_idx_pattern(e, base, multiple, from, lanes);
    index.offset += x[0];
    return index;
}

/* Lanes below `extent`, or NULL where all are that may be. */
static LLVMValueRef below(KdEmit *e, int lanes, KdIdx at, int64_t extent, int64_t most) {
    if (most <= extent) return NULL;
    LLVMValueRef index = kd_idx_value(e, lanes, at, e->i64);
    return LLVMBuildICmp(e->b, LLVMIntSLT, index, kd_emit_splat(e, kd_emit_i64(e, extent), lanes),
                         "");
}

/* Results of vector `nth` of line `group` of tiles: their epilogue, at row and image of `c`. */
static void finish_pixels(KdContraction *c, LLVMValueRef group, LLVMValueRef nth,
                          LLVMValueRef y[2][2]) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    int lanes = p->lanes;
    int64_t step = 2 * (int64_t)lanes;
    for (int s = 0; s < 4; s++) {
        Pixels x = pixels_of(e, p, s);
        if (!x.upper && !x.lower) continue;
        KdColumn column = { .dead = x.any_dead ? x.dead : NULL, .masked = true };
        KdIdx down = pattern(e, scaled(e, group, 2 * w->lines), 2 * w->lines, x.y, lanes);
        KdIdx across = pattern(e, scaled(e, nth, step), step, x.x, lanes);
        LLVMValueRef low = below(e, lanes, down, w->y.extent, 2 * w->blocks * w->groups * w->lines);
        LLVMValueRef left = below(e, lanes, across, w->x.extent, 2 * w->vectors * w->width);
        column.active = low && left ? LLVMBuildAnd(e->b, low, left, "") : low ? low : left;
        column.at[w->y.column] = down;
        column.at[w->x.column] = across;
        kd_contract_finish(c, &column, gather_pixels(e, &x, y, lanes));
    }
}

/* Aᵀ M A of one row and vector of tiles, whose first product lies at `from`. */
static void transform_products(const KdContraction *c, LLVMValueRef from, LLVMValueRef y[2][2]) {
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    LLVMValueRef half[2][SIDE];
    for (int j = 0; j < w->side; j++) {
        LLVMValueRef m[SIDE], column[2];
        for (int i = 0; i < w->side; i++) {
            LLVMValueRef plane = kd_emit_i64(e, (w->side * i + j) * w->m_plane);
            LLVMValueRef at = kd_emit_element(e, e->f32, from, plane);
            m[i] = kd_emit_load(e, e->f32, c->p->lanes, at, NULL);
        }
        kd_winograd_apply(e, w->taps, KD_WINOGRAD_AT, false, m, column, 2);
        for (int i = 0; i < 2; i++) half[i][j] = column[i];
    }
    for (int i = 0; i < 2; i++)
        kd_winograd_apply(e, w->taps, KD_WINOGRAD_AT, false, half[i], y[i], 2);
}

void kd_winograd_results(const KdContraction *c, LLVMValueRef products) {
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    KdContraction here = *c;
    KdPlan *whole = kd_arena_copy(e->arena, c->p, sizeof *whole);
    whole->inner = (KdFlat){ .n = 2, .iter = { w->y.column, w->x.column } };
    here.p = whole;
    LLVMValueRef block = kd_idx_value(e, 1, c->at[w->block], e->i64);
    LLVMValueRef first = scaled(e, block, w->groups), zero = kd_emit_i64(e, 0);
    KdLoop row, group, vector;
    kd_loop_begin(e, &row, zero, c->rows, 1);
    kd_flat_decode(&here, &whole->rows, row.index, here.at);
    kd_loop_begin(e, &group, zero, kd_emit_i64(e, w->groups), 1);
    kd_loop_begin(e, &vector, zero, kd_emit_i64(e, w->vectors), 1);
    int mark = kd_eval_mark(c->ev);
    LLVMValueRef tile =
        scaled(e, add(e, scaled(e, group.index, w->vectors), vector.index), c->p->lanes);
    LLVMValueRef at = add(e, scaled(e, row.index, w->tiles), tile), y[2][2];
    transform_products(&here, kd_emit_element(e, e->f32, products, at), y);
    kd_sums_enter_row(&here, row.index, 0);
    finish_pixels(&here, add(e, first, group.index), vector.index, y);
    kd_sums_leave_row(&here, row.index, 0);
    kd_eval_release(c->ev, mark);
    kd_loop_end(e, &vector);
    kd_loop_end(e, &group);
    kd_loop_end(e, &row);
}
