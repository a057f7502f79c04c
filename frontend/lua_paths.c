/*
 * Files that a script names. They lie below the script's folder, links followed, unless the user
 * names another folder; and only regular files are opened, for a pipe could keep us waiting for
 * ever. Nothing is read here, and what is missing is left to whoever reads it.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "frontend/host.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool kd_host_below(const KdHost *h, const char *path) {
    char folder[PATH_MAX], file[PATH_MAX];
    if (!realpath(*h->folder ? h->folder : ".", folder) || !realpath(path, file)) return false;
    size_t n = strlen(folder);
    return strncmp(file, folder, n) == 0 && (file[n] == '/' || folder[n - 1] == '/');
}

const char *kd_host_file_fault(const KdHost *h, const char *path, bool anywhere) {
    struct stat s;
    if (stat(path, &s) != 0) return NULL;
    if (!S_ISREG(s.st_mode)) return "is not a regular file";
    return anywhere || kd_host_below(h, path) ? NULL : "is a link out of the script's folder";
}

static int core_path(lua_State *L) { /* (path): relative to the script's folder */
    const char *path = luaL_checkstring(L, 1);
    if (*path == '/')
        lua_pushstring(L, path);
    else
        lua_pushfstring(L, "%s%s", kd_host(L)->folder, path);
    return 1;
}

/* (path, or several with commas between them): does it stay below where it is relative to? */
static int core_inside(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    bool inside = *path && *path != '/';
    for (const char *part = path; inside && part; part = strpbrk(part, "/,")) {
        part += *part == '/' || *part == ',';
        inside = strncmp(part, "..", 2) != 0 || (part[2] && part[2] != '/' && part[2] != ',');
    }
    lua_pushboolean(L, inside);
    return 1;
}

static int core_file_fault(lua_State *L) { /* (path): what is wrong with that file, or nil */
    lua_pushstring(L, kd_host_file_fault(kd_host(L), luaL_checkstring(L, 1), false));
    return 1;
}

void kd_paths_open(lua_State *L) {
    static const luaL_Reg primitives[] = { { "path", core_path },
                                           { "inside", core_inside },
                                           { "file_fault", core_file_fault },
                                           { NULL, NULL } };
    luaL_setfuncs(L, primitives, 0);
}
