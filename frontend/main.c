/* The command line's entry: reads options, hands over to a command, returns its exit code. */
#include "backend/backend.h"
#include "frontend/commands.h"
#include "frontend/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool wants_color(void) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDERR_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

/* What of the line names passes, or a machine. */
static bool check_names(const KdOptions *o, KdArena *a, KdDiag *d) {
    const KdPipeline p = { .passes = o->passes, .skip = o->skips, .dump = o->dump_ir };
    KdTarget target;
    if (!kd_check_pipeline(&p, d) || !kd_check_remarks(o->remarks, d)) return false;
    const KdTargetName name = { o->target, o->cpu, o->features };
    bool named = name.triple || name.cpu || name.features;
    return !named || o->print_targets || kd_target_of(&name, a, &target, d);
}

static int run(const KdOptions *o, KdArena *a, KdDiag *d) {
    if (o->help) {
        kd_options_help(o->command, stdout);
        return KD_EXIT_DONE;
    }
    if (o->version) {
        printf("kdc %s, %s\n", kd_version(), kd_backend_version(a));
        return KD_EXIT_DONE;
    }
    if (o->print_passes) {
        kd_print_passes(stdout);
        return KD_EXIT_DONE;
    }
    if (o->print_targets) {
        kd_target_print(stdout);
        return KD_EXIT_DONE;
    }
    switch (o->command) {
    case KD_IN_OPT: return kd_command_opt(o, d);
    case KD_IN_RUN: return kd_command_run(o, d);
    case KD_IN_INFO: return kd_command_info(o, d);
    case KD_IN_EXPLAIN: return kd_command_explain(o, d);
    case KD_IN_REDUCE: return kd_command_reduce(o, d);
    case KD_IN_BISECT: return kd_command_bisect(o, d);
    default: return kd_command_script(o, d);
    }
}

/* A stream that the caller closed must not become the next file we open: whatever is written to
 * it, or read, would be that file's. Standard error may be lost; the others fail where they are
 * used. */
static void occupy_streams(void) {
    static const int modes[] = { O_WRONLY, O_RDONLY, O_RDWR };
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", modes[fd]); /* takes the lowest free one */
}

int main(int argc, char **argv) {
    KdDiag d;
    occupy_streams();
    at_quick_exit(kd_outfile_abandon); /* by kd_out_of_memory */
    signal(SIGXFSZ, SIG_IGN);          /* a file that may not grow is an error of its write */
    kd_diag_init(&d, stderr, wants_color());
    d.reproducer = kd_write_reproducer;
    KdArena *a = kd_arena_create();
    KdOptions o;
    int code = KD_EXIT_USAGE;
    if (kd_options_read(&o, argc, argv, a, &d) && check_names(&o, a, &d)) {
        d.remarks = o.remarks;
        code = run(&o, a, &d);
    } else {
        fputs("try 'kdc --help'\n", stderr);
    }
    if (code == KD_EXIT_DONE && !kd_stream_finish(stdout)) {
        kd_error(&d, (KdLoc){ "standard output", 0 }, "cannot write: %s", strerror(errno));
        code = KD_EXIT_WRONG;
    }
    kd_arena_destroy(a);
    return code;
}
