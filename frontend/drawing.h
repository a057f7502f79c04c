/* A module's graph as dot or, by Graphviz's program of that name, as SVG. */
#ifndef KD_FRONTEND_DRAWING_H
#define KD_FRONTEND_DRAWING_H

#include "ir/ir.h"

/* Writes to `out`. False after an error: Graphviz is not installed, or failed. */
bool kd_draw_svg(const KdModule *m, FILE *out, KdDiag *d);

#endif
