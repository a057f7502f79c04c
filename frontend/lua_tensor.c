/*
 * Tensors in Lua: userdata that stands for one value of the function being traced. Operators and
 * the primitives of this file append one instruction or a few, placed at the user's line, and
 * return the result's userdata. Numbers are welcome wherever a tensor is, and shapes that differ
 * broadcast when their last dims agree (or are 1), as in NumPy.
 */
#include "frontend/host.h"

#include "passes/pass.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define TENSOR     "kd.tensor"
#define OPS_LIMIT  200000 /* instructions of one run, or of one network's definition */
#define TEXT_LIMIT 128    /* bytes of a name or a label, which are copied */

/* --- userdata -------------------------------------------------------------------------------- */

KdTrace *kd_trace(lua_State *L, const char *what) {
    KdHost *h = kd_host(L);
    if (!h->trace)
        kd_host_fail(L,
                     "%s: tensors exist only inside the functions given to kd.network and "
                     "to a loss",
                     what);
    return h->trace;
}

KdBuilder *kd_trace_builder(lua_State *L, const char *what) {
    KdTrace *t = kd_trace(L, what);
    KdHost *h = kd_host(L);
    if (++h->ops > OPS_LIMIT)
        kd_host_fail(L, "%s: more than %d operations traced for one run", what, OPS_LIMIT);
    kd_host_room(L);
    t->b.loc = kd_host_where(L);
    t->b.name = t->layer;
    if (t->layer && t->prefix)
        t->b.name = kd_arena_format(h->arena, "%s.%s", t->prefix, t->layer);
    else if (t->layer && *t->layer >= '0' && *t->layer <= '9') /* "0", as in an nn.Sequential */
        t->b.name = kd_arena_format(h->arena, "layer%s", t->layer);
    return &t->b;
}

int kd_tensor_push(lua_State *L, KdValue *v) {
    if (!v) kd_host_unwind(L);
    KdValue **box = lua_newuserdatauv(L, sizeof(KdValue *), 0);
    *box = v;
    luaL_setmetatable(L, TENSOR);
    return 1;
}

bool kd_tensor_is(lua_State *L, int arg) {
    return luaL_testudata(L, arg, TENSOR) != NULL;
}

KdValue *kd_tensor_check(lua_State *L, int arg, const char *what) {
    KdTrace *t = kd_trace(L, what);
    KdValue **box = luaL_testudata(L, arg, TENSOR);
    if (!box) kd_host_fail(L, "%s: a tensor is needed here, not a %s", what, luaL_typename(L, arg));
    if ((*box)->func != t->b.f)
        kd_host_fail(L,
                     "%s: this tensor belongs to another call of a network or loss function; "
                     "tensors cannot be kept between calls",
                     what);
    return *box;
}

int kd_axis_check(lua_State *L, int arg, const KdValue *x, const char *what) {
    lua_Integer axis = luaL_checkinteger(L, arg);
    char text[KD_TYPE_TEXT];
    if (axis < 0 || axis >= x->type.rank)
        kd_host_fail(L, "%s: %s has no such axis", what, kd_type_text(x->type, text));
    return (int)axis;
}

int kd_ints_check(lua_State *L, int arg, int room, int64_t *out, const char *what) {
    if (lua_type(L, arg) != LUA_TTABLE)
        kd_host_fail(L, "%s: a list of integers is needed, not a %s", what, luaL_typename(L, arg));
    lua_Unsigned n = lua_rawlen(L, arg);
    if (n > (lua_Unsigned)room) kd_host_fail(L, "%s: at most %d entries", what, room);
    for (int k = 0; k < (int)n; k++) {
        int is_int;
        lua_rawgeti(L, arg, k + 1);
        out[k] = lua_tointegerx(L, -1, &is_int);
        if (!is_int) kd_host_fail(L, "%s: entry %d is not an integer", what, k + 1);
        lua_pop(L, 1);
    }
    return (int)n;
}

/* --- broadcasting ---------------------------------------------------------------------------- */

KdValue *kd_tensor_broadcast(KdBuilder *b, KdValue *x, KdType like) {
    if (!x || kd_shape_equal(x->type, like)) return x;
    int shift = like.rank - x->type.rank;
    if (shift < 0) return NULL;
    KdAccess access = { .rank = x->type.rank };
    for (int k = 0; k < x->type.rank; k++) {
        if (x->type.dim[k] == like.dim[k + shift])
            access.dim[k] = kd_index_iter(k + shift);
        else if (x->type.dim[k] == 1)
            access.dim[k] = kd_index_constant(0);
        else
            return NULL;
    }
    return kd_view(b, x, like.rank, like.dim, &access, 0);
}

