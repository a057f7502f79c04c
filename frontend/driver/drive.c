/*
 * All runs of a script in order: a run is compiled, its teachers' logits are bound, it is trained
 * (or recalled, when it is a teacher that was trained before), tested and reported as one row.
 *
 * A study's runs are trained side by side, each on one thread, but for those that others learn
 * from: bits do not depend on the number of threads, and small networks gain more so.
 */
#include "frontend/driver/crew.h"
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
#include <limits.h>
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
    int nwanted, nbegun, nended;
    Planned *planned; /* of s->runs */
    Ended *ended;
    KdCrew *crew; /* or NULL: one run after the other */
    double crew_began;
    int crew_ended;
    int nstopped; /* by a signal, each with a checkpoint; the last of them: */
    const KdRun *stopped;
} Drive;

/* What a run of the crew sends. */
typedef struct Result {
    KdRow row;
    uint64_t fingerprint;
} Result;

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

/* The k-th that the run learns from; they stand before it. */
static const Ended *ended_teacher(const Drive *v, const KdRun *run, int k) {
    const Ended *teacher = ended_run(v, run->teachers[k]);
    if (!teacher) kd_bug(v->d, "%s learns from a run to come", run->name);
    return teacher;
}

/* A hash of all weights that the run learns from. */
static uint64_t teachers_hash(const Drive *v, const KdRun *run) {
    uint64_t hash = 0;
    for (int k = 0; k < run->nteachers; k++) {
        const Ended *teacher = ended_teacher(v, run, k);
        hash = kdrt_hash(&teacher->fingerprint, sizeof teacher->fingerprint, hash);
    }
    return hash;
}

static void begin_progress(const Drive *v, const KdRun *run, KdrtProgress *progress) {
    const char *label =
        v->study ? kd_arena_format(v->arena, "%s (%d of %d)", run->name, v->nbegun, v->nwanted)
                 : run->name;
    kdrt_progress_begin(progress, stderr, v->o->quiet, label);
    progress->notes_only = v->crew && v->crew->n > 0;
}

