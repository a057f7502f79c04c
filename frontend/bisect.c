/*
 * `kdc bisect`: the first pass of a pipeline after which the check fails, by halving the number of
 * passes that run; then the step of it that brings this on, by halving the number of its steps.
 */
#include "frontend/check_command.h"
#include "frontend/commands.h"
#include "ir/text.h"
#include "passes/diff.h"

#include <string.h>

static const KdLoc nowhere = { NULL, 0 };

typedef struct Bisect {
    const KdOptions *o;
    const char *passes, *text; /* of the module, as it is given */
    KdArena *a;
    KdDiag *d;
} Bisect;

static KdModule *parse(const Bisect *b) {
    return kd_parse_module(b->text, strlen(b->text), b->o->file, b->d);
}

/* The module's text after the first n passes, of the last of which only `most` steps are taken
 * (-1: all, which are counted in d->steps). NULL after an error. */
static const char *text_after(const Bisect *b, int n, int most) {
    KdModule *m = parse(b);
    if (!m) return NULL;
    const KdPipeline p = { .passes = n ? b->passes : "",
                           .skip = b->o->skips,
                           .stop_after = n,
                           .limited = most >= 0,
                           .most_steps = most };
    const char *text = kd_run_pipeline(m, &p, b->d) ? kd_module_text(m, b->a) : NULL;
    kd_module_destroy(m);
    return text;
}

static KdVerdict judge(const Bisect *b, int n, int most) {
    const char *text = text_after(b, n, most);
    return text ? kd_check_text(b->o->check, text, b->d) : KD_NO_VERDICT;
}

/* The least number between `good` and `broken` that is broken, of passes (pass 0) or of steps of
 * that pass; -1 after an error. */
static int halve(const Bisect *b, int pass, int good, int broken) {
    while (broken - good > 1) {
        int middle = good + (broken - good) / 2;
        KdVerdict verdict = pass ? judge(b, pass, middle) : judge(b, middle, -1);
        if (verdict == KD_NO_VERDICT) return -1;
        *(verdict == KD_GOOD ? &good : &broken) = middle;
    }
    return broken;
}

static void say_how_to_see(const Bisect *b, const char *until) {
    printf("to see what it does: kdc opt %s --passes='%s' --stop-after=%s --dump-ir=changed\n",
           b->o->file, b->passes, until);
}

/* Which of the pass's steps it is, and what it changes. */
static bool search_steps(const Bisect *b, int pass) {
    if (!text_after(b, pass, -1)) return false;
    int all = b->d->steps;
    KdVerdict none = all ? judge(b, pass, 0) : KD_BROKEN;
    if (none == KD_NO_VERDICT) return false;
    if (none == KD_BROKEN) {
        if (all) printf("even where all of the %d steps are left out that can be\n", all);
        say_how_to_see(b, kd_arena_format(b->a, "%d", pass));
        return true;
    }
    int step = halve(b, pass, 0, all);
    if (step < 0) return false;
    printf("step %d of its %d brings that on:\n", step, all);
    const char *before = text_after(b, pass, step - 1), *after = text_after(b, pass, step);
    if (before && after) kd_diff_print(before, after, stdout);
    say_how_to_see(b, kd_arena_format(b->a, "%d.%d", pass, step));
    return before && after;
}

static bool search(const Bisect *b, const KdModule *m) {
    const KdPipeline p = { .passes = b->passes, .skip = b->o->skips };
    int passes = kd_pipeline_length(m, &p);
    KdVerdict start = judge(b, 0, -1);
    KdVerdict end = start == KD_GOOD ? judge(b, passes, -1) : start;
    if (start == KD_NO_VERDICT || end == KD_NO_VERDICT) return false;
    if (start == KD_BROKEN)
        return kd_error(b->d, nowhere, "%s: the check fails before any pass", b->o->file);
    if (end == KD_GOOD)
        return kd_error(b->d, nowhere, "%s: the check holds after all %d passes", b->o->file,
                        passes);
    int pass = halve(b, 0, 0, passes);
    if (pass < 0) return false;
    printf("pass %d, %s, is the first after which the check fails\n", pass,
           kd_pipeline_name(m, &p, pass - 1));
    return search_steps(b, pass);
}

int kd_command_bisect(const KdOptions *o, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdModule *m = kd_load_module(o->file, a, d);
    const Bisect b = { o,
                       o->passes ? o->passes
                       : m       ? kd_default_passes(m, a)
                                 : NULL,
                       m ? kd_module_text(m, a) : NULL, a, d };
    bool ok = m && search(&b, m);
    kd_module_destroy(m);
    kd_arena_destroy(a);
    return ok ? KD_EXIT_DONE : KD_EXIT_WRONG;
}
