/* A kd_bug ends the process with code 3 and leaves a .kir that can be read again. */
#include "frontend/outfile.h"
#include "ir/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char text[] = "kdc-ir 1\n"
                           "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                           "  return %x\n"
                           "}\n";

/* In the child: a fault in pass "fuse", found with the module given as text or as it stands. */
static _Noreturn void fault(KdModule *m, const char *before) {
    KdDiag d;
    kd_diag_init(&d, fopen("said", "w"), false);
    d.pass = "fuse";
    d.module = m;
    d.before = before;
    d.reproducer = kd_write_reproducer;
    kd_bug(&d, "an operand of %d", 7);
}

static char *read_all(const char *path, KdArena *a) {
    size_t size;
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    char *all = kd_read_text(path, &size, a, &d);
    assert_non_null(all);
    return all;
}

static void check(const char *before) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdArena *a = kd_arena_create();
    KdModule *m = kd_parse_module(text, strlen(text), "t.kir", &d);
    assert_non_null(m);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) fault(m, before);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    char *said = read_all("said", a);
    assert_non_null(strstr(said, "internal fault in pass fuse at "));
    assert_non_null(strstr(said, "reproducer.c"));
    assert_non_null(strstr(said, "an operand of 7\n"));
    assert_non_null(strstr(said, "kdc-bug-fuse.kir\n"));
    char *written = read_all("kdc-bug-fuse.kir", a);
    KdModule *again = kd_parse_module(written, strlen(written), "kdc-bug-fuse.kir", &d);
    assert_non_null(again);
    assert_string_equal(kd_module_text(again, a), kd_module_text(m, a));
    kd_module_destroy(again);
    kd_module_destroy(m);
    kd_arena_destroy(a);
    remove("kdc-bug-fuse.kir");
    remove("said");
}

static void from_the_module(void **state) {
    (void)state;
    check(NULL);
}

static void from_the_text_before(void **state) {
    (void)state;
    check(text);
}

/* A result appears under its name whole or not at all; what is no file is written directly. */
static void outfiles(void **state) {
    (void)state;
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    KdArena *a = kd_arena_create();
    KdOutFile f;
    assert_true(kd_outfile_open(&f, "result", a, &d));
    fputs("half", f.stream);
    fflush(f.stream);
    assert_int_equal(access("result", F_OK), -1);
    assert_false(kd_outfile_close(&f, false, &d));
    assert_int_equal(access("result", F_OK), -1);
    assert_int_equal(access(f.temporary, F_OK), -1);
    assert_true(kd_outfile_open(&f, "result", a, &d));
    fputs("whole", f.stream);
    assert_true(kd_outfile_close(&f, true, &d));
    assert_string_equal(read_all("result", a), "whole");
    remove("result");
    assert_true(kd_outfile_open(&f, "/dev/null", a, &d));
    assert_null(f.temporary);
    assert_true(kd_outfile_close(&f, true, &d));
    assert_false(kd_outfile_open(&f, "no/such/folder/result", a, &d));
    assert_string_equal(d.last, "cannot write: No such file or directory");
    kd_arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_module),
        cmocka_unit_test(from_the_text_before),
        cmocka_unit_test(outfiles),
    };
    char folder[] = "/tmp/kdc-reproducer-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return chdir("/") != 0 || rmdir(folder) != 0 ? 1 : failed;
}
