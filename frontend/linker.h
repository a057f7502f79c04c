/* The system's C compiler: it links what an object alone is not. */
#ifndef KD_FRONTEND_LINKER_H
#define KD_FRONTEND_LINKER_H

#include "ir/arena.h"
#include "ir/diag.h"

/* Runs $CC, or else `compiler`, with those arguments (NULL-ended). Its messages go where ours go.
 * False after an error, also when there is no such program. */
bool kd_link(const char *compiler, const char *const *args, KdDiag *d);

/* How programs that train find libkdrt: the one beside us, or, for another machine, the one that
 * its compiler finds (in CC's -L, or LIBRARY_PATH). */
typedef struct KdRuntime {
    const char *include, *archive, *shared; /* arguments of the compiler */
} KdRuntime;
KdRuntime kd_link_runtime(const char *target, KdArena *a);

/* A new folder for files that a link reads; NULL after an error. kd_link_cleanup removes it with
 * the files of those names (NULL-ended). */
char *kd_link_folder(KdArena *a, KdDiag *d);
void kd_link_cleanup(const char *folder, const char *const *names);

#endif
