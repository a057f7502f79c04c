/*
 * The forms of a graph. Arguments are matched by name: passes drop those that nobody reads, and add
 * others.
 */
#include "tests/fuzz/form.h"

#include <math.h>
#include <string.h>

#include "ir/half.h"
#include "passes/pass.h"

const char *graph_form_text(GraphForm form) {
    static const char *const text[] = { "plain",     "folded",  "f16",     "int8",
                                        "quantized", "trained", "together" };
    return text[form];
}

/* --- weights --------------------------------------------------------------------------------- */

static bool is_weight(const KdModule *m, const KdValue *v) {
    return kd_param_of_value(m, v) && v->type.rank >= 2;
}

/* Of output channel k of so many; powers of two, so that products with them are exact. */
static double scale_of(int64_t k) {
    return ldexp(1, -4 - (int)(k % 3));
}

static double stored_byte(double x, double scale) {
    return fmax(-127, fmin(127, nearbyint(x / scale)));
}

void graph_form_round(GraphCall *c, GraphForm form) {
    const KdFunc *f = kd_module_func(c->m, c->name);
    if (form != GRAPH_HALVES && form != GRAPH_BYTES) return;
    for (int k = 0; k < f->nargs; k++) {
        KdTensor *t = &c->args[k];
        if (!is_weight(c->m, f->args[k])) continue;
        int64_t channels = t->type.dim[0], inner = t->count / channels;
        for (int64_t j = 0; j < t->count; j++) {
            double scale = scale_of(j / inner);
            t->data[j] = form == GRAPH_HALVES ? kd_half_value(kd_half_from(t->data[j]))
                                              : scale * stored_byte(t->data[j], scale);
        }
    }
}

/* --- arguments by name ----------------------------------------------------------------------- */

typedef struct Named {
    int n;
    const char **name;
    KdTensor *value;
} Named;

static Named name_args(const GraphCall *c, int more) {
    const KdFunc *f = kd_module_func(c->m, c->name);
    Named list = { .n = f->nargs };
    list.name = KD_NEW_ARRAY(c->arena, const char *, f->nargs + more);
    list.value = KD_NEW_ARRAY(c->arena, KdTensor, f->nargs + more);
    for (int k = 0; k < f->nargs; k++) {
        list.name[k] = kd_arena_string(c->arena, f->args[k]->name);
        list.value[k] = c->args[k];
    }
    return list;
}

static const KdTensor *named(const Named *list, const char *name) {
    for (int k = 0; k < list->n; k++)
        if (strcmp(list->name[k], name) == 0) return &list->value[k];
    return NULL;
}

/* c->args from the list; what is not in it, from make(user, argument). */
static bool take_args(GraphCall *c, const Named *list,
                      bool (*make)(GraphCall *c, const Named *list, const KdValue *v,
                                   KdTensor *t)) {
    const KdFunc *f = kd_module_func(c->m, c->name);
    c->args = KD_NEW_ARRAY(c->arena, KdTensor, f->nargs + 1);
    for (int k = 0; k < f->nargs; k++) {
        const KdTensor *have = named(list, f->args[k]->name);
        c->args[k] = have ? *have : kd_tensor_create(c->arena, f->args[k]->type, c->n, 1);
        if (have && have->type.dtype == f->args[k]->type.dtype) continue;
        c->args[k].type = f->args[k]->type;
        if (!make || !make(c, list, f->args[k], &c->args[k])) return false;
    }
    return true;
}

/* --- networks that ship ---------------------------------------------------------------------- */

