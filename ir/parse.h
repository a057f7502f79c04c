/*
 * Inside the parser: what parse.c (modules and functions), parse_instr.c (instructions) and
 * parse_part.c (types, numbers, attributes, accesses, places) share. Each kd_parse_… reads at the
 * current token p->t, returns false after an error, and the first error ends the parse.
 */
#ifndef KD_IR_PARSE_H
#define KD_IR_PARSE_H

#include "ir/ir.h"
#include "ir/lex.h"

/* Names of a function's values: open addressing, never removed from. */
typedef struct KdNames {
    int room, used;
    KdValue **slot;
} KdNames;

/* During the parse every location is a line of the text, so that errors of shape rules point
 * there; afterwards the locations that the text states are put in place. */
typedef struct KdFixup KdFixup;
struct KdFixup {
    KdLoc *where;
    KdLoc loc;
    KdFixup *next;
};

typedef struct KdParser {
    KdLexer lex;
    KdToken t;          /* current token */
    const char *behind; /* just behind the last token taken, and its line */
    int behind_line;
    KdArena *scratch;
    KdDiag *diag;
    KdModule *m;
    KdFunc *outer; /* the function being read, NULL outside */
    KdFunc *f;     /* outer, or the kernel body being read */
    KdNames names; /* of f */
    KdFixup *fixups;
} KdParser;

/* --- parse_part.c --- */
void kd_parse_advance(KdParser *p);
bool kd_parse_error(const KdParser *p, const KdToken *t, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* `expected WHAT, found …` at the current token. */
bool kd_parse_expected(const KdParser *p, const char *what);
bool kd_parse_at(const KdParser *p, char punct);
bool kd_parse_accept(KdParser *p, char punct);
bool kd_parse_expect(KdParser *p, char punct, const char *where);
bool kd_parse_at_word(const KdParser *p, const char *word);
bool kd_parse_accept_word(KdParser *p, const char *word);
/* `, ` between list items and `close` at the end: sets *more, false after neither. */
bool kd_parse_more(KdParser *p, char close, bool *more);
bool kd_parse_int(KdParser *p, int64_t *out);   /* a sign and digits */
bool kd_parse_number(KdParser *p, double *out); /* also inf and nan */
bool kd_parse_type(KdParser *p, KdType *out);
bool kd_parse_extent(KdParser *p, int64_t *out);
bool kd_parse_access(KdParser *p, KdAccess *out); /* `[d0, 2*d1 - 1]` */
/* `name = value`, the name still the current token, appended to *list; `spec` NULL: any name. */
bool kd_parse_attr(KdParser *p, const char *spec, KdAttr **list);
bool kd_parse_loc(KdParser *p, KdLoc *out); /* `loc(12)`, if there; line 0 otherwise */
/* `@ place, place`, if there, into the values' buffers. */
bool kd_parse_places(KdParser *p, int n, KdValue *const *values);
/* Ends all: the location a value or instruction gets when the parse is done. */
void kd_parse_fixup(KdParser *p, KdLoc *where, KdLoc loc);
KdLoc kd_parse_place(const KdParser *p, const KdToken *t); /* kd_lex_loc of a token */

/* --- parse_instr.c --- */
KdValue *kd_names_find(const KdNames *names, const char *name);
/* False when the name is taken. */
bool kd_names_add(KdNames *names, KdArena *a, KdValue *v);
bool kd_parse_instr(KdParser *p);
void kd_parse_settle_names(KdFunc *f);
/* `%a, %b`: values already defined, in the scratch pool. */
bool kd_parse_operands(KdParser *p, int *n, KdValue ***out);

/* --- parse.c --- */
/* `(%x: f32[B] kind, …)` into p->f. */
bool kd_parse_args(KdParser *p);

#endif
