/*
 * From a Lua script to runs: each run is a tensor-level module and the facts its driver needs.
 * Loading a script reads no data file.
 */
#ifndef KD_FRONTEND_SCRIPT_H
#define KD_FRONTEND_SCRIPT_H

#include "ir/ir.h"

/* A data set as the script names it; nothing has been read yet. Paths are relative to the first
 * of `dirs` (or --data DIR) that holds them. */
typedef struct KdDataSpec {
    const char *name;   /* "fashion_mnist" */
    const char *format; /* "idx" or "npy" */
    const char *dirs[4]; /* where to look, NULL-ended: well-known folders */
    const char *package; /* Debian package to name when files are missing, or NULL */
    const char *train_x, *train_y, *test_x, *test_y; /* file names; test_* may be NULL */
    int64_t train, validation, test; /* samples; the last `validation` of the train file validate; train
                                        or test 0: as many as there are */
    int64_t take;       /* use only the first `take` training samples; 0: all */
    KdType input;       /* of one batch: u8 or f32 [B,…] as it lies in the file */
    double scale;       /* stored value * scale = network input: 1/255 for images */
    int classes;
    const char *const *class_names; /* `classes` of them, or NULL */
    KdLoc loc;
} KdDataSpec;

typedef struct KdRun KdRun;
struct KdRun {
    const char *name;    /* "noisy"; from kd.runs, or "train"/"distill" for a single one */
    const char *role;    /* "teacher" (some other run learns from it) or "student" */
    const char *network; /* the one it trains */
    KdModule *module;    /* @<network> and teachers in inference form, @objective, @evaluate; m->program */
    const KdDataSpec *data;
    int nteachers;
    KdRun **teachers;              /* runs to finish first; their networks are in the module too */
    const char *const *teacher_weights; /* per teacher: a safetensors path instead of a run, or NULL */
    int64_t batch, epochs, seed, patience; /* patience 0: never stops early */
    KdLoc loc;
};

typedef struct KdScript {
    KdArena *arena;
    const char *path;
    const char *name;   /* file name without ".lua" */
    uint64_t hash;      /* of the text of every file that was read */
    int nruns;
    KdRun **runs;       /* in the script's order; teachers that are not listed come before */
    int nlisted;
    KdRun **listed;     /* what kd.runs names: the rows of the table */
} KdScript;

/* Overrides from the command line; negative or NULL: as the script says. */
typedef struct KdScriptOptions {
    int64_t epochs, batch, seed, limit;
    int nsets;
    const char *const *sets; /* "sigma=0.3": kd.param values; unknown names are errors */
} KdScriptOptions;

/* Runs the script in a sandbox and lowers each run. NULL after errors. */
KdScript *kd_script_load(const char *path, const KdScriptOptions *o, KdDiag *d);
void kd_script_destroy(KdScript *s);

#endif
