/*
 * kd-starve: a command of kdc with one allocation that fails, or all from there on; for each
 * allocation that it makes. It must end with what it would have done, or with an error that speaks
 * of memory; leave nothing allocated when it returns from main; and leave files only that are
 * whole, under the names that they have when all goes well.
 *
 *   kd-starve [--step N] [--from N] [--after-script] FOLDER ARGUMENT-OF-KDC…
 *
 * The command runs once, and forks where it allocates: the children, in copies of its folder, go on
 * without that memory while it waits. So a trial costs what comes after the allocation only, mostly
 * an error. Where it cannot fork (other threads run, or it is a process that the command started)
 * the command is run from its start for that allocation.
 *
 * Each of the N-th allocations is tried, or of those behind the reading of the script: what reads
 * it is the same in all commands. FOLDER is made and removed, and holds what the commands
 * print and their cache as well: "good" what a whole run leaves, "now" and "trial" what is judged.
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

#include "frontend/script.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/checkpoint.h"
#include "runtime/host/safetensors.h"

enum { SECONDS = 120, MOST_FAULTS = 20, MOST_ALLOCATIONS = 1 << 22 };

int kdc_main(int argc, char **argv); /* main of frontend/main.c */
KdScript *__real_kd_script_load(const char *path, const KdScriptOptions *o, KdDiag *d);
KdScript *__wrap_kd_script_load(const char *path, const KdScriptOptions *o, KdDiag *d);

typedef struct Options {
    long from, step;
    bool after_script;
    char folder[PATH_MAX]; /* absolute */
    int argc;
    char **argv;
} Options;

/* What processes share. */
typedef struct Work {
    Starving whole; /* the run that nothing fails in, which forks */
    Starving trial; /* the one in which something does */
    long trials, from_start;
    int faults;
    bool later[MOST_ALLOCATIONS]; /* those at which the command cannot be forked */
} Work;

/* Globals: allocators and nftw know no user data. */
static Options options;
static Work *work;
static FILE *report;  /* the real standard output */
static pid_t trunk;   /* the process that forks */
static bool scripted; /* the script was read */

/* --- one command ----------------------------------------------------------------------------- */

static void become(int fd, const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || dup2(file, fd) < 0) _exit(99);
    close(file);
}

/* The child's life: in a folder of that name, printing to the files "out" and "err" beside it. */
_Noreturn static void live(const char *name, Starving *s) {
    cJSON_Hooks hooks = { malloc, free };
    cJSON_InitHooks(&hooks);
    become(STDOUT_FILENO, "out");
    become(STDERR_FILENO, "err");
    if (mkdir(name, 0755) || chdir(name)) _exit(99);
    if (!s->at) alarm(SECONDS);
    trunk = getpid();
    starve_begin(s);
    int code = kdc_main(options.argc, options.argv);
    starve_end();
    fflush(stdout);
    _exit(code);
}

