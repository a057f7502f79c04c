/*
 * What a pipeline shows while it runs. A specification is a list: P or after:P, before:P (P a
 * pass), final, all (after each pass) and changed (what each pass changed, as a unified diff). A
 * folder gets a numbered file for the input and for each pass that changed something.
 */
#ifndef KD_PASSES_DUMP_H
#define KD_PASSES_DUMP_H

#include "ir/ir.h"

typedef struct KdDump {
    const char *spec; /* or NULL */
    FILE *out;
    const char *dir;  /* or NULL */
    KdArena *arena;   /* of the texts */
    const char *text; /* the module as the last dump left it; NULL where nobody asks */
    int step;
} KdDump;

/* Is every name in the specification known? A typing error must not dump nothing in silence. */
bool kd_dump_check(const char *spec, KdArena *a, KdDiag *d);

/* Before the first pass, with spec, out and dir set. False after an error: the folder cannot be
 * made. */
bool kd_dump_start(KdDump *dump, const KdModule *m, KdArena *a, KdDiag *d);

/* Around each pass. After: false when a file cannot be written. */
void kd_dump_before(const KdDump *dump, const KdModule *m, const char *pass);
bool kd_dump_after(KdDump *dump, const KdModule *m, const char *pass, bool last, KdDiag *d);

#endif
