/*
 * What the files of the drive share: which runs take place, and what stays of those that ended.
 */
#ifndef KD_FRONTEND_DRIVER_DRIVE_H
#define KD_FRONTEND_DRIVER_DRIVE_H

#include "frontend/driver/crew.h"
#include "frontend/driver/data.h"
#include "frontend/driver/profile.h"
#include "frontend/driver/teacher_tables.h"
#include "frontend/driver/together.h"

/* What stays of a run that ended, for the runs that learn from it. */
typedef struct KdEnded {
    const KdRun *run;
    float *weights;       /* best slab; NULL once no run learns from it any more */
    uint64_t fingerprint; /* hash of the weights */
    float *test_logits;   /* [test rows, classes] */
} KdEnded;

typedef struct KdPlanned {
    bool wanted, begun;
    int last_user; /* the last run that learns from this one; its own number: none does */
    uint64_t kind; /* see kd_run_kind; 0: it does not train together with others */
} KdPlanned;

/* Runs that train together, or one. */
typedef struct KdGroup {
    int n;
    int number[KD_MOST_TOGETHER]; /* of the script's runs */
    KdCompiled *c[KD_MOST_TOGETHER];
    KdTraining t[KD_MOST_TOGETHER];
    KdTogether together; /* of one run: zero */
} KdGroup;

/* What a group's runs ended with, which a crew's member sends. */
typedef struct KdResults {
    int n;
    struct KdResult {
        int number;
        KdRow row;
        uint64_t fingerprint;
    } of[KD_MOST_TOGETHER];
} KdResults;

typedef struct KdDrive {
    const KdScript *s;
    const KdStudy *study; /* NULL: none, or a run of it alone */
    const KdDriveOptions *o;
    KdDiag *d;
    KdArena *arena;
    KdEngine engine;
    KdProfile profile;
    KdDatasets data;
    KdOutput out;
    KdTeacherTables tables;
    int nwanted, nbegun, nended;
    KdPlanned *planned; /* of s->runs, */
    uint64_t *settings; /* as these: see kd_run_settings; 0: it does not take place */
    KdEnded *ended;
    KdCrew *crew; /* or NULL: one run after the other */
    double crew_began;
    int crew_ended;
    int nstopped; /* by a signal, each with a checkpoint; the last of them: */
    const KdRun *stopped;
} KdDrive;

/* drive_plan.c: the place of a run in the script. */
int kd_run_number(const KdScript *s, const KdRun *run);
/* Which runs take place: the chosen one, or all that the script lists, and whom they learn from. */
void kd_plan_runs(KdDrive *v);
/* Reads the data of all runs that take place, and finds by what settings each of them is made. */
bool kd_plan_data(KdDrive *v, KdOutputHashes *hashes);
/* Takes the rows of --rows, now or when what is resumed began: their runs do not take place, unless
 * others learn from them. Where none is left, neither do their teachers. */
bool kd_plan_rows(KdDrive *v);

/* drive_group.c: does nobody learn from the run, which is yet to be trained? */
bool kd_stands_alone(const KdDrive *v, int number);
/* Finds runs that may train together, before any of them is compiled. */
void kd_plan_groups(KdDrive *v);
/* A run compiled, and those that train together with it. False after an error; to be closed in any
 * case. */
KdOutcome kd_group_open(KdDrive *v, int number, KdGroup *g);
void kd_group_close(KdGroup *g);
/* Trains them; what became of those that ended. */
KdOutcome kd_group_train(KdDrive *v, KdGroup *g, KdResults *results);

/* drive_run.c: what stays of a run, or NULL before its end. */
KdEnded *kd_ended_run(const KdDrive *v, const KdRun *run);
/* What the row says of the run's network, whatever it learned. */
void kd_set_cost(const KdDrive *v, const KdRun *run, KdRow *row);
/* Binds the teachers' weights, and tables of what they say where that was hoisted. */
KdOutcome kd_bind_teachers(KdDrive *v, KdTraining *t);
/* With --resume: takes t to its newest checkpoint, once. False after an error. */
bool kd_go_on(KdDrive *v, KdTraining *t);
void kd_begin_progress(const KdDrive *v, const char *name, KdrtProgress *progress);
/* Trains t, or takes it from where it lies; *row says what became of it. */
KdOutcome kd_drive_run(KdDrive *v, KdTraining *t, KdRow *row);

#endif
