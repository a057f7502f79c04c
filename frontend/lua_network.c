/*
 * Layers' primitives: parameters, the accesses of products, convolutions and pooling windows, and
 * the tracing of a network's function. The layers themselves, their options and defaults are Lua
 * (lua/kd/layers.lua); what stands here needs the IR.
 *
 * A network's function is traced when it is defined, once as it trains and once as it infers, and
 * again wherever a run needs it. Each trace must use the same parameters in the same order.
 */
#include "frontend/host.h"

#include <math.h>
#include <string.h>

#define PARAMETER_LIMIT ((int64_t)1 << 31) /* elements of one parameter or sample */
#define PARAM_LIMIT     1000               /* names that kd.param asks for */
#define HYPER_LIMIT     1000               /* hyperparameters of a run */

/* --- parameters ------------------------------------------------------------------------------ */

/* The network whose slab holds what the function being traced trains. */
static const char *trained_network(lua_State *L, const KdTrace *t) {
    const char *name = t->network ? t->network->name : t->auxiliary;
    if (!name) kd_host_fail(L, "parameter: only networks and losses have parameters");
    return name;
}

/* A shape that no product of extents can overflow with. */
static void check_size(lua_State *L, KdType t, const char *what) {
    int64_t n = 1;
    for (int k = 0; k < t.rank; k++) {
        int64_t extent = t.dim[k] == KD_BATCH ? 1 : t.dim[k];
        if (extent < 1 || extent > PARAMETER_LIMIT / n)
            kd_host_fail(L, "%s: extents must be positive, and their product at most 2^31", what);
        n *= extent;
    }
}

/* (name, dims, init { kind, fan_in, fan_out, value }): the parameter's tensor. */
static int core_parameter(lua_State *L) {
    KdTrace *t = kd_trace(L, "parameter");
    KdModule *m = t->b.f->module;
    const char *network = trained_network(L, t), *name = luaL_checkstring(L, 1);
    if (t->auxiliary) name = kd_arena_format(m->arena, "loss.%s", name);
    KdType type = { .dtype = KD_F32 };
    type.rank = kd_ints_check(L, 2, KD_MAX_RANK, type.dim, name);
    check_size(L, type, name);
    luaL_checktype(L, 3, LUA_TTABLE);
    for (int k = 0; k < t->params.n; k++)
        if (strcmp(((KdParam *)t->params.item[k])->name, name) == 0)
            kd_host_fail(L, "%s: two layers of network '%s' have this name", name, network);
    KdParam *p = kd_module_param(m, network, name);
    char have[KD_TYPE_TEXT], want[KD_TYPE_TEXT];
    if (p && !kd_type_equal(p->type, type))
        kd_host_fail(L, "%s is %s here, and %s when network '%s' was traced before", name,
                     kd_type_text(type, have), kd_type_text(p->type, want), network);
    if (!p) {
        p = kd_module_add_param(m, network, name, type);
        p->init = kd_field_text(L, 3, "kind");
        p->fan_in = (int64_t)kd_field_number(L, 3, "fan_in");
        p->fan_out = (int64_t)kd_field_number(L, 3, "fan_out");
        p->value = kd_field_number(L, 3, "value");
        p->running = kd_field_number(L, 3, "running") != 0;
        p->auxiliary = t->auxiliary;
        if (p->running && p->auxiliary)
            kd_host_fail(L, "%s: a loss has no running statistics of its own", name);
        p->loc = kd_host_where(L);
    }
    kd_list_add(kd_host(L)->arena, &t->params, p);
    KdValue *v = kd_func_param(t->b.f, p);
    if (v && v->loc.line == 0) v->loc = p->loc;
    return kd_tensor_push(L, v);
}

static int core_counter(lua_State *L) { /* (kind): "conv3" for the third of its kind */
    KdTrace *t = kd_trace(L, "layer");
    const char *kind = luaL_checkstring(L, 1);
    int k = 0;
    while (k < t->ncounters && strcmp(t->counter[k].kind, kind) != 0) k++;
    if (k == KD_MAX_COUNTERS) kd_host_fail(L, "too many kinds of layers");
    if (k == t->ncounters) {
        t->counter[k].kind = kd_arena_string(kd_host(L)->arena, kind);
        t->ncounters++;
    }
    lua_pushfstring(L, "%s%d", kind, ++t->counter[k].n);
    return 1;
}

