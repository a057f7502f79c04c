/*
 * Files that are written whole: who may read them, and what becomes of those that a killed writer
 * left half-written. What is read is a file.
 */
#include "runtime/host/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/unit/host_files.h"

/* As of any file that a program makes. */
static void permissions(void **state) {
    (void)state;
    static const mode_t mask[] = { 077, 027, 022 };
    char *folder = make_folder(), path[600];
    for (int k = 0; k < 3; k++) {
        struct stat info;
        KdrtError error = { "" };
        mode_t before = umask(mask[k]);
        snprintf(path, sizeof path, "%s/file%d", folder, k);
        assert_true(kdrt_file_write(path, &(KdrtPiece){ "bytes", 5 }, 1, &error));
        umask(before);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0666 & ~mask[k]);
    }
    remove_folder(folder);
}

static void expect_there(const char *folder, const char *name, bool there) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(access(path, F_OK) == 0, there);
}

static void halves(void **state) {
    (void)state;
    static const char *const names[] = { "best.safetensors.tmp-a1B2c3", "best.safetensors.tmp-",
                                         "best.safetensors.tmp-a1B2", "a.tmp-a1B2c3.json",
                                         "last.tmp-a1B2c3" };
    char *folder = make_folder(), path[600];
    for (int k = 0; k < 5; k++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        put_bytes(path, "half", 4);
    }
    const struct timespec long_ago[2] = { { .tv_sec = time(NULL) - 7200 },
                                          { .tv_sec = time(NULL) - 7200 } };
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    kdrt_remove_halves(folder, 3600);
    expect_there(folder, names[0], true);
    expect_there(folder, names[4], false);
    kdrt_remove_halves(folder, 0);
    for (int k = 0; k < 4; k++) expect_there(folder, names[k], k > 0);
    snprintf(path, sizeof path, "%s/none", folder);
    kdrt_remove_halves(path, 0);
    remove_folder(folder);
}

/* A pipe that nobody writes to is refused, not waited for. */
static void pipes(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtError error = { "" };
    size_t bytes;
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20);
    assert_null(kdrt_file_read(path, 100, &bytes, &error));
    alarm(0);
    assert_non_null(strstr(error.text, "pipe: expected a file, found something else"));
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permissions),
        cmocka_unit_test(halves),
        cmocka_unit_test(pipes),
    };
    return cmocka_run_group_tests_name("atomic_file", tests, NULL, NULL);
}