static bool fold(GraphCall *c) {
    const KdPipeline passes = { .passes = "canonicalize{drop_detach=1},fold{of=f},canonicalize" };
    int old = c->m->nparams;
    Named list = name_args(c, 4 * kd_module_func(c->m, c->name)->nvalues);
    if (!kd_run_pipeline(c->m, &passes, c->diag)) return false;
    const KdFunc *f = kd_module_func(c->m, "fold");
    KdTensor *args = KD_NEW_ARRAY(c->arena, KdTensor, f ? f->nargs + 1 : 1);
    for (int k = 0; f && k < f->nargs; k++) args[k] = *named(&list, f->args[k]->name);
    KdInterp in = { .arena = c->arena, .n = c->n };
    if (f && !kd_interpret(&in, f, args, list.value + list.n, c->diag)) return false;
    for (int k = 0; f && k < f->nresults; k++, list.n++)
        list.name[list.n] = kd_arena_format(c->arena, "net.%s", c->m->params[old + k]->name);
    if (f) kd_func_remove(c->m, (KdFunc *)f);
    return take_args(c, &list, NULL);
}

/* A stored weight as it is, or divided by its scales; or these. */
static bool make_stored(GraphCall *c, const Named *list, const KdValue *v, KdTensor *t) {
    size_t length = strlen(v->name);
    (void)c, (void)list;
    if (v->type.dtype == KD_F16) return true;
    if (v->type.dtype == KD_F32) {
        for (int64_t k = 0; k < t->count; k++) t->data[k] = scale_of(k);
        return length > 6 && strcmp(v->name + length - 6, ".scale") == 0;
    }
    KdTensor plain = *t;
    *t = kd_tensor_create(c->arena, t->type, c->n, 1);
    int64_t inner = t->count / t->type.dim[0];
    for (int64_t k = 0; k < t->count; k++) t->data[k] = plain.data[k] / scale_of(k / inner);
    return v->type.dtype == KD_I8;
}

static bool compress(GraphCall *c, const char *type) {
    const KdPipeline passes = { .passes =
                                    kd_arena_format(c->arena, "compress{of=f,type=%s}", type) };
    Named list = name_args(c, 0);
    return kd_run_pipeline(c->m, &passes, c->diag) && take_args(c, &list, make_stored);
}

/* Some weights, and numbers that keep sums of products with them small. */
static bool make_quantized(GraphCall *c, const Named *list, const KdValue *v, KdTensor *t) {
    (void)list;
    bool weights = v->type.dtype == KD_I8;
    *t = kd_tensor_create(c->arena, v->type, c->n, 1);
    for (int64_t k = 0; k < t->count; k++)
        t->data[k] = weights ? (double)(k * 37 % 15 - 7) : ldexp((double)(3 + k % 5), -14);
    return true;
}

/* Each product gets weights of its own, which quantize wants. */
static void part_weights(GraphCall *c, Named *list) {
    KdFunc *f = kd_module_func(c->m, c->name);
    KD_EACH_INSTR(i, f) {
        for (int k = 0; k < i->nargs && i->op == KD_OP_CONTRACT; k++) {
            const KdParam *p = kd_param_of_value(c->m, i->args[k]);
            if (!p) continue;
            const char *name = kd_arena_format(c->m->arena, "%s.%d", p->name, list->n);
            list->value[list->n] = *named(list, i->args[k]->name);
            i->args[k] = kd_func_param(f, kd_module_add_param(c->m, "net", name, p->type));
            list->name[list->n++] = kd_arena_string(c->arena, i->args[k]->name);
        }
    }
}

static bool quantize(GraphCall *c) {
    const KdPipeline passes = { .passes = "quantize{of=f,negative=[1,0,1,1,0]}" };
    Named list = name_args(c, 2 * kd_module_func(c->m, c->name)->nvalues);
    part_weights(c, &list);
    if (!kd_run_pipeline(c->m, &passes, c->diag) || !take_args(c, &list, make_quantized))
        return false;
    graph_form_turn(c, 0);
    return true;
}

int graph_form_turns(GraphForm form) {
    return form == GRAPH_QUANTIZED ? 3 : 1;
}

void graph_form_turn(GraphCall *c, int turn) {
    static const double rates[] = { 15.31, 13.73, 17.97 };
    const KdFunc *f = kd_module_func(c->m, c->name);
    for (int k = 0; k < f->nargs; k++) {
        const char *end = strrchr(f->args[k]->name, '.');
        if (end && strcmp(end, ".input") == 0) c->args[k].data[0] = rates[turn];
    }
}

