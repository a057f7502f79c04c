/*
 * All runs of a script in order: a run is compiled, its teachers' logits are bound, it is trained
 * (or recalled, when it is a teacher that was trained before), tested and reported as one row.
 */
#include "frontend/driver/data.h"
#include "frontend/driver/profile.h"
#include "frontend/driver/resume.h"
#include "frontend/driver/rows.h"
#include "frontend/driver/signals.h"
#include "frontend/driver/study.h"
#include "frontend/driver/teacher_cache.h"
#include "frontend/driver/teacher_tables.h"
#include "frontend/driver/weights.h"
#include "runtime/host/blas.h"
#include "runtime/host/hash.h"
#include "runtime/host/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* What stays of a run that ended, for the runs that learn from it. */
typedef struct Ended {
    const KdRun *run;
    float *weights;       /* best slab; NULL once no run learns from it any more */
    uint64_t fingerprint; /* hash of the weights */
    float *test_logits;   /* [test rows, classes] */
} Ended;

typedef struct Planned {
    bool wanted;
    int last_user; /* the last run that learns from this one; its own number: none does */
    uint64_t settings;
} Planned;

typedef struct Drive {
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
    int nwanted, nended;
    Planned *planned; /* of s->runs */
    Ended *ended;
} Drive;

static Ended *ended_run(const Drive *v, const KdRun *run) {
    for (int k = 0; k < v->nended; k++)
        if (v->ended[k].run == run) return &v->ended[k];
    return NULL;
}

/* --- which runs ---------------------------------------------------------------------------- */

static int number_of(const KdScript *s, const KdRun *run) {
    int k = 0;
    while (s->runs[k] != run) k++;
    return k;
}

/* Which runs take place: the chosen one, or all that the script lists, and whom they learn from. */
static void plan_runs(Drive *v) {
    const KdScript *s = v->s;
    const KdRun *one = v->o->run ? kd_script_run(s, v->o->run) : NULL;
    for (int k = 0; k < s->nlisted; k++)
        if (!one) v->planned[number_of(s, s->listed[k])].wanted = true;
    if (one) v->planned[number_of(s, one)].wanted = true;
    for (int k = s->nruns - 1; k >= 0; k--) { /* teachers stand before those who learn from them */
        Planned *p = &v->planned[k];
        if (p->last_user < k) p->last_user = k;
        if (!p->wanted) continue;
        v->nwanted++;
        for (int t = 0; t < s->runs[k]->nteachers; t++) {
            Planned *teacher = &v->planned[number_of(s, s->runs[k]->teachers[t])];
            teacher->wanted = true;
            if (teacher->last_user < k) teacher->last_user = k;
        }
    }
}

/* The teacher that a run is compared with: its own, else the script's first. */
static const Ended *reference(const Drive *v, const KdRun *run) {
    if (run->nteachers && run->teachers[0]) return ended_run(v, run->teachers[0]);
    for (int k = 0; k < v->nended; k++)
        if (strcmp(v->ended[k].run->role, "teacher") == 0) return &v->ended[k];
    return NULL;
}

/* --- teachers ------------------------------------------------------------------------------ */

/* A hash of all weights that the run learns from. */
static uint64_t teachers_hash(const Drive *v, const KdRun *run) {
    uint64_t hash = 0;
    for (int k = 0; k < run->nteachers; k++) {
        const Ended *teacher = ended_run(v, run->teachers[k]);
        if (!teacher) kd_bug(v->d, "%s learns from a run to come", run->name);
        hash = kdrt_hash(&teacher->fingerprint, sizeof teacher->fingerprint, hash);
    }
    return hash;
}

