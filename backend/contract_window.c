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

/* The iterator of the sum whose steps shift the lines of the last column through the last dim of V;
 * KD_UNSHIFTED where there is more to it. */
static int shifting(const KdPlan *p) {
    int last = last_column(p), shift = KD_UNSHIFTED, rank = p->v.type.rank;
    if (p->extent[last] > (int64_t)KD_LINE_VECTORS * p->lanes) return KD_UNSHIFTED;
    for (int d = 0; d + 1 < rank; d++)
        if (kd_index_uses(&p->v.access->dim[d], last)) return KD_UNSHIFTED;
    const KdIndex *x = &p->v.access->dim[rank - 1];
    bool moves = false;
    for (int k = 0; k < x->nterms; k++) {
        int it = x->term[k].iter;
        int64_t by = x->term[k].coeff;
        if (p->extent[it] == 1) continue;
        if (it == last) {
            if (by < 1 || by > MOST_PACE) return KD_UNSHIFTED;
            moves = true;
        } else if (it < p->rank || shift != KD_UNSHIFTED || by < 1) {
            return KD_UNSHIFTED;
        } else {
            shift = it;
        }
    }
    return moves ? shift : KD_UNSHIFTED;
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

void kd_window_plan(KdEmit *e, KdPlan *p) {
    if (!window_fits(p)) return;
    KdPlan direct = *p;
    int shift = has_runs(p) ? KD_UNSHIFTED : shifting(p);
    if (!has_runs(p) && shift == KD_UNSHIFTED) return;
    take_whole_image(&direct);
    direct.v_halo = kd_halo_plan(e, &direct, &direct.v, &direct.inner, shift);
    bool follow = kd_flat_collapses(&direct, &direct.inner, direct.v.lin);
    if (!follow && p->extent[last_column(p)] % p->lanes != 0) return;
    if (direct.v_halo->elements * 4 <= e->target->l2_bytes / 2) *p = direct;
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
