/*
 * observe and quantize: products of a network that ships, in whole numbers of 8 bits. Weights have
 * a scale per output channel, what they are multiplied with has one per tensor, from calibration:
 *
 *   q = u8(clamp(x / s + z + ½))       z = 0 where x is never negative, else 128
 *   y = i32(Σ q w) s s_w[c]  - 128 s s_w[c] Σ w      the second where z is not 0
 *
 * w holds whole numbers; 1/s is the parameter NAME.input, s s_w[c] is NAME.scale, and what is
 * subtracted NAME.offset. Both operands have the summed dim (the input channels) in groups of four
 * that lie next to each other, [.., C, ..] -> [.., C/4, .., 4], which is how every machine wants
 * them. Products without such a dim stay as they are, and so do those that read zeros outside of an
 * x that may be negative.
 *
 * Calibration needs the range of each x: observe appends, for each product that could be quantized,
 * its largest element and the largest one of -x to what the network returns, as NAME.most and
 * NAME.least of the weights' name.
 */
#include "passes/canonicalize.h"
#include "passes/pass.h"

KdPassFn kd_pass_observe, kd_pass_quantize;

enum { GROUP = 4, FEWEST = 3 /* below, groups would be mostly padding */ };

typedef struct Product {
    KdInstr *i;
    KdValue *x, *w;
    int weights; /* which operand w is */
    int channel; /* the result's dim of the output channels, w's dim 0 */
    int over;    /* the summed iterator that is cut in groups */
    int x_dim, w_dim;
} Product;

/* --- which products ------------------------------------------------------------------------------
 */

/* The dim of a that is iterator `iter`, which no other dim uses; -1: none. */
static int dim_of(const KdAccess *a, int iter) {
    int found = -1, uses = 0;
    for (int d = 0; d < a->rank; d++) {
        uses += kd_index_uses(&a->dim[d], iter);
        if (kd_index_is_iter(&a->dim[d], iter)) found = d;
    }
    return uses == 1 ? found : -1;
}

static const KdAccess *access_of(const Product *p, bool weights) {
    return (p->weights == 1) == weights ? &p->i->contract->b : &p->i->contract->a;
}

static bool find_group(Product *p) {
    int64_t most = FEWEST - 1;
    int rank = p->i->results[0]->type.rank;
    for (int k = 0; k < p->i->contract->nover; k++) {
        int x = dim_of(access_of(p, false), rank + k), w = dim_of(access_of(p, true), rank + k);
        int64_t extent = p->i->contract->over[k];
        if (x < 0 || w < 1 || extent <= most) continue;
        if (p->x->type.dim[x] != extent || p->w->type.dim[w] != extent) continue;
        most = extent;
        p->over = k;
        p->x_dim = x;
        p->w_dim = w;
    }
    return most >= FEWEST;
}

static bool is_product(KdInstr *i, const int *uses, Product *p) {
    *p = (Product){ .i = i, .channel = -1 };
    if (i->op != KD_OP_CONTRACT || i->results[0]->type.dtype != KD_F32) return false;
    KdModule *m = i->func->module;
    p->weights = kd_param_of_value(m, i->args[1]) ? 1 : 0;
    p->w = i->args[p->weights];
    p->x = i->args[1 - p->weights];
    if (!kd_param_of_value(m, p->w) || kd_param_of_value(m, p->x) || uses[p->w->id] != 1)
        return false;
    if (p->w->type.rank < 2 || p->x->type.rank + 1 > KD_MAX_RANK) return false;
    if (i->results[0]->type.rank + i->contract->nover + 1 > KD_MAX_ITERS) return false;
    for (int d = 0; d < i->results[0]->type.rank; d++)
        if (kd_index_is_iter(&access_of(p, true)->dim[0], d)) p->channel = d;
    return p->channel >= 0 && find_group(p);
}

/* --- observe -------------------------------------------------------------------------------------
 */

static KdValue *largest(KdBuilder *b, KdValue *x, const char *name) {
    int axes[KD_MAX_RANK];
    b->name = name;
    for (int k = 0; k < x->type.rank; k++) axes[k] = k;
    return kd_reduce(b, KD_OP_REDUCE_MAX, x, x->type.rank, axes);
}

bool kd_pass_observe(KdModule *m, const KdAttr *options, KdDiag *d) {
    KdFunc *f = kd_module_func(m, kd_attr_str(options, "of", "student"));
    if (!f) return true;
    KdArena *a = kd_arena_create();
    const int *uses = kd_count_uses(f, a);
    KdValue **results = KD_NEW_ARRAY(a, KdValue *, f->nresults + 2 * f->nvalues);
    int n = 0;
    for (; n < f->nresults; n++) results[n] = f->results[n];
    KdBuilder b = kd_builder(f, d);
    KD_EACH_INSTR(i, f) {
        Product p;
        if (i->op != KD_OP_CONTRACT || !is_product(i, uses, &p)) continue;
        b.loc = i->loc;
        b.before = i;
        const char *name = kd_param_of_value(m, p.w)->name;
        results[n++] = largest(&b, p.x, kd_arena_format(m->arena, "%s.most", name));
        KdValue *below = kd_unary(&b, KD_OP_NEG, p.x);
        results[n++] = largest(&b, below, kd_arena_format(m->arena, "%s.least", name));
    }
    kd_func_set_results(f, n, results);
    kd_arena_destroy(a);
    return true;
}

/* --- quantize ------------------------------------------------------------------------------------
 */

