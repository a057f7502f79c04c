/*
 * compress: how the weights of @of are stored, for a network that is shipped. Parameters of two or
 * more dims, the weights of products, change their type; the network widens them where it reads
 * them, so that fuse puts that into the products themselves.
 *
 *   f16   w = cast(stored)
 *   int8  w = cast(stored) * scale[c]      c: the output channel, dim 0
 *
 * A product whose result has the channels scales its sums, not its weights: fewer multiplications,
 * and an epilogue of the product. Scales are a parameter of their own, NAME.scale. Whoever has the
 * weights stores them so. Sums stay f32.
 */
#include "passes/pass.h"

#include <string.h>

/* The result's dim that runs over all of dim 0 of the weights alone, when `i` is a product that
 * reads them once; else -1. */
static int channel_dim(const KdInstr *i, const KdValue *weights) {
    if (i->op != KD_OP_CONTRACT || i->args[0] == i->args[1]) return -1;
    const KdContract *c = i->contract;
    const KdAccess *own = i->args[1] == weights ? &c->b : &c->a;
    for (int d = 0; d < i->results[0]->type.rank; d++)
        if (kd_index_is_iter(&own->dim[0], d) && i->results[0]->type.dim[d] == weights->type.dim[0])
            return d;
    return -1;
}

static KdValue *scaled(KdBuilder *b, KdValue *x, KdValue *scale, int dim) {
    return kd_binary(b, KD_OP_MUL, x, kd_broadcast(b, scale, x->type, &dim));
}

/* Reads of v by `i` become reads of `wide`, which stands for v without its scale (NULL: it has
 * none); where i cannot scale its sums, of the product of both. */
static void reroute(KdInstr *i, const KdValue *v, KdValue *wide, KdValue *scale, KdDiag *d) {
    KdBuilder b = kd_builder(i->func, d);
    int dim = scale ? channel_dim(i, v) : -1;
    b.loc = i->loc;
    b.role = i->role;
    b.before = i;
    KdValue *read = scale && dim < 0 ? scaled(&b, wide, scale, 0) : wide;
    for (int k = 0; k < i->nargs; k++)
        if (i->args[k] == v) i->args[k] = read;
    if (dim < 0) return;
    b.before = i->next;
    KdValue *sum = i->results[0], *result = scaled(&b, sum, scale, dim);
    if (!result) kd_bug(d, "%%%s cannot be scaled", sum->name);
    kd_replace_uses(sum, result);
    for (int k = 0; k < result->def->nargs; k++)
        if (result->def->args[k] == result) result->def->args[k] = sum;
}

/* Parameter p arrives in its new type, and everything but what widens it reads that. */
static void compress(KdFunc *f, KdParam *p, KdValue *v, bool int8, KdDiag *d) {
    KdInstr *first = f->first;
    KdBuilder b = kd_builder(f, d);
    b.before = first;
    b.loc = v->loc;
    p->type.dtype = v->type.dtype = int8 ? KD_I8 : KD_F16;
    KdValue *wide = kd_cast(&b, v, KD_F32), *scale = NULL;
    if (int8) {
        const char *name = kd_arena_format(f->module->arena, "%s.scale", p->name);
        KdParam *scales =
            kd_module_add_param(f->module, p->network, name, kd_type(KD_F32, 1, p->type.dim));
        scale = kd_func_param(f, scales);
    }
    for (KdInstr *i = first, *next; i; i = next) {
        next = i->next;
        bool reads = false;
        for (int k = 0; k < i->nargs; k++) reads |= i->args[k] == v;
        if (reads) reroute(i, v, wide, scale, d);
    }
    kd_remark(d, "compress", p->loc, "%%%s is stored as %s", v->name, int8 ? "int8" : "f16");
}

bool kd_pass_compress(KdModule *m, const KdAttr *options, KdDiag *d) {
    const char *type = kd_attr_str(options, "type", "f16");
    KdFunc *f = kd_module_func(m, kd_attr_str(options, "of", "student"));
    bool int8 = strcmp(type, "int8") == 0;
    if (!int8 && strcmp(type, "f16") != 0)
        return kd_error(d, (KdLoc){ m->source, 0 }, "compress: type is f16 or int8, not '%s'",
                        type);
    if (!f) return true;
    for (int k = 0, n = f->nargs; k < n; k++) {
        KdParam *p = kd_param_of_value(m, f->args[k]);
        bool weights = p && p->type.dtype == KD_F32 && p->type.rank >= 2;
        if (!weights || !f->first || !kd_step(d)) continue;
        if (!kd_may_retype_param(f, p, d)) return false;
        compress(f, p, f->args[k], int8, d);
    }
    return true;
}
