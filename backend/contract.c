/*
 * The plan of a contraction: which iterator has which role, how large the register tile is, how k
 * is cut into blocks and the result into units of work. Pure arithmetic on shapes and the target:
 * no LLVM here. See contract.h for the picture.
 */
#include "backend/contract_winograd.h"
#include "backend/embed.h"
#include "backend/func.h"
#include "backend/predict.h"
#include "backend/tune.h"

#include <string.h>

/* Less work than this runs as one task: waking a worker costs about as much. */
#define SINGLE_TASK_FLOPS 400000.0
#define MIN_UNIT_FLOPS    250000.0

int64_t kd_flat_most(const KdPlan *p, const KdFlat *x) {
    int64_t product = 1;
    for (int k = 0; k < x->n; k++) product *= p->most[x->iter[k]];
    return product;
}

int64_t kd_panel_vectors(const KdPlan *p) {
    return kd_flat_most(p, &p->outer) * ceil_div(kd_flat_most(p, &p->inner), p->lanes);
}

int64_t kd_panel_streams(const KdPlan *p) {
    return kd_flat_most(p, &p->outer) * ceil_div(kd_flat_most(p, &p->inner), p->stream);
}

bool kd_flat_is_static(const KdPlan *p, const KdFlat *x) {
    for (int k = 0; k < x->n; k++)
        if (p->extent[x->iter[k]] == KD_BATCH) return false;
    return true;
}

/* --- the factors ------------------------------------------------------------------------------ */

/* Row-major strides; false when one of them depends on the batch. */
static bool constant_strides(KdType t, int64_t stride[KD_MAX_RANK]) {
    for (int d = 1; d < t.rank; d++)
        if (t.dim[d] == KD_BATCH) return false;
    kd_type_strides(t, 1, stride);
    return true;
}

/* Can dim d's index leave [0, extent), or fail to be divisible? */
static bool needs_check(const KdPlan *p, KdType t, int d, const KdIndex *x) {
    if (x->divisor != 1) return true;
    int64_t low, high;
    bool batch = false;
    kd_index_range(x, p->most, &low, &high);
    for (int k = 0; k < x->nterms; k++) batch |= p->extent[x->term[k].iter] == KD_BATCH;
    if (t.dim[d] == KD_BATCH) /* in range for every n only when it is the batch itself */
        return !(batch && x->nterms == 1 && x->term[0].coeff == 1 && x->offset == 0);
    return low < 0 || high >= t.dim[d];
}

bool kd_contract_words(const KdInstr *op) {
    const KdContract *c = op->contract;
    int last = op->results[0]->type.rank + c->nover - 1;
    if (op->results[0]->type.dtype != KD_I32 || c->nover == 0 || c->over[c->nover - 1] != 4)
        return false;
    if (op->args[0]->type.dtype == op->args[1]->type.dtype) return false;
    for (int k = 0; k < 2; k++) {
        const KdAccess *x = k ? &c->b : &c->a;
        KdType t = op->args[k]->type;
        if (op->args[k]->def || t.rank < 2 || t.dim[t.rank - 1] != 4) return false;
        if (!kd_index_is_iter(&x->dim[t.rank - 1], last)) return false;
        for (int d = 0; d < t.rank - 1; d++)
            if (kd_index_uses(&x->dim[d], last)) return false;
    }
    return true;
}

/* v of bytes as the words of 4 that lie in the same place. */
static const KdValue *words_of(KdArena *a, const KdValue *v) {
    KdValue *words = kd_arena_copy(a, v, sizeof *v);
    words->type.dtype = KD_I32;
    words->type.rank--;
    words->type.pad /= 4;
    return words;
}

