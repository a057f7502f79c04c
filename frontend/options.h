/* The command line, read once. frontend/options.def lists the options. */
#ifndef KD_FRONTEND_OPTIONS_H
#define KD_FRONTEND_OPTIONS_H

#include "backend/backend.h"
#include "ir/arena.h"
#include "ir/diag.h"

#include <stdint.h>

/* Exit codes. */
enum { KD_EXIT_DONE = 0, KD_EXIT_WRONG = 1, KD_EXIT_USAGE = 2, KD_EXIT_BUG = 3 };

/* Commands; a script's is one of several, by what is asked for. */
enum {
    KD_IN_CHECK = 1, /* nothing: it is checked */
    KD_IN_TRAIN = 2, /* --jit */
    KD_IN_EVAL = 4,  /* --eval */
    KD_IN_DUMP = 8,  /* --dump-ir, or --dump-dir alone */
    KD_IN_TEXT = 16, /* --emit of IR or a drawing */
    KD_IN_CODE = 32, /* --emit of LLVM's IR or assembly */
    KD_IN_SHIP = 64, /* --emit of a network for C programs */
    KD_IN_EMITS = KD_IN_TEXT | KD_IN_CODE | KD_IN_SHIP,
    KD_IN_SCRIPT = KD_IN_CHECK | KD_IN_TRAIN | KD_IN_EVAL | KD_IN_DUMP | KD_IN_EMITS,
    KD_IN_OPT = 128,
    KD_IN_RUN = 256,
    KD_IN_INFO = 512,
    KD_IN_REDUCE = 1024,
    KD_IN_BISECT = 2048,
    KD_IN_EXPLAIN = 4096
};

/* What was given; numbers are -1 and texts NULL where they were not. */
typedef struct KdOptions {
    int command;        /* KD_IN_SCRIPT, or one of those behind it */
    const char *file;   /* NULL with help, version, print_passes and print_targets only */
    const char *line;   /* the whole command line, quoted for a shell, for the manifest */
    const char *again;  /* the same with --resume, and without --force */
    int64_t batches[8]; /* all of --batch's list; `batch` is the only one, or -1 */
    int nbatches;
    int64_t epochs, batch, seed, threads, limit;
    int64_t stop_after, stop_steps; /* passes to run, and steps of the last of them */
    int64_t checkpoint_seconds, checkpoint_steps;
    const char *data, *out, *run, *rows, *eval, *gemm, *precision, *emit, *dump_ir, *dump_dir,
        *weights, *symbol, *target, *cpu, *features, *check, *finite, *output, *passes, *fn,
        *profile_file, *remarks, *weights_type;
    KdDebugKind debug;
    unsigned entries; /* KD_ENTRY_… of backend/entry.h; 0: not given */
    int nsets, ninputs, nskips, nteachers;
    const char **sets, **inputs, **skips, **teachers; /* NULL-ended */
    bool unoptimized;                                 /* without LLVM's passes */
    bool verify_roundtrip, verify;
    bool jit, resume, force, quiet, time_passes, interpret, fingerprint, profile;
    bool multiversion;
    bool help, version, print_passes, print_targets;
} KdOptions;

/* False after an error of usage was said: exit code KD_EXIT_USAGE. */
bool kd_options_read(KdOptions *o, int argc, char **argv, KdArena *a, KdDiag *d);

/* "0.2.0" */
const char *kd_version(void);

/* `--help` of that command. */
void kd_options_help(int command, FILE *out);

#endif
