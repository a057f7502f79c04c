/*
 * Files that are written whole: who may read them.
 */
#include "runtime/host/atomic_file.h"

#include <sys/stat.h>

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

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(permissions) };
    return cmocka_run_group_tests_name("atomic_file", tests, NULL, NULL);
}
