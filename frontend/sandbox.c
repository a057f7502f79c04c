/*
 * The sandbox: a Lua state in which a script that nobody has read can do no harm. It has no io,
 * os, debug, package or coroutine library, and nothing that loads code; memory is bounded by our
 * allocator, time by a hook that counts instructions and looks at the processor's clock. What runs
 * long within one call of C (patterns, loops over a length that a metamethod made up) is left out
 * or guarded in lua/kd/sandbox.lua; the rest allocates what it makes, and all that was ever
 * allocated is bounded too.
 *
 * `require "kd"` comes from the library's folder, other names from below the script's own. The
 * library's chunks have globals of their own, which lua/kd/sandbox.lua copies before any line of a
 * script is run: whatever a script does to its globals, the library's checks stay what they are.
 */
#define _XOPEN_SOURCE 700 /* readlink */
#include "frontend/host.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_LIMIT      ((size_t)512 << 20)
#define CHURN_LIMIT       ((size_t)32 << 30)
#define INSTRUCTION_LIMIT ((int64_t)100000000)
#define HOOK_EVERY    100 /* instructions, each of which may be a call of C that takes a while */
#define SECONDS_LIMIT 20
#define FILE_LIMIT    ((size_t)16 << 20)

/* The host's address lies in front of each state's memory: LUA_EXTRASPACE is a pointer wide. */
KdHost *kd_host(lua_State *L) {
    KdHost *h;
    memcpy(&h, lua_getextraspace(L), sizeof(KdHost *));
    return h;
}

/* --- limits ---------------------------------------------------------------------------------- */

static void *allocate(void *user, void *block, size_t old, size_t size) {
    KdHost *h = user;
    if (!block) old = 0; /* Lua passes a type tag there */
    if (size == 0) {
        h->bytes -= old;
        free(block);
        return NULL;
    }
    if (size > old) {
        size_t more = size - old;
        if (more > MEMORY_LIMIT - h->bytes || more > CHURN_LIMIT - h->churn) return NULL;
        h->churn += more;
    }
    void *grown = realloc(block, size);
    if (grown)
        h->bytes = h->bytes - old + size;
    else
        h->starved = true;
    return grown;
}

/* Every few instructions. Once a limit is reached each further instruction fails, so a script
 * that catches errors does not get on either. */
static void watch(lua_State *L, lua_Debug *ar) {
    (void)ar;
    KdHost *h = kd_host(L);
    h->instructions += HOOK_EVERY;
    bool slow = (clock() - h->started) / CLOCKS_PER_SEC > SECONDS_LIMIT;
    if (!h->tired && !slow && h->instructions < INSTRUCTION_LIMIT) return;
    h->tired = true;
    lua_sethook(L, watch, LUA_MASKCOUNT, 1);
    lua_pushfstring(L, "the script takes too long: it may run %d million instructions or %d s",
                    (int)(INSTRUCTION_LIMIT / 1000000), SECONDS_LIMIT);
    lua_error(L);
}

/* --- files ----------------------------------------------------------------------------------- */

char *kd_host_read(KdHost *h, const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    size_t room = 1 << 14, n = 0;
    char *text = kd_arena_alloc(h->arena, room + 1);
    for (;;) {
        n += fread(text + n, 1, room - n, f);
        if (feof(f) || ferror(f) || room >= FILE_LIMIT) break;
        char *more = kd_arena_alloc(h->arena, 2 * room + 1);
        memcpy(more, text, n);
        text = more;
        room *= 2;
    }
    int reason = ferror(f) ? errno : feof(f) ? 0 : EFBIG;
    fclose(f);
    errno = reason;
    if (reason) return NULL;
    for (size_t k = 0; k < n; k++) /* FNV-1a, 64 bit */
        h->script.hash = (h->script.hash ^ (unsigned char)text[k]) * 0x100000001b3u;
    text[n] = 0;
    *size = n;
    return text;
}

typedef struct Chunk {
    const char *text, *name;
    size_t size;
} Chunk;

static int parse(lua_State *L) {
    const Chunk *c = lua_touserdata(L, 1);
    return luaL_loadbufferx(L, c->text, c->size, c->name, "t") == LUA_OK ? 1 : lua_error(L);
}

