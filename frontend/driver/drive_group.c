/*
 * Runs that train together: those of a study which have one graph, seed and data, and differ in
 * what their losses read alone, as the points of a grid over the noise's sigma do; and no more of
 * them than a core's cache holds.
 */
#include "frontend/driver/drive.h"

#include <string.h>

/* This part of a core's second cache is for what products leave of a batch, of all together: beyond
 * it lies farther away what each alone has near (tests/bench/README.md has the measurement). */
#define CACHE_SHARE 8

/* --- which ------------------------------------------------------------------------------------ */

/* Measurements are of one run, and OpenBLAS sums as it likes. */
static bool may_be_together(const KdDrive *v) {
    const char *gemm = v->o->gemm ? v->o->gemm : "native";
    return v->study && !v->o->profile &&
           (strcmp(gemm, "native") == 0 || strcmp(gemm, "direct") == 0);
}

bool kd_stands_alone(const KdDrive *v, int number) {
    return v->planned[number].last_user == number && v->planned[number].wanted &&
           !kd_output_finished(&v->out, v->s->runs[number]->name);
}

void kd_plan_groups(KdDrive *v) {
    for (int k = 0; k < v->s->nruns && may_be_together(v); k++)
        if (kd_stands_alone(v, k)) v->planned[k].kind = kd_run_kind(v->s->runs[k]);
}

/* Bytes that the products of a network leave of a sample. */
static int64_t product_bytes(const KdNetwork *n) {
    int64_t bytes = 0;
    for (int k = 0; k < n->nlayers; k++)
        if (n->layers[k]->multiplications) bytes += kd_type_bytes(n->layers[k]->type, 1, 0);
    return bytes;
}

/* So many that all of a crew have some, and that their activations stay near. */
static int most_together(const KdDrive *v, const KdCompiled *c) {
    int64_t one = product_bytes(kd_script_network(v->s, c->run->network)) * c->run->batch;
    int64_t near = c->m->target.l2_bytes / CACHE_SHARE / (one ? one : 1);
    int width = v->crew ? v->crew->width : 1, share = (v->nwanted + width - 1) / width;
    int most = share < KD_MOST_TOGETHER ? share : KD_MOST_TOGETHER;
    if (!v->planned[kd_run_number(v->s, c->run)].kind) return 1;
    return near < most ? (int)near : most;
}

static bool same_samples(const KdrtDataset *a, const KdrtDataset *b) {
    return a->x.data == b->x.data && a->kept == b->kept && a->mean == b->mean &&
           a->train.count == b->train.count;
}

/* --- opened ----------------------------------------------------------------------------------- */

static KdOutcome add_member(KdDrive *v, KdGroup *g, int number, KdCompiled *c,
                            const KdrtDataset *data) {
    int k = g->n++;
    g->number[k] = number;
    g->c[k] = c;
    KdTraining *t = &g->t[k];
    if (!kd_training_create(t, c, data, v->d)) return KD_FAILED;
    return kd_bind_teachers(v, t);
}

/* A data set's arrays are read once, so that of another run of the same data is the same. */
static KdOutcome add_others(KdDrive *v, KdGroup *g) {
    uint64_t kind = v->planned[g->number[0]].kind;
    int most = most_together(v, g->c[0]);
    KdOutcome outcome = KD_FINISHED;
    for (int k = g->number[0] + 1; k < v->s->nruns && g->n < most && outcome == KD_FINISHED; k++) {
        const KdRun *run = v->s->runs[k];
        KdrtDataset data;
        if (v->planned[k].kind != kind || v->planned[k].begun) continue;
        if (!kd_data_open(&v->data, run->data, v->o->data_dir, &data, v->d)) return KD_FAILED;
        if (!same_samples(&data, g->t[0].data)) continue;
        outcome = add_member(v, g, k, kd_compiled_for(g->c[0], run, v->arena), g->t[0].data);
    }
    return outcome;
}

static void drop_others(KdDrive *v, KdGroup *g) {
    for (; g->n > 1; g->n--) {
        kd_training_destroy(&g->t[g->n - 1]);
        v->planned[g->number[g->n - 1]].kind = 0;
    }
}

/* Do all stand at the same step of the same epoch? */
static bool are_even(const KdGroup *g) {
    for (int k = 1; k < g->n; k++)
        if (g->t[k].epoch != g->t[0].epoch || g->t[k].step != g->t[0].step) return false;
    return true;
}

static bool join(KdDrive *v, KdGroup *g) {
    KdTraining *t[KD_MOST_TOGETHER];
    for (int k = 0; k < g->n; k++) {
        t[k] = &g->t[k];
        if (!kd_go_on(v, t[k])) return false;
    }
    if (are_even(g) && !kd_together_create(&g->together, t, g->n, v->o, &v->engine, v->arena, v->d))
        return false;
    if (!g->together.n) drop_others(v, g);
    return true;
}

KdOutcome kd_group_open(KdDrive *v, int number, KdGroup *g) {
    const KdRun *run = v->s->runs[number];
    *g = (KdGroup){ 0 };
    KdrtDataset *data = KD_NEW(v->arena, KdrtDataset);
    if (!kd_data_open(&v->data, run->data, v->o->data_dir, data, v->d)) return KD_FAILED;
    KdCompiled *c = kd_compile_run(run, v->o, &v->engine, v->arena, v->d);
    if (!c) return KD_FAILED;
    if (v->engine.tuning.n && !kd_output_plan(&v->out, &v->engine.tuning, v->d)) {
        kd_compiled_destroy(c);
        return KD_FAILED;
    }
    KdOutcome outcome = add_member(v, g, number, c, data);
    if (outcome == KD_FINISHED) outcome = add_others(v, g);
    if (outcome == KD_FINISHED && g->n > 1 && !join(v, g)) outcome = KD_FAILED;
    for (int k = 0; k < g->n; k++) v->planned[g->number[k]].begun = true;
    v->nbegun += g->n;
    return outcome;
}

void kd_group_close(KdGroup *g) {
    kd_together_destroy(&g->together);
    for (int k = 0; k < g->n; k++) kd_training_destroy(&g->t[k]);
    if (g->n) kd_compiled_destroy(g->c[0]); /* whose code is that of all */
}

/* --- trained ---------------------------------------------------------------------------------- */

static KdOutcome train_together(KdDrive *v, KdGroup *g) {
    const KdRun *first = g->c[0]->run;
    KdrtProgress progress;
    kd_begin_progress(v, kd_arena_format(v->arena, "%s and %d more", first->name, g->n - 1),
                      &progress);
    kdrt_progress_size(&progress, first->epochs, g->t[0].data->train.count, first->batch,
                       g->t[0].images);
    KdOutcome outcome = kd_train_together(&g->together, &v->out, &progress, v->o, v->d);
    kdrt_progress_end(&progress);
    return outcome;
}

KdOutcome kd_group_train(KdDrive *v, KdGroup *g, KdResults *results) {
    KdOutcome outcome = g->together.n ? train_together(v, g) : KD_FINISHED;
    results->n = 0;
    for (int k = 0; k < g->n && outcome == KD_FINISHED; k++) {
        struct KdResult *r = &results->of[results->n];
        outcome = kd_drive_run(v, &g->t[k], &r->row);
        if (outcome != KD_FINISHED) break;
        r->number = g->number[k];
        r->fingerprint = v->ended[v->nended - 1].fingerprint;
        results->n++;
    }
    return outcome;
}
