/*
 * Activations of a large batch lie in main memory, whose latency a burst of packing cannot hide. So
 * while tiles are multiplied, what comes next is asked for, a cache line or part of one every few
 * steps of k, where loads have slots to spare: the samples that the next unit or block copies and
 * its epilogue reads, the lines that the next panel is packed from, or those that the tile's own
 * epilogue reads. Nests ask for what they read a page on. A prefetch never faults and changes no
 * value: where it goes astray, at the end of an image, it is a little work for nothing.
 */
#include "backend/arith.h"
#include "backend/contract_unit.h"
#include "backend/nest.h"

#define LINE       64
#define MOST_LINES 4   /* at a step */
#define SHORT_SUM  256 /* steps */

void kd_emit_prefetch(KdEmit *e, LLVMValueRef p) {
    LLVMValueRef args[] = { p, kd_emit_i32(e, 0), kd_emit_i32(e, 2), kd_emit_i32(e, 1) };
    kd_emit_intrinsic(e, "llvm.prefetch", &e->ptr, 1, args, 4);
}

bool kd_is_large(const KdEmit *e, KdType t) {
    return kd_type_bytes(t, e->f->max_batch, 0) > (int64_t)2 * e->target->l2_bytes;
}

/* --- units that have whole samples ------------------------------------------------------------ */

/* Some rows of a tensor whose first dim is the batch, one behind the other in memory. */
typedef struct Stream {
    const KdValue *value;
    LLVMValueRef first; /* i64: row */
    int64_t bytes;      /* of all rows */
} Stream;

static Stream stream_of(const KdValue *value, LLVMValueRef first, int64_t rows) {
    return (Stream){ value, first, rows * kd_type_bytes(value->type, 1, 0) };
}

/* What the next unit, of one sample, reads: its image, and operands of the epilogue that are like
 * the result. */
static int next_image(const KdContraction *c, Stream *of) {
    const KdInstr *kernel = c->p->kernel;
    const KdValue *image = c->p->v_halo ? c->p->v_halo->from.memory : c->p->v.memory;
    if (!image || c->p->group.n == 0 || c->p->group.iter[0] != 0) return 0;
    LLVMValueRef next = add(c->e, kd_idx_value(c->e, 1, c->at[0], c->e->i64), kd_emit_i64(c->e, 1));
    int n = 0;
    of[n++] = stream_of(image, next, 1);
    for (int k = 0; k < kernel->nargs; k++) {
        const KdValue *x = kernel->args[k];
        if (x != image && kd_is_whole(c->p, x)) of[n++] = stream_of(x, next, 1);
    }
    return n;
}

/* Samples of a block, where that has whole ones of a sum in parts. */
static int64_t block_samples(const KdPlan *p) {
    return p->chunk < p->part_samples ? p->chunk : p->part_samples;
}

/* The samples behind those of this block. */
static int next_samples(const KdContraction *c, Stream *of) {
    const KdPlan *p = c->p;
    if (p->level > 0 || !p->v.memory) return 0;
    LLVMValueRef at = kd_idx_value(c->e, 1, c->at[p->sum.iter[0]], c->e->i64);
    of[0] = stream_of(p->v.memory, add(c->e, at, c->chunk_count), block_samples(p));
    of[1] = stream_of(p->s.memory, add(c->e, at, c->chunk_count), block_samples(p));
    return 2;
}

/* Where byte `at` of all streams, one behind the other, lies. */
static LLVMValueRef locate(KdEmit *e, int n, const Stream *of, LLVMValueRef at) {
    LLVMValueRef place = NULL;
    int64_t before = 0;
    for (int k = 0; k < n; k++) {
        int64_t row = kd_type_bytes(of[k].value->type, 1, 0);
        LLVMValueRef way = add(e, scaled(e, of[k].first, row), add(e, at, kd_emit_i64(e, -before)));
        LLVMValueRef here = kd_emit_byte_offset(e, kd_emit_base(e, of[k].value), way);
        LLVMValueRef behind = LLVMBuildICmp(e->b, LLVMIntSGE, at, kd_emit_i64(e, before), "");
        place = place ? LLVMBuildSelect(e->b, behind, here, place, "") : here;
        before += of[k].bytes;
    }
    return place;
}