static KdFactor factor_of(const KdPlan *p, const KdValue *value, const KdAccess *access) {
    KdFactor f = {
        .value = value, .access = access, .type = value->type, .linear = true, .inside = true
    };
    if (!value->def && (value->type.dtype == KD_F32 || p->words))
        f.memory = p->kernel->args[value->index];
    if (value->def && value->def->op == KD_OP_CAST && !value->def->args[0]->def &&
        kd_dtype_is_stored(value->def->args[0]->type.dtype) && value->type.dtype == KD_F32)
        f.stored = p->kernel->args[value->def->args[0]->index];
    int64_t stride[KD_MAX_RANK] = { 0 };
    f.linear = constant_strides(f.type, stride);
    for (int d = 0; d < f.type.rank; d++) {
        const KdIndex *x = &access->dim[d];
        f.checked[d] = needs_check(p, f.type, d, x);
        f.inside &= !f.checked[d];
        f.linear &= x->divisor == 1;
        f.offset += stride[d] * x->offset;
        for (int k = 0; k < x->nterms; k++) f.lin[x->term[k].iter] += stride[d] * x->term[k].coeff;
    }
    return f;
}

/* Do neighbours in x continue one another with these strides? */
bool kd_flat_collapses(const KdPlan *p, const KdFlat *x, const int64_t *lin) {
    for (int k = 0; k + 1 < x->n; k++)
        if (p->extent[x->iter[k + 1]] == KD_BATCH ||
            lin[x->iter[k]] != lin[x->iter[k + 1]] * p->extent[x->iter[k + 1]])
            return false;
    return true;
}

/* --- roles ------------------------------------------------------------------------------------ */

static void flat_push(KdFlat *x, int iter) {
    x->iter[x->n++] = iter;
}

/* Dynamic extents go in front, so that no other extent's position depends on n. */
static void batch_first(const KdPlan *p, KdFlat *x) {
    for (int k = 1; k < x->n; k++) {
        if (p->extent[x->iter[k]] != KD_BATCH) continue;
        int batch = x->iter[k];
        for (int j = k; j > 0; j--) x->iter[j] = x->iter[j - 1];
        x->iter[0] = batch;
    }
}

void kd_flat_join(const KdPlan *p, KdFlat *to, KdFlat *from) {
    for (int k = 0; k < from->n; k++) flat_push(to, from->iter[k]);
    from->n = 0;
    batch_first(p, to);
}

/* Columns: as many of the last ones as have one stride in the result are `inner`, and a dynamic
 * extent only when it is alone. */
static void split_columns(KdPlan *p, const KdFlat *columns) {
    int first = columns->n;
    while (first > 0) {
        int it = columns->iter[first - 1];
        bool joins = first == columns->n || (p->extent[it] != KD_BATCH && p->c_linear &&
                                             p->clin[it] == p->clin[columns->iter[first]] *
                                                                p->extent[columns->iter[first]]);
        if (!joins) break;
        first--;
    }
    for (int k = 0; k < first; k++) flat_push(&p->outer, columns->iter[k]);
    for (int k = first; k < columns->n; k++) flat_push(&p->inner, columns->iter[k]);
    batch_first(p, &p->outer);
}

/* Operand a or b feeds the lanes. */
static void assign_roles(KdPlan *p, const KdContract *x, bool a_lanes, KdArena *a) {
    const KdAccess *v = a_lanes ? &x->a : &x->b, *s = a_lanes ? &x->b : &x->a;
    const KdValue *of_v = p->op->args[a_lanes ? 0 : 1], *of_s = p->op->args[a_lanes ? 1 : 0];
    p->v_signed = of_v->type.dtype == KD_I8;
    p->v = factor_of(p, p->words ? words_of(a, of_v) : of_v, v);
    p->s = factor_of(p, p->words ? words_of(a, of_s) : of_s, s);
    KdFlat columns = { 0 };
    for (int i = 0; i < p->niters; i++) {
        if (p->extent[i] == 1) continue;
        bool in_v = kd_access_uses(v, i), in_s = kd_access_uses(s, i);
        if (i >= p->rank)
            flat_push(&p->sum, i);
        else
            flat_push(in_v && in_s ? &p->group : in_v ? &columns : &p->rows, i);
    }
    if (p->sum.n == 0) flat_push(&p->sum, p->niters); /* the extra iterator, of extent 1 */
    batch_first(p, &p->group);
    batch_first(p, &p->rows);
    split_columns(p, &columns);
    p->v_linear = p->v.linear && p->inner.n > 0 && kd_flat_collapses(p, &p->inner, p->v.lin);
    p->row_linear = p->c_linear && p->s.linear && kd_flat_collapses(p, &p->rows, p->s.lin) &&
                    kd_flat_collapses(p, &p->rows, p->clin);
    if (p->rows.n && p->row_linear) {
        p->row_s = p->s.lin[p->rows.iter[p->rows.n - 1]];
        p->row_c = p->clin[p->rows.iter[p->rows.n - 1]];
    }
}

