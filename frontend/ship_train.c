/*
 * What trains on a device: from a run's planned functions to the tables that libkdrt reads. Which
 * memory each argument is, the driver's bind.c says for the JIT; here the same is written down as
 * places in the state and in the teachers' weights.
 *
 *   state     KdrtState | parameters and running statistics | a slab for each of the optimiser's
 *   teachers  a slab for each, in the run's order
 */
#include "frontend/ship_train.h"

#include "frontend/driver/data.h"
#include "frontend/driver/weights.h"
#include "frontend/host.h"
#include "runtime/host/hash.h"

#include <stdlib.h>
#include <string.h>

static const KdLoc nowhere = { NULL, 0 };

static int64_t slab_bytes(const KdModule *m, const char *network) {
    int64_t bytes = kd_slab_elements(m, network) * (int64_t)sizeof(float) + KDRT_SLACK;
    return (bytes + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
}

/* Where the k-th teacher's slab begins; behind the last one, what all take. */
static int64_t teacher_offset(const KdRun *run, int k) {
    int64_t at = 0;
    while (k-- > 0) at += slab_bytes(run->module, run->teachers[k]->network);
    return at;
}

/* --- before the passes ----------------------------------------------------------------------- */

bool kd_entries_train(unsigned entries) {
    return entries & (KD_ENTRY_STEP | KD_ENTRY_EPOCH | KD_ENTRY_EVALUATE);
}

static bool learns(const KdTrainer *t) {
    return t->entries & (KD_ENTRY_STEP | KD_ENTRY_EPOCH);
}

static bool check(const KdTrainer *t, const KdRun *run, const KdOptions *o, KdDiag *d) {
    if (o->weights_type && strcmp(o->weights_type, "f32") != 0)
        return kd_error(d, nowhere, "--weights-type=%s is for predict alone: f32 is what trains",
                        o->weights_type);
    if (o->nteachers && !run->nteachers)
        return kd_error(d, run->loc, "--teacher: run '%s' has no teacher", run->name);
    if (o->nteachers && o->nteachers != run->nteachers)
        return kd_error(d, run->loc, "--teacher: run '%s' has %d teachers, found %d weights",
                        run->name, run->nteachers, o->nteachers);
    if (learns(t) && run->data->omit)
        kd_warning(d, run->loc, "data:without leaves rows out: what trains takes all that it gets");
    return !learns(t) || kd_data_is_counted(run->module, run->loc, d);
}

static bool is_block(const char *weights) {
    return strcmp(weights, "weights") == 0;
}

/* The slabs of all teachers, from their files. */
static bool load_teachers(KdTrainer *t, const KdRun *run, const KdOptions *o, KdArena *a,
                          KdDiag *d) {
    int blocks = 0;
    for (int k = 0; k < o->nteachers; k++) blocks += is_block(o->teachers[k]);
    if (blocks == o->nteachers) return true;
    if (blocks) return kd_error(d, nowhere, "--teacher: either all teachers have files, or none");
    char *all = kd_arena_alloc(a, (size_t)teacher_offset(run, run->nteachers));
    memset(all, 0, (size_t)teacher_offset(run, run->nteachers));
    for (int k = 0; k < run->nteachers; k++) {
        float *slab = (float *)(void *)(all + teacher_offset(run, k));
        if (!kd_weights_load(run->module, run->teachers[k]->network, slab, o->teachers[k], d))
            return false;
    }
    t->teacher_weights = all;
    return true;
}

KdTrainer *kd_trainer_create(const KdRun *run, const KdOptions *o, const char *symbol, KdArena *a,
                             KdDiag *d) {
    KdTrainer *t = KD_NEW(a, KdTrainer);
    t->symbol = symbol;
    t->entries = o->entries;
    if (!check(t, run, o, d) || !load_teachers(t, run, o, a, d)) return NULL;
    if (!o->weights) return t;
    float *slab = KD_NEW_ARRAY(a, float, kd_slab_elements(run->module, run->network));
    if (!kd_weights_load(run->module, run->network, slab, o->weights, d)) return NULL;
    t->weights = slab;
    return t;
}

bool kd_trainer_needs(const KdTrainer *t, const char *function) {
    return (strcmp(function, "evaluate") == 0 && (t->entries & KD_ENTRY_EVALUATE)) ||
           (strcmp(function, "objective") == 0 && learns(t));
}

/* --- arguments ------------------------------------------------------------------------------- */

typedef struct Plan {
    KdTrainer *t;
    const KdRun *run;
    KdArena *arena;
    KdDiag *d;
    int64_t state;     /* bytes laid out so far */
    const char *names; /* of them, for the check */
} Plan;

static bool is_kind(const KdValue *v, const char *kind) {
    return v->kind && strcmp(v->kind, kind) == 0;
}

static bool is_logits(const KdValue *v) {
    size_t n = strlen(v->name);
    return is_kind(v, KD_ARG_DATA) && n > 7 && strcmp(v->name + n - 7, ".logits") == 0;
}

/* A whole slab: the parameters, the running statistics behind them, or one of the optimiser's. */
static int64_t slab_offset(Plan *p, const KdValue *v) {
    const KdModule *m = p->run->module;
    int64_t weights = p->t->layout.weights;
    if (strcmp(v->name, "params") == 0) return weights;
    if (strcmp(v->name, "running") == 0)
        return weights + kd_slab_trained(m, p->run->network) * (int64_t)sizeof(float);
    int64_t at = p->state;
    p->state += slab_bytes(m, p->run->network);
    p->names = kd_arena_format(p->arena, "%s %s", p->names, v->name);
    return at;
}

static KdrtBinding bind_param(const Plan *p, const KdValue *v) {
    const KdModule *m = p->run->module;
    const KdParam *param = kd_param_of_value(m, v);
    int64_t at = kd_slab_offset(m, param) * (int64_t)sizeof(float);
    if (strcmp(param->network, p->run->network) == 0)
        return (KdrtBinding){ .kind = KDRT_ARG_STATE, .offset = p->t->layout.weights + at };
    int k = 0;
    while (strcmp(p->run->teachers[k]->network, param->network) != 0) k++;
    return (KdrtBinding){ .kind = KDRT_ARG_TEACHER, .offset = teacher_offset(p->run, k) + at };
}

/* Images and labels are arrays 0 and 1, whether they are read or not. */
static KdrtBinding bind_data(Plan *p, const KdValue *v) {
    KdTrainer *t = p->t;
    int k = strcmp(v->name, "images") == 0 ? 0 : strcmp(v->name, "labels") == 0 ? 1 : 2;
    while (k > 1 && k < t->narrays && strcmp(t->array[k]->name, v->name) != 0) k++;
    if (k == KD_TRAINER_ARRAYS) kd_bug(p->d, "too many data arrays");
    if (k >= t->narrays) t->narrays = k + 1;
    t->array[k] = v;
    if (is_logits(v)) t->layout.logits = k;
    return (KdrtBinding){ .kind = KDRT_ARG_DATA, .number = k };
}

static KdrtBinding bind_argument(Plan *p, const KdValue *v) {
    if (is_kind(v, KD_ARG_INDEX)) return (KdrtBinding){ .kind = KDRT_ARG_INDEX };
    if (is_kind(v, KD_ARG_EPOCH)) return (KdrtBinding){ .kind = KDRT_ARG_EPOCH };
    if (is_kind(v, KD_ARG_STEP)) return (KdrtBinding){ .kind = KDRT_ARG_STEP };
    if (is_kind(v, KD_ARG_SLAB))
        return (KdrtBinding){ .kind = KDRT_ARG_STATE, .offset = slab_offset(p, v) };
    if (is_kind(v, KD_ARG_PARAM)) return bind_param(p, v);
    if (is_kind(v, KD_ARG_DATA)) return bind_data(p, v);
    kd_bug(p->d, "@%s: %%%s is not bound to anything", v->func->name, v->name);
}

static bool bind_function(Plan *p, const KdFunc *f, KdrtSignature *s) {
    KdrtLayout *l = &p->t->layout;
    if (!f) return true;
    if (!f->planned)
        return kd_error(p->d, nowhere, "@%s is not planned: --passes must end with plan-memory",
                        f->name);
    *s = (KdrtSignature){ p->t->nbindings, f->nargs, f->nresults, 0 };
    for (int k = 0; k < f->nargs; k++)
        p->t->bindings[p->t->nbindings++] = bind_argument(p, f->args[k]);
    if (f->arena_bytes > l->arena_bytes) l->arena_bytes = f->arena_bytes;
    return true;
}

/* --- parameters ------------------------------------------------------------------------------ */

/* Puts a string into the text; its offset. */
static int32_t add_text(KdTrainer *t, const char *s, KdArena *a) {
    int n = (int)strlen(s) + 1, at = t->text_bytes;
    char *grown = kd_arena_alloc(a, (size_t)at + (size_t)n);
    if (at) memcpy(grown, t->text, (size_t)at);
    memcpy(grown + at, s, (size_t)n);
    t->text = grown;
    t->text_bytes += n;
    return at;
}

/* How the parameter begins, and where it lies: its slab is at `base`. */
static void describe(Plan *p, KdrtParameter *to, const KdParam *param, int64_t base) {
    to->offset = base + kd_slab_offset(p->run->module, param) * (int64_t)sizeof(float);
    to->elements = kd_type_elements(param->type, 0, 0);
    to->fan_in = param->fan_in;
    to->fan_out = param->fan_out;
    to->value = param->value;
    to->kind = add_text(p->t, param->init, p->arena);
}

/* A loss's own parameters, which are in no file. */
static void add_auxiliary(Plan *p) {
    const KdModule *m = p->run->module;
    int32_t text = add_text(p->t, p->run->network, p->arena);
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *param = m->params[k];
        if (!param->auxiliary || strcmp(param->network, p->run->network) != 0) continue;
        KdrtParameter *to = &p->t->parameters[p->t->nparameters++];
        *to = (KdrtParameter){ .network = text, .name = add_text(p->t, param->name, p->arena) };
        describe(p, to, param, p->t->layout.weights);
        p->t->layout.nauxiliary++;
    }
}

