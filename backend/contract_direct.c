/*
 * Kernels of kind "contract": by register tiles, or where no value of V would be used twice from a
 * tile, as a loop nest whose vectors sum their few products one after the other, straight from
 * memory. Depthwise convolutions are like that: their weights have one row a group, so packing
 * would cost more than the products. The order of each sum is the same either way. The gradients of
 * those weights have vectors along the sum (contract_taps.c).
 */
#include "backend/contract_winograd.h"
#include "backend/embed.h"

#define MOST_PRODUCTS 64 /* of an element: they are unrolled */

bool kd_contract_direct(KdEmit *e, const KdInstr *kernel) {
    const KdInstr *op = kd_contraction_of(kernel);
    const KdContract *x = op->contract;
    int64_t products = 1;
    if (op->results[0]->type.dtype == KD_I32) return !kd_contract_words(op);
    if (kd_has_sums(kernel) || kd_has_pooling(kernel)) return false;
    for (int k = 0; k < x->nover; k++) {
        if (x->over[k] == KD_BATCH || x->over[k] > MOST_PRODUCTS) return false;
        products *= x->over[k];
        if (products > MOST_PRODUCTS) return false;
    }
    /* The taps of a strided adjoint need masks, more than 16 registers hold. */
    if (kd_stride_phases(kd_contraction_of(kernel)) > 1 && e->target->registers < 32) return false;
    const KdPlan *p = kd_plan_create(e, kernel, 0);
    return kd_flat_most(p, &p->rows) == 1 && p->group.n > 0;
}

static bool has_tiles(KdEmit *e, const KdInstr *kernel) {
    return !kd_contract_direct(e, kernel) && !kd_contract_taps(e, kernel);
}

static int phases(KdEmit *e, const KdInstr *kernel) {
    return has_tiles(e, kernel) ? kd_plan_phases(e, kernel) + kd_has_sums(kernel) : 1;
}

static LLVMValueRef tasks(KdEmit *e, const KdInstr *kernel, int phase) {
    return kd_contract_direct(e, kernel)         ? kd_kind_map.tasks(e, kernel, phase)
           : kd_contract_taps(e, kernel)         ? kd_taps_tasks(e, kernel)
           : kd_is_adding_sums(e, kernel, phase) ? kd_sums_tasks(e, kernel)
                                                 : kd_contract_tasks(e, kernel, phase);
}

static void emit(KdEmit *e, const KdInstr *kernel, int phase) {
    if (kd_contract_direct(e, kernel))
        kd_kind_map.emit(e, kernel, phase);
    else if (kd_contract_taps(e, kernel))
        kd_taps_emit(e, kernel);
    else if (kd_is_adding_sums(e, kernel, phase))
        kd_sums_emit(e, kernel);
    else
        kd_contract_emit(e, kernel, phase);
}

static LLVMValueRef operand(KdEmit *e, const KdInstr *kernel, int k) {
    if (!kd_packed_param(e, kernel->args[k]) || !has_tiles(e, kernel)) return NULL;
    const KdPlan *p = kd_plan_create(e, kernel, 0);
    bool constant = p->v_constant || (p->winograd && p->winograd->constant);
    return constant && kd_constant_source(p) == kernel->args[k] ? kd_embed_panels(e, p) : NULL;
}

const KdKernelKind kd_kind_contract = { "contract", phases, tasks, emit, operand };