/* Cycles beside those of the products: to pack a vector of V at each step, from neighbours or by
 * transposes, and to store vectors of the result (and read what is like it) as lanes lie in it. */
static double role_cycles(const KdPlan *p) {
    int last = p->inner.n ? p->inner.iter[p->inner.n - 1] : -1;
    double columns = (double)kd_panel_vectors(p), touched = 0;
    for (int k = 0; k < p->kernel->nresults; k++) touched += kd_is_whole(p, p->kernel->results[k]);
    for (int k = 0; k < p->kernel->nargs; k++) {
        const KdValue *arg = p->kernel->args[k];
        touched += arg != p->s.memory && arg != p->v.memory && kd_is_whole(p, arg);
    }
    bool in_line = last >= 0 && p->clin[last] == 1;
    double pack = last >= 0 && p->v.lin[last] == 1 ? 3 : 12, store = in_line ? 1 : 40;
    return columns * (pack * (double)kd_flat_most(p, &p->sum) +
                      store * touched * (double)kd_flat_most(p, &p->rows));
}

/* Is it a product of matrices, whose operands lie in memory, S with its steps in a line? */
static bool is_plain(const KdPlan *p) {
    return p->s.memory && p->v.memory && p->s.linear && p->v.linear && p->s.inside && p->v.inside &&
           p->row_linear && p->s.lin[p->sum.iter[p->sum.n - 1]] == 1;
}

/* The operand with the innermost dim of the result (of more than one element) feeds the lanes. Only
 * where sums are so long that it matters less how results are stored, the quicker one does. */
static void choose_roles(KdEmit *e, KdPlan *p, const KdContract *x) {
    KdArena *a = e->arena;
    bool a_lanes = false;
    for (int i = p->rank - 1; i >= 0; i--) {
        bool in_a = kd_access_uses(&x->a, i), in_b = kd_access_uses(&x->b, i);
        if (p->most[i] == 1 || in_a == in_b) continue;
        a_lanes = in_a;
        break;
    }
    KdPlan other = *p;
    assign_roles(p, x, a_lanes, a);
    assign_roles(&other, x, !a_lanes, a);
    bool split = kd_split_plan(p), turned = kd_split_plan(&other);
    bool by_winograd = kd_winograd_is_gradient(p);
    if (turned && (kd_winograd_is_gradient(&other) ||
                   (!by_winograd && (!split || kd_split_cycles(&other) < kd_split_cycles(p)))))
        *p = other;
    bool may_turn =
        !p->parts && !kd_has_pooling(p->kernel) && !p->blas && !p->words && !kd_is_inference(e);
    if (may_turn && is_plain(p) && is_plain(&other) && role_cycles(&other) < role_cycles(p))
        *p = other;
}

/* --- blocks of k ------------------------------------------------------------------------------ */

/* Do the steps of a large V lie in pages of their own, which all fall into few sets of a cache? */
static bool has_far_lines(const KdEmit *e, const KdPlan *p) {
    return p->v.memory && p->inner.n > 0 && p->v.lin[p->inner.iter[p->inner.n - 1]] == 1 &&
           p->v.lin[p->sum.iter[p->sum.n - 1]] >= 1024 && kd_is_large(e, p->v.type);
}

