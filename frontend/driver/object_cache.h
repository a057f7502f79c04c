/*
 * Machine code is remembered in the user's cache folder: what was compiled once starts at once.
 */
#ifndef KD_FRONTEND_DRIVER_OBJECT_CACHE_H
#define KD_FRONTEND_DRIVER_OBJECT_CACHE_H

#include "backend/backend.h"

/* The object that kd_compile would make of the same arguments, when it was kept; else NULL. */
KdObject *kd_object_recall(const KdModule *m, int n, const KdEntry *entries,
                           const KdBackendOptions *o);
/* Keeps it, and drops the ones that have not been used for longest where there are too many. A
 * folder that cannot be written costs another compilation, no more. */
void kd_object_keep(const KdObject *object, const KdModule *m, int n, const KdEntry *entries,
                    const KdBackendOptions *o);

#endif
