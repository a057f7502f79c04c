/*
 * Weights that the caller passes, packed once. Behind the parameters, which it wrote, their block
 * has room for what contractions would else pack at every call, in the order of embed.c:
 *
 *     block = parameters, slack | seal | panels of one contraction | of another … | slack
 *
 *   int SYMBOL_pack(void *weights)     fills it from the seal on
 *
 * Kernels of one parameter that read it in the same order share their panels. The seal is a number
 * by which SYMBOL_predict knows that this was done.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"
#include "backend/embed.h"
#include "backend/func.h"
#include "backend/predict.h"

#define SEAL 0x6b644b5061636b31 /* no two floats that weights would begin or end with */

struct KdPanels {
    const KdPlan *plan; /* of the first contraction that reads them */
    const KdParam *param;
    int64_t offset; /* bytes from the beginning of the block */
    struct KdPanels *next;
};

static int64_t aligned(int64_t bytes) {
    return (bytes + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
}

static int64_t seal_place(const KdEmit *e) {
    return aligned(kd_slab_elements(e->m, e->options->predict->network) * 4 + KDRT_SLACK);
}

int64_t kd_pack_bytes(const KdEmit *e) {
    int64_t end = seal_place(e) + KDRT_ALIGN;
    for (const struct KdPanels *x = e->panels; x; x = x->next) {
        int64_t behind = x->offset + aligned(kd_embed_elements(x->plan) * 4);
        if (behind > end) end = behind;
    }
    return end + KDRT_SLACK;
}

/* --- whose panels ----------------------------------------------------------------------------- */

/* The factor that is a constant. */
static const KdFactor *factor_of(const KdPlan *p) {
    return p->winograd ? &p->winograd->weights : &p->v;
}

static bool same_flat(const KdPlan *p, const KdFlat *a, const KdPlan *q, const KdFlat *b) {
    bool same = a->n == b->n;
    for (int k = 0; same && k < a->n; k++)
        same = p->extent[a->iter[k]] == q->extent[b->iter[k]] &&
               factor_of(p)->lin[a->iter[k]] == factor_of(q)->lin[b->iter[k]];
    return same;
}

static bool same_window(const KdPlan *p, const KdWindowDim *a, const KdPlan *q,
                        const KdWindowDim *b) {
    return a->turned == b->turned && factor_of(p)->lin[a->tap] == factor_of(q)->lin[b->tap];
}

static bool same_order(const KdPlan *p, const KdPlan *q) {
    const KdWinograd *w = p->winograd, *x = q->winograd;
    if (!w != !x) return false;
    if (w)
        return w->weights.offset == x->weights.offset && same_window(p, &w->y, q, &x->y) &&
               same_window(p, &w->x, q, &x->x) && same_flat(p, &p->rows, q, &q->rows) &&
               same_flat(p, &p->sum, q, &q->sum);
    return p->stream == q->stream && p->v.offset == q->v.offset &&
           same_flat(p, &p->group, q, &q->group) && same_flat(p, &p->outer, q, &q->outer) &&
           same_flat(p, &p->inner, q, &q->inner) && same_flat(p, &p->sum, q, &q->sum);
}

LLVMValueRef kd_pack_panels(KdEmit *e, const KdPlan *p, const KdParam *param) {
    struct KdPanels **at = &e->panels;
    while (*at && !((*at)->param == param && same_order((*at)->plan, p))) at = &(*at)->next;
    if (!*at) {
        struct KdPanels *x = KD_NEW(e->arena, struct KdPanels);
        *x = (struct KdPanels){ .plan = p, .param = param };
        x->offset = kd_pack_bytes(e) - KDRT_SLACK;
        *at = x;
    }
    int64_t distance = (*at)->offset - kd_slab_offset(e->m, param) * 4;
    const KdValue *source = kd_constant_source(p);
    return kd_emit_byte_offset(e, kd_emit_base(e, source), kd_emit_i64(e, distance));
}

/* --- packing ---------------------------------------------------------------------------------- */

/* One line: the elements of a stream's columns, from the `first` on, where c stands. */
static void pack_line(KdContraction *c, LLVMValueRef from, LLVMValueRef to, LLVMValueRef first,
                      LLVMValueRef offset) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef last = kd_emit_i64(e, kd_flat_most(p, &p->inner) - 1);
    KdLoop lane;
    kd_loop_begin(e, &lane, kd_emit_i64(e, 0), kd_emit_i64(e, p->stream), 1);
    LLVMValueRef column = add(e, first, lane.index);
    kd_flat_decode(c, &p->inner, kd_emit_min(e, column, last), c->at);
    LLVMValueRef at = add(e, offset, kd_flat_offset(e, &p->inner, c->at, p->v.lin));
    LLVMValueRef x = kd_emit_load(e, e->f32, 1, kd_emit_element(e, e->f32, from, at), NULL);
    LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntSLE, column, last, "");
    x = LLVMBuildSelect(e->b, inside, x, kd_emit_f32(e, 0), "");
    kd_emit_store(e, x, kd_emit_element(e, e->f32, to, lane.index), NULL);
    kd_loop_end(e, &lane);
}

