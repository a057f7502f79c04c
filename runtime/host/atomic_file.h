/*
 * Files written whole or not at all: into a temporary file of the same folder, fsync of the file,
 * rename, fsync of the folder. A kill at any moment leaves the old file or the new one.
 */
#ifndef KDRT_HOST_ATOMIC_FILE_H
#define KDRT_HOST_ATOMIC_FILE_H

#include "runtime/host/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct KdrtPiece {
    const void *data;
    size_t bytes;
} KdrtPiece;

/* Writes the pieces one after the other to `path`, whose folder must exist. */
bool kdrt_file_write(const char *path, const KdrtPiece *pieces, int n, KdrtError *error);

/* Removes what writers who were killed left half-written in the folder, as far as nobody has
 * written there for so many seconds; 0 where there is no other writer. */
void kdrt_remove_halves(const char *folder, int64_t seconds);

/* Makes a rename to `path` outlive a power cut: fsync of its folder. False: see errno. */
bool kdrt_sync_folder(const char *path);

/* The file's bytes, KDRT_ALIGN-aligned and followed by a zero byte; kdrt_free them. A file of more
 * than `limit` bytes is an error. NULL after an error. */
void *kdrt_file_read(const char *path, size_t limit, size_t *bytes, KdrtError *error);

/* Creates the folder and those above it, as far as missing, so that they outlive a power cut. */
bool kdrt_make_folders(const char *path, KdrtError *error);

#endif
