/* The progress line; see the header. */
#include "runtime/host/progress.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define TERMINAL_EVERY 0.1 /* seconds */
#define PLAIN_EVERY    5.0
#define LINE_ROOM      256

double kdrt_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

char *kdrt_time_text(double seconds, char buf[KDRT_TIME_TEXT]) {
    long long s = seconds > 0 && seconds < 1e15 ? (long long)(seconds + 0.5) : 0;
    if (s < 60) {
        snprintf(buf, KDRT_TIME_TEXT, "%lld s", s);
    } else if (s < 3600) {
        snprintf(buf, KDRT_TIME_TEXT, "%lld:%02lld", s / 60, s % 60);
    } else {
        snprintf(buf, KDRT_TIME_TEXT, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    }
    return buf;
}

void kdrt_progress_begin(KdrtProgress *p, FILE *out, bool quiet, const char *run) {
    *p = (KdrtProgress){ .out = out, .quiet = quiet, .run = run };
    p->terminal = isatty(fileno(out)) == 1;
    p->began = kdrt_seconds();
    p->shown = p->terminal ? 0 : p->began;
}

void kdrt_progress_size(KdrtProgress *p, int64_t epochs, int64_t samples, int64_t batch,
                        int64_t done) {
    p->epochs = epochs;
    p->samples = samples;
    p->batch = batch;
    p->first = done;
}

/* Columns of the terminal; 80 where it does not say. */
static int columns(FILE *out) {
    struct winsize size;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

/* Puts `text` where the live line is; blanks cover what was longer. A line that wrapped could not
 * be taken back, so it is cut before. */
static void draw(KdrtProgress *p, const char *text) {
    int length = (int)strlen(text), room = columns(p->out) - 1;
    if (length > room) length = room;
    int blanks = p->drawn > length ? p->drawn - length : 0;
    fprintf(p->out, "\r%.*s%*s", length, text, blanks, "");
    if (blanks) fprintf(p->out, "\r%.*s", length, text);
    p->drawn = length;
    fflush(p->out);
}

/* "epoch 3/20  batch  36/704  loss 0.4", or of which images the logits are there. */
static void describe(const KdrtProgress *p, const KdrtProgressNow *now, char text[LINE_ROOM]) {
    long long batches = (p->samples + p->batch - 1) / p->batch;
    long long batch = (now->done + p->batch - 1) / p->batch;
    if (p->epochs == 0)
        snprintf(text, LINE_ROOM, "teachers' logits of %lld/%lld images", (long long)now->done,
                 (long long)p->samples);
    else
        snprintf(text, LINE_ROOM, "epoch %lld/%lld  batch %*lld/%lld  loss %.4f",
                 (long long)now->epoch + 1, (long long)p->epochs,
                 snprintf(NULL, 0, "%lld", batches), batch, batches, now->loss);
}

void kdrt_progress_show(KdrtProgress *p, const KdrtProgressNow *now) {
    double clock = kdrt_seconds();
    if (p->quiet || p->notes_only) return;
    if (clock - p->shown < (p->terminal ? TERMINAL_EVERY : PLAIN_EVERY)) return;
    p->shown = clock;
    double done = (double)(now->epoch * p->samples + now->done);
    double all = (double)((p->epochs ? p->epochs : 1) * p->samples);
    double seconds = clock - p->began;
    double rate = seconds > 0 ? (done - (double)p->first) / seconds : 0;
    double left = rate > 0 ? (all - done) / rate : 0;
    char line[2 * LINE_ROOM], what[LINE_ROOM], time_left[KDRT_TIME_TEXT];
    describe(p, now, what);
    snprintf(line, sizeof line, "%-12s %s  %.0f images/s  %s left", p->run, what, rate,
             kdrt_time_text(left, time_left));
    if (p->terminal)
        draw(p, line);
    else
        kdrt_progress_note(p, "%s", line);
}

void kdrt_progress_note(KdrtProgress *p, const char *format, ...) {
    if (p->quiet) return;
    if (p->drawn) {
        draw(p, "");
        fputc('\r', p->out);
    }
    char line[LINE_ROOM]; /* in one piece: several processes may write at once */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(p->out, "%s\n", line);
    fflush(p->out);
}

void kdrt_progress_end(KdrtProgress *p) {
    if (!p->drawn) return;
    draw(p, "");
    fputc('\r', p->out);
    fflush(p->out);
}
