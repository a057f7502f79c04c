/* The user's cache folder, by the XDG base directory rules. */
#include "frontend/driver/cache.h"

#include <stdlib.h>

const char *kd_cache_folder(const char *what, KdArena *a) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache) return kd_arena_format(a, "%s/kdc/%s", cache, what);
    return home && *home ? kd_arena_format(a, "%s/.cache/kdc/%s", home, what) : NULL;
}
