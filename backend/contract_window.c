/*
 * Convolutions whose tiles read V without panels. The vectors of columns that overlapping windows
 * read are neighbours in memory, each tap's a few elements from the last one's:
 *
 *      tap 0   |a b c d|            one line of the image, with its padding, in place of three of
 *      tap 1     |b c d e|          a panel
 *      tap 2       |c d e f|
 *
 * So a unit copies its image with the padding (pack_halo.c), and every step of k loads vectors from
 * there. That saves the packing, a fifth of the time where rows are few, and the copy stays in the
 * first-level cache where a panel, as many times as large as there are taps, does not.
 */
#include "backend/contract.h"

#define MOST_STEPS 8192 /* of a sum in one block; tables have an entry for each */

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

/* Vectors of columns are neighbours in V, and all of them whole. */
static bool has_runs(const KdPlan *p) {
    int last = p->inner.iter[p->inner.n - 1];
    return p->v.lin[last] == 1 && p->extent[last] % p->lanes == 0;
}

static bool window_fits(const KdPlan *p) {
    return !p->blas && !p->bf16 && !p->words && !p->empty && !p->fold && !p->parts && p->v.memory &&
           p->v.linear && p->inner.n > 0 && kd_flat_is_static(p, &p->inner) &&
           kd_flat_is_static(p, &p->sum) && kd_flat_most(p, &p->sum) <= MOST_STEPS &&
           has_window(p) && has_runs(p);
}

/* The sum in one block. */
static void take_whole_sum(KdPlan *p) {
    p->level = 0;
    p->chunk = p->extent[p->sum.iter[0]];
    p->kc = kd_flat_most(p, &p->sum);
    p->period = p->kc / p->chunk;
    p->one_block = true;
}

void kd_window_plan(KdEmit *e, KdPlan *p) {
    if (!window_fits(p)) return;
    KdPlan direct = *p;
    kd_flat_join(&direct, &direct.group, &direct.outer);
    take_whole_sum(&direct);
    direct.v_halo = kd_halo_plan(e, &direct, &direct.v, &direct.inner);
    if (direct.v_halo->elements * 4 <= e->target->l2_bytes / 2) *p = direct;
}

LLVMValueRef kd_window_column(KdContraction *c, const KdColumn *column) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    KdIdx at[KD_PLAN_ITERS];
    kd_flat_decode(c, &p->inner, column->first, at);
    LLVMValueRef offset = kd_flat_offset(e, &p->inner, at, p->v.lin);
    offset = LLVMBuildAdd(e->b, offset, kd_emit_i64(e, p->v.offset), "");
    return kd_emit_element(e, e->f32, c->vcopy, offset);
}