/* The shape that x and y broadcast to; false when there is none. */
static bool common_shape(KdType x, KdType y, KdType *out) {
    int rank = x.rank > y.rank ? x.rank : y.rank;
    *out = (KdType){ .dtype = x.dtype, .rank = rank };
    for (int k = 1; k <= rank; k++) {
        int64_t p = k <= x.rank ? x.dim[x.rank - k] : 1;
        int64_t q = k <= y.rank ? y.dim[y.rank - k] : 1;
        if (p != q && p != 1 && q != 1) return false;
        out->dim[rank - k] = p == 1 ? q : p;
    }
    return true;
}

static KdValue *binary(KdBuilder *b, KdOp op, KdValue *x, KdValue *y) {
    KdType shape;
    const char *name = b->name;
    if (!kd_shape_equal(x->type, y->type) && common_shape(x->type, y->type, &shape)) {
        x = kd_tensor_broadcast(b, x, shape);
        y = kd_tensor_broadcast(b, y, shape);
    }
    b->name = name;
    return kd_binary(b, op, x, y); /* says which shapes do not fit */
}

/* A tensor at `arg`, or a number as a constant of `like`'s type (a scalar when NULL). */
static KdValue *operand(lua_State *L, int arg, const KdValue *like, const char *what) {
    if (lua_type(L, arg) != LUA_TNUMBER) return kd_tensor_check(L, arg, what);
    KdBuilder *b = kd_trace_builder(L, what);
    b->name = NULL;
    double number = lua_tonumber(L, arg);
    KdType t = like ? like->type : kd_scalar(KD_F32);
    if (t.dtype != KD_F32 && number != floor(number)) t.dtype = KD_F32;
    return kd_constant(b, t, number);
}

/* Both operands of an operator; at least one is a tensor. */
static void operands(lua_State *L, int arg, const char *what, KdValue **x, KdValue **y) {
    bool first = kd_tensor_is(L, arg);
    KdValue *known = kd_tensor_check(L, first ? arg : arg + 1, what);
    *x = first ? known : operand(L, arg, known, what);
    *y = first ? operand(L, arg + 1, known, what) : known;
}

static int apply(lua_State *L, KdOp op, int arg) {
    KdValue *x, *y;
    operands(L, arg, kd_op_text(op), &x, &y);
    return kd_tensor_push(L, binary(kd_trace_builder(L, kd_op_text(op)), op, x, y));
}

/* --- operators ------------------------------------------------------------------------------- */

static int tensor_add(lua_State *L) {
    return apply(L, KD_OP_ADD, 1);
}
static int tensor_sub(lua_State *L) {
    return apply(L, KD_OP_SUB, 1);
}
static int tensor_mul(lua_State *L) {
    return apply(L, KD_OP_MUL, 1);
}
static int tensor_div(lua_State *L) {
    return apply(L, KD_OP_DIV, 1);
}

static int tensor_unm(lua_State *L) {
    KdValue *x = kd_tensor_check(L, 1, "neg");
    return kd_tensor_push(L, kd_unary(kd_trace_builder(L, "neg"), KD_OP_NEG, x));
}

/* x ^ n for a small whole n is a product, and 1 for 0, so that negative x is as good as any; `pow`
 * wants x > 0. */
static int tensor_pow(lua_State *L) {
    double e = lua_type(L, 2) == LUA_TNUMBER ? lua_tonumber(L, 2) : NAN;
    if (e == 0.5) {
        KdValue *x = kd_tensor_check(L, 1, "pow");
        return kd_tensor_push(L, kd_unary(kd_trace_builder(L, "sqrt"), KD_OP_SQRT, x));
    }
    if (e == 0) {
        KdValue *x = kd_tensor_check(L, 1, "pow");
        return kd_tensor_push(L, kd_constant_like(kd_trace_builder(L, "pow"), x, 1));
    }
    if (!(e == floor(e)) || fabs(e) < 1 || fabs(e) > 64) return apply(L, KD_OP_POW, 1);
    KdValue *x = kd_tensor_check(L, 1, "pow"), *result = NULL;
    KdBuilder *b = kd_trace_builder(L, "pow");
    for (int n = (int)fabs(e); n > 0; n /= 2) {
        if (n & 1) result = result ? kd_binary(b, KD_OP_MUL, result, x) : x;
        if (n > 1) x = kd_binary(b, KD_OP_MUL, x, x);
    }
    if (e < 0 && result) result = kd_binary(b, KD_OP_DIV, kd_constant_like(b, result, 1), result);
    return kd_tensor_push(L, result);
}