static void pack_panels(KdEmit *e, const struct KdPanels *x, LLVMValueRef block) {
    const KdPlan *p = x->plan;
    KdContraction c = { .e = e, .p = p };
    int64_t streams = kd_panel_streams(p), steps = kd_flat_most(p, &p->sum);
    LLVMValueRef from =
        kd_emit_byte_offset(e, block, kd_emit_i64(e, kd_slab_offset(e->m, x->param) * 4));
    LLVMValueRef to = kd_emit_byte_offset(e, block, kd_emit_i64(e, x->offset));
    if (p->winograd) {
        kd_winograd_make_weights(&c, kd_emit_i64(e, 0), kd_emit_i64(e, p->winograd->rows), from,
                                 to);
        return;
    }
    LLVMValueRef across =
        kd_emit_ceil_div(e, kd_emit_i64(e, kd_flat_most(p, &p->inner)), p->stream);
    KdLoop stream, step;
    kd_loop_begin(e, &stream, kd_emit_i64(e, 0),
                  kd_emit_i64(e, streams * kd_flat_most(p, &p->group)), 1);
    LLVMValueRef all = kd_emit_i64(e, streams), nth = LLVMBuildURem(e->b, stream.index, all, "");
    kd_flat_decode(&c, &p->group, LLVMBuildUDiv(e->b, stream.index, all, ""), c.at);
    kd_flat_decode(&c, &p->outer, LLVMBuildUDiv(e->b, nth, across, ""), c.at);
    LLVMValueRef first = LLVMBuildURem(e->b, nth, across, "");
    first = scaled(e, first, p->stream);
    LLVMValueRef offset = kd_emit_i64(e, p->v.offset);
    offset = add(e, offset, kd_flat_offset(e, &p->group, c.at, p->v.lin));
    offset = add(e, offset, kd_flat_offset(e, &p->outer, c.at, p->v.lin));
    kd_loop_begin(e, &step, kd_emit_i64(e, 0), kd_emit_i64(e, steps), 1);
    kd_flat_decode(&c, &p->sum, step.index, c.at);
    offset = add(e, offset, kd_flat_offset(e, &p->sum, c.at, p->v.lin));
    LLVMValueRef line = scaled(e, stream.index, steps);
    line = add(e, line, step.index);
    line = scaled(e, line, p->stream);
    pack_line(&c, from, kd_emit_element(e, e->f32, to, line), first, offset);
    kd_loop_end(e, &step);
    kd_loop_end(e, &stream);
}

/* --- the seal, and the function --------------------------------------------------------------- */

static LLVMValueRef seal_at(KdEmit *e, LLVMValueRef block) {
    return kd_emit_byte_offset(e, block, kd_emit_i64(e, seal_place(e)));
}

LLVMValueRef kd_pack_is_missing(KdEmit *e, LLVMValueRef block) {
    LLVMValueRef seal = LLVMBuildLoad2(e->b, e->i64, seal_at(e, block), "seal");
    return LLVMBuildICmp(e->b, LLVMIntNE, seal, LLVMConstInt(e->i64, SEAL, 0), "");
}

void kd_emit_pack(KdEmit *e, const char *name) {
    LLVMTypeRef type = LLVMFunctionType(e->i32, &e->ptr, 1, 0);
    kd_predict_begin(e, name, type);
    LLVMValueRef block = LLVMGetParam(e->fn, 0);
    kd_predict_check_pointer(e, block, true);
    for (const struct KdPanels *x = e->panels; x; x = x->next) pack_panels(e, x, block);
    LLVMBuildStore(e->b, LLVMConstInt(e->i64, SEAL, 0), seal_at(e, block));
    LLVMBuildRet(e->b, kd_emit_i32(e, KD_PREDICT_OK));
}
