/*
 * Inputs of Winograd's products (contract_winograd.c), of the lines of an image that a unit needs:
 *
 *     V[t][channel][tile] = Bᵀ d B
 *
 * First along lines, once for each although two lines of tiles share it, with zeros for what lies
 * outside of the image; then across them.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"
#include "backend/eval.h"

enum { SIDE = KD_WINOGRAD_MOST_SIDE };

/* Inputs number `j` of vector `nth` of a line's tiles: line `y` of V, a channel where c stands. */
static LLVMValueRef load_inputs(KdContraction *c, LLVMValueRef y, int64_t nth, int j) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    const KdFactor *f = &w->input;
    KdPoint at = { .lanes = p->lanes, .rank = f->type.rank };
    int32_t *lane = KD_NEW_ARRAY(e->arena, int32_t, p->lanes);
    int32_t *dead = KD_NEW_ARRAY(e->arena, int32_t, p->lanes);
    int64_t first = 2 * nth * p->lanes + j + w->x.first;
    bool any = false;
    for (int l = 0; l < p->lanes; l++) {
        lane[l] = 2 * l;
        bool tile = nth * p->lanes + l < ceil_div(w->x.extent, 2);
        int64_t x = first + lane[l];
        dead[l] = !tile || x < 0 || x >= f->type.dim[w->x.dim];
        any |= dead[l];
    }
    for (int d = 0; d < f->type.rank; d++) {
        const KdIndex *x = &f->access->dim[d];
        KdIdx term[KD_MAX_TERMS];
        int64_t coeff[KD_MAX_TERMS];
        for (int k = 0; k < x->nterms; k++) {
            int it = x->term[k].iter;
            term[k] = p->extent[it] == 1 ? kd_idx_constant(0) : c->at[it];
            coeff[k] = x->term[k].coeff;
        }
        if (d == w->x.dim) {
            at.dim[d] = kd_idx_pattern(e, NULL, 0, lane, p->lanes);
            at.dim[d].offset += first;
        } else if (d == w->y.dim) {
            at.dim[d] = kd_idx_uniform(y, 1);
        } else {
            at.dim[d] = kd_idx_combine(e, p->lanes, x->nterms, term, coeff, x->offset);
        }
    }
    at.dead = any ? dead : NULL;
    LLVMValueRef value = f->memory ? kd_emit_load_at(e, f->type, kd_emit_base(e, f->memory), &at)
                                   : kd_eval(c->ev, f->value, &at);
    value = kd_emit_active(e, &at, value, LLVMConstNull(LLVMTypeOf(value)));
    return p->rounded ? kd_emit_round_bf16(e, value) : value;
}

/* Line `y` of V times B, or (y NULL) zeros for one outside, as [j][line]. */
static void copy_line(KdContraction *c, LLVMValueRef y, LLVMValueRef to) {
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    LLVMValueRef value[SIDE], out[SIDE];
    int mark = kd_eval_mark(c->ev);
    for (int64_t nth = 0; nth < w->vectors; nth++) {
        for (int j = 0; j < w->side; j++)
            value[j] = out[j] = LLVMConstNull(kd_vector_type(e->f32, c->p->lanes));
        for (int j = 0; j < w->side && y; j++) value[j] = load_inputs(c, y, nth, j);
        if (y) kd_winograd_apply(e, w->taps, KD_WINOGRAD_BT, false, value, out, w->side);
        for (int j = 0; j < w->side; j++) {
            LLVMValueRef place = kd_emit_i64(e, j * w->l_plane + nth * c->p->lanes);
            kd_emit_store(e, out[j], kd_emit_element(e, e->f32, to, place), NULL);
        }
    }
    kd_eval_release(c->ev, mark);
}

