/*
 * Checkpoints: what is written reads back, the two newest are kept, a damaged newest falls back to
 * the one before, and no truncation or changed byte goes unnoticed.
 */
#include "runtime/host/checkpoint.h"
#include "runtime/host/hash.h"

#include <dirent.h>

#include "tests/unit/host_files.h"

static bool try_checkpoint(const char *path, KdrtError *error) {
    KdrtCheckpoint c;
    bool done = kdrt_checkpoint_read(path, &c, error);
    if (done) kdrt_checkpoint_free(&c);
    return done;
}

static KdrtSection sections[] = { { "params", "0123456789", 10 },
                                  { "", NULL, 0 },
                                  { "x", "y", 1 } };

static void write_step(const char *folder, int64_t step) {
    KdrtError error = { "" };
    KdrtCheckpoint c = { step, 3, sections, NULL };
    assert_true(kdrt_checkpoint_write(folder, &c, &error));
}

static void round_trip(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtError error = { "" };
    KdrtCheckpoint c;
    write_step(folder, 1200);
    snprintf(path, sizeof path, "%s/ckpt-1200.kdck", folder);
    assert_true(kdrt_checkpoint_read(path, &c, &error));
    assert_int_equal(c.step, 1200);
    assert_int_equal(c.nsections, 3);
    const KdrtSection *s = kdrt_checkpoint_find(&c, "params");
    assert_int_equal(s->bytes, 10);
    assert_memory_equal(s->data, "0123456789", 10);
    assert_int_equal(kdrt_checkpoint_find(&c, "")->bytes, 0);
    assert_memory_equal(kdrt_checkpoint_find(&c, "x")->data, "y", 1);
    assert_null(kdrt_checkpoint_find(&c, "state"));
    kdrt_checkpoint_free(&c);
    check_truncations(path, try_checkpoint);

    size_t bytes;
    unsigned char *file = get_bytes(path, &bytes);
    snprintf(path, sizeof path, "%s/part", folder);
    for (size_t bit = 0; bit < 8 * bytes; bit++) { /* every one that is flipped is noticed */
        unsigned char mask = (unsigned char)(1 << bit % 8);
        file[bit / 8] ^= mask;
        put_bytes(path, file, bytes);
        assert_false(try_checkpoint(path, &error));
        assert_non_null(strstr(error.text, path));
        file[bit / 8] ^= mask;
    }
    free(file);
    remove_folder(folder);
}

/* Files whose checksum is right and whose sections are not: a foreign or a future writer's. */
static void wrong_sections(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtError error = { "" };
    write_step(folder, 1);
    snprintf(path, sizeof path, "%s/ckpt-1.kdck", folder);
    size_t bytes;
    unsigned char *file = get_bytes(path, &bytes);
    for (size_t k = 12; k < bytes - 8; k++) {
        if (k >= 16 && k < 24) continue; /* the size of the file */
        unsigned char kept = file[k];
        file[k] ^= 0x81;
        uint64_t hash = kdrt_hash(file, bytes - 8, 0);
        for (int b = 0; b < 8; b++) file[bytes - 8 + (size_t)b] = (unsigned char)(hash >> 8 * b);
        put_bytes(path, file, bytes);
        if (!try_checkpoint(path, &error))
            assert_non_null(strstr(error.text, "sections"));
        else
            assert_true(k >= 24 + 4); /* contents and names may be anything */
        file[k] = kept;
    }
    free(file);
    remove_folder(folder);
}

/* The folder has but these. */
static void expect_steps(const char *folder, int n, const int *steps) {
    char path[600];
    DIR *d = opendir(folder);
    int found = 0;
    for (const struct dirent *e; (e = readdir(d));) found += e->d_name[0] != '.';
    closedir(d);
    assert_int_equal(found, n);
    for (int k = 0; k < n; k++) {
        snprintf(path, sizeof path, "%s/ckpt-%d.kdck", folder, steps[k]);
        assert_int_equal(access(path, F_OK), 0);
    }
}

/* A damaged one that is newer than what is written neither counts as one of the two nor goes; what
 * somebody who was killed left half-written goes. */
static void behind_a_damaged_one(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtError error = { "" };
    KdrtCheckpoint c;
    write_step(folder, 10);
    write_step(folder, 20);
    snprintf(path, sizeof path, "%s/ckpt-20.kdck", folder);
    put_bytes(path, "kdcheck\n", 8);
    assert_true(kdrt_checkpoint_latest(folder, &c, &error));
    assert_int_equal(c.step, 10);
    assert_non_null(strstr(error.text, "ckpt-20.kdck"));
    kdrt_checkpoint_free(&c);
    snprintf(path, sizeof path, "%s/ckpt-12.kdck.tmp-a1B2c3", folder);
    put_bytes(path, "kdch", 4);
    char best[600];
    snprintf(best, sizeof best, "%s/best.safetensors.tmp-a1B2c3", folder);
    put_bytes(best, "half", 4);
    write_step(folder, 12);
    assert_int_equal(access(best, F_OK), -1);
    write_step(folder, 14);
    expect_steps(folder, 3, (const int[]){ 12, 14, 20 });
    write_step(folder, 20);
    expect_steps(folder, 2, (const int[]){ 14, 20 });
    assert_true(kdrt_checkpoint_latest(folder, &c, &error));
    assert_int_equal(c.step, 20);
    assert_string_equal(error.text, "");
    kdrt_checkpoint_free(&c);
    snprintf(path, sizeof path, "%s/ckpt-20.kdck/none", folder);
    assert_false(kdrt_checkpoint_latest(path, &c, &error)); /* no folder, and not missing either */
    assert_non_null(strstr(error.text, "cannot read"));
    kdrt_checkpoint_remove_all(folder);
    expect_steps(folder, 0, NULL);
    remove_folder(folder);
}

static void latest(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    KdrtError error = { "" };
    KdrtCheckpoint c;
    assert_true(kdrt_checkpoint_latest(folder, &c, &error));
    assert_int_equal(c.step, -1);
    write_step(folder, 9);
    write_step(folder, 100);
    write_step(folder, 1000);
    snprintf(path, sizeof path, "%s/ckpt-9.kdck", folder);
    assert_int_equal(access(path, F_OK), -1); /* two are kept */
    assert_true(kdrt_checkpoint_latest(folder, &c, &error));
    assert_int_equal(c.step, 1000);
    kdrt_checkpoint_free(&c);
    snprintf(path, sizeof path, "%s/ckpt-1000.kdck", folder);
    put_bytes(path, "kdcheck\n", 8);
    assert_true(kdrt_checkpoint_latest(folder, &c, &error));
    assert_int_equal(c.step, 100);
    kdrt_checkpoint_free(&c);
    snprintf(path, sizeof path, "%s/ckpt-100.kdck", folder);
    put_bytes(path, "", 0);
    assert_false(kdrt_checkpoint_latest(folder, &c, &error));
    assert_non_null(strstr(error.text, "ckpt-1000.kdck"));
    snprintf(path, sizeof path, "%s/ckpt-x.kdck", folder); /* not one of ours */
    put_bytes(path, "", 0);
    kdrt_checkpoint_remove_all(folder);
    assert_true(kdrt_checkpoint_latest(folder, &c, &error));
    assert_int_equal(access(path, F_OK), 0);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(wrong_sections),
        cmocka_unit_test(latest),
        cmocka_unit_test(behind_a_damaged_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
