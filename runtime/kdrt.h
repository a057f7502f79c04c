/*
 * libkdrt: what generated code and its callers share. libc and pthreads only; it ships beside
 * object files, cross-compiled. Every function returns 0 or a KdrtStatus where it can fail; none
 * prints or exits.
 */
#ifndef KDRT_H
#define KDRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KDRT_ALIGN 64  /* bytes: arenas, slabs, data sets, scratch */
#define KDRT_SLACK 256 /* readable bytes behind every buffer that generated code may load from */

typedef enum KdrtStatus {
    KDRT_OK = 0,
    KDRT_BAD_ARGUMENT = 1,    /* a null pointer, or a number out of range */
    KDRT_MISALIGNED = 2,      /* memory that must be KDRT_ALIGN-aligned and is not */
    KDRT_UNSUPPORTED_CPU = 3, /* it lacks what the code needs */
    KDRT_STOPPED = 4,         /* the progress callback asked for it; the step was finished */
    KDRT_NOT_FINITE = 5,  /* the loss of a step (or a gradient, where that is looked for) is NaN or
                             infinite; no weight was updated */
    KDRT_BAD_STATE = 6,   /* memory that the network's init did not fill */
    KDRT_BAD_WEIGHTS = 7, /* bytes that are not the network's weights as safetensors */
    KDRT_NO_MEMORY = 8,
    KDRT_NO_THREADS = 9,
    KDRT_OTHER_VERSION = 10 /* the object was made for another libkdrt */
} KdrtStatus;

typedef struct KdrtPool KdrtPool;

/* `threads` workers including the caller (>= 1). */
KdrtStatus kdrt_pool_create(int threads, KdrtPool **result);
void kdrt_pool_destroy(KdrtPool *pool);
int kdrt_pool_threads(const KdrtPool *pool);

/* In structs that generated code reads a pointer has 8 bytes to itself, so that members lie where
 * they lie on the compiler's machine on every machine. */
#ifdef __cplusplus
#define KDRT_SLOT alignas(8)
#elif __STDC_VERSION__ >= 201112L
#define KDRT_SLOT _Alignas(8)
#else
#define KDRT_SLOT __attribute__((aligned(8))) /* C99 has no word for it */
#endif

/* What one call of a generated function works on. */
typedef struct KdrtFrame {
    KDRT_SLOT void *const *args;      /* one pointer per argument, in order; scalars too */
    KDRT_SLOT void *const *results;   /* one per result; unused where it takes over an argument's
                                         memory */
    KDRT_SLOT unsigned char *arena;   /* the function's planned bytes, KDRT_ALIGN-aligned */
    KDRT_SLOT unsigned char *scratch; /* per worker: scratch + worker * scratch_stride */
    uint64_t scratch_stride;      /* multiple of KDRT_ALIGN, at least what the compiler asked for */
    KDRT_SLOT const float *hyper; /* hyperparameters in module order */
    uint64_t seed;                /* key of the random numbers */
    KDRT_SLOT KdrtPool *pool;     /* NULL: everything on the calling thread */
    KDRT_SLOT int32_t n;          /* rows in this batch */
    KDRT_SLOT struct KdrtTrace *trace; /* what code compiled to be timed notes its times in */
} KdrtFrame;

/* Generated: `int32_t NAME(const KdrtFrame *)`, KDRT_OK or KDRT_NOT_FINITE. */
typedef int32_t KdrtFunction(const KdrtFrame *frame);
/* Generated: one piece of a kernel. */
typedef void KdrtTask(const KdrtFrame *frame, int32_t task, int32_t worker);

/* Runs tasks 0 … ntasks-1 of `run`, each once, on the frame's pool; returns when all are done.
 * Which worker takes which task is open, so a task's result must not depend on it. Regions that a
 * task runs on the same pool stay on its thread, and worker. */
void kdrt_parallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks);

/* `print` ops: count elements of dtype (0 f32, 1 i32, 2 u8, 3 bool), `shape` for the heading. */
void kdrt_print(const char *label, const char *shape, int32_t dtype, const void *data,
                int64_t count);

/* One epoch, run by the generated loop `int32_t NAME_epoch(KdrtEpoch *)` around a step function. */
typedef struct KdrtEpoch KdrtEpoch;
struct KdrtEpoch {
    KdrtFrame frame;       /* args of the step; the loop sets n, index, epoch and step itself */
    KDRT_SLOT void **args; /* frame.args, writable */
    KDRT_SLOT const int32_t *order; /* the epoch's permutation of rows; KDRT_SLACK behind it */
    int64_t samples;                /* length of order */
    int64_t done; /* samples already used in this epoch (a resume); moved on by the loop */
    int32_t batch;
    int32_t epoch;          /* number of this epoch, from 0 */
    int32_t step;           /* steps since training began; moved on by the loop */
    int32_t progress_every; /* steps between calls of progress, which may change it */
    double loss_sum;        /* sum over samples of the loss so far */
    float loss;             /* of the last step */
    /* Non-zero stops after the step. May be NULL. */
    KDRT_SLOT int32_t (*progress)(void *user, KdrtEpoch *now);
    KDRT_SLOT void *user;
};
typedef int32_t KdrtEpochFunction(KdrtEpoch *epoch);

/* Philox 4x32-10; the maps to floats are in runtime/README.md. */
void kdrt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
float kdrt_uniform(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch,
                   uint32_t stream);
float kdrt_normal(uint64_t seed, uint32_t element, uint32_t index, uint32_t epoch, uint32_t stream);
uint32_t kdrt_stream(const char *name);
/* order[0 … n-1] becomes the permutation of 0 … n-1 for that seed and epoch (Fisher–Yates). */
void kdrt_shuffle(int32_t *order, int64_t n, uint64_t seed, uint32_t epoch);
/* Each order[i] of 0 … n-1 becomes the one of 0 … n-1 that seed drew for it: whatever the order, a
 * permutation turns into the same n draws with repetition. */
void kdrt_resample(int32_t *order, int64_t n, uint64_t seed);

/* KDRT_ALIGN-aligned zeroed memory with KDRT_SLACK behind it; NULL when there is none. */
void *kdrt_alloc(size_t bytes);
/* The same, for memory of which some is never touched: a large block's pages are taken when they
 * are. */
void *kdrt_reserve(size_t bytes);
/* Memory of kdrt_alloc with `old` bytes, made larger; what is new is zeroed. NULL, and the old
 * memory freed, when there is none. */
void *kdrt_grow(void *memory, size_t old, size_t bytes);
void kdrt_free(void *memory);

/* The first largest logit of a row; NaN never wins. */
int kdrt_argmax(const float *row, int classes);

/* The first bytes of the memory in which a shipped network is trained (its header says how much,
 * and what lies behind). All of it may be written to a file and read back: training goes on to the
 * same bits. */
typedef struct KdrtState {
    uint64_t check; /* which network, and which layout */
    uint64_t seed;  /* key of all random numbers */
    int64_t done;   /* rows used in an epoch that was stopped, */
    double sum;     /* and their losses added up */
    int32_t epoch;  /* epochs finished; who calls step counts them himself */
    int32_t step;   /* steps done */
    float loss;     /* of the last step */
    int32_t unused[5];
} KdrtState;

#ifdef __cplusplus
}
#endif

#endif
