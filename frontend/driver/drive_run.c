/*
 * One run: its teachers' logits are bound, it is trained (or recalled, when it is a teacher that
 * was trained before, or loaded), tested and becomes a row.
 */
#include "frontend/driver/drive.h"
#include "frontend/driver/resume.h"
#include "frontend/driver/teacher_cache.h"
#include "frontend/driver/weights.h"
#include "runtime/host/hash.h"
#include "runtime/host/metrics.h"

#include <math.h>
#include <string.h>

/* --- teachers ------------------------------------------------------------------------------ */

KdEnded *kd_ended_run(const KdDrive *v, const KdRun *run) {
    for (int k = 0; k < v->nended; k++)
        if (v->ended[k].run == run) return &v->ended[k];
    return NULL;
}

/* The teacher that a run is compared with: its own, else the script's. NULL where there are
 * several: what each of them says is not what they say together. */
static const KdEnded *reference(const KdDrive *v, const KdRun *run) {
    const KdRun *teacher = run->nteachers ? run->teachers[0] : NULL;
    int n = run->nteachers;
    for (int k = 0; k < v->s->nruns && !run->nteachers; k++) {
        if (strcmp(v->s->runs[k]->role, "teacher") != 0) continue;
        teacher = v->s->runs[k];
        n++;
    }
    return n == 1 ? kd_ended_run(v, teacher) : NULL;
}

/* The k-th that the run learns from; they stand before it. */
static const KdEnded *ended_teacher(const KdDrive *v, const KdRun *run, int k) {
    const KdEnded *teacher = kd_ended_run(v, run->teachers[k]);
    if (!teacher) kd_bug(v->d, "%s learns from a run to come", run->name);
    return teacher;
}

/* A hash of all weights that the run learns from. */
static uint64_t teachers_hash(const KdDrive *v, const KdRun *run) {
    uint64_t hash = 0;
    for (int k = 0; k < run->nteachers; k++) {
        const KdEnded *teacher = ended_teacher(v, run, k);
        hash = kdrt_hash(&teacher->fingerprint, sizeof teacher->fingerprint, hash);
    }
    return hash;
}

void kd_begin_progress(const KdDrive *v, const char *name, KdrtProgress *progress) {
    const char *label =
        v->study ? kd_arena_format(v->arena, "%s (%d of %d)", name, v->nbegun, v->nwanted) : name;
    kdrt_progress_begin(progress, stderr, v->o->quiet, label);
    progress->notes_only = v->crew && v->crew->n > 0;
}

KdOutcome kd_bind_teachers(KdDrive *v, KdTraining *t) {
    const KdRun *run = t->c->run;
    uint64_t weights = teachers_hash(v, run);
    int keep = v->s->nruns;
    for (int k = 0; k < run->nteachers; k++) {
        const KdRun *teacher = run->teachers[k];
        const char *slab = kd_arena_format(v->arena, "%s.params", teacher->network);
        int last_user = v->planned[kd_run_number(v->s, teacher)].last_user;
        kd_bind(&t->bindings, slab, kd_teacher_slab(t, teacher, ended_teacher(v, run, k)->weights));
        if (last_user < keep) keep = last_user;
    }
    KdrtProgress progress;
    kd_begin_progress(v, run->name, &progress);
    KdOutcome outcome = kd_teacher_tables_bind(&v->tables, t, weights, keep, &progress, v->d);
    kdrt_progress_end(&progress);
    return outcome;
}

/* --- from training to a row ----------------------------------------------------------------- */

void kd_set_cost(const KdDrive *v, const KdRun *run, KdRow *row) {
    KdNetworkCost cost = kd_network_cost(kd_script_network(v->s, run->network));
    row->params = cost.params;
    row->bytes = cost.params * (int64_t)sizeof(float);
    row->macs = cost.multiplications;
}

static KdRow make_row(KdDrive *v, KdTraining *t, KdEnded *end, bool reused) {
    const KdRun *run = t->c->run;
    const KdrtDataset *data = t->data;
    const KdEnded *teacher = reference(v, run);
    KdRow row = {
        .name = run->name,
        .role = run->role,
        .val_error = kd_training_error(t, t->best, data->validation, NULL, v->d),
        .test_error = kd_training_error(t, t->best, data->test, end->test_logits, v->d),
        .test_samples = data->test.count,
        .test_auc = NAN,
        .agreement = NAN,
        .epochs = t->epoch,
        .seconds = t->seconds,
        .images_per_second = t->seconds > 0 ? (double)t->images / t->seconds : NAN,
        .final_loss = t->final_loss,
        .settings = v->settings[kd_run_number(v->s, run)],
        .reused = reused,
    };
    kd_set_cost(v, run, &row);
    if (teacher && teacher != end && data->test.count)
        row.agreement = kdrt_agreement(teacher->test_logits, end->test_logits, data->test.count,
                                       run->data->classes);
    if (run->data->classes == 2 && data->test.count)
        row.test_auc = kdrt_auc(end->test_logits, &data->y, data->test.first, data->test.count);
    return row;
}

