/*
 * Diagnostics: `place: kind: text`, one line each, on the stream of the KdDiag. Errors are counted
 * and the last one is kept, so that tests and the Lua host can read it. kd_nearest is the edit
 * distance behind every "did you mean".
 */
#include "ir/diag.h"

#include <stdlib.h>
#include <string.h>

#define RED     "\033[1;31m"
#define MAGENTA "\033[1;35m"
#define CYAN    "\033[1;36m"
#define BOLD    "\033[1m"
#define PLAIN   "\033[0m"

void kd_diag_init(KdDiag *d, FILE *out, bool color) {
    *d = (KdDiag){ .out = out, .color = color };
}

void kd_put_plain(const char *text, FILE *out) {
    for (const char *c = text; *c; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            fprintf(out, "\\x%02x", (unsigned char)*c);
        else
            fputc(*c, out);
    }
}

static void say(const KdDiag *d, KdLoc loc, const char *kind, const char *color, const char *text) {
    if (!d || !d->out) return;
    bool colored = d->color;
    if (colored) fputs(BOLD, d->out);
    if (loc.file && loc.line > 0) {
        fprintf(d->out, "%s:%d: ", loc.file, loc.line);
    } else if (loc.file) {
        fprintf(d->out, "%s: ", loc.file);
    } else {
        fputs("kdc: ", d->out);
    }
    if (colored) fputs(color, d->out);
    fprintf(d->out, "%s: ", kind);
    if (colored) fputs(PLAIN, d->out);
    kd_put_plain(text, d->out);
    fputc('\n', d->out);
}

bool kd_verror(KdDiag *d, KdLoc loc, const char *format, va_list args) {
    if (!d) return false;
    vsnprintf(d->last, sizeof d->last, format, args);
    d->last_loc = loc;
    d->errors++;
    say(d, loc, "error", RED, d->last);
    return false;
}

bool kd_error(KdDiag *d, KdLoc loc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    kd_verror(d, loc, format, args);
    va_end(args);
    return false;
}

void kd_note(KdDiag *d, KdLoc loc, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(d, loc, "note", CYAN, text);
}

void kd_warning(KdDiag *d, KdLoc loc, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(d, loc, "warning", MAGENTA, text);
}

bool kd_remarks_wanted(const KdDiag *d, const char *pass) {
    if (!d || !d->remarks) return false;
    size_t length = strlen(pass);
    for (const char *at = d->remarks; *at; at += *at == ',') {
        size_t n = strcspn(at, ",");
        if (n == length && strncmp(at, pass, n) == 0) return true;
        at += n;
    }
    return !*d->remarks;
}

void kd_remark(KdDiag *d, const char *pass, KdLoc loc, const char *format, ...) {
    char text[512];
    va_list args;
    if (!kd_remarks_wanted(d, pass)) return;
    int n = snprintf(text, sizeof text, "[%s] ", pass);
    va_start(args, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    say(d, loc, "remark", CYAN, text);
}

/* Tabs are kept in the caret line, so that the caret stands right at any tab width. */
void kd_caret(KdDiag *d, const char *text, int column) {
    if (!d || !d->out) return;
    int length = (int)strcspn(text, "\r\n");
    fprintf(d->out, "    %.*s\n    ", length, text);
    for (int k = 0; k + 1 < column && k < length; k++) {
        unsigned char c = (unsigned char)text[k];
        if (c == '\t') {
            fputc('\t', d->out);
        } else if ((c & 0xC0) != 0x80) { /* one column for a whole UTF-8 sequence */
            fputc(' ', d->out);
        }
    }
    fputs(d->color ? RED "^" PLAIN "\n" : "^\n", d->out);
}

void kd_bug_at(const KdDiag *d, const char *file, int line, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    FILE *out = d && d->out ? d->out : stderr;
    const char *pass = d && d->pass ? d->pass : NULL;
    fprintf(out, "kdc: internal fault%s%s at %s:%d: %s\n", pass ? " in pass " : "",
            pass ? pass : "", file, line, text);
    if (d && (d->module || d->before) && d->reproducer) {
        const char *path = d->reproducer(d);
        if (path) fprintf(out, "kdc: this module shows it: %s\n", path);
    }
    fputs("kdc: this is a fault of kdc, not of your model; please report it with the lines above\n",
          out);
    fflush(NULL);
    _Exit(3); /* at once: nothing that is left to be done can be relied on */
}

/* Other threads may be at work, in LLVM too: no destructor is run under them. */
void kd_out_of_memory(size_t bytes) {
    fflush(stdout);
    if (bytes)
        fprintf(stderr, "kdc: error: no memory for %zu bytes more\n", bytes);
    else
        fputs("kdc: error: no memory\n", stderr);
    quick_exit(1);
}

/* Edit distance with swaps of neighbours counted as one, given up (as `limit` + 1) beyond 31
 * letters. */
static int distance(const char *x, const char *y, int limit) {
    enum { MOST = 32 };
    int n = (int)strlen(x), m = (int)strlen(y);
    if (n >= MOST || m >= MOST || abs(n - m) > limit) return limit + 1;
    int d[MOST][MOST];
    for (int i = 0; i <= n; i++) d[i][0] = i;
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        for (int j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (x[i - 1] != y[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            bool swapped = i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1];
            if (swapped && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *kd_nearest(const char *word, const char *const *names, int n) {
    int letters = (int)strlen(word);
    int limit = letters <= 2 ? 1 : letters <= 5 ? 2 : 3; /* beyond that it is another word */
    const char *nearest = NULL;
    for (int k = 0; k < n; k++) {
        int now = distance(word, names[k], limit);
        if (now > limit) continue;
        limit = now - 1;
        nearest = names[k];
    }
    return nearest;
}
