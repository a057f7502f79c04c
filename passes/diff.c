/*
 * Myers' greedy algorithm (1986): the shortest script of deleted and inserted lines is the shortest
 * path through a grid of both texts' lines, in which diagonals (equal lines) are free. The furthest
 * point on each diagonal is kept for each length of the path, to walk back along it.
 */
#include "passes/diff.h"

#include "ir/arena.h"

#include <stdbool.h>
#include <string.h>

enum { CONTEXT = 3, MOST_EDITS = 4000 };

typedef struct Line {
    const char *text;
    size_t length;
} Line;

typedef struct Texts {
    KdArena *arena;
    int n, m; /* lines before and after */
    Line *a, *b;
    char *kept_a, *kept_b; /* 1: the line is in both */
} Texts;

static Line *split(KdArena *arena, const char *text, int *n) {
    int lines = 0;
    for (const char *p = text; *p; lines++) p += strcspn(p, "\n") + (strchr(p, '\n') != NULL);
    Line *line = KD_NEW_ARRAY(arena, Line, lines + 1);
    *n = 0;
    for (const char *p = text; *p;) {
        size_t length = strcspn(p, "\n");
        line[(*n)++] = (Line){ p, length };
        p += length + (p[length] == '\n');
    }
    return line;
}

static bool equal(const Line *x, const Line *y) {
    return x->length == y->length && memcmp(x->text, y->text, x->length) == 0;
}

/* Does the path of length d reach diagonal k by an insertion, from k + 1 of the paths before? */
static bool goes_down(const int *last, int k, int d) {
    return k == -d || (k != d && last[k - 1] < last[k + 1]);
}

/* Marks the lines on the path's diagonals. reach[d] holds the furthest x of paths of length d on
 * the diagonals -d … d, in that order. */
static void walk_back(Texts *t, int **reach, int edits) {
    int x = t->n, y = t->m;
    for (int d = edits; d >= 0; d--) {
        int k = x - y, start = 0, before = 0;
        if (d > 0) {
            const int *last = reach[d - 1] + d - 1;
            bool down = goes_down(last, k, d);
            before = down ? k + 1 : k - 1;
            start = down ? last[before] : last[before] + 1;
        }
        while (x > start) {
            t->kept_a[--x] = 1;
            t->kept_b[--y] = 1;
        }
        if (d == 0) break;
        x = reach[d - 1][d - 1 + before];
        y = x - before;
    }
}

/* Texts that differ in more than MOST_EDITS lines have nothing in common for this purpose. */
static void find_kept(Texts *t) {
    int **reach = KD_NEW_ARRAY(t->arena, int *, MOST_EDITS + 1);
    for (int d = 0; d <= MOST_EDITS && d <= t->n + t->m; d++) {
        int *now = KD_NEW_ARRAY(t->arena, int, 2 * d + 1) + d;
        const int *last = d ? reach[d - 1] + d - 1 : NULL;
        reach[d] = now - d;
        for (int k = -d; k <= d; k += 2) {
            int x = 0;
            if (d) x = goes_down(last, k, d) ? last[k + 1] : last[k - 1] + 1;
            while (x < t->n && x - k < t->m && equal(&t->a[x], &t->b[x - k])) x++;
            now[k] = x;
            if (x < t->n || x - k < t->m) continue;
            walk_back(t, reach, d);
            return;
        }
    }
}

static void print_line(char mark, const Line *line, FILE *out) {
    fprintf(out, "%c%.*s\n", mark, (int)line->length, line->text);
}

/* One hunk from lines i and j on: changes with at most twice the context between them. Returns the
 * line of `a` behind it, and moves *at_b along. */
static int print_hunk(const Texts *t, int i, int j, int *at_b, FILE *out) {
    int end_i = i, end_j = j, same = 0, x = i, y = j;
    while ((x < t->n || y < t->m) && same <= 2 * CONTEXT) {
        if (x < t->n && !t->kept_a[x]) {
            x++, same = 0, end_i = x, end_j = y;
        } else if (y < t->m && !t->kept_b[y]) {
            y++, same = 0, end_i = x, end_j = y;
        } else {
            x++, y++, same++;
        }
    }
    int lead = i < CONTEXT ? i : CONTEXT;
    int tail = t->n - end_i < CONTEXT ? t->n - end_i : CONTEXT;
    fprintf(out, "@@ -%d,%d +%d,%d @@\n", i - lead + 1, end_i - i + lead + tail, j - lead + 1,
            end_j - j + lead + tail);
    for (int k = i - lead; k < i; k++) print_line(' ', &t->a[k], out);
    for (x = i, y = j; x < end_i || y < end_j;) {
        if (x < end_i && !t->kept_a[x]) {
            print_line('-', &t->a[x++], out);
        } else if (y < end_j && !t->kept_b[y]) {
            print_line('+', &t->b[y++], out);
        } else {
            print_line(' ', &t->a[x++], out);
            y++;
        }
    }
    for (int k = end_i; k < end_i + tail; k++) print_line(' ', &t->a[k], out);
    *at_b = end_j;
    return end_i;
}

void kd_diff_print(const char *before, const char *after, FILE *out) {
    Texts t = { .arena = kd_arena_create() };
    t.a = split(t.arena, before, &t.n);
    t.b = split(t.arena, after, &t.m);
    t.kept_a = kd_arena_alloc(t.arena, (size_t)t.n + 1);
    t.kept_b = kd_arena_alloc(t.arena, (size_t)t.m + 1);
    find_kept(&t);
    for (int i = 0, j = 0; i < t.n || j < t.m;) {
        if (i < t.n && j < t.m && t.kept_a[i] && t.kept_b[j]) {
            i++, j++;
        } else {
            i = print_hunk(&t, i, j, &j, out);
        }
    }
    kd_arena_destroy(t.arena);
}