bool graph_form_keeps_results(GraphForm form) {
    return form != GRAPH_QUANTIZED && form != GRAPH_TRAINED && form != GRAPH_TOGETHER;
}

/* --- a training step ------------------------------------------------------------------------- */

/* Does that element of the slab belong to a parameter? The gaps between them hold zeros. */
static bool holds(const KdModule *m, int64_t element) {
    for (int k = 0; k < m->nparams; k++) {
        int64_t inside = element - kd_slab_offset(m, m->params[k]);
        if (inside >= 0 && inside < kd_type_elements(m->params[k]->type, 1, 1)) return true;
    }
    return false;
}

/* Slabs, and the number of the step. Squares that an optimiser keeps are not near zero, where its
 * steps would jump. */
static bool make_trained(GraphCall *c, const Named *list, const KdValue *v, KdTensor *t) {
    if (strcmp(v->kind ? v->kind : "", KD_ARG_STEP) == 0) t->data[0] = 3;
    for (int64_t k = 0; k < t->count && t->type.rank; k++)
        t->data[k] = holds(c->m, k) ? 0.5 + (double)(k % 7) / 8 : 0;
    if (strcmp(v->name, "params") != 0) return true;
    memset(t->data, 0, (size_t)t->count * sizeof *t->data);
    for (int k = 0; k < c->m->nparams; k++) {
        const KdParam *p = c->m->params[k];
        const KdTensor *from = named(list, kd_arena_format(c->arena, "net.%s", p->name));
        if (!from) return false;
        memcpy(t->data + kd_slab_offset(c->m, p), from->data,
               (size_t)from->count * sizeof *from->data);
    }
    return true;
}

static void choose_program(GraphCall *c, Graph *g) {
    static const char *const optimizers[] = { "sgd",   "momentum", "nesterov", "adam",
                                              "adamw", "adadelta", "rmsprop" };
    static const char *const checks[] = { "off", "loss", "all" };
    KdAttr **program = &c->m->program;
    kd_attr_set_str(c->m->arena, program, "trained", "net");
    kd_attr_set_str(c->m->arena, program, "optimizer", optimizers[graph_pick(g, 7)]);
    kd_attr_set_str(c->m->arena, program, "check", checks[graph_pick(g, 3)]);
    kd_attr_set_int(c->m->arena, program, "accumulate", 1 + graph_pick(g, 2));
    if (graph_pick(g, 2)) kd_module_add_hyper(c->m, "loss_scale", 64, (KdLoc){ 0 });
    if (graph_pick(g, 2)) kd_module_add_hyper(c->m, "clip_norm", 0.1, (KdLoc){ 0 });
    if (graph_pick(g, 2)) kd_module_add_hyper(c->m, "clip_value", 0.02, (KdLoc){ 0 });
    if (graph_pick(g, 2)) kd_module_add_hyper(c->m, "weight_decay", 0.01, (KdLoc){ 0 });
}

/* A value of the batch for noise to be added to; NULL: there is none, or none is wanted. */
static const char *choose_site(Graph *g) {
    if (graph_pick(g, 2)) return NULL;
    for (int k = g->n - 1; k >= g->nargs; k--) {
        KdValue *v = g->value[k];
        if (v->type.rank != 2 || v->type.dim[0] != KD_BATCH || !v->def) continue;
        v->def->site = "spot";
        return "inject-noise{site=spot,kind=additive,scope=class,draw=sample,sigma=0.1,alpha=0.5},";
    }
    return NULL;
}

/* @f is @objective from here on. */
static void make_objective(GraphCall *c, Graph *g) {
    KdFunc *f = kd_module_func(c->m, c->name);
    KdValue *loss = g->gradients ? f->results[0] : graph_loss(g, f->results);
    kd_func_set_results(f, 1, &loss);
    f->name = "objective";
    c->name = f->name;
}

