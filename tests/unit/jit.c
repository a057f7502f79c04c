/*
 * The way through the JIT, by hand: small kernels of each kind give the numbers worked out here.
 */
#include "jit_support.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD "kdc-ir 1\n"

static void test_elementwise(void **state) {
    (void)state;
    Jit j;
    jit_open(&j,
             HEAD "func @f(%x: f32[B<=64,7], %b: f32[7]) -> (f32[B,7]) {\n"
                  "  %w = view %b { at = [d1] } : f32[B,7]\n"
                  "  %s = add %x, %w : f32[B,7]\n"
                  "  %z = constant { value = 0 } : f32[B,7]\n"
                  "  %r = max %s, %z : f32[B,7]\n"
                  "  return %r\n}\n",
             "map", 0);
    float *x = kdrt_alloc(64 * 7 * 4), *b = kdrt_alloc(7 * 4), *r = kdrt_alloc(64 * 7 * 4);
    for (int k = 0; k < 64 * 7; k++) {
        x[k] = (float)(k % 11) - 5;
    }
    for (int k = 0; k < 7; k++) {
        b[k] = (float)k / 2;
    }
    j.args[0] = x;
    j.args[1] = b;
    j.results[0] = r;
    static const int sizes[] = { 1, 5, 33, 64 };
    for (int s = 0; s < 4; s++) {
        memset(r, 0xff, 64 * 7 * 4);
        j.frame.n = sizes[s];
        assert_int_equal(j.run(&j.frame), KDRT_OK);
        for (int k = 0; k < sizes[s] * 7; k++) {
            float want = x[k] + b[k % 7];
            assert_true(r[k] == (want > 0 ? want : 0));
        }
        for (int k = sizes[s] * 7; k < 64 * 7; k++) {
            assert_true(isnan(r[k])); /* nothing behind the batch is touched */
        }
    }
    kdrt_free(x);
    kdrt_free(b);
    kdrt_free(r);
    jit_close(&j);
}

static void test_softmax_rows(void **state) {
    (void)state;
    Jit j;
    jit_open(&j,
             HEAD "func @f(%x: f32[B<=64,10]) -> (f32[B,10]) {\n"
                  "  %m = reduce_max %x { axes = [1] } : f32[B]\n"
                  "  %m.b = view %m { at = [d0] } : f32[B,10]\n"
                  "  %c = sub %x, %m.b : f32[B,10]\n"
                  "  %e = exp %c : f32[B,10]\n"
                  "  %s = reduce_sum %e { axes = [1] } : f32[B]\n"
                  "  %s.b = view %s { at = [d0] } : f32[B,10]\n"
                  "  %r = div %e, %s.b : f32[B,10]\n"
                  "  return %r\n}\n",
             "row", 0);
    float *x = kdrt_alloc(640 * 4), *r = kdrt_alloc(640 * 4);
    for (int k = 0; k < 640; k++) {
        x[k] = (float)(k * 7 % 23) / 3 - 4;
    }
    j.args[0] = x;
    j.results[0] = r;
    j.frame.n = 33;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    for (int row = 0; row < 33; row++) {
        double sum = 0;
        for (int k = 0; k < 10; k++) {
            sum += exp((double)x[row * 10 + k]);
        }
        for (int k = 0; k < 10; k++) {
            double want = exp((double)x[row * 10 + k]) / sum;
            assert_true(fabs((double)r[row * 10 + k] - want) <= 1e-6 * want);
        }
    }
    kdrt_free(x);
    kdrt_free(r);
    jit_close(&j);
}

static void test_bias_gradient(void **state) {
    (void)state;
    Jit j;
    jit_open(&j,
             HEAD "func @f(%x: f32[B<=8,3,5,4]) -> (f32[3]) {\n"
                  "  %r = reduce_sum %x { axes = [0, 2, 3] } : f32[3]\n"
                  "  return %r\n}\n",
             "reduce", 0);
    float *x = kdrt_alloc(480 * 4), *r = kdrt_alloc(3 * 4);
    for (int k = 0; k < 480; k++) {
        x[k] = (float)(k % 13) - 4;
    }
    j.args[0] = x;
    j.results[0] = r;
    j.frame.n = 7;
    assert_int_equal(j.run(&j.frame), KDRT_OK);
    for (int c = 0; c < 3; c++) {
        float sum = 0;
        for (int k = 0; k < 7 * 60; k++) {
            sum += k / 20 % 3 == c ? x[k] : 0;
        }
        assert_true(sum == r[c]);
    }
    kdrt_free(x);
    kdrt_free(r);
    jit_close(&j);
}