/* Without a handler, which would report what is no error yet: the caller says where it is. */
static bool parsed(lua_State *L, Chunk *c) {
    lua_pushcfunction(L, parse);
    lua_pushlightuserdata(L, c);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) return true;
    if (strcmp(lua_tostring(L, -1), "C stack overflow") == 0) { /* has no line */
        lua_pop(L, 1);
        lua_pushliteral(L, "brackets, operators or blocks are nested more than some 200 deep");
    }
    return false;
}

bool kd_host_load(KdHost *h, const char *path, const char *chunkname) {
    size_t size;
    char *text = kd_host_read(h, path, &size); /* leaves the reason in errno */
    if (!text) {
        lua_pushfstring(h->L, "cannot read: %s", strerror(errno));
        return false;
    }
    const char *start = text, *end = text + size;
    if (strncmp(start, "\xEF\xBB\xBF", 3) == 0) start += 3; /* UTF-8's mark */
    if (*start == '#') start += strcspn(start, "\n");       /* "#!": an empty first line */
    return parsed(h->L, &(Chunk){ start, chunkname, (size_t)(end - start) });
}

const char *kd_library_folder(KdArena *a) {
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash) {
        *slash = 0;
        char *installed = kd_arena_format(a, "%s/../share/kdc/lua", self);
        if (access(kd_arena_format(a, "%s/kd/init.lua", installed), R_OK) == 0) return installed;
    }
    return access(KD_LUA_SOURCE_DIR "/kd/init.lua", R_OK) == 0 ? KD_LUA_SOURCE_DIR : NULL;
}

/* --- require --------------------------------------------------------------------------------- */

/* Letters, digits, '_' and '-', parts separated by single dots: nothing that leaves a folder. */
static bool good_module_name(const char *name) {
    bool start = true;
    if (strlen(name) > 255) return false;
    for (const char *p = name; *p; p++) {
        bool word = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || *p == '_' || *p == '-';
        if (!word && (*p != '.' || start)) return false;
        start = *p == '.';
    }
    return !start;
}

/* What each require has as upvalues. The primitives are the argument of the library's chunks. */
enum { LOADED = 1, PRIMITIVES, GLOBALS, FOR_LIBRARY };

static const char library_require; /* its address is the key of the library's own in the registry */

static bool is_ours(const char *name) {
    return strcmp(name, "kd") == 0 || strncmp(name, "kd.", 3) == 0;
}

static const char loading; /* its address stands for a module that has not returned yet */

/* Pushes what the module returned before; false: it is to be loaded. */
static bool push_loaded(lua_State *L, const char *name) {
    lua_pushvalue(L, 1);
    if (lua_rawget(L, lua_upvalueindex(LOADED)) == LUA_TNIL) return false;
    if (lua_islightuserdata(L, -1))
        luaL_error(L, "require: module '%s' requires itself, or failed before", name);
    return true;
}

/* require(name): a script's takes `kd` and its own modules, the library's kd's parts too. */
static int require(lua_State *L) {
    KdHost *h = kd_host(L);
    const char *name = luaL_checkstring(L, 1);
    bool ours = is_ours(name);
    lua_settop(L, 1);
    if (!good_module_name(name)) return luaL_error(L, "require: '%s' is not a module name", name);
    if (ours && name[2] && !lua_toboolean(L, lua_upvalueindex(FOR_LIBRARY)))
        return luaL_error(L, "require: '%s' is kdc's own: require \"kd\" has all of the library",
                          name);
    if (push_loaded(L, name)) return 1;
    kd_host_room(L); /* for the text */
    const char *file = luaL_gsub(L, strcmp(name, "kd") == 0 ? "kd.init" : name, ".", "/");
    const char *path =
        lua_pushfstring(L, ours ? "%s/%s.lua" : "%s%s.lua", ours ? h->library : h->folder, file);
    const char *chunk =
        ours ? lua_pushfstring(L, "=%s.lua", file) : lua_pushfstring(L, "@%s", path);
    if (access(path, R_OK) != 0)
        return luaL_error(L,
                          ours ? "require: no module '%s' in kdc's library"
                               : "require: no module '%s' (looked for %s)",
                          name, path);
    const char *fault = ours ? NULL : kd_host_file_fault(h, path, false);
    if (fault) return luaL_error(L, "require: module '%s' %s", name, fault);
    if (!kd_host_load(h, path, chunk))
        return luaL_error(L, "require: module '%s': %s", name, lua_tostring(L, -1));
    if (ours) {
        lua_pushvalue(L, lua_upvalueindex(GLOBALS));
        lua_setupvalue(L, -2, 1); /* a chunk's only one, _ENV */
    }
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)&loading);
    lua_rawset(L, lua_upvalueindex(LOADED));
    lua_pushvalue(L, ours ? lua_upvalueindex(PRIMITIVES) : 1);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_pushboolean(L, 1);
        lua_replace(L, -2);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(LOADED));
    return 1;
}

