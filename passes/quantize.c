/*
 * observe and quantize: products of a network that ships, in whole numbers of 8 bits. Weights have
 * a scale per output channel, what they are multiplied with has one per tensor, from calibration:
 *
 *   q = u8(clamp(x / s + z + ½))       z = 0 where x is never negative, else 128
 *   y = i32(Σ q w) s s_w[c]  - 128 s s_w[c] Σ w      the second where z is not 0
 *
 * w holds whole numbers; 1/s is the parameter NAME.input, s s_w[c] is NAME.scale, and what is
 * subtracted NAME.offset. Every machine wants four products of one sum next to each other, so one
 * of the summed iterators is cut in groups of four, in w as [.., C, ..] -> [.., C/4, .., 4], with
 * zeros in the last one. Where a dim of x is that iterator (input channels) it is cut alike; where
 * it is one of several there (the taps of a window) every element leads a group of its own:
 *
 *   [.., W] -> [.., W, 4]      element j of group p is x[p + j · dilation]
 *
 * Zeros around x are part of it then, as z. Products that have no such iterator stay as they are.
 *
 * Calibration needs the range of each x: observe appends, for each product that could be quantized,
 * its largest element and the largest one of -x to what the network returns, as NAME.most and
 * NAME.least of the weights' name.
 */
#include "passes/canonicalize.h"
#include "passes/pass.h"

enum { GROUP = 4, MOST_PRODUCTS = INT32_MAX / (255 * 128) /* in a sum of 32 bits */ };

typedef struct Product {
    KdInstr *i;
    KdValue *x, *w;
    KdParam *param; /* w, or what w is a reshape of: a convolution's in groups is [G,O/G,..] */
    int weights;    /* which operand w is */
    int over;       /* the summed iterator that is cut in groups */
    int x_dim, w_dim;
    bool apart;  /* x_dim is that iterator alone: groups do not overlap */
    int leading; /* so many dims of w are the output channels */
} Product;

/* --- which products ------------------------------------------------------------------------------
 */

static int64_t groups_of(int64_t extent) {
    return (extent + GROUP - 1) / GROUP;
}

/* The only dim of a that uses iterator `iter`; -1: none or several. */
static int dim_with(const KdAccess *a, int iter) {
    int found = -1;
    for (int d = 0; d < a->rank; d++) {
        if (!kd_index_uses(&a->dim[d], iter)) continue;
        if (found >= 0) return -1;
        found = d;
    }
    return found;
}

static const KdAccess *access_of(const Product *p, bool weights) {
    return (p->weights == 1) == weights ? &p->i->contract->b : &p->i->contract->a;
}

/* How many sums an element of x is part of at one place: output channels. */
static int64_t sums_of_element(const Product *p) {
    int64_t sums = 1;
    KdType t = p->i->results[0]->type;
    for (int d = 0; d < t.rank; d++)
        if (!kd_access_uses(access_of(p, false), d)) sums *= t.dim[d];
    return sums;
}

/* Chooses the iterator whose groups are fullest, of these one that x has apart. Groups that
 * overlap, or are hardly filled, are up to four times the bytes: few sums, as those of a depthwise
 * convolution, are not worth that. */
static bool find_group(Product *p) {
    const KdAccess *of_x = access_of(p, false), *of_w = access_of(p, true);
    int rank = p->i->results[0]->type.rank;
    double fullest = 0;
    for (int k = 0; k < p->i->contract->nover; k++) {
        int x = dim_with(of_x, rank + k), w = dim_with(of_w, rank + k);
        int64_t extent = p->i->contract->over[k];
        if (x < 0 || w < 1 || extent < 1 || of_x->dim[x].divisor != 1) continue;
        if (!kd_index_is_iter(&of_w->dim[w], rank + k) || p->w->type.dim[w] != extent) continue;
        bool apart = kd_index_is_iter(&of_x->dim[x], rank + k) && p->x->type.dim[x] == extent;
        if ((!apart || extent < GROUP) && sums_of_element(p) < GROUP) continue;
        double full = (double)extent / (double)(GROUP * groups_of(extent));
        if (full < fullest || (full == fullest && p->apart)) continue;
        fullest = full;
        p->over = k;
        p->x_dim = x;
        p->w_dim = w;
        p->apart = apart;
    }
    return fullest > 0;
}

/* The parameter that w is, or is a reshape of, when nothing else reads either; else NULL. */
static KdParam *sole_param(KdModule *m, const KdValue *w, const int *uses) {
    const KdValue *source = w->def && w->def->op == KD_OP_RESHAPE ? w->def->args[0] : w;
    KdParam *p = kd_param_of_value(m, source);
    return p && uses[w->id] == 1 && uses[source->id] == 1 ? p : NULL;
}

