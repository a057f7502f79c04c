/*
 * Parameters, and arguments by their kind: the driver and generated loops bind them without a
 * further look.
 */
#include <string.h>

#include "ir/infer.h"
#include "ir/verify_rules.h"

static bool fail(const KdFunc *f, const KdValue *x, KdDiag *d, const char *why) {
    char text[KD_TYPE_TEXT];
    return kd_error(d, x->loc, "@%s: %%%s is %s %s; %s", f->name, x->name,
                    kd_type_text(x->type, text), x->kind, why);
}

static bool is(const KdValue *x, KdDtype dtype, int rank) {
    return x->type.dtype == dtype && x->type.rank == rank;
}

static bool check_parameter(const KdModule *m, const KdFunc *f, const KdValue *x, KdDiag *d) {
    const KdParam *p = kd_param_of_value(m, x);
    char text[KD_TYPE_TEXT];
    if (!p) return fail(f, x, d, "the module has no parameter of this name");
    if (kd_type_equal(p->type, x->type)) return true;
    kd_type_text(p->type, text);
    return fail(f, x, d, kd_arena_format(m->arena, "the parameter is %s", text));
}

bool kd_verify_argument(const KdModule *m, const KdFunc *f, const KdValue *x, KdDiag *d) {
    if (!x->kind) return true;
    if (strcmp(x->kind, KD_ARG_PARAM) == 0) return check_parameter(m, f, x, d);
    if (strcmp(x->kind, KD_ARG_INDEX) == 0)
        return is(x, KD_I32, 1) || fail(f, x, d, "an index is i32 of rank 1");
    if (strcmp(x->kind, KD_ARG_EPOCH) == 0 || strcmp(x->kind, KD_ARG_STEP) == 0)
        return is(x, KD_I32, 0) || fail(f, x, d, "a count is i32");
    if (strcmp(x->kind, KD_ARG_SLAB) == 0)
        return (is(x, KD_F32, 1) && x->type.dim[0] >= 0) || fail(f, x, d, "a slab is f32[P]");
    return true;
}

bool kd_verify_parameters(const KdModule *m, KdDiag *d) {
    bool good = true;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        bool fixed = kd_type_valid(p->type, 0);
        for (int j = 0; j < p->type.rank; j++) fixed &= p->type.dim[j] > 0;
        if (p->type.pad)
            good = kd_error(d, p->loc, "parameter %%%s.%s has padding", p->network, p->name);
        else if (!fixed)
            good =
                kd_error(d, p->loc, "parameter %%%s.%s: its shape is fixed", p->network, p->name);
        else if (p->fan_in < 0 || p->fan_out < 0)
            good =
                kd_error(d, p->loc, "parameter %%%s.%s: a fan is at least 0", p->network, p->name);
    }
    return good;
}
