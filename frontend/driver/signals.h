/* SIGINT and SIGTERM ask training to stop after the step; a second one ends the process. */
#ifndef KD_FRONTEND_DRIVER_SIGNALS_H
#define KD_FRONTEND_DRIVER_SIGNALS_H

/* From now on signals are noted instead of ending the process; restore puts back what was. */
void kd_signals_catch(void);
void kd_signals_restore(void);

/* In a process that works for the one which catches signals: a terminal's SIGINT is that one's
 * alone, and SIGTERM asks to stop, however often it comes. */
void kd_signals_follow(void);

/* The signal that was noted, or 0. */
int kd_signal_received(void);

#endif
