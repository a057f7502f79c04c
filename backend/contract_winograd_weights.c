/*
 * Weights of Winograd's products (contract_winograd.c):
 *
 *     U[t][row][channel] = G g Gᵀ
 *
 * by generated code, or, of parameters that an object embeds, here: the same bits.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"
#include "backend/eval.h"

enum { TAPS = KD_WINOGRAD_MOST_TAPS, SIDE = KD_WINOGRAD_MOST_SIDE };

int64_t kd_winograd_weights(const KdPlan *p) {
    const KdWinograd *w = p->winograd;
    return w ? w->products * w->rows * w->pad : 0;
}

/* --- by generated code ------------------------------------------------------------------------ */

/* A vector of the weights where c stands: of the linear ones at `from`, or (NULL) any others. */
static LLVMValueRef load_weights(KdContraction *c, LLVMValueRef from, LLVMValueRef active) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdFactor *f = &p->winograd->weights;
    if (!from) return kd_factor_value(c, f, e->lanes, active);
    KdIdx term[KD_PLAN_ITERS];
    int64_t coeff[KD_PLAN_ITERS];
    int n = 0;
    for (int it = 0; it < KD_PLAN_ITERS; it++) {
        if (f->lin[it] == 0 || p->extent[it] == 1) continue;
        term[n] = c->at[it];
        coeff[n++] = f->lin[it];
    }
    const KdType memory = { .dtype = KD_F32,
                            .rank = 1,
                            .dim = { kd_type_bytes(f->type, 1, 1) / 4 } };
    KdPoint at = { .lanes = e->lanes, .rank = 1, .mask = active, .prefix = active != NULL };
    at.dim[0] = kd_idx_combine(e, e->lanes, n, term, coeff, f->offset);
    return kd_emit_load_at(e, memory, from, &at);
}

/* One vector of channels of a row, where c stands. */
static void transform_channels(KdContraction *c, LLVMValueRef from, LLVMValueRef active,
                               LLVMValueRef to) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    LLVMValueRef half[SIDE][TAPS];
    for (int j = 0; j < w->taps; j++) {
        LLVMValueRef g[TAPS], column[SIDE];
        for (int i = 0; i < w->taps; i++) {
            c->at[w->y.tap] = kd_idx_constant(w->y.turned ? w->taps - 1 - i : i);
            c->at[w->x.tap] = kd_idx_constant(w->x.turned ? w->taps - 1 - j : j);
            g[i] = load_weights(c, from, active);
            if (p->rounded) g[i] = kd_emit_round_bf16(e, g[i]);
        }
        kd_winograd_apply(e, w->taps, KD_WINOGRAD_G, false, g, column, w->side);
        for (int i = 0; i < w->side; i++) half[i][j] = column[i];
    }
    for (int i = 0; i < w->side; i++) {
        LLVMValueRef u[SIDE];
        kd_winograd_apply(e, w->taps, KD_WINOGRAD_G, false, half[i], u, w->side);
        for (int j = 0; j < w->side; j++) {
            LLVMValueRef plane = kd_emit_i64(e, (w->side * i + j) * w->rows * w->pad);
            kd_emit_store(e, u[j], kd_emit_element(e, e->f32, to, plane), active);
        }
    }
}

void kd_winograd_make_weights(KdContraction *c, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef from,
                              LLVMValueRef to) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int last = p->sum.iter[p->sum.n - 1];
    KdFlat before = p->sum;
    before.n--;
    int64_t along = p->extent[last], lines = p->kc / along;
    int mark = c->ev ? kd_eval_mark(c->ev) : 0;
    KdLoop row, line, vector;
    kd_loop_begin(e, &row, lo, hi, 1);
    kd_flat_decode(c, &p->rows, row.index, c->at);
    kd_loop_begin(e, &line, kd_emit_i64(e, 0), kd_emit_i64(e, lines), 1);
    kd_flat_decode(c, &before, line.index, c->at);
    kd_loop_begin(e, &vector, kd_emit_i64(e, 0), kd_emit_i64(e, along), e->lanes);
    c->at[last] = kd_idx_lanes(e, vector.index, e->lanes);
    LLVMValueRef left = sub(e, kd_emit_i64(e, along), vector.index);
    LLVMValueRef active = along % e->lanes ? kd_emit_tail_mask(e, left, e->lanes) : NULL;
    LLVMValueRef at = add(e, scaled(e, row.index, p->winograd->pad), scaled(e, line.index, along));
    transform_channels(c, from, active, kd_emit_element(e, e->f32, to, add(e, at, vector.index)));
    kd_loop_end(e, &vector);
    kd_loop_end(e, &line);
    kd_loop_end(e, &row);
    if (c->ev) kd_eval_release(c->ev, mark);
}

/* --- here ------------------------------------------------------------------------------------- */

/* Where element `index` of x lies, from where the first one does. */
static int64_t place_of(const KdPlan *p, const KdFlat *x, int64_t index) {
    int64_t place = 0;
    for (int k = x->n - 1; k >= 0; k--) {
        place += index % p->extent[x->iter[k]] * p->winograd->weights.lin[x->iter[k]];
        index /= p->extent[x->iter[k]];
    }
    return place;
}

/* U of one window, in u[side * i + j]. */
static void transform_window(const KdWinograd *w, const float *at, float u[SIDE * SIDE]) {
    int64_t down = w->weights.lin[w->y.tap], across = w->weights.lin[w->x.tap];
    float g[TAPS * SIDE] = { 0 }, half[SIDE * SIDE] = { 0 };
    for (int i = 0; i < w->taps; i++)
        for (int j = 0; j < w->taps; j++)
            g[i * SIDE + j] = at[(w->y.turned ? w->taps - 1 - i : i) * down +
                                 (w->x.turned ? w->taps - 1 - j : j) * across];
    for (int j = 0; j < w->taps; j++)
        kd_winograd_compute(w->taps, KD_WINOGRAD_G, g + j, half + j, w->side, SIDE);
    for (int i = 0; i < w->side; i++)
        kd_winograd_compute(w->taps, KD_WINOGRAD_G, half + (int64_t)i * SIDE, u + i * w->side,
                            w->side, 1);
}

const float *kd_winograd_constant(const KdPlan *p, const float *data, KdArena *a) {
    const KdWinograd *w = p->winograd;
    float *all = KD_NEW_ARRAY(a, float, kd_winograd_weights(p)), u[SIDE * SIDE] = { 0 };
    for (int64_t row = 0; row < w->rows; row++)
        for (int64_t channel = 0; channel < p->kc; channel++) {
            int64_t at = place_of(p, &p->rows, row) + place_of(p, &p->sum, channel);
            transform_window(w, data + w->weights.offset + at, u);
            for (int t = 0; t < w->products; t++)
                all[(t * w->rows + row) * w->pad + channel] = u[t];
        }
    return all;
}