/* The network's parameters, the first at `base`, as a file has them; where its data end. */
static int64_t add_parameters(Plan *p, const char *network, int64_t base, const KdrtTensors *file) {
    const KdModule *m = p->run->module;
    int32_t text = add_text(p->t, network, p->arena);
    int64_t saved = 0;
    for (int k = 0; k < file->ntensors; k++) {
        const KdrtTensor *x = &file->tensors[k];
        const KdParam *param = kd_module_param(m, network, x->name);
        KdrtParameter *to = &p->t->parameters[p->t->nparameters++];
        *to = (KdrtParameter){ .saved = saved, .network = text, .rank = x->rank };
        to->name = add_text(p->t, x->name, p->arena);
        saved += (int64_t)x->bytes;
        if (!param) continue; /* a counter */
        describe(p, to, param, base);
        memcpy(to->dim, x->dim, sizeof to->dim);
    }
    return saved;
}

static bool list_parameters(Plan *p) {
    KdTrainer *t = p->t;
    const KdRun *run = p->run;
    const int64_t none = 0;
    float *slab = KD_NEW_ARRAY(p->arena, float, kd_slab_elements(run->module, run->network));
    KdrtTensors file = kd_weights_tensors(run->module, run->network, slab, &none, p->arena);
    KdrtPair pairs[] = { { "kdc", kd_version() },
                         { "network", run->network },
                         { "run", run->name } };
    file.metadata = pairs;
    file.nmetadata = sizeof pairs / sizeof *pairs;
    size_t size;
    char *header = kdrt_tensors_header(&file, &size);
    if (!header) return kd_error(p->d, run->loc, "no memory");
    t->header = memcpy(kd_arena_alloc(p->arena, size), header, size);
    free(header);
    t->parameters = KD_NEW_ARRAY(p->arena, KdrtParameter, 2 * run->module->nparams + 1);
    t->layout.saved_header = (int64_t)size;
    t->layout.saved_bytes =
        (int64_t)size + add_parameters(p, run->network, t->layout.weights, &file);
    t->layout.nparameters = t->nparameters;
    for (int k = 0; k < run->nteachers && t->layout.teacher_bytes; k++) {
        const char *network = run->teachers[k]->network;
        slab = KD_NEW_ARRAY(p->arena, float, kd_slab_elements(run->module, network));
        file = kd_weights_tensors(run->module, network, slab, &none, p->arena);
        add_parameters(p, network, teacher_offset(run, k), &file);
    }
    t->layout.nteachers = t->nparameters - t->layout.nparameters;
    add_auxiliary(p);
    return true;
}