static void push_shape(lua_State *L, KdType t) {
    lua_createtable(L, t.rank, 0);
    for (int k = 0; k < t.rank; k++) {
        lua_pushinteger(L, t.dim[k]);
        lua_rawseti(L, -2, k + 1);
    }
}

/* t.shape (the batch is -1), t.rank, t.dtype, and the functions of kd as methods: t:sum(). */
static int tensor_index(lua_State *L) {
    KdValue *x = kd_tensor_check(L, 1, "index");
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "shape") == 0) {
        push_shape(L, x->type);
    } else if (strcmp(key, "rank") == 0) {
        lua_pushinteger(L, x->type.rank);
    } else if (strcmp(key, "dtype") == 0) {
        lua_pushstring(L, kd_dtype_name(x->type.dtype));
    } else {
        lua_getfield(L, lua_upvalueindex(1), "methods");
        if (lua_type(L, -1) != LUA_TTABLE || lua_getfield(L, -1, key) == LUA_TNIL)
            kd_host_fail(L, "a tensor has no field '%s'", key);
    }
    return 1;
}

static int tensor_text(lua_State *L) {
    KdValue **box = luaL_checkudata(L, 1, TENSOR);
    char text[KD_TYPE_TEXT];
    lua_pushfstring(L, "tensor %s", kd_type_text((*box)->type, text));
    return 1;
}

/* --- primitives: ops by name ------------------------------------------------------------------ */

KdOp kd_op_check(lua_State *L, int arg) {
    KdOp op = kd_op_find(luaL_checkstring(L, arg));
    if (op == KD_NUM_OPS) kd_host_fail(L, "unknown op '%s'", lua_tostring(L, arg));
    return op;
}

static int core_unary(lua_State *L) { /* (op, x) */
    KdOp op = kd_op_check(L, 1);
    KdValue *x = kd_tensor_check(L, 2, kd_op_text(op));
    return kd_tensor_push(L, kd_unary(kd_trace_builder(L, kd_op_text(op)), op, x));
}

static int core_binary(lua_State *L) { /* (op, x, y) */
    return apply(L, kd_op_check(L, 1), 2);
}

static int core_select(lua_State *L) { /* (condition, x, y) */
    KdValue *c = kd_tensor_check(L, 1, "select"), *x, *y;
    operands(L, 2, "select", &x, &y);
    KdBuilder *b = kd_trace_builder(L, "select");
    KdType shape;
    if (common_shape(x->type, y->type, &shape) && common_shape(shape, c->type, &shape)) {
        c = kd_tensor_broadcast(b, c, shape);
        x = kd_tensor_broadcast(b, x, shape);
        y = kd_tensor_broadcast(b, y, shape);
    }
    return kd_tensor_push(L, kd_select(b, c, x, y));
}

static int core_cast(lua_State *L) { /* (x, dtype) */
    static const char *const names[] = { "f32", "i32", "u8", "bool", NULL };
    KdValue *x = kd_tensor_check(L, 1, "cast");
    KdDtype to = (KdDtype)luaL_checkoption(L, 2, NULL, names);
    if (x->type.dtype == to) return kd_tensor_push(L, x);
    return kd_tensor_push(L, kd_cast(kd_trace_builder(L, "cast"), x, to));
}

static int core_reduce(lua_State *L) { /* (op, x, axes from 1, keep) */
    KdOp op = kd_op_check(L, 1);
    KdValue *x = kd_tensor_check(L, 2, kd_op_text(op));
    int64_t given[KD_MAX_RANK], kept[KD_MAX_RANK];
    int axes[KD_MAX_RANK], n = kd_ints_check(L, 3, KD_MAX_RANK, given, kd_op_text(op));
    memcpy(kept, x->type.dim, sizeof kept);
    for (int k = 0; k < n; k++) {
        int64_t axis = given[k] < 0 ? given[k] + x->type.rank : given[k] - 1;
        char text[KD_TYPE_TEXT];
        if (axis < 0 || axis >= x->type.rank)
            kd_host_fail(L, "%s: there is no axis %lld of %s; axes count from 1", kd_op_text(op),
                         (long long)given[k], kd_type_text(x->type, text));
        axes[k] = (int)axis;
        kept[axis] = 1;
        for (int j = k; j > 0 && axes[j - 1] >= axes[j]; j--) { /* ascending */
            int other = axes[j - 1];
            if (other == axes[j]) kd_host_fail(L, "%s: an axis is given twice", kd_op_text(op));
            axes[j - 1] = axes[j];
            axes[j] = other;
        }
    }
    KdBuilder *b = kd_trace_builder(L, kd_op_text(op));
    KdValue *r = kd_reduce(b, op, x, n, axes);
    if (r && lua_toboolean(L, 4)) r = kd_reshape(b, r, x->type.rank, kept);
    return kd_tensor_push(L, r);
}

