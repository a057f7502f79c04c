/*
 * The driver: from runs of a script to trained weights and a table. It compiles each run, binds
 * the generated functions to data, parameters and state, trains, evaluates and reports.
 *
 *   compile.c   module -> passes -> machine code, and the memory its functions work in
 *   release.c   what only compiling needs goes back to the system
 *   tuning.c    what --gemm=auto measured: remembered, recorded, repeated
 *   evaluate.c  logits over a data set, errors, agreement
 *   together.c  students that train by one loop, in one graph
 *   train.c     epochs, validation, early stopping, checkpoints
 *   confusion.c a weights file tested by class
 *   profile.c   times of its kernels: --profile
 *   drive*.c    which runs of a script take place; which train together; one of them; all in
 *               order, and the table
 *   crew.c      a study's students side by side, each in a process of its own
 *   study.c     runs of a grid compared over their seeds: csv, table, plot
 *   rows.c      its rows as a file, and such a file taken as done: --rows
 *   text_hash.c IR text as a number, wherever the script's lines stand
 *   object_cache.c  machine code, remembered
 *   teacher_cache.c, teacher_tables.c  trained teachers, remembered; what they say of each sample
 *   output.c    the output folder: manifest, metrics, summary, weights; lock.c: one kdc at a time
 */
#ifndef KD_FRONTEND_DRIVER_DRIVER_H
#define KD_FRONTEND_DRIVER_DRIVER_H

#include "backend/backend.h"
#include "frontend/script.h"

typedef struct KdDriveOptions {
    const char *command;      /* the command line, for the manifest */
    const char *again;        /* the one that goes on after this one was stopped */
    const char *data_dir;     /* --data, or NULL */
    const char *out_dir;      /* --out, or NULL: out/<script>/ */
    const char *run;          /* --run, or NULL: all that are listed */
    const char *rows;         /* --rows, or NULL: rows of a study that count as done */
    const char *gemm;         /* --gemm; NULL: native */
    const char *const *skip;  /* --no-pass names, NULL-ended, or NULL */
    const char *passes;       /* --passes, or NULL */
    const char *profile_file; /* of --profile, or NULL: a table alone */
    KdDebugKind debug;        /* --debug-info */
    int threads;              /* 0: as many as the machine has */
    int64_t checkpoint_seconds, checkpoint_steps; /* between checkpoints within an epoch; -1: the
                                                     default of KD_CHECKPOINT_SECONDS, and none */
    bool force, resume, quiet, color, time_passes;
    bool profile;     /* time the kernels */
    bool fingerprint; /* a hash of the parameters that each run keeps, behind the table */
} KdDriveOptions;

/* Trains the listed runs (or one) and what they need. Returns the exit code: 0, 1 after an error
 * that was said, 130 or 143 after SIGINT or SIGTERM, with a checkpoint written. */
int kd_drive_train(const KdScript *s, const KdDriveOptions *o, KdDiag *d);

/* Test error and confusion matrix of `weights` (a safetensors file) in the run's network. */
int kd_drive_evaluate(const KdScript *s, const KdDriveOptions *o, const char *weights, KdDiag *d);

#endif
