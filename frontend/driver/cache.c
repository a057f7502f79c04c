/* The user's cache folder, by the XDG base directory rules. */
#include "frontend/driver/cache.h"

#include "runtime/host/atomic_file.h"

#include <stdlib.h>
#include <string.h>

#define STALE 3600 /* seconds after which a half-written file has no writer */

const char *kd_cache_folder(const char *what, KdArena *a) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache) return kd_arena_format(a, "%s/kdc/%s", cache, what);
    return home && *home ? kd_arena_format(a, "%s/.cache/kdc/%s", home, what) : NULL;
}

bool kd_cache_make_room(const char *path, KdArena *a) {
    KdrtError error;
    char *folder = kd_arena_string(a, path);
    *strrchr(folder, '/') = '\0';
    if (!kdrt_make_folders(folder, &error)) return false;
    kdrt_remove_halves(folder, STALE);
    return true;
}
