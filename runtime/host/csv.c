/*
 * Tables of numbers as text, one sample a line. Read as a stream, since such files are large; every
 * error names line, column and the byte at which the line begins.
 */
#include "runtime/host/formats.h"

#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LINE_ROOM (1 << 20)

typedef struct Csv {
    gzFile stream;
    const char *path;
    const KdrtCsv *layout;
    KdrtError *error;
    char *line;         /* LINE_ROOM bytes */
    long long number;   /* of the line, from 1 */
    long long at, next; /* bytes of text before the line, and behind it */
    float *x;           /* [room, columns] */
    int32_t *y;         /* [room] */
    size_t rows, room;
} Csv;

static bool fail(const Csv *c, int64_t column, const char *expected, const char *found) {
    return kdrt_fail(c->error,
                     "%s:%lld: column %lld (the line begins at byte %lld): expected %s, "
                     "found '%.*s'",
                     c->path, c->number, (long long)column + 1, c->at, expected,
                     (int)strcspn(found, ",\r\n") < 40 ? (int)strcspn(found, ",\r\n") : 40, found);
}

/* The next line that is not empty; false at the end and after an error. */
static bool next_line(Csv *c) {
    do {
        c->at = c->next;
        c->number++;
        if (!gzgets(c->stream, c->line, LINE_ROOM)) return false;
        c->next = (long long)gztell(c->stream);
        bool whole = strchr(c->line, '\n') || gzeof(c->stream);
        if (!whole || c->next - c->at != (long long)strlen(c->line)) {
            return kdrt_fail(c->error,
                             "%s:%lld: the line from byte %lld on is longer than %d bytes "
                             "or holds a zero byte",
                             c->path, c->number, c->at, LINE_ROOM - 2);
        }
    } while (c->line[strspn(c->line, " \t\r\n")] == 0);
    return true;
}

static bool grow(Csv *c) {
    size_t room = c->room ? 2 * c->room : 1024;
    float *x = realloc(c->x, room * (size_t)c->layout->columns * sizeof *x);
    if (x) c->x = x;
    int32_t *y = x ? realloc(c->y, room * sizeof *y) : NULL;
    if (!y) {
        kdrt_fail(c->error, "%s: no memory for %zu samples", c->path, room);
        return false;
    }
    c->y = y;
    c->room = room;
    return true;
}

static bool read_label(Csv *c, double value, int64_t column, const char *cell) {
    char expected[64];
    int classes = c->layout->classes;
    if (value >= 0 && value < classes && value == floor(value)) {
        c->y[c->rows] = (int32_t)value;
        return true;
    }
    snprintf(expected, sizeof expected, "a label, a whole number from 0 to %d", classes - 1);
    return fail(c, column, expected, cell);
}

/* In front of the first line UTF-8's mark may stand. */
static bool read_row(Csv *c) {
    if (c->rows == c->room && !grow(c)) return false;
    float *to = c->x + c->rows * (size_t)c->layout->columns;
    char *cell = c->line + (c->at == 0 && strncmp(c->line, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0);
    for (int64_t column = 0; column <= c->layout->columns; column++) {
        char *end;
        double value = strtod(cell, &end);
        char *behind = end + strspn(end, " \t\r\n");
        bool last = column == c->layout->columns;
        if (end == cell || !isfinite((float)value) || (*behind && *behind != ','))
            return fail(c, column, "a finite number", cell);
        if (last != (*behind == 0)) {
            char expected[64];
            snprintf(expected, sizeof expected,
                     last ? "the end of the line after %lld columns" : "%lld columns",
                     (long long)c->layout->columns + 1);
            return fail(c, column, expected, last ? behind + 1 : "the end of the line");
        }
        if (column != c->layout->label)
            *to++ = (float)value;
        else if (!read_label(c, value, column, cell))
            return false;
        cell = behind + 1;
    }
    c->rows++;
    return true;
}

static bool read_rows(Csv *c) {
    c->error->text[0] = 0;
    bool good = !c->layout->header || next_line(c);
    while (good && next_line(c)) good = read_row(c);
    if (c->error->text[0]) return false;
    int code;
    const char *reason = gzerror(c->stream, &code);
    if (code != Z_OK && code != Z_STREAM_END) {
        return kdrt_fail(c->error, "%s: damaged gzip data behind byte %lld: %s", c->path, c->next,
                         code == Z_ERRNO ? strerror(errno) : reason);
    }
    if (!c->rows) kdrt_fail(c->error, "%s: expected lines of numbers, found none", c->path);
    return c->rows > 0;
}

/* Into arrays that generated code may read. */
static bool hand_over(const Csv *c, KdrtArray pair[2]) {
    int64_t rows = (int64_t)c->rows, columns = c->layout->columns;
    pair[0] = (KdrtArray){ .dtype = KDRT_F32, .rank = 2, .dim = { rows, columns } };
    pair[1] = (KdrtArray){ .dtype = KDRT_I32, .rank = 1, .dim = { rows } };
    pair[0].data = kdrt_alloc((size_t)(rows * columns) * sizeof *c->x);
    pair[1].data = kdrt_alloc((size_t)rows * sizeof *c->y);
    if (pair[0].data && pair[1].data) {
        memcpy(pair[0].data, c->x, (size_t)(rows * columns) * sizeof *c->x);
        memcpy(pair[1].data, c->y, (size_t)rows * sizeof *c->y);
        return true;
    }
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    return kdrt_fail(c->error, "%s: no memory for %lld samples", c->path, (long long)rows);
}

bool kdrt_csv_read(const char *path, const KdrtCsv *layout, KdrtArray pair[2], KdrtError *error) {
    memset(pair, 0, 2 * sizeof *pair);
    errno = 0;
    Csv c = { .path = path, .layout = layout, .error = error };
    c.stream = gzopen(path, "rb");
    if (!c.stream)
        return kdrt_fail(error, "%s: cannot open: %s", path, errno ? strerror(errno) : "no memory");
    gzbuffer(c.stream, 1u << 18);
    c.line = malloc(LINE_ROOM);
    bool done = c.line ? read_rows(&c) : kdrt_fail(error, "%s: no memory", path);
    int closed = gzclose_r(c.stream);
    if (done && closed != Z_OK)
        done = kdrt_fail(error, "%s: the gzip data end early or their checksum is wrong", path);
    done = done && c.x && c.y && hand_over(&c, pair);
    free(c.line);
    free(c.x);
    free(c.y);
    return done;
}
