/*
 * The table of measured contractions: keys tell what matters and nothing else, and a measurement
 * runs both ways.
 */
#include "backend/tune.h"
#include "jit_support.h"
#include "passes/pass.h"
#include "runtime/host/blas.h"

static const char text[] =
    "kdc-ir 1\n"
    "func @f(%x: f32[B<=9,33] input, %w: f32[7,33] input, %v: f32[7,33] input) -> (f32[B,7], "
    "f32[B,7], f32[B,7]) {\n"
    "  %a = contract %x, %w { over = [33], a = [d0, d2], b = [d1, d2] } : f32[B,7] loc(3)\n"
    "  %b = contract %x, %v { over = [33], a = [d0, d2], b = [d1, d2] } : f32[B,7] loc(4)\n"
    "  %c = contract %x, %v { over = [30], a = [d0, 2*d2 - d1 + 1], b = [d1, d2] } : f32[B,7]\n"
    "  return %a, %b, %c\n"
    "}\n";

static KdModule *planned(KdDiag *d) {
    KdModule *m = kd_parse_module(text, sizeof text - 1, "test.kir", d);
    assert_non_null(m);
    m->target = kd_target_host(m->arena);
    const KdPipeline pipeline = { .passes = "fuse,plan-memory" };
    assert_true(kd_run_pipeline(m, &pipeline, d));
    return m;
}

static void keys(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdModule *m = kd_parse_module(text, sizeof text - 1, "test.kir", &d);
    assert_non_null(m);
    const KdInstr *a = m->first->first;
    assert_string_equal(kd_contraction_key(a, m->arena),
                        "f32[B,7] B<=9 over [33] f32[B,33] at [d0,d2] x f32[7,33] at [d1,d2]");
    assert_string_equal(kd_contraction_key(a->next, m->arena), kd_contraction_key(a, m->arena));
    assert_string_equal(
        kd_contraction_key(a->next->next, m->arena),
        "f32[B,7] B<=9 over [30] f32[B,33] at [d0,-d1+2d2+1] x f32[7,33] at [d1,d2]");
    kd_module_destroy(m);
}

static void measurement(void **state) {
    (void)state;
    KdDiag d;
    KdrtError error;
    kd_diag_init(&d, stderr, false);
    assert_true(kdrt_blas_start(&error));
    KdModule *m = planned(&d);
    const KdEntry entry = { kd_module_func(m, "f"), false };
    const KdBackendOptions options = { .sgemm = kdrt_sgemm, .threads = 1 };
    KdTuning t = { .arena = m->arena };
    assert_int_equal(kd_tune(1, &entry, &options, NULL, &t, &d), 2); /* two are equal */
    assert_int_equal(t.n, 2);
    for (int k = 0; k < 2; k++) {
        const KdChoice *c = &t.choice[k];
        assert_true(c->native_seconds > 0 && c->native_seconds < 1);
        assert_true(c->openblas_seconds > 0 && c->openblas_seconds < 1);
        assert_true(!c->openblas || c->openblas_seconds < c->native_seconds);
    }
    assert_int_equal(kd_tune(1, &entry, &options, NULL, &t, &d), 0); /* nothing is left to do */
    /* The plan names what is OpenBLAS's, once for each contraction. */
    t.choice[0].openblas = true;
    t.choice[1].openblas = false;
    const char *key = t.choice[0].key;
    assert_string_equal(kd_tuning_plan(&t, 1, &entry, m->arena),
                        kd_arena_format(m->arena, "%s\n%s\n", key, key));
    kd_module_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(keys), cmocka_unit_test(measurement) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
