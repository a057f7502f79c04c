/*
 * From a file to runs: the script is run in its sandbox, the kd library turns what it returns into
 * an array of plain descriptions, and lower.c builds each run's module from one of them. All of it
 * happens under pcall; everything that outlives the state lies in the script's arena.
 */
#include "frontend/host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_LIMIT ((size_t)4 << 30) /* bytes */

static size_t newest_module(const KdHost *h) {
    const KdModule *m = h->modules.n ? h->modules.item[h->modules.n - 1] : NULL;
    return m ? kd_arena_used(m->arena) : 0;
}

void kd_host_room(lua_State *L) {
    const KdHost *h = kd_host(L);
    if (h->traced + newest_module(h) + kd_arena_used(h->arena) > TRACE_LIMIT)
        kd_host_fail(L, "the script's networks and runs, %d of them, need more than %d GiB as IR",
                     h->modules.n, (int)(TRACE_LIMIT >> 30));
}

KdModule *kd_host_module(lua_State *L) {
    KdHost *h = kd_host(L);
    kd_host_room(L);
    h->traced += newest_module(h);
    h->ops = 0;
    KdModule *m = kd_module_create(h->script.path);
    m->source = h->script.path; /* the very string that locations name */
    kd_list_add(h->arena, &h->modules, m);
    return m;
}

/* --- --set ----------------------------------------------------------------------------------- */

static bool read_sets(KdHost *h) {
    h->sets = KD_NEW_ARRAY(h->arena, KdParamSet, h->o->nsets + 1);
    for (int k = 0; k < h->o->nsets; k++) {
        const char *text = h->o->sets[k], *equals = strchr(text, '=');
        char *end = NULL;
        if (equals) h->sets[k].value = strtod(equals + 1, &end);
        if (!equals || equals == text || end == equals + 1 || *end)
            return kd_error(h->d, (KdLoc){ 0 }, "--set %s: NAME=NUMBER is expected", text);
        if (!isfinite(h->sets[k].value))
            return kd_error(h->d, (KdLoc){ 0 }, "--set %s: a finite number is expected", text);
        char *name = kd_arena_string(h->arena, text);
        name[equals - text] = 0;
        h->sets[k].name = name;
    }
    return true;
}

static bool check_sets(KdHost *h) {
    bool good = true;
    for (int k = 0; k < h->o->nsets; k++) {
        if (h->sets[k].used) continue;
        const char *name = h->sets[k].name;
        const char *near = kd_nearest(name, (const char *const *)h->known.item, h->known.n);
        if (near)
            good = kd_error(h->d, (KdLoc){ h->script.path, 0 },
                            "--set %s: the script has no parameter of this name; did you mean "
                            "'%s'?",
                            name, near);
        else
            good = kd_error(h->d, (KdLoc){ h->script.path, 0 },
                            "--set %s: the script has no parameter of this name", name);
    }
    return good;
}

/* --- running -----------------------------------------------------------------------------------
 */

static void push_option(lua_State *L, const char *key, int64_t value) {
    if (value < 0) return;
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

/* Loads the file, runs it, describes its result and lowers that. */
static int run_script(lua_State *L) {
    KdHost *h = kd_host(L);
    lua_settop(L, 0);
    const char *chunk = kd_arena_format(h->arena, "@%s", h->script.path);
    if (!kd_host_load(h, h->script.path, chunk)) {
        kd_host_report(h, lua_tostring(L, -1));
        kd_host_unwind(L);
    }
    lua_call(L, 0, 1);
    kd_library_push(L, "kd.run");
    lua_getfield(L, -1, "describe");
    lua_pushvalue(L, 1);
    lua_newtable(L);
    push_option(L, "epochs", h->o->epochs);
    push_option(L, "batch", h->o->batch);
    push_option(L, "seed", h->o->seed);
    push_option(L, "limit", h->o->limit);
    lua_call(L, 2, 1);
    lua_replace(L, 1);
    lua_settop(L, 1);
    return kd_lower_runs(L);
}

static const char *base_name(KdArena *a, const char *path) {
    const char *slash = strrchr(path, '/');
    char *name = kd_arena_string(a, slash ? slash + 1 : path);
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, ".lua") == 0) name[n - 4] = 0;
    return name;
}