/* The status of waitpid. */
static int run(const char *name, Starving *s) {
    int status = 0;
    fflush(report);
    pid_t pid = fork();
    if (pid == 0) live(name, s);
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

static char bad_file[PATH_MAX];

static int check_file(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s, (void)at;
    static const char *const models[] = { "good", "first" }; /* its teacher recalled, and trained */
    if (kind != FTW_F) return 0;
    for (int k = 0; k < 2; k++) {
        char wanted[PATH_MAX];
        snprintf(wanted, sizeof wanted, "%s%s", models[k], strchr(path, '/'));
        if (is_whole(path, wanted)) return 0;
    }
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

/* NULL, or what is wrong with the run in that folder. */
static const char *judge(int status, const char *name, const Starving *s) {
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
    if (nftw(name, check_file, 16, FTW_PHYS) == 0) return NULL;
    snprintf(why, sizeof why, "file %s is cut, or should not be there", bad_file);
    return why;
}

static void note(int status, const char *name) {
    const Starving *s = &work->trial;
    const char *why = judge(status, name, s);
    remove_folder(name);
    work->trials++;
    if (!why) return;
    work->faults++;
    fprintf(report, "allocation %ld%s: %s\n", s->fail, s->for_good ? " and all after it" : "", why);
    fflush(report);
}

/* --- in the middle of a command -------------------------------------------------------------- */

KdScript *__wrap_kd_script_load(const char *path, const KdScriptOptions *o, KdDiag *d) {
    KdScript *script = __real_kd_script_load(path, o, d);
    scripted = true;
    return script;
}

/* No thread but this one; a folder has a link from each of its folders, and two more. */
static bool alone(void) {
    struct stat s;
    return stat("/proc/self/task", &s) == 0 && s.st_nlink == 3;
}

/* The process goes on in a copy of its folder, without the allocation that work->trial says. */
static void enter_trial(void) {
    char from[PATH_MAX + 8], to[PATH_MAX + 8];
    snprintf(from, sizeof from, "%s/now", options.folder);
    snprintf(to, sizeof to, "%s/trial", options.folder);
    become(STDERR_FILENO, "../err");
    if (!starve_move(from, to)) _exit(99);
    alarm(SECONDS);
    starve_begin(&work->trial);
}

/* Forks two that go on without the n-th allocation, and waits for each. True in these. */
static bool branch(long n) {
    Starving *s = &work->whole;
    if (options.after_script && !scripted) return false;
    if (n < options.from || (n - options.from) % options.step != 0) return false;
    if (getpid() != trunk || !alone()) {
        if (n < MOST_ALLOCATIONS) work->later[n] = true;
        return false;
    }
    starve_begin(NULL);
    for (int for_good = 0; for_good < 2 && work->faults < MOST_FAULTS; for_good++) {
        int status = 0;
        work->trial = (Starving){ .fail = n, .for_good = for_good, .count = n, .live = s->live };
        pid_t pid = fork();
        if (pid == 0) {
            enter_trial();
            return true;
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || chdir("..")) _exit(99);
        note(status, "trial");
        if (chdir("now")) _exit(99);
    }
    starve_begin(s);
    return false;
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool run_well(const char *name, bool (*at)(long)) {
    work->whole = (Starving){ .at = at };
    if (run(name, &work->whole) == 0) return true;
    fprintf(report, "without any failing allocation it fails: see the file err\n");
    return false;
}

static void try_from_start(long n) {
    for (int for_good = 0; for_good < 2; for_good++) {
        work->trial = (Starving){ .fail = n, .for_good = for_good };
        note(run("now", &work->trial), "now");
        work->from_start++;
    }
}

static int starve(void) {
    run("first", &work->whole); /* fills the cache */
    if (!run_well("good", NULL) || !run_well("now", branch)) return 1;
    remove_folder("now");
    long count = work->whole.count;
    for (long n = 1; n <= count && n < MOST_ALLOCATIONS && work->faults < MOST_FAULTS; n++)
        if (work->later[n]) try_from_start(n);
    fprintf(report, "%ld allocations, %ld runs, %d faults (%ld runs from the start)\n", count,
            work->trials, work->faults, work->from_start);
    return work->faults > 0;
}

/* By hand: getopt's state is kdc's. */
static bool read_options(int argc, char **argv) {
    int k = 1;
    options.from = options.step = 1;
    for (; k + 1 < argc && argv[k][0] == '-'; k++) {
        if (strcmp(argv[k], "--after-script") == 0)
            options.after_script = true;
        else if (strcmp(argv[k], "--step") == 0)
            options.step = atol(argv[++k]);
        else if (strcmp(argv[k], "--from") == 0)
            options.from = atol(argv[++k]);
        else
            return false;
    }
    if (argc - k < 2 || options.from < 1 || options.step < 1) return false;
    remove_folder(argv[k]);
    options.argc = argc - k; /* the folder's place is the program's name */
    options.argv = argv + k;
    return mkdir(argv[k], 0755) == 0 && realpath(argv[k], options.folder);
}

/* To FOLDER; its cache is the commands'. */
static bool enter_folder(void) {
    char cache[PATH_MAX + 8];
    snprintf(cache, sizeof cache, "%s/cache", options.folder);
    return chdir(options.folder) == 0 && setenv("XDG_CACHE_HOME", cache, 1) == 0;
}

int main(int argc, char **argv) {
    if (!read_options(argc, argv)) {
        fputs("usage: kd-starve [--step N] [--from N] [--after-script] FOLDER ARGUMENT-OF-KDC…\n",
              stderr);
        return 2;
    }
    report = fdopen(dup(STDOUT_FILENO), "w");
    work = mmap(NULL, sizeof *work, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!report || work == MAP_FAILED || !enter_folder()) return 2;
    int code = starve();
    if (code == 0) remove_folder(options.folder);
    return code;
}