/* --- behind the passes ----------------------------------------------------------------------- */

static bool find_functions(KdTrainer *t, const KdRun *run, const KdOptions *o, KdDiag *d) {
    const KdModule *m = run->module;
    bool evaluates = t->entries & KD_ENTRY_EVALUATE;
    t->evaluate = evaluates ? kd_module_func(m, "evaluate") : NULL;
    t->step = learns(t) ? kd_module_func(m, "step") : NULL;
    t->teacher = o->nteachers && t->step ? kd_module_func(m, "teacher_logits") : NULL;
    if ((evaluates && !t->evaluate) || (learns(t) && !t->step))
        return kd_error(d, run->loc, "%s: the passes leave no @step and @evaluate to compile",
                        run->name);
    if (t->teacher && t->teacher->nresults != 1)
        return kd_error(d, run->loc, "%s: several hoisted teachers", run->name);
    return true;
}

/* Two states are exchangeable if this is equal. */
static uint64_t state_check(const Plan *p) {
    const char *text = kd_arena_format(p->arena, "%s%s", p->run->network, p->names);
    const KdrtLayout *l = &p->t->layout;
    for (int k = 0; k < p->t->nparameters; k++) {
        const KdrtParameter *x = &p->t->parameters[k];
        if (k >= l->nparameters && k < l->nparameters + l->nteachers) continue;
        text = kd_arena_format(p->arena, "%s %s %lld %lld", text, p->t->text + x->name,
                               (long long)x->offset, (long long)x->elements);
    }
    return kdrt_hash(text, strlen(text), 1);
}

