/* Whole files in and out; see the header. */
#define _DEFAULT_SOURCE /* getentropy */
#include "runtime/host/atomic_file.h"

#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARK    ".tmp-" /* and LETTERS more, behind the name of the file that is to be */
#define LETTERS 6

static bool write_all(int fd, const unsigned char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t wrote = write(fd, data, bytes);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return false;
        data += wrote;
        bytes -= (size_t)wrote;
    }
    return true;
}

bool kdrt_sync_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    if (length == 0) length = 1; /* "/file" */
    memcpy(folder, slash ? path : ".", length);
    folder[length] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool done = fsync(fd) == 0 || errno == EINVAL; /* some file systems cannot */
    close(fd);
    return done;
}

/* Opens a new file whose name begins with that of `path`, and may be read by whom the umask lets.
 * (mkstemp's are private.) -1: see errno. */
static int create_beside(const char *path, char temporary[PATH_MAX]) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    int length = snprintf(temporary, PATH_MAX, "%s" MARK, path), fd = -1;
    if (length < 0 || length + LETTERS >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (int tries = 0; fd < 0 && tries < 100; tries++) {
        unsigned char chosen[LETTERS];
        if (getentropy(chosen, sizeof chosen)) return -1;
        for (int k = 0; k < LETTERS; k++) temporary[length + k] = letters[chosen[k] % 32];
        temporary[length + LETTERS] = 0;
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) return -1;
    }
    return fd;
}

bool kdrt_file_write(const char *path, const KdrtPiece *pieces, int n, KdrtError *error) {
    char temporary[PATH_MAX];
    int fd = create_beside(path, temporary);
    if (fd < 0) return kdrt_fail(error, "%s: cannot create: %s", path, strerror(errno));
    bool done = true;
    for (int k = 0; k < n && done; k++) done = write_all(fd, pieces[k].data, pieces[k].bytes);
    done = done && fsync(fd) == 0;
    int reason = errno;
    if (close(fd) && done) {
        done = false;
        reason = errno;
    }
    if (done && rename(temporary, path)) {
        done = false;
        reason = errno;
    }
    if (!done) {
        unlink(temporary);
        return kdrt_fail(error, "%s: cannot write: %s", path, strerror(reason));
    }
    if (!kdrt_sync_folder(path)) {
        return kdrt_fail(error, "%s: cannot sync its folder: %s", path, strerror(errno));
    }
    return true;
}

static bool is_half(const char *name) {
    size_t length = strlen(name), end = strlen(MARK) + LETTERS;
    const char *mark = length > end ? name + length - end : NULL;
    if (!mark || strncmp(mark, MARK, strlen(MARK)) != 0) return false;
    for (const char *letter = mark + strlen(MARK); *letter; letter++)
        if (!isalnum((unsigned char)*letter)) return false;
    return true;
}

void kdrt_remove_halves(const char *folder, int64_t seconds) {
    char path[PATH_MAX];
    struct stat info;
    DIR *d = opendir(folder);
    const struct dirent *entry;
    while (d && (entry = readdir(d))) {
        if (!is_half(entry->d_name)) continue;
        int n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof path || lstat(path, &info) || !S_ISREG(info.st_mode))
            continue;
        if (seconds == 0 || time(NULL) - info.st_mtime >= seconds) unlink(path);
    }
    if (d) closedir(d);
}

static void *read_bytes(const char *path, FILE *file, size_t size, KdrtError *error) {
    unsigned char *data = kdrt_alloc(size + 1);
    if (!data) {
        kdrt_fail(error, "%s: no memory for its %zu bytes", path, size);
        return NULL;
    }
    size_t got = fread(data, 1, size, file);
    if (got != size) {
        kdrt_fail(error, "%s: read %zu of %zu bytes: %s", path, got, size,
                  ferror(file) ? strerror(errno) : "the file became shorter");
        kdrt_free(data);
        return NULL;
    }
    return data;
}

/* Without waiting for somebody to write to a pipe. */
static FILE *open_file(const char *path) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    int reason = errno;
    if (fd >= 0 && !file) close(fd);
    errno = reason;
    return file;
}

void *kdrt_file_read(const char *path, size_t limit, size_t *bytes, KdrtError *error) {
    FILE *file = open_file(path);
    struct stat info;
    void *data = NULL;
    if (!file || fstat(fileno(file), &info)) {
        kdrt_fail(error, "%s: cannot open: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        kdrt_fail(error, "%s: expected a file, found %s", path,
                  S_ISDIR(info.st_mode) ? "a folder" : "something else");
    } else if ((uintmax_t)info.st_size > limit) {
        kdrt_fail(error, "%s: expected at most %zu bytes, found %jd", path, limit,
                  (intmax_t)info.st_size);
    } else {
        *bytes = (size_t)info.st_size;
        data = read_bytes(path, file, *bytes, error);
    }
    if (file) fclose(file);
    return data;
}

bool kdrt_make_folders(const char *path, KdrtError *error) {
    char folder[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof folder) return kdrt_fail(error, "%s: the path is too long", path);
    memcpy(folder, path, length + 1);
    for (size_t k = 1; k <= length; k++) {
        if (folder[k] != '/' && folder[k] != 0) continue;
        char kept = folder[k];
        folder[k] = 0;
        bool made = mkdir(folder, 0777) == 0;
        if (!made && errno != EEXIST)
            return kdrt_fail(error, "%s: cannot create the folder: %s", folder, strerror(errno));
        if (made && !kdrt_sync_folder(folder))
            return kdrt_fail(error, "%s: cannot sync its folder: %s", folder, strerror(errno));
        folder[k] = kept;
    }
    struct stat info;
    if (stat(path, &info) || !S_ISDIR(info.st_mode)) {
        return kdrt_fail(error, "%s: expected a folder, found a file", path);
    }
    return true;
}
