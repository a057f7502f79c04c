/*
 * Primitives that move elements of tensors to other places: each one op of movement, or a product
 * with a matrix of places.
 */
#include "frontend/host.h"

#define PAD_LIMIT 65536 /* zeros on one side */

static int core_reshape(lua_State *L) { /* (x, dims) */
    int64_t dim[KD_MAX_RANK];
    KdValue *x = kd_tensor_check(L, 1, "reshape");
    int rank = kd_ints_check(L, 2, KD_MAX_RANK, dim, "reshape");
    return kd_tensor_push(L, kd_reshape(kd_trace_builder(L, "reshape"), x, rank, dim));
}

static int core_transpose(lua_State *L) { /* (x, order from 1) */
    int64_t given[KD_MAX_RANK];
    int order[KD_MAX_RANK];
    KdValue *x = kd_tensor_check(L, 1, "transpose");
    int n = kd_ints_check(L, 2, KD_MAX_RANK, given, "transpose");
    unsigned seen = 0;
    for (int k = 0; k < n; k++) {
        if (given[k] < 1 || given[k] > x->type.rank || (seen & (1u << given[k])))
            kd_host_fail(L, "transpose: the order must name each of %d axes once", x->type.rank);
        seen |= 1u << given[k];
        order[k] = (int)given[k] - 1;
    }
    if (n != x->type.rank)
        kd_host_fail(L, "transpose: the order must name each of %d axes once", x->type.rank);
    return kd_tensor_push(L, kd_transpose(kd_trace_builder(L, "transpose"), x, order));
}

static int core_slice(lua_State *L) { /* (x, starts from 0, extents) */
    int64_t start[KD_MAX_RANK], dim[KD_MAX_RANK];
    KdValue *x = kd_tensor_check(L, 1, "slice");
    if (kd_ints_check(L, 2, KD_MAX_RANK, start, "slice") != x->type.rank ||
        kd_ints_check(L, 3, KD_MAX_RANK, dim, "slice") != x->type.rank)
        kd_host_fail(L, "slice: one start and one extent for each of %d axes", x->type.rank);
    return kd_tensor_push(L, kd_slice(kd_trace_builder(L, "slice"), x, start, dim));
}

static int core_flip(lua_State *L) { /* (x, axis from 0): from its end to its start */
    KdValue *x = kd_tensor_check(L, 1, "flip");
    int axis = kd_axis_check(L, 2, x, "flip");
    KdAccess access = { .rank = x->type.rank };
    for (int k = 0; k < access.rank; k++) access.dim[k] = kd_index_iter(k);
    access.dim[axis].term[0].coeff = -1;
    access.dim[axis].offset = x->type.dim[axis] - 1;
    KdBuilder *b = kd_trace_builder(L, "flip");
    return kd_tensor_push(L, kd_view(b, x, access.rank, x->type.dim, &access, 0));
}

/* (x [B,…], s [B,n,n], axis from 0 of n elements): element k of the result along the axis is the
 * sum of x's elements j times s[b,k,j]; s with a 1 in each row moves elements, for each sample its
 * way. */
static int core_mix(lua_State *L) {
    KdValue *x = kd_tensor_check(L, 1, "mix"), *s = kd_tensor_check(L, 2, "mix");
    int axis = kd_axis_check(L, 3, x, "mix"), rank = x->type.rank;
    KdContract c = { .nover = 1, .over = { x->type.dim[axis] } };
    c.a.rank = rank;
    for (int k = 0; k < rank; k++) c.a.dim[k] = kd_index_iter(k == axis ? rank : k);
    c.b.rank = 3;
    c.b.dim[0] = kd_index_iter(0);
    c.b.dim[1] = kd_index_iter(axis);
    c.b.dim[2] = kd_index_iter(rank);
    KdBuilder *b = kd_trace_builder(L, "mix");
    return kd_tensor_push(L, kd_contract(b, x, s, rank, x->type.dim, &c));
}

/* (x, axis from 0, before, after): with zeros around it along the axis. */
static int core_pad(lua_State *L) {
    KdValue *x = kd_tensor_check(L, 1, "pad");
    int axis = kd_axis_check(L, 2, x, "pad");
    int64_t dim[KD_MAX_RANK], before = luaL_checkinteger(L, 3), after = luaL_checkinteger(L, 4);
    if (before < 0 || before > PAD_LIMIT || after < 0 || after > PAD_LIMIT)
        kd_host_fail(L, "pad: from 0 to %d zeros", PAD_LIMIT);
    KdAccess access = { .rank = x->type.rank };
    for (int k = 0; k < access.rank; k++) {
        access.dim[k] = kd_index_iter(k);
        dim[k] = x->type.dim[k];
    }
    access.dim[axis].offset = -before;
    dim[axis] += before + after;
    return kd_tensor_push(L, kd_view(kd_trace_builder(L, "pad"), x, access.rank, dim, &access, 0));
}

static int core_concat(lua_State *L) { /* (list of tensors, axis from 0) */
    KdValue *xs[64];
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Unsigned n = lua_rawlen(L, 1);
    if (n < 1 || n > 64) kd_host_fail(L, "concat: from 1 to 64 tensors");
    for (int k = 0; k < (int)n; k++) {
        lua_rawgeti(L, 1, k + 1);
        xs[k] = kd_tensor_check(L, -1, "concat");
        lua_pop(L, 1);
    }
    lua_Integer axis = luaL_checkinteger(L, 2);
    if (axis < 0 || axis >= xs[0]->type.rank) kd_host_fail(L, "concat: no such axis");
    return kd_tensor_push(L, kd_concat(kd_trace_builder(L, "concat"), (int)n, xs, (int)axis));
}

void kd_movement_open(lua_State *L) {
    static const luaL_Reg primitives[] = {
        { "reshape", core_reshape }, { "transpose", core_transpose },
        { "slice", core_slice },     { "flip", core_flip },
        { "pad", core_pad },         { "concat", core_concat },
        { "mix", core_mix },         { NULL, NULL }
    };
    luaL_setfuncs(L, primitives, 0);
}
