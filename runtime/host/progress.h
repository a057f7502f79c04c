/*
 * How a run is doing: one line that is rewritten on a terminal, a plain line every few seconds
 * elsewhere, nothing with quiet.
 */
#ifndef KDRT_HOST_PROGRESS_H
#define KDRT_HOST_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct KdrtProgress {
    FILE *out;
    bool terminal, quiet;
    bool notes_only; /* several runs at once: no live line of each */
    const char *run;
    int64_t epochs, samples; /* of the run, 0: its teachers' logits; samples of one epoch */
    int64_t batch;           /* samples of a step */
    int64_t first;           /* samples done before this process began (a resume) */
    double began, shown;     /* seconds of the clock */
    int drawn;               /* characters of the line on the terminal */
} KdrtProgress;

typedef struct KdrtProgressNow {
    int64_t epoch, done; /* epoch from 0; samples done in it */
    double loss;         /* mean of this epoch so far */
} KdrtProgressNow;

double kdrt_seconds(void); /* a steady clock */

/* Starts the clock; `run` is kept, not copied. Then the size of the run, of which `done` samples
 * lie behind already. */
void kdrt_progress_begin(KdrtProgress *p, FILE *out, bool quiet, const char *run);
void kdrt_progress_size(KdrtProgress *p, int64_t epochs, int64_t samples, int64_t batch,
                        int64_t done);

/* Draws when enough time has passed since the last time. */
void kdrt_progress_show(KdrtProgress *p, const KdrtProgressNow *now);

/* A line that stays, e.g. an epoch's summary; the live line is drawn again below it. */
void kdrt_progress_note(KdrtProgress *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void kdrt_progress_end(KdrtProgress *p); /* clears the live line */

/* "1:23:45", "4:05" or "12 s". */
#define KDRT_TIME_TEXT 32
char *kdrt_time_text(double seconds, char buf[KDRT_TIME_TEXT]);

#endif
