/*
 * Weights as part of an inference object. What kernels read as it lies is one constant slab, of
 * those parameters alone; a contraction's V that is a parameter is packed here, at compile time:
 *
 *     panels = [group][stream][k][column of the stream]
 *
 * A stream has all of k from front to back, whatever the tile and its blocks of k, and is as wide
 * as the widest vectors that the object has code for; narrower ones read parts of its lines. So
 * specialisations for one row and for many, and for all levels of a CPU, read the same constant.
 * Weights of Winograd's products are transformed here (contract_winograd_weights.c).
 */
#include "backend/embed.h"
#include "backend/contract_winograd.h"
#include "backend/predict.h"

#include <string.h>

/* --- which parameter -------------------------------------------------------------------------- */

/* The argument in whose memory v lies from its first byte on, or NULL. */
static const KdValue *argument_of(const KdEmit *e, const KdValue *v) {
    if (!v->def) return v;
    bool argument = v->buffer.place == KD_PLACE_ARG && v->buffer.offset == 0;
    return argument ? e->f->args[v->buffer.base] : NULL;
}

const KdParam *kd_packed_param(const KdEmit *e, const KdValue *v) {
    if (!kd_predict_packs(e->options ? e->options->predict : NULL)) return NULL;
    const KdValue *argument = argument_of(e, v);
    return argument ? kd_param_of_value(e->m, argument) : NULL;
}

const KdParam *kd_embedded_param(const KdEmit *e, const KdValue *v) {
    const KdParam *p = kd_packed_param(e, v);
    return p && e->options->predict->weights ? p : NULL;
}

/* --- as they lie ------------------------------------------------------------------------------ */

static const char *raw_name(KdEmit *e, const KdParam *p) {
    return kd_arena_format(e->arena, "raw.%s.%s", p->network, p->name);
}

static LLVMValueRef raw_global(KdEmit *e, const KdParam *p) {
    return LLVMGetNamedGlobal(e->mod, raw_name(e, p));
}

LLVMValueRef kd_embed_raw(KdEmit *e, const KdParam *p) {
    LLVMValueRef global = raw_global(e, p);
    return global ? global : LLVMAddGlobal(e->mod, LLVMArrayType2(e->i8, 0), raw_name(e, p));
}

static int64_t aligned(int64_t bytes) {
    return (bytes + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
}

void kd_embed_finish(KdEmit *e) {
    const KdModule *m = e->m;
    int64_t size = 0, *place = KD_NEW_ARRAY(e->arena, int64_t, m->nparams);
    for (int k = 0; k < m->nparams; k++) {
        place[k] = size;
        if (raw_global(e, m->params[k])) size += aligned(kd_type_bytes(m->params[k]->type, 0, 0));
    }
    if (size == 0) return;
    char *all = kd_arena_alloc(e->arena, (size_t)(size + KDRT_SLACK));
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (raw_global(e, p))
            memcpy(all + place[k], e->options->predict->weights + kd_slab_offset(m, p),
                   (size_t)kd_type_bytes(p->type, 0, 0));
    }
    LLVMValueRef slab = kd_emit_bytes(e, "weights", all, size + KDRT_SLACK);
    for (int k = 0; k < m->nparams; k++) {
        LLVMValueRef stand_in = raw_global(e, m->params[k]), at = kd_emit_i64(e, place[k]);
        if (!stand_in) continue;
        LLVMReplaceAllUsesWith(stand_in, LLVMConstInBoundsGEP2(e->i8, slab, &at, 1));
        LLVMDeleteGlobal(stand_in);
    }
}

int kd_stream_lanes(const KdEmit *e) {
    const KdPredict *p = e->options ? e->options->predict : NULL;
    return p && p->nlevels ? p->level[0].vector_bits / 32 : e->lanes;
}

/* --- packed ----------------------------------------------------------------------------------- */

/* Sets at[…] of x's iterators from their flattened index. */
static void decode(const KdPlan *p, const KdFlat *x, int64_t index, int64_t *at) {
    for (int k = x->n - 1; k >= 0; k--) {
        at[x->iter[k]] = index % p->extent[x->iter[k]];
        index /= p->extent[x->iter[k]];
    }
}

/* Number of the element that V's access reads there; -1 outside. */
static int64_t element(const KdFactor *v, const int64_t *at) {
    int64_t index = 0;
    for (int d = 0; d < v->type.rank; d++) {
        int64_t i;
        if (!kd_index_eval(&v->access->dim[d], at, v->type.dim[d], &i)) return -1;
        index = index * v->type.dim[d] + i;
    }
    return index;
}

int64_t kd_embed_elements(const KdPlan *p) {
    if (p->winograd) return kd_winograd_weights(p);
    return kd_panel_streams(p) * kd_flat_most(p, &p->group) * kd_flat_most(p, &p->sum) * p->stream;
}

/* Of elements of `size` bytes. */
static char *pack(const KdPlan *p, const char *data, int64_t count, int64_t size, KdArena *a) {
    char *packed = KD_NEW_ARRAY(a, char, count *size), *to = packed;
    int64_t inner = kd_flat_most(p, &p->inner), steps = kd_flat_most(p, &p->sum);
    int64_t nth = kd_panel_streams(p);
    int64_t at[KD_PLAN_ITERS] = { 0 };
    for (int64_t s = 0; s < nth * kd_flat_most(p, &p->group); s++) {
        int64_t across = (inner + p->stream - 1) / p->stream, first = s % across * p->stream;
        decode(p, &p->group, s / nth, at);
        decode(p, &p->outer, s % nth / across, at);
        for (int64_t k = 0; k < steps; k++) {
            decode(p, &p->sum, k, at);
            for (int64_t lane = 0; lane < p->stream; lane++, to += size) {
                if (first + lane >= inner) continue;
                decode(p, &p->inner, first + lane, at);
                int64_t nth_element = element(&p->v, at);
                if (nth_element >= 0) memcpy(to, data + nth_element * size, (size_t)size);
            }
        }
    }
    return packed;
}

/* A global of these bytes: another contraction may have made it. */
static LLVMValueRef find_constant(KdEmit *e, const char *bytes, int64_t size) {
    LLVMValueRef value = LLVMConstStringInContext2(e->cx, bytes, (size_t)size, 1);
    LLVMValueRef global = LLVMGetFirstGlobal(e->mod);
    while (global && LLVMGetInitializer(global) != value) global = LLVMGetNextGlobal(global);
    return global;
}

LLVMValueRef kd_embed_panels(KdEmit *e, const KdPlan *p) {
    const KdParam *param = kd_packed_param(e, kd_constant_source(p));
    if (!param) kd_bug(e->diag, "constant panels of what is no parameter");
    if (!e->options->predict->weights) return kd_pack_panels(e, p, param);
    int64_t count = kd_embed_elements(p);
    int64_t size = p->v.stored ? (int64_t)kd_dtype_size(param->type.dtype) : 4; /* or words */
    const float *data = e->options->predict->weights + kd_slab_offset(e->m, param);
    const char *bytes = p->winograd ? (const char *)kd_winograd_constant(p, data, e->arena)
                                    : pack(p, (const char *)data, count, size, e->arena);
    LLVMValueRef known = find_constant(e, bytes, count * size);
    if (known) return known;
    const char *name = kd_arena_format(e->arena, "packed.%s", param->name);
    return kd_emit_bytes(e, name, bytes, count * size);
}
