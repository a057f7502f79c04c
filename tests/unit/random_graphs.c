/*
 * A short sample of the random graphs that ./dev fuzz makes by the thousand, in this process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/host/blas.h"
#include "tests/fuzz/check.h"

static void random_graphs(void **state) {
    (void)state;
    KdrtError error;
    assert_true(kdrt_blas_start(&error));
    for (uint64_t seed = 1; seed <= 40; seed++) {
        GraphConfig config = graph_config_of_seed(seed);
        char why[GRAPH_WHY], text[GRAPH_CONFIG_TEXT];
        if (graph_check(seed, &config, NULL, why)) continue;
        graph_config_text(&config, text);
        fail_msg("seed %llu, %s: %s", (unsigned long long)seed, text, why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_graphs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