static void fetch_streams(const KdContraction *c, LLVMValueRef panel, LLVMValueRef nth, KdTile *t) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    if (p->row_tiles.dynamic || p->col_panels.dynamic) return;
    Stream *of = KD_NEW_ARRAY(e->arena, Stream, p->kernel->nargs + 2);
    int n = p->parts ? next_samples(c, of) : next_image(c, of);
    int64_t tiles = p->row_tiles.count[0] + p->row_tiles.count[1], bytes = 0;
    int64_t panels = p->col_panels.count[0] + p->col_panels.count[1];
    int64_t steps = p->parts ? block_samples(p) * p->period : p->kc;
    for (int k = 0; k < n; k++) bytes += of[k].bytes;
    if (p->phases) bytes /= p->phases; /* each its part */
    int64_t each = (bytes + tiles * panels * steps - 1) / (tiles * panels * steps);
    if (n == 0 || each > (int64_t)MOST_LINES * LINE) return;
    LLVMValueRef at = scaled(e, add(e, scaled(e, panel, tiles), nth), each * steps);
    KdFetch *f = &t->fetch[t->nfetches++];
    f->first = locate(e, n, of, add(e, at, kd_emit_i64(e, kd_interleave_place(p) * bytes)));
    f->pace = 1;
    f->step = each;
    f->lines = (int)((each + LINE - 1) / LINE);
}

/* --- panels ----------------------------------------------------------------------------------- */

/* Does every unit pack panels of its own, from places of V at known distances? */
static bool has_known_panels(const KdPlan *p) {
    return !p->words && !p->v_constant && !p->v_shared && !p->fold && !p->blas && !p->empty &&
           p->v.memory && p->v.linear && p->v_linear && p->inner.n > 0 &&
           kd_flat_is_static(p, &p->sum) && kd_flat_collapses(p, &p->sum, p->v.lin);
}

/* Is a step of a panel a line of V? */
static bool has_lines(const KdPlan *p) {
    return p->v.lin[p->inner.iter[p->inner.n - 1]] == 1;
}

/* Are the columns of V lines, one behind the other? */
static bool has_columns(const KdPlan *p) {
    return p->one_block && p->v.lin[p->sum.iter[p->sum.n - 1]] == 1 && p->outer.n == 0 &&
           !p->bf16 && p->v.lin[p->inner.iter[p->inner.n - 1]] == p->kc;
}

/* Steps of a tile: of bf16 they are pairs. */
static int64_t tile_steps(const KdPlan *p) {
    return p->bf16 ? ceil_div(p->kc, 2) : p->kc;
}

/* The pace at which `times` are spread over all of a tile's steps. */
static int64_t pace_of(const KdPlan *p, int64_t times) {
    int64_t pace = 1;
    while (2 * pace * times <= tile_steps(p)) pace *= 2;
    return pace;
}

/* Tile `nth` fetches its share of the next panel, step by step, since each may lie in a page of its
 * own. */
static void fetch_panel(const KdContraction *c, const KdColumn *column, LLVMValueRef nth,
                        KdTile *t) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int64_t width = (int64_t)t->nv * p->lanes, hop = 4 * p->v.lin[p->sum.iter[p->sum.n - 1]];
    int64_t lines = (width * 4 + LINE - 1) / LINE, steps = ceil_div(p->kc, p->tiles_per_unit);
    int64_t each = ceil_div(steps * lines, tile_steps(p));
    KdIdx at[KD_PLAN_ITERS];
    for (int i = 0; i < KD_PLAN_ITERS; i++) at[i] = c->at[i];
    LLVMValueRef next = kd_flat_offset(e, &p->group, at, p->v.lin);
    next = add(e, next, kd_flat_offset(e, &p->sum, at, p->v.lin)); /* the block */
    next = add(e, next, kd_flat_offset(e, &p->outer, column[0].at, p->v.lin));
    next = add(e, next, add(e, column[0].first, kd_emit_i64(e, p->v.offset + width)));
    next = add(e, scaled(e, next, 4), scaled(e, nth, steps * hop));
    KdFetch *f = &t->fetch[t->nfetches++];
    f->first = kd_emit_byte_offset(e, kd_emit_base(e, p->v.memory), next);
    f->run = ceil_div(lines, each);
    f->pace = pace_of(p, steps * f->run);
    f->step = each * LINE;
    f->hop = hop;
    f->lines = (int)each;
}