/* A packed panel of a block takes at most a quarter of the second-level cache, an eighth where it
 * comes from far lines, and half of it where one unit has all rows of S, together with those. */
static void block_sum(KdEmit *e, KdPlan *p) {
    const KdTarget *t = e->target;
    int64_t width = (int64_t)p->col_panels.size[0] * p->lanes;
    bool far = !p->parts && !p->v_constant && has_far_lines(e, p);
    int64_t limit = t->l2_bytes / (far ? 8 : 4) / (width * 4);
    if (p->v_halo) return; /* all of it, since there is no panel */
    int64_t line = p->parts ? kd_split_line(p) : 0;
    if (p->parts && t->l2_bytes / 2 / ((width + line) * 4) < limit)
        limit = t->l2_bytes / 2 / ((width + line) * 4);
    limit = limit < 128 ? 128 : limit > 2048 ? 2048 : limit;
    p->level = p->sum.n - 1;
    p->period = 1;
    while (p->level > 0) {
        int64_t extent = p->extent[p->sum.iter[p->level]];
        if (extent == KD_BATCH || p->period * extent > limit) break;
        p->period *= extent;
        p->level--;
    }
    int64_t most = p->most[p->sum.iter[p->level]];
    int64_t chunk = limit / p->period < 1 ? 1 : limit / p->period;
    /* Constant panels that no second tile reads need not stay in any cache. */
    if (chunk > most || (p->v_constant && p->level == 0 && kd_split_pieces(&p->row_tiles) == 1))
        chunk = most;
    p->chunk = ceil_div(most, ceil_div(most, chunk));
    p->kc = p->chunk * p->period;
    p->one_block = !p->parts && p->level == 0 && p->chunk >= most;
}

/* S is read in place when every step and row is at a known distance. Strides of whole pages put the
 * rows of a tile into few cache sets: then a copy is better. */
static void place_rows(KdEmit *e, KdPlan *p) {
    if (p->parts && !p->s.inside) {
        p->s_halo = kd_halo_plan(e, p, &p->s, &p->rows, KD_UNSHIFTED, KD_UNSHIFTED);
        p->row_linear = p->c_linear && kd_flat_collapses(p, &p->rows, p->s.lin) &&
                        kd_flat_collapses(p, &p->rows, p->clin);
        p->row_s = p->rows.n ? p->s.lin[p->rows.iter[p->rows.n - 1]] : 0;
    }
    p->s_packed = !p->s.memory || !p->s.linear || !p->s.inside;
    KdFlat whole = { .n = p->sum.n - p->level };
    for (int k = 0; k < whole.n; k++) whole.iter[k] = p->sum.iter[p->level + k];
    p->s_affine = kd_flat_collapses(p, &whole, p->s.lin);
    p->s_step = p->s.lin[whole.iter[whole.n - 1]];
    p->s_line = !p->s_packed && p->s_affine && p->s_step == 1;
    bool pages = p->row_s % 1024 == 0 && p->row_tiles.size[0] > 8;
    bool hops = p->s_affine && p->s_step != 1 && p->s_step % 512 == 0 && p->kc > 32;
    bool lines = p->s_affine && p->row_linear &&
                 (p->s_step == 1 ? p->row_s >= p->kc || p->rows.n == 0
                                 : p->row_s == 1 && p->s_step >= kd_flat_most(p, &p->rows));
    p->s_packed |= p->blas && !lines; /* sgemm wants rows or columns that do not overlap */
    bool copies = p->bf16 || ((pages || hops) && kd_split_pieces(&p->col_panels) > 2);
    if (p->row_linear && copies) {
        p->s_tiled = !p->s_packed && !p->blas && p->s_affine && p->row_s == 1;
        p->s_packed = true;
        p->hop = p->s_step;
    }
    p->s_packed |= p->bf16;
    /* Rows of the copy are an odd number of cache lines apart, so that they fall into different
     * sets. */
    p->kpad = ceil_div(p->kc, p->lanes) * p->lanes;
    p->kpad += p->kpad / 16 % 2 == 0 ? 16 : 32;
    if (p->s_packed) {
        p->s_affine = true;
        p->s_step = 1;
    }
}