/* (x): the new value of the running statistic that has none yet, in the order of parameters. */
static int core_renew(lua_State *L) {
    KdTrace *t = kd_trace(L, "renew");
    kd_list_add(kd_host(L)->arena, &t->renewed, kd_tensor_check(L, 1, "renew"));
    return 0;
}

static int core_renewing(lua_State *L) {
    lua_pushboolean(L, kd_trace(L, "layer")->renewing);
    return 1;
}

static int core_training(lua_State *L) {
    lua_pushboolean(L, kd_trace(L, "layer")->training);
    return 1;
}

/* --- layers ---------------------------------------------------------------------------------- */

/* Letters, digits, '_' and '.': fit for the IR's text. */
static bool fits_text(const char *name) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    return n > 0 && n <= 128 && !name[n] && *name != '.';
}

static int core_begin_layer(lua_State *L) { /* (name): names the values that follow */
    KdTrace *t = kd_trace(L, "layer");
    const char *name = luaL_checkstring(L, 1);
    if (!fits_text(name))
        kd_host_fail(L, "'%s' cannot name a layer: letters, digits, '_' and '.' only", name);
    t->layer = kd_arena_string(kd_host(L)->arena, name);
    t->layer_start = t->b.f->last;
    t->layer_params = t->params.n;
    return 0;
}

/* Multiplications of the contractions behind `start`, for one sample. */
static int64_t multiplications(const KdFunc *f, const KdInstr *start) {
    int64_t sum = 0;
    for (const KdInstr *i = start ? start->next : f->first; i; i = i->next) {
        if (!i->contract) continue;
        int64_t n = kd_type_elements(i->results[0]->type, 1, 1);
        for (int k = 0; k < i->contract->nover; k++)
            n *= i->contract->over[k] < 0 ? 1 : i->contract->over[k];
        sum += n;
    }
    return sum;
}

static int core_end_layer(lua_State *L) { /* (kind, x): x; notes the layer at its first trace */
    KdTrace *t = kd_trace(L, "layer");
    KdHost *h = kd_host(L);
    KdValue *x = kd_tensor_check(L, 2, "layer");
    if (t->define) {
        KdLayer *layer = KD_NEW(h->arena, KdLayer);
        layer->name = t->layer;
        layer->kind = kd_arena_string(h->arena, luaL_checkstring(L, 1));
        layer->type = x->type;
        layer->loc = kd_host_where(L);
        layer->multiplications = multiplications(t->b.f, t->layer_start);
        for (int k = t->layer_params; k < t->params.n; k++) {
            const KdParam *p = t->params.item[k];
            if (!p->running) layer->params += kd_type_elements(p->type, 1, 1);
        }
        KdList list = { t->network->nlayers, t->network->nlayers, (void **)t->network->layers };
        if (list.n % 8) list.room = (list.n / 8 + 1) * 8;
        if (list.n == 0) list.room = 0;
        kd_list_add(h->arena, &list, layer);
        t->network->layers = (KdLayer **)list.item;
        t->network->nlayers = list.n;
    }
    t->layer = NULL;
    lua_settop(L, 2);
    return 1;
}

/* x [B, in], w [out, in] -> [B, out]. */
static int core_linear(lua_State *L) {
    KdValue *x = kd_tensor_check(L, 1, "linear"), *w = kd_tensor_check(L, 2, "linear");
    return kd_tensor_push(L, kd_matmul_nt(kd_trace_builder(L, "linear"), x, w));
}

/* stride · d_out + dilation · d_kernel - padding */
static KdIndex window_index(int out, int64_t stride, int kernel, int64_t dilation,
                            int64_t padding) {
    KdIndex x = kd_index_constant(-padding);
    kd_index_add(&x, out, stride);
    kd_index_add(&x, kernel, dilation);
    return x;
}

/* The geometry of a convolution or a pooling: pairs are (height, width). */
typedef struct Window {
    int64_t out[2], kernel[2], stride[2], padding[2], dilation[2];
} Window;

static void window_check(lua_State *L, int arg, Window *w) {
    struct {
        const char *key;
        int64_t *pair;
    } const fields[] = { { "out", w->out },
                         { "kernel", w->kernel },
                         { "stride", w->stride },
                         { "padding", w->padding },
                         { "dilation", w->dilation } };
    luaL_checktype(L, arg, LUA_TTABLE);
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
        lua_getfield(L, arg, fields[k].key);
        if (kd_ints_check(L, lua_gettop(L), 2, fields[k].pair, fields[k].key) != 2)
            kd_host_fail(L, "%s: two integers are needed, height and width", fields[k].key);
        lua_pop(L, 1);
    }
}

