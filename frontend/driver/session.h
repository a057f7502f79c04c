/*
 * What the driver's files share: a compiled run and the memory it works on.
 */
#ifndef KD_FRONTEND_DRIVER_SESSION_H
#define KD_FRONTEND_DRIVER_SESSION_H

#include "backend/backend.h"
#include "backend/tune.h"
#include "frontend/driver/driver.h"
#include "runtime/host/dataset.h"
#include "runtime/host/progress.h"
#include "runtime/host/trace.h"

/* --- binding: names to memory (bind.c) ----------------------------------------------------- */

#define KD_MAX_BINDINGS 64

/* Where the arguments of generated functions lie. Data arrays and slabs are bound by name, a
 * network's parameters by the slab that holds them all. */
typedef struct KdBindings {
    int n;
    struct {
        const char *name;
        void *memory;
    } entry[KD_MAX_BINDINGS];
    int32_t *index;
    int32_t *epoch, *step;
} KdBindings;

void kd_bind(KdBindings *b, const char *name, void *memory);
void *kd_bound(const KdBindings *b, const char *name); /* or NULL */

/* Pointers for f's arguments, in order. An argument nobody bound is a kd_bug. A parameter of
 * network w lies in the slab bound as "w.params". */
void **kd_bind_args(const KdBindings *b, const KdFunc *f, KdArena *a, KdDiag *d);

/* --- a compiled run (compile.c) ------------------------------------------------------------ */

typedef struct KdCompiled {
    const KdRun *run;
    const KdModule *m; /* after all passes */
    const char *text;  /* before any pass: what a hash or a diagnosis reads */
    const char *plan;  /* the contractions that a measurement gave to OpenBLAS, a line each */
    const char *how;   /* of the options and the plan, what may change bits */
    KdObject *object;
    bool recalled; /* the object was in the cache */
    KdJit *jit;
    const KdFunc *step, *evaluate, *teacher; /* teacher: NULL when nothing was hoisted */
    KdrtEpochFunction *run_epoch;
    KdrtFunction *run_evaluate, *run_teacher;
    int nsettings; /* hyperparameters before any pass; the first of: */
    float *hyper;
    unsigned char *arena; /* of @step, @evaluate and @teacher_logits, one at a time */
    size_t arena_bytes;
    unsigned char *scratch;
    size_t scratch_stride;
    KdrtPool *pool;
    KdrtTrace *trace; /* the engine's */
    double seconds;   /* passes and code generation */
} KdCompiled;

/* What runs are compiled for, and with: it outlives them. */
typedef struct KdEngine {
    KdrtPool *pool;
    KdTuning tuning;  /* with --gemm=auto: what was measured so far */
    KdrtTrace *trace; /* times kernels, or NULL: code runs as it ships */
} KdEngine;

/* Starts the threads, and what o->gemm needs. The arena outlives the engine. */
bool kd_engine_create(KdEngine *engine, const KdDriveOptions *o, KdArena *a, KdDiag *d);
void kd_engine_destroy(KdEngine *engine);

/* NULL after an error. */
KdCompiled *kd_compile_run(const KdRun *run, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                           KdDiag *d);
void kd_compiled_destroy(KdCompiled *c);

/* The code of c for a run that differs in hyperparameters alone; c owns what it runs on. */
KdCompiled *kd_compiled_for(const KdCompiled *c, const KdRun *run, KdArena *a);
/* A step of several students at once, by the program's key `students`; *c is NULL where the pass
 * makes none. False after an error. */
bool kd_compile_together(const KdRun *run, const KdDriveOptions *o, KdEngine *engine, KdArena *a,
                         KdCompiled **c, KdDiag *d);
/* release.c: memory that only compiling needs, to the system. */
void kd_release_compiler(void);

/* A frame for calls of f with those arguments and results, until the next frame is made. */
KdrtFrame kd_frame(const KdCompiled *c, const KdFunc *f, void **args, void **results, int32_t n);

/* The seed of the run as generated code and shuffles use it. */
uint64_t kd_run_seed(const KdRun *run);

/* --- logits and errors (evaluate.c) -------------------------------------------------------- */

/* Runs f (@evaluate or @teacher_logits) over those rows of the bound data, in batches of the
 * function's bound, and writes its result k, such as logits [rows.count, classes], to out[k].
 * With `progress` (of rows.count samples; NULL: none) it shows how far it is, and ends early, with
 * false, when a signal came. */
bool kd_fill_rows(const KdCompiled *c, const KdFunc *f, KdrtFunction *run, const KdBindings *b,
                  KdrtSplit rows, float *const *out, KdrtProgress *progress, KdDiag *d);

#endif
