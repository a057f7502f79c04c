/*
 * libarchive knows the formats; what is doubted here is their size: memory grows with the bytes
 * that really come, whatever a header says, and as far as data of a file of that size do. Of the
 * compressions that it knows only those that it computes itself are let in: it starts programs for
 * others.
 */
#include "runtime/host/archive.h"

#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST_ROOM   ((size_t)1 << 22)
#define MEMBER_LIMIT ((size_t)1 << 33)
#define MOST_RATIO   ((size_t)1032) /* bytes for one of the file, which is what deflate can make */

typedef struct Reading {
    struct archive *archive;
    const char *path;
    size_t size, left; /* of the file; bytes that members may still take */
    KdrtError *error;
} Reading;

/* Some of libarchive's reasons are lines, with their ends. */
static bool fail(const Reading *r, const char *what) {
    const char *reason = archive_error_string(r->archive);
    if (!reason) reason = "unknown reason";
    return kdrt_fail(r->error, "%s: damaged archive in %s: %.*s", r->path, what,
                     (int)strcspn(reason, "\n"), reason);
}

static KdrtMember *wanted(KdrtMember *member, int n, const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;
    for (int k = 0; name && k < n; k++)
        if (!member[k].data && strcmp(member[k].name, name) == 0) return &member[k];
    return NULL;
}

static bool grow(const Reading *r, KdrtMember *m, size_t room) {
    unsigned char *grown = room <= MEMBER_LIMIT ? realloc(m->data, room) : NULL;
    if (!grown) {
        kdrt_fail(r->error, "%s: no memory for %s after %zu bytes", r->path, m->name, m->bytes);
        return false;
    }
    m->data = grown;
    return true;
}

static bool take(Reading *r, KdrtMember *m, size_t bytes) {
    if (bytes > r->left)
        return kdrt_fail(r->error, "%s: %s: more than %zu bytes, too many for a file of %zu",
                         r->path, m->name, r->size * MOST_RATIO, r->size);
    r->left -= bytes;
    m->bytes += bytes;
    return true;
}

/* One member to its end; `size` is the header's word, taken for no more than a first guess. */
static bool read_member(Reading *r, KdrtMember *m, size_t size) {
    size_t room = (size < FIRST_ROOM ? size : FIRST_ROOM) + 2;
    la_ssize_t got = 1;
    m->bytes = 0;
    if (!grow(r, m, room)) return false;
    while (got > 0) {
        if (room - m->bytes == 1) {
            room *= 2;
            if (!grow(r, m, room)) return false;
        }
        got = archive_read_data(r->archive, m->data + m->bytes, room - m->bytes - 1);
        if (got < 0) return fail(r, m->name);
        if (!take(r, m, (size_t)got)) return false;
    }
    m->data[m->bytes] = 0;
    return true;
}

static bool read_all(Reading *r, KdrtMember *member, int n) {
    struct archive_entry *entry;
    int status, left = n;
    while (left && (status = archive_read_next_header(r->archive, &entry)) != ARCHIVE_EOF) {
        if (status < ARCHIVE_WARN) return fail(r, "the header of a member");
        KdrtMember *m = wanted(member, n, archive_entry_pathname(entry));
        if (!m) continue;
        if (!read_member(r, m, (size_t)archive_entry_size(entry))) return false;
        left--;
    }
    return true;
}

/* A compression without its library is done by a program. */
static void allow_formats(struct archive *a) {
    if (archive_zlib_version()) archive_read_support_filter_gzip(a);
    if (archive_bzlib_version()) archive_read_support_filter_bzip2(a);
    if (archive_liblzma_version()) archive_read_support_filter_xz(a);
    if (archive_libzstd_version()) archive_read_support_filter_zstd(a);
    archive_read_support_format_tar(a);
    archive_read_support_format_zip(a);
}

bool kdrt_archive_read(const char *path, KdrtMember *member, int n, KdrtError *error) {
    struct stat info;
    for (int k = 0; k < n; k++) member[k].data = NULL;
    if (stat(path, &info)) return kdrt_fail(error, "%s: cannot open: %s", path, strerror(errno));
    Reading r = { archive_read_new(), path, (size_t)info.st_size, 0, error };
    if (!r.archive) return kdrt_fail(error, "%s: no memory to open it", path);
    r.left = r.size <= SIZE_MAX / MOST_RATIO ? r.size * MOST_RATIO : SIZE_MAX;
    allow_formats(r.archive);
    bool done = archive_read_open_filename(r.archive, path, 1 << 18) == ARCHIVE_OK ||
                kdrt_fail(error, "%s: expected a tar or zip archive: %s", path,
                          archive_error_string(r.archive));
    done = done && read_all(&r, member, n);
    archive_read_free(r.archive);
    if (!done) kdrt_archive_free(member, n);
    return done;
}

void kdrt_archive_free(KdrtMember *member, int n) {
    for (int k = 0; k < n; k++) {
        kdrt_free(member[k].data); /* or read as a file; kdrt_free is for both */
        member[k].data = NULL;
        member[k].bytes = 0;
    }
}
