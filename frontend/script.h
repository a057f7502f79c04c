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
    const char *name;             /* "fashion_mnist" */
    const char *format;           /* as KdrtDatasetSpec has it: "idx", "npy" … */
    const char *dirs[4];          /* where to look, NULL-ended: well-known folders */
    const char *package;          /* Debian package to name when files are missing, or NULL */
    const char *archive, *inside; /* see KdrtDatasetSpec, as label, labels, header and md5 */
    int label, labels;
    bool header;
    const char *const *md5;                          /* NULL-ended, or NULL */
    const char *train_x, *train_y, *test_x, *test_y; /* file names; test_* may be NULL */
    int64_t train, validation, test; /* samples; the last `validation` of the train file validate;
                                        train or test 0: as many as there are */
    int64_t take;                    /* use only the first `take` training samples; 0: all */
    uint64_t omit;                   /* bit c: no training samples of class c */
    bool transposed;                 /* images are stored column by column */
    int first_label;                 /* the file's number of class 0 */
    KdType input;                    /* of one batch: u8 or f32 [B,…] as networks' code reads it */
    KdDtype stored;                  /* of samples in the file */
    bool contrast;                   /* local contrast takes their place: see contrast.h */
    const char *normalize;           /* NULL, "mean", "standard", "channel": see normalize.h */
    double scale;                    /* stored value * scale = network input: 1/255 for images */
    int classes;
    const char *const *class_names; /* `classes` of them, or NULL */
    KdLoc loc;
} KdDataSpec;

/* One row of a layer table. */
typedef struct KdLayer {
    const char *name;        /* "conv1", "relu2" */
    const char *kind;        /* "conv2d" */
    KdType type;             /* of its result */
    int64_t params;          /* elements of the parameters it brought */
    int64_t multiplications; /* of its contractions, for one sample */
    KdLoc loc;
} KdLayer;

/* A network as the script defines it. */
typedef struct KdNetwork {
    const char *name;
    KdType input;  /* f32[B,…] */
    KdType output; /* f32[B,classes] */
    int nparams;
    KdParam **params; /* in trace order */
    int nlayers;
    KdLayer **layers;
    int function; /* the Lua function's reference, dead once the script is loaded */
    KdLoc loc;
} KdNetwork;

/* Sums over its layers: parameter elements, multiplications and bytes of activations a sample. */
typedef struct KdNetworkCost {
    int64_t params, multiplications, activation_bytes;
} KdNetworkCost;
KdNetworkCost kd_network_cost(const KdNetwork *n);

typedef struct KdRun KdRun;
struct KdRun {
    const char *name;    /* "noisy"; from kd.runs, or "train"/"distill" for a single one */
    const char *role;    /* "teacher" (some other run learns from it) or "student" */
    const char *network; /* the one it trains; kd_script_network finds its layers and cost */
    KdModule
        *module; /* @<network> and teachers in inference form, @objective, @evaluate; m->program */
    const KdDataSpec *data;
    int nteachers;
    KdRun **teachers;    /* runs to finish first; their networks are in the module too */
    const char *weights; /* the file to load instead of training, or NULL */
    int64_t batch, epochs, seed;
    int64_t patience, min_epochs; /* patience 0: never stops early */
    KdLoc loc;
};

/* One run of a study: a configuration with one seed. */
typedef struct KdStudyRun {
    const KdRun *run;
    int configuration; /* 0: the baseline; the others are counted from 1 */
    int seed;
    const char *label;    /* of a configuration that is no point of the grid; else NULL */
    const double *values; /* of the axes; NaN where there is a label */
} KdStudyRun;

/* What kd.study asked for: a grid of runs, each with several seeds. */
typedef struct KdStudy {
    int naxes;
    const char **axes;
    int nruns;
    KdStudyRun *runs;
} KdStudy;

typedef struct KdScript {
    KdArena *arena;
    const char *path;
    const char *name; /* file name without ".lua" */
    uint64_t hash;    /* of the text of every file that was read */
    int nruns;
    KdRun **runs; /* in the script's order; teachers that are not listed come before */
    int nlisted;
    KdRun **listed; /* what kd.runs names: the rows of the table */
    KdStudy *study; /* or NULL: plain runs */
    int nnetworks;
    KdNetwork **networks; /* in the order of their definition */
} KdScript;

/* Overrides from the command line; negative or NULL: as the script says. */
typedef struct KdScriptOptions {
    int64_t epochs, batch, seed, limit;
    int nsets;
    const char *const *sets; /* "sigma=0.3": kd.param values; unknown names are errors */
    const char *data;        /* the folder of data, in place of those that the script names */
} KdScriptOptions;

/* Runs the script in a sandbox and lowers each run. NULL after errors. */
KdScript *kd_script_load(const char *path, const KdScriptOptions *o, KdDiag *d);
void kd_script_destroy(KdScript *s);

const KdNetwork *kd_script_network(const KdScript *s, const char *name); /* or NULL */
KdRun *kd_script_run(const KdScript *s, const char *name);               /* or NULL */

/* The run of that name, or with NULL the only one that is listed; NULL after an error, which names
 * those that there are. */
KdRun *kd_script_choose(const KdScript *s, const char *name, KdDiag *d);

/* Forgets what the run and its teachers do not need: its row alone is listed. */
void kd_script_narrow(KdScript *s, KdRun *run);

/* `kdc FILE.lua`: a table of layers per network, totals, and what memory planning gave each
 * listed run (its module goes through all passes). False after an error. */
struct KdPipeline;
bool kd_print_layers(KdScript *s, const struct KdPipeline *passes, FILE *times, FILE *out,
                     KdDiag *d);

#endif
