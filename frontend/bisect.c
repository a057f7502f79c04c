/*
 * `kdc bisect`: the first pass of a pipeline after which the check fails, by halving the number of
 * passes that run.
 */
#include "frontend/check_command.h"
#include "frontend/commands.h"
#include "ir/text.h"

static const KdLoc nowhere = { NULL, 0 };

/* The check's verdict on the module after the first n passes. */
static KdVerdict judge(const KdOptions *o, const char *passes, int n, KdArena *a, KdDiag *d) {
    KdModule *m = kd_load_module(o->file, a, d);
    if (!m) return KD_NO_VERDICT;
    const KdPipeline p = { .passes = n ? passes : "", .skip = o->skips, .stop_after = n };
    KdVerdict verdict = KD_NO_VERDICT;
    if (kd_run_pipeline(m, &p, d)) verdict = kd_check_text(o->check, kd_module_text(m, a), d);
    kd_module_destroy(m);
    return verdict;
}

static bool search(const KdOptions *o, const KdModule *m, const char *passes, KdArena *a,
                   KdDiag *d) {
    const KdPipeline p = { .passes = passes, .skip = o->skips };
    int good = 0, broken = kd_pipeline_length(m, &p);
    KdVerdict start = judge(o, passes, 0, a, d), end = judge(o, passes, broken, a, d);
    if (start == KD_NO_VERDICT || end == KD_NO_VERDICT) return false;
    if (start == KD_BROKEN)
        return kd_error(d, nowhere, "%s: the check fails before any pass", o->file);
    if (end == KD_GOOD)
        return kd_error(d, nowhere, "%s: the check holds after all %d passes", o->file, broken);
    while (broken - good > 1) {
        int middle = good + (broken - good) / 2;
        KdVerdict verdict = judge(o, passes, middle, a, d);
        if (verdict == KD_NO_VERDICT) return false;
        *(verdict == KD_GOOD ? &good : &broken) = middle;
    }
    printf("pass %d, %s, is the first after which the check fails\n", broken,
           kd_pipeline_name(m, &p, broken - 1));
    printf("to see what it does: kdc opt %s --passes=%s --stop-after=%d --dump-ir=changed\n",
           o->file, passes, broken);
    return true;
}

int kd_command_bisect(const KdOptions *o, KdDiag *d) {
    KdArena *a = kd_arena_create();
    const KdPipeline p = { .passes = o->passes, .skip = o->skips };
    KdModule *m = kd_check_pipeline(&p, d) ? kd_load_module(o->file, a, d) : NULL;
    bool ok = m && search(o, m, o->passes ? o->passes : kd_default_passes(m, a), a, d);
    kd_module_destroy(m);
    kd_arena_destroy(a);
    return ok ? KD_EXIT_DONE : KD_EXIT_WRONG;
}
