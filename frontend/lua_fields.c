/* Fields of the tables that kdc's Lua half hands over. */
#include "frontend/host.h"

const char *kd_field_text(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    const char *s = lua_type(L, -1) == LUA_TSTRING
                        ? kd_arena_string(kd_host(L)->arena, lua_tostring(L, -1))
                        : NULL;
    lua_pop(L, 1);
    return s;
}

int64_t kd_field_integer(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    int64_t n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

double kd_field_number(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    double x = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return x;
}

KdLoc kd_table_loc(lua_State *L, int table) {
    const char *file = kd_field_text(L, table, "file");
    return (KdLoc){ file ? kd_host_intern(kd_host(L), file) : NULL,
                    (int)kd_field_integer(L, table, "line") };
}

KdLoc kd_field_loc(lua_State *L, int table) {
    KdLoc loc = { NULL, 0 };
    lua_getfield(L, table, "where");
    if (lua_type(L, -1) == LUA_TTABLE) loc = kd_table_loc(L, lua_gettop(L));
    lua_pop(L, 1);
    return loc;
}
