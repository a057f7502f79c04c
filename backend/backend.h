/*
 * From planned kernel-level modules to machine code. The only room that knows LLVM.
 */
#ifndef KD_BACKEND_BACKEND_H
#define KD_BACKEND_BACKEND_H

#include "ir/ir.h"
#include "runtime/kdrt.h"

/* kdrt_sgemm of runtime/host/blas.h. */
typedef void KdSgemm(int32_t transpose_a, int32_t transpose_b, int64_t m, int64_t n, int64_t k,
                     const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                     int64_t ldc);

/* kdrt_parallel, or a function that does the same and looks on. */
typedef void KdParallel(const KdrtFrame *frame, KdrtTask *run, int32_t ntasks);

/* Lines of the script in the code, and who is told of code in memory. */
typedef enum KdDebugKind { KD_DEBUG_NONE, KD_DEBUG_GDB, KD_DEBUG_PERF } KdDebugKind;

typedef struct KdBackendOptions {
    const char *gemm; /* "native" (default when NULL), "direct" (without Winograd's products),
                         "openblas", "auto": as `tuning` says */
    KdSgemm *sgemm;   /* what code by OpenBLAS calls once it is loaded; else NULL */
    const struct KdTuning *tuning;   /* backend/tune.h; a contraction without a choice is native */
    const struct KdPredict *predict; /* backend/predict.h: one file for inference alone; or NULL */
    const struct KdTrainer
        *trainer;         /* backend/entry.h: training entries, with predict only; or NULL */
    KdParallel *parallel; /* calls every kernel, those of one task too; NULL: kdrt_parallel those of
                             several */
    KdDebugKind debug;
    bool unoptimized; /* without LLVM's passes: the code as it is emitted */
    bool sanitize;    /* instrument generated code: see ir/guard.h */
    int threads;      /* used to compile */
} KdBackendOptions;

/* "LLVM 22.1.8", of the library that is loaded. */
const char *kd_backend_version(KdArena *a);

/* The machine we run on, as kernels for it want it. Strings live in `a`. */
KdTarget kd_target_host(KdArena *a);
/* Does it add products of bf16 pairs in one instruction? Elsewhere they are taken apart. */
bool kd_target_has_bf16(void);
/* A machine by LLVM's names, each or NULL: no triple means this machine, no CPU the family's
 * plainest that has vectors (or this one), and features come on top of the CPU's, as "+a,-b".
 * False after an error: there is no such name. */
typedef struct KdTargetName {
    const char *triple, *cpu, *features;
} KdTargetName;
bool kd_target_of(const KdTargetName *name, KdArena *a, KdTarget *t, KdDiag *d);
/* Bits of Linux's AT_HWCAP and AT_HWCAP2 that code for t needs; *untold: the features, with commas
 * between them, that it needs beyond what these tell, from a. False: Linux has none for it, or
 * (x86-64) the code asks the CPU itself. */
bool kd_target_hwcaps(const KdTarget *t, uint64_t hwcap[2], const char **untold, KdArena *a,
                      KdDiag *d);
/* The machines that there are, with what options choose among them. */
void kd_target_print(FILE *out);

/* Which functions to compile: f itself as NAME, and with `epoch` also the loop NAME_epoch. */
typedef struct KdEntry {
    const KdFunc *f;
    bool epoch;
} KdEntry;

typedef struct KdObject KdObject;

/* Compiles; every f must be planned, which is checked. NULL after an error. */
KdObject *kd_compile(const KdModule *m, int n, const KdEntry *entries, const KdBackendOptions *o,
                     KdDiag *d);
/* The object files, kd_object_count of them; together they define every NAME. */
int kd_object_count(const KdObject *o);
const void *kd_object_bytes(const KdObject *o, int k, size_t *size);
size_t kd_object_scratch(const KdObject *o); /* bytes a worker needs */
/* Bytes of the block of weights that SYMBOL_pack fills; 0: there is none. */
int64_t kd_object_weight_bytes(const KdObject *o);
/* Everything that the bytes of the object files depend on, but for kdc itself: text, from a. */
const char *kd_object_recipe(const KdModule *m, int n, const KdEntry *entries,
                             const KdBackendOptions *o, KdArena *a);
/* The object again, from copies of its files and its scratch; NULL: too many files, no memory. */
typedef struct KdObjectFile {
    const void *bytes;
    size_t size;
} KdObjectFile;
KdObject *kd_object_restore(int count, const KdObjectFile *files, size_t scratch,
                            const KdBackendOptions *o);
void kd_object_destroy(KdObject *o);

/* "llvm-ir" or "asm" into a file. False after an error. */
bool kd_compile_text(const KdModule *m, int n, const KdEntry *entries, const KdBackendOptions *o,
                     const char *what, FILE *out, KdDiag *d);

/* Loads exactly the object's bytes; runtime functions are given as absolute symbols. NULL after an
 * error. */
typedef struct KdJit KdJit;
KdJit *kd_jit_create(const KdObject *o, KdDiag *d);
/* NULL: the object has no such symbol, or could not be loaded, an error to kd_jit_create's d. */
void *kd_jit_symbol(KdJit *j, const char *name);

#define KD_MAX_PHASES 16 /* of a kernel */
/* What the code of a phase of a kernel of f is called, from a: FUNC.KERNEL, and FUNC.KERNEL$PHASE
 * behind the first. No name of the IR has a $, so phases are not taken for other kernels. */
char *kd_kernel_symbol(KdArena *a, const KdFunc *f, const KdInstr *kernel, int phase);
void kd_jit_destroy(KdJit *j);

#endif