bool kd_trainer_plan(KdTrainer *t, const KdRun *run, const KdOptions *o, KdArena *a, KdDiag *d) {
    KdrtLayout *l = &t->layout;
    const KdModule *m = run->module;
    if (!find_functions(t, run, o, d)) return false;
    Plan p = { .t = t, .run = run, .arena = a, .d = d, .names = "" };
    t->narrays = 2;
    l->version = KDRT_NETWORK_VERSION;
    l->weights = sizeof(KdrtState);
    l->weight_bytes = kd_slab_elements(m, run->network) * (int64_t)sizeof(float);
    p.state = l->weights + slab_bytes(m, run->network);
    l->batch = (int32_t)run->batch;
    l->classes = run->data->classes;
    l->wide_labels = run->data->classes > 256;
    l->resample = kd_attr_int(m->program, "resample", 0) != 0;
    l->logits = -1;
    const KdFunc *all[] = { t->step, t->evaluate, t->teacher };
    int nargs = 0;
    for (int k = 0; k < 3; k++) nargs += all[k] ? all[k]->nargs : 0;
    t->bindings = KD_NEW_ARRAY(a, KdrtBinding, nargs + 1);
    if (!bind_function(&p, t->step, &l->step) || !bind_function(&p, t->evaluate, &l->evaluate) ||
        !bind_function(&p, t->teacher, &l->teacher))
        return false;
    if (l->logits >= 0)
        l->teacher_width = (int32_t)kd_type_elements(t->array[l->logits]->type, 1, 1);
    l->state_bytes = p.state;
    for (int k = 0; k < t->nbindings; k++)
        if (t->bindings[k].kind == KDRT_ARG_TEACHER)
            l->teacher_bytes = teacher_offset(run, run->nteachers);
    if (!list_parameters(&p)) return false;
    l->check = state_check(&p);
    float *hyper = KD_NEW_ARRAY(a, float, m->nhypers + 1);
    for (int k = 0; k < m->nhypers; k++) hyper[k] = (float)m->hypers[k]->value;
    t->hyper = hyper;
    return true;
}

bool kd_trainer_check_program(const KdTrainer *t, const KdRun *run, KdDiag *d) {
    unsigned wanted = KD_ENTRY_EPOCH | KD_ENTRY_EVALUATE;
    const KdrtLayout *l = &t->layout;
    if ((t->entries & wanted) != wanted)
        return kd_error(d, nowhere, "--emit=exe trains with --entry=epoch,evaluate");
    if ((l->teacher_bytes || l->logits >= 0) && !t->teacher_weights)
        return kd_error(d, run->loc,
                        "--emit=exe wants --teacher FILE.safetensors: the program has no other "
                        "teacher");
    if (run->data->input.dtype != KD_U8 || l->wide_labels)
        return kd_error(d, run->data->loc,
                        "--emit=exe trains on plain images of bytes, and labels of a byte; use "
                        "--emit=lib");
    return true;
}

int kd_trainer_functions(const KdTrainer *t, KdEntry entry[3]) {
    int n = 0;
    if (t->step) entry[n++] = (KdEntry){ .f = t->step, .epoch = true };
    if (t->evaluate) entry[n++] = (KdEntry){ .f = t->evaluate };
    if (t->teacher) entry[n++] = (KdEntry){ .f = t->teacher };
    return n;
}
