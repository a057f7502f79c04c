/*
 * $CC may hold options too, so a shell takes it apart; the arguments are handed to it as they are.
 */
#define _DEFAULT_SOURCE /* mkdtemp */
#include "frontend/linker.h"

#include "frontend/process.h"

#include <errno.h>
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

char *kd_link_folder(KdArena *a, KdDiag *d) {
    const char *base = getenv("TMPDIR");
    char *path = kd_arena_format(a, "%s/kdc-link-XXXXXX", base && *base ? base : "/tmp");
    if (mkdtemp(path)) return path;
    kd_error(d, nowhere, "%s: cannot make a folder: %s", path, strerror(errno));
    return NULL;
}

void kd_link_cleanup(const char *folder, const char *const *names) {
    for (int k = 0; names[k]; k++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        unlink(path);
    }
    rmdir(folder);
}
