/*
 * From Lua errors to diagnostics. An error of ours is said at once, with all that is known, and
 * then unwinds as a mark that needs no more words; whatever else Lua raises is said by the message
 * handler, while the stack still shows the calls that led there.
 *
 * Chunks of the user have "@path" as their source and chunks of the library "=kd/…", so the
 * innermost line of the user's is found by walking the stack.
 */
#include "frontend/host.h"

#include <stdlib.h>
#include <string.h>

#define LEVELS 200 /* of the stack that are looked at; each costs a walk from the innermost one */

#define MOST_ERRORS 20 /* said; a script that catches them does not get on behind so many */

static const char said_mark; /* its address is the error value of what was said already */

void kd_list_add(KdArena *a, KdList *l, void *item) {
    if (l->n == l->room) {
        int room = l->room ? 2 * l->room : 8;
        void **items = KD_NEW_ARRAY(a, void *, room);
        if (l->n) memcpy(items, l->item, (size_t)l->n * sizeof *items);
        l->item = items;
        l->room = room;
    }
    l->item[l->n++] = item;
}

const char *kd_host_intern(KdHost *h, const char *file) {
    for (int k = 0; k < h->files.n; k++)
        if (strcmp(h->files.item[k], file) == 0) return h->files.item[k];
    char *copy = kd_arena_string(h->arena, file);
    kd_list_add(h->arena, &h->files, copy);
    return copy;
}

KdLoc kd_host_where(lua_State *L) {
    KdHost *h = kd_host(L);
    lua_Debug ar;
    for (int level = 0; level < LEVELS && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && ar.source[0] == '@')
            return (KdLoc){ kd_host_intern(h, ar.source + 1), ar.currentline };
    }
    return h->trace ? h->trace->loc : (KdLoc){ h->script.path, 0 };
}

static void unwind_on(lua_State *L, lua_Debug *ar) {
    (void)ar;
    kd_host_unwind(L);
}

void kd_host_unwind(lua_State *L) {
    if (kd_host(L)->d->errors >= MOST_ERRORS) lua_sethook(L, unwind_on, LUA_MASKCOUNT, 1);
    lua_pushlightuserdata(L, (void *)&said_mark);
    lua_error(L);
    abort(); /* not reached: lua_error never returns */
}

void kd_host_fail_at(lua_State *L, KdLoc loc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    kd_verror(kd_host(L)->d, loc, format, args);
    va_end(args);
    kd_host_unwind(L);
}

void kd_host_fail(lua_State *L, const char *format, ...) {
    va_list args;
    va_start(args, format);
    kd_verror(kd_host(L)->d, kd_host_where(L), format, args);
    va_end(args);
    kd_host_unwind(L);
}

/* The message without the "file:line: " that an error at that place has in front. */
static const char *without_place(const char *message, const lua_Debug *ar) {
    char place[LUA_IDSIZE + 24];
    int n = snprintf(place, sizeof place, "%s:%d: ", ar->short_src, ar->currentline);
    return strncmp(message, place, (size_t)n) == 0 ? message + n : message;
}

/* One note per call of the user's that is open, innermost first. */
static void note_calls(lua_State *L, KdHost *h) {
    lua_Debug ar;
    int shown = 0;
    for (int level = 0; level < LEVELS && shown < 12 && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sln", &ar);
        if (ar.currentline <= 0 || ar.source[0] != '@') continue;
        KdLoc loc = { kd_host_intern(h, ar.source + 1), ar.currentline };
        if (strcmp(ar.what, "main") == 0)
            kd_note(h->d, loc, "in the main chunk");
        else if (ar.name)
            kd_note(h->d, loc, "in function '%s'", ar.name);
        else
            kd_note(h->d, loc, "in the function defined at line %d", ar.linedefined);
        shown++;
    }
}

/* What is not in the sandbox, and what a script does instead. */
static const struct {
    const char *name, *instead;
} absent[] = {
    { "print", "kd.print(x) shows a tensor as the code runs, error(text) stops with a text" },
    { "random", "kd.init, kd.dropout and kd.noise draw numbers, by the run's seed" },
    { "randomseed", "a run has its 'seed'" },
    { "io", "kd.data and kd.load name files" },
    { "os", "kd.param is a number from the command line" },
    { "load", "require loads a file beside the script" },
    { "loadfile", "require loads a file beside the script" },
    { "dofile", "require loads a file beside the script" },
    { "find", "no patterns; string.sub and string.byte look into a string" },
    { "match", "no patterns; string.sub and string.byte look into a string" },
    { "gmatch", "no patterns; string.sub and string.byte look into a string" },
    { "gsub", "no patterns; string.sub and string.byte look into a string" },
};

/* The message; where a script used what is not there, with what is. */
static const char *with_instead(KdHost *h, const char *message) {
    static const char undefined[] = "there is no '";
    const char *at = strncmp(message, undefined, strlen(undefined)) == 0
                         ? message
                         : strstr(message, " a nil value (");
    const char *name = at ? strchr(at, '\'') : NULL;
    for (size_t k = 0; name && k < sizeof absent / sizeof *absent; k++) {
        size_t n = strlen(absent[k].name);
        const char *end = name + 1 + n;
        if (strncmp(name + 1, absent[k].name, n) == 0 && (!strcmp(end, "'") || !strcmp(end, "')")))
            return kd_arena_format(h->arena, "%s: it is not in the sandbox; %s", message,
                                   absent[k].instead);
    }
    return message;
}

int kd_host_handler(lua_State *L) {
    KdHost *h = kd_host(L);
    if (lua_islightuserdata(L, 1) && lua_touserdata(L, 1) == (const void *)&said_mark) return 1;
    const char *message = lua_tostring(L, 1);
    if (!message) message = luaL_tolstring(L, 1, NULL);
    lua_Debug ar;
    bool ours = true; /* errors have the innermost line; the library's, the user's innermost */
    for (int level = 0; ours && level < LEVELS && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline <= 0) continue;
        message = without_place(message, &ar);
        ours = ar.source[0] != '@';
    }
    kd_error(h->d, kd_host_where(L), "%s", with_instead(h, message));
    note_calls(L, h);
    lua_pushlightuserdata(L, (void *)&said_mark);
    return 1;
}

void kd_host_report(KdHost *h, const char *message) {
    const char *rest = NULL;
    int line = 0;
    for (const char *p = strchr(message, ':'); p && !rest; p = strchr(p + 1, ':')) {
        char *end;
        long n = strtol(p + 1, &end, 10);
        if (end > p + 1 && strncmp(end, ": ", 2) == 0) {
            line = (int)n;
            rest = end + 2;
        }
    }
    kd_error(h->d, (KdLoc){ h->script.path, line }, "%s", rest ? rest : message);
}
