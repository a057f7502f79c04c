/*
 * Weights that the caller passes, packed once. Behind the parameters, which it wrote, their block
 * has room for what contractions would else pack at every call, in the order of embed.c:
 *
 *     block = parameters, slack | seal | panels of one contraction | of another … | slack
 *
 *   int SYMBOL_pack(void *weights)     fills it from the seal on
 *
 * Kernels of one parameter that read it in the same order share their panels. The seal is a hash of
 * all that these orders follow from, by which SYMBOL_predict knows that this was done, and done by
 * an object that has them in the same places.
 */
#include "backend/arith.h"
#include "backend/contract_winograd.h"
#include "backend/embed.h"
#include "backend/func.h"
#include "backend/predict.h"

#include <string.h>

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

static const char *flat_text(KdEmit *e, const KdPlan *p, const KdFlat *x) {
    const char *text = "";
    for (int k = 0; k < x->n; k++)
        text = kd_arena_format(e->arena, "%s %lld*%lld", text, (long long)p->extent[x->iter[k]],
                               (long long)factor_of(p)->lin[x->iter[k]]);
    return text;
}

static const char *window_text(KdEmit *e, const KdPlan *p, const KdWindowDim *x) {
    return kd_arena_format(e->arena, "%d*%lld", x->turned, (long long)factor_of(p)->lin[x->tap]);
}

/* Where panels lie, and in which order they have what. */
static const char *panels_text(KdEmit *e, const struct KdPanels *x) {
    const KdPlan *p = x->plan;
    const KdWinograd *w = p->winograd;
    const char *text = kd_arena_format(
        e->arena, "%s at %lld: %lld from %lld,%s /%s\n", x->param->name, (long long)x->offset,
        (long long)kd_embed_elements(p), (long long)factor_of(p)->offset,
        flat_text(e, p, &p->group), flat_text(e, p, &p->sum));
    if (!w)
        return kd_arena_format(e->arena, "%s%d%s /%s\n", text, p->stream,
                               flat_text(e, p, &p->outer), flat_text(e, p, &p->inner));
    return kd_arena_format(e->arena, "%s%lld %lld %d, %s %s%s\n", text, (long long)w->taps,
                           (long long)w->pad, p->rounded, window_text(e, p, &w->y),
                           window_text(e, p, &w->x), flat_text(e, p, &p->rows));
}

/* FNV-1a. */
static uint64_t hash(const char *text) {
    uint64_t x = 0xcbf29ce484222325;
    for (; *text; text++) x = (x ^ (unsigned char)*text) * 0x100000001b3;
    return x;
}

static uint64_t find_seal(KdEmit *e) {
    const char *network = e->options->predict->network;
    const char *text = kd_arena_format(e->arena, "kdc " KD_VERSION " %s %lld\n", network,
                                       (long long)kd_pack_bytes(e));
    for (int k = 0; k < e->m->nparams; k++) {
        const KdParam *p = e->m->params[k];
        char type[KD_TYPE_TEXT];
        if (strcmp(p->network, network) != 0) continue;
        text = kd_arena_format(e->arena, "%s%s %s at %lld\n", text, p->name,
                               kd_type_text(p->type, type), (long long)kd_slab_offset(e->m, p));
    }
    for (const struct KdPanels *x = e->panels; x; x = x->next)
        text = kd_arena_format(e->arena, "%s%s", text, panels_text(e, x));
    return hash(text);
}

/* A constant, which has its value when all kernels are emitted. */
static LLVMValueRef seal_global(KdEmit *e) {
    LLVMValueRef known = LLVMGetNamedGlobal(e->mod, "pack.seal");
    return known ? known : LLVMAddGlobal(e->mod, e->i64, "pack.seal");
}

LLVMValueRef kd_pack_is_missing(KdEmit *e, LLVMValueRef block) {
    LLVMValueRef found = LLVMBuildLoad2(e->b, e->i64, seal_at(e, block), "seal");
    LLVMValueRef wanted = LLVMBuildLoad2(e->b, e->i64, seal_global(e), "");
    return LLVMBuildICmp(e->b, LLVMIntNE, found, wanted, "");
}

void kd_emit_pack(KdEmit *e, const char *name) {
    LLVMTypeRef type = LLVMFunctionType(e->i32, &e->ptr, 1, 0);
    kd_predict_begin(e, name, type);
    LLVMValueRef block = LLVMGetParam(e->fn, 0);
    kd_predict_check_pointer(e, block, true);
    for (const struct KdPanels *x = e->panels; x; x = x->next) pack_panels(e, x, block);
    LLVMValueRef seal = LLVMConstInt(e->i64, find_seal(e), 0), global = seal_global(e);
    LLVMSetInitializer(global, seal);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    LLVMBuildStore(e->b, seal, seal_at(e, block));
    LLVMBuildRet(e->b, kd_emit_i32(e, KD_PREDICT_OK));
}
