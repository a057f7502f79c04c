/*
 * kd-starve: a command of kdc again and again, each time in an empty folder and with one allocation
 * that fails (or all from there on), in a process of its own. It must end with what it would have
 * done, or with an error that speaks of memory; leave nothing allocated when it returns from main;
 * and leave files only that are whole, under the names that they have when all goes well.
 *
 *   kd-starve [--step N] [--from N] [--jobs N] FOLDER ARGUMENT-OF-KDC…
 *
 * Each of the N-th allocations is tried; FOLDER is made and removed, and holds what the commands
 * print and their cache as well.
 */
#define _GNU_SOURCE /* nftw, MAP_ANONYMOUS */
#include "tests/fuzz/starve.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/host/atomic_file.h"
#include "runtime/host/checkpoint.h"
#include "runtime/host/safetensors.h"

enum { SECONDS = 120, MOST_FAULTS = 20 };

int kdc_main(int argc, char **argv); /* main of frontend/main.c */

typedef struct Options {
    long from, step;
    const char *folder;
    int argc;
    char **argv;
} Options;

/* --- one command ----------------------------------------------------------------------------- */

static void become(int fd, const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || dup2(file, fd) < 0) _exit(99);
    close(file);
}

/* The child's life: in a folder of that name, printing to the files "out" and "err" beside it. */
_Noreturn static void live(const Options *o, const char *name, Starving *s) {
    cJSON_Hooks hooks = { malloc, free };
    cJSON_InitHooks(&hooks);
    become(STDOUT_FILENO, "out");
    become(STDERR_FILENO, "err");
    if (mkdir(name, 0755) || chdir(name)) _exit(99);
    alarm(SECONDS);
    starve_begin(s);
    int code = kdc_main(o->argc, o->argv);
    starve_end();
    fflush(stdout);
    _exit(code);
}

/* The status of waitpid. */
static int run(const Options *o, const char *name, Starving *s) {
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) live(o, name, s);
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("kd-starve");
        exit(2);
    }
    return status;
}

/* --- what it left ---------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static void remove_folder(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool ends_in(const char *path, const char *suffix) {
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

static bool same_bytes(const char *path, const char *wanted) {
    size_t n, m;
    KdrtError error;
    void *found = kdrt_file_read(path, SIZE_MAX, &n, &error);
    void *good = kdrt_file_read(wanted, SIZE_MAX, &m, &error);
    bool same = found && good && n == m && memcmp(found, good, n) == 0;
    free(found);
    free(good);
    return same;
}

/* Text that ends with a whole JSON value. */
static bool whole_json(const char *path) {
    size_t n;
    KdrtError error;
    char *text = kdrt_file_read(path, SIZE_MAX, &n, &error);
    bool whole = text && n > 1 && text[n - 2] == '}' && text[n - 1] == '\n';
    free(text);
    return whole;
}

/* Checkpoints are there when a run is stopped only, reports name seconds; other files are what they
 * always are. */
static bool is_whole(const char *path, const char *wanted) {
    KdrtError error;
    KdrtCheckpoint c;
    if (ends_in(path, ".json") || ends_in(path, ".jsonl")) return whole_json(path);
    if (!ends_in(path, ".kdck")) return same_bytes(path, wanted);
    if (!kdrt_checkpoint_read(path, &c, &error)) return false;
    kdrt_checkpoint_free(&c);
    return true;
}

static char bad_file[PATH_MAX]; /* nftw knows no user data */

static int check_file(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s, (void)at;
    char wanted[PATH_MAX];
    if (kind != FTW_F) return 0;
    snprintf(wanted, sizeof wanted, "good%s", path + strlen("now"));
    if (is_whole(path, wanted)) return 0;
    snprintf(bad_file, sizeof bad_file, "%s", path);
    return 1;
}

/* --- judging --------------------------------------------------------------------------------- */

static bool speaks_of_memory(void) {
    char text[1 << 14];
    FILE *f = fopen("err", "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    return strstr(text, "memory") || strstr(text, "Cannot allocate");
}

/* NULL, or what is wrong. */
static const char *judge(int status, const Starving *s) {
    static char why[PATH_MAX + 64];
    if (WIFSIGNALED(status)) {
        snprintf(why, sizeof why, "killed by signal %d", WTERMSIG(status));
        return why;
    }
    int code = WEXITSTATUS(status);
    if (code != 0 && code != 1) {
        snprintf(why, sizeof why, "exit code %d", code);
        return why;
    }
    if (code == 1 && !speaks_of_memory()) return "an error that does not speak of memory";
    if (s->leak) {
        snprintf(why, sizeof why, "%ld blocks leak, one of the call before %p", s->live, s->leak);
        return why;
    }
    if (nftw("now", check_file, 16, FTW_PHYS) == 0) return NULL;
    snprintf(why, sizeof why, "file %s is cut, or should not be there", bad_file);
    return why;
}

static bool try(const Options *o, long n, bool for_good, Starving *s) {
    *s = (Starving){ .fail = n, .for_good = for_good };
    int status = run(o, "now", s);
    const char *why = judge(status, s);
    remove_folder("now");
    if (why) printf("allocation %ld%s: %s\n", n, for_good ? " and all after it" : "", why);
    return !why;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int starve(const Options *o, Starving *s) {
    int faults = 0;
    long tried = 0;
    run(o, "first", s); /* fills the cache */
    *s = (Starving){ 0 };
    if (run(o, "good", s) != 0) {
        puts("without any failing allocation it fails: see the file err");
        return 1;
    }
    long count = s->count;
    for (long n = o->from; n <= count && faults < MOST_FAULTS; n += o->step, tried += 2) {
        if (!try(o, n, false, s)) faults++;
        if (!try(o, n, true, s)) faults++;
    }
    printf("%ld allocations, %ld runs, %d faults\n", count, tried, faults);
    return faults > 0;
}

/* By hand: getopt's state is kdc's. */
static bool read_options(int argc, char **argv, Options *o) {
    int k = 1;
    *o = (Options){ .from = 1, .step = 1 };
    for (; k + 1 < argc && argv[k][0] == '-'; k += 2) {
        if (strcmp(argv[k], "--step") == 0)
            o->step = atol(argv[k + 1]);
        else if (strcmp(argv[k], "--from") == 0)
            o->from = atol(argv[k + 1]);
        else
            return false;
    }
    if (argc - k < 2 || o->from < 1 || o->step < 1) return false;
    remove_folder(argv[k]);
    o->folder = argv[k];
    o->argc = argc - k; /* the folder's place is the program's name */
    o->argv = argv + k;
    return mkdir(o->folder, 0755) == 0;
}

/* To FOLDER, whose absolute path goes to `folder`; its cache is the commands'. */
static bool enter(const Options *o, char folder[PATH_MAX]) {
    char cache[PATH_MAX + 8];
    if (!realpath(o->folder, folder) || chdir(folder)) return false;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    return setenv("XDG_CACHE_HOME", cache, 1) == 0;
}

int main(int argc, char **argv) {
    Options o;
    char folder[PATH_MAX];
    if (!read_options(argc, argv, &o)) {
        fputs("usage: kd-starve [--step N] [--from N] FOLDER ARGUMENT-OF-KDC…\n", stderr);
        return 2;
    }
    Starving *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED || !enter(&o, folder)) return 2;
    *s = (Starving){ 0 };
    int code = starve(&o, s);
    if (code == 0) remove_folder(folder);
    return code;
}
