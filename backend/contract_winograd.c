/*
 * Convolutions by windows of 3 x 3 or 5 x 5 with fewer products: F(2x2, 3x3) and F(2x2, 5x5) of
 * Winograd's minimal filtering (Lavin & Gray 2016, arXiv 1509.09308). Of four results of a channel,
 * 2 x 2 neighbours or a tile, 16 products take the place of 36, or 36 that of 100, between sums of
 * inputs, of weights and of products:
 *
 *     Y = Aᵀ [ (G g Gᵀ) ∘ (Bᵀ d B) ] A      d: 4 x 4 or 6 x 6 inputs, g: weights
 *
 * with the matrices of contract_winograd_transform.c. Summed over channels before Aᵀ and A, these
 * are 16 or 36 products t of matrices, which the tiles of any other contraction make:
 *
 *     phase 0, some rows a task:       U[t][row][channel]         = G g Gᵀ, unless a constant
 *     phase 1, some lines of an image: lines[channel][j][line]    = d B      (copied with padding)
 *                                      V[t][channel][tile]        = Bᵀ d B
 *                                      M[t][row][tile]            = Σ_channel U · V
 *                                      result, after the epilogue = Aᵀ M A
 *
 * Vectors run along tiles, of several lines of tiles where one is shorter. All sums are in a fixed
 * order, and what is computed so depends on shapes alone.
 */
#include "backend/contract_winograd.h"
#include "backend/arith.h"
#include "backend/embed.h"
#include "backend/eval.h"

/* Where it pays, by shapes alone: the time of a product against that of the sums for a channel of
 * the input or a row, for each vector of 16 tiles. */
#define SUMS_COST    80.0 /* of 3 x 3 */
#define SUMS_COST_5  250.0
#define PAYS         1.15
#define COMMON_LANES 16 /* of the vectors that it is counted with, whatever the target's */
#define LONGEST_LINE 128
#define CACHE_LINE   16 /* floats */
#define BLOCK_STEPS  96 /* of a block of a gradient's sum, or more */
#define SLICES       8  /* of a gradient whose sums have no parts */

/* --- the plan --------------------------------------------------------------------------------- */

/* The iterators of dim d of the images where its index is y ± i + b: one of three or five taps i,
 * and y that moves over the image. In a gradient y is summed and i is the result's, else the other
 * way round. */
static bool is_window(const KdPlan *p, const KdFactor *images, int d, bool gradient,
                      KdWindowDim *w) {
    const KdIndex *x = &images->access->dim[d];
    *w = (KdWindowDim){ .dim = d, .column = -1, .tap = -1 };
    if (x->divisor != 1 || x->nterms != 2) return false;
    for (int k = 0; k < 2; k++) {
        int it = x->term[k].iter;
        int64_t by = x->term[k].coeff;
        bool of_result = it < p->rank;
        if (of_result != gradient && by == 1) w->column = it;
        if (of_result == gradient && (p->extent[it] == 3 || p->extent[it] == 5) &&
            (by == 1 || by == -1)) {
            w->tap = it;
            w->turned = by < 0;
        }
    }
    if (w->tap < 0 || w->column < 0) return false;
    w->first = x->offset - (w->turned ? p->extent[w->tap] - 1 : 0);
    w->extent = p->extent[w->column];
    for (int other = 0; other < images->type.rank; other++) {
        const KdIndex *y = &images->access->dim[other];
        if (other != d && (kd_index_uses(y, w->column) || kd_index_uses(y, w->tap))) return false;
    }
    return w->extent > 1 && w->extent <= LONGEST_LINE;
}

static void leave_out(KdFlat *x, int iter) {
    int kept = 0;
    for (int k = 0; k < x->n; k++)
        if (x->iter[k] != iter) x->iter[kept++] = x->iter[k];
    x->n = kept;
}

/* The two windows are the last dims of the images and their only ones that may be read outside. */
static bool find_windows(const KdPlan *p, const KdFactor *images, bool gradient, KdWinograd *w) {
    int rank = images->type.rank;
    if (rank < 2 || !is_window(p, images, rank - 2, gradient, &w->y) ||
        !is_window(p, images, rank - 1, gradient, &w->x) ||
        p->extent[w->y.tap] != p->extent[w->x.tap])
        return false;
    w->taps = p->extent[w->y.tap];
    w->side = w->taps + 1;
    w->products = w->side * w->side;
    for (int d = 0; d < rank - 2; d++)
        if (images->checked[d] || images->access->dim[d].divisor != 1) return false;
    return true;
}

