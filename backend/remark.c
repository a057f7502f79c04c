/*
 * What became of a kernel, for --remarks: how a contraction was cut into tiles, blocks and tasks,
 * and how vectors reach memory. The latter is counted while the kernel is emitted.
 */
#include "backend/contract.h"
#include "backend/func.h"

static const char *operand_s(const KdPlan *p) {
    return p->s_halo      ? "rows copied with their padding"
           : !p->s_packed ? "rows read in place"
           : p->s_tiled   ? "rows copied by tiles"
                          : "rows copied";
}

static const char *tiles(KdEmit *e, const KdPlan *p, int phases) {
    const char *blocks =
        p->one_block ? "the whole sum at once"
                     : kd_arena_format(e->arena, "sums in blocks of %lld", (long long)p->kc);
    const char *more =
        p->fold       ? ", one product whose taps are summed behind it"
        : p->joined   ? ", lanes along the pixels of all samples"
        : p->v_shared ? ", panels packed once for all tasks"
        : p->phases ? kd_arena_format(e->arena, ", %d phases of its stride, interleaved", p->phases)
        : p->v_halo && p->v_halo->along.steps > 1
            ? ", columns copied with their padding, for each tap of a line"
        : p->v_halo ? ", columns copied with their padding"
        : p->winograd && p->parts > 1
            ? kd_arena_format(e->arena,
                              ", products of Winograd's transforms, in %d parts of the batch",
                              (int)p->parts)
        : p->winograd ? ", products of Winograd's transforms"
        : p->parts    ? kd_arena_format(e->arena, ", in %d parts of the batch", (int)p->parts)
        : phases > 1  ? kd_arena_format(e->arena, ", in %d phases for its stride", phases)
                      : "";
    return kd_arena_format(e->arena, "tiled, %d rows x %d vectors of %d in registers, %s, %s%s%s",
                           p->row_tiles.size[0], p->col_panels.size[0], p->lanes, blocks,
                           operand_s(p), more,
                           p->single ? "; one task, too little work to share" : "");
}

static void remark_contraction(KdEmit *e, const KdInstr *kernel) {
    int phases = kd_plan_phases(e, kernel), phase = 0;
    const KdPlan *p = kd_plan_create(e, kernel, 0);
    int made = p->phases ? p->phases : phases;
    while (p->empty && ++phase < made) p = kd_plan_create(e, kernel, phase);
    const char *how = kd_contract_direct(e, kernel)
                          ? "direct, a vector of results at a time: tiles would use no value twice"
                      : kd_contract_taps(e, kernel)
                          ? "direct, vectors along its sum: tiles would have one row"
                      : p->blas ? "multiplied by OpenBLAS"
                                : tiles(e, p, phases);
    kd_remark(e->diag, "codegen", kernel->loc, "@%s: %%%s: %s", e->f->name,
              kernel->results[0]->name, how);
}

void kd_remark_shared(KdEmit *e, const KdInstr *kernel, const char *code) {
    kd_remark(e->diag, "codegen", kernel->loc, "@%s: %%%s: runs the code of %s", e->f->name,
              kernel->results[0]->name, code);
}

void kd_remark_kernel(KdEmit *e, const KdInstr *kernel) {
    const KdSeen *s = &e->seen;
    bool contraction = kd_contraction_of(kernel) != NULL;
    const char *name = kernel->results[0]->name;
    if (contraction) remark_contraction(e, kernel);
    if (!contraction && s->loads + s->gathers + s->stores + s->scatters == 0) {
        kd_remark(e->diag, "codegen", kernel->loc, "@%s: %%%s: not vectorised, scalars alone",
                  e->f->name, name);
        return;
    }
    if (!contraction)
        kd_remark(e->diag, "codegen", kernel->loc,
                  "@%s: %%%s: vectorised by %d: %d loads, %d stores, %d of single elements",
                  e->f->name, name, e->lanes, s->loads, s->stores, s->scalars);
    if (s->gathers + s->scatters)
        kd_remark(e->diag, "codegen", kernel->loc,
                  "@%s: %%%s: %d gathers and %d scatters, since their lanes are no neighbours",
                  e->f->name, name, s->gathers, s->scatters);
}
