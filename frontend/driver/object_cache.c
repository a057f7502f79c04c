/*
 * One file an object: a head, then the bytes of its files. The name is a hash of kdc itself (the
 * bytes of its executable) and of all that the bytes depend on; the head has another hash of the
 * same and one of what follows it. Whatever does not fit is compiled anew.
 */
#define _DEFAULT_SOURCE /* st_mtim */
#include "frontend/driver/object_cache.h"

#include "frontend/driver/cache.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/hash.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILES 8
#define MAX_BYTES ((size_t)256 << 20)
#define MAX_KEPT  200

typedef struct Head {
    char magic[8];
    uint64_t recipe, content, count, scratch, size[MAX_FILES];
} Head;
static const char magic[8] = "kdcode1";

typedef struct Place {
    const char *folder, *path;
    uint64_t recipe;
} Place;

/* A hash of the executable; 0 where it cannot be read. A study asks for each of its runs. */
static uint64_t hash_kdc(void) {
    static uint64_t hash;
    KdrtError error;
    size_t bytes;
    if (hash) return hash;
    void *kdc = kdrt_file_read("/proc/self/exe", (size_t)1 << 30, &bytes, &error);
    hash = kdc ? kdrt_hash(kdc, bytes, 0) : 0;
    kdrt_free(kdc);
    return hash;
}

/* False where nothing can be kept: no folder, or no way to tell this kdc from another. */
static bool find_place(const KdModule *m, int n, const KdEntry *entries, const KdBackendOptions *o,
                       KdArena *a, Place *place) {
    place->folder = kd_cache_folder("code", a);
    uint64_t kdc = place->folder ? hash_kdc() : 0;
    if (!kdc) return false;
    const char *recipe = kd_object_recipe(m, n, entries, o, a);
    uint64_t name = kdrt_hash(recipe, strlen(recipe), kdc);
    place->recipe = kdrt_hash(recipe, strlen(recipe), ~name);
    place->path = kd_arena_format(a, "%s/%016" PRIx64, place->folder, name);
    return true;
}

/* Of the head and the parts behind it. */
static uint64_t hash_content(Head head, const KdObjectFile *part) {
    head.content = 0;
    uint64_t hash = kdrt_hash(&head, sizeof head, 0);
    for (uint64_t k = 0; k < head.count; k++) hash = kdrt_hash(part[k].bytes, part[k].size, hash);
    return hash;
}

static KdObject *read_object(const Place *place, const KdBackendOptions *o) {
    KdrtError error;
    size_t bytes, at = sizeof(Head);
    unsigned char *file = kdrt_file_read(place->path, MAX_BYTES, &bytes, &error);
    Head head = { .count = 0 };
    if (file && bytes >= sizeof head) memcpy(&head, file, sizeof head);
    bool good = memcmp(head.magic, magic, sizeof magic) == 0 && head.recipe == place->recipe &&
                head.count <= MAX_FILES;
    KdObjectFile part[MAX_FILES];
    for (uint64_t k = 0; good && k < head.count; k++) {
        good = head.size[k] <= bytes - at;
        part[k] = (KdObjectFile){ file + at, (size_t)head.size[k] };
        at += good ? (size_t)head.size[k] : 0;
    }
    good = good && head.content == hash_content(head, part);
    KdObject *object =
        good ? kd_object_restore((int)head.count, part, (size_t)head.scratch, o) : NULL;
    kdrt_free(file);
    return object;
}

/* Removes the file that was used least recently, where there are more than MAX_KEPT. */
static void drop_oldest(const char *folder, KdArena *a) {
    DIR *dir = opendir(folder);
    const char *oldest = NULL;
    struct timespec when = { 0 };
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *path = kd_arena_format(a, "%s/%s", folder, entry->d_name);
        struct stat s;
        if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) continue;
        count++;
        bool older = s.st_mtim.tv_sec != when.tv_sec ? s.st_mtim.tv_sec < when.tv_sec
                                                     : s.st_mtim.tv_nsec < when.tv_nsec;
        if (oldest && !older) continue;
        oldest = path;
        when = s.st_mtim;
    }
    if (dir) closedir(dir);
    if (count > MAX_KEPT) unlink(oldest);
}

/* A folder that cannot be written costs another compilation, no more. */
static void write_object(const KdObject *object, const Place *place, KdArena *a) {
    KdrtError error;
    int count = kd_object_count(object);
    if (count > MAX_FILES || !kd_cache_make_room(place->path, a)) return;
    Head head = { .recipe = place->recipe,
                  .count = (uint64_t)count,
                  .scratch = kd_object_scratch(object) };
    memcpy(head.magic, magic, sizeof magic);
    KdrtPiece piece[1 + MAX_FILES] = { { &head, sizeof head } };
    KdObjectFile part[MAX_FILES];
    for (int k = 0; k < count; k++) {
        part[k].bytes = kd_object_bytes(object, k, &part[k].size);
        head.size[k] = part[k].size;
        piece[k + 1] = (KdrtPiece){ part[k].bytes, part[k].size };
    }
    head.content = hash_content(head, part);
    if (kdrt_file_write(place->path, piece, count + 1, &error)) drop_oldest(place->folder, a);
}

bool kd_compile_cached(KdCompiled *c, int n, const KdEntry *entries, const KdBackendOptions *o,
                       KdDiag *d) {
    KdArena *a = kd_arena_create();
    Place place;
    bool known = find_place(c->m, n, entries, o, a, &place);
    c->object = known && access(place.path, R_OK) == 0 ? read_object(&place, o) : NULL;
    c->recalled = c->object != NULL;
    if (c->recalled) {
        utimensat(AT_FDCWD, place.path, NULL, 0); /* used now */
    } else {
        c->object = kd_compile(c->m, n, entries, o, d);
        if (c->object && known) write_object(c->object, &place, a);
    }
    kd_arena_destroy(a);
    return c->object != NULL;
}