/* Results along a dim, or where there are less, inputs: a fold makes products for those alone. */
static int64_t multiplied(const KdFactor *images, const KdWindowDim *w) {
    int64_t inputs = images->type.dim[w->dim];
    return inputs < w->extent ? inputs : w->extent;
}

/* `others`: the rows of a convolution, the columns of its gradient. */
static bool pays(const KdPlan *p, const KdFactor *images, const KdWinograd *w, int64_t others) {
    double channels = (double)kd_flat_most(p, &w->channels), rows = (double)others;
    int64_t across = ceil_div(w->x.extent, 2), down = ceil_div(w->y.extent, 2);
    int64_t lines = across < COMMON_LANES ? COMMON_LANES / across : 1;
    double vectors = (double)(ceil_div(down, lines) * ceil_div(across, COMMON_LANES));
    double pixels = (double)(multiplied(images, &w->x) * multiplied(images, &w->y));
    double each = channels * rows, taps = (double)(w->taps * w->taps);
    double sums = (w->taps == 3 ? SUMS_COST : SUMS_COST_5) * (channels + rows);
    double direct = pixels / COMMON_LANES * taps * each;
    return direct >= PAYS * vectors * ((double)w->products * each + sums);
}

/* What a convolution and its gradient have in common, with room for iterators of the plan alone. */
static bool is_plain(const KdPlan *p) {
    return !p->as_written && !p->blas && !p->bf16 && !p->words && !p->empty && p->group.n == 0 &&
           p->op->results[0]->type.dtype == KD_F32 && kd_flat_is_static(p, &p->rows) &&
           kd_stride_phases(p->op) == 1 && p->niters + 2 <= KD_MAX_ITERS;
}

static bool fits(const KdPlan *p, KdWinograd *w) {
    if (!is_plain(p) || p->parts || p->s.stored || !kd_flat_is_static(p, &p->sum) ||
        !find_windows(p, &p->v, false, w) || kd_access_uses(p->s.access, w->y.column) ||
        kd_access_uses(p->s.access, w->x.column))
        return false;
    w->channels = p->sum;
    leave_out(&w->channels, w->y.tap);
    leave_out(&w->channels, w->x.tap);
    w->rows = kd_flat_most(p, &p->rows);
    return w->channels.n > 0 && w->channels.n == p->sum.n - 2 && pays(p, &p->v, w, w->rows);
}

/* How vectors cover the lines of tiles; how many groups of lines there are. */
static int64_t lay_out_lines(KdPlan *p, KdWinograd *w) {
    int64_t across = ceil_div(w->x.extent, 2), down = ceil_div(w->y.extent, 2);
    w->lines = across < p->lanes ? p->lanes / across : 1;
    w->width = w->lines > 1 ? across : p->lanes;
    w->vectors = ceil_div(across, p->lanes);
    w->pitch = w->lines > 1 ? across : w->vectors * p->lanes;
    return ceil_div(down, w->lines);
}

/* Room for `groups` groups of lines of inputs, before they are transformed. */
static void lay_out_inputs(KdPlan *p, KdWinograd *w, int64_t groups, int64_t channels) {
    w->groups = groups;
    w->copied = 2 * groups * w->lines + w->side - 2;
    w->l_plane = w->copied * w->pitch + p->lanes; /* a vector may end behind its line */
    /* Planes begin in different cache sets. */
    w->v_plane = channels * w->tiles + CACHE_LINE;
}

/* Lines of tiles that a unit makes: V and M stay in the second-level cache. */
static void choose_block(KdPlan *p, KdWinograd *w, const KdTarget *t) {
    int64_t channels = kd_flat_most(p, &w->channels), groups = lay_out_lines(p, w);
    int64_t bytes = 4 * w->products * (channels + w->rows) * w->vectors * p->lanes;
    int64_t most = t->l2_bytes / 2 / bytes;
    w->blocks = ceil_div(groups, most < 1 ? 1 : most);
    groups = ceil_div(groups, w->blocks);
    w->blocks = ceil_div(lay_out_lines(p, w), groups);
    w->tiles = groups * w->vectors * p->lanes;
    lay_out_inputs(p, w, groups, channels);
    w->m_plane = w->rows * w->tiles + CACHE_LINE;
    /* Rows of weights are an odd number of cache lines apart. */
    w->pad = ceil_div(channels, CACHE_LINE) * CACHE_LINE;
    w->pad += w->pad / CACHE_LINE % 2 == 0 ? CACHE_LINE : 0;
}

/* Are weights a parameter that is transformed beforehand, and read by nothing else? */
static bool has_constant_weights(KdEmit *e, const KdPlan *p) {
    const KdFactor *f = &p->winograd->weights;
    return f->memory && f->linear && kd_packed_param(e, f->memory) &&
           kd_count_reads(p->kernel, f->value) == 1;
}