/* The teacher's weights as t's module lays them out: without what its loss had beside it. */
static float *teacher_slab(const Drive *v, const KdTraining *t, const KdRun *teacher) {
    const KdModule *from = teacher->module, *to = t->c->m;
    float *weights = ended_run(v, teacher)->weights;
    int64_t elements = kd_slab_elements(to, teacher->network);
    if (elements == kd_slab_elements(from, teacher->network)) return weights;
    size_t bytes = (size_t)elements * sizeof(float) + KDRT_ALIGN + KDRT_SLACK;
    float *slab = kd_arena_alloc(t->arena, bytes);
    slab = (float *)(((uintptr_t)slab + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN);
    for (int k = 0; k < to->nparams; k++) {
        const KdParam *p = to->params[k];
        if (strcmp(p->network, teacher->network) != 0) continue;
        const KdParam *q = kd_module_param(from, p->network, p->name);
        memcpy(slab + kd_slab_offset(to, p), weights + kd_slab_offset(from, q),
               (size_t)kd_type_bytes(p->type, 0, 0));
    }
    return slab;
}

/* Binds the teachers' weights, and tables of what they say where that was hoisted. */
static bool bind_teachers(Drive *v, KdTraining *t) {
    const KdRun *run = t->c->run;
    uint64_t weights = teachers_hash(v, run);
    int keep = v->s->nruns;
    for (int k = 0; k < run->nteachers; k++) {
        const KdRun *teacher = run->teachers[k];
        const char *slab = kd_arena_format(v->arena, "%s.params", teacher->network);
        int last_user = v->planned[number_of(v->s, teacher)].last_user;
        kd_bind(&t->bindings, slab, teacher_slab(v, t, teacher));
        if (last_user < keep) keep = last_user;
    }
    return kd_teacher_tables_bind(&v->tables, t, weights, keep, v->d);
}

/* --- one run ------------------------------------------------------------------------------- */

/* What the row says of the network, whatever it learned. */
static void set_cost(const Drive *v, const KdRun *run, KdRow *row) {
    KdNetworkCost cost = kd_network_cost(kd_script_network(v->s, run->network));
    row->params = cost.params;
    row->bytes = cost.params * (int64_t)sizeof(float);
    row->macs = cost.multiplications;
}

static KdRow make_row(Drive *v, KdTraining *t, Ended *end, bool reused) {
    const KdRun *run = t->c->run;
    const KdrtDataset *data = t->data;
    const Ended *teacher = reference(v, run);
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
        .settings = v->planned[number_of(v->s, run)].settings,
        .reused = reused,
    };
    set_cost(v, run, &row);
    if (teacher && teacher != end && data->test.count)
        row.agreement = kdrt_agreement(teacher->test_logits, end->test_logits, data->test.count,
                                       run->data->classes);
    if (run->data->classes == 2 && data->test.count)
        row.test_auc = kdrt_auc(end->test_logits, &data->y, data->test.first, data->test.count);
    return row;
}

/* A run whose weights the script names: nothing is trained. */
static KdOutcome load(Drive *v, KdTraining *t) {
    const KdRun *run = t->c->run;
    if (!kd_weights_load(t->c->m, run->network, t->best, run->weights, v->d)) return KD_FAILED;
    memcpy(t->params, t->best, (size_t)t->elements * sizeof(float));
    t->final_loss = NAN;
    return KD_FINISHED;
}

