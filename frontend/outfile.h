/*
 * Files of the command line: reading one whole, and writing one so that nothing half-written ever
 * stands under its name.
 */
#ifndef KD_FRONTEND_OUTFILE_H
#define KD_FRONTEND_OUTFILE_H

#include "ir/arena.h"
#include "ir/diag.h"
#include "runtime/host/error.h"

/* Written under a temporary name beside `path`, and renamed when it is whole. path NULL or "-":
 * standard output. A path that is no regular file (a device, a pipe) is written directly. */
typedef struct KdOutFile {
    FILE *stream;
    const char *path;
    char *temporary; /* NULL when written directly */
    struct KdOutFile *next;
} KdOutFile;

bool kd_outfile_open(KdOutFile *f, const char *path, KdArena *a, KdDiag *d);
/* `good`: keep what was written, else drop it. False after an error, or when good was false. */
bool kd_outfile_close(KdOutFile *f, bool good, KdDiag *d);
/* Sends off what the stream still holds. False when any of its bytes was lost, errno: why. */
bool kd_stream_finish(FILE *stream);
/* Removes what is half-written: for at_quick_exit. */
void kd_outfile_abandon(void);

/* Says what went wrong with the file, or one in the folder, that `path` names, as `path: error: …`;
 * `path` must live as long as d. False. */
bool kd_file_error(KdDiag *d, const char *path, const KdrtError *error);

/* The whole of a text file ("-": standard input), with a zero behind it; NULL after an error. */
char *kd_read_text(const char *path, size_t *size, KdArena *a, KdDiag *d);

/* A KdReproducer: writes kdc-bug-<pass>.kir here, or in /tmp when this folder is read-only. */
const char *kd_write_reproducer(const KdDiag *d);

#endif
