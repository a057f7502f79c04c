/*
 * precision: products of training in bf16. Every contraction of @gradients and of what comes with
 * it (@objective, @teacher_logits) rounds its operands to bf16 and sums the products as f32; the
 * weights, their gradients and the optimiser stay f32. @evaluate keeps f32 products, so that what
 * is reported is what a shipped network computes. It runs behind autodiff, so that the gradient's
 * own products are rounded too: every operand is rounded once, from its f32 value.
 */
#include "passes/pass.h"

#include <string.h>

static void round_products(KdFunc *f, const char *type, KdDiag *d) {
    KD_EACH_INSTR(i, f) {
        if (i->op != KD_OP_CONTRACT || !kd_step(d)) continue;
        kd_attr_set_str(f->module->arena, &i->attrs, "round", type);
        kd_remark(d, "precision", i->loc, "%%%s multiplies in %s", i->results[0]->name, type);
    }
}

bool kd_pass_precision(KdModule *m, const KdAttr *options, KdDiag *d) {
    static const char *const functions[] = { "objective", "gradients", "teacher_logits" };
    const char *type = kd_attr_str(m->program, "precision", "f32");
    type = kd_attr_str(options, "type", type);
    if (strcmp(type, "f32") == 0) return true;
    if (strcmp(type, "bf16") != 0)
        return kd_error(d, (KdLoc){ m->source, 0 }, "precision: type is f32 or bf16, not '%s'",
                        type);
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        KdFunc *f = kd_module_func(m, functions[k]);
        if (f) round_products(f, type, d);
    }
    return true;
}
