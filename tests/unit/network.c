/*
 * The weights of a shipped network as bytes: whose files are taken, in whatever order and spacing,
 * and which are refused. The rest of runtime/network.c is tested by programs, in tests/aot/.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/network.h"

enum { WEIGHTS = sizeof(KdrtState), FLOATS = 5 };

/* w f32[2], then v f32[3,1]; between them in a file, as PyTorch has it, a count of steps. */
static const KdrtParameter parameters[] = {
    { .offset = WEIGHTS, .elements = 2, .name = 0, .rank = 1, .dim = { 2 } },
    { .saved = 8, .name = 4 },
    { .saved = 16, .offset = WEIGHTS + 8, .elements = 3, .name = 2, .rank = 2, .dim = { 3, 1 } },
};
static const KdrtLayout layout = { .check = 7,
                                   .version = KDRT_NETWORK_VERSION,
                                   .state_bytes = WEIGHTS + FLOATS * 4,
                                   .saved_header = 3,
                                   .nparameters = 3 };
static const KdrtNetwork network = { .layout = &layout,
                                     .parameters = parameters,
                                     .text = "w\0v\0n.num_batches_tracked",
                                     .header = "abc" };

typedef union State {
    _Alignas(KDRT_ALIGN) unsigned char bytes[WEIGHTS + FLOATS * 4];
    KdrtState head;
} State;

static const float values[FLOATS] = { 1, 2, 3, 4, 5 };

/* A file of that header and `data` bytes of values; what loading it returns. */
static int load(State *s, const char *header, size_t data) {
    size_t n = strlen(header), size = 8 + n + data;
    unsigned char *file = calloc(size, 1);
    assert_non_null(file);
    for (int k = 0; k < 8; k++) file[k] = (unsigned char)((uint64_t)n >> 8 * k);
    memcpy(file + 8, header, n);
    memcpy(file + 8 + n, values, data < sizeof values ? data : sizeof values);
    *s = (State){ .head = { .check = 7, .step = 9 } };
    int status = kdrt_network_load(&network, s->bytes, file, size);
    free(file);
    return status;
}

static float value(const State *s, int k) {
    float x;
    memcpy(&x, s->bytes + WEIGHTS + 4 * k, sizeof x);
    return x;
}

#define W         "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define V(places) "\"v\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[" places "]}"

static void taken(void **state) {
    (void)state;
    State s;
    static const char *const good[] = {
        "{" W "," V("8,20") "}",
        "{" V("8,20") "," W "}   ",
        "{\"__metadata__\":{\"w\":\"\\\"}\",\"x\":\"y\"}," W "," V("8,20") "}",
        "{\"__metadata__\":{}," W "," V("8,20") "}",
        " { \"v\" : { \"shape\" : [ 3 , 1 ] , \"data_offsets\" : [ 8 , 20 ],\n \"dtype\" : \"F32\" "
        "} ,\t" W " } ",
        "{" W "," V("8,20") ",\"bn.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],"
                            "\"data_offsets\":[20,28]}}",
    };
    for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
        assert_int_equal(load(&s, good[k], 28), KDRT_OK);
        for (int i = 0; i < FLOATS; i++) assert_true(value(&s, i) == values[i]);
        assert_int_equal(s.head.step, 9);
    }
}

static void refused(void **state) {
    (void)state;
    State s;
    static const char *const bad[] = {
        "",
        "{}",
        "{" W "}",
        "{" W "," W "," V("8,20") "}",
        "{" W "," V("8,20") ",\"more\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
        "{" W "," V("8,24") "}",
        "{" W "," V("20,8") "}",
        "{" W "," V("20,32") "}",
        "{" W "," V("-8,4") "}",
        "{" W "," V("18446744073709551608,4") "}",
        "{" W "," V("8,20,28") "}",
        "{" W "," V("8") "}",
        "{" W ",\"v\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[8,20]}}",
        "{" W ",\"v\":{\"dtype\":\"I32\",\"shape\":[3,1],\"data_offsets\":[8,20]}}",
        "{" W ",\"v\":{\"dtype\":\"F32\",\"shape\":[3,1,1,1,1,1,1,1,1],\"data_offsets\":[8,20]}}",
        "{" W ",\"v\":{\"dtype\":\"F32\",\"shape\":[3,1]}}",
        "{" W ",\"v\":{\"shape\":[3,1],\"data_offsets\":[8,20]}}",
        "{" W
        ",\"v\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[8,20]}}",
        "{" W "," V("8,20") "} x",
        "{" W "," V("8,20") ",}",
        "{" W "," V("8,20"),
        "{" W ",\"v",
        "{" W ",\"v\\",
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_int_equal(load(&s, bad[k], 28), KDRT_BAD_WEIGHTS);
        for (int i = 0; i < FLOATS; i++) assert_true(value(&s, i) == 0);
    }
    static const unsigned char huge[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };
    assert_int_equal(kdrt_network_load(&network, s.bytes, huge, 8), KDRT_BAD_WEIGHTS);
    assert_int_equal(kdrt_network_load(&network, s.bytes, huge, 7), KDRT_BAD_WEIGHTS);
}

/* Behind the header as it is: the tensors, and the steps where they are counted. */
static void saved(void **state) {
    (void)state;
    State s;
    unsigned char bytes[3 + 28];
    int64_t steps;
    assert_int_equal(load(&s, "{" W "," V("8,20") "}", 20), KDRT_OK);
    assert_int_equal(kdrt_network_save(&network, s.bytes, bytes), KDRT_OK);
    memcpy(&steps, bytes + 3 + 8, sizeof steps);
    assert_memory_equal(bytes, "abc", 3);
    assert_memory_equal(bytes + 3, values, 8);
    assert_int_equal(steps, 9);
    assert_memory_equal(bytes + 3 + 16, values + 2, 12);
}

static void versions(void **state) {
    (void)state;
    State s = { .head = { .check = 7 } };
    KdrtLayout newer = layout;
    newer.version++;
    KdrtNetwork other = network;
    other.layout = &newer;
    unsigned char bytes[64];
    assert_int_equal(kdrt_network_save(&other, s.bytes, bytes), KDRT_OTHER_VERSION);
    assert_int_equal(kdrt_network_init(&other, s.bytes, 1), KDRT_OTHER_VERSION);
    assert_int_equal(kdrt_network_load_teacher(&other, s.bytes, 0, bytes, sizeof bytes),
                     KDRT_OTHER_VERSION);
    s.head.check = 8;
    assert_int_equal(kdrt_network_save(&network, s.bytes, bytes), KDRT_BAD_STATE);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(taken), cmocka_unit_test(refused),
                                        cmocka_unit_test(saved), cmocka_unit_test(versions) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
