/*
 * What a checkpoint holds: the counters below, the parameters, the best ones so far, the
 * optimiser's slabs, and which contractions OpenBLAS computes. Random numbers need no state: they
 * are drawn by counters (step, epoch, sample).
 */
#include "frontend/driver/resume.h"
#include "frontend/outfile.h"

#include "runtime/host/checkpoint.h"

#include <string.h>

#define MAX_SECTIONS (4 + KD_MAX_STATES)

static const char PLAN[] = "gemm-plan"; /* compared, where all others are taken over */

typedef struct Counters {
    int32_t epoch, step, best_epoch, unused;
    int64_t done, images;
    double loss_sum, final_loss, best_error, seconds;
} Counters;

/* The sections of a training, in order; the first is filled from *counters. */
static int sections_of(const KdTraining *t, Counters *counters, KdrtSection *section) {
    size_t bytes = (size_t)t->elements * sizeof(float);
    static const char *const state[KD_MAX_STATES] = { "state0", "state1", "state2", "state3" };
    int n = 0;
    section[n++] = (KdrtSection){ "counters", counters, sizeof *counters };
    section[n++] = (KdrtSection){ "params", t->params, bytes };
    section[n++] = (KdrtSection){ "best", t->best, bytes };
    section[n++] = (KdrtSection){ PLAN, t->c->plan, strlen(t->c->plan) };
    for (int k = 0; k < t->nstates; k++)
        section[n++] = (KdrtSection){ state[k], t->states[k], bytes };
    return n;
}

bool kd_checkpoint_save(KdOutput *out, const KdTraining *t, KdDiag *d) {
    const char *folder = kd_output_run_folder(out, t->c->run, d);
    if (!folder) return false;
    Counters counters = {
        .epoch = t->epoch,
        .step = t->step,
        .best_epoch = t->best_epoch,
        .done = t->done,
        .images = t->images,
        .loss_sum = t->loss_sum,
        .final_loss = t->final_loss,
        .best_error = t->best_error,
        .seconds = t->seconds,
    };
    KdrtSection section[MAX_SECTIONS];
    KdrtCheckpoint checkpoint = { .step = t->step, .sections = section };
    checkpoint.nsections = sections_of(t, &counters, section);
    KdrtError error;
    return kdrt_checkpoint_write(folder, &checkpoint, &error) || kd_file_error(d, folder, &error);
}

bool kd_checkpoint_restore(KdOutput *out, KdTraining *t, bool *found, KdDiag *d) {
    const char *folder = kd_output_run_folder(out, t->c->run, d);
    KdrtCheckpoint checkpoint;
    KdrtError error;
    *found = false;
    if (!folder) return false;
    if (!kdrt_checkpoint_latest(folder, &checkpoint, &error))
        return kd_file_error(d, folder, &error);
    if (checkpoint.nsections == 0) return true;
    if (error.text[0])
        kd_warning(d, (KdLoc){ 0 }, "%s; going on from the one before it, of step %lld", error.text,
                   (long long)checkpoint.step);
    Counters counters = { 0 };
    KdrtSection section[MAX_SECTIONS];
    int n = sections_of(t, &counters, section);
    bool ok = n == checkpoint.nsections;
    for (int k = 0; ok && k < n; k++) {
        const KdrtSection *from = kdrt_checkpoint_find(&checkpoint, section[k].name);
        ok = from && from->bytes == section[k].bytes;
        if (ok && section[k].data == t->c->plan)
            ok = memcmp(t->c->plan, from->data, from->bytes) == 0;
        else if (ok)
            memcpy((void *)section[k].data, from->data, from->bytes);
    }
    kdrt_checkpoint_free(&checkpoint);
    if (!ok)
        return kd_error(
            d, (KdLoc){ folder, 0 },
            "the checkpoint is of another network or optimizer, or of other contractions "
            "by OpenBLAS");
    t->epoch = counters.epoch;
    t->step = counters.step;
    t->best_epoch = counters.best_epoch;
    t->done = counters.done;
    t->images = counters.images;
    t->loss_sum = counters.loss_sum;
    t->final_loss = counters.final_loss;
    t->best_error = counters.best_error;
    t->seconds = counters.seconds;
    *found = true;
    return true;
}

void kd_checkpoint_note(KdOutput *out, const KdTraining *t, KdDiag *d) {
    char path[PATH_MAX];
    const char *folder = kd_output_run_folder(out, t->c->run, d);
    if (folder && kdrt_checkpoint_newest(folder, path))
        kd_note(d, (KdLoc){ 0 }, "the last good checkpoint is %s", path);
}

void kd_checkpoint_remove(KdOutput *out, const KdRun *run, KdDiag *d) {
    const char *folder = kd_output_run_folder(out, run, d);
    if (folder) kdrt_checkpoint_remove_all(folder);
}
