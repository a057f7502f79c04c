/*
 * The training loop around the generated one. An epoch is one call of @step_epoch; between epochs
 * the validation rows are evaluated, the best weights kept, a line of metrics and a checkpoint
 * written, of one run or of each of several that train together. Nothing here knows what is
 * trained: the module's arguments say what to bind.
 */
#include "frontend/driver/diagnose.h"
#include "frontend/driver/resume.h"
#include "frontend/driver/signals.h"
#include "frontend/driver/together.h"
#include "runtime/host/metrics.h"
#include "runtime/init.h"

#include <math.h>
#include <string.h>

#define LOOK_STEPS   8    /* steps between looks at the clock and at signals, */
#define LOOK_SECONDS 0.02 /* unless they take longer than that: then one */
#define SAVE_SHARE   0.05 /* of a run's time goes to checkpoints at the ends of epochs, at most */

/* --- memory -------------------------------------------------------------------------------- */

static bool initialise(KdTraining *t, KdDiag *d) {
    const KdModule *m = t->c->m;
    const char *network = t->c->run->network;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (strcmp(p->network, network) != 0) continue;
        KdrtInit init = {
            .network = network,
            .parameter = p->name,
            .kind = p->init,
            .fan_in = p->fan_in,
            .fan_out = p->fan_out,
            .value = p->value,
        };
        float *at = t->params + kd_slab_offset(m, p);
        if (!kdrt_init(&init, kd_run_seed(t->c->run), at, kd_type_elements(p->type, 0, 0)))
            return kd_error(d, p->loc, "parameter %s: unknown initialiser '%s'", p->name, p->init);
    }
    return true;
}

static float *slab(const KdTraining *t) {
    return kdrt_alloc((size_t)t->elements * sizeof(float));
}

static bool bind_state(KdTraining *t) {
    const KdFunc *step = t->c->step;
    int64_t trained = kd_slab_trained(t->c->m, t->c->run->network);
    for (int k = 0; k < step->nargs; k++) {
        const KdValue *v = step->args[k];
        if (!v->kind || strcmp(v->kind, KD_ARG_SLAB) != 0) continue;
        if (strcmp(v->name, "params") == 0) {
            kd_bind(&t->bindings, v->name, t->params);
            continue;
        }
        if (strcmp(v->name, "running") == 0) {
            kd_bind(&t->bindings, v->name, t->params + trained);
            continue;
        }
        if (t->nstates == KD_MAX_STATES)
            kd_bug(NULL, "more than %d optimiser slabs", KD_MAX_STATES);
        t->states[t->nstates] = slab(t);
        if (!t->states[t->nstates]) return false;
        kd_bind(&t->bindings, v->name, t->states[t->nstates++]);
    }
    return true;
}

bool kd_training_create(KdTraining *t, const KdCompiled *c, const KdrtDataset *data, KdDiag *d) {
    *t = (KdTraining){ .c = c, .data = data, .arena = kd_arena_create(), .best_error = 2 };
    t->elements = kd_slab_elements(c->m, c->run->network);
    t->params = slab(t);
    t->best = slab(t);
    t->order = kdrt_alloc((size_t)data->train.count * sizeof *t->order);
    if (!t->params || !t->best || !t->order || !bind_state(t))
        return kd_error(d, c->run->loc, "%s: no memory for %lld parameters and their state",
                        c->run->name, (long long)t->elements);
    kd_bind(&t->bindings, kd_arena_format(t->arena, "%s.params", c->run->network), t->params);
    kd_bind(&t->bindings, "images", data->x.data);
    kd_bind(&t->bindings, "labels", data->y.data);
    if (data->mean) kd_bind(&t->bindings, "mean", data->mean);
    if (data->rate) kd_bind(&t->bindings, "rate", data->rate);
    return initialise(t, d);
}

void kd_training_destroy(KdTraining *t) {
    kdrt_free(t->params);
    kdrt_free(t->best);
    kdrt_free(t->order);
    for (int k = 0; k < t->nstates; k++) kdrt_free(t->states[k]);
    if (t->arena) kd_arena_destroy(t->arena);
    *t = (KdTraining){ 0 };
}

