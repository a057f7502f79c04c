/*
 * The child reads, and writes to a pipe one Message and the bytes of both arrays. What it says is
 * believed as little as the file: it may have been taken over by it.
 */
#include "runtime/host/apart.h"

#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of computing: some, and more for larger files, of which a slow machine reads this much in one. */
#define LEAST_SECONDS    2
#define BYTES_PER_SECOND (4 << 20)

typedef struct Message {
    bool done;
    KdrtArray pair[2]; /* without their data */
    KdrtError error;
} Message;

/* All of it, through as many calls as that takes. */
static bool send_all(int fd, const void *data, size_t bytes) {
    for (const char *from = data; bytes > 0;) {
        ssize_t n = write(fd, from, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        from += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool receive_all(int fd, void *data, size_t bytes) {
    for (char *to = data; bytes > 0;) {
        ssize_t n = read(fd, to, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        to += n;
        bytes -= (size_t)n;
    }
    return true;
}

static size_t array_bytes(const KdrtArray *a) {
    return (size_t)kdrt_array_elements(a) * kdrt_dtype_bytes(a->dtype);
}

/* --- the child ------------------------------------------------------------------------------- */

/* What the process has mapped; 0 where the system does not tell. */
static size_t mapped(void) {
    char line[64] = "";
    FILE *f = fopen("/proc/self/statm", "r");
    bool told = f && fgets(line, sizeof line, f); /* pages, and more */
    if (f) fclose(f);
    unsigned long long pages = told ? strtoull(line, NULL, 10) : 0;
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* AddressSanitizer maps terabytes for itself: under it memory has no bound. */
static void limit(const char *path, size_t bytes) {
    struct stat file = { 0 };
    rlim_t seconds = LEAST_SECONDS;
    if (stat(path, &file) == 0) seconds += (rlim_t)file.st_size / BYTES_PER_SECOND;
    const struct rlimit time = { seconds, seconds + 1 }, none = { 0, 0 }; /* ends in SIGXCPU */
    struct rlimit memory = { mapped() + bytes, mapped() + bytes };
#ifdef KD_ASAN
    memory.rlim_cur = memory.rlim_max = RLIM_INFINITY;
#endif
    setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CPU, &time);
    setrlimit(RLIMIT_CORE, &none);
    static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU };
    for (size_t k = 0; k < sizeof signals / sizeof *signals; k++) signal(signals[k], SIG_DFL);
    int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) dup2(nowhere, STDERR_FILENO); /* errors are said by the parent */
}

_Noreturn static void run_child(int fd, KdrtPairReader *read, const char *path, size_t bytes) {
    KdrtArray pair[2] = { 0 };
    Message m = { 0 };
    limit(path, bytes);
    m.done = read(path, pair, &m.error);
    memcpy(m.pair, pair, sizeof pair);
    bool sent = send_all(fd, &m, sizeof m);
    for (int k = 0; k < 2 && sent && m.done; k++)
        sent = send_all(fd, pair[k].data, array_bytes(&pair[k]));
    _exit(!sent);
}

/* --- the parent ------------------------------------------------------------------------------ */

static bool is_sound(const KdrtArray *a, size_t bytes) {
    return a->rank >= 1 && a->rank <= KDRT_MAX_RANK && a->dtype <= KDRT_U8 &&
           kdrt_array_elements(a) >= 0 && array_bytes(a) <= bytes;
}

/* False without an error: the child said nothing that could be used. */
static bool take(int fd, const char *path, size_t bytes, KdrtArray pair[2], KdrtError *error) {
    Message m;
    error->text[0] = 0;
    if (!receive_all(fd, &m, sizeof m)) return false;
    if (!m.done) {
        m.error.text[sizeof m.error.text - 1] = 0;
        return kdrt_fail(error, "%s", m.error.text);
    }
    for (int k = 0; k < 2; k++) {
        if (!is_sound(&m.pair[k], bytes)) return false;
        pair[k] = m.pair[k];
        size_t size = array_bytes(&pair[k]);
        pair[k].data = kdrt_alloc(size);
        if (!pair[k].data) return kdrt_fail(error, "%s: no memory for its %zu bytes", path, size);
        if (!receive_all(fd, pair[k].data, size)) return false;
    }
    return true;
}

static bool say_end(const char *path, int status, size_t bytes, KdrtError *error) {
    if (WIFSIGNALED(status))
        return kdrt_fail(error, "%s: damaged: reading it ended with signal %d (%s)", path,
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    return kdrt_fail(error, "%s: damaged: reading it failed within its %zu MiB", path, bytes >> 20);
}

bool kdrt_read_apart(KdrtPairReader *read, const char *path, size_t bytes, KdrtArray pair[2],
                     KdrtError *error) {
    int ends[2], status = 0;
    memset(pair, 0, 2 * sizeof *pair);
    if (pipe(ends)) return kdrt_fail(error, "%s: no pipe: %s", path, strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        run_child(ends[1], read, path, bytes);
    }
    int reason = errno;
    close(ends[1]);
    bool done = child > 0 && take(ends[0], path, bytes, pair, error);
    close(ends[0]); /* a child that still writes ends here */
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (done) return true;
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    if (child < 0) return kdrt_fail(error, "%s: no process: %s", path, strerror(reason));
    return error->text[0] ? false : say_end(path, status, bytes, error);
}
