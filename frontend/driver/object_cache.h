/*
 * Machine code is remembered in the user's cache folder: what was compiled once starts at once.
 */
#ifndef KD_FRONTEND_DRIVER_OBJECT_CACHE_H
#define KD_FRONTEND_DRIVER_OBJECT_CACHE_H

#include "frontend/driver/session.h"

/* c->object of c->m, as kd_compile makes it; or, with c->recalled, what that made of the same
 * arguments before. New objects are kept, and the ones unused for longest make room for them. False
 * after an error. */
bool kd_compile_cached(KdCompiled *c, int n, const KdEntry *entries, const KdBackendOptions *o,
                       KdDiag *d);

#endif