/* --- evaluation ---------------------------------------------------------------------------- */

double kd_training_error(KdTraining *t, float *params, KdrtSplit rows, float *logits, KdDiag *d) {
    if (rows.count == 0) return NAN;
    int classes = t->c->run->data->classes;
    KdBindings b = t->bindings;
    kd_bind(&b, kd_arena_format(t->arena, "%s.params", t->c->run->network), params);
    KdArena *scratch = kd_arena_create();
    float *table = logits ? logits : KD_NEW_ARRAY(scratch, float, rows.count *classes);
    kd_fill_rows(t->c, t->c->evaluate, t->c->run_evaluate, &b, rows, &table, NULL, d);
    int64_t wrong = kdrt_count_errors(table, &t->data->y, rows.first, rows.count, classes);
    kd_arena_destroy(scratch);
    return (double)wrong / (double)rows.count;
}

/* --- an epoch ------------------------------------------------------------------------------ */

/* What looks on while the generated loop runs. */
typedef struct Watch {
    KdTraining *t;        /* what the loop works on: a run, */
    KdTogether *together; /* or all of these (else NULL) */
    KdOutput *out;
    KdrtProgress *progress;
    const KdDriveOptions *o;
    KdDiag *d;
    int32_t steps;      /* between looks, at most */
    double looked_at;   /* the last look */
    double since;       /* until when t->seconds counts */
    double saved_at;    /* the newest checkpoint: when it was done, */
    double save_took;   /* how long it took, in seconds */
    int32_t saved_step; /* and at which step */
    bool failed;        /* a checkpoint could not be written; the error was said */
    bool apart;         /* those that train together have to go on alone */
} Watch;

/* The runs at work, from k = 0 on; NULL behind the last. */
static KdTraining *run_at_work(const Watch *w, int *k) {
    if (!w->together) return (*k)++ ? NULL : w->t;
    while (*k < w->together->n && w->together->over[*k]) ++*k;
    return *k < w->together->n ? w->together->of[(*k)++] : NULL;
}

/* Takes over what the loop has done so far, so that t may be saved. */
static void take_over(Watch *w, const KdrtEpoch *e) {
    KdTraining *t = w->t;
    double now = kdrt_seconds();
    t->seconds += now - w->since;
    w->since = now;
    t->images += e->done - t->done;
    t->done = e->done;
    t->step = e->step;
    t->loss_sum = e->loss_sum;
}

bool kd_training_is_finite(const KdTraining *t) {
    for (int64_t k = 0; k < t->elements; k++)
        if (!isfinite(t->params[k])) return false;
    return true;
}

/* A gradient that is not finite shows in the next step's loss, unless somebody looks for it
 * (--check=all): until then it must not get into a checkpoint. */
static bool check_weights(const Watch *w) {
    const KdTraining *t = w->t;
    const KdRun *run = t->c->run;
    if (w->together) return true; /* see settle */
    if (strcmp(kd_attr_str(t->c->m->program, "check", "loss"), "off") == 0) return true;
    if (kd_training_is_finite(t)) return true;
    kd_error(w->d, run->loc, "%s: weights are not finite after step %d (epoch %d)", run->name,
             t->step, t->epoch + 1);
    kd_note(w->d, run->loc, "--check=all finds the gradient that did it");
    return false;
}

/* Each of those that train together takes over its numbers. False where they are to go on alone,
 * each from where it took them last: then the one that is at fault says so. */
static bool settle(Watch *w) {
    if (!w->together) return true;
    w->apart = !kd_training_is_finite(w->t);
    if (!w->apart) kd_together_take(w->together);
    return !w->apart;
}

