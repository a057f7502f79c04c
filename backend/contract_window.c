/*
 * Convolutions whose tiles read V without panels. The vectors of columns that overlapping windows
 * read are neighbours in memory, each tap's a few elements from the last one's:
 *
 *      tap 0   |a b c d|            one line of the image, with its padding, in place of three of
 *      tap 1     |b c d e|          a panel
 *      tap 2       |c d e f|
 *
 * So a unit copies its image with the padding (pack_halo.c), and every step of k loads vectors from
 * there. Where lines are no whole vectors, or windows have a stride, it has a copy for each tap of
 * a line. That saves the packing, a fifth of the time where rows are few, and the copy stays in a
 * cache where a panel, as many times as large as there are taps, does not.
 *
 * Reading the image where it lies, lanes of the padding masked, was slower: a masked load of Zen 4
 * takes a turn of the multipliers, which made tiles of 6x4 run 14 % longer.
 */
#include "backend/contract.h"

#define MOST_STEPS 8192 /* of a sum in one block; tables have an entry for each */
#define MOST_PACE  2    /* stride of windows that are copied by a few loads and shuffles */

static bool uses(const KdIndex *x, const KdFlat *of) {
    for (int k = 0; k < of->n; k++)
        if (kd_index_uses(x, of->iter[k])) return true;
    return false;
}

/* Is there a dim in which columns and taps overlap? */
static bool has_window(const KdPlan *p) {
    for (int d = 0; d < p->v.type.rank; d++)
        if (uses(&p->v.access->dim[d], &p->inner) && uses(&p->v.access->dim[d], &p->sum))
            return true;
    return false;
}

static int last_column(const KdPlan *p) {
    return p->inner.iter[p->inner.n - 1];
}

/* Vectors of columns are neighbours in V, and all of them whole. */
static bool has_runs(const KdPlan *p) {
    int last = last_column(p);
    return p->v.lin[last] == 1 && p->extent[last] % p->lanes == 0;
}

static bool window_fits(const KdPlan *p) {
    return !p->blas && !p->bf16 && !p->words && !p->empty && !p->fold && !p->parts && p->v.memory &&
           p->v.linear && p->inner.n > 0 && kd_flat_is_static(p, &p->inner) &&
           kd_flat_is_static(p, &p->sum) && kd_flat_most(p, &p->sum) <= MOST_STEPS && has_window(p);
}

static bool is_used_beside(const KdPlan *p, int iter, int d) {
    for (int other = 0; other < p->v.type.rank; other++)
        if (other != d && kd_index_uses(&p->v.access->dim[other], iter)) return true;
    return false;
}

/* The iterator of the sum whose steps shift through dim d of V what the columns of `inner` number k
 * read there; KD_UNSHIFTED where there is more to it. */
static int shifting(const KdPlan *p, int k, int d, int64_t most_pace) {
    if (k < 0 || d < 0 || p->v.type.dim[d] == KD_BATCH) return KD_UNSHIFTED;
    int column = p->inner.iter[k], shift = KD_UNSHIFTED;
    if (is_used_beside(p, column, d)) return KD_UNSHIFTED;
    bool moves = false;
    const KdIndex *x = &p->v.access->dim[d];
    for (int t = 0; t < x->nterms; t++) {
        int it = x->term[t].iter;
        int64_t by = x->term[t].coeff;
        if (p->extent[it] == 1) continue;
        if (by < 1) return KD_UNSHIFTED;
        if (it == column) {
            if (by > most_pace) return KD_UNSHIFTED;
            moves = true;
        } else if (it < p->rank || shift != KD_UNSHIFTED) {
            return KD_UNSHIFTED;
        } else {
            shift = it;
        }
    }
    return moves && shift != KD_UNSHIFTED && !is_used_beside(p, shift, d) ? shift : KD_UNSHIFTED;
}

/* The sum in one block, of a unit with one image. */
static void take_whole_image(KdPlan *p) {
    kd_flat_join(p, &p->group, &p->outer);
    p->level = 0;
    p->chunk = p->extent[p->sum.iter[0]];
    p->kc = kd_flat_most(p, &p->sum);
    p->period = p->kc / p->chunk;
    p->one_block = true;
}

/* The plan with a copy that is shifted so, where vectors of columns are neighbours in it. */
static bool read_copy(KdEmit *e, KdPlan *p, int along, int lines) {
    KdPlan direct = *p;
    take_whole_image(&direct);
    direct.v_halo = kd_halo_plan(e, &direct, &direct.v, &direct.inner, along, lines);
    /* A dim behind that of the columns may have padding in the copy alone. */
    if (direct.v.lin[last_column(p)] != 1) return false;
    bool follow = kd_flat_collapses(&direct, &direct.inner, direct.v.lin);
    if (!follow && p->extent[last_column(p)] % p->lanes != 0) return false;
    if (direct.v_halo->elements * 4 > e->target->l2_bytes / 2) return false;
    *p = direct;
    return true;
}

void kd_window_plan(KdEmit *e, KdPlan *p) {
    if (!window_fits(p)) return;
    if (has_runs(p)) {
        read_copy(e, p, KD_UNSHIFTED, KD_UNSHIFTED);
        return;
    }
    int rank = p->v.type.rank, columns = p->inner.n;
    if (p->extent[last_column(p)] > (int64_t)KD_LINE_VECTORS * p->lanes) return;
    int along = shifting(p, columns - 1, rank - 1, MOST_PACE);
    if (along == KD_UNSHIFTED || read_copy(e, p, along, KD_UNSHIFTED)) return;
    int lines = shifting(p, columns - 2, rank - 2, INT64_MAX);
    if (lines != KD_UNSHIFTED) read_copy(e, p, along, lines);
}

LLVMValueRef kd_window_column(KdContraction *c, const KdColumn *column) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    KdIdx at[KD_PLAN_ITERS];
    kd_flat_decode(c, &p->inner, column->first, at);
    LLVMValueRef offset = kd_flat_offset(e, &p->inner, at, p->v.lin);
    if (kd_flat_collapses(p, &p->inner, p->v.lin)) offset = column->first;
    offset = LLVMBuildAdd(e->b, offset, kd_emit_i64(e, p->v.offset), "");
    return kd_emit_element(e, e->f32, c->vcopy, offset);
}