/* Binds the teachers' weights, and tables of what they say where that was hoisted. */
static KdOutcome bind_teachers(Drive *v, KdTraining *t) {
    const KdRun *run = t->c->run;
    uint64_t weights = teachers_hash(v, run);
    int keep = v->s->nruns;
    for (int k = 0; k < run->nteachers; k++) {
        const KdRun *teacher = run->teachers[k];
        const char *slab = kd_arena_format(v->arena, "%s.params", teacher->network);
        int last_user = v->planned[number_of(v->s, teacher)].last_user;
        kd_bind(&t->bindings, slab, kd_teacher_slab(t, teacher, ended_teacher(v, run, k)->weights));
        if (last_user < keep) keep = last_user;
    }
    KdrtProgress progress;
    begin_progress(v, run, &progress);
    KdOutcome outcome = kd_teacher_tables_bind(&v->tables, t, weights, keep, &progress, v->d);
    kdrt_progress_end(&progress);
    return outcome;
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
    begin_progress(v, run, &progress);
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

/* Keeps what later runs and the table want of t, and writes its weights. */
static KdOutcome finish(Drive *v, KdTraining *t, bool reused, KdRow *row) {
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
    *row = make_row(v, t, end, reused);
    return kd_output_weights(&v->out, t, v->d) ? KD_FINISHED : KD_FAILED;
}

/* Its row in the summary and the study, which makes its checkpoints superfluous. */
static KdOutcome report(Drive *v, const KdRun *run, const KdRow *row) {
    if (!kd_output_finished(&v->out, run->name) && !kd_output_row(&v->out, row, v->d))
        return KD_FAILED;
    if (v->study && !kd_study_csv(&v->out, v->study, v->d)) return KD_FAILED;
    kd_checkpoint_remove(&v->out, run, v->d);
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

/* Trains t, or takes it from where it lies. */
static KdOutcome train(Drive *v, KdTraining *t, KdRow *row) {
    bool reused = false;
    const KdRow *known = kd_output_finished(&v->out, t->c->run->name);
    KdOutcome outcome = known && !known->given ? (recall_finished(v, t) ? KD_FINISHED : KD_FAILED)
                                               : obtain(v, t, &reused);
    if (outcome == KD_FINISHED) outcome = finish(v, t, reused, row);
    kd_profile_run(&v->profile, t->c, stdout);
    return outcome;
}

static void note_stopped(Drive *v, const KdRun *run) {
    v->stopped = run;
    v->nstopped++;
}

static KdOutcome train_here(Drive *v, KdTraining *t) {
    KdRow row;
    KdOutcome outcome = train(v, t, &row);
    if (outcome == KD_INTERRUPTED) note_stopped(v, t->c->run);
    return outcome == KD_FINISHED ? report(v, t->c->run, &row) : outcome;
}

/* A run's end, and how long the others may take. */
static void show_crew(const Drive *v, const KdRun *run, const KdRow *row) {
    char left[KDRT_TIME_TEXT];
    double seconds = (kdrt_seconds() - v->crew_began) / v->crew_ended;
    kdrt_time_text(seconds * (v->nwanted - v->nended), left);
    fprintf(stderr, "%-12s validation error %.2f %% after %lld epochs; %d of %d runs, %s left\n",
            run->name, 100 * row->val_error, (long long)row->epochs, v->nended, v->nwanted, left);
}

/* Takes over a run of the crew that ended. */
static KdOutcome take_result(Drive *v) {
    Result result;
    int k;
    KdOutcome outcome = kd_crew_next(v->crew, &k, &result, sizeof result, v->d);
    const KdRun *run = v->s->runs[k];
    if (outcome == KD_INTERRUPTED)
        note_stopped(v, run);
    else if (outcome != KD_FINISHED)
        kd_crew_stop(v->crew);
    if (outcome != KD_FINISHED) return outcome;
    result.row.name = run->name;
    result.row.role = run->role;
    v->ended[v->nended++] = (Ended){ .run = run, .fingerprint = result.fingerprint };
    v->crew_ended++;
    if (!v->o->quiet) show_crew(v, run, &result.row);
    return report(v, run, &result.row);
}

/* How many runs like t work within half of the machine's memory; one always does. */
static int runs_in_memory(const KdTraining *t) {
    double half = 0.5 * (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double slabs = (double)(3 + t->nstates) * (double)t->elements * sizeof(float);
    double runs = half / ((double)(t->c->arena_bytes + t->c->scratch_stride) + slabs);
    return runs < 1 ? 1 : runs < INT_MAX ? (int)runs : INT_MAX;
}

/* Hands a run over to the crew; waits for room first. */
static KdOutcome hand_over(Drive *v, int number, KdTraining *t, KdCompiled *c) {
    Result result = { 0 };
    KdOutcome outcome = KD_FINISHED;
    if (v->crew_began == 0) v->crew_began = kdrt_seconds();
    while (outcome == KD_FINISHED &&
           (v->crew->n == v->crew->width || v->crew->n >= runs_in_memory(t)))
        outcome = take_result(v);
    if (outcome != KD_FINISHED) return outcome;
    int fd = kd_crew_begin(v->crew, number, c->run->name, v->d);
    if (fd <= 0) return fd < 0 ? KD_FAILED : KD_FINISHED;
    v->crew->n++; /* this one */
    if (kdrt_pool_create(1, &c->pool) != KDRT_OK) kd_crew_end(fd, KD_FAILED, NULL, 0);
    outcome = train(v, t, &result.row);
    if (outcome == KD_FINISHED) result.fingerprint = v->ended[v->nended - 1].fingerprint;
    kd_crew_end(fd, outcome, &result, sizeof result);
}

/* May the run be one of a crew's? Nobody learns from it, and it is yet to be trained. */
static bool stands_alone(const Drive *v, int number) {
    return v->crew && v->planned[number].last_user == number &&
           !kd_output_finished(&v->out, v->s->runs[number]->name);
}

static KdOutcome drive_run(Drive *v, int number) {
    const KdRun *run = v->s->runs[number];
    KdrtDataset data;
    KdTraining t = { 0 };
    KdOutcome outcome = KD_FAILED;
    if (!kd_data_open(&v->data, run->data, v->o->data_dir, &data, v->d)) return KD_FAILED;
    KdCompiled *c = kd_compile_run(run, v->o, &v->engine, v->arena, v->d);
    if (!c) return KD_FAILED;
    v->nbegun++;
    if ((!v->engine.tuning.n || kd_output_plan(&v->out, &v->engine.tuning, v->d)) &&
        kd_training_create(&t, c, &data, v->d))
        outcome = bind_teachers(v, &t);
    if (outcome == KD_FINISHED)
        outcome = stands_alone(v, number) ? hand_over(v, number, &t, c) : train_here(v, &t);
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
    return true;
}

static bool prepare(Drive *v) {
    uint64_t hash = 0;
    if (v->o->run && !kd_script_run(v->s, v->o->run))
        return kd_error(v->d, (KdLoc){ v->s->path, 0 }, "no run is called '%s'", v->o->run);
    if (!kd_engine_create(&v->engine, v->o, v->arena, v->d)) return false;
    if (!kd_profile_open(&v->profile, v->o, &v->engine, v->arena, v->d)) return false;
    plan_runs(v);
    /* Measurements want the machine for themselves. */
    bool measures = v->o->profile || (v->o->gemm && strcmp(v->o->gemm, "auto") == 0);
    int width = kdrt_pool_threads(v->engine.pool);
    if (v->study && width > 1 && !measures) v->crew = kd_crew_create(width, v->arena);
    if (!open_data(v, &hash)) return false;
    if (!kd_output_open(&v->out, v->s, v->o, hash, v->d)) return false;
    if (v->o->resume && !kd_output_recall_plan(&v->out, &v->engine.tuning, v->d)) return false;
    if (v->o->rows && !take_rows(v)) return false;
    if (!kd_output_begin(&v->out, v->s, v->o, v->d)) return false;
    return !v->o->rows || kd_study_csv(&v->out, v->study, v->d);
}

/* Equal for equal bits of the weights that were best, whatever made them. */
static void print_fingerprints(const Drive *v) {
    for (int k = 0; k < v->s->nruns; k++) {
        const Ended *end = ended_run(v, v->s->runs[k]);
        if (end) printf("fingerprint %s %016" PRIx64 "\n", end->run->name, end->fingerprint);
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

static void say_interrupted(const Drive *v) {
    const char *folder = v->out.folder;
    fputs("\nstopped", stderr);
    if (v->nstopped == 1)
        fprintf(stderr, "; the checkpoint lies in %s/%s", folder, v->stopped->name);
    if (v->nstopped > 1) fprintf(stderr, "; the %d checkpoints lie below %s", v->nstopped, folder);
    fprintf(stderr, ". To go on, add --resume:\n  %s\n", v->o->again);
}

/* All runs that are wanted; after a failure or a signal, the end of those that had begun. */
static KdOutcome drive_runs(Drive *v) {
    KdOutcome outcome = KD_FINISHED;
    for (int k = 0; k < v->s->nruns && outcome == KD_FINISHED; k++) {
        if (!v->planned[k].wanted) continue;
        outcome = drive_run(v, k);
        release_weights(v, k);
        if (outcome == KD_FINISHED && v->crew && kd_signal_received()) outcome = KD_INTERRUPTED;
    }
    while (v->crew && v->crew->n > 0) {
        KdOutcome last = take_result(v);
        if (outcome != KD_FAILED && last != KD_FINISHED) outcome = last;
    }
    return outcome;
}

int kd_drive_train(const KdScript *s, const KdDriveOptions *o, KdDiag *d) {
    Drive v = {
        .s = s, .study = o->run ? NULL : s->study, .o = o, .d = d, .arena = kd_arena_create()
    };
    v.ended = KD_NEW_ARRAY(v.arena, Ended, s->nruns);
    v.planned = KD_NEW_ARRAY(v.arena, Planned, s->nruns);
    KdOutcome outcome = prepare(&v) ? KD_FINISHED : KD_FAILED;
    kd_signals_catch();
    if (outcome == KD_FINISHED) outcome = drive_runs(&v);
    kd_signals_restore();
    if (outcome == KD_INTERRUPTED) say_interrupted(&v);
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
