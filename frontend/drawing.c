/*
 * SVG by Graphviz: its program reads dot from a temporary file and writes into ours.
 */
#include "frontend/drawing.h"

#include "ir/text.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_FOUND = 127 };

/* `dot -Tsvg` from one file into another; its exit status. */
static int run_dot(FILE *in, FILE *out) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        if (dup2(fileno(in), STDIN_FILENO) < 0 || dup2(fileno(out), STDOUT_FILENO) < 0) _exit(1);
        execlp("dot", "dot", "-Tsvg", (char *)NULL);
        _exit(errno == ENOENT ? NOT_FOUND : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool kd_draw_svg(const KdModule *m, FILE *out, KdDiag *d) {
    FILE *text = tmpfile();
    if (!text) return kd_error(d, (KdLoc){ 0 }, "no temporary file: %s", strerror(errno));
    kd_print_dot(m, text);
    int status = -1;
    if (fflush(text) == 0 && fflush(out) == 0 && lseek(fileno(text), 0, SEEK_SET) == 0)
        status = run_dot(text, out);
    fclose(text);
    if (status == NOT_FOUND)
        return kd_error(d, (KdLoc){ 0 },
                        "SVG needs the program 'dot': install Graphviz (Debian's graphviz), or use "
                        "--emit=dot");
    return status == 0 || kd_error(d, (KdLoc){ 0 }, "'dot -Tsvg' failed");
}
