/*
 * Signals are a fact of the process, so this is the one place with mutable state of its own: the
 * number of the signal that came.
 */
#include "frontend/driver/signals.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t received;
static struct sigaction old_int, old_term;

/* Notes the first signal and lets the second one act as it always does. */
static void note(int signal) {
    received = signal;
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
}

/* Who started us may have it ignored, as nohup and shells do behind an `&`: so it stays. */
static void catch(int signal, struct sigaction *old) {
    struct sigaction action = { .sa_handler = note };
    sigemptyset(&action.sa_mask);
    sigaction(signal, NULL, old);
    if (old->sa_handler != SIG_IGN) sigaction(signal, &action, NULL);
}

void kd_signals_catch(void) {
    received = 0;
    catch(SIGINT, &old_int);
    catch(SIGTERM, &old_term);
}

static void note_each(int signal) {
    received = signal;
}

void kd_signals_follow(void) {
    struct sigaction ignore = { .sa_handler = SIG_IGN }, stop = { .sa_handler = note_each };
    sigemptyset(&ignore.sa_mask);
    sigemptyset(&stop.sa_mask);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGTERM, &stop, NULL);
}

void kd_signals_restore(void) {
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
}

int kd_signal_received(void) {
    return received;
}
