/* A program on libkdrt alone: random numbers drawn by the tasks of a pool of three. */
#include <kdrt.h>

#include <stdio.h>

#define TASKS 100

static float drawn[TASKS];

static void draw(const KdrtFrame *frame, int32_t task, int32_t worker) {
    (void)worker;
    drawn[task] = kdrt_uniform(frame->seed, (uint32_t)task, 0, 0, kdrt_stream("test"));
}

int main(void) {
    KdrtPool *pool;
    float sum = 0;
    if (kdrt_pool_create(3, &pool) != KDRT_OK) return 1;
    KdrtFrame frame = { .seed = 7, .pool = pool };
    kdrt_parallel(&frame, draw, TASKS);
    kdrt_pool_destroy(pool);
    for (int k = 0; k < TASKS; k++) sum += drawn[k];
    printf("%.6f\n", (double)sum);
    return 0;
}
