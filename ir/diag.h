/*
 * Diagnostics: two verbs, never mixed.
 *
 *   kd_error  the user's script, data or IR text is wrong: `file:line: error: …`, exit code 1.
 *   kd_bug    kdc itself is wrong: names the pass and our own file and line, writes a reproducer
 *             .kir when a module is at hand, and ends the process with exit code 3.
 *
 * kd_out_of_memory is for the compiler's own small needs, where there is nothing to go on with: it
 * says so and ends the process with exit code 1. What is asked for in the user's name (data,
 * parameters, activations) is an error like others.
 *
 * A KdDiag collects what was said; it is never global, so that two compilations may run at once.
 */
#ifndef KD_IR_DIAG_H
#define KD_IR_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Where something stands in the user's text. file NULL: unknown; line 0: the whole file. */
typedef struct KdLoc {
    const char *file;
    int line;
} KdLoc;

typedef struct KdDiag KdDiag;

/* Writes d->before, or else the module that d->module points to, into a file and returns its path,
 * or NULL. */
typedef const char *KdReproducer(const KdDiag *d);

struct KdDiag {
    FILE *out;        /* where messages go; NULL swallows them (fuzzers, tests) */
    bool color;       /* ANSI colours */
    int errors;       /* how many errors were said */
    const char *pass; /* the pass now running, for kd_bug; NULL outside of passes */
    int steps;        /* rewrites that the pass now running, or the last one, did */
    bool limited;     /* it may do most_steps only */
    int most_steps;
    const void *module;  /* the KdModule now being rewritten, for the reproducer; may be NULL */
    const char *before;  /* text of the module as the pass now running found it, or NULL */
    const char *remarks; /* passes (and "codegen") whose remarks are said, with commas between; "":
                            all; NULL: none */
    KdReproducer *reproducer; /* writes the .kir of a kd_bug; NULL: none is written */
    char last[512];           /* text of the last error, without its location (for tests and Lua) */
    KdLoc last_loc;
};

void kd_diag_init(KdDiag *d, FILE *out, bool color);

/* Text that may be of a foreign file, as \xNN where a terminal would obey it. All that follows is
 * written so. */
void kd_put_plain(const char *text, FILE *out);

/* `file:line: error: …`. Lower case, the op first, both shapes named. Always returns false, so
 * that a rule can say `return kd_error(…)`. */
bool kd_error(KdDiag *d, KdLoc loc, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool kd_verror(KdDiag *d, KdLoc loc, const char *format, va_list args);

/* `file:line: note: …` — follows an error and says where an operand came from. */
void kd_note(KdDiag *d, KdLoc loc, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* `file:line: warning: …` */
void kd_warning(KdDiag *d, KdLoc loc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `file:line: remark: [pass] …` — what a pass did or could not do, for those who ask. Where finding
 * it out takes time, kd_remarks_wanted says whether anybody does. */
bool kd_remarks_wanted(const KdDiag *d, const char *pass);
void kd_remark(KdDiag *d, const char *pass, KdLoc loc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Prints the source line `text` with a caret under `column` (1-based), after an error. */
void kd_caret(KdDiag *d, const char *text, int column);

/* A fault of kdc. `d` may be NULL. Does not return. */
_Noreturn void kd_bug_at(const KdDiag *d, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define kd_bug(d, ...) kd_bug_at((d), __FILE__, __LINE__, __VA_ARGS__)

/* The system has no `bytes` more (0: unknown). Runs what at_quick_exit was given; does not return.
 */
_Noreturn void kd_out_of_memory(size_t bytes);

/* The name in `names` (n of them) nearest to `word` in edit distance, or NULL if none is near:
 * for "did you mean". */
const char *kd_nearest(const char *word, const char *const *names, int n);

#endif
