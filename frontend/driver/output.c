/* The output folder: see output.h for what lies in it. Every file but metrics.jsonl is written
 * whole or not at all. */
#include "frontend/driver/output.h"

#include "frontend/driver/lock.h"
#include "frontend/driver/train.h"
#include "frontend/driver/tuning.h"
#include "frontend/driver/weights.h"
#include "frontend/outfile.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/checkpoint.h"
#include "runtime/host/hash.h"
#include "runtime/host/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* What took less may be lost to a repeated command, which ends with the same bits. */
#define QUICK_SECONDS 600

static const char *path_in(KdOutput *out, const char *name) {
    return kd_arena_format(out->arena, "%s/%s", out->folder, name);
}

/* --- manifest ------------------------------------------------------------------------------ */

/* Loading such a file says why it cannot be read. */
uint64_t kd_output_hash_file(const char *path) {
    KdrtError error;
    size_t bytes;
    void *file = kdrt_file_read(path, SIZE_MAX, &bytes, &error);
    uint64_t hash = file ? kdrt_hash(file, bytes, 0) : 0;
    kdrt_free(file);
    return hash;
}

/* What decides whether a folder's results are those of this command: all of it but "command". A
 * script is what it says, under its name, wherever it lies or is called from. */
static KdrtJson *identity(const KdScript *s, const KdDriveOptions *o, const KdOutputHashes *hashes,
                          const char *cpu) {
    KdrtJson *json = kdrt_json_object();
    const char *slash = strrchr(s->path, '/');
    kdrt_json_string(json, "script", slash ? slash + 1 : s->path);
    kdrt_json_hash(json, "script_hash", s->hash);
    kdrt_json_string(json, "kdc", KD_VERSION);
    kdrt_json_string(json, "cpu", cpu);
    kdrt_json_hash(json, "data_hash", hashes->data);
    kdrt_json_string(json, "gemm", o->gemm ? o->gemm : "native");
    const char *precision = kd_attr_str(s->runs[0]->module->program, "precision", "f32");
    kdrt_json_string(json, "precision", precision);
    if (o->passes) kdrt_json_string(json, "passes", o->passes);
    KdrtJson *skipped = o->skip && *o->skip ? kdrt_json_array(json, "no_pass") : NULL;
    for (int k = 0; skipped && o->skip[k]; k++)
        kdrt_json_string(kdrt_json_append(skipped), "name", o->skip[k]);
    KdrtJson *runs = kdrt_json_array(json, "runs");
    for (int k = 0; k < s->nruns; k++) {
        const KdRun *run = s->runs[k];
        KdrtJson *entry = kdrt_json_append(runs);
        kdrt_json_string(entry, "name", run->name);
        if (hashes->settings[k]) kdrt_json_hash(entry, "settings", hashes->settings[k]);
        kdrt_json_integer(entry, "seed", run->seed);
        kdrt_json_integer(entry, "batch", run->batch);
        kdrt_json_integer(entry, "epochs", run->epochs);
        kdrt_json_integer(entry, "take", run->data->take);
        if (run->weights) kdrt_json_hash(entry, "weights", kd_output_hash_file(run->weights));
        KdrtJson *hypers = kdrt_json_child(entry, "hyperparameters");
        for (int h = 0; h < run->module->nhypers; h++)
            kdrt_json_number(hypers, run->module->hypers[h]->name, run->module->hypers[h]->value);
    }
    return json;
}

/* Rows of an earlier invocation, if it finished any. */
static bool read_rows(KdOutput *out, int room, KdDiag *d) {
    KdrtError error;
    const char *path = path_in(out, "summary.json");
    if (access(path, F_OK) != 0) return true;
    KdrtJson *json = kdrt_json_read(path, &error);
    if (!json) return kd_file_error(d, path, &error);
    const KdrtJson *runs = kdrt_json_get(json, "runs");
    for (int k = 0; runs && k < kdrt_json_length(runs) && out->nrows < room; k++) {
        const KdrtJson *r = kdrt_json_at(runs, k);
        KdArena *a = out->arena;
        out->rows[out->nrows++] = (KdRow){
            .name = kd_arena_string(a, kdrt_json_get_string(r, "name", "")),
            .role = kd_arena_string(a, kdrt_json_get_string(r, "role", "")),
            .params = (int64_t)kdrt_json_get_number(r, "params", 0),
            .bytes = (int64_t)kdrt_json_get_number(r, "bytes", 0),
            .macs = (int64_t)kdrt_json_get_number(r, "macs", 0),
            .val_error = kdrt_json_get_number(r, "val_error", NAN),
            .test_error = kdrt_json_get_number(r, "test_error", NAN),
            .test_auc = kdrt_json_get_number(r, "test_auc", NAN),
            .test_samples = (int64_t)kdrt_json_get_number(r, "test_samples", 0),
            .agreement = kdrt_json_get_number(r, "agreement", NAN),
            .epochs = (int64_t)kdrt_json_get_number(r, "epochs", 0),
            .seconds = kdrt_json_get_number(r, "seconds", 0),
            .images_per_second = kdrt_json_get_number(r, "images_per_second", NAN),
            .final_loss = kdrt_json_get_number(r, "final_loss", NAN),
            .settings = strtoull(kdrt_json_get_string(r, "settings", "0"), NULL, 16),
            .reused = kdrt_json_get_bool(r, "reused"),
            .given = kdrt_json_get_bool(r, "given"),
        };
    }
    kdrt_json_free(json);
    return true;
}