static bool run_protected(KdHost *h) {
    lua_State *L = kd_sandbox_create(h);
    if (!L) {
        if (h->d->errors == 0) kd_error(h->d, (KdLoc){ h->script.path, 0 }, "no memory for Lua");
        return false;
    }
    lua_pushcfunction(L, kd_host_handler);
    lua_pushcfunction(L, run_script);
    int status = lua_pcall(L, 0, 0, 1);
    if (status == LUA_ERRMEM)
        kd_error(h->d, (KdLoc){ h->script.path, 0 },
                 h->starved
                     ? "no memory for Lua"
                     : "the script needs more memory than a script may use (512 MiB at a time)");
    else if (status != LUA_OK && h->d->errors == 0)
        kd_host_report(h, lua_isstring(L, -1) ? lua_tostring(L, -1) : "error in error handling");
    lua_close(L);
    h->L = NULL;
    return status == LUA_OK;
}

KdScript *kd_script_load(const char *path, const KdScriptOptions *o, KdDiag *d) {
    static const KdScriptOptions none = { .epochs = -1, .batch = -1, .seed = -1, .limit = -1 };
    KdArena *a = kd_arena_create();
    KdHost *h = KD_NEW(a, KdHost);
    h->arena = h->script.arena = a;
    h->d = d;
    h->o = o ? o : &none;
    h->script.path = kd_host_intern(h, path);
    h->script.name = base_name(a, path);
    h->script.hash = 0xcbf29ce484222325u; /* FNV's offset basis */
    const char *slash = strrchr(path, '/');
    h->folder = slash ? kd_arena_format(a, "%.*s", (int)(slash - path + 1), path) : "";
    int before = d->errors;
    bool good = read_sets(h) && run_protected(h) && check_sets(h);
    h->script.nnetworks = h->networks.n;
    h->script.networks = (KdNetwork **)h->networks.item;
    if (good && d->errors == before) return &h->script;
    kd_script_destroy(&h->script);
    return NULL;
}

void kd_script_destroy(KdScript *s) {
    if (!s) return;
    KdHost *h = (KdHost *)s;
    for (int k = 0; k < h->modules.n; k++) kd_module_destroy(h->modules.item[k]);
    kd_arena_destroy(h->arena);
}

const KdNetwork *kd_script_network(const KdScript *s, const char *name) {
    for (int k = 0; k < s->nnetworks; k++)
        if (strcmp(s->networks[k]->name, name) == 0) return s->networks[k];
    return NULL;
}

KdRun *kd_script_run(const KdScript *s, const char *name) {
    for (int k = 0; k < s->nruns; k++)
        if (strcmp(s->runs[k]->name, name) == 0) return s->runs[k];
    return NULL;
}

/* Of each run: does `run` need it? Teachers stand before those whom they teach. */
static const bool *needed_by(const KdScript *s, const KdRun *run) {
    bool *needed = KD_NEW_ARRAY(s->arena, bool, s->nruns);
    for (int k = s->nruns - 1; k >= 0; k--) {
        if (s->runs[k] == run) needed[k] = true;
        for (int t = 0; needed[k] && t < s->runs[k]->nteachers; t++)
            for (int j = 0; j < k; j++)
                if (s->runs[j] == s->runs[k]->teachers[t]) needed[j] = true;
    }
    return needed;
}

void kd_script_narrow(KdScript *s, KdRun *run) {
    const bool *needed = needed_by(s, run);
    int kept = 0;
    for (int k = 0; k < s->nnetworks; k++) {
        int r = 0;
        while (r < s->nruns &&
               !(needed[r] && strcmp(s->runs[r]->network, s->networks[k]->name) == 0))
            r++;
        if (r < s->nruns) s->networks[kept++] = s->networks[k];
    }
    s->nnetworks = kept;
    s->nlisted = 1;
    s->listed[0] = run;
    s->study = NULL; /* a run alone compares nothing */
}

KdRun *kd_script_choose(const KdScript *s, const char *name, KdDiag *d) {
    if (!name && s->nlisted == 1) return s->listed[0];
    KdRun *run = name ? kd_script_run(s, name) : NULL;
    if (run) return run;
    KdArena *a = kd_arena_create();
    const char **names = KD_NEW_ARRAY(a, const char *, s->nruns), *list = "";
    for (int k = 0; k < s->nruns; k++) {
        names[k] = s->runs[k]->name;
        list = kd_arena_format(a, "%s%s%s", list, k ? ", " : "", names[k]);
    }
    const char *near = name ? kd_nearest(name, names, s->nruns) : NULL;
    if (!name) {
        kd_error(d, (KdLoc){ s->path, 0 }, "several runs: name one with --run: %s", list);
    } else if (near) {
        kd_error(d, (KdLoc){ s->path, 0 }, "no run '%s'; did you mean '%s'?", name, near);
    } else {
        kd_error(d, (KdLoc){ s->path, 0 }, "no run '%s', only %s", name, list);
    }
    kd_arena_destroy(a);
    return NULL;
}
