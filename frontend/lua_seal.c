/*
 * Descriptors: what kd.network, kd.data.…, kd.train return. A script holds them, but neither reads
 * nor changes what is inside: a userdata whose user value is the library's own table, the record.
 * lua/kd/check.lua makes the metatables, which scripts cannot get at.
 */
#include "frontend/host.h"

static const char sealed_mark; /* its address is a key that only metatables of descriptors have */

static int core_class(lua_State *L) { /* (metatable): the same, marked as one of descriptors */
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushboolean(L, 1);
    lua_rawsetp(L, 1, &sealed_mark);
    return 1;
}

static int core_seal(lua_State *L) { /* (record, metatable of core.class): the descriptor */
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_newuserdatauv(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, 2);
    lua_setmetatable(L, -2);
    return 1;
}

static int core_unseal(lua_State *L) { /* (anything): the record, or nil */
    bool sealed = lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1) &&
                  lua_rawgetp(L, -1, &sealed_mark) == LUA_TBOOLEAN;
    if (sealed)
        lua_getiuservalue(L, 1, 1);
    else
        lua_pushnil(L);
    return 1;
}

void kd_seal_open(lua_State *L) {
    static const luaL_Reg primitives[] = {
        { "class", core_class }, { "seal", core_seal }, { "unseal", core_unseal }, { NULL, NULL }
    };
    luaL_setfuncs(L, primitives, 0);
}
