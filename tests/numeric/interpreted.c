/*
 * Ten training steps of some networks through script and passes, run by the reference interpreter
 * in double precision, against PyTorch's losses in double: to 1e-7, since nothing but the rounding
 * of constants to float differs. At the tensor level and, fused, at the kernel level.
 */
#include "ir/interp.h"
#include "passes/pass.h"
#include "tests/numeric/formula.h"
#include "tests/numeric/record.h"

#define TENSOR_LEVEL "autodiff,optimize"
#define KERNEL_LEVEL "canonicalize,autodiff,optimize,canonicalize{drop_detach=1},fuse"

/* What the argument begins with: images, labels, parameters; the rest is zero. */
static void fill_argument(const KdRun *run, const KdValue *v, KdTensor *t) {
    const KdModule *m = run->module;
    const KdParam *param = kd_param_of_value(m, v);
    bool slab = !strcmp(v->name, "params"), running = !strcmp(v->name, "running");
    if (!strcmp(v->name, "images") || !strcmp(v->name, "labels")) {
        KdrtDataset data = formula_data(ROWS);
        const uint8_t *from = v->name[0] == 'i' ? data.x.data : data.y.data;
        for (int64_t k = 0; k < t->count; k++) t->data[k] = from[k];
        kdrt_dataset_free(&data);
    } else if (slab || running || param) {
        const char *network = slab || running ? run->network : param->network;
        uint32_t salt = strcmp(network, run->network) == 0 ? TRAINED_SALT : TEACHER_SALT;
        float *values = kdrt_alloc((size_t)kd_slab_elements(m, network) * sizeof *values);
        formula_params(m, network, salt, values);
        int64_t first = slab ? 0 : running ? kd_slab_trained(m, network) : kd_slab_offset(m, param);
        for (int64_t k = 0; k < t->count; k++) t->data[k] = (double)values[first + k];
        kdrt_free(values);
    }
}

/* Index, epoch and step of that step. */
static void set_counters(const KdFunc *f, KdTensor *args, int step) {
    for (int k = 0; k < f->nargs; k++) {
        const char *kind = f->args[k]->kind ? f->args[k]->kind : "";
        if (!strcmp(kind, KD_ARG_EPOCH)) args[k].data[0] = step * BATCH / ROWS;
        if (!strcmp(kind, KD_ARG_STEP)) args[k].data[0] = step;
        for (int row = 0; row < BATCH && !strcmp(kind, KD_ARG_INDEX); row++) {
            args[k].data[row] = step * BATCH % ROWS + row;
        }
    }
}

static void compare(const char *name, const char *passes) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdScript *script = load_networks(&d);
    KdRun *run = find_run(script, name);
    KdArena *a = kd_arena_create();
    if (kd_attr_find(run->module->program, "noise.kind"))
        passes = kd_arena_format(a, "inject-noise,%s", passes);
    assert_true(kd_run_pipeline(run->module, &(KdPipeline){ .passes = passes }, &d));
    const KdFunc *f = kd_module_func(run->module, "step");
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs);
    KdTensor *results = KD_NEW_ARRAY(a, KdTensor, f->nresults);
    for (int k = 0; k < f->nargs; k++) {
        args[k] = kd_tensor_create(a, f->args[k]->type, BATCH, ROWS);
        fill_argument(run, f->args[k], &args[k]);
    }
    double loss[STEPS];
    for (int step = 0; step < STEPS; step++) {
        KdArena *scratch = kd_arena_create();
        KdInterp in = { .arena = scratch, .seed = (uint64_t)run->seed, .n = BATCH };
        set_counters(f, args, step);
        assert_true(kd_interpret(&in, f, args, results, &d));
        loss[step] = results[0].data[0];
        for (int k = 1; k < f->nresults; k++) {
            KdTensor *to = &args[f->in_place[k]];
            memcpy(to->data, results[k].data, (size_t)to->count * sizeof *to->data);
        }
        kd_arena_destroy(scratch);
    }
    check_losses(name, passes, loss, 1e-7);
    const KdValue *running = kd_func_arg(f, "running");
    double statistic[STEPS];
    for (int k = 0; k < STEPS && running; k++) {
        int64_t first = kd_slab_trained(run->module, run->network);
        statistic[k] =
            args[running->index].data[statistic_at(run->module, run->network, k) - first];
    }
    if (running) check_losses("residual.running", passes, statistic, 1e-7);
    kd_arena_destroy(a);
    kd_script_destroy(script);
}

static void mlp(void **state) {
    (void)state;
    compare("mlp", TENSOR_LEVEL);
    compare("mlp", KERNEL_LEVEL);
}

static void noisy(void **state) {
    (void)state;
    compare("noisy", TENSOR_LEVEL);
    compare("noisy", KERNEL_LEVEL);
}

static void kl(void **state) {
    (void)state;
    compare("kl", TENSOR_LEVEL);
    compare("kl", KERNEL_LEVEL);
}

static void groups(void **state) {
    (void)state;
    compare("groups", TENSOR_LEVEL);
}

static void clipped(void **state) {
    (void)state;
    compare("clipped", TENSOR_LEVEL);
}

static void residual(void **state) {
    (void)state;
    compare("residual", TENSOR_LEVEL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mlp),    cmocka_unit_test(noisy),   cmocka_unit_test(kl),
        cmocka_unit_test(groups), cmocka_unit_test(clipped), cmocka_unit_test(residual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
