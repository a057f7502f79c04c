/*
 * Ten training steps of some networks, through script, passes and JIT, against the losses that
 * PyTorch gave (losses.txt, made by reference.py), to 1e-4 relative: with every optional pass and
 * without any, on 1 and on 2 threads; the losses of 1 and 2 threads are the same bits.
 */
#include "frontend/driver/train.h"
#include "passes/pass.h"

#include "tests/numeric/formula.h"
#include "tests/numeric/record.h"

/* --- one run -------------------------------------------------------------------------------- */

typedef struct Trained {
    float loss[STEPS], statistic[STEPS];
    bool renews; /* are there running statistics? */
    int done;
} Trained;

static int32_t record(void *user, KdrtEpoch *now) {
    Trained *t = user;
    assert_true(t->done >= 0 && t->done < STEPS);
    t->loss[t->done++] = now->loss;
    return 0;
}

/* The data argument that holds the hoisted teacher's logits, or NULL. */
static const KdValue *cached_logits(const KdFunc *step) {
    for (int k = 0; k < step->nargs; k++) {
        const KdValue *v = step->args[k];
        bool data = v->kind && !strcmp(v->kind, KD_ARG_DATA);
        if (data && v->type.dtype == KD_F32 && v->type.rank == 2) return v;
    }
    return NULL;
}

/* The teacher's weights, and its logits for every row where it was hoisted. */
static void bind_teacher(KdTraining *t, const char *network, KdArena *a, KdDiag *d) {
    const KdModule *m = t->c->m;
    float *slab = kdrt_alloc((size_t)kd_slab_elements(m, network) * sizeof *slab);
    formula_params(m, network, TEACHER_SALT, slab);
    kd_bind(&t->bindings, kd_arena_format(a, "%s.params", network), slab);
    const KdValue *logits = cached_logits(t->c->step);
    if (!logits) return;
    float *table = kdrt_alloc(ROWS * CLASSES * sizeof *table);
    kd_fill_rows(t->c, t->c->teacher, t->c->run_teacher, &t->bindings, (KdrtSplit){ 0, ROWS },
                 &table, NULL, d);
    kd_bind(&t->bindings, logits->name, table);
}

static void free_teacher(KdTraining *t, const char *network, KdArena *a) {
    const KdValue *logits = cached_logits(t->c->step);
    kdrt_free(kd_bound(&t->bindings, kd_arena_format(a, "%s.params", network)));
    if (logits) kdrt_free(kd_bound(&t->bindings, logits->name));
}

static void run_steps(KdTraining *t, Trained *trained, KdArena *a, KdDiag *d) {
    float loss;
    int32_t unset = 0;
    void *results[8] = { &loss };
    KdBindings b = t->bindings;
    b.index = b.epoch = b.step = &unset;
    void **args = kd_bind_args(&b, t->c->step, a, d);
    for (int32_t k = 0; k < ROWS; k++) t->order[k] = k;
    KdrtEpoch e = {
        .frame = kd_frame(t->c, t->c->step, args, results, 0),
        .args = args,
        .order = t->order,
        .samples = ROWS,
        .batch = (int32_t)t->c->run->batch,
        .progress_every = 1,
        .progress = record,
        .user = trained,
    };
    while (e.step < STEPS) {
        e.done = 0;
        e.loss_sum = 0;
        assert_int_equal(t->c->run_epoch(&e), KDRT_OK);
        assert_int_equal(e.done, ROWS);
        double sum = 0;
        for (int k = trained->done - 2; k < trained->done; k++)
            sum += 32 * (double)trained->loss[k];
        assert_true(fabs(e.loss_sum - sum) <= 1e-4 * sum);
        e.epoch++;
    }
    assert_int_equal(trained->done, STEPS);
}

typedef struct Variant {
    bool optimised;
    int threads;
} Variant;

/* Names of the optional passes, NULL-ended, into `skip`. */
static void optional_passes(const char **skip) {
    for (int k = 0; k < kd_pass_count(); k++) {
        if (kd_pass_at(k)->optional) *skip++ = kd_pass_at(k)->name;
    }
    *skip = NULL;
}

static Trained train(const char *name, Variant variant) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdArena *a = kd_arena_create();
    KdScript *script = load_networks(&d);
    KdRun *run = find_run(script, name);
    const char *skip[64] = { NULL };
    if (!variant.optimised) optional_passes(skip);
    KdEngine engine;
    KdDriveOptions options = { .skip = skip, .threads = variant.threads };
    assert_true(kd_engine_create(&engine, &options, a, &d));
    KdCompiled *c = kd_compile_run(run, &options, &engine, a, &d);
    assert_non_null(c);

    KdrtDataset data = formula_data(ROWS);
    KdTraining t;
    Trained trained = { 0 };
    assert_true(kd_training_create(&t, c, &data, &d));
    formula_params(c->m, run->network, TRAINED_SALT, t.params);
    const char *teacher = run->nteachers ? run->teachers[0]->network : NULL;
    if (teacher) bind_teacher(&t, teacher, a, &d);
    run_steps(&t, &trained, a, &d);
    if (teacher) free_teacher(&t, teacher, a);
    trained.renews = statistic_at(c->m, run->network, 0) >= 0;
    for (int k = 0; k < STEPS && trained.renews; k++)
        trained.statistic[k] = t.params[statistic_at(c->m, run->network, k)];

    kd_training_destroy(&t);
    kdrt_dataset_free(&data);
    kd_compiled_destroy(c);
    kd_engine_destroy(&engine);
    kd_script_destroy(script);
    kd_arena_destroy(a);
    return trained;
}

static void compare(const char *name) {
    for (int optimised = 1; optimised >= 0; optimised--) {
        Trained one = train(name, (Variant){ optimised, 1 });
        Trained two = train(name, (Variant){ optimised, 2 });
        const char *what = optimised ? "passes on" : "passes off";
        double loss[STEPS], statistic[STEPS];
        for (int k = 0; k < STEPS; k++) {
            loss[k] = (double)one.loss[k];
            statistic[k] = (double)one.statistic[k];
        }
        check_losses(name, what, loss, 1e-4);
        if (one.renews) check_losses("residual.running", what, statistic, 1e-4);
        assert_memory_equal(one.loss, two.loss, sizeof one.loss);
        assert_memory_equal(one.statistic, two.statistic, sizeof one.statistic);
    }
}

static void mlp(void **state) {
    (void)state;
    compare("mlp");
}

static void lenet(void **state) {
    (void)state;
    compare("lenet");
}

static void noisy(void **state) {
    (void)state;
    compare("noisy");
}

static void kl(void **state) {
    (void)state;
    compare("kl");
}

static void groups(void **state) {
    (void)state;
    compare("groups");
}

static void clipped(void **state) {
    (void)state;
    compare("clipped");
}

static void residual(void **state) {
    (void)state;
    compare("residual");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mlp),     cmocka_unit_test(lenet),    cmocka_unit_test(noisy),
        cmocka_unit_test(kl),      cmocka_unit_test(residual), cmocka_unit_test(groups),
        cmocka_unit_test(clipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
