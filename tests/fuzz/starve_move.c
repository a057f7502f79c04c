/*
 * A process that was forked goes on in a copy of its parent's folder: what it writes from then on,
 * to files that are open as well, the parent does not see.
 */
#define _GNU_SOURCE /* nftw */
#include "tests/fuzz/starve.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_FILES = 256 };

static const char *source, *target; /* nftw knows no user data */

/* `path` below the source, as it is called below the target; false where it is elsewhere. */
static bool translate(const char *path, char moved[PATH_MAX]) {
    size_t n = strlen(source);
    if (strncmp(path, source, n) != 0 || (path[n] != '/' && path[n] != 0)) return false;
    return snprintf(moved, PATH_MAX, "%s%s", target, path + n) < PATH_MAX;
}

static bool copy_file(const char *from, const char *to, const struct stat *s) {
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, s->st_mode & 0777);
    bool good = in >= 0 && out >= 0;
    for (off_t left = s->st_size; good && left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left);
        good = n > 0;
        left -= n;
    }
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return good;
}

static int copy_entry(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)at;
    char moved[PATH_MAX];
    if (!translate(path, moved)) return 1;
    if (kind == FTW_D) return mkdir(moved, s->st_mode & 0777);
    return kind == FTW_F && copy_file(path, moved, s) ? 0 : 1;
}

/* The descriptor's file in the target, as far as it was read or written. */
static bool reopen(int fd) {
    char link[32], path[PATH_MAX], moved[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    struct stat s;
    if (n < 0 || fstat(fd, &s) || !S_ISREG(s.st_mode)) return true;
    path[n] = 0;
    if (!translate(path, moved)) return true;
    off_t place = lseek(fd, 0, SEEK_CUR);
    int other = open(moved, fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND));
    bool good = other >= 0 && lseek(other, place, SEEK_SET) == place && dup2(other, fd) == fd;
    if (other >= 0) close(other);
    return good;
}

bool starve_move(const char *from, const char *to) {
    source = from;
    target = to;
    if (nftw(from, copy_entry, 16, FTW_PHYS) || chdir(to)) return false;
    for (int fd = STDERR_FILENO + 1; fd < MOST_FILES; fd++)
        if (fcntl(fd, F_GETFD) >= 0 && !reopen(fd)) return false;
    return true;
}
