/*
 * SVG by Graphviz: its program reads dot from a temporary file and writes into ours.
 */
#include "frontend/drawing.h"

#include "frontend/filter.h"
#include "ir/text.h"

#include <errno.h>
#include <string.h>

bool kd_draw_svg(const KdModule *m, FILE *out, KdDiag *d) {
    FILE *text = tmpfile();
    if (!text) return kd_error(d, (KdLoc){ 0 }, "no temporary file: %s", strerror(errno));
    kd_print_dot(m, text);
    KdFilterResult result = kd_run_filter("dot", "-Tsvg", text, out);
    fclose(text);
    if (result == KD_FILTER_MISSING)
        return kd_error(d, (KdLoc){ 0 },
                        "SVG needs the program 'dot': install Graphviz (Debian's graphviz), or use "
                        "--emit=dot");
    return result == KD_FILTER_DONE || kd_error(d, (KdLoc){ 0 }, "'dot -Tsvg' failed");
}