/* To widen a vector in the tiles takes two cycles for each, to do it before them about eight. */
#define WIDENING_TILES 4

/* --- units of work ---------------------------------------------------------------------------- */

bool kd_unit_has_all(const KdPlan *p) {
    return p->fold || p->phases || p->parts || p->v_halo || p->winograd || p->pool;
}

/* A unit is some column panels times some row tiles of one group. Panels are split first: two units
 * with the same panel would both pack it. */
static void share_work(KdEmit *e, KdPlan *p) {
    const KdTarget *t = e->target;
    int64_t tiles = kd_split_pieces(&p->row_tiles), panels = kd_split_pieces(&p->col_panels);
    int64_t groups = kd_flat_most(p, &p->group);
    double flops = 2.0 * (double)kd_flat_most(p, &p->sum) * (double)kd_flat_most(p, &p->rows) *
                   (double)kd_flat_most(p, &p->outer) * (double)kd_flat_most(p, &p->inner) *
                   (double)groups;
    p->single = flops < SINGLE_TASK_FLOPS;
    double wanted = flops / MIN_UNIT_FLOPS;
    if (kd_is_inference(e)) { /* there is nobody to share it with */
        p->single = true;
        wanted = 1;
    }
    if (p->winograd && p->winograd->gradient) return; /* it has its slices */
    /* Every unit copies its rows of S: then fewer of them. */
    double most_units = p->s_packed ? KD_WANTED_UNITS : 4 * KD_WANTED_UNITS;
    wanted = wanted > most_units ? most_units : wanted < 1 ? 1 : wanted;
    p->panels_per_unit = ceil_div(panels * groups, (int64_t)wanted);
    if (p->panels_per_unit > panels) p->panels_per_unit = panels;
    int64_t units = groups * ceil_div(panels, p->panels_per_unit);
    int64_t blocks =
        units >= KD_WANTED_UNITS / 2 || wanted < 2 ? 1 : ceil_div(KD_WANTED_UNITS / 2, units);
    p->tiles_per_unit = ceil_div(tiles, blocks > tiles ? tiles : blocks);
    if (kd_unit_has_all(p)) {
        p->panels_per_unit = panels;
        p->tiles_per_unit = tiles;
        return;
    }
    /* Scratch stays within the second-level cache. */
    int64_t half = t->l2_bytes / 2;
    int64_t mr = p->row_tiles.size[0], width = (int64_t)p->col_panels.size[0] * p->lanes;
    while (p->s_packed && p->tiles_per_unit > 1 && p->tiles_per_unit * mr * p->kpad * 4 > half)
        p->tiles_per_unit = ceil_div(p->tiles_per_unit, 2);
    while ((p->blas || !p->one_block) && p->panels_per_unit > 1 &&
           p->panels_per_unit * p->tiles_per_unit * mr * width * 4 > half)
        p->panels_per_unit = ceil_div(p->panels_per_unit, 2);
}

/* Packing a panel costs about as much as multiplying it by five rows. A unit with fewer rows than
 * this would spend more than a fiftieth of its time on it. */
#define SHARING_ROWS 250