/* x [B,C,H,W], w [O,C,KH,KW] -> [B,O,OH,OW]: one contraction whose reads of x beyond its edges are
 * the padding. */
static KdValue *conv_plain(KdBuilder *b, KdValue *x, KdValue *w, const Window *g) {
    KdContract c = { .nover = 3, .over = { x->type.dim[1], g->kernel[0], g->kernel[1] } };
    int64_t dim[] = { x->type.dim[0], w->type.dim[0], g->out[0], g->out[1] };
    c.a.rank = c.b.rank = 4;
    c.a.dim[0] = kd_index_iter(0);
    c.a.dim[1] = kd_index_iter(4);
    c.a.dim[2] = window_index(2, g->stride[0], 5, g->dilation[0], g->padding[0]);
    c.a.dim[3] = window_index(3, g->stride[1], 6, g->dilation[1], g->padding[1]);
    c.b.dim[0] = kd_index_iter(1);
    c.b.dim[1] = kd_index_iter(4);
    c.b.dim[2] = kd_index_iter(5);
    c.b.dim[3] = kd_index_iter(6);
    return kd_contract(b, x, w, 4, dim, &c);
}

/* The same in G groups: x as [B,G,C/G,H,W], w as [G,O/G,C/G,KH,KW], the result [B,G,O/G,OH,OW]
 * seen as [B,O,OH,OW]. */
static KdValue *conv_grouped(KdBuilder *b, KdValue *x, KdValue *w, const Window *g,
                             int64_t groups) {
    const int64_t *xd = x->type.dim, *wd = w->type.dim;
    int64_t split_x[] = { xd[0], groups, xd[1] / groups, xd[2], xd[3] };
    int64_t split_w[] = { groups, wd[0] / groups, wd[1], wd[2], wd[3] };
    int64_t dim[] = { xd[0], groups, wd[0] / groups, g->out[0], g->out[1] };
    int64_t joined[] = { xd[0], wd[0], g->out[0], g->out[1] };
    const char *name = b->name;
    KdContract c = { .nover = 3, .over = { wd[1], g->kernel[0], g->kernel[1] } };
    c.a.rank = c.b.rank = 5;
    c.a.dim[0] = kd_index_iter(0);
    c.a.dim[1] = c.b.dim[0] = kd_index_iter(1);
    c.a.dim[2] = c.b.dim[2] = kd_index_iter(5);
    c.a.dim[3] = window_index(3, g->stride[0], 6, g->dilation[0], g->padding[0]);
    c.a.dim[4] = window_index(4, g->stride[1], 7, g->dilation[1], g->padding[1]);
    c.b.dim[1] = kd_index_iter(2);
    c.b.dim[3] = kd_index_iter(6);
    c.b.dim[4] = kd_index_iter(7);
    x = kd_reshape(b, x, 5, split_x);
    b->name = name;
    w = kd_reshape(b, w, 5, split_w);
    b->name = name;
    KdValue *r = kd_contract(b, x, w, 5, dim, &c);
    b->name = name;
    return kd_reshape(b, r, 4, joined);
}

static void rank_check(lua_State *L, const KdValue *x, int rank, const char *what) {
    char text[KD_TYPE_TEXT];
    if (x->type.rank != rank)
        kd_host_fail(L, "%s: a tensor of %d axes is needed, not %s", what, rank,
                     kd_type_text(x->type, text));
}

static int core_conv2d(lua_State *L) { /* (x, w, window, groups) */
    KdValue *x = kd_tensor_check(L, 1, "conv2d"), *w = kd_tensor_check(L, 2, "conv2d");
    Window g = { 0 };
    window_check(L, 3, &g);
    rank_check(L, x, 4, "conv2d");
    rank_check(L, w, 4, "conv2d");
    lua_Integer groups = luaL_checkinteger(L, 4);
    if (groups < 1) kd_host_fail(L, "conv2d: at least 1 group");
    KdBuilder *b = kd_trace_builder(L, "conv2d");
    return kd_tensor_push(L, groups == 1 ? conv_plain(b, x, w, &g)
                                         : conv_grouped(b, x, w, &g, groups));
}

/* (x [B,C,H,W], window, op, fill) -> [B,C,OH,OW]: each window's elements as two more dims, which
 * are reduced; what lies beyond the edges reads fill. */
