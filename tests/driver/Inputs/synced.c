/* Preloaded: writes what is synced and renamed, in order, to the file $SYNC_LOG. With $SYNC_FAILS
 * folders cannot be synced; with $SYNC_TAKES each sync takes so many milliseconds longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(const char *what, const char *path) {
    FILE *log = fopen(getenv("SYNC_LOG"), "a");
    fprintf(log, "%s %s\n", what, path);
    fclose(log);
}

int fsync(int fd) {
    char link[64], path[4096];
    struct stat info;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    int folder = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
    note(folder ? "folder" : "file", path);
    const char *takes = getenv("SYNC_TAKES");
    if (takes) usleep(1000 * (useconds_t)atoi(takes));
    if (folder && getenv("SYNC_FAILS")) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int rename(const char *old, const char *new) {
    char whole[4096];
    note("rename", realpath(old, whole) ? whole : old);
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(old, new);
}
