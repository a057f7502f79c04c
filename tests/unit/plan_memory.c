/*
 * plan-memory: where values of small functions lie. The verifier checks every plan for values that
 * are live at one time and share bytes, so that these tests look at what is special.
 */
#include "pass_support.h"

#include "passes/plan.h"

static const KdValue *value(const KdFunc *f, const char *name) {
    KD_EACH_INSTR(i, f)
    for (int k = 0; k < i->nresults; k++)
        if (strcmp(i->results[k]->name, name) == 0) return i->results[k];
    fail_msg("no value %%%s", name);
    return NULL;
}

static void expect(const KdFunc *f, const char *name, KdPlace place, int base, int64_t offset) {
    KdBuffer b = value(f, name)->buffer;
    assert_int_equal(b.place, place);
    if (place != KD_PLACE_ARENA) assert_int_equal(b.base, base);
    if (offset >= 0) assert_int_equal(b.offset, offset);
}

static int kernels(const KdFunc *f) {
    int n = 0;
    KD_EACH_INSTR(i, f) n += i->op == KD_OP_KERNEL;
    return n;
}

/* Four products in a row: two buffers are enough. */
static const char chain[] =
    "kdc-ir 1\n"
    "func @f(%x: f32[B<=4,16] input, %w: f32[16,16] input) -> (f32[B,16]) {\n"
    "  %a = contract %x, %w { over = [16], a = [d0, d2], b = [d1, d2] } : f32[B,16]\n"
    "  %b = contract %a, %w { over = [16], a = [d0, d2], b = [d1, d2] } : f32[B,16]\n"
    "  %c = contract %b, %w { over = [16], a = [d0, d2], b = [d1, d2] } : f32[B,16]\n"
    "  %d = contract %c, %w { over = [16], a = [d0, d2], b = [d1, d2] } : f32[B,16]\n"
    "  return %d\n"
    "}\n";

static void buffers_are_used_again(void **state) {
    (void)state;
    KdModule *m = pass_run(chain, "fuse,plan-memory{redzone=0}");
    KdFunc *f = m->first;
    assert_true(f->planned);
    assert_int_equal(f->arena_bytes, 2 * 4 * 16 * 4);
    assert_int_equal(kd_live_lower_bound(f), f->arena_bytes);
    assert_int_equal(value(f, "a")->buffer.offset, value(f, "c")->buffer.offset);
    expect(f, "d", KD_PLACE_RESULT, 0, 0);
    kd_module_destroy(m);
}

static void redzones_keep_buffers_apart(void **state) {
    (void)state;
    KdModule *m = pass_run(chain, "fuse,plan-memory{redzone=64}");
    KdFunc *f = m->first;
    assert_int_equal(f->arena_bytes, 64 + 3 * (256 + 64));
    assert_int_not_equal(value(f, "a")->buffer.offset, value(f, "c")->buffer.offset);
    kd_module_destroy(m);
}

static void elementwise_kernels_write_over_what_dies(void **state) {
    (void)state;
    KdModule *m = pass_run("kdc-ir 1\n"
                           "func @f(%x: f32[64] input) -> (f32[64]) {\n"
                           "  %a = exp %x : f32[64]\n"
                           "  %b = exp %a : f32[64]\n"
                           "  %c = exp %b : f32[64]\n"
                           "  return %c\n"
                           "}\n",
                           "fuse{merge=0},plan-memory{redzone=0}");
    assert_int_equal(m->first->arena_bytes, 256);
    expect(m->first, "a", KD_PLACE_ARENA, 0, 0);
    expect(m->first, "b", KD_PLACE_ARENA, 0, 0);
    kd_module_destroy(m);
}

/* Reading an operand in another order than writing forbids it. */
static void a_transpose_is_not_in_place(void **state) {
    (void)state;
    KdModule *m = pass_run("kdc-ir 1\n"
                           "func @f(%x: f32[8,8] input) -> (f32[8,8]) {\n"
                           "  %a = exp %x : f32[8,8]\n"
                           "  %t = view %a { at = [d1, d0] } : f32[8,8]\n"
                           "  %b = add %a, %t : f32[8,8]\n"
                           "  %c = exp %b : f32[8,8]\n"
                           "  return %c\n"
                           "}\n",
                           "fuse{merge=0},plan-memory{redzone=0}");
    assert_int_equal(m->first->arena_bytes, 512);
    kd_module_destroy(m);
}

static const char slab[] = "kdc-ir 1\n"
                           "func @f(%x: f32[20] input) -> (f32[68]) {\n"
                           "  %a = exp %x : f32[20]\n"
                           "  %s = slab %a, %x, %a : f32[96]\n"
                           "  %part = view %s { at = [d0] } : f32[68]\n"
                           "  %r = neg %part : f32[68]\n"
                           "  return %r\n"
                           "}\n";

