/*
 * A short sample of the random graphs that ./dev fuzz makes by the thousand, in this process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "passes/pass.h"
#include "runtime/host/blas.h"
#include "tests/fuzz/check.h"

static void random_graphs(void **state) {
    (void)state;
    KdrtError error;
    assert_true(kdrt_blas_start(&error));
    for (uint64_t seed = 1; seed <= 40; seed++) {
        GraphConfig config = graph_config(seed, 0);
        char why[GRAPH_WHY], text[GRAPH_CONFIG_TEXT];
        if (graph_check(seed, &config, NULL, why)) continue;
        graph_config_text(&config, text);
        fail_msg("seed %llu, %s: %s", (unsigned long long)seed, text, why);
    }
}

/* A seed's configurations hold every value of each option. */
static void every_option(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        unsigned switches = 0, machines = 0, threads = 0, forms = 0;
        for (int k = 0; k < GRAPH_CONFIGS; k++) {
            GraphConfig c = graph_config(seed, k);
            switches |= (c.canonicalize ? 1u : 2u) | (c.merge ? 4u : 8u) |
                        (c.openblas ? 16u : 32u) | (c.redzone ? 64u : 128u);
            machines |= (unsigned)c.machine->vector_bits / 128 * (c.machine->cpu ? 8u : 1u);
            threads |= 1u << c.threads;
            forms |= 1u << c.form;
        }
        assert_int_equal(switches, 255);
        assert_int_equal(machines, 7 + 7 * 8); /* of 128, 256 and 512 bits, and the levels */
        assert_int_equal(threads, 2 + 4 + 8);
        assert_int_equal(forms, (1u << GRAPH_FORMS) - 1);
    }
}

static void mark_ops(const KdModule *m, bool seen[KD_NUM_OPS]) {
    KD_EACH_FUNC(f, m) {
        KD_EACH_INSTR(i, f) seen[i->op] = true;
    }
}

/* Each row of the op table is in some graph, as made or as fused. */
static void every_op(void **state) {
    (void)state;
    bool seen[KD_NUM_OPS] = { 0 };
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        Graph g;
        KdDiag d;
        kd_diag_init(&d, NULL, false);
        assert_true(graph_make(&g, seed, &d));
        mark_ops(g.m, seen);
        if (seed == 1) {
            assert_true(kd_run_pipeline(g.m, &(KdPipeline){ .passes = "fuse" }, &d));
            mark_ops(g.m, seen);
        }
        graph_destroy(&g);
    }
    for (int op = 0; op < KD_NUM_OPS; op++)
        if (!seen[op]) fail_msg("no graph has the op %s", kd_op_text((KdOp)op));
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_graphs),
                                        cmocka_unit_test(every_option),
                                        cmocka_unit_test(every_op) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
