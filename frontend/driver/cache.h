/* Where kdc remembers things between invocations. */
#ifndef KD_FRONTEND_DRIVER_CACHE_H
#define KD_FRONTEND_DRIVER_CACHE_H

#include "ir/arena.h"

#include <stdbool.h>

/* $XDG_CACHE_HOME/kdc/<what>, or ~/.cache/kdc/<what>; NULL when neither is known. Not made yet. */
const char *kd_cache_folder(const char *what, KdArena *a);
/* Before a file is written below it: makes the folder, and removes what killed writers left there
 * half-written. False where that cannot be: then nothing is remembered. */
bool kd_cache_make_room(const char *path, KdArena *a);

#endif
