/*
 * The register tile of a contraction: how many rows by how many vectors of columns, so that rows
 * and columns are cut into near equal pieces and a step of k takes as few cycles as it can.
 */
#include "backend/contract.h"

/* Product of the extents that do not depend on n. */
static int64_t flat_constant(const KdPlan *p, const KdFlat *x) {
    int64_t product = 1;
    for (int k = 0; k < x->n; k++)
        product *= p->extent[x->iter[k]] == KD_BATCH ? 1 : p->extent[x->iter[k]];
    return product;
}

/* Accumulators, vectors of V, one broadcast, a product where there is no fused multiply-add, and
 * what the loops around a tile keep in registers; tests/unit/contract_spills.c has the last word.
 */
static int max_rows_of_tile(const KdTarget *t, int nv) {
    static const int of32[KD_MAX_NV + 1] = { 0, 24, 14, 8, 6, 4 };
    static const int of16[KD_MAX_NV + 1] = { 0, 11, 5, 3 };
    static const int of_sse[KD_MAX_NV + 1] = { 0, 7, 3, 2 };
    static const int of_scalars[KD_MAX_NV + 1] = { 0, 6, 2 };
    if (t->registers < 16) return of_scalars[nv];
    return t->registers >= 32 ? of32[nv] : t->vector_bits > 128 ? of16[nv] : of_sse[nv];
}

/* `total` in near equal pieces of at most `cap`. */
static KdSplit split_static(int64_t total, int cap) {
    int64_t n = ceil_div(total, cap);
    int64_t size = ceil_div(total, n);
    int64_t larger = total - n * (size - 1);
    return (KdSplit){ .size = { (int)size, (int)size - 1 }, .count = { larger, n - larger } };
}

/* For an extent of n * per: full pieces, then single ones. A size that divides leaves no single
 * ones. */
static KdSplit split_dynamic(int64_t most, int64_t per, int cap) {
    int size = most < cap ? (int)most : cap;
    bool divides = false;
    for (int s = cap; s > cap / 2 && most >= cap && !divides; s--) {
        divides = per % s == 0;
        if (divides || (most % s == 0 && most % size != 0)) size = s;
    }
    return (KdSplit){ .dynamic = true,
                      .size = { size, size > 1 && per % size != 0 ? 1 : 0 },
                      .count = { most / size, most % size } };
}

int64_t kd_split_pieces(const KdSplit *x) {
    return x->count[0] + x->count[1];
}

/* A dynamic extent that is not full may leave more single ones: 4 vectors are one piece of 4, but 3
 * are three of one. */
int64_t kd_most_pieces(const KdSplit *x, int64_t total) {
    int64_t size = x->size[0], full = (total + 1) / size, pieces = kd_split_pieces(x);
    int64_t odd = full ? full - 1 + size - 1 : total; /* one short of full pieces */
    return x->dynamic && odd > pieces ? odd : pieces;
}

/* Cycles per step of k for one tile: two FMAs and two loads a cycle, and four cycles until an
 * accumulator may be used again. Rows at unknown distances have pointers, which may be loads too.
 */
static double tile_cycles(int mr, int nv, bool pointers) {
    double fma = mr * nv / 2.0, load = (mr + nv + (pointers ? mr : 0)) / 2.0;
    double most = fma > load ? fma : load;
    return most > 4 ? most : 4;
}

static double split_cycles(const KdSplit *rows, const KdSplit *cols, bool packed, bool pointers) {
    double pack = packed ? 0 : 2.5, sum = 0; /* cycles to pack a vector */
    for (int c = 0; c < 2; c++) {
        double column = pack * cols->size[c];
        for (int r = 0; r < 2; r++)
            if (rows->count[r])
                column +=
                    (double)rows->count[r] * tile_cycles(rows->size[r], cols->size[c], pointers);
        sum += cols->count[c] ? (double)cols->count[c] * column : 0;
    }
    return sum;
}

