/*
 * The output folder of a script:
 *
 *   <out>/manifest.json    what made it: command, script hash, settings, versions, CPU, data
 *   <out>/metrics.jsonl    a line an epoch
 *   <out>/summary.json     a row a finished run; rewritten whole as each one ends
 *   <out>/<run>/{best,last}.safetensors, ckpt-<step>.kdck
 *   <out>/.lock            held while a kdc works there: see lock.h
 */
#ifndef KD_FRONTEND_DRIVER_OUTPUT_H
#define KD_FRONTEND_DRIVER_OUTPUT_H

#include "backend/tune.h"
#include "frontend/driver/driver.h"
#include "runtime/host/report.h"

#include <stdint.h>

typedef struct KdTraining KdTraining;

/* A row of the table and of summary.json. Errors and agreement are fractions, NaN: not known. */
typedef struct KdRow {
    const char *name, *role;
    int64_t params, bytes, macs;
    double val_error, test_error, agreement; /* with the teacher, if there is one alone */
    double test_auc;                         /* of two classes, else NaN */
    int64_t test_samples;                    /* what test_error is a fraction of */
    int64_t epochs;
    double seconds, images_per_second, final_loss;
    uint64_t settings; /* see kd_run_settings */
    bool reused;       /* a teacher that an earlier invocation trained */
    bool given;        /* --rows had it: nothing else of the run is here */
} KdRow;

typedef struct KdOutput {
    KdArena *arena;
    const char *folder;
    int lock;           /* of the folder: see lock.h */
    KdrtJson *identity; /* what the manifest will say, until it is written */
    int nrows;
    KdRow *rows; /* room for one per run of the script */
} KdOutput;

/* Hash of a file's bytes; 0 for one that cannot be read. */
uint64_t kd_output_hash_file(const char *path);

/* What was read and lowered for the runs that take place, as numbers. */
typedef struct KdOutputHashes {
    uint64_t data;
    const uint64_t *settings; /* of s->runs, see kd_run_settings; 0: it does not take place */
} KdOutputHashes;

/* Looks into the folder and changes nothing. Unless o->force it is refused where one would lose
 * what lies there: another manifest (script, settings, seeds, data, version or machine differ),
 * files that are not kdc's, and without o->resume a run that was stopped, or finished ones: of a
 * study, of a script with others yet to come, or of ten minutes and more. o->resume reads back the
 * rows of finished runs. */
bool kd_output_open(KdOutput *out, const KdScript *s, const KdDriveOptions *o,
                    const KdOutputHashes *hashes, KdDiag *d);
/* Makes and locks the folder, and unless it is resumed empties it of results and writes the
 * manifest. */
bool kd_output_begin(KdOutput *out, const KdScript *s, const KdDriveOptions *o, KdDiag *d);
void kd_output_close(KdOutput *out);

/* Records in the manifest which contractions a measurement gave to whom, and reads that back. */
bool kd_output_plan(KdOutput *out, const KdTuning *t, KdDiag *d);
bool kd_output_recall_plan(KdOutput *out, KdTuning *t, KdDiag *d);

/* The row of a run that finished before, or NULL. */
const KdRow *kd_output_finished(const KdOutput *out, const char *run);

/* <out>/<run>, made if missing. NULL after an error. */
const char *kd_output_run_folder(KdOutput *out, const KdRun *run, KdDiag *d);

/* Takes from metrics.jsonl what the run wrote behind the epoch at which it goes on. */
bool kd_output_rewind(KdOutput *out, const KdTraining *t, KdDiag *d);

/* One line of metrics.jsonl for the epoch just ended. */
bool kd_output_metrics(KdOutput *out, const KdTraining *t, double val_error, KdDiag *d);

/* best.safetensors and last.safetensors of a run that ended. */
bool kd_output_weights(KdOutput *out, const KdTraining *t, KdDiag *d);

/* Adds a row and rewrites summary.json. */
bool kd_output_row(KdOutput *out, const KdRow *row, KdDiag *d);

/* Writes summary.json of the rows that there are. */
bool kd_output_summary(KdOutput *out, KdDiag *d);

/* The table at the end. */
void kd_output_table(const KdOutput *out, FILE *to, bool color);

#endif
