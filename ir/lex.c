/*
 * The lexer of the IR text. It trusts nothing: bytes outside of strings must be printable ASCII,
 * numbers must fit, strings must end on their line. The first error ends the parse, so the lexer
 * keeps giving KD_TOKEN_BAD and says nothing more.
 */
#include "ir/lex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBER = 64, BEFORE_CARET = 100, BEHIND_CARET = 60 };

static bool is_alpha(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name(char c) {
    return is_alpha(c) || is_digit(c) || c == '.';
}

bool kd_lex_is_plain_name(const char *name) {
    bool number = is_digit(*name);
    if (!number && !is_alpha(*name)) return false;
    for (const char *c = name; *c; c++) {
        if (number ? !is_digit(*c) : !is_name(*c)) return false;
    }
    return true;
}

KdLexer kd_lexer(const char *text, size_t size, const char *file, KdArena *a, KdDiag *d) {
    return (KdLexer){ .file = file,
                      .text = text,
                      .end = text + size,
                      .next = text,
                      .line_start = text,
                      .line = 1,
                      .arena = a,
                      .diag = d };
}

static void skip(KdLexer *x);

static const char *line_start(const KdLexer *x, const char *at) {
    if (at >= x->line_start) return x->line_start;
    while (at > x->text && at[-1] != '\n') at--;
    return at;
}

/* How many bytes the character at `at` has in UTF-8; 0: it is none, or one that moves the cursor.
 */
static int printed_bytes(const char *at, const char *end) {
    unsigned char c = (unsigned char)*at;
    int n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (c < 0x20 || c == 0x7f || n > end - at || (c == 0xc2 && (unsigned char)at[1] < 0xa0)) n = 0;
    for (int k = 1; k < n; k++)
        if (((unsigned char)at[k] & 0xc0) != 0x80) n = 0;
    return n;
}

/* What does not print is a blank, one column each; of a long line, what is near the caret. */
void kd_lex_caret(const KdLexer *x, const char *at) {
    const char *start = line_start(x, at), *end = at;
    if (at - start > BEFORE_CARET) start = at - BEFORE_CARET;
    while (start < at && ((unsigned char)*start & 0xc0) == 0x80) start++; /* a whole character */
    while (end < x->end && *end != '\n' && end - at < BEHIND_CARET) end++;
    size_t length = (size_t)(end - start);
    char *text = kd_arena_alloc(x->arena, length + 1);
    memcpy(text, start, length);
    for (char *c = text; c < text + length;) {
        int n = printed_bytes(c, text + length);
        if (!n) *c = ' ';
        c += n ? n : 1;
    }
    kd_caret(x->diag, text, (int)(at - start) + 1);
}

bool kd_lex_begins(KdLexer *x, const char *word) {
    skip(x);
    size_t n = strlen(word);
    return (size_t)(x->end - x->next) >= n && strncmp(x->next, word, n) == 0;
}

KdLoc kd_lex_loc(const KdLexer *x, const char *at, int line) {
    return (KdLoc){ kd_arena_format(x->arena, "%s:%d", x->file, line),
                    (int)(at - line_start(x, at)) + 1 };
}

bool kd_lex_error(const KdLexer *x, const char *at, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    kd_verror(x->diag, kd_lex_loc(x, at, line), format, args);
    va_end(args);
    kd_lex_caret(x, at);
    return false;
}

static KdToken bad(KdToken t) {
    t.kind = KD_TOKEN_BAD;
    return t;
}

/* Blanks, line ends and comments. */
static void skip(KdLexer *x) {
    bool start = x->next == x->text; /* only blanks since the line began */
    while (x->next < x->end) {
        char c = *x->next;
        if (c == '\n') {
            x->line++;
            x->line_start = x->next + 1;
            start = true;
        } else if (start && c == '/' && x->next + 1 < x->end && x->next[1] == '/') {
            while (x->next < x->end && *x->next != '\n') x->next++;
            continue;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
        x->next++;
    }
}

static int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Behind a backslash: one character of the string, or -1. */
static int escape(KdLexer *x) {
    if (x->next >= x->end) return -1;
    char c = *x->next++;
    if (c == '"' || c == '\\') return c;
    if (c == 'n') return '\n';
    if (c != 'x' || x->end - x->next < 2) return -1;
    int high = hex_digit(x->next[0]), low = hex_digit(x->next[1]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return -1; /* no zero bytes */
    x->next += 2;
    return high * 16 + low;
}

/* At the opening quote; the string's text, or NULL after an error. */
static const char *quoted(KdLexer *x) {
    const char *open = x->next++;
    const char *close = x->next;
    while (close < x->end && *close != '"' && *close != '\n')
        close += *close == '\\' && close + 1 < x->end ? 2 : 1;
    size_t room = (size_t)(close - x->next) + 1; /* no escape makes a text longer */
    char *text = kd_arena_alloc(x->arena, room), *put = text;
    while (x->next < x->end && *x->next != '"' && *x->next != '\n') {
        const char *at = x->next;
        int c = (unsigned char)*x->next++;
        if (c == '\\') {
            c = escape(x);
            if (c < 0) {
                kd_lex_error(x, at, x->line, "unknown escape in a string: \\\\ \\\" \\n \\xHH");
                return NULL;
            }
        } else if (c == 0) {
            kd_lex_error(x, at, x->line, "a string holds a zero byte");
            return NULL;
        }
        *put++ = (char)c;
    }
    if (x->next >= x->end || *x->next != '"') {
        kd_lex_error(x, open, x->line, "a string must end on its line");
        return NULL;
    }
    x->next++;
    return text;
}

static KdToken number(KdLexer *x, KdToken t) {
    const char *c = x->next;
    bool whole = true;
    while (c < x->end && is_digit(*c)) c++;
    if (c + 1 < x->end && *c == '.' && is_digit(c[1])) {
        whole = false;
        for (c++; c < x->end && is_digit(*c);) c++;
    }
    if (c < x->end && (*c == 'e' || *c == 'E')) {
        const char *e = c + 1;
        if (e < x->end && (*e == '+' || *e == '-')) e++;
        if (e < x->end && is_digit(*e)) {
            whole = false;
            for (c = e; c < x->end && is_digit(*c);) c++;
        }
    }
    t.length = (size_t)(c - x->next);
    x->next = c;
    char text[MAX_NUMBER + 1] = { 0 };
    if (t.length > MAX_NUMBER) {
        kd_lex_error(x, t.at, t.line, "a number of %zu characters is too long", t.length);
        return bad(t);
    }
    memcpy(text, t.at, t.length);
    errno = 0;
    t.num = strtod(text, NULL);
    if (whole) t.i = strtoll(text, NULL, 10);
    if (errno == ERANGE && (whole || t.num > 1)) {
        kd_lex_error(x, t.at, t.line, "number %s is too large", text);
        return bad(t);
    }
    t.kind = whole ? KD_TOKEN_INT : KD_TOKEN_NUM;
    return t;
}

/* %name, @name, %"any name", %12, and a bare `@`. */
static KdToken sigil(KdLexer *x, KdToken t) {
    char mark = *x->next++;
    t.kind = mark == '%' ? KD_TOKEN_VALUE : KD_TOKEN_FUNC;
    const char *start = x->next;
    char c = start < x->end ? *start : ' ';
    if (c == '"') {
        t.text = quoted(x);
        return t.text ? t : bad(t);
    }
    bool digits = is_digit(c);
    if (digits || is_alpha(c)) {
        while (x->next < x->end && (digits ? is_digit(*x->next) : is_name(*x->next))) x->next++;
    }
    size_t length = (size_t)(x->next - start);
    if (length == 0 && mark == '@') {
        t.kind = KD_TOKEN_PUNCT;
        t.punct = '@';
    } else if (length == 0) {
        kd_lex_error(x, t.at, t.line, "a name must follow '%%'");
        return bad(t);
    }
    char *text = kd_arena_alloc(x->arena, length + 1);
    memcpy(text, start, length);
    t.text = text;
    return t;
}

static KdToken name(KdLexer *x, KdToken t) {
    while (x->next < x->end && is_name(*x->next)) x->next++;
    size_t length = (size_t)(x->next - t.at);
    char *text = kd_arena_alloc(x->arena, length + 1);
    memcpy(text, t.at, length);
    t.kind = KD_TOKEN_NAME;
    t.text = text;
    return t;
}

static KdToken scan(KdLexer *x, KdToken t) {
    char c = *x->next;
    if (is_alpha(c)) return name(x, t);
    if (is_digit(c)) return number(x, t);
    if (c == '%' || c == '@') return sigil(x, t);
    if (c == '"') {
        t.kind = KD_TOKEN_STRING;
        t.text = quoted(x);
        return t.text ? t : bad(t);
    }
    char after = x->next + 1 < x->end ? x->next[1] : ' ';
    if ((c == '-' && after == '>') || (c == '<' && after == '=')) {
        t.kind = c == '-' ? KD_TOKEN_ARROW : KD_TOKEN_BOUND;
        x->next += 2;
        return t;
    }
    if (c == 0 || !strchr("()[]{}=,:+-*/", c)) {
        bool plain = c > 0x20 && c < 0x7f;
        kd_lex_error(x, x->next, x->line,
                     plain ? "unexpected character '%c'" : "unexpected byte 0x%02x",
                     (unsigned char)c);
        return bad(t);
    }
    t.kind = KD_TOKEN_PUNCT;
    t.punct = c;
    x->next++;
    return t;
}

/* The next token; KD_TOKEN_END at the end, again and again. */
KdToken kd_lex(KdLexer *x) {
    skip(x);
    KdToken t = { .at = x->next, .line = x->line };
    if (x->next >= x->end) return t; /* KD_TOKEN_END */
    t = scan(x, t);
    t.length = (size_t)(x->next - t.at);
    return t;
}
