/*
 * All runs of a script in order: a run is compiled (drive_group.c), trained (drive_run.c) and
 * reported as one row.
 *
 * A study's runs are trained side by side, each on one thread, but for those that others learn
 * from: bits do not depend on the number of threads, and small networks gain more so. The smallest
 * train together, as a group that is one of those side by side.
 */
#include "frontend/driver/drive.h"
#include "frontend/driver/resume.h"
#include "frontend/driver/signals.h"
#include "frontend/driver/study.h"
#include "runtime/host/blas.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Its row in the summary and the study, which makes its checkpoints superfluous. */
static KdOutcome report(KdDrive *v, const KdRun *run, const KdRow *row) {
    if (!kd_output_finished(&v->out, run->name) && !kd_output_row(&v->out, row, v->d))
        return KD_FAILED;
    if (v->study && !kd_study_csv(&v->out, v->study, v->d)) return KD_FAILED;
    kd_checkpoint_remove(&v->out, run, v->d);
    return KD_FINISHED;
}

/* Those of a group that had not ended when a signal came. */
static void note_stopped(KdDrive *v, int n, const int *number) {
    for (int k = 0; k < n; k++) {
        if (kd_output_finished(&v->out, v->s->runs[number[k]]->name)) continue;
        v->stopped = v->s->runs[number[k]];
        v->nstopped++;
    }
}

static KdOutcome train_here(KdDrive *v, KdGroup *g) {
    KdResults results;
    KdOutcome outcome = kd_group_train(v, g, &results);
    for (int k = 0; k < results.n; k++)
        if (report(v, v->s->runs[results.of[k].number], &results.of[k].row) != KD_FINISHED)
            return KD_FAILED;
    if (outcome == KD_INTERRUPTED) note_stopped(v, g->n, g->number);
    return outcome;
}

/* --- the crew ------------------------------------------------------------------------------ */

_Static_assert(sizeof(KdResults) <= PIPE_BUF, "a member's results are sent in one piece");

/* A run's end, and how long the others may take. */
static void show_crew(const KdDrive *v, const KdRun *run, const KdRow *row) {
    char left[KDRT_TIME_TEXT];
    double seconds = (kdrt_seconds() - v->crew_began) / v->crew_ended;
    kdrt_time_text(seconds * (v->nwanted - v->nended), left);
    fprintf(stderr, "%-12s validation error %.2f %% after %lld epochs; %d of %d runs, %s left\n",
            run->name, 100 * row->val_error, (long long)row->epochs, v->nended, v->nwanted, left);
}

static bool take_row(KdDrive *v, struct KdResult *r) {
    const KdRun *run = v->s->runs[r->number];
    r->row.name = run->name;
    r->row.role = run->role;
    v->ended[v->nended++] = (KdEnded){ .run = run, .fingerprint = r->fingerprint };
    v->crew_ended++;
    if (!v->o->quiet) show_crew(v, run, &r->row);
    return report(v, run, &r->row) == KD_FINISHED;
}

/* Takes over what a member of the crew ended with. */
static KdOutcome take_results(KdDrive *v) {
    KdResults results;
    KdCrewMember member;
    KdOutcome outcome = kd_crew_next(v->crew, &member, &results, sizeof results, v->d);
    for (int k = 0; k < results.n; k++)
        if (!take_row(v, &results.of[k])) outcome = KD_FAILED;
    if (outcome == KD_INTERRUPTED) note_stopped(v, member.n, member.job);
    if (outcome == KD_FAILED) kd_crew_stop(v->crew);
    return outcome;
}