static int core_pool(lua_State *L) {
    KdValue *x = kd_tensor_check(L, 1, "pool");
    Window g = { 0 };
    window_check(L, 2, &g);
    rank_check(L, x, 4, "pool");
    KdOp op = kd_op_check(L, 3);
    int64_t dim[] = {
        x->type.dim[0], x->type.dim[1], g.out[0], g.out[1], g.kernel[0], g.kernel[1]
    };
    const int axes[] = { 4, 5 };
    KdAccess access = { .rank = 4, .dim = { kd_index_iter(0), kd_index_iter(1) } };
    access.dim[2] = window_index(2, g.stride[0], 4, g.dilation[0], g.padding[0]);
    access.dim[3] = window_index(3, g.stride[1], 5, g.dilation[1], g.padding[1]);
    KdBuilder *b = kd_trace_builder(L, "pool");
    const char *name = b->name;
    KdValue *windows = kd_view(b, x, 6, dim, &access, luaL_checknumber(L, 4));
    b->name = name;
    return kd_tensor_push(L, kd_reduce(b, op, windows, 2, axes));
}

/* --- hyperparameters and --set ---------------------------------------------------------------- */

static void note_known(lua_State *L, KdHost *h, const char *name) {
    for (int k = 0; k < h->known.n; k++)
        if (strcmp(h->known.item[k], name) == 0) return;
    if (h->known.n == PARAM_LIMIT) kd_host_fail(L, "kd.param: more than %d names", PARAM_LIMIT);
    kd_list_add(h->arena, &h->known, kd_arena_string(h->arena, name));
}

/* (name, default or nil): the value of --set, or the default. */
static int core_param(lua_State *L) {
    KdHost *h = kd_host(L);
    const char *name = luaL_checkstring(L, 1);
    double value = luaL_optnumber(L, 2, 0);
    bool given = !lua_isnoneornil(L, 2);
    note_known(L, h, name);
    for (int k = 0; k < h->o->nsets; k++) {
        if (strcmp(h->sets[k].name, name) != 0) continue;
        h->sets[k].used = true;
        value = h->sets[k].value;
        given = true;
    }
    if (!given) {
        lua_pushnil(L);
        return 1;
    }
    lua_Number number = value;
    lua_Integer integer;
    bool whole = lua_isinteger(L, 2) || lua_isnoneornil(L, 2); /* where it can be */
    if (whole && lua_numbertointeger(number, &integer) && (lua_Number)integer == number)
        lua_pushinteger(L, integer);
    else
        lua_pushnumber(L, number);
    return 1;
}

/* Would the optimiser take a hyperparameter of that name for a setting of its own, which the run
 * need not have? */
static bool is_setting(const char *name) {
    static const char *const settings[] = { "clip_norm", "clip_value",     "loss_scale",
                                            "max_norm",  "momentum.steps", "nesterov" };
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
        if (strcmp(name, settings[k]) == 0) return true;
    return false;
}

/* (wanted name, value): a hyperparameter of the module as a scalar tensor. A name that holds
 * another value already, or means something to the optimiser, is numbered. */
static int core_hyper(lua_State *L) {
    KdTrace *t = kd_trace(L, "hyper");
    KdModule *m = t->b.f->module;
    const char *wanted = luaL_checkstring(L, 1), *name = wanted;
    double value = luaL_checknumber(L, 2);
    if (!fits_text(wanted) || (*wanted >= '0' && *wanted <= '9'))
        kd_host_fail(L, "'%s' cannot name a hyperparameter: letters, digits, '_' and '.' only",
                     wanted);
    if (!isfinite(value)) kd_host_fail(L, "%s: a hyperparameter is a finite number", wanted);
    for (int n = 2;; n++) {
        int k = kd_module_hyper(m, name);
        if ((k < 0 || m->hypers[k]->value == value) && !is_setting(name)) break;
        name = kd_arena_format(m->arena, "%s.%d", wanted, n);
    }
    if (m->nhypers >= HYPER_LIMIT)
        kd_host_fail(L, "hyper: more than %d hyperparameters in one run", HYPER_LIMIT);
    KdBuilder *b = kd_trace_builder(L, "hyper");
    kd_module_add_hyper(m, name, value, b->loc);
    return kd_tensor_push(L, kd_hyper(b, name));
}

/* --- networks -------------------------------------------------------------------------------- */

static void check_params(lua_State *L, const KdTrace *t, const KdNetwork *n) {
    int k = 0;
    while (k < n->nparams && k < t->params.n &&
           strcmp(n->params[k]->name, ((KdParam *)t->params.item[k])->name) == 0 &&
           kd_type_equal(n->params[k]->type, ((KdParam *)t->params.item[k])->type))
        k++;
    if (k == n->nparams && k == t->params.n) return;
    kd_host_fail_at(L, n->loc,
                    "network '%s': its function must build the same layers whenever it is called; "
                    "parameter %d differs",
                    n->name, k + 1);
}

