/* `kdc explain`: what each run of a script minimises, as a formula, and its numbers. */
#include "frontend/commands.h"
#include "frontend/script.h"
#include "ir/text.h"

static bool explain(KdRun *run, KdDiag *d) {
    KdModule *m = run->module;
    bool noisy = kd_attr_find(m->program, "noise.kind") != NULL;
    const KdPipeline p = { .passes = noisy ? "inject-noise,canonicalize" : "canonicalize" };
    if (!kd_run_pipeline(m, &p, d)) return false;
    printf("run %s trains %s", run->name, run->network);
    for (int k = 0; k < run->nteachers; k++)
        printf("%s%s", k ? ", " : " with ", run->teachers[k]->name);
    putchar('\n');
    kd_print_formula(kd_module_func(m, "objective"), stdout);
    for (int k = 0; k < m->nhypers; k++)
        printf("%s%s = %.9g", k ? ", " : "  where ", m->hypers[k]->name, m->hypers[k]->value);
    puts("\n");
    return true;
}

int kd_command_explain(const KdOptions *o, KdDiag *d) {
    const KdScriptOptions options = {
        .epochs = -1, .batch = -1, .seed = -1, .limit = -1, .nsets = o->nsets, .sets = o->sets
    };
    KdScript *s = kd_script_load(o->file, &options, d);
    KdRun *only = s && o->run ? kd_script_choose(s, o->run, d) : NULL;
    bool ok = s && (!o->run || only);
    for (int k = 0; ok && k < s->nlisted; k++)
        if (!only) ok = explain(s->listed[k], d);
    if (only) ok = explain(only, d);
    kd_script_destroy(s);
    return ok ? KD_EXIT_DONE : KD_EXIT_WRONG;
}