static bool save(Watch *w) {
    double start = kdrt_seconds();
    w->saved_step = w->t->step;
    w->failed = !check_weights(w);
    int k = 0;
    for (const KdTraining *t; !w->failed && (t = run_at_work(w, &k));)
        w->failed = !kd_checkpoint_save(w->out, t, w->d);
    w->saved_at = kdrt_seconds();
    w->save_took = w->saved_at - start;
    w->since += w->save_took; /* not time spent in training steps */
    return !w->failed;
}

/* Has the time between checkpoints gone by, or have the steps been done? */
static bool is_due(const Watch *w, int32_t step) {
    if (w->o->checkpoint_steps > 0) return step - w->saved_step >= w->o->checkpoint_steps;
    int64_t period =
        w->o->checkpoint_seconds > 0 ? w->o->checkpoint_seconds : KD_CHECKPOINT_SECONDS;
    return kdrt_seconds() - w->saved_at >= (double)period;
}

/* At the end of an epoch, where none is due: has enough been done since the newest checkpoint? A
 * disk takes milliseconds to keep one, which is as long as an epoch of a small network. */
static bool is_worth_saving(const Watch *w) {
    return (kdrt_seconds() - w->saved_at) * SAVE_SHARE >= w->save_took;
}

/* So often that each step at which a checkpoint may be due is seen. */
static int32_t look_steps(const KdDriveOptions *o) {
    int32_t steps = LOOK_STEPS;
    while (o->checkpoint_steps > 0 && o->checkpoint_steps % steps) steps /= 2;
    return steps;
}

/* Called by the generated loop every few steps; non-zero stops it. */
static int32_t watch_epoch(void *user, KdrtEpoch *e) {
    Watch *w = user;
    if (w->together) {
        kd_together_add_losses(w->together, e->frame.n);
        if (e->step % w->steps && e->done < e->samples) return 0; /* it comes to each step */
    }
    double now = kdrt_seconds();
    e->progress_every = w->together || now - w->looked_at >= LOOK_SECONDS ? 1 : w->steps;
    w->looked_at = now;
    KdrtProgressNow at = {
        .epoch = e->epoch,
        .done = e->done,
        .loss = e->done ? e->loss_sum / (double)e->done : 0,
    };
    if (w->together) at.loss /= w->together->n;
    kdrt_progress_show(w->progress, &at);
    if (e->done < e->samples && is_due(w, e->step)) { /* at its end kd_train asks */
        take_over(w, e);
        if (!settle(w) || !save(w)) return 1;
    }
    return kd_signal_received() != 0;
}

static KdrtStatus run_epoch(Watch *w) {
    KdTraining *t = w->t;
    const KdRun *run = t->c->run;
    KdArena *scratch = kd_arena_create();
    float loss;
    void *results[1 + 2 + KD_MAX_STATES] = { &loss };
    KdBindings b = t->bindings;
    int32_t unset = 0; /* the generated loop binds index, epoch and step itself */
    b.index = b.epoch = b.step = &unset;
    void **args = kd_bind_args(&b, t->c->step, scratch, w->d);
    KdrtEpoch e = {
        .frame = kd_frame(t->c, t->c->step, args, results, 0),
        .args = args,
        .order = t->order,
        .samples = t->data->train.count,
        .done = t->done,
        .batch = (int32_t)run->batch,
        .epoch = t->epoch,
        .step = t->step,
        .progress_every = 1,
        .loss_sum = t->loss_sum,
        .progress = watch_epoch,
        .user = w,
    };
    w->since = w->looked_at = kdrt_seconds();
    KdrtStatus status = (KdrtStatus)t->c->run_epoch(&e);
    take_over(w, &e);
    kd_arena_destroy(scratch);
    return status;
}

