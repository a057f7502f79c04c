/*
 * Emitting a contraction: the unit of work at hand, and what the loops around its tiles
 * (contract_unit.c) share with the kernel around it (contract_emit.c) and the adding up of parts
 * (contract_split.c).
 */
#ifndef KD_BACKEND_CONTRACT_UNIT_H
#define KD_BACKEND_CONTRACT_UNIT_H

#include "backend/contract.h"

/* A KdSplit at run time. */
typedef struct KdPieces {
    const KdSplit *split;
    LLVMValueRef count[2]; /* i64 */
    LLVMValueRef total;
} KdPieces;

typedef struct KdUnit {
    KdContraction *c;
    KdPieces tiles, panels;
    LLVMValueRef group; /* i64 */
    LLVMValueRef tile_lo, tile_hi, panel_lo, panel_hi, row_lo, row_hi;
    LLVMValueRef s_base;                /* pointer: S of this group and block */
    LLVMValueRef table, column_table;   /* of step offsets in S and V, or NULL */
    LLVMValueRef last;                  /* i1: the last block of k; NULL: the only one */
    LLVMValueRef first_sample, samples; /* i64: of the part of the batch, where sums have parts */
} KdUnit;

/* contract_index.c: `total` (i64) in pieces. Is there one of the k-th size? Where piece `nth`
 * begins; the part of pieces [lo, hi) that has size number k. */
KdPieces kd_pieces_of(KdEmit *e, const KdSplit *s, LLVMValueRef total);
bool kd_has_size(const KdSplit *s, int k);
LLVMValueRef kd_piece_start(KdEmit *e, const KdPieces *x, LLVMValueRef nth);
void kd_piece_range(KdEmit *e, const KdPieces *x, int k, LLVMValueRef *lo, LLVMValueRef *hi);
/* contract_emit.c: row units, column units, groups; their product. Packing has no rows: a panel is
 * one unit's alone. */
typedef struct KdUnits {
    LLVMValueRef rows, columns, groups, total;
} KdUnits;
/* Finds the extents of the contraction that c is of, and its pieces and units. */
KdUnits kd_count_units(KdContraction *c, KdPieces *tiles, KdPieces *panels);

/* contract_sums.c: begins the sums of unit `index`, which u is, and leaves them in its part. */
void kd_sums_begin(KdUnit *u, const KdUnits *units, LLVMValueRef index);
void kd_sums_end(KdUnit *u);

/* contract_unit.c: emits the unit. */
void kd_emit_unit(KdUnit *u);
/* All its column panels and row tiles for the block of k where u->c stands; the tiles of one panel.
 */
void kd_emit_panels(KdUnit *u);
void kd_emit_tiles(KdUnit *u, int nv, LLVMValueRef panel, const KdColumn *column);
/* Elements of scratch for a packed panel: transposes write whole vectors of k. */
int64_t kd_panel_elements(const KdPlan *p);
/* Where sums of a tile's vector lie between blocks of k. */
LLVMValueRef kd_partial_at(const KdUnit *u, LLVMValueRef panel, LLVMValueRef row, int v);
/* The epilogue of a tile whose sums are complete. */
void kd_finish_tile(KdUnit *u, const KdTile *t, LLVMValueRef first_row, const KdColumn *column);

/* prefetch.c: sets what tile number `tile` of a panel, whose first vector is at column[0], fetches
 * ahead of time. */
void kd_prefetch_tile(const KdUnit *u, const KdColumn *column, LLVMValueRef panel,
                      LLVMValueRef tile, KdTile *t);

/* contract_split.c: elements of one part of the sums. */
int64_t kd_part_elements(const KdPlan *p);
/* Makes u, of units `index` / parts, the one of part `index` % parts. */
void kd_enter_part(KdUnit *u, LLVMValueRef index);
/* Phase 1: its tasks, and one of them: some rows of all groups and panels. */
int64_t kd_adding_tasks(const KdPlan *p);
void kd_emit_adding(KdUnit *u);
/* The same of a unit that has the only part, of a slice of the result. */
void kd_finish_slice(KdUnit *u);

#endif
