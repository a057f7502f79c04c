/*
 * A whole training step through all passes: convolutions, pooling, dropout, softmax loss, Adam in
 * place. Its compiled form against the interpreter's run of the planned module, for several batch
 * sizes; and the same bits on one and two threads, twice, and at any place in the batch.
 */
#include <math.h>

#include "ir/interp.h"
#include "jit_support.h"
#include "passes/pass.h"

#define ROWS 90

#define PARAMS                                                                         \
    "%net.c1.weight: f32[3,1,5,5] param, %net.c1.bias: f32[3] param, %net.c2.weight: " \
    "f32[5,3,3,3] param, %net.fc.weight: f32[10,80] param, %net.fc.bias: f32[10] param"
#define NETWORK                                                                                   \
    "  %r = gather %images, %index : u8[B,1,12,12]\n"                                             \
    "  %rf = cast %r : f32[B,1,12,12]\n"                                                          \
    "  %k = constant { value = 0.00392156863 } : f32[B,1,12,12]\n"                                \
    "  %x = mul %rf, %k : f32[B,1,12,12]\n"                                                       \
    "  %c = contract %x, %net.c1.weight { over = [1, 5, 5], a = [d0, d4, d2 + d5, d3 + d6],"      \
    " b = [d1, d4, d5, d6] } : f32[B,3,8,8]\n"                                                    \
    "  %cb = view %net.c1.bias { at = [d1] } : f32[B,3,8,8]\n"                                    \
    "  %cs = add %c, %cb : f32[B,3,8,8]\n"                                                        \
    "  %z = constant { value = 0 } : f32[B,3,8,8]\n"                                              \
    "  %relu = max %cs, %z : f32[B,3,8,8]\n"                                                      \
    "  %w = view %relu { at = [d0, d1, 2*d2 + d4, 2*d3 + d5] } : f32[B,3,4,4,2,2]\n"              \
    "  %p = reduce_max %w { axes = [4, 5] } : f32[B,3,4,4]\n"                                     \
    "  %d = contract %p, %net.c2.weight { over = [3, 3, 3], a = [d0, d4, d2 + d5 - 1, d3 + d6 - " \
    "1], b = [d1, d4, d5, d6] } : f32[B,5,4,4]\n"                                                 \
    "  %t = tanh %d : f32[B,5,4,4]\n"                                                             \
    "  %f = reshape %t : f32[B,80]\n"

static const char objective[] =
    "kdc-ir 1\nhyper %lr = 0.001\nhyper %beta1 = 0.9\nhyper %beta2 = 0.999\nhyper %eps = 1e-08\n"
    "hyper %weight_decay = 0\n"
    "param %net.c1.weight : f32[3,1,5,5] { init = \"constant\", value = 0 }\n"
    "param %net.c1.bias : f32[3] { init = \"constant\", value = 0 }\n"
    "param %net.c2.weight : f32[5,3,3,3] { init = \"constant\", value = 0 }\n"
    "param %net.fc.weight : f32[10,80] { init = \"constant\", value = 0 }\n"
    "param %net.fc.bias : f32[10] { init = \"constant\", value = 0 }\n"
    "program { trained = \"net\", batch = 64, epochs = 1, seed = 1, optimizer = \"adam\" }\n"
    "func @objective(%images: u8[N,1,12,12] data, %labels: u8[N] data, %index: i32[B<=64] index,"
    " %epoch: i32 epoch, %step: i32 step, " PARAMS ") -> (f32) {\n" NETWORK
    "  %u = rng.uniform %index, %epoch { stream = \"drop\" } : f32[B,80]\n"
    "  %q = constant { value = 0.25 } : f32[B,80]\n"
    "  %keep = lt %q, %u : bool[B,80]\n"
    "  %s43 = constant { value = 1.33333333 } : f32[B,80]\n"
    "  %fs = mul %f, %s43 : f32[B,80]\n"
    "  %z2 = constant { value = 0 } : f32[B,80]\n"
    "  %drop = select %keep, %fs, %z2 : f32[B,80]\n"
    "  %l0 = contract %drop, %net.fc.weight { over = [80], a = [d0, d2], b = [d1, d2] } : "
    "f32[B,10]\n"
    "  %lb = view %net.fc.bias { at = [d1] } : f32[B,10]\n"
    "  %logits = add %l0, %lb : f32[B,10] role(student) site(\"student.logits\")\n"
    "  %m = reduce_max %logits { axes = [1] } : f32[B]\n"
    "  %md = detach %m : f32[B]\n"
    "  %mb = view %md { at = [d0] } : f32[B,10]\n"
    "  %sub = sub %logits, %mb : f32[B,10]\n"
    "  %e = exp %sub : f32[B,10]\n"
    "  %se = reduce_sum %e { axes = [1] } : f32[B]\n"
    "  %lse = log %se : f32[B]\n"
    "  %y8 = gather %labels, %index : u8[B]\n"
    "  %y = cast %y8 : i32[B]\n"
    "  %yb = view %y { at = [d0] } : i32[B,10]\n"
    "  %i = iota { axis = 1 } : i32[B,10]\n"
    "  %is = eq %i, %yb : bool[B,10]\n"
    "  %z3 = constant { value = 0 } : f32[B,10]\n"
    "  %own = select %is, %sub, %z3 : f32[B,10]\n"
    "  %so = reduce_sum %own { axes = [1] } : f32[B]\n"
    "  %ce = sub %lse, %so : f32[B]\n"
    "  %all = reduce_sum %ce { axes = [0] } : f32\n"
    "  %n = rows : f32\n"
    "  %loss = div %all, %n : f32 role(loss)\n"
    "  return %loss\n}\n";

