/* Checkpoint files in and out; the layout is in the header. */
#include "runtime/host/checkpoint.h"

#include "runtime/host/atomic_file.h"
#include "runtime/host/hash.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC      "kdcheck\n"
#define VERSION    1
#define HEAD_BYTES 24
#define FILE_LIMIT ((size_t)1 << 40)
#define KEEP       2
#define MAX_LISTED 1024

static void put_le(unsigned char *to, uint64_t value, int bytes) {
    for (int k = 0; k < bytes; k++) to[k] = (unsigned char)(value >> 8 * k);
}

static uint64_t get_le(const unsigned char *from, int bytes) {
    uint64_t value = 0;
    for (int k = bytes - 1; k >= 0; k--) value = value << 8 | from[k];
    return value;
}

/* The step in "ckpt-<step>.kdck", or -1 for another name. */
static int64_t step_of_name(const char *name) {
    if (strncmp(name, "ckpt-", 5) != 0) return -1;
    char *end;
    long long step = strtoll(name + 5, &end, 10);
    return name[5] >= '0' && name[5] <= '9' && !strcmp(end, ".kdck") ? step : -1;
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x > y ? -1 : x < y;
}

/* Steps of the folder's checkpoints, newest first; how many, -1 where it cannot be read (errno). */
static int list_steps(const char *folder, int64_t steps[MAX_LISTED]) {
    int n = 0;
    DIR *d = opendir(folder);
    if (!d) return errno == ENOENT ? 0 : -1;
    const struct dirent *entry;
    while ((entry = readdir(d)) && n < MAX_LISTED) {
        int64_t step = step_of_name(entry->d_name);
        if (step >= 0) steps[n++] = step;
    }
    closedir(d);
    qsort(steps, (size_t)n, sizeof *steps, newest_first);
    return n;
}

static bool checkpoint_path(char path[PATH_MAX], const char *folder, int64_t step) {
    int n = snprintf(path, PATH_MAX, "%s/ckpt-%lld.kdck", folder, (long long)step);
    return n > 0 && n < PATH_MAX;
}

/* Those up to `step`, but for the `keep` newest. A newer one is damaged, or the run would have gone
 * on from it: it neither counts nor goes. */
static void remove_old(const char *folder, int64_t step, int keep) {
    int64_t steps[MAX_LISTED];
    char path[PATH_MAX];
    int n = list_steps(folder, steps);
    for (int k = 0; k < n; k++) {
        if (steps[k] > step || keep-- > 0) continue;
        if (checkpoint_path(path, folder, steps[k])) unlink(path);
    }
}

/* Everything before the checksum, in one piece of memory. */
static unsigned char *pack(const KdrtCheckpoint *c, size_t *bytes) {
    size_t total = HEAD_BYTES;
    for (int k = 0; k < c->nsections; k++) {
        total += 12 + strlen(c->sections[k].name) + c->sections[k].bytes;
    }
    unsigned char *file = malloc(total + 8), *p = file + HEAD_BYTES;
    if (!file) return NULL;
    memcpy(file, MAGIC, 8);
    put_le(file + 8, VERSION, 4);
    put_le(file + 12, (uint64_t)c->nsections, 4);
    put_le(file + 16, total + 8, 8);
    for (int k = 0; k < c->nsections; k++) {
        const KdrtSection *s = &c->sections[k];
        size_t length = strlen(s->name);
        put_le(p, length, 4);
        memcpy(p + 4, s->name, length);
        put_le(p + 4 + length, s->bytes, 8);
        if (s->bytes) memcpy(p + 12 + length, s->data, s->bytes);
        p += 12 + length + s->bytes;
    }
    put_le(p, kdrt_hash(file, total, 0), 8);
    *bytes = total + 8;
    return file;
}

bool kdrt_checkpoint_write(const char *folder, const KdrtCheckpoint *c, KdrtError *error) {
    char path[PATH_MAX];
    size_t bytes;
    if (!checkpoint_path(path, folder, c->step)) {
        return kdrt_fail(error, "%s: the path is too long", folder);
    }
    unsigned char *file = pack(c, &bytes);
    if (!file) return kdrt_fail(error, "%s: no memory to write it", path);
    bool done = kdrt_file_write(path, &(KdrtPiece){ file, bytes }, 1, error);
    free(file);
    if (!done) return false;
    remove_old(folder, c->step, KEEP);
    kdrt_remove_halves(folder, 0); /* nobody else writes here */
    return true;
}

