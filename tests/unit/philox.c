/*
 * The random numbers: Philox against the known-answer vectors published with it (Random123,
 * kat_vectors, "philox4x32 10"), the maps to floats against their definition, streams and shuffles.
 */
#include "runtime/kdrt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_vector(const uint32_t counter[4], const uint32_t key[2],
                         const uint32_t expected[4]) {
    uint32_t out[4];
    kdrt_philox(counter, key, out);
    for (int k = 0; k < 4; k++) assert_int_equal(out[k], expected[k]);
}

static void known_answers(void **state) {
    (void)state;
    const uint32_t f = 0xffffffffu;
    check_vector((uint32_t[]){ 0, 0, 0, 0 }, (uint32_t[]){ 0, 0 },
                 (uint32_t[]){ 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 });
    check_vector((uint32_t[]){ f, f, f, f }, (uint32_t[]){ f, f },
                 (uint32_t[]){ 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd });
    check_vector((uint32_t[]){ 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
                 (uint32_t[]){ 0xa4093822, 0x299f31d0 },
                 (uint32_t[]){ 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 });
}

static void uniform_map(void **state) {
    (void)state;
    uint64_t seed = 0x299f31d0a4093822u;
    uint32_t out[4];
    kdrt_philox((uint32_t[]){ 7, 3, 2, 9 }, (uint32_t[]){ 0xa4093822, 0x299f31d0 }, out);
    for (uint32_t k = 0; k < 4; k++) {
        float expected = (float)(out[k] >> 8) / 16777216.0f;
        assert_true(kdrt_uniform(seed, 28 + k, 3, 2, 9) == expected);
    }
}

static void normal_map(void **state) {
    (void)state;
    uint32_t out[4];
    kdrt_philox((uint32_t[]){ 5, 1, 0, 77 }, (uint32_t[]){ 42, 0 }, out);
    for (uint32_t pair = 0; pair < 2; pair++) {
        double u1 = ((double)(out[2 * pair] >> 8) + 1) / 16777216.0;
        double u2 = (double)(out[2 * pair + 1] >> 8) / 16777216.0;
        double r = sqrt(-2 * log(u1)), angle = 2 * 3.14159265358979323846 * u2;
        assert_true(fabs(kdrt_normal(42, 20 + 2 * pair, 1, 0, 77) - r * cos(angle)) < 1e-6);
        assert_true(fabs(kdrt_normal(42, 21 + 2 * pair, 1, 0, 77) - r * sin(angle)) < 1e-6);
    }
}

static void moments(void **state) {
    (void)state;
    const uint32_t n = 200000;
    double mean = 0, square = 0, uniform = 0;
    for (uint32_t e = 0; e < n; e++) {
        double x = kdrt_normal(1, e, 0, 0, 1), u = kdrt_uniform(1, e, 0, 0, 2);
        assert_true(isfinite(x));
        assert_true(u >= 0 && u < 1);
        mean += x;
        square += x * x;
        uniform += u;
    }
    assert_true(fabs(mean / n) < 0.01);
    assert_true(fabs(square / n - 1) < 0.02);
    assert_true(fabs(uniform / n - 0.5) < 0.005);
}

static void stream_hash(void **state) {
    (void)state;
    assert_int_equal(kdrt_stream(""), 0x811c9dc5u);
    assert_int_equal(kdrt_stream("a"), 0xe40c292cu);
    assert_int_equal(kdrt_stream("foobar"), 0xbf9cf968u);
}

static void shuffle_permutes(void **state) {
    (void)state;
    enum { N = 1001 };
    int32_t order[N], again[N], other[N];
    int seen[N] = { 0 }, moved = 0, differ = 0;
    kdrt_shuffle(order, N, 3, 0);
    kdrt_shuffle(again, N, 3, 0);
    kdrt_shuffle(other, N, 3, 1);
    assert_memory_equal(order, again, sizeof order);
    for (int i = 0; i < N; i++) {
        assert_true(order[i] >= 0 && order[i] < N);
        assert_int_equal(seen[order[i]]++, 0);
        moved += order[i] != i;
        differ += order[i] != other[i];
    }
    assert_true(moved > N * 9 / 10);
    assert_true(differ > N * 9 / 10);
    kdrt_shuffle(order, 0, 3, 0);
    kdrt_shuffle(order, 1, 3, 0);
    assert_int_equal(order[0], 0);
}

/* Each epoch has the same draws, of which 1 - 1/e are different samples. */
static void resample_repeats(void **state) {
    (void)state;
    enum { N = 5000 };
    static int32_t order[N];
    static int times[N];
    int distinct = 0;
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        kdrt_shuffle(order, N, 3, epoch);
        kdrt_resample(order, N, 4);
        for (int i = 0; i < N; i++) {
            assert_true(order[i] >= 0 && order[i] < N);
            times[order[i]] += epoch ? -1 : 1;
        }
        for (int i = 0; i < N; i++) {
            if (epoch) assert_int_equal(times[i], 0);
            distinct += times[i] > 0;
        }
    }
    assert_true(distinct > N * 61 / 100 && distinct < N * 654 / 1000);
}

/* Every permutation of three is about equally likely. */
static void shuffle_uniform(void **state) {
    (void)state;
    int count[27] = { 0 };
    for (uint32_t epoch = 0; epoch < 6000; epoch++) {
        int32_t order[3];
        kdrt_shuffle(order, 3, 9, epoch);
        count[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    int kinds = 0;
    for (int k = 0; k < 27; k++) {
        if (!count[k]) continue;
        kinds++;
        assert_true(count[k] >= 850 && count[k] <= 1150);
    }
    assert_int_equal(kinds, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),   cmocka_unit_test(uniform_map),
        cmocka_unit_test(normal_map),      cmocka_unit_test(moments),
        cmocka_unit_test(stream_hash),     cmocka_unit_test(shuffle_permutes),
        cmocka_unit_test(shuffle_uniform), cmocka_unit_test(resample_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
