/*
 * What the kd library asks its host for: the user's line, errors at it, good names.
 */
#include "frontend/host.h"

#include <string.h>

/* Calls upvalue 1. In between a call in tail position and its function, this frame of C keeps the
 * caller's line on the stack. */
static int entry(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int core_entry(lua_State *L) { /* (f): f, as scripts may call it */
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushcclosure(L, entry, 1);
    return 1;
}

static int core_where(lua_State *L) { /* { file, line } of the user's innermost line */
    KdLoc loc = kd_host_where(L);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, loc.file);
    lua_setfield(L, -2, "file");
    lua_pushinteger(L, loc.line);
    lua_setfield(L, -2, "line");
    return 1;
}

static int core_fail(lua_State *L) { /* (message, where or nil) */
    const char *message = luaL_checkstring(L, 1);
    if (lua_type(L, 2) != LUA_TTABLE) kd_host_fail(L, "%s", message);
    kd_host_fail_at(L, kd_table_loc(L, 2), "%s", message);
}

static int core_at(lua_State *L) { /* (where): the place of ops that no line of the script makes */
    KdTrace *t = kd_trace(L, "loss");
    luaL_checktype(L, 1, LUA_TTABLE);
    t->loc = kd_table_loc(L, 1);
    return 0;
}

/* (name): why it cannot name a value, a function and a folder, as in "'a b' is not a name"; nil: it
 * can. */
static int core_name_fault(lua_State *L) {
    static const char *const taken[] = { "objective", "evaluate",       "gradients", "update",
                                         "step",      "teacher_logits", "fold" };
    const char *name = luaL_checkstring(L, 1);
    bool letters = *name && !(*name >= '0' && *name <= '9');
    for (const char *p = name; *p && letters; p++)
        letters = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                  (*p >= '0' && *p <= '9') || *p == '_';
    if (!letters)
        lua_pushliteral(L, "is not a name: letters, digits and '_', a letter first");
    else if (strlen(name) > 64)
        lua_pushliteral(L, "is too long for a name: at most 64 letters");
    else
        lua_pushnil(L);
    for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
        if (strcmp(name, taken[k]) == 0)
            lua_pushliteral(L, "is reserved, as are objective, evaluate, gradients, update, step, "
                               "teacher_logits and fold");
    return 1;
}

/* The shortest name that begins with the word, which has two letters or more; or NULL. */
static const char *completion(const char *word, const char *const *names, int n) {
    const char *best = NULL;
    size_t letters = strlen(word);
    for (int k = 0; k < n && letters > 1; k++)
        if (strncmp(names[k], word, letters) == 0 && (!best || strlen(names[k]) < strlen(best)))
            best = names[k];
    return best;
}

static int core_nearest(lua_State *L) { /* (word, list of names): the nearest or nil */
    const char *word = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int n = (int)lua_rawlen(L, 2);
    const char **names = KD_NEW_ARRAY(kd_host(L)->arena, const char *, n + 1);
    for (int k = 0; k < n; k++) {
        lua_rawgeti(L, 2, k + 1);
        names[k] = luaL_checkstring(L, -1); /* stays alive in the list */
        lua_pop(L, 1);
    }
    const char *near = completion(word, names, n);
    lua_pushstring(L, near ? near : kd_nearest(word, names, n));
    return 1;
}

static int core_is_tensor(lua_State *L) {
    lua_pushboolean(L, kd_tensor_is(L, 1));
    return 1;
}

static int core_type_text(lua_State *L) { /* (x): "f32[B,10]" */
    char text[KD_TYPE_TEXT];
    lua_pushstring(L, kd_type_text(kd_tensor_check(L, 1, "layer")->type, text));
    return 1;
}

void kd_checks_open(lua_State *L) {
    static const luaL_Reg primitives[] = { { "entry", core_entry },
                                           { "where", core_where },
                                           { "fail", core_fail },
                                           { "at", core_at },
                                           { "name_fault", core_name_fault },
                                           { "nearest", core_nearest },
                                           { "is_tensor", core_is_tensor },
                                           { "type_text", core_type_text },
                                           { NULL, NULL } };
    luaL_setfuncs(L, primitives, 0);
}