/* The lines of one channel. */
static void copy_channel(KdContraction *c, LLVMValueRef to) {
    KdEmit *e = c->e;
    const KdWinograd *w = c->p->winograd;
    LLVMValueRef block = kd_idx_value(e, 1, c->at[w->block], e->i64);
    LLVMValueRef first =
        add(e, scaled(e, block, 2 * w->groups * w->lines), kd_emit_i64(e, w->y.first));
    LLVMValueRef extent = kd_emit_extent(e, w->input.type.dim[w->y.dim]);
    LLVMBasicBlockRef copy, clear, after;
    KdLoop line;
    kd_loop_begin(e, &line, kd_emit_i64(e, 0), kd_emit_i64(e, w->copied), 1);
    LLVMValueRef y = add(e, first, line.index);
    LLVMValueRef here = kd_emit_element(e, e->f32, to, scaled(e, line.index, w->pitch));
    copy = LLVMAppendBasicBlockInContext(e->cx, e->fn, "copy");
    clear = LLVMAppendBasicBlockInContext(e->cx, e->fn, "clear");
    after = LLVMAppendBasicBlockInContext(e->cx, e->fn, "copied");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntULT, y, extent, ""), copy, clear);
    LLVMPositionBuilderAtEnd(e->b, copy);
    copy_line(c, y, here);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, clear);
    copy_line(c, NULL, here);
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
    kd_loop_end(e, &line);
}

/* Bᵀ times what lies in the lines of one channel: a vector of each V for each vector of tiles. */
static void transform_lines(KdContraction *c, LLVMValueRef lines, LLVMValueRef to) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    KdType memory = { .dtype = KD_F32, .rank = 1, .dim = { w->side * w->l_plane } };
    int32_t *lane = KD_NEW_ARRAY(e->arena, int32_t, p->lanes);
    for (int l = 0; l < p->lanes; l++)
        lane[l] = (int32_t)(w->lines > 1 ? l / w->width * 2 * w->pitch + l % w->width : l);
    KdLoop group, vector;
    kd_loop_begin(e, &group, kd_emit_i64(e, 0), kd_emit_i64(e, w->groups), 1);
    kd_loop_begin(e, &vector, kd_emit_i64(e, 0), kd_emit_i64(e, w->vectors), 1);
    LLVMValueRef across = scaled(e, vector.index, p->lanes);
    LLVMValueRef from = add(e, scaled(e, group.index, 2 * w->lines * w->pitch), across);
    LLVMValueRef place = add(e, scaled(e, group.index, w->vectors * p->lanes), across);
    for (int j = 0; j < w->side; j++) {
        LLVMValueRef x[SIDE], v[SIDE];
        for (int i = 0; i < w->side; i++) {
            KdPoint at = { .lanes = p->lanes, .rank = 1 };
            at.dim[0] = kd_idx_pattern(e, from, 1, lane, p->lanes);
            at.dim[0].offset += j * w->l_plane + i * w->pitch;
            x[i] = kd_emit_load_at(e, memory, lines, &at);
        }
        kd_winograd_apply(e, w->taps, KD_WINOGRAD_BT, false, x, v, w->side);
        for (int i = 0; i < w->side; i++) {
            LLVMValueRef plane = kd_emit_i64(e, (w->side * i + j) * w->v_plane);
            kd_emit_store(e, v[i], kd_emit_element(e, e->f32, to, add(e, place, plane)), NULL);
        }
    }
    kd_loop_end(e, &vector);
    kd_loop_end(e, &group);
}

void kd_winograd_inputs(const KdContraction *c, LLVMValueRef lo, LLVMValueRef hi,
                        LLVMValueRef lines, LLVMValueRef v) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    KdContraction here = *c;
    KdLoop channel;
    kd_loop_begin(e, &channel, lo, hi, 1);
    kd_flat_decode(&here, &w->channels, channel.index, here.at);
    copy_channel(&here, lines);
    LLVMValueRef to = scaled(e, sub(e, channel.index, lo), w->tiles);
    transform_lines(&here, lines, kd_emit_element(e, e->f32, v, to));
    kd_loop_end(e, &channel);
}