/* Tile `nth` fetches its share of the columns of the next panel. */
static void fetch_columns(const KdContraction *c, const KdColumn *column, LLVMValueRef nth,
                          KdTile *t) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    int64_t width = (int64_t)t->nv * p->lanes;
    int64_t each = (width * 4 + p->tiles_per_unit - 1) / p->tiles_per_unit;
    if (each > (int64_t)MOST_LINES * LINE) return;
    LLVMValueRef next = add(e, column[0].first, kd_emit_i64(e, p->v.offset / p->kc + width));
    next = add(e, scaled(e, next, 4 * p->kc), scaled(e, nth, each * p->kc));
    next = add(e, next, scaled(e, kd_flat_offset(e, &p->group, c->at, p->v.lin), 4));
    KdFetch *f = &t->fetch[t->nfetches++];
    f->first = kd_emit_byte_offset(e, kd_emit_base(e, p->v.memory), next);
    f->pace = 1;
    f->step = each;
    f->lines = (int)((each + LINE - 1) / LINE);
}

/* --- results ---------------------------------------------------------------------------------- */

/* Of a short sum so many results are written that their stores wait for the lines of a large tensor
 * to come: those of the rows behind the tile are fetched, row by row, since each may lie in a page
 * of its own. Tiles take turns where there are several results. */
static bool has_many_results(const KdContraction *c) {
    const KdPlan *p = c->p;
    KdType type = p->kernel->results[0]->type;
    int64_t bytes = 0;
    for (int k = 0; k < p->kernel->nresults; k++)
        bytes += kd_type_bytes(p->kernel->results[k]->type, c->e->f->max_batch, 0);
    return !p->joined && kd_is_whole(p, p->kernel->results[0]) && p->row_linear && p->one_block &&
           !p->fold && !p->words && !p->empty && p->kc <= SHORT_SUM && p->inner.n > 0 &&
           p->clin[p->inner.iter[p->inner.n - 1]] == 1 && type.dtype == KD_F32 &&
           bytes > c->e->target->l2_bytes;
}

/* The memory of the f32 result whose turn it is at tile `nth`; how many there are. */
static LLVMValueRef result_in_turn(KdEmit *e, const KdPlan *p, LLVMValueRef nth, int *turns) {
    const KdInstr *kernel = p->kernel;
    LLVMValueRef *base = KD_NEW_ARRAY(e->arena, LLVMValueRef, kernel->nresults), in_turn;
    int n = 0;
    for (int k = 0; k < kernel->nresults; k++)
        if (kernel->results[k]->type.dtype == KD_F32 && kd_is_whole(p, kernel->results[k]))
            base[n++] = kd_emit_base(e, kernel->results[k]);
    LLVMValueRef turn = LLVMBuildURem(e->b, nth, kd_emit_i64(e, n), "");
    in_turn = base[0];
    for (int k = 1; k < n; k++) {
        LLVMValueRef here = LLVMBuildICmp(e->b, LLVMIntEQ, turn, kd_emit_i64(e, k), "");
        in_turn = LLVMBuildSelect(e->b, here, base[k], in_turn, "");
    }
    *turns = n;
    return in_turn;
}

/* The rows behind the tile in its panel, or near its end the first rows in the next panel. */
static LLVMValueRef next_rows(const KdUnit *u, const KdColumn *column, LLVMValueRef row,
                              const KdTile *t, int64_t rows) {
    const KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    LLVMValueRef next = add(e, row, kd_emit_i64(e, t->mr)), first = column[0].first;
    LLVMValueRef half = add(e, next, kd_emit_i64(e, rows / 2)); /* of what is fetched */
    LLVMValueRef ends = LLVMBuildICmp(e->b, LLVMIntSGT, half, u->row_hi, "");
    LLVMValueRef behind = add(e, first, kd_emit_i64(e, (int64_t)t->nv * p->lanes));
    next = LLVMBuildSelect(e->b, ends, u->row_lo, next, "");
    first = LLVMBuildSelect(e->b, ends, behind, first, "");
    LLVMValueRef at = add(e, scaled(e, next, p->row_c), first);
    at = add(e, at, kd_flat_offset(e, &p->group, c->at, p->clin));
    return add(e, at, kd_flat_offset(e, &p->outer, column[0].at, p->clin));
}

