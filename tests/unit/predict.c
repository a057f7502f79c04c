/*
 * The inference object against the JIT: the same bits for every number of rows and in every block,
 * the codes that it returns, and no reads behind x that depend on what lies there.
 */
#include "backend/predict.h"
#include "jit_support.h"
#include "passes/pass.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IN = 21, OUT = 7, ROWS = 45 };

static const char mlp[] =
    "kdc-ir 1\n"
    "param %net.w : f32[33,21] { init = \"he_normal\", fan_in = 21, fan_out = 33 }\n"
    "param %net.b : f32[33] { init = \"constant\", value = 0 }\n"
    "param %net.v : f32[7,33] { init = \"he_normal\", fan_in = 33, fan_out = 7 }\n"
    "func @net(%x: f32[B<=64,21] input, %net.w: f32[33,21] param, %net.b: f32[33] param, "
    "%net.v: f32[7,33] param) -> (f32[B,7]) {\n"
    "  %h = contract %x, %net.w { over = [21], a = [d0, d2], b = [d1, d2] } : f32[B,33]\n"
    "  %b = view %net.b { at = [d1] } : f32[B,33]\n"
    "  %s = add %h, %b : f32[B,33]\n"
    "  %t = tanh %s : f32[B,33]\n"
    "  %y = contract %t, %net.v { over = [33], a = [d0, d2], b = [d1, d2] } : f32[B,7]\n"
    "  return %y\n"
    "}\n";

/* Equal layers, which share code but not weights; a product per group; a sum in several blocks. */
static const char deep[] =
    "kdc-ir 1\n"
    "param %net.a : f32[21,21] { init = \"he_normal\", fan_in = 21, fan_out = 21 }\n"
    "param %net.b : f32[21,21] { init = \"he_normal\", fan_in = 21, fan_out = 21 }\n"
    "param %net.g : f32[3,1300,7] { init = \"he_normal\", fan_in = 7, fan_out = 1300 }\n"
    "param %net.w : f32[7,3900] { init = \"he_normal\", fan_in = 3900, fan_out = 7 }\n"
    "func @net(%x: f32[B<=64,21] input, %net.a: f32[21,21] param, %net.b: f32[21,21] param, "
    "%net.g: f32[3,1300,7] param, %net.w: f32[7,3900] param) -> (f32[B,7]) {\n"
    "  %a = contract %x, %net.a { over = [21], a = [d0, d2], b = [d1, d2] } : f32[B,21]\n"
    "  %s = tanh %a : f32[B,21]\n"
    "  %b = contract %s, %net.b { over = [21], a = [d0, d2], b = [d1, d2] } : f32[B,21]\n"
    "  %t = tanh %b : f32[B,21]\n"
    "  %u = reshape %t : f32[B,3,7]\n"
    "  %g = contract %u, %net.g { over = [7], a = [d0, d1, d3], b = [d1, d2, d3] } : "
    "f32[B,3,1300]\n"
    "  %v = tanh %g : f32[B,3,1300]\n"
    "  %h = reshape %v : f32[B,3900]\n"
    "  %y = contract %h, %net.w { over = [3900], a = [d0, d2], b = [d1, d2] } : f32[B,7]\n"
    "  return %y\n"
    "}\n";

/* So few bytes a row that reads behind one reach over several. */
static const char narrow[] =
    "kdc-ir 1\n"
    "param %net.w : f32[7,3] { init = \"he_normal\", fan_in = 3, fan_out = 7 }\n"
    "func @net(%x: f32[B<=64,3] input, %net.w: f32[7,3] param) -> (f32[B,7]) {\n"
    "  %t = tanh %x : f32[B,3]\n"
    "  %y = contract %t, %net.w { over = [3], a = [d0, d2], b = [d1, d2] } : f32[B,7]\n"
    "  return %y\n"
    "}\n";

typedef int Predict(const float *x, int n, float *logits, const void *weights, void *scratch);

typedef struct Fixture {
    KdDiag d;
    KdModule *m;
    KdPredict predict;
    KdObject *object, *plain;
    KdJit *jit, *plain_jit;
    Predict *run;
    KdrtFunction *reference;
    float *weights, x[ROWS * IN];
    float mean[IN], rate[IN]; /* of its elements; rate 0: samples are not normalised */
    void *scratch;
} Fixture;

static void *symbol_of(KdJit *jit, const char *name) {
    void *symbol = kd_jit_symbol(jit, name);
    assert_non_null(symbol);
    return symbol;
}

