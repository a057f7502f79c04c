/*
 * Weights of Winograd's products (contract_winograd.c):
 *
 *                                                | 1  0  0 |
 *     U[t][row][channel] = G g Gᵀ          G =   | ½  ½  ½ |
 *                                                | ½ -½  ½ |
 *                                                | 0  0  1 |
 *
 * by generated code, or, of parameters that an object embeds, here: the same bits.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"
#include "backend/eval.h"

enum { TAPS = KD_WINOGRAD_TAPS, SIDE = KD_WINOGRAD_SIDE };

int64_t kd_winograd_weights(const KdPlan *p) {
    return p->winograd ? SIDE * SIDE * p->winograd->rows * p->winograd->pad : 0;
}

int64_t kd_winograd_tasks(const KdPlan *p) {
    return p->winograd->rows;
}

/* --- by generated code ------------------------------------------------------------------------ */

/* G x */
static void transform_weights(KdEmit *e, const LLVMValueRef x[TAPS], LLVMValueRef to[SIDE]) {
    LLVMValueRef ends = LLVMBuildFAdd(e->b, x[0], x[2], "");
    LLVMValueRef half = kd_emit_splat(e, kd_emit_f32(e, 0.5), kd_lanes_of(ends));
    to[0] = x[0];
    to[1] = LLVMBuildFMul(e->b, LLVMBuildFAdd(e->b, ends, x[1], ""), half, "");
    to[2] = LLVMBuildFMul(e->b, LLVMBuildFSub(e->b, ends, x[1], ""), half, "");
    to[3] = x[2];
}

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
    for (int j = 0; j < TAPS; j++) {
        LLVMValueRef g[TAPS], column[SIDE];
        for (int i = 0; i < TAPS; i++) {
            c->at[w->y.tap] = kd_idx_constant(w->y.turned ? TAPS - 1 - i : i);
            c->at[w->x.tap] = kd_idx_constant(w->x.turned ? TAPS - 1 - j : j);
            g[i] = load_weights(c, from, active);
        }
        transform_weights(e, g, column);
        for (int i = 0; i < SIDE; i++) half[i][j] = column[i];
    }
    for (int i = 0; i < SIDE; i++) {
        LLVMValueRef u[SIDE];
        transform_weights(e, half[i], u);
        for (int j = 0; j < SIDE; j++) {
            LLVMValueRef plane = kd_emit_i64(e, (SIDE * i + j) * w->rows * w->pad);
            kd_emit_store(e, u[j], kd_emit_element(e, e->f32, to, plane), active);
        }
    }
}

void kd_winograd_transform(KdContraction *c, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef from,
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

/* G x of every `step`-th number. */
static void transform_numbers(const float *x, float *to, int step) {
    float ends = x[0] + x[2 * step];
    to[0] = x[0];
    to[step] = (ends + x[step]) * 0.5f;
    to[2 * step] = (ends - x[step]) * 0.5f;
    to[3 * step] = x[2 * step];
}

static void transform_window(const KdWinograd *w, const float *at, float u[SIDE][SIDE]) {
    int64_t down = w->weights.lin[w->y.tap], across = w->weights.lin[w->x.tap];
    float g[SIDE][SIDE] = { { 0 } }, half[SIDE][SIDE] = { { 0 } };
    for (int i = 0; i < TAPS; i++)
        for (int j = 0; j < TAPS; j++)
            g[i][j] = at[(w->y.turned ? TAPS - 1 - i : i) * down +
                         (w->x.turned ? TAPS - 1 - j : j) * across];
    for (int j = 0; j < TAPS; j++) transform_numbers(&g[0][j], &half[0][j], SIDE);
    for (int i = 0; i < SIDE; i++) transform_numbers(half[i], u[i], 1);
}

const float *kd_winograd_constant(const KdPlan *p, const float *data, KdArena *a) {
    const KdWinograd *w = p->winograd;
    float *all = KD_NEW_ARRAY(a, float, kd_winograd_weights(p)), u[SIDE][SIDE];
    for (int64_t row = 0; row < w->rows; row++)
        for (int64_t channel = 0; channel < p->kc; channel++) {
            int64_t at = place_of(p, &p->rows, row) + place_of(p, &p->sum, channel);
            transform_window(w, data + w->weights.offset + at, u);
            for (int t = 0; t < SIDE * SIDE; t++)
                all[(t * w->rows + row) * w->pad + channel] = u[t / SIDE][t % SIDE];
        }
    return all;
}