static const char evaluate[] =
    "func @evaluate(%images: u8[N,1,12,12] data, %index: i32[B<=64] index, " PARAMS
    ") -> (f32[B,10]) {\n" NETWORK
    "  %l0 = contract %f, %net.fc.weight { over = [80], a = [d0, d2], b = [d1, d2] } : f32[B,10]\n"
    "  %lb = view %net.fc.bias { at = [d1] } : f32[B,10]\n"
    "  %logits = add %l0, %lb : f32[B,10]\n"
    "  return %logits\n}\n";

typedef struct Step {
    KdDiag diag;
    KdModule *m;
    KdFunc *f;
    KdObject *object;
    KdJit *jit;
    KdrtFunction *run;
    float hyper[JIT_MAX];
} Step;

/* Values of one call: arguments as floats, integers and bytes, and the same for the interpreter. */
typedef struct Call {
    KdArena *a;
    KdTensor args[JIT_MAX + 4], want[JIT_MAX];
    void *memory[JIT_MAX + 4], *results[JIT_MAX];
    KdrtFrame frame;
} Call;

static void open_step(Step *s, const char *name) {
    *s = (Step){ 0 };
    kd_diag_init(&s->diag, stderr, false);
    char text[8192];
    snprintf(text, sizeof text, "%s%s", objective, evaluate);
    s->m = kd_parse_module(text, strlen(text), "step.kir", &s->diag);
    assert_non_null(s->m);
    s->m->target = kd_target_host(s->m->arena);
    const KdPipeline all = { 0 };
    assert_true(kd_run_pipeline(s->m, &all, &s->diag));
    s->f = kd_module_func(s->m, name);
    assert_non_null(s->f);
    const KdEntry entry = { s->f, false };
    const KdBackendOptions options = { .threads = 2 };
    s->object = kd_compile(s->m, 1, &entry, &options, &s->diag);
    assert_non_null(s->object);
    s->jit = kd_jit_create(s->object, &s->diag);
    assert_non_null(s->jit);
    void *symbol = kd_jit_symbol(s->jit, name);
    assert_non_null(symbol);
    memcpy(&s->run, &symbol, sizeof symbol);
    for (int k = 0; k < s->m->nhypers; k++) {
        s->hyper[k] = (float)s->m->hypers[k]->value;
    }
}

static void close_step(Step *s) {
    kd_jit_destroy(s->jit);
    kd_object_destroy(s->object);
    kd_module_destroy(s->m);
}

static double value_of(const KdValue *arg, uint32_t x, int64_t k) {
    bool data = arg->kind && strcmp(arg->kind, KD_ARG_DATA) == 0;
    switch (arg->type.dtype) {
    case KD_F32: return (double)((float)(x % 1001) / 5000);
    case KD_I32: return arg->type.rank == 0 ? 3 : (double)((k * 37 + 5) % ROWS);
    case KD_U8: return data && arg->type.rank == 1 ? x % 10 : x % 256;
    case KD_BOOL:
    case KD_F16:
    case KD_I8:
    case KD_NUM_DTYPES: break;
    }
    return 0;
}