void kd_library_push(lua_State *L, const char *name) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &library_require);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
}

/* Runs the sandbox's Lua half and makes both requires of what it returns, the library's globals. */
static void open_require(lua_State *L) {
    KdHost *h = kd_host(L);
    lua_newtable(L); /* what was loaded */
    lua_newtable(L);
    kd_tensor_open(L);
    kd_movement_open(L);
    kd_network_open(L);
    kd_checks_open(L);
    kd_seal_open(L);
    kd_paths_open(L);
    const char *path = kd_arena_format(h->arena, "%s/kd/sandbox.lua", h->library);
    if (!kd_host_load(h, path, "=kd/sandbox.lua")) lua_error(L);
    lua_call(L, 0, 1);
    int globals = lua_gettop(L);
    for (int library = 0; library < 2; library++) {
        lua_pushvalue(L, globals - 2);
        lua_pushvalue(L, globals - 1);
        lua_pushvalue(L, globals);
        lua_pushboolean(L, library);
        lua_pushcclosure(L, require, 4);
        if (!library) {
            lua_setglobal(L, "require");
            continue;
        }
        lua_pushvalue(L, -1);
        lua_setfield(L, globals, "require");
        lua_rawsetp(L, LUA_REGISTRYINDEX, &library_require);
    }
}

/* --- the state ------------------------------------------------------------------------------- */

static void drop(lua_State *L, const char *table, const char *const *names) {
    if (table)
        lua_getglobal(L, table);
    else
        lua_pushglobaltable(L);
    for (; *names; names++) {
        lua_pushnil(L);
        lua_setfield(L, -2, *names);
    }
    lua_pop(L, 1);
}

/* Fills the state; run under pcall, since anything here may run out of memory. */
static int open_libraries(lua_State *L) {
    static const luaL_Reg libraries[] = { { LUA_GNAME, luaopen_base },
                                          { LUA_TABLIBNAME, luaopen_table },
                                          { LUA_STRLIBNAME, luaopen_string },
                                          { LUA_MATHLIBNAME, luaopen_math } };
    static const char *const base[] = { "load",  "loadfile",       "dofile", "loadstring",
                                        "print", "collectgarbage", "warn",   NULL };
    static const char *const strings[] = { "dump", "find", "match", "gmatch", "gsub", NULL };
    static const char *const maths[] = { "random", "randomseed", NULL };
    static const char *const tables[] = { "move", NULL };
    for (size_t k = 0; k < sizeof libraries / sizeof *libraries; k++) {
        luaL_requiref(L, libraries[k].name, libraries[k].func, 1);
        lua_pop(L, 1);
    }
    drop(L, NULL, base);
    drop(L, LUA_STRLIBNAME, strings);
    drop(L, LUA_MATHLIBNAME, maths);
    drop(L, LUA_TABLIBNAME, tables);
    open_require(L);
    return 0;
}

lua_State *kd_sandbox_create(KdHost *h) {
    h->library = kd_library_folder(h->arena);
    h->started = clock();
    lua_State *L = lua_newstate(allocate, h);
    if (!L) return NULL;
    h->L = L;
    memcpy(lua_getextraspace(L), &h, sizeof(KdHost *));
    lua_sethook(L, watch, LUA_MASKCOUNT, HOOK_EVERY);
    lua_pushcfunction(L, kd_host_handler);
    lua_pushcfunction(L, open_libraries);
    if (!h->library || lua_pcall(L, 0, 0, 1) != LUA_OK) {
        if (!h->library) kd_error(h->d, (KdLoc){ h->script.path, 0 }, "the kd library is missing");
        lua_close(L);
        return NULL;
    }
    lua_settop(L, 0);
    return L;
}