/* After the last step of an epoch: validation, best weights, metrics. */
static bool finish_epoch(const Watch *w, KdTraining *t) {
    t->final_loss = t->loss_sum / (double)t->done;
    t->done = 0;
    t->loss_sum = 0;
    t->epoch++;
    double error = kd_training_error(t, t->params, t->data->validation, NULL, w->d);
    if (!(error >= t->best_error)) { /* NaN, without validation rows: the last weights are best */
        t->best_error = isnan(error) ? 2 : error;
        t->best_epoch = t->epoch;
        memcpy(t->best, t->params, (size_t)t->elements * sizeof(float));
    }
    char validation[48] = "";
    if (!isnan(error))
        snprintf(validation, sizeof validation, "  validation error %.2f %%", 100 * error);
    kdrt_progress_note(w->progress, "%-12s epoch %d/%lld  loss %.5g%s", t->c->run->name, t->epoch,
                       (long long)t->c->run->epochs, t->final_loss, validation);
    return kd_output_metrics(w->out, t, error, w->d);
}

static bool finish_epochs(const Watch *w) {
    bool ok = true;
    int k = 0;
    for (KdTraining *t; ok && (t = run_at_work(w, &k));) ok = finish_epoch(w, t);
    if (w->together) kd_together_next_epoch(w->together);
    return ok;
}

bool kd_training_is_over(const KdTraining *t) {
    const KdRun *run = t->c->run;
    bool patient = run->patience <= 0 || t->epoch < run->min_epochs ||
                   t->epoch - t->best_epoch < run->patience;
    return t->epoch >= run->epochs || !patient;
}

/* Does one of the runs at work end here? */
static bool one_is_over(const Watch *w) {
    bool over = false;
    int k = 0;
    for (const KdTraining *t; (t = run_at_work(w, &k));) over |= kd_training_is_over(t);
    return over;
}

static bool goes_on(const Watch *w) {
    return w->together ? kd_together_goes_on(w->together) : !kd_training_is_over(w->t);
}

/* The order of the epoch's samples: shuffled, drawn with repetition where the run wants that. */
static void order_samples(KdTraining *t) {
    int64_t n = t->data->train.count;
    uint64_t seed = kd_run_seed(t->c->run);
    kdrt_shuffle(t->order, n, seed, (uint32_t)t->epoch);
    if (kd_attr_int(t->c->m->program, "resample", 0)) kdrt_resample(t->order, n, seed);
    for (int64_t k = 0; k < n && t->data->kept; k++) t->order[k] = t->data->kept[t->order[k]];
}

static KdOutcome train(Watch *w) {
    const KdTraining *t = w->t;
    while (goes_on(w)) {
        order_samples(w->t);
        KdrtStatus status = run_epoch(w);
        bool stopped = status == KDRT_STOPPED && t->done < t->data->train.count;
        if (status == KDRT_NOT_FINITE && !w->together) {
            kd_diagnose_not_finite(t, w->d);
            w->failed = true;
        }
        if (w->together && (status == KDRT_NOT_FINITE || w->apart)) return KD_FINISHED;
        if (!w->failed && !settle(w)) return KD_FINISHED;
        if (!w->failed && !stopped) w->failed = !check_weights(w) || !finish_epochs(w);
        stopped |= kd_signal_received() != 0;
        bool due = stopped || one_is_over(w) || is_due(w, t->step) || is_worth_saving(w);
        if (w->failed || (due && !save(w))) return KD_FAILED;
        if (stopped) return KD_INTERRUPTED;
    }
    return KD_FINISHED;
}

static KdOutcome watch_training(Watch *w) {
    w->saved_at = kdrt_seconds();
    w->saved_step = w->t->step;
    w->steps = look_steps(w->o);
    return train(w);
}

KdOutcome kd_train(KdTraining *t, KdOutput *out, KdrtProgress *progress, const KdDriveOptions *o,
                   KdDiag *d) {
    Watch w = { .t = t, .out = out, .progress = progress, .o = o, .d = d };
    KdOutcome outcome = watch_training(&w);
    if (outcome == KD_FAILED) kd_checkpoint_note(out, t, d);
    return outcome;
}

KdOutcome kd_train_together(KdTogether *g, KdOutput *out, KdrtProgress *progress,
                            const KdDriveOptions *o, KdDiag *d) {
    Watch w = { .t = &g->all, .together = g, .out = out, .progress = progress, .o = o, .d = d };
    return watch_training(&w);
}