static void fetch_results(const KdUnit *u, const KdColumn *column, LLVMValueRef nth,
                          LLVMValueRef row, KdTile *t) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    KdFetch *f = &t->fetch[t->nfetches++];
    int turns;
    LLVMValueRef base = result_in_turn(e, p, nth, &turns);
    f->run = ceil_div((int64_t)t->nv * p->lanes * 4, LINE); /* lines of a row */
    f->pace = pace_of(p, (int64_t)turns * t->mr * f->run);
    LLVMValueRef at = next_rows(u, column, row, t, tile_steps(p) / f->pace / f->run);
    f->first = kd_emit_element(e, e->f32, base, at);
    f->step = LINE;
    f->lines = 1;
    f->hop = 4 * p->row_c;
}

/* Does x lie where a result will? Then it is fetched with that. */
static bool is_written_over(const KdInstr *kernel, const KdValue *x) {
    for (int k = 0; k < kernel->nresults; k++) {
        KdBuffer r = kernel->results[k]->buffer;
        if (r.place == x->buffer.place && r.base == x->buffer.base && r.offset == x->buffer.offset)
            return true;
    }
    return false;
}

/* An operand of the epilogue that is like the result, such as a mask; NULL: there is none. */
static const KdValue *epilogue_operand(const KdPlan *p) {
    for (int k = 0; k < p->kernel->nargs; k++) {
        const KdValue *x = p->kernel->args[k];
        if (kd_is_whole(p, x) && x != p->s.memory && x != p->v.memory &&
            !is_written_over(p->kernel, x))
            return x;
    }
    return NULL;
}

