/* The user's cache folder, by the XDG base directory rules. */
#include "frontend/driver/cache.h"

#include "runtime/host/atomic_file.h"

#include <stdlib.h>

#define STALE 3600 /* seconds after which a half-written file has no writer */

static const char *find_folder(const char *what, KdArena *a) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache) return kd_arena_format(a, "%s/kdc/%s", cache, what);
    return home && *home ? kd_arena_format(a, "%s/.cache/kdc/%s", home, what) : NULL;
}

const char *kd_cache_folder(const char *what, KdArena *a) {
    const char *folder = find_folder(what, a);
    if (folder) kdrt_remove_halves(folder, STALE);
    return folder;
}