/* What a compilation prints as text, in `a`. */
static char *text_of(const Jit *j, const char *what, KdArena *a) {
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    FILE *f = tmpfile();
    assert_non_null(f);
    const KdEntry entry = { j->planned, false };
    char *text = NULL;
    if (kd_compile_text(j->m, 1, &entry, NULL, what, f, &quiet)) {
        long size = ftell(f);
        text = kd_arena_alloc(a, (size_t)size + 1);
        rewind(f);
        assert_int_equal(fread(text, 1, (size_t)size, f), size);
    }
    fclose(f);
    return text;
}

static void test_texts(void **state) {
    (void)state;
    Jit j;
    jit_open(&j,
             HEAD "func @f(%x: f32[B<=64,7]) -> (f32[B,7]) {\n  %r = neg %x : f32[B,7]\n"
                  "  return %r\n}\n",
             "map", 256);
    KdArena *a = kd_arena_create();
    char *ir = text_of(&j, "llvm-ir", a), *assembly = text_of(&j, "asm", a);
    assert_non_null(strstr(ir, "define i32 @kernel(ptr"));
    if (!KD_TSAN) assert_non_null(strstr(ir, "fneg <8 x float>")); /* the target's vectors */
    assert_null(strstr(ir, "<16 x"));
    assert_non_null(strstr(assembly, "kernel:"));
    assert_null(text_of(&j, "bitcode", a));
    kd_arena_destroy(a);
    jit_close(&j);
}

/* The object's files, in which another function is called that there is nowhere. */
static KdObject *spoiled(const KdObject *from, KdArena *a) {
    KdObjectFile file[8];
    int n = kd_object_count(from);
    for (int k = 0; k < n && k < 8; k++) {
        const char *bytes = kd_object_bytes(from, k, &file[k].size);
        char *copy = kd_arena_alloc(a, file[k].size);
        memcpy(copy, bytes, file[k].size);
        for (size_t at = 0; at + 13 <= file[k].size; at++)
            if (memcmp(copy + at, "kdrt_parallel", 13) == 0) copy[at + 12] = 'x';
        file[k].bytes = copy;
    }
    return kd_object_restore(n, file, kd_object_scratch(from), &(KdBackendOptions){ .threads = 1 });
}

/* What cannot be loaded is an error that says why; what is not there is none. */
static void test_missing_function(void **state) {
    (void)state;
    Jit j;
    jit_open(&j,
             HEAD "func @f(%x: f32[B<=4000,70]) -> (f32[B,70]) {\n  %r = exp %x : f32[B,70]\n"
                  "  return %r\n}\n",
             "map", 0);
    assert_null(kd_jit_symbol(j.jit, "missing"));
    assert_int_equal(j.diag.errors, 0);
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdArena *a = kd_arena_create();
    KdObject *object = spoiled(j.object, a);
    assert_non_null(object);
    KdJit *jit = kd_jit_create(object, &d);
    assert_non_null(jit);
    assert_null(kd_jit_symbol(jit, "kernel"));
    assert_true(d.errors > 0);
    assert_non_null(strstr(d.last, "kdrt_parallex"));
    kd_jit_destroy(jit);
    kd_object_destroy(object);
    kd_arena_destroy(a);
    jit_close(&j);
}

#if KD_ASAN || KD_TSAN
static void *run_once(void *jit) {
    Jit *j = jit;
    j->run(&j->frame);
    return NULL;
}

/* What ends a process whose generated code is instrumented. */
static void misuse(Jit *j) {
    pthread_t other;
    j->args[0] = calloc(KD_ASAN ? 96 : 100, 4); /* too short */
    j->results[0] = malloc(100 * 4);
    if (KD_TSAN && pthread_create(&other, NULL, run_once, j) != 0) return;
    run_once(j);
    if (KD_TSAN) pthread_join(other, NULL); /* both have written the results */
}

static void test_sanitizer_sees(void **state) {
    (void)state;
    Jit j;
    jit_open(&j,
             HEAD "func @f(%x: f32[100]) -> (f32[100]) {\n  %r = neg %x : f32[100]\n"
                  "  return %r\n}\n",
             "map", 0);
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        misuse(&j);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    jit_close(&j);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise),      cmocka_unit_test(test_softmax_rows),
        cmocka_unit_test(test_bias_gradient),    cmocka_unit_test(test_texts),
        cmocka_unit_test(test_missing_function),
#if KD_ASAN || KD_TSAN
        cmocka_unit_test(test_sanitizer_sees),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
