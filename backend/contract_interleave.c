/*
 * The phases of a stride (contract_stride.c), sample by sample. Each phase makes every s-th element
 * of a line, which lie apart in the result: stored as they come, and with the epilogue's operands
 * read so, they would be scattered and gathered. So a unit makes all phases of its sample, one
 * behind the other in scratch, and then goes over the result as it lies in memory:
 *
 *      phase 0   a c e g …       result, after the epilogue   a b c d e f g …
 *      phase 1   b d f h …
 *
 * Sums are the same as those of phases on their own.
 */
#include "backend/contract.h"
#include "backend/eval.h"

/* Elements of scratch of one phase: rows of whole vectors. */
static int64_t phase_elements(const KdPlan *p) {
    int64_t columns = (kd_flat_most(p, &p->inner) + p->lanes - 1) / p->lanes * p->lanes;
    return kd_flat_most(p, &p->rows) * columns;
}

/* Are all dims with a stride columns, and parts of them that do not differ in size? */
static bool has_even_phases(const KdPlan *p) {
    KdType result = p->op->results[0]->type;
    for (int d = 0; d < p->rank; d++) {
        bool column = false;
        for (int k = 0; k < p->inner.n; k++) column |= p->inner.iter[k] == d;
        if (p->step[d] > 1 && (!column || result.dim[d] % p->step[d] != 0)) return false;
    }
    return true;
}

bool kd_interleave_fits(KdEmit *e, const KdPlan *p, int phases) {
    KdPlan folded = *p;
    kd_fold_plan(e, &folded);
    return !folded.fold && !p->blas && !p->words && !p->parts && p->c_linear &&
           kd_flat_is_static(p, &p->rows) && kd_flat_is_static(p, &p->inner) &&
           has_even_phases(p) && phases * phase_elements(p) * 4 <= e->target->l2_bytes / 4;
}

void kd_interleave_plan(KdPlan *p, int phases) {
    p->phases = phases;
    kd_flat_join(p, &p->group, &p->outer);
    kd_lay_out_product(p);
}

/* Which of the phases in scratch is that of residues `at` of the columns. */
static int64_t place_of(const KdPlan *p, const int64_t *at) {
    int64_t place = 0;
    for (int k = 0; k < p->inner.n; k++)
        place = place * p->step[p->inner.iter[k]] + at[p->inner.iter[k]];
    return place;
}

int64_t kd_interleave_elements(const KdPlan *p) {
    return p->phases ? p->phases * phase_elements(p) : 0;
}

int64_t kd_interleave_place(const KdPlan *p) {
    return p->phases ? place_of(p, p->first) : 0;
}

int64_t kd_interleave_offset(const KdPlan *p) {
    return p->phases ? kd_interleave_place(p) * phase_elements(p) : 0;
}

/* --- reading them ----------------------------------------------------------------------------- */

/* The lanes of a vector of the result: where each stands in its phase, and in which of the phases
 * it is, by dim. */
typedef struct Lanes {
    const KdPlan *p;
    int n; /* terms of the index in scratch */
    KdIdx term[2 * KD_MAX_RANK];
    int64_t coeff[2 * KD_MAX_RANK];
    int nmixed; /* dims in which lanes have different residues */
    int mixed[KD_MAX_RANK];
    KdIdx residue[KD_MAX_RANK];
} Lanes;

static void add_term(Lanes *x, KdIdx term, int64_t coeff) {
    x->term[x->n] = term;
    x->coeff[x->n++] = coeff;
}

static Lanes lanes_of(KdEmit *e, const KdPlan *p, const KdColumn *column) {
    Lanes x = { .p = p };
    for (int k = 0; k < p->inner.n; k++) {
        int d = p->inner.iter[k];
        KdIdx at = kd_idx_resolve(e, p->lanes, column->at[d]);
        add_term(&x, kd_idx_resolve(e, p->lanes, kd_idx_part(e, at, p->step[d], 0)), p->clin[d]);
        if (p->step[d] == 1) continue;
        int64_t unit[KD_MAX_RANK] = { 0 };
        unit[d] = 1;
        KdIdx whole = kd_idx_part(e, at, 1, p->step[d]);
        x.residue[d] = kd_idx_resolve(e, p->lanes, whole);
        if (kd_idx_is_uniform(&x.residue[d]))
            add_term(&x, x.residue[d], place_of(p, unit) * phase_elements(p));
        else
            x.mixed[x.nmixed++] = d;
    }
    return x;
}

