/* Members of tar (plain or by gzip, bzip2, xz or zstd) and zip files, into memory in one pass over
 * the archive. */
#ifndef KDRT_HOST_ARCHIVE_H
#define KDRT_HOST_ARCHIVE_H

#include "runtime/host/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct KdrtMember {
    const char *name;    /* of the file, without folders; the caller's */
    unsigned char *data; /* NULL: the archive has none of that name. A zero byte follows */
    size_t bytes;
} KdrtMember;

/* Fills `data` and `bytes` of those of the n members that the archive has. After an error none: all
 * together may take 1032 bytes for one of the file. */
bool kdrt_archive_read(const char *path, KdrtMember *member, int n, KdrtError *error);
void kdrt_archive_free(KdrtMember *member, int n);

#endif
