/*
 * Reading and writing tensors at a point. The lanes' constant pattern decides how:
 *
 *   0 0 0 0 …   one scalar, broadcast           0 1 2 3 …   one vector
 *   0 0 1 1 …, 0 2 4 6 …, rows of a small image: up to four neighbouring vectors and shuffles
 *   anything else, or a vector of indices: a gather
 *
 * A tail mask (`prefix`) stops no load that begins at lane 0, which is active: what lies behind it
 * is within KDRT_SLACK. It does where lanes go down, and so do other masks, since lanes may lie in
 * front of the buffer; a window is then loaded under a mask of the elements that active lanes read.
 */
#include "backend/eval.h"

#define MAX_WINDOWS 4 /* so that a load ends within KDRT_SLACK of an active lane */

/* Lanes at known distances are a pointer and constants of 32 bits: gathers and scatters take those
 * for all lanes at once, but no more than half as many pointers. */
static LLVMValueRef pointers(KdEmit *e, LLVMTypeRef type, LLVMValueRef base, KdIdx x, int lanes) {
    x = kd_idx_resolve(e, lanes, x);
    if (!x.vector && x.lane) {
        LLVMValueRef distance = kd_emit_lane_constants(e, e->i32, lanes, x.lane);
        x.lane = NULL;
        LLVMValueRef first = kd_idx_value(e, 1, x, e->i64);
        first = LLVMBuildInBoundsGEP2(e->b, type, base, &first, 1, "");
        return LLVMBuildInBoundsGEP2(e->b, type, first, &distance, 1, "");
    }
    LLVMValueRef index = kd_idx_value(e, lanes, x, e->i64);
    return LLVMBuildInBoundsGEP2(e->b, type, base, &index, 1, "");
}

/* Are the lanes that are alive at 0, 1, 2, … behind lane 0? */
static bool consecutive(const KdIdx *x, const KdPoint *at) {
    if (x->vector || !x->lane) {
        return false;
    }
    for (int l = 0; l < at->lanes; l++) {
        if (!(at->dead && at->dead[l]) && x->lane[l] != l) {
            return false;
        }
    }
    return true;
}

/* Lowest and highest offset of the lanes that are alive. */
static void span(const KdIdx *x, const KdPoint *at, int32_t *lowest, int32_t *highest) {
    *lowest = INT32_MAX;
    *highest = INT32_MIN;
    for (int l = 0; l < at->lanes; l++) {
        if (!(at->dead && at->dead[l])) {
            *lowest = x->lane[l] < *lowest ? x->lane[l] : *lowest;
            *highest = x->lane[l] > *highest ? x->lane[l] : *highest;
        }
    }
}

/* Is lane 0 read, however many are active? */
static bool reads_first(const KdPoint *at) {
    return at->prefix && !(at->dead && at->dead[0]);
}

static LLVMValueRef address(KdEmit *e, LLVMTypeRef type, LLVMValueRef base, const KdIdx *x,
                            int32_t further) {
    KdIdx first = { .base = x->base, .multiple = x->multiple, .offset = x->offset + further };
    return kd_emit_element(e, type, base, kd_idx_value(e, 1, first, e->i64));
}

/* <lanes x i1>: the elements of the window that begins `from` behind x's base which active lanes
 * read. */
static LLVMValueRef window_mask(KdEmit *e, const KdIdx *x, const KdPoint *at, int32_t from) {
    int lanes = at->lanes, done = 0;
    bool *taken = KD_NEW_ARRAY(e->arena, bool, lanes);
    LLVMValueRef none = LLVMConstNull(LLVMTypeOf(at->mask)), mask = none;
    while (done < lanes) { /* a round for each further lane that reads the same element */
        int *pick = KD_NEW_ARRAY(e->arena, int, lanes);
        bool any = false;
        for (int m = 0; m < lanes; m++) pick[m] = lanes;
        for (int l = 0; l < lanes; l++) {
            int32_t m = x->lane[l] - from;
            if (taken[l]) continue;
            bool alive = !(at->dead && at->dead[l]) && m >= 0 && m < lanes;
            if (alive && pick[m] < lanes) continue;
            if (alive) pick[m] = l;
            any |= alive;
            taken[l] = true;
            done++;
        }
        LLVMValueRef round = any ? kd_emit_shuffle(e, at->mask, none, lanes, pick) : none;
        mask = LLVMBuildOr(e->b, mask, round, "");
    }
    return mask;
}

/* Windows of `lanes` elements each, picked from by shuffles. Lanes that no mask lets be loaded are
 * zeros, which are made in the end where no mask registers make them: LLVM 22 cannot select a
 * masked load of AVX2's of whose zeros some are picked. */
