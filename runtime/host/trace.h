/*
 * Times of generated kernels. Code compiled for it calls kdrt_trace_parallel in place of
 * kdrt_parallel for every kernel; other code pays nothing and knows nothing of this.
 */
#ifndef KDRT_HOST_TRACE_H
#define KDRT_HOST_TRACE_H

#include "runtime/kdrt.h"

/* What one worker did of one call of a kernel. */
typedef struct KdrtSpan {
    KdrtTask *run;
    int32_t worker, rows; /* rows: n of the call */
    float share;          /* of the call's tasks */
    double start, end;    /* seconds of kdrt_seconds() */
} KdrtSpan;

/* All calls of a kernel. */
typedef struct KdrtTimes {
    KdrtTask *run;
    int64_t calls;
    double seconds, least; /* in sum; of the quickest call */
    double rows;           /* in sum */
} KdrtTimes;

/* Kernels in the order of their first call; the first max_spans spans, and how many there were. */
typedef struct KdrtTrace {
    int nkernels, kernel_room;
    KdrtTimes *kernel;
    int64_t nspans, max_spans, seen_spans;
    KdrtSpan *span;
    int threads;
    struct KdrtTraceWorker *worker;
} KdrtTrace;

/* For code that runs on `threads` workers; NULL without memory. */
KdrtTrace *kdrt_trace_create(int threads, int64_t max_spans);
void kdrt_trace_destroy(KdrtTrace *t);
void kdrt_trace_reset(KdrtTrace *t); /* forgets all kernels and spans */

/* kdrt_parallel, noted in frame->trace (which may be NULL). One region at a time. */
void kdrt_trace_parallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks);

/* The times of that kernel, or NULL when it was never called. */
const KdrtTimes *kdrt_trace_times(const KdrtTrace *t, KdrtTask *run);

#endif