KdValue *kd_network_trace(lua_State *L, KdTrace *t, KdNetwork *n, KdValue *x) {
    KdHost *h = kd_host(L);
    if (h->trace) kd_host_fail(L, "network '%s': called inside another network", n->name);
    t->network = n;
    t->loc = n->loc;
    h->trace = t;
    lua_rawgeti(L, LUA_REGISTRYINDEX, n->function);
    kd_tensor_push(L, x);
    lua_call(L, 1, 1);
    if (!kd_tensor_is(L, -1))
        kd_host_fail_at(L, n->loc, "network '%s': its function must return a tensor, not a %s",
                        n->name, luaL_typename(L, -1));
    KdValue *y = kd_tensor_check(L, -1, "network");
    lua_pop(L, 1);
    h->trace = NULL;
    if (n->params) check_params(L, t, n);
    return y;
}

/* One trace of n's definition, into a function of its own in module m. */
static KdTrace *trace_definition(lua_State *L, KdNetwork *n, KdModule *m, bool training) {
    KdHost *h = kd_host(L);
    KdTrace *t = KD_NEW(h->arena, KdTrace);
    KdFunc *f = kd_func_create(m, training ? "training" : "inference", 64);
    int64_t batch = KD_BATCH;
    t->b = kd_builder(f, h->d);
    t->training = t->renewing = training;
    t->define = !training;
    KdValue *x = kd_func_add_arg(f, "x", n->input, KD_ARG_INPUT);
    x->loc = n->loc;
    t->index = kd_func_add_arg(f, "index", kd_type(KD_I32, 1, &batch), KD_ARG_INDEX);
    t->epoch = kd_func_add_arg(f, "epoch", kd_scalar(KD_I32), KD_ARG_EPOCH);
    n->output = kd_network_trace(L, t, n, x)->type;
    return t;
}

static int core_network(lua_State *L) { /* (name, input dims without the batch, function): index */
    KdHost *h = kd_host(L);
    KdNetwork *n = KD_NEW(h->arena, KdNetwork);
    n->name = kd_arena_string(h->arena, luaL_checkstring(L, 1));
    n->loc = kd_host_where(L);
    n->input = (KdType){ .dtype = KD_F32 };
    n->input.rank = 1 + kd_ints_check(L, 2, KD_MAX_RANK - 1, n->input.dim + 1, n->name);
    n->input.dim[0] = KD_BATCH;
    check_size(L, n->input, "kd.network");
    luaL_checktype(L, 3, LUA_TFUNCTION);
    for (int k = 0; k < h->networks.n; k++) {
        const KdNetwork *other = h->networks.item[k];
        if (strcmp(other->name, n->name) != 0) continue;
        kd_error(h->d, n->loc, "kd.network: '%s' is the name of another network", n->name);
        kd_note(h->d, other->loc, "which was defined here");
        kd_host_unwind(L);
    }
    lua_pushvalue(L, 3);
    n->function = luaL_ref(L, LUA_REGISTRYINDEX);
    KdModule *m = kd_host_module(L);
    KdTrace *t = trace_definition(L, n, m, true);
    n->nparams = t->params.n;
    n->params = (KdParam **)t->params.item;
    if (!n->params) n->params = KD_NEW_ARRAY(h->arena, KdParam *, 1);
    trace_definition(L, n, m, false);
    if (n->output.rank != 2 || n->output.dim[0] != KD_BATCH) {
        char text[KD_TYPE_TEXT];
        kd_host_fail_at(L, n->loc, "network '%s' must return logits f32[B,classes], not %s",
                        n->name, kd_type_text(n->output, text));
    }
    kd_list_add(h->arena, &h->networks, n);
    lua_pushinteger(L, h->networks.n);
    return 1;
}

void kd_network_open(lua_State *L) {
    static const luaL_Reg primitives[] = {
        { "parameter", core_parameter }, { "counter", core_counter },
        { "training", core_training },   { "renewing", core_renewing },
        { "renew", core_renew },         { "begin_layer", core_begin_layer },
        { "end_layer", core_end_layer }, { "linear", core_linear },
        { "conv2d", core_conv2d },       { "pool", core_pool },
        { "param", core_param },         { "hyper", core_hyper },
        { "network", core_network },     { NULL, NULL }
    };
    luaL_setfuncs(L, primitives, 0);
}