/* %a is computed inside of the slab; the argument, and %a again, are copied there. */
static void slab_operands_lie_in_the_slab(void **state) {
    (void)state;
    KdModule *m = pass_run(slab, "fuse,plan-memory{redzone=0}");
    KdFunc *f = m->first;
    assert_int_equal(kernels(f), 4);
    int64_t at = value(f, "s")->buffer.offset;
    expect(f, "a", KD_PLACE_ARENA, 0, at);
    expect(f, "x.copy", KD_PLACE_ARENA, 0, at + 128);
    expect(f, "a.copy", KD_PLACE_ARENA, 0, at + 256);
    expect(f, "part", KD_PLACE_ARENA, 0, at);
    kd_module_destroy(m);
}

static void returned_arguments_are_copied(void **state) {
    (void)state;
    KdModule *m = pass_run("kdc-ir 1\n"
                           "func @f(%x: f32[4] input) -> (f32[4], f32[4], f32[4]) {\n"
                           "  %a = exp %x : f32[4]\n"
                           "  return %x, %a, %a\n"
                           "}\n",
                           "fuse,plan-memory{redzone=0}");
    KdFunc *f = m->first;
    assert_int_equal(kernels(f), 3);
    expect(f, "x.copy", KD_PLACE_RESULT, 0, 0);
    expect(f, "a", KD_PLACE_RESULT, 1, 0);
    expect(f, "a.copy", KD_PLACE_RESULT, 2, 0);
    kd_module_destroy(m);
}

static void an_update_takes_over_its_argument(void **state) {
    (void)state;
    KdModule *m =
        pass_run("kdc-ir 1\n"
                 "func @f(%p: f32[64] slab, %g: f32[64] slab) -> (f32[64]) in_place = [0] {\n"
                 "  %q = sub %p, %g : f32[64]\n"
                 "  return %q\n"
                 "}\n",
                 "fuse,plan-memory{redzone=0}");
    expect(m->first, "q", KD_PLACE_ARG, 0, 0);
    assert_int_equal(m->first->arena_bytes, 0);
    kd_module_destroy(m);
}

/* %p is read after %q was computed: %q waits in the arena and is copied at the end. */
static void an_argument_still_read_is_taken_over_last(void **state) {
    (void)state;
    KdModule *m =
        pass_run("kdc-ir 1\n"
                 "func @f(%p: f32[8,8] input) -> (f32[8,8], f32[8]) in_place = [0, -1] {\n"
                 "  %q = exp %p : f32[8,8]\n"
                 "  %s = reduce_sum %q { axes = [0] } : f32[8]\n"
                 "  %t = reduce_sum %p { axes = [0] } : f32[8]\n"
                 "  %u = add %s, %t : f32[8]\n"
                 "  return %q, %u\n"
                 "}\n",
                 "fuse{merge=0},plan-memory{redzone=0}");
    KdFunc *f = m->first;
    expect(f, "q", KD_PLACE_ARENA, 0, -1);
    expect(f, "q.copy", KD_PLACE_ARG, 0, 0);
    assert_ptr_equal(f->last, value(f, "q.copy")->def);
    kd_module_destroy(m);
}

/* Two arguments change places: neither may be overwritten before it was read. */
static void swapped_arguments_are_read_first(void **state) {
    (void)state;
    KdModule *m = pass_run("kdc-ir 1\n"
                           "func @f(%p: f32[64] input, %q: f32[64] input) -> (f32[64], f32[64])"
                           " in_place = [0, 1] {\n"
                           "  return %q, %p\n"
                           "}\n",
                           "fuse,plan-memory{redzone=0}");
    KdFunc *f = m->first;
    assert_int_equal(kernels(f), 3);
    expect(f, "p.copy", KD_PLACE_ARENA, 0, -1);
    expect(f, "q.copy", KD_PLACE_ARG, 0, 0);
    expect(f, "p.copy.copy", KD_PLACE_ARG, 1, 0);
    kd_module_destroy(m);
}

static void tensor_level_is_refused(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdModule *m = kd_parse_module(chain, strlen(chain), "t.kir", &d);
    KdPipeline p = { .passes = "plan-memory" };
    assert_false(kd_run_pipeline(m, &p, &d));
    assert_string_equal(d.last,
                        "plan-memory: @f holds contract outside of a kernel: run fuse first");
    kd_module_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_are_used_again),
        cmocka_unit_test(redzones_keep_buffers_apart),
        cmocka_unit_test(elementwise_kernels_write_over_what_dies),
        cmocka_unit_test(a_transpose_is_not_in_place),
        cmocka_unit_test(slab_operands_lie_in_the_slab),
        cmocka_unit_test(returned_arguments_are_copied),
        cmocka_unit_test(an_update_takes_over_its_argument),
        cmocka_unit_test(an_argument_still_read_is_taken_over_last),
        cmocka_unit_test(swapped_arguments_are_read_first),
        cmocka_unit_test(tensor_level_is_refused),
    };
    return cmocka_run_group_tests_name("plan-memory", tests, NULL, NULL);
}
