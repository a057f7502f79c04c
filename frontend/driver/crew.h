/*
 * Work in processes of its own, several at once: each is a fork that sees all that there was when
 * it began, sends results of a fixed size through a pipe and ends. Threads do not survive a
 * fork, so a member of the crew has one. A member dies with the process that made it.
 */
#ifndef KD_FRONTEND_DRIVER_CREW_H
#define KD_FRONTEND_DRIVER_CREW_H

#include "frontend/driver/together.h"

#include <poll.h>
#include <sys/types.h>

typedef struct KdCrewMember {
    pid_t process;
    int n, job[KD_MOST_TOGETHER]; /* what the caller knows its work by, */
    const char *name;             /* and its user */
} KdCrewMember;

typedef struct KdCrew {
    int width, n;         /* room for, at work */
    KdCrewMember *member; /* [width] */
    struct pollfd *pipe;  /* [width], of the same numbers: where their results come from */
    bool told;            /* to stop */
} KdCrew;

KdCrew *kd_crew_create(int width, KdArena *a);

/* Forks, when n < width, for what *work says. In the new process: the file descriptor for
 * kd_crew_end. Here: 0, or -1 after an error. */
int kd_crew_begin(KdCrew *crew, const KdCrewMember *work, KdDiag *d);

/* In the new process: sends the results, of at most PIPE_BUF bytes; never returns. */
_Noreturn void kd_crew_end(int fd, KdOutcome outcome, const void *results, size_t bytes);

/* Waits until a member has ended, when n > 0; a signal that comes meanwhile stops all of them. What
 * became of its work, and its results: zeros where it sent none. */
KdOutcome kd_crew_next(KdCrew *crew, KdCrewMember *member, void *results, size_t bytes, KdDiag *d);

/* Asks all of them, once, to finish their step and end. */
void kd_crew_stop(KdCrew *crew);

#endif