static LLVMValueRef load_windows(KdEmit *e, LLVMTypeRef type, LLVMValueRef base, const KdIdx *x,
                                 const KdPoint *at) {
    int32_t lowest, highest;
    span(x, at, &lowest, &highest);
    bool free = !at->mask || (reads_first(at) && lowest >= 0);
    /* The columns of a 2x2 window then share their vectors: begin at an even element. What is odd
     * behind an even base is not the buffer's first. */
    int lanes = at->lanes, count = (highest - lowest) / lanes + 1;
    bool odd = x->multiple % 2 == 0 && (x->offset + lowest) % 2 == 1;
    if (odd && (highest - lowest + 1) / lanes + 1 == count) {
        lowest--;
    }
    LLVMValueRef window[MAX_WINDOWS];
    bool late = !free && e->target->registers < 32;
    for (int w = 0; w < count; w++) {
        int32_t from = lowest + w * lanes;
        LLVMValueRef p = address(e, type, base, x, from);
        LLVMValueRef mask = free ? NULL : window_mask(e, x, at, from);
        window[w] = late ? kd_emit_load_part(e, type, lanes, p, mask)
                         : kd_emit_load(e, type, lanes, p, mask);
    }
    LLVMValueRef out = NULL;
    for (int w = 0; w < count; w += 2) {
        int *pick = KD_NEW_ARRAY(e->arena, int, lanes);
        bool two = w + 1 < count;
        for (int l = 0; l < lanes; l++) {
            int32_t place = at->dead && at->dead[l] ? -1 : x->lane[l] - lowest - w * lanes;
            pick[l] = place >= 0 && place < (two ? 2 : 1) * lanes ? place : -1;
        }
        LLVMValueRef second = two ? window[w + 1] : LLVMGetPoison(LLVMTypeOf(window[w]));
        LLVMValueRef part = kd_emit_shuffle(e, window[w], second, lanes, pick);
        if (!out) {
            out = part;
            continue;
        }
        int *merge = KD_NEW_ARRAY(e->arena, int, lanes);
        for (int l = 0; l < lanes; l++) {
            merge[l] = pick[l] >= 0 ? lanes + l : l;
        }
        out = kd_emit_shuffle(e, out, part, lanes, merge);
    }
    return late ? LLVMBuildSelect(e->b, at->mask, out, LLVMConstNull(LLVMTypeOf(out)), "") : out;
}

static bool fits_windows(const KdIdx *x, const KdPoint *at) {
    if (x->vector || !x->lane) {
        return false;
    }
    int32_t lowest, highest;
    span(x, at, &lowest, &highest);
    return lowest <= highest && (highest - lowest) / at->lanes < MAX_WINDOWS;
}

static bool none_alive(const KdPoint *at) {
    for (int l = 0; l < at->lanes; l++) {
        if (!at->dead || !at->dead[l]) {
            return false;
        }
    }
    return true;
}

LLVMValueRef kd_emit_load_at(KdEmit *e, KdType t, LLVMValueRef base, const KdPoint *at) {
    LLVMTypeRef type = kd_emit_type(e, t.dtype);
    KdIdx x = kd_emit_linear(e, t, at);
    LLVMValueRef value;
    if (at->lanes == 1 || kd_idx_is_uniform(&x)) {
        LLVMValueRef p = address(e, type, base, &x, 0);
        value = kd_emit_splat(e, kd_emit_load(e, type, 1, p, NULL), at->lanes);
    } else if (none_alive(at)) {
        value = LLVMConstNull(kd_vector_type(type, at->lanes));
    } else if (consecutive(&x, at)) {
        bool free = reads_first(at) && !e->options->sanitize;
        LLVMValueRef mask = free ? NULL : kd_emit_mask(e, at);
        value = kd_emit_load(e, type, at->lanes, address(e, type, base, &x, 0), mask);
    } else if (fits_windows(&x, at) && !e->options->sanitize) {
        value = load_windows(e, type, base, &x, at);
    } else {
        LLVMValueRef all = pointers(e, type, base, x, at->lanes);
        value = kd_emit_gather(e, type, all, kd_emit_mask(e, at));
    }
    if (t.dtype == KD_BOOL) {
        value = LLVMBuildICmp(e->b, LLVMIntNE, value, LLVMConstNull(LLVMTypeOf(value)), "");
    }
    return value;
}

void kd_emit_prefetch_at(KdEmit *e, KdType t, LLVMValueRef base, const KdPoint *at) {
    KdIdx x = kd_emit_linear(e, t, at);
    if (x.vector) return;
    LLVMValueRef p = address(e, kd_emit_type(e, t.dtype), base, &x, x.lane ? x.lane[0] : 0);
    LLVMValueRef args[] = { p, kd_emit_i32(e, 0), kd_emit_i32(e, 3), kd_emit_i32(e, 1) };
    kd_emit_intrinsic(e, "llvm.prefetch", &e->ptr, 1, args, 4); /* to read, into all caches */
}

void kd_emit_store_at(KdEmit *e, const KdValue *v, const KdPoint *at, LLVMValueRef value) {
    kd_emit_store_in(e, v->type, kd_emit_base(e, v), at, value);
}

void kd_emit_store_in(KdEmit *e, KdType t, LLVMValueRef base, const KdPoint *at,
                      LLVMValueRef value) {
    LLVMTypeRef type = kd_emit_type(e, t.dtype);
    if (t.dtype == KD_BOOL) {
        value = LLVMBuildZExt(e->b, value, kd_vector_type(type, at->lanes), "");
    }
    KdIdx x = kd_emit_linear(e, t, at);
    if (at->lanes == 1) {
        kd_emit_store(e, value, address(e, type, base, &x, 0), NULL);
    } else if (consecutive(&x, at)) {
        kd_emit_store(e, value, address(e, type, base, &x, 0), kd_emit_mask(e, at));
    } else {
        kd_emit_scatter(e, value, pointers(e, type, base, x, at->lanes), kd_emit_mask(e, at));
    }
}
