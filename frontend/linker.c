/*
 * $CC may hold options too, so a shell takes it apart; the arguments are handed to it as they are.
 */
#define _DEFAULT_SOURCE /* mkdtemp */
#include "frontend/linker.h"

#include "frontend/host.h"
#include "frontend/process.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ARGS 32

static const KdLoc nowhere = { NULL, 0 };

bool kd_link(const char *compiler, const char *const *args, KdDiag *d) {
    const char *given = getenv("CC"), *name = given && *given ? given : compiler;
    const char *argv[MAX_ARGS + 5] = { "sh", "-c", "exec ${CC:-$0} \"$@\"", compiler };
    for (int k = 0; k < MAX_ARGS && args[k]; k++) argv[4 + k] = args[k];
    int status = kd_process_run(argv, -1, -1, -1);
    if (status == KD_PROCESS_MISSING)
        return kd_error(d, nowhere,
                        "linking needs a C compiler, and there is no '%s': install one (Debian's "
                        "gcc), name one in CC, or use --emit=obj or lib",
                        name);
    return status == 0 || kd_error(d, nowhere, "'%s' could not link it", name);
}

KdRuntime kd_link_runtime(const char *target, KdArena *a) {
    const char *library = kd_library_folder(a), *folder = KD_RUNTIME_DIR;
    KdRuntime r = { .include = "-I" KD_RUNTIME_SOURCE_DIR };
    if (library && access(kd_arena_format(a, "%s/../../../include/kdrt.h", library), R_OK) == 0) {
        r.include = kd_arena_format(a, "-I%s/../../../include", library); /* we are installed */
        folder = kd_arena_format(a, "%s/../../../" KD_INSTALL_LIBDIR, library);
    }
    r.archive = target ? "-l:libkdrt.a" : kd_arena_format(a, "%s/libkdrt.a", folder);
    r.shared = target ? "-lkdrt" : kd_arena_format(a, "%s/libkdrt.so", folder);
    return r;
}

char *kd_link_folder(KdArena *a, KdDiag *d) {
    const char *base = getenv("TMPDIR");
    char *path = kd_arena_format(a, "%s/kdc-link-XXXXXX", base && *base ? base : "/tmp");
    if (mkdtemp(path)) return path;
    kd_error(d, nowhere, "%s: cannot make a folder: %s", path, strerror(errno));
    return NULL;
}

void kd_link_cleanup(const char *folder, const char *const *names) {
    for (int k = 0; names[k]; k++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        unlink(path);
    }
    rmdir(folder);
}
