/*
 * Weights folded for an object file: the network computes what it did, to the rounding of the new
 * weights to float, and no product is scaled behind its sum any more.
 */
#include "frontend/ship.h"
#include "ir/interp.h"
#include "tests/numeric/formula.h"
#include "tests/numeric/record.h"

enum { SAMPLES = 3 };

/* @network on made-up inputs, with parameters out of the slab. */
static KdTensor run_network(const KdRun *run, const float *slab, KdArena *a, KdDiag *d) {
    const KdFunc *f = kd_module_func(run->module, run->network);
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs), result;
    for (int k = 0; k < f->nargs; k++) {
        const KdParam *p = kd_param_of_value(run->module, f->args[k]);
        args[k] = kd_tensor_create(a, f->args[k]->type, SAMPLES, 0);
        for (int64_t e = 0; e < args[k].count; e++)
            args[k].data[e] = (double)(p ? slab[kd_slab_offset(run->module, p) + e]
                                         : formula_unit((uint32_t)e, 99));
    }
    KdInterp in = { .arena = a, .n = SAMPLES };
    assert_true(kd_interpret(&in, f, args, &result, d));
    return result;
}

static int count_ops(const KdFunc *f, KdOp op) {
    int n = 0;
    KD_EACH_INSTR(i, f) n += i->op == op;
    return n;
}

static void check(const char *name, int params, int multiplications) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdScript *script = load_networks(&d);
    KdRun *run = find_run(script, name);
    KdArena *a = kd_arena_create();
    float *slab = KD_NEW_ARRAY(a, float, kd_slab_elements(run->module, run->network));
    formula_params(run->module, run->network, TRAINED_SALT, slab);
    KdTensor before = run_network(run, slab, a, &d);
    float *folded = kd_fold_weights(run->module, run->network, slab, a, &d);
    assert_non_null(folded);
    KdTensor after = run_network(run, folded, a, &d);
    assert_int_equal(before.count, after.count);
    double size = 0;
    for (int64_t k = 0; k < before.count; k++) size = fmax(size, fabs(before.data[k]));
    for (int64_t k = 0; k < before.count; k++)
        assert_true(fabs(before.data[k] - after.data[k]) <= 1e-6 * size);
    assert_true(size > 0.01);
    assert_int_equal(run->module->nparams, params);
    const KdFunc *f = kd_module_func(run->module, run->network);
    assert_int_equal(count_ops(f, KD_OP_MUL), multiplications);
    assert_int_equal(count_ops(f, KD_OP_SQRT), 0);
    kd_arena_destroy(a);
    kd_script_destroy(script);
}

/* Five products, each with weights and one bias; the average of the shortcut multiplies. */
static void batch_norms_go_into_weights(void **state) {
    (void)state;
    check("residual", 12, 1);
}

/* Two norms that follow no product: a factor and a summand each, once for all. */
static void other_batch_norms_are_prepared(void **state) {
    (void)state;
    check("before", 8, 2);
}

static void other_networks_stay(void **state) {
    (void)state;
    check("mlp", 6, 0);
}

/* --- dead units --------------------------------------------------------------------------------
 */

/* Sets weights [row or any, column or any, …] of that parameter; -1: any. */
static void set(const KdRun *run, float *slab, const char *name, int64_t row, int64_t column,
                float value) {
    const KdParam *p = kd_module_param(run->module, run->network, name);
    assert_non_null(p);
    float *w = slab + kd_slab_offset(run->module, p);
    int64_t n = kd_type_elements(p->type, 0, 0), width = n / p->type.dim[0];
    int64_t inner = p->type.rank > 1 ? width / p->type.dim[1] : 1;
    for (int64_t k = 0; k < n; k++)
        if ((row < 0 || k / width == row) && (column < 0 || k % width / inner == column))
            w[k] = value;
}

static int64_t dim_of(const KdRun *run, const char *name, int dim) {
    return kd_module_param(run->module, run->network, name)->type.dim[dim];
}

/* In lenet one unit each that is 0, constant, or not read; and one that is read by a dead unit
 * alone. Between the convolutions constants meet padding, and stay. */
static void dead_units_go(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdScript *script = load_networks(&d);
    KdRun *run = find_run(script, "lenet");
    KdArena *a = kd_arena_create();
    float *slab = KD_NEW_ARRAY(a, float, kd_slab_elements(run->module, run->network));
    formula_params(run->module, run->network, TRAINED_SALT, slab);
    set(run, slab, "conv1.weight", 2, -1, 0);
    set(run, slab, "conv1.bias", 2, -1, -0.3f);
    set(run, slab, "conv1.weight", 5, -1, 0);
    set(run, slab, "conv1.bias", 5, -1, 0.3f);
    set(run, slab, "conv2.weight", -1, 4, 0);
    set(run, slab, "conv2.weight", 5, -1, 0);
    set(run, slab, "conv2.bias", 5, -1, 0.3f);
    float kept = formula_unit(1, 1);
    set(run, slab, "conv2.weight", -1, 1, 0);
    set(run, slab, "conv2.weight", 3, 1, kept);
    int64_t inner = dim_of(run, "fc1.weight", 1) / 12;
    for (int64_t k = 0; k < inner; k++) set(run, slab, "fc1.weight", -1, 3 * inner + k, 0);
    set(run, slab, "fc1.weight", 7, -1, 0);
    set(run, slab, "fc1.bias", 7, -1, 0.2f);
    set(run, slab, "fc2.weight", -1, 9, 0);
    KdTensor before = run_network(run, slab, a, &d);
    slab = kd_fold_weights(run->module, run->network, slab, a, &d);
    int dead = 0;
    slab = kd_prune_weights(run->module, run->network, slab, &dead, a, &d);
    assert_non_null(slab);
    assert_int_equal(dead, 7);
    static const int64_t outputs[] = { 3, 10, 30, 10 };
    const KdFunc *f = kd_module_func(run->module, run->network);
    int layer = 0;
    KD_EACH_INSTR(i, f)
    if (i->op == KD_OP_CONTRACT) assert_int_equal(i->results[0]->type.dim[1], outputs[layer++]);
    KdTensor after = run_network(run, slab, a, &d);
    double size = 0;
    for (int64_t k = 0; k < before.count; k++) size = fmax(size, fabs(before.data[k]));
    assert_true(size > 0.01);
    for (int64_t k = 0; k < before.count; k++)
        assert_true(fabs(before.data[k] - after.data[k]) <= 1e-6 * size);
    kd_arena_destroy(a);
    kd_script_destroy(script);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_norms_go_into_weights),
        cmocka_unit_test(other_batch_norms_are_prepared),
        cmocka_unit_test(other_networks_stay),
        cmocka_unit_test(dead_units_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