/* Does anything but a manifest lie there? A run that could not begin leaves no more than that. */
static bool holds_results(const KdOutput *out) {
    DIR *folder = opendir(out->folder);
    bool found = false;
    for (const struct dirent *e; folder && !found && (e = readdir(folder));)
        found = e->d_name[0] != '.' && strcmp(e->d_name, "manifest.json") != 0;
    if (folder) closedir(folder);
    return found;
}

/* A file that would be written over, of a folder that is not kdc's; NULL: there is none. */
static const char *foreign_file(KdOutput *out, const KdScript *s) {
    static const char *const names[] = { "manifest.json", "summary.json", "metrics.jsonl",
                                         "study.csv",     "study.gp",     "study.svg" };
    static const char *const weights[] = { "best.safetensors", "last.safetensors" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (access(path_in(out, names[k]), F_OK) == 0) return names[k];
    for (int k = 0; k < s->nruns; k++) {
        for (size_t j = 0; j < sizeof weights / sizeof *weights; j++) {
            const char *name = kd_arena_format(out->arena, "%s/%s", s->runs[k]->name, weights[j]);
            if (access(path_in(out, name), F_OK) == 0) return name;
        }
    }
    return NULL;
}

/* Compares with the folder's manifest; *same: it is this command's. */
static bool settle_manifest(KdOutput *out, const KdScript *s, const KdDriveOptions *o, bool *same,
                            KdDiag *d) {
    const char *path = path_in(out, "manifest.json");
    KdrtError error;
    bool there = access(path, F_OK) == 0;
    KdrtJson *theirs = there ? kdrt_json_read(path, &error) : NULL;
    if (there && !theirs && !o->force) return kd_file_error(d, path, &error);
    const KdrtJson *found = theirs ? kdrt_json_get(theirs, "identity") : NULL;
    bool known = found;
    *same = known && kdrt_json_equal(found, out->identity);
    if (theirs) kdrt_json_free(theirs);
    if (known && !*same && !o->force && holds_results(out))
        return kd_error(d, (KdLoc){ out->folder, 0 },
                        "holds the results of another script, data or settings; choose --out DIR, "
                        "or --force to overwrite them");
    if (o->resume && !*same)
        return kd_error(d, (KdLoc){ out->folder, 0 },
                        "nothing to resume: no run of this script and these settings lies here");
    const char *foreign = known || o->force ? NULL : foreign_file(out, s);
    return !foreign || kd_error(d, (KdLoc){ out->folder, 0 },
                                "holds %s, but no manifest of kdc; choose --out DIR, or --force to "
                                "overwrite it",
                                foreign);
}

/* Checkpoints that nobody goes on from: --resume would take them for this run's. */
static bool settle_checkpoints(KdOutput *out, const KdScript *s, const KdDriveOptions *o,
                               KdDiag *d) {
    char path[PATH_MAX];
    for (int k = 0; k < s->nruns && !o->resume && !o->force; k++) {
        const char *folder = path_in(out, s->runs[k]->name);
        if (kdrt_checkpoint_newest(folder, path))
            return kd_error(
                d, (KdLoc){ folder, 0 },
                "holds a run that was stopped; --resume goes on with it, --force begins anew");
    }
    return true;
}

/* Rows that nobody goes on from, unless the same command makes them again at once. */
static bool settle_rows(const KdOutput *out, const KdScript *s, const KdDriveOptions *o,
                        const KdOutputHashes *hashes, KdDiag *d) {
    int finished = 0, wanted = 0;
    double seconds = 0;
    for (int k = 0; k < s->nruns; k++) wanted += hashes->settings[k] != 0;
    for (int k = 0; k < out->nrows; k++) {
        const KdRow *row = &out->rows[k];
        finished += !row->given;
        if (!row->given && !row->reused) seconds += row->seconds;
    }
    bool study = s->study && !o->run;
    if (!finished || (!study && finished == wanted && seconds < QUICK_SECONDS)) return true;
    return kd_error(d, (KdLoc){ out->folder, 0 },
                    "holds %d finished runs of %d; --resume keeps them, --force begins anew",
                    finished, wanted);
}

static bool write_manifest(KdOutput *out, const KdDriveOptions *o, KdDiag *d) {
    KdrtError error;
    KdrtJson *json = kdrt_json_object();
    kdrt_json_string(json, "command", o->command);
    kdrt_json_string(json, "backend", kd_backend_version(out->arena));
    kdrt_json_adopt(json, "identity", out->identity);
    out->identity = NULL;
    bool ok = kdrt_json_write(path_in(out, "manifest.json"), json, &error);
    kdrt_json_free(json);
    return ok || kd_file_error(d, out->folder, &error);
}

bool kd_output_open(KdOutput *out, const KdScript *s, const KdDriveOptions *o,
                    const KdOutputHashes *hashes, KdDiag *d) {
    *out = (KdOutput){ .arena = kd_arena_create() };
    out->folder = o->out_dir ? o->out_dir : kd_arena_format(out->arena, "out/%s", s->name);
    out->rows = KD_NEW_ARRAY(out->arena, KdRow, s->nruns + 1);
    out->lock = -1;
    out->identity = identity(s, o, hashes, kd_target_host(out->arena).cpu);
    bool same = false;
    if (!kd_lock_folder(&out->lock, out->folder, false, d) ||
        !settle_manifest(out, s, o, &same, d) || !settle_checkpoints(out, s, o, d))
        return false;
    if (!same || o->force) return true;
    if (!read_rows(out, s->nruns, d)) return false;
    if (o->resume) return true;
    bool good = settle_rows(out, s, o, hashes, d);
    out->nrows = 0;
    return good;
}

bool kd_output_begin(KdOutput *out, const KdScript *s, const KdDriveOptions *o, KdDiag *d) {
    KdrtError error;
    if (!kdrt_make_folders(out->folder, &error)) return kd_file_error(d, out->folder, &error);
    if (!kd_lock_folder(&out->lock, out->folder, true, d)) return false;
    kdrt_remove_halves(out->folder, 0);
    for (int k = 0; k < s->nruns; k++) {
        const char *run = path_in(out, s->runs[k]->name);
        if (o->resume)
            kdrt_remove_halves(run, 0);
        else
            kdrt_checkpoint_remove_all(run);
    }
    if (o->resume) return true;
    unlink(path_in(out, "metrics.jsonl"));
    unlink(path_in(out, "summary.json"));
    return write_manifest(out, o, d);
}

bool kd_output_plan(KdOutput *out, const KdTuning *t, KdDiag *d) {
    const char *path = path_in(out, "manifest.json");
    KdrtError error;
    KdrtJson *json = kdrt_json_read(path, &error);
    if (json) kdrt_json_adopt(json, "gemm_plan", kd_tuning_json(t));
    bool ok = json && kdrt_json_write(path, json, &error);
    if (json) kdrt_json_free(json);
    return ok || kd_file_error(d, out->folder, &error);
}

bool kd_output_recall_plan(KdOutput *out, KdTuning *t, KdDiag *d) {
    const char *path = path_in(out, "manifest.json");
    KdrtError error;
    KdrtJson *json = kdrt_json_read(path, &error);
    if (!json) return kd_file_error(d, path, &error);
    const KdrtJson *plan = kdrt_json_get(json, "gemm_plan");
    bool ok = !plan || kd_tuning_read(t, plan);
    kdrt_json_free(json);
    return ok || kd_error(d, (KdLoc){ path, 0 }, "expected a table of contractions as gemm_plan");
}

void kd_output_close(KdOutput *out) {
    if (out->identity) kdrt_json_free(out->identity);
    if (out->arena && out->lock >= 0) close(out->lock);
    if (out->arena) kd_arena_destroy(out->arena);
    *out = (KdOutput){ 0 };
}

/* --- rows, metrics, weights ---------------------------------------------------------------- */

const KdRow *kd_output_finished(const KdOutput *out, const char *run) {
    for (int k = 0; k < out->nrows; k++)
        if (strcmp(out->rows[k].name, run) == 0) return &out->rows[k];
    return NULL;
}

const char *kd_output_run_folder(KdOutput *out, const KdRun *run, KdDiag *d) {
    KdrtError error;
    const char *folder = path_in(out, run->name);
    if (kdrt_make_folders(folder, &error)) return folder;
    kd_file_error(d, out->folder, &error);
    return NULL;
}

/* Is it a line of another run, or of an epoch that the training has behind it? */
static bool is_behind(const KdrtJson *line, void *user) {
    const KdTraining *t = user;
    return strcmp(kdrt_json_get_string(line, "run", ""), t->c->run->name) != 0 ||
           kdrt_json_get_number(line, "epoch", 0) <= t->epoch;
}

/* Runs side by side write one metrics.jsonl: who rewrites it keeps the others from adding to it. A
 * folder that cannot be locked is no worse than before. */
static int lock_metrics(const KdOutput *out) {
    int folder = open(out->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (folder >= 0 && flock(folder, LOCK_EX) < 0 && errno == EINTR) continue;
    return folder;
}

static void unlock_metrics(int folder) {
    if (folder >= 0) close(folder);
}

bool kd_output_rewind(KdOutput *out, const KdTraining *t, KdDiag *d) {
    KdrtError error;
    int lock = lock_metrics(out);
    bool ok = kdrt_json_keep_lines(path_in(out, "metrics.jsonl"), is_behind, (void *)t, &error);
    unlock_metrics(lock);
    return ok || kd_file_error(d, out->folder, &error);
}

bool kd_output_metrics(KdOutput *out, const KdTraining *t, double val_error, KdDiag *d) {
    KdrtError error;
    KdrtJson *json = kdrt_json_object();
    kdrt_json_string(json, "run", t->c->run->name);
    kdrt_json_integer(json, "epoch", t->epoch);
    kdrt_json_integer(json, "step", t->step);
    kdrt_json_number(json, "loss", t->final_loss);
    kdrt_json_number(json, "val_error", val_error);
    kdrt_json_number(json, "seconds", t->seconds);
    kdrt_json_number(json, "images_per_second", (double)t->images / t->seconds);
    int lock = lock_metrics(out);
    bool ok = kdrt_json_append_line(path_in(out, "metrics.jsonl"), json, &error);
    unlock_metrics(lock);
    kdrt_json_free(json);
    return ok || kd_file_error(d, out->folder, &error);
}

bool kd_output_weights(KdOutput *out, const KdTraining *t, KdDiag *d) {
    const char *folder = kd_output_run_folder(out, t->c->run, d);
    if (!folder) return false;
    const char *best = kd_arena_format(out->arena, "%s/best.safetensors", folder);
    const char *last = kd_arena_format(out->arena, "%s/last.safetensors", folder);
    return kd_weights_save_best(t, best, d) && kd_weights_save_last(t, last, d);
}

bool kd_output_row(KdOutput *out, const KdRow *row, KdDiag *d) {
    out->rows[out->nrows++] = *row;
    return kd_output_summary(out, d);
}

bool kd_output_summary(KdOutput *out, KdDiag *d) {
    KdrtError error;
    KdrtJson *json = kdrt_json_object();
    KdrtJson *runs = kdrt_json_array(json, "runs");
    for (int k = 0; k < out->nrows; k++) {
        const KdRow *r = &out->rows[k];
        KdrtJson *entry = kdrt_json_append(runs);
        kdrt_json_string(entry, "name", r->name);
        kdrt_json_string(entry, "role", r->role);
        kdrt_json_integer(entry, "params", r->params);
        kdrt_json_integer(entry, "bytes", r->bytes);
        kdrt_json_integer(entry, "macs", r->macs);
        kdrt_json_number(entry, "val_error", r->val_error);
        kdrt_json_number(entry, "test_error", r->test_error);
        if (!isnan(r->test_auc)) kdrt_json_number(entry, "test_auc", r->test_auc);
        kdrt_json_integer(entry, "test_samples", r->test_samples);
        kdrt_json_number(entry, "agreement", r->agreement);
        kdrt_json_integer(entry, "epochs", r->epochs);
        kdrt_json_number(entry, "seconds", r->seconds);
        kdrt_json_number(entry, "images_per_second", r->images_per_second);
        kdrt_json_number(entry, "final_loss", r->final_loss);
        kdrt_json_hash(entry, "settings", r->settings);
        kdrt_json_bool(entry, "reused", r->reused);
        if (r->given) kdrt_json_bool(entry, "given", true);
    }
    bool ok = kdrt_json_write(path_in(out, "summary.json"), json, &error);
    kdrt_json_free(json);
    return ok || kd_file_error(d, out->folder, &error);
}