/* A run whose weights the script names: nothing is trained. */
static KdOutcome load(KdDrive *v, KdTraining *t) {
    const KdRun *run = t->c->run;
    if (!kd_weights_load(t->c->m, run->network, t->best, run->weights, v->d)) return KD_FAILED;
    memcpy(t->params, t->best, (size_t)t->elements * sizeof(float));
    t->final_loss = NAN;
    return KD_FINISHED;
}

bool kd_go_on(KdDrive *v, KdTraining *t) {
    bool found = false;
    if (!v->o->resume || t->resumed) return true;
    t->resumed = true;
    return kd_checkpoint_restore(&v->out, t, &found, v->d) && kd_output_rewind(&v->out, t, v->d);
}

/* Trains t, unless its weights are at hand; *reused says so. */
static KdOutcome obtain(KdDrive *v, KdTraining *t, bool *reused) {
    const KdRun *run = t->c->run;
    bool teacher = strcmp(run->role, "teacher") == 0;
    *reused = run->weights;
    if (run->weights) return load(v, t);
    const char *kept = teacher ? kd_teacher_path(t, teachers_hash(v, run), v->arena) : NULL;
    *reused = kept && kd_teacher_recall(t, kept);
    if (*reused) return KD_FINISHED;
    if (!kd_go_on(v, t)) return KD_FAILED;
    KdrtProgress progress;
    kd_begin_progress(v, run->name, &progress);
    kdrt_progress_size(&progress, run->epochs, t->data->train.count, run->batch, t->images);
    KdOutcome outcome = kd_train(t, &v->out, &progress, v->o, v->d);
    kdrt_progress_end(&progress);
    if (outcome == KD_FINISHED && kept) kd_teacher_keep(t, kept);
    return outcome;
}

/* What a loss had beside the network is over with it. */
static void clear_auxiliary(const KdModule *m, float *slab) {
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (!p->auxiliary) continue;
        memset(slab + kd_slab_offset(m, p), 0, (size_t)kd_type_bytes(p->type, 0, 0));
    }
}

/* Keeps what later runs and the table want of t. */
static KdOutcome finish(KdDrive *v, KdTraining *t, bool reused, KdRow *row) {
    const KdRun *run = t->c->run;
    KdEnded *end = &v->ended[v->nended++];
    size_t bytes = (size_t)t->elements * sizeof(float);
    int64_t test = t->data->test.count * run->data->classes;
    *end = (KdEnded){ .run = run, .weights = kdrt_alloc(bytes) };
    end->test_logits = kdrt_alloc((size_t)test * sizeof(float));
    if (!end->weights || !end->test_logits) {
        kd_error(v->d, run->loc, "%s: no memory for its results", run->name);
        return KD_FAILED;
    }
    memcpy(end->weights, t->best, bytes);
    clear_auxiliary(t->c->m, end->weights);
    end->fingerprint = kdrt_hash(end->weights, bytes, 0);
    *row = make_row(v, t, end, reused);
    return KD_FINISHED;
}

/* A run that an earlier invocation finished: only its weights are needed. */
static bool recall_finished(KdDrive *v, KdTraining *t) {
    const char *folder = kd_output_run_folder(&v->out, t->c->run, v->d);
    if (!folder) return false;
    const char *path = kd_arena_format(v->arena, "%s/best.safetensors", folder);
    if (!kd_weights_load(t->c->m, t->c->run->network, t->best, path, v->d)) return false;
    memcpy(t->params, t->best, (size_t)t->elements * sizeof(float));
    return true;
}

KdOutcome kd_drive_run(KdDrive *v, KdTraining *t, KdRow *row) {
    bool reused = false;
    const KdRow *known = kd_output_finished(&v->out, t->c->run->name);
    bool there = known && !known->given; /* with its weights, which stay as they are */
    KdOutcome outcome = KD_FINISHED;
    if (!there)
        outcome = obtain(v, t, &reused);
    else if (!recall_finished(v, t))
        outcome = KD_FAILED;
    if (outcome == KD_FINISHED) outcome = finish(v, t, reused, row);
    if (outcome == KD_FINISHED && !there && !kd_output_weights(&v->out, t, v->d))
        outcome = KD_FAILED;
    kd_profile_run(&v->profile, t->c, stdout);
    return outcome;
}
