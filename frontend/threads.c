/* The threads of a command. */
#include "frontend/commands.h"

#include <unistd.h>

static const KdLoc nowhere = { NULL, 0 };

KdrtPool *kd_threads_start(int64_t wanted, KdDiag *d) {
    KdrtPool *pool;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = wanted > 0 ? (int)wanted : cores > 0 ? (int)cores : 1;
    KdrtStatus status = kdrt_pool_create(threads, &pool);
    if (status == KDRT_NO_MEMORY)
        kd_error(d, nowhere, "no memory for %d threads", threads);
    else if (status != KDRT_OK)
        kd_error(d, nowhere, "cannot start %d threads", threads);
    return pool;
}