/* <lanes x i1>: those whose mixed residues are `at`. */
static LLVMValueRef lanes_at(KdEmit *e, const Lanes *x, const int64_t *at) {
    LLVMValueRef all = NULL;
    for (int k = 0; k < x->nmixed; k++) {
        int d = x->mixed[k];
        LLVMValueRef residue = kd_idx_value(e, x->p->lanes, x->residue[d], e->i32);
        LLVMValueRef wanted = kd_emit_splat(e, kd_emit_i32(e, at[d]), x->p->lanes);
        LLVMValueRef here = LLVMBuildICmp(e->b, LLVMIntEQ, residue, wanted, "");
        all = all ? LLVMBuildAnd(e->b, all, here, "") : here;
    }
    return all;
}

/* The sums of a row (of each phase, the first at `base`) in a vector of columns. */
static LLVMValueRef load_lanes(KdEmit *e, const Lanes *x, LLVMValueRef base,
                               const KdColumn *column) {
    const KdPlan *p = x->p;
    const KdType memory = { .dtype = KD_F32, .rank = 1, .dim = { kd_interleave_elements(p) } };
    int64_t count = 1;
    for (int k = 0; k < x->nmixed; k++) count *= p->step[x->mixed[k]];
    LLVMValueRef value = NULL;
    for (int64_t c = 0; c < count; c++) {
        int64_t at[KD_MAX_RANK] = { 0 }, rest = c;
        for (int k = 0; k < x->nmixed; k++) {
            at[x->mixed[k]] = rest % p->step[x->mixed[k]];
            rest /= p->step[x->mixed[k]];
        }
        KdPoint point = {
            .lanes = p->lanes, .rank = 1, .mask = column->active, .prefix = column->active != NULL
        };
        point.dim[0] = kd_idx_combine(e, p->lanes, x->n, x->term, x->coeff,
                                      place_of(p, at) * phase_elements(p));
        LLVMValueRef part = kd_emit_load_at(e, memory, base, &point);
        value = value ? LLVMBuildSelect(e->b, lanes_at(e, x, at), part, value, "") : part;
    }
    return value;
}

/* The plan whose columns are those of the result itself. */
static KdPlan *whole_plan(KdEmit *e, const KdPlan *p) {
    KdPlan *whole = KD_NEW(e->arena, KdPlan);
    *whole = *p;
    for (int d = 0; d < p->rank; d++) {
        if (p->step[d] == 1) continue;
        whole->extent[d] = whole->most[d] = p->extent[d] * p->step[d];
        whole->first[d] = 0;
        whole->step[d] = 1;
    }
    return whole;
}

void kd_interleave_emit(const KdContraction *c) {
    KdEmit *e = c->e;
    const KdPlan *p = c->p, *whole = whole_plan(e, p);
    KdContraction here = *c;
    here.p = whole;
    here.inner_extent = kd_flat_extent(e, whole, &whole->inner);
    here.inner_vectors = kd_emit_ceil_div(e, here.inner_extent, p->lanes);
    LLVMValueRef first =
        kd_emit_element(e, e->f32, c->product, kd_emit_i64(e, -kd_interleave_offset(p)));
    int mark = kd_eval_mark(c->ev);
    KdLoop row, vector;
    kd_loop_begin(e, &row, kd_emit_i64(e, 0), c->rows, 1);
    kd_flat_decode(&here, &whole->rows, row.index, here.at);
    LLVMValueRef offset = LLVMBuildMul(e->b, row.index, kd_emit_i64(e, p->row_c), "");
    LLVMValueRef base = kd_emit_element(e, e->f32, first, offset);
    kd_loop_begin(e, &vector, kd_emit_i64(e, 0), here.inner_vectors, 1);
    KdColumn column;
    kd_column_at(&here, vector.index, &column);
    const Lanes lanes = lanes_of(e, p, &column);
    kd_sums_enter_row(&here, row.index, 0);
    kd_contract_finish(&here, &column, load_lanes(e, &lanes, base, &column));
    kd_sums_leave_row(&here, row.index, 0);
    kd_loop_end(e, &vector);
    kd_loop_end(e, &row);
    kd_eval_release(c->ev, mark);
}
