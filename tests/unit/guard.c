/*
 * Guarded arenas: in a build under AddressSanitizer generated code that leaves its buffer for
 * another one of the same arena ends the process; code that does not is left alone.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "jit_support.h"
#include "passes/pass.h"

/* %a lies in the arena, the only buffer there. */
static const char text[] = "kdc-ir 1\n"
                           "func @f(%x: f32[B<=4,16] input) -> (f32[B,16]) {\n"
                           "  %a = exp %x : f32[B,16]\n"
                           "  %b = reduce_sum %a { axes = [1] } : f32[B]\n"
                           "  %c = view %b { at = [d0] } : f32[B,16]\n"
                           "  %r = div %a, %c : f32[B,16]\n"
                           "  return %r\n"
                           "}\n";

/* How a process ended that runs f for n rows, with arguments and results for 8. */
static int end_of(int n) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdModule *m = kd_parse_module(text, strlen(text), "guard.kir", &d);
    m->target = kd_target_host(m->arena);
    const KdPipeline passes = { .passes = "fuse{merge=0},plan-memory" };
    assert_true(kd_run_pipeline(m, &passes, &d));
    const KdEntry entry = { .f = m->first };
    const KdBackendOptions options = { .threads = 1 };
    KdObject *object = kd_compile(m, 1, &entry, &options, &d);
    assert_non_null(object);
    KdJit *jit = kd_jit_create(object, &d);
    assert_non_null(jit);
    void *symbol = kd_jit_symbol(jit, "f"), *x = kdrt_alloc(8 * 64), *r = kdrt_alloc(8 * 64);
    KdrtFunction *run;
    memcpy(&run, &symbol, sizeof symbol);
    size_t bytes = (size_t)m->first->arena_bytes + 8 * 64;
    KdrtFrame frame = { .args = &x, .results = &r, .arena = kdrt_alloc(bytes), .n = n };
    frame.scratch_stride = kd_object_scratch(object);
    frame.scratch = kdrt_alloc(kd_object_scratch(object) + 64);
    kd_arena_guard(m->first, frame.arena, bytes);
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        run(&frame);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    kdrt_free(x);
    kdrt_free(r);
    kdrt_free(frame.arena);
    kdrt_free(frame.scratch);
    kd_jit_destroy(jit);
    kd_object_destroy(object);
    kd_module_destroy(m);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void own_buffers_may_be_used(void **state) {
    (void)state;
    assert_int_equal(end_of(4), 0);
    assert_int_equal(end_of(1), 0);
}

static void other_buffers_may_not(void **state) {
    (void)state;
    if (!KD_ASAN) skip();
    assert_int_not_equal(end_of(5), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_buffers_may_be_used),
        cmocka_unit_test(other_buffers_may_not),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