/* What the tile's own epilogue reads of it, row by row: it has nothing to do meanwhile. */
static void fetch_operand(const KdUnit *u, const KdColumn *column, LLVMValueRef row, KdTile *t) {
    const KdContraction *c = u->c;
    KdEmit *e = c->e;
    const KdPlan *p = c->p;
    const KdValue *x = epilogue_operand(p);
    if (!x) return;
    int64_t size = (int64_t)kd_dtype_size(x->type.dtype);
    KdFetch *f = &t->fetch[t->nfetches++];
    f->run = ceil_div((int64_t)t->nv * p->lanes * size, LINE); /* lines of a row */
    f->pace = pace_of(p, t->mr * f->run);
    LLVMValueRef at = add(e, scaled(e, row, p->row_c), column[0].first);
    at = add(e, at, kd_flat_offset(e, &p->group, c->at, p->clin));
    at = add(e, at, kd_flat_offset(e, &p->outer, column[0].at, p->clin));
    f->first = kd_emit_byte_offset(e, kd_emit_base(e, x), scaled(e, at, size));
    f->step = LINE;
    f->lines = 1;
    f->hop = p->row_c * size;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Is S, where it lies, so large that its rows come from memory, each step behind the other? */
static bool has_long_rows(const KdContraction *c) {
    const KdPlan *p = c->p;
    return p->s.memory && p->s_line && p->row_linear && !p->fold && !p->words && !p->empty &&
           !p->blas && kd_flat_is_static(p, &p->rows) && kd_is_large(c->e, p->s.type);
}

/* The rows behind the tile, or near the end of the unit those of the next block: at each step a
 * line, row by row. */
static void fetch_rows(const KdUnit *u, LLVMValueRef row, KdTile *t) {
    KdEmit *e = u->c->e;
    const KdPlan *p = u->c->p;
    LLVMValueRef next = add(e, row, kd_emit_i64(e, t->mr));
    LLVMValueRef ends = LLVMBuildICmp(e->b, LLVMIntSGE, next, u->row_hi, "");
    LLVMValueRef at = LLVMBuildSelect(e->b, ends, u->row_lo, next, "");
    LLVMValueRef block = LLVMBuildSelect(e->b, ends, kd_emit_i64(e, p->kc), kd_emit_i64(e, 0), "");
    KdFetch *f = &t->fetch[t->nfetches++];
    f->first = kd_emit_element(e, e->f32, u->s_base, add(e, scaled(e, at, p->row_s), block));
    f->pace = pace_of(p, t->mr * ceil_div(p->kc * 4, LINE));
    f->step = LINE;
    f->lines = 1;
    f->run = ceil_div(p->kc * 4, LINE);
    f->hop = 4 * p->row_s;
}

/* --- all -------------------------------------------------------------------------------------- */

void kd_prefetch_tile(const KdUnit *u, const KdColumn *column, LLVMValueRef panel,
                      LLVMValueRef tile, KdTile *t) {
    const KdContraction *c = u->c;
    const KdPlan *p = c->p;
    LLVMValueRef nth = sub(c->e, tile, u->tile_lo);
    LLVMValueRef row = kd_piece_start(c->e, &u->tiles, tile);
    bool large = kd_is_large(c->e, p->v.type);
    if (p->v_halo || p->parts || p->phases) {
        if (large) fetch_streams(c, sub(c->e, panel, u->panel_lo), nth, t);
    } else if (large && has_known_panels(p) && has_lines(p)) {
        fetch_panel(c, column, nth, t);
        if (has_many_results(c)) {
            fetch_results(u, column, nth, row, t);
            fetch_operand(u, column, row, t);
        }
    } else if (large && has_known_panels(p) && has_columns(p)) {
        fetch_columns(c, column, nth, t);
    } else if (has_long_rows(c)) {
        fetch_rows(u, row, t);
    } else if (has_many_results(c)) {
        fetch_results(u, column, nth, row, t);
        fetch_operand(u, column, row, t);
    }
}

static void fetch_step(KdEmit *e, const KdFetch *f, LLVMValueRef index) {
    index = LLVMBuildUDiv(e->b, index, kd_emit_i64(e, f->pace), "");
    for (int k = 0; k < f->lines; k++) {
        LLVMValueRef way = scaled(e, index, f->step);
        if (f->run) {
            LLVMValueRef run = kd_emit_i64(e, f->run);
            way = add(e, scaled(e, LLVMBuildURem(e->b, index, run, ""), f->step),
                      scaled(e, LLVMBuildUDiv(e->b, index, run, ""), f->hop));
        }
        kd_emit_prefetch(
            e, kd_emit_byte_offset(e, f->first, add(e, way, kd_emit_i64(e, (int64_t)k * LINE))));
    }
}

void kd_prefetch_step(KdEmit *e, const KdTile *t, LLVMValueRef index) {
    for (int k = 0; k < t->nfetches; k++) fetch_step(e, &t->fetch[k], index);
}

/* --- nests ------------------------------------------------------------------------------------ */

#define AHEAD 4096 /* bytes: behind the end of its page no CPU looks on its own */

void kd_fetch_value(KdEval *ev, const KdValue *v, const KdPoint *at, int64_t ahead) {
    KdEmit *e = ev->e;
    KdIdx first = kd_emit_linear(e, v->type, at);
    if (first.vector || at->lanes == 1 || !kd_is_large(e, v->type)) return;
    first.lane = NULL;
    LLVMValueRef index = add(e, kd_idx_value(e, 1, first, e->i64), kd_emit_i64(e, ahead));
    int64_t size = (int64_t)kd_dtype_size(v->type.dtype);
    kd_emit_prefetch(e, kd_emit_byte_offset(e, kd_emit_base(e, v), scaled(e, index, size)));
}

void kd_fetch_ahead(KdEval *ev, KdType shape, const KdPoint *at, int64_t least) {
    KdEmit *e = ev->e;
    KdIdx first = kd_emit_linear(e, shape, at);
    if (first.vector || at->lanes == 1) return;
    first.lane = NULL;
    LLVMValueRef index = kd_idx_value(e, 1, first, e->i64);
    for (int k = 0; k < ev->kernel->nargs; k++) {
        const KdValue *x = ev->kernel->args[k];
        int64_t times = kd_type_bytes(x->type, 1, 0) / kd_type_bytes(shape, 1, 0);
        if (x->type.dtype != KD_F32 || times < least || times > MOST_LINES ||
            !kd_is_large(e, x->type))
            continue;
        LLVMValueRef p = kd_emit_element(e, e->f32, kd_emit_base(e, x), scaled(e, index, times));
        for (int64_t l = 0; l < times; l++)
            kd_emit_prefetch(e,
                             kd_emit_byte_offset(e, p, kd_emit_i64(e, AHEAD + 4 * l * e->lanes)));
    }
}