/* The means of elements of a sample, and rates behind them. */
static float statistics[2][IN];

static void make_statistics(void) {
    for (int k = 0; k < IN; k++) {
        statistics[0][k] = (float)k / 7 - 1;
        statistics[1][k] = 1 / (0.3f + (float)k);
    }
}

/* Compiled for one row, and for blocks of `block`. */
static void open_fixture(Fixture *t, const char *text, bool embed, bool normalized, int64_t block) {
    *t = (Fixture){ 0 };
    kd_diag_init(&t->d, stderr, false);
    t->m = kd_parse_module(text, strlen(text), "net.kir", &t->d);
    assert_non_null(t->m);
    t->m->target = kd_target_host(t->m->arena);
    kd_func_clone(t->m->first, "net_1")->max_batch = 1;
    kd_func_clone(t->m->first, "net_block")->max_batch = block;
    const KdPipeline pipeline = { .passes = NULL };
    assert_true(kd_run_pipeline(t->m, &pipeline, &t->d));
    t->predict = (KdPredict){ .symbol = "net", .nvariants = 2, .network = "net" };
    t->predict.variant[0] = kd_module_func(t->m, "net_1");
    t->predict.variant[1] = kd_module_func(t->m, "net_block");
    int64_t elements = kd_slab_elements(t->m, "net");
    t->weights = kdrt_alloc((size_t)elements * sizeof(float));
    for (int64_t k = 0; k < elements; k++) {
        t->weights[k] = (float)(k * 5 % 23 - 11) / 16;
    }
    if (embed) t->predict.weights = t->weights;
    if (normalized) {
        t->predict.mean = statistics[0];
        t->predict.rate = statistics[1];
        t->predict.inputs = kd_type_elements(t->m->first->args[0]->type, 1, 1);
    }
    for (int k = 0; k < ROWS * IN; k++) t->x[k] = (float)(k * 7 % 17 - 8) / 8;

    const KdEntry entries[] = { { t->predict.variant[0], false },
                                { t->predict.variant[1], false } };
    const KdBackendOptions options = { .threads = 1, .predict = &t->predict };
    t->object = kd_compile(t->m, 2, entries, &options, &t->d);
    assert_non_null(t->object);
    assert_int_equal(kd_object_count(t->object), 1);
    assert_non_null(t->jit = kd_jit_create(t->object, &t->d));
    void *symbol = symbol_of(t->jit, "net_predict");
    memcpy(&t->run, &symbol, sizeof symbol);
    size_t kernels = kd_object_scratch(t->object);
    t->scratch = kdrt_alloc((size_t)kd_predict_scratch(&t->predict, (int64_t)kernels));

    const KdEntry plain = { t->m->first, false };
    const KdBackendOptions one = { .threads = 1 };
    assert_non_null(t->plain = kd_compile(t->m, 1, &plain, &one, &t->d));
    assert_non_null(t->plain_jit = kd_jit_create(t->plain, &t->d));
    symbol = symbol_of(t->plain_jit, "net");
    memcpy(&t->reference, &symbol, sizeof symbol);
}

static void close_fixture(Fixture *t) {
    kd_jit_destroy(t->jit);
    kd_jit_destroy(t->plain_jit);
    kd_object_destroy(t->object);
    kd_object_destroy(t->plain);
    kdrt_free(t->weights);
    kdrt_free(t->scratch);
    kd_module_destroy(t->m);
}

/* All rows at once by the function as the JIT compiles it for training's evaluation. */
static void run_reference(Fixture *t, float *logits) {
    const KdFunc *f = t->m->first;
    float *x = kdrt_alloc(sizeof t->x), *y = kdrt_alloc(ROWS * OUT * sizeof *y);
    memcpy(x, t->x, sizeof t->x);
    void *args[8] = { x }, *results[] = { y };
    for (int k = 1; k < f->nargs; k++) {
        args[k] = t->weights + kd_slab_offset(t->m, kd_param_of_value(t->m, f->args[k]));
    }
    KdrtFrame frame = { .args = args, .results = results, .n = ROWS };
    frame.arena = kdrt_alloc((size_t)f->arena_bytes);
    kd_arena_guard(f, frame.arena, (size_t)f->arena_bytes);
    frame.scratch = kdrt_alloc(kd_object_scratch(t->plain));
    assert_int_equal(t->reference(&frame), KDRT_OK);
    memcpy(logits, y, ROWS * OUT * sizeof *y);
    kdrt_free(frame.arena);
    kdrt_free(frame.scratch);
    kdrt_free(x);
    kdrt_free(y);
}

