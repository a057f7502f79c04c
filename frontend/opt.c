/* `kdc opt`: IR text in, passes, IR text out; and what other commands need of passes. */
#include "frontend/commands.h"
#include "frontend/outfile.h"
#include "ir/text.h"

KdModule *kd_load_module(const char *path, KdArena *a, KdDiag *d) {
    size_t size;
    char *text = kd_read_text(path, &size, a, d);
    return text ? kd_parse_module(text, size, path[0] == '-' && !path[1] ? "<stdin>" : path, d)
                : NULL;
}

static void print_times(const KdModule *m, const KdPipeline *p, int n, FILE *out) {
    double total = 0;
    for (int k = 0; k < n; k++) total += p->seconds[k];
    fprintf(out, "%-16s %10s %6s\n", "pass", "ms", "share");
    for (int k = 0; k < n; k++) {
        fprintf(out, "%-16s %10.3f %5.1f%%\n", kd_pipeline_name(m, p, k), 1e3 * p->seconds[k],
                total > 0 ? 100 * p->seconds[k] / total : 0);
    }
    fprintf(out, "%-16s %10.3f\n", "total", 1e3 * total);
}

bool kd_run_timed(KdModule *m, KdPipeline *p, FILE *times, KdDiag *d) {
    if (!times) return kd_run_pipeline(m, p, d);
    KdArena *a = kd_arena_create();
    /* The default pipeline is read off the module, which passes change: settle it here. */
    if (!p->passes) p->passes = kd_default_passes(m, a);
    int n = kd_pipeline_length(m, p);
    p->time = true;
    p->seconds = KD_NEW_ARRAY(a, double, n > 0 ? n : 1);
    bool good = kd_run_pipeline(m, p, d);
    if (good) print_times(m, p, n, times);
    kd_arena_destroy(a);
    return good;
}

bool kd_run_passes(KdModule *m, const KdOptions *o, const char *absent, FILE *dump_to, KdDiag *d) {
    KdPipeline p = { .passes = o->passes ? o->passes : absent,
                     .skip = o->skips,
                     .dump = o->dump_ir,
                     .dump_to = dump_to,
                     .dump_dir = o->dump_dir,
                     .roundtrip = o->verify_roundtrip,
                     .stop_after = o->stop_after > 0 ? (int)o->stop_after : 0,
                     .limited = o->stop_steps >= 0,
                     .most_steps = (int)o->stop_steps };
    return kd_run_timed(m, &p, o->time_passes ? stderr : NULL, d);
}

int kd_command_opt(const KdOptions *o, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdModule *m = kd_load_module(o->file, a, d);
    bool good = m && kd_run_passes(m, o, "", stderr, d);
    KdOutFile out;
    if (good) good = kd_outfile_open(&out, o->output, a, d);
    if (good) {
        kd_print_module(m, out.stream);
        good = kd_outfile_close(&out, true, d);
    }
    kd_module_destroy(m);
    kd_arena_destroy(a);
    return good ? KD_EXIT_DONE : KD_EXIT_WRONG;
}

void kd_print_passes(FILE *out) {
    for (int k = 0; k < kd_pass_count(); k++) {
        const KdPassInfo *p = kd_pass_at(k);
        fprintf(out, "%-16s %s%s\n", p->name, p->meaning, p->optional ? " (optional)" : "");
        if (p->options[0]) fprintf(out, "%-16s   {%s}\n", "", p->options);
    }
}