static int core_rows(lua_State *L) {
    return kd_tensor_push(L, kd_rows(kd_trace_builder(L, "rows")));
}

static int core_constant(lua_State *L) { /* (x, value): of x's shape, f32 */
    KdValue *x = kd_tensor_check(L, 1, "constant");
    KdType t = kd_type_with_dtype(x->type, KD_F32);
    return kd_tensor_push(L,
                          kd_constant(kd_trace_builder(L, "constant"), t, luaL_checknumber(L, 2)));
}

static int core_iota(lua_State *L) { /* (dims, axis from 0) */
    KdType t = { .dtype = KD_I32 };
    t.rank = kd_ints_check(L, 1, KD_MAX_RANK, t.dim, "iota");
    lua_Integer axis = luaL_checkinteger(L, 2);
    if (axis < 0 || axis >= t.rank) kd_host_fail(L, "iota: no such axis");
    return kd_tensor_push(L, kd_iota(kd_trace_builder(L, "iota"), t, (int)axis));
}

/* (x, dims, map from 0): x's dim k becomes result dim map[k]. */
static int core_broadcast(lua_State *L) {
    int64_t dim[KD_MAX_RANK], given[KD_MAX_RANK];
    int map[KD_MAX_RANK];
    KdValue *x = kd_tensor_check(L, 1, "broadcast");
    KdType like = { .dtype = x->type.dtype };
    like.rank = kd_ints_check(L, 2, KD_MAX_RANK, dim, "broadcast");
    memcpy(like.dim, dim, (size_t)like.rank * sizeof *dim);
    if (kd_ints_check(L, 3, KD_MAX_RANK, given, "broadcast") != x->type.rank)
        kd_host_fail(L, "broadcast: one place for each of %d axes", x->type.rank);
    for (int k = 0; k < x->type.rank; k++) {
        map[k] = (int)given[k];
        if (given[k] < 0 || given[k] >= like.rank) kd_host_fail(L, "broadcast: no such axis");
    }
    return kd_tensor_push(L, kd_broadcast(kd_trace_builder(L, "broadcast"), x, like, map));
}

/* (x or dims, stream): uniform numbers of x's shape, one stream per dataset row and epoch. */
static int core_uniform(lua_State *L) {
    KdBuilder *b = kd_trace_builder(L, "rng.uniform");
    KdTrace *t = kd_host(L)->trace;
    KdType type = { .dtype = KD_F32 };
    if (lua_istable(L, 1))
        type.rank = kd_ints_check(L, 1, KD_MAX_RANK, type.dim, "rng.uniform");
    else
        type = kd_type_with_dtype(kd_tensor_check(L, 1, "rng.uniform")->type, KD_F32);
    if (!t->index) kd_host_fail(L, "rng.uniform: no random numbers in inference");
    const char *stream = luaL_checkstring(L, 2);
    if (b->role && strcmp(b->role, "teacher") == 0) /* its dropout is not the student's */
        stream = kd_arena_format(kd_host(L)->arena, "%s.%s", t->prefix, stream);
    if (t->auxiliary) stream = kd_arena_format(kd_host(L)->arena, "loss.%s", stream);
    return kd_tensor_push(L, kd_rng(b, KD_OP_RNG_UNIFORM, t->index, t->epoch, type, stream));
}

/* (y, x): the gradient of y, a scalar or one number per sample that are added up, by x. */
static int core_grad(lua_State *L) {
    KdValue *y = kd_tensor_check(L, 1, "grad"), *x = kd_tensor_check(L, 2, "grad"), *dx;
    KdBuilder *b = kd_trace_builder(L, "grad");
    char text[KD_TYPE_TEXT];
    const KdType t = y->type;
    if (t.dtype != KD_F32 || !(t.rank == 0 || (t.rank == 1 && t.dim[0] == KD_BATCH)))
        kd_host_fail(L, "grad: a scalar has a gradient, or one number per sample, f32[B]; not %s",
                     kd_type_text(t, text));
    if (x->type.dtype != KD_F32)
        kd_host_fail(L, "grad: by a tensor of f32, not %s", kd_type_text(x->type, text));
    int before = b->f->nvalues;
    KdLoc loc = b->loc;
    if (t.rank == 1) y = kd_reduce(b, KD_OP_REDUCE_SUM, y, 1, (int[]){ 0 });
    if (!y || !kd_append_gradients(b, y, 1, &x, &dx)) kd_host_unwind(L);
    kd_host(L)->ops += b->f->nvalues - before;
    b->loc = loc;
    return kd_tensor_push(L, dx);
}