static void check_bits(const char *text, bool embed) {
    Fixture t;
    float wanted[ROWS * OUT], found[ROWS * OUT + 1];
    open_fixture(&t, text, embed, false, 16);
    run_reference(&t, wanted);
    const void *weights = embed ? NULL : t.weights;
    for (int n = 0; n <= ROWS; n++) {
        for (int k = 0; k <= ROWS * OUT; k++) found[k] = 1234;
        assert_int_equal(t.run(t.x, n, found, weights, t.scratch), KD_PREDICT_OK);
        assert_memory_equal(found, wanted, (size_t)(n * OUT) * sizeof *found);
        for (int k = n * OUT; k <= ROWS * OUT; k++) assert_true(found[k] == 1234);
    }
    close_fixture(&t);
}

static void passed_weights(void **state) {
    (void)state;
    check_bits(mlp, false);
    check_bits(deep, false);
}

static void embedded_weights(void **state) {
    (void)state;
    check_bits(mlp, true);
    check_bits(deep, true);
}

/* Of raw samples, what the network says of normalised ones. */
static void normalized_rows(void **state) {
    (void)state;
    Fixture t;
    float raw[ROWS * IN], wanted[ROWS * OUT], found[ROWS * OUT];
    make_statistics();
    open_fixture(&t, mlp, true, true, 16);
    memcpy(raw, t.x, sizeof raw);
    for (int k = 0; k < ROWS * IN; k++)
        t.x[k] = (raw[k] - statistics[0][k % IN]) * statistics[1][k % IN];
    run_reference(&t, wanted);
    for (int n = 1; n <= ROWS; n++) {
        assert_int_equal(t.run(raw, n, found, NULL, t.scratch), KD_PREDICT_OK);
        assert_memory_equal(found, wanted, (size_t)(n * OUT) * sizeof *found);
    }
    const float *mean = symbol_of(t.jit, "net_mean"), *rate = symbol_of(t.jit, "net_rate");
    assert_memory_equal(mean, statistics[0], sizeof statistics[0]);
    assert_memory_equal(rate, statistics[1], sizeof statistics[1]);
    close_fixture(&t);
}

static void run_guarded(bool normalized, char *end) {
    Fixture t;
    float y[ROWS * OUT];
    open_fixture(&t, narrow, true, normalized, 3);
    for (int n = 1; n <= ROWS; n++) {
        float *x = (float *)(void *)end - (ptrdiff_t)n * 3;
        memcpy(x, t.x, (size_t)n * 3 * sizeof *x);
        assert_int_equal(t.run(x, n, y, NULL, t.scratch), KD_PREDICT_OK);
    }
    close_fixture(&t);
}

/* Nothing behind the rows is read, whichever block they lie in. */
static void guarded_rows(void **state) {
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = aligned_alloc(page, 2 * page);
    assert_non_null(pages);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    make_statistics();
    run_guarded(false, pages + page);
    run_guarded(true, pages + page);
    assert_int_equal(mprotect(pages + page, page, PROT_READ | PROT_WRITE), 0);
    free(pages);
}

static void codes(void **state) {
    (void)state;
    Fixture t;
    float y[OUT];
    open_fixture(&t, mlp, false, false, 16);
    unsigned char *odd = (unsigned char *)t.scratch + 4;
    assert_int_equal(t.run(t.x, -1, y, t.weights, t.scratch), KD_PREDICT_BAD_ARGUMENT);
    assert_int_equal(t.run(NULL, 1, y, t.weights, t.scratch), KD_PREDICT_BAD_ARGUMENT);
    assert_int_equal(t.run(t.x, 1, NULL, t.weights, t.scratch), KD_PREDICT_BAD_ARGUMENT);
    assert_int_equal(t.run(t.x, 1, y, NULL, t.scratch), KD_PREDICT_BAD_ARGUMENT);
    assert_int_equal(t.run(t.x, 1, y, t.weights, NULL), KD_PREDICT_BAD_ARGUMENT);
    assert_int_equal(t.run(t.x, 1, y, t.weights, odd), KD_PREDICT_MISALIGNED);
    assert_int_equal(t.run(t.x, 1, y, t.weights + 1, t.scratch), KD_PREDICT_MISALIGNED);
    close_fixture(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(passed_weights),
                                        cmocka_unit_test(embedded_weights),
                                        cmocka_unit_test(normalized_rows),
                                        cmocka_unit_test(guarded_rows), cmocka_unit_test(codes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
