/*
 * Students in one graph; see together.h. The loop has a slab of its own, in which the same
 * parameter of all students lies together; students have slabs as ever, for checkpoints, validation
 * and the end, and numbers are copied when the loop stands still.
 */
#include "frontend/driver/together.h"

#include "frontend/driver/text_hash.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/host/hash.h"

#include <string.h>

uint64_t kd_run_kind(const KdRun *run) {
    KdModule *m = run->module;
    KdArena *a = kd_arena_create();
    double *value = KD_NEW_ARRAY(a, double, m->nhypers + 1);
    for (int k = 0; k < m->nhypers; k++) {
        value[k] = m->hypers[k]->value;
        m->hypers[k]->value = 0;
    }
    uint64_t kind = kd_text_hash(kd_module_text(m, a), 0);
    for (int k = 0; k < m->nhypers; k++) m->hypers[k]->value = value[k];
    for (int k = 0; k < run->nteachers; k++)
        kind = kdrt_hash(run->teachers[k]->name, strlen(run->teachers[k]->name), kind);
    kd_arena_destroy(a);
    return kind;
}

/* --- numbers from one to all, and back -------------------------------------------------------- */

/* The same parameter of every student lies together in `all`; its place in a student's is `own`. */
static void copy_slabs(const KdTogether *g, float *all, float *const *own, bool back) {
    const KdModule *m = g->all.c->m, *one = g->of[0]->c->m;
    const char *network = g->all.c->run->network;
    for (int k = 0; k < one->nparams; k++) {
        const KdParam *p = one->params[k];
        if (strcmp(p->network, network) != 0) continue;
        int64_t n = kd_type_elements(p->type, 0, 0), from = kd_slab_offset(one, p);
        float *at = all + kd_slab_offset(m, kd_module_param(m, network, p->name));
        for (int s = 0; s < g->n; s++, at += n) {
            if (!back)
                memcpy(at, own[s] + from, (size_t)n * sizeof(float));
            else if (!g->over[s])
                memcpy(own[s] + from, at, (size_t)n * sizeof(float));
        }
    }
}

static void copy_numbers(KdTogether *g, bool back) {
    float *own[KD_MOST_TOGETHER];
    for (int s = 0; s < g->n; s++) own[s] = g->of[s]->params;
    copy_slabs(g, g->all.params, own, back);
    for (int k = 0; k < g->all.nstates; k++) {
        for (int s = 0; s < g->n; s++) own[s] = g->of[s]->states[k];
        copy_slabs(g, g->all.states[k], own, back);
    }
}

static void begin(KdTogether *g) {
    const KdTraining *first = g->of[0];
    copy_numbers(g, false);
    g->all.epoch = first->epoch;
    g->all.step = first->step;
    g->all.done = first->done;
    for (int s = 0; s < g->n; s++) g->loss_sum[s] = g->of[s]->loss_sum;
    for (int s = 0; s < g->n; s++) g->over[s] = kd_training_is_over(g->of[s]);
}

void kd_together_take(KdTogether *g) {
    copy_numbers(g, true);
    for (int s = 0; s < g->n; s++) {
        KdTraining *t = g->of[s];
        if (g->over[s]) continue;
        t->step = g->all.step;
        t->done = g->all.done;
        t->loss_sum = g->loss_sum[s];
        t->seconds += (g->all.seconds - g->seconds) / g->n; /* its share */
        t->images += g->all.images - g->images;
    }
    g->seconds = g->all.seconds;
    g->images = g->all.images;
}

void kd_together_add_losses(KdTogether *g, int32_t samples) {
    for (int s = 0; s < g->n; s++) g->loss_sum[s] += (double)g->loss[s] * (double)samples;
}

void kd_together_next_epoch(KdTogether *g) {
    g->all.epoch++;
    g->all.done = 0;
    g->all.loss_sum = 0;
    for (int s = 0; s < g->n; s++) g->loss_sum[s] = 0;
}

bool kd_together_goes_on(KdTogether *g) {
    int at_work = 0;
    for (int s = 0; s < g->n; s++) {
        g->over[s] = kd_training_is_over(g->of[s]);
        at_work += !g->over[s];
    }
    return 2 * at_work > g->n;
}