void kdrt_checkpoint_remove_all(const char *folder) {
    remove_old(folder, INT64_MAX, 0);
    kdrt_remove_halves(folder, 0); /* nobody else writes here */
}

static bool check_frame(const char *path, const unsigned char *file, size_t bytes,
                        KdrtError *error) {
    if (bytes < HEAD_BYTES + 8 || memcmp(file, MAGIC, 8) != 0) {
        return kdrt_fail(error, "%s: expected a checkpoint, found %s", path,
                         bytes < HEAD_BYTES + 8 ? "a file shorter than its header"
                                                : "another magic");
    }
    if (get_le(file + 8, 4) != VERSION) {
        return kdrt_fail(error, "%s: expected checkpoint version %d, found %u", path, VERSION,
                         (unsigned)get_le(file + 8, 4));
    }
    if (get_le(file + 16, 8) != bytes) {
        return kdrt_fail(error, "%s: expected %llu bytes, found %zu", path,
                         (unsigned long long)get_le(file + 16, 8), bytes);
    }
    if (get_le(file + bytes - 8, 8) != kdrt_hash(file, bytes - 8, 0)) {
        return kdrt_fail(error, "%s: its checksum is wrong: the file is damaged", path);
    }
    return true;
}

/* Names are cut out by writing a zero over the byte behind each, the first of the size, which has
 * been read by then. */
static bool unpack(const char *path, unsigned char *file, size_t bytes, KdrtCheckpoint *c,
                   KdrtError *error) {
    uint64_t count = get_le(file + 12, 4);
    unsigned char *p = file + HEAD_BYTES;
    size_t left = bytes - HEAD_BYTES - 8;
    if (count <= left / 12) c->sections = calloc((size_t)count + 1, sizeof *c->sections);
    for (uint64_t k = 0; c->sections && k < count; k++) {
        uint64_t length = left >= 12 ? get_le(p, 4) : UINT64_MAX;
        if (left < 12 || length > left - 12) break;
        uint64_t size = get_le(p + 4 + length, 8);
        if (size > left - 12 - length) break;
        p[4 + length] = 0;
        c->sections[c->nsections++] =
            (KdrtSection){ (const char *)p + 4, p + 12 + length, (size_t)size };
        p += 12 + length + size;
        left -= (size_t)(12 + length + size);
    }
    if (c->sections && (uint64_t)c->nsections == count && left == 0) return true;
    return kdrt_fail(error, "%s: expected %llu sections that fill the file, found %d", path,
                     (unsigned long long)count, c->nsections);
}

bool kdrt_checkpoint_read(const char *path, KdrtCheckpoint *c, KdrtError *error) {
    memset(c, 0, sizeof *c);
    size_t bytes;
    unsigned char *file = kdrt_file_read(path, FILE_LIMIT, &bytes, error);
    if (!file) return false;
    const char *slash = strrchr(path, '/');
    c->memory = file;
    c->step = step_of_name(slash ? slash + 1 : path);
    if (check_frame(path, file, bytes, error) && unpack(path, file, bytes, c, error)) return true;
    kdrt_checkpoint_free(c);
    return false;
}

bool kdrt_checkpoint_latest(const char *folder, KdrtCheckpoint *c, KdrtError *error) {
    int64_t steps[MAX_LISTED];
    char path[PATH_MAX];
    KdrtError older;
    error->text[0] = 0;
    int n = list_steps(folder, steps);
    for (int k = 0; k < n; k++) {
        if (!checkpoint_path(path, folder, steps[k])) continue;
        if (kdrt_checkpoint_read(path, c, k == 0 ? error : &older)) return true;
    }
    memset(c, 0, sizeof *c);
    c->step = -1;
    if (n < 0) return kdrt_fail(error, "%s: cannot read: %s", folder, strerror(errno));
    return n == 0;
}

bool kdrt_checkpoint_newest(const char *folder, char path[PATH_MAX]) {
    int64_t steps[MAX_LISTED];
    return list_steps(folder, steps) > 0 && checkpoint_path(path, folder, steps[0]);
}

const KdrtSection *kdrt_checkpoint_find(const KdrtCheckpoint *c, const char *name) {
    for (int k = 0; k < c->nsections; k++) {
        if (!strcmp(c->sections[k].name, name)) return &c->sections[k];
    }
    return NULL;
}

void kdrt_checkpoint_free(KdrtCheckpoint *c) {
    kdrt_free(c->memory);
    free(c->sections);
    memset(c, 0, sizeof *c);
}
