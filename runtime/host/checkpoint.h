/*
 * Checkpoints: named sections of bytes in one file, ckpt-<step>.kdck, written whole and verified
 * when read. What the sections hold (slabs, counters, the best weights) is the driver's business.
 *
 *   "kdcheck\n" | u32 version | u32 sections | u64 bytes of the file
 *   per section: u32 length of its name | the name | u64 bytes | the bytes
 *   u64 XXH64 of everything before            all little endian
 */
#ifndef KDRT_HOST_CHECKPOINT_H
#define KDRT_HOST_CHECKPOINT_H

#include "runtime/host/error.h"

#include <limits.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct KdrtSection {
    const char *name;
    const void *data; /* read: may lie at any byte, so copy it out with memcpy */
    size_t bytes;
} KdrtSection;

typedef struct KdrtCheckpoint {
    int64_t step;
    int nsections;
    KdrtSection *sections;
    void *memory; /* what a read owns */
} KdrtCheckpoint;

/* Writes folder/ckpt-<step>.kdck, then removes all up to that step but the two newest. */
bool kdrt_checkpoint_write(const char *folder, const KdrtCheckpoint *c, KdrtError *error);

/* Reads one file and verifies it. `step` is taken from its name. */
bool kdrt_checkpoint_read(const char *path, KdrtCheckpoint *c, KdrtError *error);

/* The newest that verifies. True with step -1 and no sections when the folder holds none; false
 * when there are some and none of them can be read. The error is the newest one's, and empty where
 * that is the one that was read. */
bool kdrt_checkpoint_latest(const char *folder, KdrtCheckpoint *c, KdrtError *error);

/* Path of the newest by its name; false: there is none. */
bool kdrt_checkpoint_newest(const char *folder, char path[PATH_MAX]);

/* Removes every checkpoint of the folder: the run has ended. */
void kdrt_checkpoint_remove_all(const char *folder);

const KdrtSection *kdrt_checkpoint_find(const KdrtCheckpoint *c, const char *name); /* or NULL */
void kdrt_checkpoint_free(KdrtCheckpoint *c);                                       /* of a read */

#endif
