/* Reading and writing files whole; the reproducer of a kd_bug. */
#include "frontend/outfile.h"

#include "ir/text.h"
#include "runtime/host/atomic_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGEST_TEXT ((size_t)256 << 20)

/* Those under way. The files of a process are a fact of the process, as its signals are. */
static KdOutFile *under_way;

void kd_outfile_abandon(void) {
    for (KdOutFile *f = under_way; f; f = f->next) unlink(f->temporary);
}

static bool say_errno(const char *what, const char *path, KdDiag *d) {
    return kd_error(d, (KdLoc){ path, 0 }, "cannot %s: %s", what, strerror(errno));
}

bool kd_file_error(KdDiag *d, const char *path, const KdrtError *error) {
    const char *rest = error->text;
    size_t n = strlen(path);
    bool named = strncmp(rest, path, n) == 0;
    if (named) rest += n;
    if (named && rest[0] == '/') return kd_error(d, (KdLoc){ path, 0 }, "%s", rest + 1);
    if (named && strncmp(rest, ": ", 2) == 0)
        return kd_error(d, (KdLoc){ path, 0 }, "%s", rest + 2);
    return kd_error(d, (KdLoc){ NULL, 0 }, "%s", error->text);
}

bool kd_outfile_open(KdOutFile *f, const char *path, KdArena *a, KdDiag *d) {
    *f = (KdOutFile){ .stream = stdout, .path = path };
    if (!path || strcmp(path, "-") == 0) {
        f->path = "standard output";
        return true;
    }
    struct stat s;
    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode)) {
        f->stream = fopen(path, "w");
        return f->stream || say_errno("write", path, d);
    }
    f->temporary = kd_arena_format(a, "%s.XXXXXX", path);
    int fd = mkstemp(f->temporary);
    if (fd < 0) return say_errno("write", path, d);
    mode_t mask = umask(0); /* mkstemp makes private files; this one is an ordinary result */
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    f->stream = fdopen(fd, "w");
    if (!f->stream) {
        say_errno("write", path, d);
        close(fd);
        unlink(f->temporary);
        return false;
    }
    f->next = under_way;
    under_way = f;
    return true;
}

bool kd_stream_finish(FILE *stream) {
    if (fflush(stream) != 0) return false;
    if (!ferror(stream)) return true;
    clearerr(stream); /* the reason is forgotten, but one byte more meets it again */
    if (fputc('\n', stream) != EOF && fflush(stream) == 0) errno = EIO;
    return false;
}

bool kd_outfile_close(KdOutFile *f, bool good, KdDiag *d) {
    bool written = kd_stream_finish(f->stream);
    if (f->temporary) written = written && fsync(fileno(f->stream)) == 0;
    int error = errno;
    if (f->stream != stdout && fclose(f->stream) != 0 && written) {
        written = false;
        error = errno;
    }
    if (written && good && f->temporary &&
        (rename(f->temporary, f->path) != 0 || !kdrt_sync_folder(f->path))) {
        written = false;
        error = errno;
    }
    if (f->temporary && !(written && good)) unlink(f->temporary);
    for (KdOutFile **at = &under_way; *at; at = &(*at)->next) {
        if (*at != f) continue;
        *at = f->next;
        break;
    }
    errno = error;
    return good && (written || say_errno("write", f->path, d));
}

char *kd_read_text(const char *path, size_t *size, KdArena *a, KdDiag *d) {
    bool standard = strcmp(path, "-") == 0;
    struct stat s;
    FILE *in = standard ? stdin : fopen(path, "r");
    if (!in) {
        say_errno("read", path, d);
        return NULL;
    }
    size_t room = (size_t)1 << 16, n = 0;
    if (!standard && fstat(fileno(in), &s) == 0 && s.st_size > 0) room = (size_t)s.st_size + 2;
    char *text = room <= LARGEST_TEXT ? kd_arena_alloc(a, room) : NULL;
    while (text) {
        n += fread(text + n, 1, room - 1 - n, in);
        if (feof(in) || ferror(in)) break;
        char *more = 2 * room <= LARGEST_TEXT ? kd_arena_alloc(a, 2 * room) : NULL;
        if (more) memcpy(more, text, n);
        room *= 2;
        text = more;
    }
    if (!text) {
        kd_error(d, (KdLoc){ path, 0 }, "larger than %zu MiB, which no IR text is",
                 LARGEST_TEXT >> 20);
    } else if (ferror(in)) {
        say_errno("read", path, d);
        text = NULL;
    }
    if (!standard) fclose(in);
    *size = n;
    return text;
}

/* A file of that name in the first folder that takes it; NULL when none does. The path lies in
 * `buffer`. */
static FILE *create_reproducer(const char *pass, char *buffer, size_t size) {
    static const char *const folders[] = { "", "/tmp/" };
    FILE *out = NULL;
    for (size_t k = 0; k < sizeof folders / sizeof *folders && !out; k++) {
        snprintf(buffer, size, "%skdc-bug-%s.kir", folders[k], pass ? pass : "kdc");
        out = fopen(buffer, "w");
    }
    return out;
}

const char *kd_write_reproducer(const KdDiag *d) {
    const size_t size = 128;
    char *path = malloc(size);
    FILE *out = path ? create_reproducer(d->pass, path, size) : NULL;
    if (!out) {
        free(path);
        return NULL;
    }
    if (d->pass) fprintf(out, "// kdc opt %s --passes=%s\n", path, d->pass);
    if (d->before) {
        fputs(d->before, out);
    } else {
        kd_print_module(d->module, out);
    }
    bool written = fclose(out) == 0;
    return written ? path : NULL; /* NOLINT(clang-analyzer-unix.Malloc): the process ends */
}
