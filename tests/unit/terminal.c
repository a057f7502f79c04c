/*
 * The live line on a terminal: cut to the terminal's columns, taken back before a line that stays
 * and at the end. A pseudo-terminal stands in for the terminal.
 */
#define _DEFAULT_SOURCE
#include "runtime/host/progress.h"

#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

enum { COLUMNS = 40 };

typedef struct Terminal {
    int screen; /* what is written can be read here */
    FILE *out;
    KdrtProgress progress;
} Terminal;

static void open_terminal(Terminal *t) {
    int line = -1;
    struct winsize size = { .ws_row = 25, .ws_col = COLUMNS };
    struct termios raw = { 0 }; /* "\n" stays "\n" */
    assert_int_equal(openpty(&t->screen, &line, NULL, &raw, &size), 0);
    t->out = fdopen(line, "w");
    assert_non_null(t->out);
    kdrt_progress_begin(&t->progress, t->out, false, "teacher");
    kdrt_progress_size(&t->progress, 3, 1000, 100, 0);
}

static void close_terminal(Terminal *t) {
    fclose(t->out);
    close(t->screen);
}

/* What was written since the last call. */
static const char *screen(const Terminal *t, char text[1024]) {
    fflush(t->out);
    ssize_t n = read(t->screen, text, 1023);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static const KdrtProgressNow half = { .epoch = 1, .done = 500, .loss = 0.25 };

static void test_line_is_cut(void **state) {
    (void)state;
    Terminal t;
    char text[1024];
    open_terminal(&t);
    kdrt_progress_show(&t.progress, &half);
    assert_string_equal(screen(&t, text), "\rteacher      epoch 2/3  batch  5/10  lo");
    close_terminal(&t);
}

static void test_note_takes_its_place(void **state) {
    (void)state;
    Terminal t;
    char text[1024], wanted[1024];
    open_terminal(&t);
    kdrt_progress_show(&t.progress, &half);
    screen(&t, text);
    kdrt_progress_note(&t.progress, "epoch %d is over", 2);
    snprintf(wanted, sizeof wanted, "\r%*s\r\repoch 2 is over\n", COLUMNS - 1, "");
    assert_string_equal(screen(&t, text), wanted);
    close_terminal(&t);
}

static void test_end_leaves_nothing(void **state) {
    (void)state;
    Terminal t;
    char text[1024], wanted[1024];
    open_terminal(&t);
    kdrt_progress_show(&t.progress, &half);
    screen(&t, text);
    kdrt_progress_end(&t.progress);
    snprintf(wanted, sizeof wanted, "\r%*s\r\r", COLUMNS - 1, "");
    assert_string_equal(screen(&t, text), wanted);
    kdrt_progress_end(&t.progress); /* once */
    fputs(".", t.out);
    assert_string_equal(screen(&t, text), ".");
    close_terminal(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_is_cut),
        cmocka_unit_test(test_note_takes_its_place),
        cmocka_unit_test(test_end_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
