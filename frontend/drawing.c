/*
 * SVG by Graphviz: its program reads dot from a temporary file and writes into ours.
 */
#include "frontend/drawing.h"

#include "frontend/process.h"
#include "ir/text.h"

#include <errno.h>
#include <string.h>

bool kd_draw_svg(const KdModule *m, FILE *out, KdDiag *d) {
    FILE *text = tmpfile();
    if (!text) return kd_error(d, (KdLoc){ 0 }, "no temporary file: %s", strerror(errno));
    kd_print_dot(m, text);
    int status = kd_process_filter((const char *const[]){ "dot", "-Tsvg", NULL }, text, out);
    fclose(text);
    if (status == KD_PROCESS_MISSING)
        return kd_error(d, (KdLoc){ 0 },
                        "SVG needs the program 'dot': install Graphviz (Debian's graphviz), or use "
                        "--emit=dot");
    return status == 0 || kd_error(d, (KdLoc){ 0 }, "'dot -Tsvg' failed");
}
