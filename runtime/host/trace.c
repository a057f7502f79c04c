/*
 * A traced region is a frame within a larger one: the pool hands it on to timed_task, which finds
 * the real frame and kernel behind it. Workers write to their own places only; the caller gathers
 * them when the region is over.
 */
#include "runtime/host/trace.h"

#include "runtime/host/progress.h"

#include <stdlib.h>

typedef struct KdrtTraceWorker {
    _Alignas(KDRT_ALIGN) double start,
        end; /* of its first and last task; a cache line of its own */
    int32_t tasks;
} KdrtTraceWorker;

typedef struct Region {
    KdrtFrame frame; /* first, so that the pool's pointer is one to the region */
    const KdrtFrame *real;
    KdrtTask *run;
    KdrtTraceWorker *worker;
} Region;

KdrtTrace *kdrt_trace_create(int threads, int64_t max_spans) {
    KdrtTrace *t = kdrt_alloc(sizeof *t);
    if (!t) return NULL;
    t->threads = threads;
    t->max_spans = max_spans;
    t->span = kdrt_alloc((size_t)max_spans * sizeof *t->span);
    t->worker = kdrt_alloc((size_t)threads * sizeof *t->worker);
    if (t->span && t->worker) return t;
    kdrt_trace_destroy(t);
    return NULL;
}

void kdrt_trace_destroy(KdrtTrace *t) {
    if (!t) return;
    kdrt_free(t->kernel);
    kdrt_free(t->span);
    kdrt_free(t->worker);
    kdrt_free(t);
}

void kdrt_trace_reset(KdrtTrace *t) {
    t->nkernels = 0;
    t->nspans = t->seen_spans = 0;
}

const KdrtTimes *kdrt_trace_times(const KdrtTrace *t, KdrtTask *run) {
    for (int k = 0; k < t->nkernels; k++)
        if (t->kernel[k].run == run) return &t->kernel[k];
    return NULL;
}

/* Its place, a new one for a kernel not seen before; NULL without memory. */
static KdrtTimes *times_of(KdrtTrace *t, KdrtTask *run) {
    KdrtTimes *known = (KdrtTimes *)kdrt_trace_times(t, run);
    if (known) return known;
    if (t->nkernels == t->kernel_room) {
        size_t size = (size_t)t->kernel_room * sizeof *t->kernel;
        t->kernel_room = t->kernel_room ? 2 * t->kernel_room : 64;
        t->kernel = kdrt_grow(t->kernel, size, (size_t)t->kernel_room * sizeof *t->kernel);
        if (!t->kernel) t->nkernels = t->kernel_room = 0;
        if (!t->kernel) return NULL;
    }
    t->kernel[t->nkernels] = (KdrtTimes){ .run = run };
    return &t->kernel[t->nkernels++];
}

static void timed_task(const KdrtFrame *frame, int32_t task, int32_t worker) {
    const Region *r = (const Region *)frame;
    KdrtTraceWorker *w = &r->worker[worker];
    if (w->tasks++ == 0) w->start = kdrt_seconds();
    r->run(r->real, task, worker);
    w->end = kdrt_seconds();
}

static void note(KdrtTrace *t, const Region *r, int32_t ntasks, double seconds) {
    KdrtTimes *times = times_of(t, r->run);
    if (times) {
        times->least = times->calls && times->least < seconds ? times->least : seconds;
        times->seconds += seconds;
        times->rows += r->real->n;
        times->calls++;
    }
    for (int k = 0; k < t->threads; k++) {
        KdrtTraceWorker *w = &t->worker[k];
        if (w->tasks == 0) continue;
        if (t->nspans < t->max_spans)
            t->span[t->nspans++] = (KdrtSpan){ .run = r->run,
                                               .worker = k,
                                               .rows = r->real->n,
                                               .share = (float)w->tasks / (float)ntasks,
                                               .start = w->start,
                                               .end = w->end };
        t->seen_spans++;
        w->tasks = 0;
    }
}

void kdrt_trace_parallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks) {
    KdrtTrace *t = frame->trace;
    if (!t) {
        kdrt_parallel(frame, run, ntasks);
        return;
    }
    Region r = { .frame = *frame, .real = frame, .run = run, .worker = t->worker };
    double start = kdrt_seconds();
    kdrt_parallel(&r.frame, timed_task, ntasks);
    note(t, &r, ntasks, kdrt_seconds() - start);
}