/* An iterator of this plan alone. */
static int new_iterator(KdPlan *p, int64_t extent) {
    int it = ++p->niters;
    p->extent[it] = p->most[it] = extent;
    return it;
}

/* From here on the plan is that of one of the products: S is U, V and the result are planes of
 * scratch. */
static void aim_at_products(KdPlan *p, KdWinograd *w) {
    p->row_linear = p->s_affine = true;
    p->row_s = w->pad;
    p->row_c = w->tiles;
    p->s_step = 1;
    p->kc = kd_flat_most(p, &p->sum);
    p->one_block = true;
}

/* Has a block whole lines of windows, where planes that are pooled are those of the images? */
static bool takes_pool(const KdPlan *p, const KdWinograd *w) {
    if (!p->pool) return true;
    bool planes = p->outer.n + p->inner.n == 3 && w->x.column == w->y.column + 1;
    return planes && (w->blocks == 1 || kd_pool_takes_lines(p, w->y.column, kd_winograd_lines(w)));
}

void kd_winograd_plan(KdEmit *e, KdPlan *p, int phase) {
    KdWinograd found = { 0 };
    if (!fits(p, &found)) return;
    choose_block(p, &found, e->target);
    if (!takes_pool(p, &found)) return;
    KdWinograd *w = kd_arena_copy(e->arena, &found, sizeof found);
    w->input = p->v;
    w->weights = p->s;
    p->winograd = w;
    kd_flat_join(p, &p->group, &p->outer);
    kd_flat_join(p, &p->group, &p->inner);
    leave_out(&p->group, w->y.column);
    leave_out(&p->group, w->x.column);
    w->block = new_iterator(p, w->blocks);
    p->group.iter[p->group.n++] = w->block;
    w->tile = new_iterator(p, w->tiles);
    p->inner = (KdFlat){ .n = 1, .iter = { w->tile } };
    p->sum = w->channels;
    w->constant = has_constant_weights(e, p);
    p->packs = phase == 0 && !w->constant;
    aim_at_products(p, w);
}

/* --- the plan of a gradient ------------------------------------------------------------------- */

/* Lines of whole tiles that vectors of any width cover without a rest. */
static bool has_whole_tiles(const KdWinograd *w) {
    int64_t across = w->x.extent / 2, down = w->y.extent / 2;
    int64_t lines = across < COMMON_LANES ? COMMON_LANES / across : 1;
    bool fills = across < COMMON_LANES ? COMMON_LANES % across == 0 : across % COMMON_LANES == 0;
    return w->x.extent % 2 == 0 && w->y.extent % 2 == 0 && fills && down % lines == 0;
}

/* V is read pixel by pixel: its dims but the last two are the batch and columns. */
static bool has_plain_pixels(const KdPlan *p, const KdWinograd *w) {
    int rank = p->v.type.rank;
    return rank >= 2 && p->v.memory && p->v.linear && p->v.inside &&
           kd_index_is_iter(&p->v.access->dim[rank - 2], w->y.column) &&
           kd_index_is_iter(&p->v.access->dim[rank - 1], w->x.column) &&
           p->v.type.dim[rank - 2] == w->y.extent && p->v.type.dim[rank - 1] == w->x.extent;
}

static bool gradient_fits(const KdPlan *p, KdWinograd *w) {
    if (!is_plain(p) || !p->parts || p->sum.n != 3 || p->outer.n > 0 || !p->s.memory ||
        !find_windows(p, &p->s, true, w) || !has_plain_pixels(p, w) || !has_whole_tiles(w) ||
        p->sum.iter[1] != w->y.column || p->sum.iter[2] != w->x.column)
        return false;
    w->channels = p->rows;
    leave_out(&w->channels, w->y.tap);
    leave_out(&w->channels, w->x.tap);
    return w->channels.n > 0 && w->channels.n == p->rows.n - 2 &&
           pays(p, &p->s, w, kd_flat_most(p, &p->inner));
}

bool kd_winograd_is_gradient(const KdPlan *p) {
    KdWinograd w = { 0 };
    return gradient_fits(p, &w);
}

/* Cuts the result into slices, where a unit has all of the batch. Each slice of rows transforms dY
 * again, each of columns the images, which takes twice as long: the cut that does so least. No sum
 * depends on it. */