static KdValue *add_param(KdFunc *f, const KdParam *of, const char *what, int64_t elements) {
    const char *name = kd_arena_format(f->module->arena, "%s.%s", of->name, what);
    KdType t = kd_type(KD_F32, 1, &elements);
    return kd_func_param(f, kd_module_add_param(f->module, of->network, name, t));
}

/* v's dim `dim` cut in groups, which come last: [.., C, ..] -> [.., C/4, .., 4]. */
static KdType grouped(KdType t, int dim) {
    t.dim[dim] = (t.dim[dim] + GROUP - 1) / GROUP;
    t.dim[t.rank++] = GROUP;
    return t;
}

static KdValue *group(KdBuilder *b, KdValue *v, int dim) {
    KdType t = grouped(v->type, dim);
    if (dim == v->type.rank - 1 && v->type.dim[dim] % GROUP == 0)
        return kd_reshape(b, v, t.rank, t.dim);
    KdAccess x = { .rank = v->type.rank };
    for (int k = 0; k < x.rank; k++) x.dim[k] = kd_index_iter(k);
    x.dim[dim] = (KdIndex){ .divisor = 1 };
    kd_index_add(&x.dim[dim], dim, GROUP);
    kd_index_add(&x.dim[dim], t.rank - 1, 1);
    return kd_view(b, v, t.rank, t.dim, &x, 0);
}

/* x in whole numbers, as bytes. */
static KdValue *quantized(KdBuilder *b, KdValue *x, KdValue *rate, double zero) {
    const KdAccess first = { .rank = 1, .dim = { kd_index_constant(0) } };
    rate = kd_view(b, rate, x->type.rank, x->type.dim, &first, 0);
    KdValue *v = kd_binary(b, KD_OP_MUL, x, rate);
    v = kd_binary(b, KD_OP_ADD, v, kd_constant_like(b, x, zero + 0.5));
    v = kd_binary(b, KD_OP_MAX, v, kd_constant_like(b, x, 0));
    v = kd_binary(b, KD_OP_MIN, v, kd_constant_like(b, x, 255));
    return kd_cast(b, v, KD_U8);
}

/* The product of bytes: x grouped, w already. */
static KdValue *integer_product(KdBuilder *b, const Product *p, KdValue *x) {
    KdContract c = *p->i->contract;
    KdType t = p->i->results[0]->type;
    c.over[p->over] = p->w->type.dim[p->w_dim];
    c.over[c.nover++] = GROUP;
    c.a.dim[c.a.rank++] = c.b.dim[c.b.rank++] = kd_index_iter(t.rank + c.nover - 1);
    KdValue *args[] = { x, x };
    args[p->weights] = p->w;
    KdInstr *i = kd_instr_create(b, KD_OP_CONTRACT, 2, args);
    i->contract = kd_arena_copy(b->f->module->arena, &c, sizeof c);
    t.dtype = KD_I32;
    return kd_instr_finish(b, i, &t);
}

static bool reads_outside(const Product *p) {
    const KdContract *c = p->i->contract;
    KdType t = p->i->results[0]->type;
    int64_t extent[KD_MAX_ITERS];
    for (int d = 0; d < t.rank; d++) extent[d] = t.dim[d];
    for (int k = 0; k < c->nover; k++) extent[t.rank + k] = c->over[k];
    return !kd_access_inside(access_of(p, false), extent, &p->x->type);
}

static void quantize(KdFunc *f, Product *p, bool negative, KdDiag *d) {
    KdParam *param = kd_param_of_value(f->module, p->w);
    KdBuilder b = kd_builder(f, d);
    b.loc = p->i->loc;
    b.role = p->i->role;
    b.before = p->i;
    int64_t channels = p->w->type.dim[0];
    param->type = grouped(param->type, p->w_dim);
    param->type.dtype = KD_I8;
    p->w->type = param->type;
    KdValue *rate = add_param(f, param, "input", 1);
    KdValue *scale = add_param(f, param, "scale", channels);
    KdValue *x = group(&b, quantized(&b, p->x, rate, negative ? 128 : 0), p->x_dim);
    KdType t = p->i->results[0]->type;
    KdValue *sum = kd_cast(&b, integer_product(&b, p, x), KD_F32);
    KdValue *y = kd_binary(&b, KD_OP_MUL, sum, kd_broadcast(&b, scale, t, &p->channel));
    if (negative) {
        KdValue *offset = kd_broadcast(&b, add_param(f, param, "offset", channels), t, &p->channel);
        y = kd_binary(&b, KD_OP_SUB, y, offset);
    }
    kd_replace_uses(p->i->results[0], y);
    kd_remark(d, "quantize", p->i->loc, "%%%s multiplies bytes", p->i->results[0]->name);
}

bool kd_pass_quantize(KdModule *m, const KdAttr *options, KdDiag *d) {
    KdFunc *f = kd_module_func(m, kd_attr_str(options, "of", "student"));
    const KdAttr *negative = kd_attr_find(options, "negative");
    if (!f) return true;
    KdArena *a = kd_arena_create();
    const int *uses = kd_count_uses(f, a);
    int n = 0;
    for (KdInstr *i = f->first, *next; i; i = next) {
        Product p;
        next = i->next;
        if (i->op != KD_OP_CONTRACT || !is_product(i, uses, &p)) continue;
        bool below = negative && n < negative->nints && negative->ints[n];
        n++;
        if (below && reads_outside(&p))
            kd_remark(d, "quantize", i->loc,
                      "%%%s stays: it reads zeros outside of what may be "
                      "negative",
                      i->results[0]->name);
        else
            quantize(f, &p, below, d);
    }
    kd_func_drop_dead(f, a);
    kd_arena_destroy(a);
    return true;
}