/* Trains t, unless its weights are at hand; *reused says so. */
static KdOutcome obtain(Drive *v, KdTraining *t, bool *reused) {
    const KdRun *run = t->c->run;
    bool teacher = strcmp(run->role, "teacher") == 0, found = false;
    *reused = run->weights;
    if (run->weights) return load(v, t);
    const char *kept = teacher ? kd_teacher_path(t, teachers_hash(v, run), v->arena) : NULL;
    *reused = kept && kd_teacher_recall(t, kept);
    if (*reused) return KD_FINISHED;
    if (v->o->resume &&
        !(kd_checkpoint_restore(&v->out, t, &found, v->d) && kd_output_rewind(&v->out, t, v->d)))
        return KD_FAILED;
    KdrtProgress progress;
    const char *label =
        v->study ? kd_arena_format(v->arena, "%s (%d of %d)", run->name, v->nended + 1, v->nwanted)
                 : run->name;
    kdrt_progress_begin(&progress, stderr, v->o->quiet, label);
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

static KdOutcome finish(Drive *v, KdTraining *t, bool reused) {
    const KdRun *run = t->c->run;
    Ended *end = &v->ended[v->nended++];
    size_t bytes = (size_t)t->elements * sizeof(float);
    int64_t test = t->data->test.count * run->data->classes;
    *end = (Ended){ .run = run, .weights = kdrt_alloc(bytes) };
    end->test_logits = kdrt_alloc((size_t)test * sizeof(float));
    if (!end->weights || !end->test_logits) {
        kd_error(v->d, run->loc, "%s: no memory for its results", run->name);
        return KD_FAILED;
    }
    memcpy(end->weights, t->best, bytes);
    clear_auxiliary(t->c->m, end->weights);
    end->fingerprint = kdrt_hash(end->weights, bytes, 0);
    KdRow row = make_row(v, t, end, reused);
    if (!kd_output_weights(&v->out, t, v->d)) return KD_FAILED;
    if (!kd_output_finished(&v->out, run->name) && !kd_output_row(&v->out, &row, v->d))
        return KD_FAILED;
    if (v->study && !kd_study_csv(&v->out, v->study, v->d)) return KD_FAILED;
    kd_checkpoint_remove(&v->out, t, v->d);
    return KD_FINISHED;
}

/* A run that an earlier invocation finished: only its weights are needed. */
static bool recall_finished(Drive *v, KdTraining *t) {
    const char *folder = kd_output_run_folder(&v->out, t->c->run, v->d);
    if (!folder) return false;
    const char *path = kd_arena_format(v->arena, "%s/best.safetensors", folder);
    if (!kd_weights_load(t->c->m, t->c->run->network, t->best, path, v->d)) return false;
    memcpy(t->params, t->best, (size_t)t->elements * sizeof(float));
    return true;
}

static KdOutcome drive_run(Drive *v, const KdRun *run) {
    KdrtDataset data;
    KdTraining t = { 0 };
    bool reused = false;
    KdOutcome outcome = KD_FAILED;
    if (!kd_data_open(&v->data, run->data, v->o->data_dir, &data, v->d)) return KD_FAILED;
    KdCompiled *c = kd_compile_run(run, v->o, &v->engine, v->arena, v->d);
    if (!c) return KD_FAILED;
    if (v->engine.tuning.n && !kd_output_plan(&v->out, &v->engine.tuning, v->d)) {
        kd_compiled_destroy(c);
        return KD_FAILED;
    }
    if (kd_training_create(&t, c, &data, v->d) && bind_teachers(v, &t)) {
        const KdRow *row = kd_output_finished(&v->out, run->name);
        if (row && !row->given) {
            outcome = recall_finished(v, &t) ? KD_FINISHED : KD_FAILED;
        } else {
            outcome = obtain(v, &t, &reused);
        }
        if (outcome == KD_FINISHED) outcome = finish(v, &t, reused);
        kd_profile_run(&v->profile, c, stdout);
    }
    kd_training_destroy(&t);
    kd_compiled_destroy(c);
    return outcome;
}

/* --- all runs ------------------------------------------------------------------------------ */

/* Reads the data of all runs that take place, and notes by what settings each of them is made. */
static bool open_data(Drive *v, uint64_t *hash) {
    for (int k = 0; k < v->s->nruns; k++) {
        const KdRun *run = v->s->runs[k];
        KdrtDataset data;
        if (!v->planned[k].wanted) continue;
        if (!kd_data_open(&v->data, run->data, v->o->data_dir, &data, v->d)) return false;
        *hash = kdrt_hash(&data.hash, sizeof data.hash, *hash);
        kd_data_schedule(run, &data);
        uint64_t *teachers = KD_NEW_ARRAY(v->arena, uint64_t, run->nteachers + 1);
        for (int t = 0; t < run->nteachers; t++)
            teachers[t] = v->planned[number_of(v->s, run->teachers[t])].settings;
        v->planned[k].settings = kd_run_settings(run, &data, teachers);
    }
    return true;
}

/* Takes the rows of --rows: their runs do not take place, unless others learn from them. Where none
 * is left, neither do their teachers. */
static bool take_rows(Drive *v) {
    const KdStudy *study = v->study;
    int left = 0;
    if (!study)
        return kd_error(v->d, (KdLoc){ v->s->path, 0 },
                        "--rows is for a script that returns kd.study");
    uint64_t *settings = KD_NEW_ARRAY(v->arena, uint64_t, study->nruns);
    for (int k = 0; k < study->nruns; k++)
        settings[k] = v->planned[number_of(v->s, study->runs[k].run)].settings;
    if (!kd_rows_read(&v->out, study, v->o->rows, settings, v->d)) return false;
    for (int k = 0; k < study->nruns; k++) {
        int n = number_of(v->s, study->runs[k].run);
        const KdRow *row = kd_output_finished(&v->out, v->s->runs[n]->name);
        bool done = row && row->given && v->planned[n].last_user == n;
        v->planned[n].wanted = !done;
        v->nwanted -= done;
        left += !done;
    }
    for (int k = 0; k < v->s->nruns && !left; k++) v->planned[k].wanted = false;
    for (int k = 0; k < v->out.nrows; k++)
        set_cost(v, kd_script_run(v->s, v->out.rows[k].name), &v->out.rows[k]);
    return kd_study_csv(&v->out, study, v->d);
}

static bool prepare(Drive *v) {
    uint64_t hash = 0;
    if (v->o->run && !kd_script_run(v->s, v->o->run))
        return kd_error(v->d, (KdLoc){ v->s->path, 0 }, "no run is called '%s'", v->o->run);
    if (!kd_engine_create(&v->engine, v->o, v->arena, v->d)) return false;
    if (!kd_profile_open(&v->profile, v->o, &v->engine, v->arena, v->d)) return false;
    plan_runs(v);
    if (!open_data(v, &hash)) return false;
    if (!kd_output_open(&v->out, v->s, v->o, hash, v->d)) return false;
    if (v->o->resume && !kd_output_recall_plan(&v->out, &v->engine.tuning, v->d)) return false;
    return !v->o->rows || take_rows(v);
}

/* Equal for equal bits of the weights that were best, whatever made them. */
static void print_fingerprints(const Drive *v) {
    for (int k = 0; k < v->nended; k++) {
        const KdRun *run = v->ended[k].run;
        printf("fingerprint %s %016" PRIx64 "\n", run->name, v->ended[k].fingerprint);
    }
}

static void destroy(Drive *v) {
    for (int k = 0; k < v->nended; k++) {
        kdrt_free(v->ended[k].weights);
        kdrt_free(v->ended[k].test_logits);
    }
    kd_teacher_tables_release(&v->tables, v->s->nruns);
    kd_output_close(&v->out);
    kd_data_close(&v->data);
    kd_engine_destroy(&v->engine);
    kd_arena_destroy(v->arena);
}

/* A study has hundreds of runs: what no later one needs is dropped. */
static void release_weights(Drive *v, int done) {
    for (int k = 0; k < v->nended; k++) {
        Ended *end = &v->ended[k];
        if (!end->weights || v->planned[number_of(v->s, end->run)].last_user > done) continue;
        kdrt_free(end->weights);
        end->weights = NULL;
    }
    kd_teacher_tables_release(&v->tables, done);
}

static void say_interrupted(const Drive *v, const KdRun *run) {
    fprintf(stderr, "\nstopped; the checkpoint lies in %s/%s. To go on, add --resume:\n  %s\n",
            v->out.folder, run->name, v->o->again);
}

int kd_drive_train(const KdScript *s, const KdDriveOptions *o, KdDiag *d) {
    Drive v = {
        .s = s, .study = o->run ? NULL : s->study, .o = o, .d = d, .arena = kd_arena_create()
    };
    v.ended = KD_NEW_ARRAY(v.arena, Ended, s->nruns);
    v.planned = KD_NEW_ARRAY(v.arena, Planned, s->nruns);
    KdOutcome outcome = prepare(&v) ? KD_FINISHED : KD_FAILED;
    kd_signals_catch();
    for (int k = 0; k < s->nruns && outcome == KD_FINISHED; k++) {
        if (!v.planned[k].wanted) continue;
        outcome = drive_run(&v, s->runs[k]);
        if (outcome == KD_INTERRUPTED) say_interrupted(&v, s->runs[k]);
        release_weights(&v, k);
    }
    kd_signals_restore();
    if (!kd_profile_close(&v.profile, outcome != KD_FAILED, d)) outcome = KD_FAILED;
    if (outcome == KD_FINISHED) {
        if (v.study)
            kd_study_table(&v.out, v.study, stdout);
        else
            kd_output_table(&v.out, stdout, o->color);
        if (v.study && !kd_study_plot(&v.out, v.study, stdout, d)) outcome = KD_FAILED;
        if (o->fingerprint) print_fingerprints(&v);
        printf("weights, metrics and this table: %s/\n", v.out.folder);
    }
    destroy(&v);
    if (outcome == KD_INTERRUPTED) return kd_signal_received() == SIGTERM ? 143 : 130;
    return outcome == KD_FINISHED ? 0 : 1;
}