/* (list of tensors, share of each): one of them, drawn anew for each batch. */
static int core_drawn(lua_State *L) {
    KdTrace *t = kd_trace(L, "drawn");
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Unsigned n = lua_rawlen(L, 1);
    if (n < 1 || n > KD_MAX_TEACHERS)
        kd_host_fail(L, "drawn: from 1 to %d teachers", KD_MAX_TEACHERS);
    if (!t->step) kd_host_fail(L, "drawn: only teachers are drawn by batches");
    KdBuilder *b = kd_trace_builder(L, "drawn");
    const char *role = b->role;
    b->role = "noise"; /* not the teacher's: what it chooses from stays fixed */
    KdType like = kd_scalar(KD_F32);
    KdValue *u = kd_rng(b, KD_OP_RNG_UNIFORM, t->step, t->epoch, like, "teachers.drawn"), *z = NULL;
    double below = 1;
    for (int k = (int)n; k > 0; k--) {
        lua_rawgeti(L, 1, k);
        lua_rawgeti(L, 2, k);
        KdValue *each = kd_tensor_check(L, -2, "drawn");
        double share = luaL_checknumber(L, -1);
        lua_pop(L, 2);
        if (z) {
            KdType wide = kd_type_with_dtype(each->type, KD_BOOL);
            KdValue *later = kd_binary(b, KD_OP_LE, kd_constant(b, like, below), u);
            each = kd_select(b, kd_broadcast(b, later, wide, NULL), z, each);
        }
        z = each;
        below -= share;
    }
    b->role = role;
    return kd_tensor_push(L, z);
}

static int core_print(lua_State *L) { /* (x, label or nil) */
    KdValue *x = kd_tensor_check(L, 1, "print");
    KdBuilder *b = kd_trace_builder(L, "print");
    const char *label = luaL_optstring(L, 2, NULL);
    if (label && strlen(label) > TEXT_LIMIT)
        kd_host_fail(L, "print: a label has at most %d bytes", TEXT_LIMIT);
    if (!label) label = kd_arena_format(b->f->module->arena, "line %d", b->loc.line);
    return kd_tensor_push(L, kd_print(b, x, label));
}

static int core_site(lua_State *L) { /* (x, name): x, as a place where noise may be put */
    KdValue *x = kd_tensor_check(L, 1, "site");
    const char *name = luaL_checkstring(L, 2);
    KdTrace *t = kd_trace(L, "site");
    if (strlen(name) > TEXT_LIMIT) kd_host_fail(L, "site: a name has at most %d bytes", TEXT_LIMIT);
    if (!x->def) kd_host_fail(L, "site: '%s' would stand on the function's input", name);
    for (int k = 0; k < t->sites.n; k++) {
        const KdValue *other = t->sites.item[k];
        if (other != x && strcmp(other->def->site, name) == 0)
            kd_host_fail(L, "site: two places are named '%s'", name);
    }
    x->def->site = kd_arena_string(t->b.f->module->arena, name);
    kd_list_add(kd_host(L)->arena, &t->sites, x);
    lua_settop(L, 1);
    return 1;
}

static int core_methods(lua_State *L) { /* (table): what t:name() calls */
    lua_settop(L, 1);
    luaL_getmetatable(L, TENSOR);
    lua_getfield(L, -1, "home");
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "methods");
    return 0;
}

void kd_tensor_open(lua_State *L) {
    static const luaL_Reg operators[] = { { "__add", tensor_add },       { "__sub", tensor_sub },
                                          { "__mul", tensor_mul },       { "__div", tensor_div },
                                          { "__pow", tensor_pow },       { "__unm", tensor_unm },
                                          { "__tostring", tensor_text }, { NULL, NULL } };
    static const luaL_Reg primitives[] = {
        { "unary", core_unary },         { "binary", core_binary },
        { "select", core_select },       { "cast", core_cast },
        { "reduce", core_reduce },       { "rows", core_rows },
        { "constant", core_constant },   { "iota", core_iota },
        { "broadcast", core_broadcast }, { "uniform", core_uniform },
        { "drawn", core_drawn },         { "grad", core_grad },
        { "print", core_print },         { "site", core_site },
        { "methods", core_methods },     { NULL, NULL }
    };
    luaL_newmetatable(L, TENSOR);
    luaL_setfuncs(L, operators, 0);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "home");
    lua_pushcclosure(L, tensor_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable"); /* scripts cannot reach it */
    lua_pop(L, 1);
    luaL_setfuncs(L, primitives, 0);
}
