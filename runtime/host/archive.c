/*
 * libarchive knows the formats; what is doubted here is their size: memory grows with the bytes
 * that really come, whatever a header says.
 */
#include "runtime/host/archive.h"

#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM   ((size_t)1 << 22)
#define MEMBER_LIMIT ((size_t)1 << 33)

typedef struct Reading {
    struct archive *archive;
    const char *path;
    KdrtError *error;
} Reading;

static bool fail(const Reading *r, const char *what) {
    const char *reason = archive_error_string(r->archive);
    return kdrt_fail(r->error, "%s: damaged archive in %s: %s", r->path, what,
                     reason ? reason : "unknown reason");
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

/* One member to its end; `size` is the header's word, taken for no more than a first guess. */
static bool read_member(const Reading *r, KdrtMember *m, size_t size) {
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
        m->bytes += (size_t)got;
    }
    m->data[m->bytes] = 0;
    return true;
}

static bool read_all(const Reading *r, KdrtMember *member, int n) {
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

bool kdrt_archive_read(const char *path, KdrtMember *member, int n, KdrtError *error) {
    Reading r = { archive_read_new(), path, error };
    if (!r.archive) return kdrt_fail(error, "%s: no memory to open it", path);
    for (int k = 0; k < n; k++) member[k].data = NULL;
    archive_read_support_filter_all(r.archive);
    archive_read_support_format_tar(r.archive);
    archive_read_support_format_zip(r.archive);
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
