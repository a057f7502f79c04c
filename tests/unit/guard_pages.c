/*
 * Arguments at the start of a page, behind one that nobody may read: generated code reads past the
 * end of a buffer (KDRT_SLACK), but never in front of it, whatever order its lanes go in.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jit_support.h"

enum { MOST = 1 << 16 }; /* bytes of an argument, with what lies behind it */

/* Zeroed memory; the page in front of it is closed. It goes with the process. */
static void *behind_closed_page(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory =
        mmap(NULL, page + MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(mprotect(memory, page, PROT_NONE), 0);
    return memory + page;
}

/* Runs the function for n rows in a process of its own. */
static void expect_no_fault(const char *kind, const char *text, int bits, int32_t n) {
    Jit j;
    jit_open(&j, text, kind, bits);
    for (int k = 0; k < j.tensor->nargs; k++) {
        assert_true(kd_type_bytes(j.tensor->args[k]->type, n, n) < MOST - KDRT_SLACK);
        j.args[k] = behind_closed_page();
    }
    j.results[0] = kdrt_alloc(MOST);
    j.frame.n = n;
    int status;
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGSEGV, SIG_DFL); /* not cmocka's */
        _exit(j.run(&j.frame) != KDRT_OK);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0) fail_msg("status %d with vectors of %d bits, in\n%s", status, bits, text);
    kdrt_free(j.results[0]);
    jit_close(&j);
}

static void check(const char *kind, const char *text) {
    for (int bits = 128; bits <= 512; bits *= 2) expect_no_fault(kind, text, bits, 3);
}

/* Mirrored lines: lanes go down, and the last vector of a line would begin in front of it. */
static void mirrored_lines(void **state) {
    (void)state;
    check("map", "kdc-ir 1\nfunc @f(%x: f32[B<=4,7,27]) -> (f32[B,7,27]) {\n"
                 "  %r = view %x { at = [d0, d1, 26 - d2] } : f32[B,7,27]\n  return %r\n}\n");
    check("map", "kdc-ir 1\nfunc @f(%x: u8[B<=4,7,28]) -> (f32[B,7,28]) {\n"
                 "  %v = view %x { at = [d0, d1, 27 - d2] } : u8[B,7,28]\n"
                 "  %r = cast %v : f32[B,7,28]\n  return %r\n}\n");
    check("map", "kdc-ir 1\nfunc @f(%x: f32[5]) -> (f32[5]) {\n"
                 "  %r = view %x { at = [4 - d0] } : f32[5]\n  return %r\n}\n");
}

/* The first lanes read padding, or nothing. */
static void padded_front(void **state) {
    (void)state;
    check("map", "kdc-ir 1\nfunc @f(%x: f32[4]) -> (f32[5]) {\n"
                 "  %r = view %x { at = [d0 - 1] } : f32[5]\n  return %r\n}\n");
    check("map", "kdc-ir 1\nfunc @f(%x: f32[B<=4,4]) -> (f32[B,5]) {\n"
                 "  %r = view %x { at = [d0, d1 - 1] } : f32[B,5]\n  return %r\n}\n");
    check("map", "kdc-ir 1\nfunc @f(%x: f32[B<=4,2]) -> (f32[B,5]) {\n"
                 "  %r = view %x { at = [d0, (3 - d1)/2] } : f32[B,5]\n  return %r\n}\n");
}

/* Every second element of lines from the last one up: an odd distance from a base that is odd. */
static void lines_upwards(void **state) {
    (void)state;
    check("map", "kdc-ir 1\nfunc @f(%x: f32[B<=4,4,17]) -> (f32[B,4,9]) {\n"
                 "  %r = view %x { at = [d0, 3 - d1, 2*d2] } : f32[B,4,9]\n  return %r\n}\n");
    check("map", "kdc-ir 1\nfunc @f(%x: f32[4,65]) -> (f32[4,32]) {\n"
                 "  %r = view %x { at = [3 - d0, 2*d1] } : f32[4,32]\n  return %r\n}\n");
}

/* Panels and rows whose lanes go down, all of them inside. */
static void packed_downwards(void **state) {
    (void)state;
    check("contract", "kdc-ir 1\nfunc @f(%x: f32[9,27], %w: f32[35,9]) -> (f32[35,27]) {\n"
                      "  %r = contract %w, %x { over = [9], a = [d0, d2], b = [d2, 26 - d1] } : "
                      "f32[35,27]\n  return %r\n}\n");
    check("contract", "kdc-ir 1\nfunc @f(%x: f32[9,27], %w: f32[35,27]) -> (f32[35,9]) {\n"
                      "  %r = contract %w, %x { over = [27], a = [d0, 26 - d2], b = [d1, 26 - d2] "
                      "} : f32[35,9]\n  return %r\n}\n");
    check("contract", "kdc-ir 1\nfunc @f(%g: f32[B<=4,5,29], %x: f32[B,7,31]) -> (f32[5,7,3]) {\n"
                      "  %r = contract %g, %x { over = [B,29], a = [d3, d0, d4], "
                      "b = [d3, d1, d4 - d2 + 2] } : f32[5,7,3]\n  return %r\n}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mirrored_lines),
        cmocka_unit_test(padded_front),
        cmocka_unit_test(lines_upwards),
        cmocka_unit_test(packed_downwards),
    };
    return cmocka_run_group_tests_name("guard_pages", tests, NULL, NULL);
}
