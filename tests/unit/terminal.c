/*
 * The live line on a terminal: cut to the terminal's columns, taken back before a line that stays
 * and at the end. A pseudo-terminal stands in for the terminal.
 */
#define _DEFAULT_SOURCE
#include "runtime/host/progress.h"

#include <poll.h>
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

/* What was written since the last call must be `wanted`; it may take the system a while to pass on.
 */
static void expect_screen(const Terminal *t, const char *wanted) {
    char text[1024] = "";
    size_t n = 0, whole = strlen(wanted);
    struct pollfd ready = { .fd = t->screen, .events = POLLIN };
    fflush(t->out);
    while (n < whole && poll(&ready, 1, 10000) == 1) {
        ssize_t more = read(t->screen, text + n, sizeof text - 1 - n);
        assert_true(more > 0);
        n += (size_t)more;
    }
    assert_string_equal(text, wanted);
}

static const KdrtProgressNow half = { .epoch = 1, .done = 500, .loss = 0.25 };

/* A terminal that shows half an epoch, in as much of a line as it holds. */
static void open_half(Terminal *t) {
    open_terminal(t);
    kdrt_progress_show(&t->progress, &half);
    expect_screen(t, "\rteacher      epoch 2/3  batch  5/10  lo");
}

static void test_line_is_cut(void **state) {
    (void)state;
    Terminal t;
    open_half(&t);
    close_terminal(&t);
}

/* Without epochs it is the teachers' logits that are made. */
static void test_logits(void **state) {
    (void)state;
    Terminal t;
    open_terminal(&t);
    kdrt_progress_size(&t.progress, 0, 1000, 100, 0);
    kdrt_progress_show(&t.progress, &(KdrtProgressNow){ .done = 500 });
    expect_screen(&t, "\rteacher      teachers' logits of 500/10");
    close_terminal(&t);
}

static void test_note_takes_its_place(void **state) {
    (void)state;
    Terminal t;
    char wanted[1024];
    open_half(&t);
    kdrt_progress_note(&t.progress, "epoch %d is over", 2);
    snprintf(wanted, sizeof wanted, "\r%*s\r\repoch 2 is over\n", COLUMNS - 1, "");
    expect_screen(&t, wanted);
    close_terminal(&t);
}

static void test_end_leaves_nothing(void **state) {
    (void)state;
    Terminal t;
    char wanted[1024];
    open_half(&t);
    kdrt_progress_end(&t.progress);
    snprintf(wanted, sizeof wanted, "\r%*s\r\r", COLUMNS - 1, "");
    expect_screen(&t, wanted);
    kdrt_progress_end(&t.progress); /* once */
    fputs(".", t.out);
    expect_screen(&t, ".");
    close_terminal(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_is_cut),
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_note_takes_its_place),
        cmocka_unit_test(test_end_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