/* Are panels what workers share? Of fewer panels they share the rows too, and pack them again. */
static bool shares_panels(const KdPlan *p, const KdSplit *cols) {
    return !p->v_constant && !kd_unit_has_all(p) && !cols->dynamic &&
           kd_split_pieces(cols) >= KD_WANTED_UNITS / 2 && kd_flat_most(p, &p->group) == 1;
}

/* How much more than half of the columns the busier of two workers has: of 13 panels it has 7. */
static double larger_half(const KdSplit *cols) {
    int64_t half = kd_split_pieces(cols) / 2;
    int64_t larger = half < cols->count[0] ? half : cols->count[0];
    int64_t first = larger * cols->size[0] + (half - larger) * cols->size[1];
    int64_t all = cols->count[0] * cols->size[0] + cols->count[1] * cols->size[1];
    return 2.0 * (double)(first > all - first ? first : all - first) / (double)all;
}

/* Rows whose first iterator is number `from` run together: a tile of them begins at a multiple of
 * their number, so that their distances are known; tiles from the second iterator on may take
 * several such runs. All rows: 0, in tiles of any size. Nothing when `cap` is less. */
static KdSplit split_rows(const KdPlan *p, int from, int cap) {
    int64_t rows = kd_flat_most(p, &p->rows), run = 1;
    if (!kd_flat_is_static(p, &p->rows))
        return split_dynamic(rows, flat_constant(p, &p->rows), cap);
    for (int k = from; from > 0 && k < p->rows.n; k++) run *= p->extent[p->rows.iter[k]];
    if (run > cap) return (KdSplit){ 0 };
    KdSplit r = split_static(rows / run, from > 1 ? 1 : cap / (int)run);
    for (int k = 0; k < 2; k++) r.size[k] *= (int)run;
    return r;
}

void kd_choose_tile(KdPlan *p, const KdTarget *t) {
    int64_t inner = kd_flat_most(p, &p->inner);
    int64_t vectors = kd_flat_most(p, &p->outer) * ceil_div(inner, p->lanes);
    bool inner_static = kd_flat_is_static(p, &p->inner);
    bool cols_static = kd_flat_is_static(p, &p->outer) && inner_static;
    bool irregular =
        p->rows.n > 0 && !p->row_linear && p->s.linear && kd_flat_is_static(p, &p->rows);
    int64_t cols_per = inner_static ? flat_constant(p, &p->outer) * ceil_div(inner, p->lanes) : 1;
    /* The widest tiles leave few registers: they are for columns that they cut into better shares.
     */
    static const int widths[KD_MAX_NV] = { 4, 3, 2, 1, 5 };
    double best = 0;
    for (int w = 0; w < KD_MAX_NV; w++) {
        int nv = widths[w];
        int cap = max_rows_of_tile(t, nv);
        if (p->words && t->dot < KD_DOT_VNNI) cap = cap * 2 / 3; /* bytes are taken apart there */
        /* Where lanes lie takes registers, too. */
        if (p->joined || (p->bf16 && inner % p->lanes != 0)) cap = cap * 5 / 6;
        if (cap < 1 || nv > vectors) continue;
        KdSplit c = cols_static ? split_static(vectors, nv) : split_dynamic(vectors, cols_per, nv);
        bool shares = shares_panels(p, &c);
        if (nv == KD_MAX_NV && !shares) continue;
        for (int from = irregular ? p->rows.n - 1 : 0; from >= 0; from--) {
            KdSplit r = split_rows(p, from, cap);
            double cycles = split_cycles(&r, &c, p->v_constant || p->v_halo || p->winograd,
                                         irregular && from == 0);
            if (shares) cycles *= larger_half(&c);
            if (r.size[0] == 0 || (best != 0 && cycles >= best * 0.98)) continue;
            best = cycles;
            p->row_tiles = r;
            p->col_panels = c;
            p->row_runs = from > 0;
        }
    }
    if (best == 0) kd_bug(NULL, "%%%s: no register tile fits", p->kernel->results[0]->name);
}