/* The output channels, w's leading dims, must be dims of the result. */
static bool find_channels(Product *p) {
    const KdAccess *w = access_of(p, true);
    int64_t channels = 1;
    do {
        const KdIndex *x = &w->dim[p->leading];
        bool of_result = x->nterms == 1 && kd_index_is_iter(x, x->term[0].iter) &&
                         x->term[0].iter < p->i->results[0]->type.rank;
        if (!of_result || p->leading == p->w_dim) return false;
        channels *= p->w->type.dim[p->leading++];
    } while (channels < p->param->type.dim[0]);
    return channels == p->param->type.dim[0];
}

static bool fits_sum(const KdContract *c) {
    int64_t products = 1;
    for (int k = 0; k < c->nover; k++) {
        if (c->over[k] < 0 || c->over[k] > MOST_PRODUCTS) return false;
        products *= c->over[k];
        if (products > MOST_PRODUCTS) return false;
    }
    return true;
}

static bool is_product(KdInstr *i, const int *uses, Product *p) {
    *p = (Product){ .i = i };
    if (i->op != KD_OP_CONTRACT || i->results[0]->type.dtype != KD_F32) return false;
    KdModule *m = i->func->module;
    p->weights = sole_param(m, i->args[1], uses) ? 1 : 0;
    p->w = i->args[p->weights];
    p->x = i->args[1 - p->weights];
    p->param = sole_param(m, p->w, uses);
    if (!p->param || kd_param_of_value(m, p->x)) return false;
    if (p->w->type.rank < 2 || p->w->type.rank + 1 > KD_MAX_RANK) return false;
    if (p->x->type.rank + 1 > KD_MAX_RANK) return false;
    if (i->results[0]->type.rank + i->contract->nover + 1 > KD_MAX_ITERS) return false;
    return fits_sum(i->contract) && find_group(p) && find_channels(p);
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
        const char *name = p.param->name;
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

/* The product of bytes, and x in groups as it reads it. */
typedef struct Cut {
    KdContract c;
    KdType x;
    KdAccess view; /* of x, before it was cut */
    bool inside;   /* all that c reads lies within x */
} Cut;

static KdType grouped(KdType t, int dim) {
    t.dim[dim] = groups_of(t.dim[dim]);
    t.dim[t.rank++] = GROUP;
    return t;
}

/* Lets dim d of x begin and end where the product does, if it reads more than there is. */
static void widen(Cut *cut, KdIndex *read, const int64_t *extent, int d) {
    int64_t least, most;
    if (!kd_index_range(read, extent, &least, &most)) return;
    if (read->divisor != 1 || (least >= 0 && most < cut->x.dim[d])) return;
    cut->x.dim[d] = most - least + 1;
    cut->view.dim[d].offset += least;
    read->offset -= least;
}

static Cut cut_in_groups(const Product *p) {
    int rank = p->i->results[0]->type.rank;
    Cut cut = { .c = *p->i->contract, .x = p->x->type, .view = { .rank = p->x->type.rank } };
    KdContract *c = &cut.c;
    KdAccess *x = p->weights ? &c->a : &c->b, *w = p->weights ? &c->b : &c->a;
    for (int d = 0; d < cut.view.rank; d++) cut.view.dim[d] = kd_index_iter(d);
    KdIndex *read = &x->dim[p->x_dim], *from = &cut.view.dim[p->x_dim];
    c->over[p->over] = groups_of(c->over[p->over]);
    c->over[c->nover++] = GROUP;
    if (p->apart) {
        cut.x = grouped(cut.x, p->x_dim);
        *from = (KdIndex){ .divisor = 1 };
        kd_index_add(from, p->x_dim, GROUP);
        kd_index_add(from, cut.x.rank - 1, 1);
    } else {
        int k = 0;
        while (read->term[k].iter != rank + p->over) k++;
        cut.x.dim[cut.x.rank++] = GROUP;
        kd_index_add(from, cut.x.rank - 1, read->term[k].coeff);
        read->term[k].coeff *= GROUP;
    }
    int64_t extent[KD_MAX_ITERS];
    for (int d = 0; d < rank; d++) extent[d] = p->i->results[0]->type.dim[d];
    for (int k = 0; k < c->nover; k++) extent[rank + k] = c->over[k];
    for (int d = 0; d < x->rank; d++) widen(&cut, &x->dim[d], extent, d);
    x->dim[x->rank++] = w->dim[w->rank++] = kd_index_iter(rank + c->nover - 1);
    cut.inside = kd_access_inside(x, extent, &cut.x);
    return cut;
}

static KdValue *add_param(KdFunc *f, const KdParam *of, const char *what, int64_t elements) {
    const char *name = kd_arena_format(f->module->arena, "%s.%s", of->name, what);
    KdType t = kd_type(KD_F32, 1, &elements);
    return kd_func_param(f, kd_module_add_param(f->module, of->network, name, t));
}

/* x in groups, zeros around it as `zero`. */
static KdValue *group(KdBuilder *b, const Product *p, KdValue *x, const Cut *cut, double zero) {
    int last = x->type.rank - 1;
    bool same = p->apart && p->x_dim == last && x->type.dim[last] % GROUP == 0;
    for (int d = 0; d < last; d++) same = same && kd_index_is_iter(&cut->view.dim[d], d);
    return same ? kd_reshape(b, x, cut->x.rank, cut->x.dim)
                : kd_view(b, x, cut->x.rank, cut->x.dim, &cut->view, zero);
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

/* One number per output channel, along the dims of the product's result t. */
static KdValue *per_channel(KdBuilder *b, const Product *p, KdValue *v, KdType t) {
    const KdAccess *w = access_of(p, true);
    int to[KD_MAX_RANK];
    for (int k = 0; k < p->leading; k++) to[k] = w->dim[k].term[0].iter;
    if (p->leading > 1) v = kd_reshape(b, v, p->leading, p->w->type.dim);
    return kd_broadcast(b, v, t, to);
}

/* The parameter's value itself, in groups and of type i8. */
static KdValue *grouped_weights(const Product *p) {
    KdValue *w = p->w->def ? p->w->def->args[0] : p->w;
    KdType t = grouped(p->w->type, p->w_dim);
    t.dtype = KD_I8;
    w->type = p->param->type = t;
    return w;
}

static void quantize(KdFunc *f, const Product *p, const Cut *cut, bool negative, KdDiag *d) {
    KdBuilder b = kd_builder(f, d);
    b.loc = p->i->loc;
    b.role = p->i->role;
    b.before = p->i;
    KdType t = p->i->results[0]->type;
    double zero = negative ? 128 : 0;
    int64_t channels = p->param->type.dim[0];
    KdValue *rate = add_param(f, p->param, "input", 1);
    KdValue *scale = per_channel(&b, p, add_param(f, p->param, "scale", channels), t);
    KdValue *offset = NULL;
    if (negative) offset = per_channel(&b, p, add_param(f, p->param, "offset", channels), t);
    KdValue *args[2];
    args[1 - p->weights] = group(&b, p, quantized(&b, p->x, rate, zero), cut, zero);
    args[p->weights] = grouped_weights(p);
    KdInstr *i = kd_instr_create(&b, KD_OP_CONTRACT, 2, args);
    i->contract = kd_arena_copy(f->module->arena, &cut->c, sizeof cut->c);
    KdType sums = t;
    sums.dtype = KD_I32;
    KdValue *y = kd_cast(&b, kd_instr_finish(&b, i, &sums), KD_F32);
    y = kd_binary(&b, KD_OP_MUL, y, scale);
    if (negative) y = kd_binary(&b, KD_OP_SUB, y, offset);
    kd_replace_uses(p->i->results[0], y);
    kd_instr_remove(p->i);
    if (p->w->def) kd_instr_remove(p->w->def);
    kd_remark(d, "quantize", b.loc, "%%%s multiplies bytes", p->i->results[0]->name);
}

bool kd_pass_quantize(KdModule *m, const KdAttr *options, KdDiag *d) {
    KdFunc *f = kd_module_func(m, kd_attr_str(options, "of", "student"));
    const KdAttr *negative = kd_attr_find(options, "negative");
    if (!f) return true;
    KdArena *a = kd_arena_create();
    const int *uses = kd_count_uses(f, a);
    int n = 0;
    bool ok = true;
    for (KdInstr *i = f->first, *next; i; i = next) {
        Product p;
        next = i->next;
        if (i->op != KD_OP_CONTRACT) continue;
        if (!is_product(i, uses, &p)) {
            kd_remark(d, "quantize", i->loc,
                      "%%%s stays: it has no weights of its own, sums of more than %d products, or "
                      "no groups of four that pay",
                      i->results[0]->name, MOST_PRODUCTS);
            continue;
        }
        ok = kd_may_retype_param(f, p.param, d);
        if (!ok) break;
        bool below = negative && n < negative->nints && negative->ints[n];
        Cut cut = cut_in_groups(&p);
        n++;
        if (below && !cut.inside)
            kd_remark(d, "quantize", i->loc,
                      "%%%s stays: it reads zeros between what may be negative",
                      i->results[0]->name);
        else if (kd_step(d))
            quantize(f, &p, &cut, below, d);
    }
    kd_func_drop_dead(f, a);
    kd_arena_destroy(a);
    return ok;
}
