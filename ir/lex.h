/*
 * Tokens of the IR text, for the parser. Blanks and line ends separate tokens and mean nothing
 * else; `//` at the start of a line, after blanks, begins a comment.
 */
#ifndef KD_IR_LEX_H
#define KD_IR_LEX_H

#include "ir/arena.h"
#include "ir/diag.h"

#include <stdint.h>

typedef enum KdTokenKind {
    KD_TOKEN_END,
    KD_TOKEN_NAME,   /* f32, add, role */
    KD_TOKEN_VALUE,  /* %name or %"any name" */
    KD_TOKEN_FUNC,   /* @name or @"any name" */
    KD_TOKEN_INT,    /* digits */
    KD_TOKEN_NUM,    /* digits with a point or an exponent */
    KD_TOKEN_STRING, /* "…", escapes undone */
    KD_TOKEN_ARROW,  /* -> */
    KD_TOKEN_BOUND,  /* <= */
    KD_TOKEN_PUNCT,  /* one character: `punct` */
    KD_TOKEN_BAD     /* an error was said */
} KdTokenKind;

typedef struct KdToken {
    KdTokenKind kind;
    char punct;
    const char *text; /* names and strings, without sigil and quotes */
    int64_t i;
    double num;     /* of KD_TOKEN_INT too */
    const char *at; /* first character, in the source text */
    size_t length;
    int line; /* from 1 */
} KdToken;

typedef struct KdLexer {
    const char *file;
    const char *text, *end; /* the whole input */
    const char *next;
    const char *line_start; /* of the line that `next` is on */
    int line;
    KdArena *arena; /* owns token texts */
    KdDiag *diag;
} KdLexer;

/* A lexer over `size` bytes of `text`, which must stay while it is used. */
KdLexer kd_lexer(const char *text, size_t size, const char *file, KdArena *a, KdDiag *d);
KdToken kd_lex(KdLexer *x);

/* A place in the text as a KdLoc. That has no column, so it rides as the line of a file named
 * `file:line`; kd_error then prints file:line:col. */
KdLoc kd_lex_loc(const KdLexer *x, const char *at, int line);
/* `file:line:col: error: …`, the line and a caret under `at`, a place in the text. False. */
bool kd_lex_error(const KdLexer *x, const char *at, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The line that `at` is on with a caret under it; for errors said elsewhere. */
void kd_lex_caret(const KdLexer *x, const char *at);
/* Behind blanks and comments: does the text go on with these letters? */
bool kd_lex_begins(KdLexer *x, const char *word);

/* Can `name` stand behind a sigil without quotes? */
bool kd_lex_is_plain_name(const char *name);

#endif