/* --- the graph of all ------------------------------------------------------------------------- */

/* Hyperparameters that are not the same in all runs: their names, commas between. */
static const char *settings_that_vary(const KdTogether *g, KdArena *a) {
    const KdModule *m = g->of[0]->c->m;
    const char *list = "";
    for (int k = 0; k < g->of[0]->c->nsettings; k++) {
        bool varies = false;
        for (int s = 1; s < g->n; s++) varies |= g->of[s]->c->hyper[k] != g->of[0]->c->hyper[k];
        if (varies) list = kd_arena_format(a, "%s%s%s", list, *list ? "," : "", m->hypers[k]->name);
    }
    return list;
}

/* Each student's own settings, as the graph reads them. */
static bool bind_settings(KdTogether *g) {
    const KdModule *m = g->c->m, *one = g->of[0]->c->m;
    g->settings = kdrt_alloc((size_t)kd_slab_elements(m, KD_SETTINGS) * sizeof(float));
    if (!g->settings) return false;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (strcmp(p->network, KD_SETTINGS) != 0) continue;
        float *at = g->settings + kd_slab_offset(m, p);
        int which = kd_module_hyper(one, p->name);
        for (int s = 0; s < g->n; s++) at[s] = g->of[s]->c->hyper[which];
    }
    kd_bind(&g->all.bindings, KD_SETTINGS ".params", g->settings);
    return true;
}

/* What the first student was given, of data and teachers, is the same for all. */
static void bind_shared(KdTogether *g) {
    const KdBindings *b = &g->of[0]->bindings;
    for (int k = 0; k < b->n; k++)
        if (!kd_bound(&g->all.bindings, b->entry[k].name))
            kd_bind(&g->all.bindings, b->entry[k].name, b->entry[k].memory);
}

static bool allocate(KdTogether *g, KdArena *a, KdDiag *d) {
    const KdModule *m = g->c->m;
    if (!kd_training_create(&g->all, g->c, g->of[0]->data, d)) return false;
    g->over = KD_NEW_ARRAY(a, bool, g->n);
    g->loss_sum = KD_NEW_ARRAY(a, double, g->n);
    const KdParam *losses = kd_module_param(m, g->c->run->network, KD_STUDENT_LOSSES);
    g->loss = g->all.params + kd_slab_offset(m, losses);
    bind_shared(g);
    if (bind_settings(g)) return true;
    return kd_error(d, g->c->run->loc, "%s: no memory for its settings", g->c->run->name);
}

/* The module of one, as it was before any pass. */
static KdModule *read_module(const KdTraining *t, KdDiag *d) {
    const char *text = t->c->text;
    KdModule *m = kd_parse_module(text, strlen(text), t->c->m->source, d);
    if (!m) kd_bug(d, "%s: its module's text is none", t->c->run->name);
    return m;
}

bool kd_together_create(KdTogether *g, KdTraining *const *of, int n, const KdDriveOptions *o,
                        KdEngine *engine, KdArena *a, KdDiag *d) {
    *g = (KdTogether){ .n = n, .of = KD_COPY_ARRAY(a, of, n) };
    KdRun *run = kd_arena_copy(a, of[0]->c->run, sizeof *run);
    KdModule *m = read_module(of[0], d);
    run->module = g->m = m;
    kd_attr_set_int(m->arena, &m->program, "students", n);
    kd_attr_set_str(m->arena, &m->program, "students.vary", settings_that_vary(g, a));
    bool ok = kd_compile_together(run, o, engine, a, &g->c, d);
    if (ok && g->c) ok = allocate(g, a, d);
    if (ok && g->c)
        begin(g);
    else
        kd_together_destroy(g);
    return ok;
}

void kd_together_destroy(KdTogether *g) {
    if (g->c) kd_training_destroy(&g->all);
    kd_compiled_destroy(g->c);
    kdrt_free(g->settings);
    if (g->m) kd_module_destroy(g->m);
    *g = (KdTogether){ 0 };
}