static void slice_result(KdPlan *p, const KdWinograd *w) {
    int64_t tiles = kd_split_pieces(&p->row_tiles), panels = kd_split_pieces(&p->col_panels);
    double best = 0;
    p->tiles_per_unit = tiles;
    p->panels_per_unit = panels;
    for (int64_t cuts = 1; p->parts == 1 && cuts <= SLICES && cuts <= panels; cuts++) {
        int64_t wide = ceil_div(panels, cuts), across = ceil_div(panels, wide);
        int64_t high = ceil_div(tiles, ceil_div(SLICES, across)), down = ceil_div(tiles, high);
        int64_t units = across * down < SLICES ? across * down : SLICES;
        double again = (double)(down * kd_flat_most(p, &p->inner) + 2 * across * w->rows);
        if (best > 0 && again / (double)units >= best) continue;
        best = again / (double)units;
        p->tiles_per_unit = high;
        p->panels_per_unit = wide;
    }
}

/* So many samples at a time that their V, and a panel of dY, `bytes` for each, stay in half of the
 * second-level cache: in all of it where steps are so few that it is sums that go through it. */
static int64_t choose_samples(const KdPlan *p, const KdWinograd *w, int64_t bytes,
                              const KdTarget *t) {
    int64_t samples = t->l2_bytes / 2 / bytes, wanted = ceil_div(BLOCK_STEPS, w->image_tiles);
    if (samples < wanted) samples = t->l2_bytes / bytes < wanted ? t->l2_bytes / bytes : wanted;
    return samples < 1 ? 1 : samples > p->part_samples ? p->part_samples : samples;
}

void kd_winograd_gradient_plan(KdEmit *e, KdPlan *p) {
    KdWinograd found = { .gradient = true };
    if (!gradient_fits(p, &found)) return;
    KdWinograd *w = kd_arena_copy(e->arena, &found, sizeof found);
    w->input = p->s;
    p->winograd = w;
    p->rows = w->channels;
    w->rows = kd_flat_most(p, &p->rows);
    w->block = new_iterator(p, 1);
    if (p->parts > 1) kd_split_halve(p, w->products * w->rows * kd_flat_most(p, &p->inner));
    p->row_linear = p->s_affine = true; /* in scratch, which tiles are chosen for */
    p->s_step = 1;
    kd_choose_tile(p, e->target);
    slice_result(p, w);
    int64_t rows = p->tiles_per_unit * p->row_tiles.size[0];
    int64_t width = (int64_t)p->col_panels.size[0] * p->lanes, groups = lay_out_lines(p, w);
    w->blocks = 1;
    w->image_tiles = w->x.extent * w->y.extent / 4;
    int64_t bytes = 4 * w->image_tiles * (w->products * rows + (2 * w->side + 4) * width);
    p->level = 0;
    p->chunk = choose_samples(p, w, bytes, e->target);
    p->period = w->y.extent * w->x.extent;
    p->kc = p->chunk * p->period;
    w->tiles = p->chunk * w->image_tiles;
    lay_out_inputs(p, w, groups, rows);
    w->m_plane = w->tiles * width + CACHE_LINE;
    p->row_s = w->tiles;
}

/* --- scratch ---------------------------------------------------------------------------------- */

int64_t kd_winograd_elements(const KdPlan *p) {
    const KdWinograd *w = p->winograd;
    if (!w) return 0;
    int64_t lines = w->side * w->l_plane;                 /* of one channel */
    int64_t slack = 2 * (w->lines * w->pitch + p->lanes); /* what is read behind the last line */
    int64_t planes = w->gradient ? 2 * w->side + 1 : w->products; /* of A dY and Z, or of M */
    return lines + slack + w->products * w->v_plane + planes * w->m_plane;
}

/* --- a unit ----------------------------------------------------------------------------------- */

void kd_winograd_emit(KdUnit *u, LLVMValueRef weights) {
    KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdWinograd *w = p->winograd;
    LLVMValueRef v = c->product, zero = kd_emit_i64(e, 0);
    LLVMValueRef m = kd_emit_element(e, e->f32, v, kd_emit_i64(e, w->products * w->v_plane));
    LLVMValueRef lines = kd_emit_element(e, e->f32, m, kd_emit_i64(e, w->products * w->m_plane));
    kd_winograd_inputs(c, zero, kd_emit_i64(e, p->kc), lines, v);
    c->k_first = zero;
    c->k_count = kd_emit_i64(e, p->kc);
    KdLoop t;
    kd_loop_begin(e, &t, zero, kd_emit_i64(e, w->products), 1);
    c->vcopy = kd_emit_element(e, e->f32, v, scaled(e, t.index, w->v_plane));
    c->product = kd_emit_element(e, e->f32, m, scaled(e, t.index, w->m_plane));
    u->s_base = kd_emit_element(e, e->f32, weights, scaled(e, t.index, w->rows * w->pad));
    kd_emit_panels(u);
    kd_loop_end(e, &t);
    c->product = v;
    kd_winograd_results(c, m);
}
