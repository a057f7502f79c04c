/*
 * The pass manager: the table of passes, and the running of a pipeline. The module is verified
 * after each pass; what was asked for is dumped on the way.
 */
#include "passes/dump.h"
#include "passes/pipeline.h"

#include "ir/text.h"
#include "ir/verify.h"

#include <string.h>
#include <time.h>

static const KdPassInfo table[] = {
#define KD_PASS(function, text, optional, options, meaning) \
    { text, function, optional, options, meaning },
#include "passes/passes.def"
};
#define NUM_PASSES ((int)(sizeof table / sizeof table[0]))

int kd_pass_count(void) {
    return NUM_PASSES;
}

const KdPassInfo *kd_pass_at(int n) {
    return &table[n];
}

const KdPassInfo *kd_pass_find(const char *name) {
    for (int n = 0; n < NUM_PASSES; n++)
        if (!strcmp(table[n].name, name)) return &table[n];
    return NULL;
}

bool kd_steps_left(const KdDiag *d) {
    return !d->limited || d->steps < d->most_steps;
}

bool kd_step(KdDiag *d) {
    bool left = kd_steps_left(d);
    d->steps += left;
    return left;
}

bool kd_may_add_params(const KdModule *m, const char *network, KdDiag *d) {
    const char *trained = kd_attr_str(m->program, "trained", "");
    return !kd_module_func(m, "gradients") || strcmp(network, trained) != 0 ||
           kd_error(d, (KdLoc){ m->source, 0 },
                    "%s: @gradients trains the parameters of network '%s', which would be more: "
                    "run it before autodiff",
                    d->pass, network);
}

bool kd_may_retype_param(const KdFunc *f, const KdParam *p, KdDiag *d) {
    KD_EACH_FUNC(g, f->module) {
        for (int k = 0; g != f && k < g->nargs; k++)
            if (kd_param_of_value(f->module, g->args[k]) == p)
                return kd_error(
                    d, g->loc,
                    "%s: @%s takes %%%s too; what stores it otherwise must be its only function",
                    d->pass, g->name, g->args[k]->name);
    }
    return true;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One pass and the check behind it. The module's text is kept meanwhile: a fault of the pass is
 * reproduced from what the pass was given, not from what it left. */
static bool run_step(KdModule *m, const KdStep *step, KdDiag *d) {
    KdArena *a = kd_arena_create();
    d->pass = step->pass->name;
    d->before = kd_module_text(m, a);
    bool ok = step->pass->run(m, step->options, d);
    if (ok && !kd_verify(m, d)) kd_bug(d, "the module is not valid after %s", step->pass->name);
    d->pass = d->before = NULL;
    kd_arena_destroy(a);
    return ok;
}

/* Is the module's text the text of what it parses to? */
static void check_roundtrip(const KdModule *m, const char *when, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdDiag own;
    kd_diag_init(&own, NULL, false);
    const char *text = kd_module_text(m, a);
    KdModule *again = kd_parse_module(text, strlen(text), "printed", &own);
    if (!again)
        kd_bug(d, "the text %s does not parse: line %d: %s", when, own.last_loc.line, own.last);
    if (strcmp(text, kd_module_text(again, a)) != 0)
        kd_bug(d, "the text %s is another one when it is parsed and printed", when);
    kd_module_destroy(again);
    kd_arena_destroy(a);
}

static bool run_steps(KdModule *m, const KdPipeline *p, const KdSteps *steps, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdDump dump = { .spec = p->dump, .out = p->dump_to ? p->dump_to : stdout, .dir = p->dump_dir };
    int n = p->stop_after > 0 && p->stop_after < steps->n ? p->stop_after : steps->n;
    bool ok = kd_dump_start(&dump, m, a, d);
    if (p->roundtrip) check_roundtrip(m, "of the input", d);
    for (int k = 0; k < n && ok; k++) {
        const KdStep *step = &steps->step[k];
        kd_dump_before(&dump, m, step->pass->name);
        double start = now();
        d->steps = 0;
        d->limited = p->limited && k == n - 1;
        d->most_steps = p->most_steps;
        ok = run_step(m, step, d);
        d->limited = false;
        if (ok && p->roundtrip)
            check_roundtrip(m, kd_arena_format(a, "behind %s", step->pass->name), d);
        if (p->time && p->seconds) p->seconds[k] = now() - start;
        ok = ok && kd_dump_after(&dump, m, step->pass->name, k == n - 1, d);
    }
    kd_arena_destroy(a);
    return ok;
}

bool kd_check_pipeline(const KdPipeline *p, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdSteps steps;
    KdPipeline named = *p;
    if (!named.passes) named.passes = "";
    bool ok = kd_steps_read(NULL, &named, &steps, a, d) && kd_dump_check(p->dump, a, d);
    kd_arena_destroy(a);
    return ok;
}

bool kd_run_pipeline(KdModule *m, const KdPipeline *p, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdSteps steps;
    const void *outer = d->module;
    bool ok = kd_steps_read(m, p, &steps, a, d) && kd_dump_check(p->dump, a, d);
    if (ok) {
        d->module = m;
        ok = run_steps(m, p, &steps, d);
        d->pass = NULL;
        d->module = outer;
    }
    kd_arena_destroy(a);
    return ok;
}
