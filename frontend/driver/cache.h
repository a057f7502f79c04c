/* Where kdc remembers things between invocations. */
#ifndef KD_FRONTEND_DRIVER_CACHE_H
#define KD_FRONTEND_DRIVER_CACHE_H

#include "ir/arena.h"

/* $XDG_CACHE_HOME/kdc/<what>, or ~/.cache/kdc/<what>; NULL when neither is known. Not made yet. */
const char *kd_cache_folder(const char *what, KdArena *a);

#endif
