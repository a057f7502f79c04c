/*
 * Passes: functions from module to module. The pass table (passes/passes.def) lists them, the
 * manager runs a pipeline of them, verifies after each and dumps what was asked for.
 */
#ifndef KD_PASSES_PASS_H
#define KD_PASSES_PASS_H

#include "ir/ir.h"

/*
 * A step is a rewrite that a pass could leave out. Passes ask before each, so that a search for the
 * one that goes wrong (`kdc bisect`) can have the first few alone.
 */
bool kd_steps_left(const KdDiag *d);
/* The same, and counts the step that follows. */
bool kd_step(KdDiag *d);

/* The instruction behind v where it is of that op; NULL too where v bears a site, whose uses noise
 * will take. */
static inline const KdInstr *kd_made_by(const KdValue *v, KdOp op) {
    return v->def && v->def->op == op && !v->def->site ? v->def : NULL;
}

/* May the pass that runs give that network more parameters? Not once @gradients has a slab of them:
 * false after an error. */
bool kd_may_add_params(const KdModule *m, const char *network, KdDiag *d);
/* May it change the type of a parameter that f takes? Not when another function takes it as well:
 * false after an error. */
bool kd_may_retype_param(const KdFunc *f, const KdParam *p, KdDiag *d);

/* Where batch-students leaves what each student has of its own: hyperparameters that vary are
 * parameters f32[S] of the first "network", losses a running statistic f32[S] of the students'. */
#define KD_SETTINGS       "settings"
#define KD_STUDENT_LOSSES "students.losses"

/* Options as given in `name{key=value,…}`; read with kd_attr_…; an unknown key is an error. */
typedef bool KdPassFn(KdModule *m, const KdAttr *options, KdDiag *d);

typedef struct KdPassInfo {
    const char *name;
    KdPassFn *run;
    bool optional;       /* may be left out with --no-pass */
    const char *options; /* "site:str?,redzone:int?" as in the op table's attrs */
    const char *meaning;
} KdPassInfo;

/* Every row of the table names a function of this type. */
#define KD_PASS(function, ...) KdPassFn function;
#include "passes/passes.def"

const KdPassInfo *kd_pass_find(const char *name); /* or NULL */
int kd_pass_count(void);
const KdPassInfo *kd_pass_at(int n);

/* What the manager does around each pass. All may be NULL or 0. */
typedef struct KdPipeline KdPipeline;
struct KdPipeline {
    const char *passes; /* "canonicalize,autodiff{of=objective}"; NULL: kd_default_passes(m) */
    const char *const
        *skip; /* names for --no-pass, NULL-ended; a pass that is not optional is an error */
    const char
        *dump; /* "all", "final", "changed", "P" or "after:P", "before:P", with commas between */
    FILE *dump_to; /* NULL: standard output */
    const char
        *dump_dir;  /* a folder for numbered dumps, one for each pass that changed something */
    int stop_after; /* run the first so many passes only; 0: all */
    bool limited;   /* the last one of these may take most_steps only */
    int most_steps;
    bool roundtrip;  /* print, parse and print again in front and after each pass: a fault if
                        the texts differ */
    bool time;       /* collect seconds per pass */
    double *seconds; /* room for kd_pipeline_length entries when time */
};

/* Number of passes that this pipeline runs on m, and the name of the k-th, for tables of times.
 * Length -1 and name NULL when the pipeline text is wrong (kd_run_pipeline says why). */
int kd_pipeline_length(const KdModule *m, const KdPipeline *p);
const char *kd_pipeline_name(const KdModule *m, const KdPipeline *p, int k);

/* Are all passes and options that p names known, and may those to be skipped be left out? Needs no
 * module: a command line is checked before anything is read. False after an error. */
bool kd_check_pipeline(const KdPipeline *p, KdDiag *d);

/* Are the names in a list of KdDiag.remarks (or NULL) passes, or "codegen"? False after an error.
 */
bool kd_check_remarks(const char *list, KdDiag *d);

/* The pipeline for a training module, in the order of the design, from m->program. */
const char *kd_default_passes(const KdModule *m, KdArena *a);

/* False after an error of a pass or of the pipeline text. A module that does not verify after a
 * pass is a kd_bug that names the pass. d->steps says how many steps the last pass took. */
bool kd_run_pipeline(KdModule *m, const KdPipeline *p, KdDiag *d);

/* Appends to b->f the gradients of scalar y with respect to wrt[k], by reverse mode, into out[k]
 * (zeros where y does not depend on it). May be called on its own results. */
bool kd_append_gradients(KdBuilder *b, KdValue *y, int n, KdValue *const *wrt, KdValue **out);

/* The largest number of arena bytes that hold live values at one instruction of a planned
 * function: no plan with the same order of instructions and the same sharing needs less. */
int64_t kd_live_lower_bound(const KdFunc *f);

#endif