static void open_call(const Step *s, Call *c, int n, KdrtPool *pool) {
    *c = (Call){ .a = kd_arena_create() };
    for (int k = 0; k < s->f->nargs; k++) {
        const KdValue *arg = s->f->args[k];
        uint32_t state = 11 + (uint32_t)k;
        c->args[k] = kd_tensor_create(c->a, arg->type, n, ROWS);
        c->memory[k] = kdrt_alloc((size_t)c->args[k].count * 4);
        for (int64_t x = 0; x < c->args[k].count; x++) {
            state = state * 1664525u + 1013904223u;
            double value = value_of(arg, state >> 8, x);
            c->args[k].data[x] = value;
            if (arg->type.dtype == KD_F32) {
                ((float *)c->memory[k])[x] = (float)value;
            } else if (arg->type.dtype == KD_I32) {
                ((int32_t *)c->memory[k])[x] = (int32_t)value;
            } else {
                ((uint8_t *)c->memory[k])[x] = (uint8_t)value;
            }
        }
    }
    for (int k = 0; k < s->f->nresults; k++) {
        bool own = !s->f->in_place || s->f->in_place[k] < 0;
        size_t bytes = (size_t)kd_type_bytes(s->f->results[k]->type, n, ROWS);
        c->results[k] = own ? kdrt_alloc(bytes) : c->memory[s->f->in_place[k]];
    }
    size_t stride = (kd_object_scratch(s->object) + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
    c->frame = (KdrtFrame){ .args = c->memory,
                            .results = c->results,
                            .hyper = s->hyper,
                            .arena = kdrt_alloc((size_t)s->f->arena_bytes),
                            .scratch = kdrt_alloc(4 * stride),
                            .scratch_stride = stride,
                            .seed = 5,
                            .pool = pool,
                            .n = n };
    kd_arena_guard(s->f, c->frame.arena, (size_t)s->f->arena_bytes);
}

static void close_call(const Step *s, Call *c) {
    for (int k = 0; k < s->f->nresults; k++) {
        if (!s->f->in_place || s->f->in_place[k] < 0) {
            kdrt_free(c->results[k]);
        }
    }
    for (int k = 0; k < s->f->nargs; k++) {
        kdrt_free(c->memory[k]);
    }
    kdrt_free(c->frame.arena);
    kdrt_free(c->frame.scratch);
    kd_arena_destroy(c->a);
}

static void test_step_is_right(void **state) {
    (void)state;
    Step s;
    open_step(&s, "step");
    static const int sizes[] = { 1, 7, 33, 64 };
    for (int k = 0; k < 4; k++) {
        Call c;
        open_call(&s, &c, sizes[k], NULL);
        const KdInterp in = { .arena = c.a, .seed = 5, .n = sizes[k], .round_f32 = true };
        assert_true(kd_interpret(&in, s.f, c.args, c.want, &s.diag));
        assert_int_equal(s.run(&c.frame), KDRT_OK);
        for (int r = 0; r < s.f->nresults; r++) {
            double largest = 0;
            for (int64_t x = 0; x < c.want[r].count; x++) {
                double got = (double)((const float *)c.results[r])[x];
                assert_true(fabs(got - c.want[r].data[x]) <= 1e-5);
                largest = fmax(largest, fabs(c.want[r].data[x]));
            }
            assert_true(largest > 1e-3);
        }
        close_call(&s, &c);
    }
    close_step(&s);
}

static void test_threads_and_repeats_agree(void **state) {
    (void)state;
    Step s;
    open_step(&s, "step");
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(2, &pool), KDRT_OK);
    Call one, two, again;
    open_call(&s, &one, 61, NULL);
    open_call(&s, &two, 61, pool);
    open_call(&s, &again, 61, pool);
    assert_int_equal(s.run(&one.frame), KDRT_OK);
    assert_int_equal(s.run(&two.frame), KDRT_OK);
    assert_int_equal(s.run(&again.frame), KDRT_OK);
    for (int r = 0; r < s.f->nresults; r++) {
        size_t bytes = (size_t)kd_type_bytes(s.f->results[r]->type, 61, ROWS);
        assert_memory_equal(one.results[r], two.results[r], bytes);
        assert_memory_equal(one.results[r], again.results[r], bytes);
    }
    close_call(&s, &one);
    close_call(&s, &two);
    close_call(&s, &again);
    kdrt_pool_destroy(pool);
    close_step(&s);
}

/* A row's logits have the same bits alone and in a full batch. */
static void test_rows_do_not_meet(void **state) {
    (void)state;
    Step s;
    open_step(&s, "evaluate");
    Call full, single;
    open_call(&s, &full, 64, NULL);
    assert_int_equal(s.run(&full.frame), KDRT_OK);
    for (int row = 0; row < 64; row += 9) {
        open_call(&s, &single, 1, NULL);
        int index = kd_func_arg(s.f, "index")->index;
        memcpy(single.memory[index], (int32_t *)full.memory[index] + row, sizeof(int32_t));
        assert_int_equal(s.run(&single.frame), KDRT_OK);
        assert_memory_equal(single.results[0], (float *)full.results[0] + row * 10, 40);
        close_call(&s, &single);
    }
    close_call(&s, &full);
    close_step(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_is_right),
        cmocka_unit_test(test_threads_and_repeats_agree),
        cmocka_unit_test(test_rows_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