static void share_panels(KdPlan *p, const KdTarget *t, int phase) {
    int64_t tiles = kd_split_pieces(&p->row_tiles), panels = kd_split_pieces(&p->col_panels);
    int64_t groups = kd_flat_most(p, &p->group), width = (int64_t)p->col_panels.size[0] * p->lanes;
    int64_t bytes = panels * groups * (p->kc + p->lanes) * width * 4;
    p->v_shared =
        !p->single && !p->v_constant && !p->fold && !p->winograd && !p->blas && !p->empty &&
        p->one_block && p->tiles_per_unit < tiles && bytes <= t->l2_bytes / 2 &&
        p->tiles_per_unit * p->row_tiles.size[0] < SHARING_ROWS && kd_stride_phases(p->op) == 1;
    if (!p->v_shared) return;
    p->packs = phase == 0;
    p->panels_per_unit = 1;
    p->shared_panels = groups * kd_most_pieces(&p->col_panels, kd_panel_vectors(p));
    int64_t units = ceil_div((int64_t)2 * KD_WANTED_UNITS, panels * groups);
    p->tiles_per_unit = ceil_div(tiles, units > tiles ? tiles : units); /* packing has no tiles */
}

/* By OpenBLAS: all contractions, or the ones that a measurement chose. */
static bool by_openblas(const KdEmit *e, const KdInstr *op) {
    const KdBackendOptions *o = e->options;
    if (!o || !o->gemm || kd_attr_find(op->attrs, "round")) return false;
    if (strcmp(o->gemm, "auto") != 0) return strcmp(o->gemm, "openblas") == 0;
    const KdChoice *choice = kd_tuning_find(o->tuning, kd_contraction_key(op, e->arena));
    return choice && choice->openblas;
}

const KdInstr *kd_contraction_of(const KdInstr *i) {
    if (!i->body || strcmp(kd_attr_str(i->attrs, "kind", ""), "contract") != 0) return NULL;
    KD_EACH_INSTR(k, i->body) {
        if (k->op == KD_OP_CONTRACT) return k;
    }
    kd_bug(NULL, "%%%s: a kernel of kind contract without a contraction", i->results[0]->name);
}

/* Extents of all iterators in this phase, and strides of its result. */
static void set_extents(KdEmit *e, KdPlan *p, KdContract *x, int phase) {
    KdType t = p->op->results[0]->type;
    for (int i = 0; i <= p->niters; i++) {
        p->extent[i] = i < p->rank ? t.dim[i] : i < p->niters ? x->over[i - p->rank] : 1;
    }
    for (int d = 0; d < p->rank; d++) p->step[d] = 1;
    kd_stride_enter(p, x, phase);
    int64_t stride[KD_MAX_RANK] = { 0 };
    for (int d = 0; d < p->rank; d++) t.dim[d] = p->extent[d];
    p->c_linear = constant_strides(t, stride);
    for (int i = 0; i <= p->niters; i++) {
        p->most[i] = p->extent[i] == KD_BATCH ? e->f->max_batch : p->extent[i];
        p->clin[i] = i < p->rank ? stride[i] : 0;
    }
}

int kd_count_reads(const KdInstr *kernel, const KdValue *v) {
    int reads = 0;
    KD_EACH_INSTR(i, kernel->body) {
        for (int k = 0; k < i->nargs; k++) reads += i->args[k]->id == v->id;
    }
    return reads;
}

const KdValue *kd_constant_source(const KdPlan *p) {
    if (p->winograd) return p->winograd->weights.memory;
    return p->v.memory ? p->v.memory : p->v.stored;
}

/* Is V a parameter, or the cast of one, that is packed beforehand, and read by nothing else in the
 * kernel? */
static bool has_constant_panels(KdEmit *e, const KdPlan *p) {
    const KdValue *source = kd_constant_source(p);
    if (p->blas || p->bf16 || p->empty || p->fold || !source) return false;
    if (!kd_packed_param(e, source) || !p->v.linear || !p->v.inside) return false;
    if (p->v.stored && kd_count_reads(p->kernel, p->v.value->def->args[0]) != 1) return false;
    return kd_count_reads(p->kernel, p->v.value) == 1 && kd_stride_phases(p->op) == 1 &&
           kd_flat_is_static(p, &p->group) && kd_flat_is_static(p, &p->outer) &&
           kd_flat_is_static(p, &p->inner) && kd_flat_is_static(p, &p->sum);
}

