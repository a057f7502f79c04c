/* Processes at work side by side; see crew.h. */
#include "frontend/driver/crew.h"

#include "frontend/driver/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Between looks at signals: one that comes right before poll wakes nobody. */
#define LOOK_MILLISECONDS 100

/* What a member's exit code says of its job. */
enum { CODE_FINISHED, CODE_FAILED, CODE_INTERRUPTED };

KdCrew *kd_crew_create(int width, KdArena *a) {
    KdCrew *crew = KD_NEW(a, KdCrew);
    crew->width = width;
    crew->member = KD_NEW_ARRAY(a, KdCrewMember, width);
    crew->pipe = KD_NEW_ARRAY(a, struct pollfd, width);
    return crew;
}

/* A member is told to stop by a signal, which waits while nobody could take note of it: `before` is
 * the mask to go back to. */
static void hold_signals(sigset_t *before) {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, before);
}

static void become_member(pid_t parent, const sigset_t *mask) {
    kd_signals_follow();
    sigprocmask(SIG_SETMASK, mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(CODE_FAILED);
}

int kd_crew_begin(KdCrew *crew, const KdCrewMember *work, KdDiag *d) {
    int ends[2];
    pid_t parent = getpid();
    sigset_t mask;
    fflush(NULL);
    hold_signals(&mask);
    pid_t process = pipe(ends) ? -1 : fork();
    if (process != 0) sigprocmask(SIG_SETMASK, &mask, NULL);
    if (process < 0) {
        kd_error(d, (KdLoc){ 0 }, "cannot start a process: %s", strerror(errno));
        return -1;
    }
    if (process == 0) {
        become_member(parent, &mask);
        close(ends[0]);
        return ends[1];
    }
    close(ends[1]);
    crew->pipe[crew->n] = (struct pollfd){ .fd = ends[0], .events = POLLIN };
    crew->member[crew->n] = *work;
    crew->member[crew->n++].process = process;
    return 0;
}

void kd_crew_end(int fd, KdOutcome outcome, const void *results, size_t bytes) {
    static const int codes[] = { [KD_FINISHED] = CODE_FINISHED,
                                 [KD_FAILED] = CODE_FAILED,
                                 [KD_INTERRUPTED] = CODE_INTERRUPTED };
    fflush(NULL);
    if (write(fd, results, bytes) != (ssize_t)bytes) outcome = KD_FAILED;
    _exit(codes[outcome]);
}

void kd_crew_stop(KdCrew *crew) {
    for (int k = 0; k < crew->n && !crew->told; k++) kill(crew->member[k].process, SIGTERM);
    crew->told = true;
}

/* The number of a member whose pipe has a result, or has been closed. */
static int ended_member(KdCrew *crew) {
    for (;;) {
        if (kd_signal_received()) kd_crew_stop(crew);
        if (poll(crew->pipe, (nfds_t)crew->n, LOOK_MILLISECONDS) <= 0) continue;
        for (int k = 0; k < crew->n; k++)
            if (crew->pipe[k].revents) return k;
    }
}

KdOutcome kd_crew_next(KdCrew *crew, KdCrewMember *member, void *results, size_t bytes, KdDiag *d) {
    int k = ended_member(crew), status = 0;
    *member = crew->member[k];
    bool sent = read(crew->pipe[k].fd, results, bytes) == (ssize_t)bytes;
    if (!sent) memset(results, 0, bytes);
    while (waitpid(member->process, &status, 0) < 0 && errno == EINTR) continue;
    close(crew->pipe[k].fd);
    crew->member[k] = crew->member[--crew->n];
    crew->pipe[k] = crew->pipe[crew->n];
    if (WIFSIGNALED(status))
        kd_error(d, (KdLoc){ 0 }, "%s: its process was ended by signal %d", member->name,
                 WTERMSIG(status));
    if (!WIFEXITED(status) || !sent) return KD_FAILED;
    if (WEXITSTATUS(status) == CODE_INTERRUPTED) return KD_INTERRUPTED;
    return WEXITSTATUS(status) == CODE_FINISHED ? KD_FINISHED : KD_FAILED;
}