/* How many groups like g work within half of the machine's memory; one always does. */
static int groups_in_memory(const KdGroup *g) {
    const KdTraining *t = &g->t[0];
    double half = 0.5 * (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double slabs = (double)(3 + t->nstates) * (double)t->elements * sizeof(float);
    double one = (double)(t->c->arena_bytes + t->c->scratch_stride) + slabs;
    double groups = half / (one * 2 * g->n);
    return groups < 1 ? 1 : groups < INT_MAX ? (int)groups : INT_MAX;
}

static bool start_pools(KdGroup *g) {
    KdrtPool *pool = NULL;
    if (kdrt_pool_create(1, &pool) != KDRT_OK) return false;
    for (int k = 0; k < g->n; k++) g->c[k]->pool = pool;
    if (g->together.n) g->together.c->pool = pool;
    return true;
}

/* Hands a group over to the crew; waits for room first. */
static KdOutcome hand_over(KdDrive *v, KdGroup *g) {
    KdResults results = { 0 };
    KdOutcome outcome = KD_FINISHED;
    if (v->crew_began == 0) v->crew_began = kdrt_seconds();
    while (outcome == KD_FINISHED &&
           (v->crew->n == v->crew->width || v->crew->n >= groups_in_memory(g)))
        outcome = take_results(v);
    if (outcome != KD_FINISHED) return outcome;
    KdCrewMember member = { .n = g->n, .name = g->c[0]->run->name };
    memcpy(member.job, g->number, sizeof member.job);
    int fd = kd_crew_begin(v->crew, &member, v->d);
    if (fd <= 0) return fd < 0 ? KD_FAILED : KD_FINISHED;
    v->crew->n++; /* this one */
    outcome = start_pools(g) ? kd_group_train(v, g, &results) : KD_FAILED;
    kd_crew_end(fd, outcome, &results, sizeof results);
}

static KdOutcome one_group(KdDrive *v, int number) {
    KdGroup g;
    bool apart = v->crew && kd_stands_alone(v, number);
    KdOutcome outcome = kd_group_open(v, number, &g);
    if (outcome == KD_FINISHED && apart)
        outcome = hand_over(v, &g);
    else if (outcome == KD_FINISHED)
        outcome = train_here(v, &g);
    kd_group_close(&g);
    return outcome;
}

/* --- all runs ------------------------------------------------------------------------------ */

static bool prepare(KdDrive *v) {
    KdOutputHashes hashes;
    if (v->o->run && !kd_script_run(v->s, v->o->run))
        return kd_error(v->d, (KdLoc){ v->s->path, 0 }, "no run is called '%s'", v->o->run);
    if (!kd_engine_create(&v->engine, v->o, v->arena, v->d)) return false;
    if (!kd_profile_open(&v->profile, v->o, &v->engine, v->arena, v->d)) return false;
    kd_plan_runs(v);
    /* Measurements want the machine for themselves. */
    bool measures = v->o->profile || (v->o->gemm && strcmp(v->o->gemm, "auto") == 0);
    int width = kdrt_pool_threads(v->engine.pool);
    if (v->study && width > 1 && !measures) v->crew = kd_crew_create(width, v->arena);
    if (!kd_plan_data(v, &hashes)) return false;
    if (!kd_output_open(&v->out, v->s, v->o, &hashes, v->d)) return false;
    if (v->o->resume && !kd_output_recall_plan(&v->out, &v->engine.tuning, v->d)) return false;
    if (!kd_plan_rows(v)) return false;
    if (!kd_output_begin(&v->out, v->s, v->o, v->d)) return false;
    kd_plan_groups(v);
    /* What was given is there before anything ends: --resume reads the summary. */
    return !v->o->rows ||
           (kd_output_summary(&v->out, v->d) && kd_study_csv(&v->out, v->study, v->d));
}

/* Equal for equal bits of the weights that were best, whatever made them. */
static void print_fingerprints(const KdDrive *v) {
    for (int k = 0; k < v->s->nruns; k++) {
        const KdEnded *end = kd_ended_run(v, v->s->runs[k]);
        if (end) printf("fingerprint %s %016" PRIx64 "\n", end->run->name, end->fingerprint);
    }
}

static void destroy(KdDrive *v) {
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
static void release_weights(KdDrive *v, int done) {
    for (int k = 0; k < v->nended; k++) {
        KdEnded *end = &v->ended[k];
        if (!end->weights || v->planned[kd_run_number(v->s, end->run)].last_user > done) continue;
        kdrt_free(end->weights);
        end->weights = NULL;
    }
    kd_teacher_tables_release(&v->tables, done);
}

static void say_interrupted(const KdDrive *v) {
    const char *folder = v->out.folder;
    fputs("\nstopped", stderr);
    if (v->nstopped == 1)
        fprintf(stderr, "; the checkpoint lies in %s/%s", folder, v->stopped->name);
    if (v->nstopped > 1) fprintf(stderr, "; the %d checkpoints lie below %s", v->nstopped, folder);
    fprintf(stderr, ". To go on, add --resume:\n  %s\n", v->o->again);
}

/* All runs that are wanted; after a failure or a signal, the end of those that had begun. */
static KdOutcome drive_runs(KdDrive *v) {
    KdOutcome outcome = KD_FINISHED;
    for (int k = 0; k < v->s->nruns && outcome == KD_FINISHED; k++) {
        if (!v->planned[k].wanted || v->planned[k].begun) continue;
        outcome = one_group(v, k);
        release_weights(v, k);
        if (outcome == KD_FINISHED && v->crew && kd_signal_received()) outcome = KD_INTERRUPTED;
    }
    while (v->crew && v->crew->n > 0) {
        KdOutcome last = take_results(v);
        if (outcome != KD_FAILED && last != KD_FINISHED) outcome = last;
    }
    return outcome;
}

int kd_drive_train(const KdScript *s, const KdDriveOptions *o, KdDiag *d) {
    KdDrive v = {
        .s = s, .study = o->run ? NULL : s->study, .o = o, .d = d, .arena = kd_arena_create()
    };
    v.ended = KD_NEW_ARRAY(v.arena, KdEnded, s->nruns);
    v.planned = KD_NEW_ARRAY(v.arena, KdPlanned, s->nruns);
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