/* Roles, and nothing else yet. Operands that are rounded to bf16 may be multiplied in pairs. */
static KdPlan *start_roles(KdEmit *e, const KdInstr *kernel, int phase, bool pairs) {
    KdPlan *p = KD_NEW(e->arena, KdPlan);
    p->kernel = kernel;
    p->lanes = e->lanes;
    p->op = kd_contraction_of(kernel);
    KdContract *x = KD_NEW(e->arena, KdContract);
    *x = *p->op->contract;
    p->words = kd_contract_words(p->op);
    if (p->words) {
        x->nover--;
        x->a.rank--;
        x->b.rank--;
    }
    p->rank = p->op->results[0]->type.rank;
    p->niters = p->rank + x->nover;
    set_extents(e, p, x, phase);
    p->rounded = kd_attr_find(p->op->attrs, "round") != NULL;
    p->bf16 = p->rounded && pairs;
    p->blas = !p->empty && !p->words && by_openblas(e, p->op);
    const char *gemm = e->options ? e->options->gemm : NULL;
    p->as_written = gemm && strcmp(gemm, "direct") == 0;
    choose_roles(e, p, x);
    p->sums = kd_sums_plan(e, p);
    p->pool = kd_pool_plan(e, p);
    return p;
}

static void plan_winograd(KdEmit *e, KdPlan *p, int phase) {
    if (p->parts)
        kd_winograd_gradient_plan(e, p);
    else
        kd_winograd_plan(e, p, phase);
}

/* The same, by Winograd's products where they pay: of rounded operands in place of pairs. */
static KdPlan *start_plan(KdEmit *e, const KdInstr *kernel, int phase) {
    KdPlan *p = start_roles(e, kernel, phase, false);
    if (!p->rounded || !kd_is_inference(e)) plan_winograd(e, p, phase);
    return p->winograd || !p->rounded ? p : start_roles(e, kernel, phase, true);
}

static bool has_interleaved(KdEmit *e, const KdInstr *kernel, int phases) {
    if (phases > 1 && kd_has_small_planes(start_roles(e, kernel, 0, true))) return false;
    for (int k = 0; k < phases && phases > 1; k++)
        if (!kd_interleave_fits(e, start_roles(e, kernel, k, true), phases)) return false;
    return phases > 1;
}

const KdPlan *kd_plan_create(KdEmit *e, const KdInstr *kernel, int phase) {
    KdPlan *p = start_plan(e, kernel, phase);
    int phases = kd_stride_phases(p->op);
    if (has_interleaved(e, kernel, phases)) kd_interleave_plan(p, phases);
    if (!p->phases && kd_has_small_planes(p))
        kd_join_plan(p);
    else if (!p->words && !p->phases && !p->winograd)
        kd_fold_plan(e, p);
    if (!p->winograd && !p->joined) kd_window_plan(e, p);
    if (p->pool) kd_flat_join(p, &p->group, &p->outer); /* the batch, if it is not there yet */
    p->v_constant = !p->v_halo && !p->winograd && has_constant_panels(e, p);
    p->stream = kd_stream_lanes(e);
    kd_choose_tile(p, e->target);
    p->v_widened = p->v_constant && p->v.stored && kd_split_pieces(&p->row_tiles) > WIDENING_TILES;
    if (!p->winograd) {
        block_sum(e, p);
        place_rows(e, p);
    }
    share_work(e, p);
    share_panels(p, e->target, phase);
    return p;
}

int kd_plan_phases(KdEmit *e, const KdInstr *kernel) {
    int phases = kd_stride_phases(kd_contraction_of(kernel));
    const KdPlan *p = kd_plan_create(e, kernel, 0);
    bool two = p->v_shared || p->parts > 1 || (kd_winograd_has_planes(p) && !p->winograd->constant);
    return p->phases ? 1 : phases > 1 ? phases : two ? 2 : 1;
}
