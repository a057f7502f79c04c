/* The commands of kdc; each returns the exit code. */
#ifndef KD_FRONTEND_COMMANDS_H
#define KD_FRONTEND_COMMANDS_H

#include "frontend/options.h"
#include "passes/pass.h"
#include "runtime/kdrt.h"

/* kdc opt FILE.kir */
int kd_command_opt(const KdOptions *o, KdDiag *d);
/* kdc run FILE.kir */
int kd_command_run(const KdOptions *o, KdDiag *d);
/* kdc info FILE.safetensors */
int kd_command_info(const KdOptions *o, KdDiag *d);
/* kdc explain FILE.lua */
int kd_command_explain(const KdOptions *o, KdDiag *d);
/* kdc reduce FILE.kir and kdc bisect FILE.kir, with --check=COMMAND */
int kd_command_reduce(const KdOptions *o, KdDiag *d);
int kd_command_bisect(const KdOptions *o, KdDiag *d);
/* kdc FILE.lua: check, train, evaluate, or write what it compiles to */
int kd_command_script(const KdOptions *o, KdDiag *d);

/* The module in a .kir file; NULL after an error. Destroy it with kd_module_destroy. */
KdModule *kd_load_module(const char *path, KdArena *a, KdDiag *d);

/* Runs o's passes (`absent` where --passes was not given) over m. Dumps go to `dump_to`, times
 * behind them to standard error. */
bool kd_run_passes(KdModule *m, const KdOptions *o, const char *absent, FILE *dump_to, KdDiag *d);

/* kd_run_pipeline, and how long each pass took to `times` unless that is NULL. */
bool kd_run_timed(KdModule *m, KdPipeline *p, FILE *times, KdDiag *d);

/* A pool of so many threads, of one a processor where that is 0; NULL after an error. */
KdrtPool *kd_threads_start(int64_t wanted, KdDiag *d);

/* `--print-passes` */
void kd_print_passes(FILE *out);

#endif