/* @step is what is called. */
static bool train(GraphCall *c, Graph *g) {
    make_objective(c, g);
    const char *noise = choose_site(g);
    c->noisy = noise != NULL;
    choose_program(c, g);
    Named list = name_args(c, 0);
    const KdPipeline passes = {
        .passes = kd_arena_format(c->arena, "%shoist-teacher,autodiff,optimize", noise ? noise : "")
    };
    if (!kd_run_pipeline(c->m, &passes, c->diag)) return false;
    c->name = "step";
    return take_args(c, &list, make_trained);
}

/* --- students in one graph ------------------------------------------------------------------- */

enum { STUDENTS = 3 };

static bool interpret(const GraphCall *c, KdTensor results[3]) {
    KdInterp in = { .arena = c->arena, .n = c->n, .seed = 99 };
    return kd_interpret(&in, kd_module_func(c->m, c->name), c->args, results, c->diag);
}

/* Parameters of all students, of which the first has those of the graph. */
static void widen_params(GraphCall *c, Named *list) {
    for (int k = 0; k < c->m->nparams; k++) {
        const KdParam *p = c->m->params[k];
        const char *name = kd_arena_format(c->arena, "%s.%s", p->network, p->name);
        KdTensor *t = (KdTensor *)named(list, name), one;
        if (!t) continue;
        one = *t;
        *t = kd_tensor_create(c->arena, p->type, c->n, 1);
        for (int64_t j = 0; j < t->count; j++)
            t->data[j] = one.data[j % one.count] * (1 - (double)(j / one.count) / 4);
    }
}

static bool is_same(double x, double y) {
    return fabs(x - y) <= 1e-9 * (1 + fabs(y)) || (isnan(x) && isnan(y));
}

/* The first student's loss and gradients are those of the graph. */
static bool check_first(const GraphCall *c, const KdTensor *all, const KdTensor *one,
                        const int64_t *offset) {
    bool same = is_same(all[2].data[0], one[0].data[0]);
    for (int k = 0; same && k < c->m->nparams; k++) {
        const KdParam *p = c->m->params[k];
        if (p->running || strcmp(p->network, "net") != 0) continue;
        int64_t count = kd_type_elements(p->type, 1, 1) / STUDENTS, at = kd_slab_offset(c->m, p);
        for (int64_t j = 0; same && j < count; j++)
            same = is_same(all[1].data[at + j], one[1].data[offset[k] + j]);
    }
    return same || kd_error(c->diag, (KdLoc){ 0 }, "the first of the students is not as alone");
}

/* @gradients is what is called: of students, or of one, where there is no such form. */
static bool join(GraphCall *c, Graph *g) {
    const KdPipeline alone = { .passes = "autodiff" };
    const KdPipeline all = { .passes = kd_arena_format(c->arena, "batch-students{students=%d}",
                                                       STUDENTS) };
    KdTensor one[3], found[3];
    make_objective(c, g);
    kd_attr_set_str(c->m->arena, &c->m->program, "trained", "net");
    Named list = name_args(c, 0);
    if (!kd_run_pipeline(c->m, &alone, c->diag)) return false;
    c->name = "gradients";
    if (!take_args(c, &list, NULL) || !interpret(c, one)) return false;
    int64_t *offset = KD_NEW_ARRAY(c->arena, int64_t, c->m->nparams + 1);
    for (int k = 0; k < c->m->nparams; k++) offset[k] = kd_slab_offset(c->m, c->m->params[k]);
    if (!kd_run_pipeline(c->m, &all, c->diag)) return false;
    if (kd_module_func(c->m, c->name)->nresults < 3) return true;
    widen_params(c, &list);
    return take_args(c, &list, NULL) && interpret(c, found) && check_first(c, found, one, offset);
}

bool graph_form_apply(GraphCall *c, Graph *g, GraphForm form) {
    switch (form) {
    case GRAPH_FOLDED: return fold(c);
    case GRAPH_HALVES: return compress(c, "f16");
    case GRAPH_BYTES: return compress(c, "int8");
    case GRAPH_QUANTIZED: return quantize(c);
    case GRAPH_TRAINED: return train(c, g);
    case GRAPH_TOGETHER: return join(c, g);
    case GRAPH_PLAIN:
    case GRAPH_FORMS: break;
    }
    return true;
}
