/*
 * From run descriptions to modules. The kd library hands over an array of plain tables, teachers
 * before their students; each becomes a KdRun with a module of its own:
 *
 *   @<network>   every network of the run in inference form: for tables, predict and dumps
 *   @objective   a batch's rows gathered and scaled, the teachers in inference form, the trained
 *                network in training form, the loss averaged over the rows of the batch, and the
 *                new running statistics
 *   @evaluate    gather, scale, the trained network in inference form
 *   program      what passes and driver read: optimiser, schedule, noise, batch, seed …
 */
#include "frontend/host.h"

#include <string.h>

typedef struct Lowering {
    lua_State *L;
    KdHost *h;
    KdRun *run;
    KdModule *m;
    KdNetwork *network; /* trained */
    int table;          /* stack index of the description */
} Lowering;

/* What of @objective stands before the loss. */
typedef struct Objective {
    KdValue *x, *y; /* the batch, augmented, and its labels */
    KdValue *index, *epoch, *step;
    KdTrace *student, *teacher[KD_MAX_TEACHERS];
} Objective;

/* --- functions -----------------------------------------------------------------------------------
 */

static KdTrace *new_trace(Lowering *w, KdFunc *f, KdNetwork *n, const char *role) {
    KdTrace *t = KD_NEW(w->h->arena, KdTrace);
    t->b = kd_builder(f, w->h->d);
    t->b.role = role;
    t->prefix = n ? n->name : NULL;
    t->loc = w->run->loc;
    return t;
}

static const char *role_of(const Lowering *w, const KdNetwork *n) {
    return n == w->network ? "student" : "teacher";
}

/* @<network>, unless it is there already. */
static void lower_inference(Lowering *w, KdNetwork *n) {
    if (kd_module_func(w->m, n->name)) return;
    KdFunc *f = kd_func_create(w->m, n->name, w->run->batch);
    f->loc = n->loc;
    KdTrace *t = new_trace(w, f, n, role_of(w, n));
    t->prefix = NULL;
    KdValue *x = kd_func_add_arg(f, "x", n->input, KD_ARG_INPUT);
    x->loc = n->loc;
    KdValue *y = kd_network_trace(w->L, t, n, x);
    kd_func_set_results(f, 1, &y);
}

/* (x - mean) * rate by arguments that hold what the training samples gave. */
static KdValue *lower_normalize(Lowering *w, KdFunc *f, KdValue *x) {
    static const char *const names[2] = { "mean", "rate" };
    KdBuilder b = kd_builder(f, w->h->d);
    b.loc = w->run->loc;
    for (int k = 0; k < 2 && x; k++) {
        KdType t = kd_type(KD_F32, x->type.rank - 1, x->type.dim + 1);
        KdValue *v = kd_func_add_arg(f, names[k], t, KD_ARG_DATA);
        v->loc = w->run->data->loc;
        KdValue *wide = kd_tensor_broadcast(&b, v, x->type);
        b.name = "x";
        x = wide ? kd_binary(&b, k ? KD_OP_MUL : KD_OP_SUB, x, wide) : NULL;
    }
    return x;
}

/* Arguments %images and %index, and the batch they name: gathered, as f32, scaled. */
static KdValue *lower_batch(Lowering *w, KdFunc *f, KdValue **index) {
    const KdDataSpec *s = w->run->data;
    KdType stored = s->input;
    stored.dim[0] = KD_ROWS;
    int64_t batch = KD_BATCH;
    KdBuilder b = kd_builder(f, w->h->d);
    b.loc = w->run->loc;
    KdValue *images = kd_func_add_arg(f, "images", stored, KD_ARG_DATA);
    *index = kd_func_add_arg(f, "index", kd_type(KD_I32, 1, &batch), KD_ARG_INDEX);
    images->loc = s->loc;
    (*index)->loc = w->run->loc;
    b.name = "rows";
    KdValue *x = kd_gather(&b, images, *index);
    b.name = "x";
    if (s->input.dtype != KD_F32) x = kd_cast(&b, x, KD_F32);
    if (s->scale != 1 && x) {
        KdValue *scale = kd_constant_like(&b, x, s->scale);
        b.name = "x";
        x = kd_binary(&b, KD_OP_MUL, x, scale);
    }
    return s->normalize && x ? lower_normalize(w, f, x) : x;
}

/* %labels gathered by the same index, as i32[B]. */
static KdValue *lower_labels(Lowering *w, KdFunc *f, KdValue *index) {
    int64_t rows = KD_ROWS;
    KdDtype dtype = w->run->data->classes > 256 ? KD_I32 : KD_U8;
    KdValue *labels = kd_func_add_arg(f, "labels", kd_type(dtype, 1, &rows), KD_ARG_DATA);
    labels->loc = w->run->data->loc;
    KdBuilder b = kd_builder(f, w->h->d);
    b.loc = w->run->loc;
    b.name = "y";
    KdValue *y = kd_gather(&b, labels, index);
    b.name = "y";
    return dtype == KD_I32 ? y : kd_cast(&b, y, KD_I32);
}

/* Marks v as the logits of `who`; noise is put there. */
static KdValue *mark_site(Lowering *w, KdValue *v, const char *who, const char *role) {
    if (!v->def) kd_host_fail_at(w->L, w->run->loc, "the %s's logits are its input", who);
    if (v->def->site) { /* a site of the script's own stays: the logits are a copy */
        KdBuilder b = kd_builder(v->func, w->h->d);
        b.loc = v->loc;
        b.role = role;
        v = kd_reshape(&b, v, v->type.rank, v->type.dim);
    }
    if (!v) kd_host_unwind(w->L);
    v->def->site = kd_arena_format(w->m->arena, "%s.logits", who);
    return v;
}

/* The mean over the teachers. */
static KdValue *mean_logits(Lowering *w, KdFunc *f, KdValue *const *z) {
    KdTrace *t = new_trace(w, f, NULL, "teacher");
    t->b.loc = w->run->loc;
    KdValue *sum = z[0];
    for (int k = 1; k < w->run->nteachers && sum; k++) sum = kd_binary(&t->b, KD_OP_ADD, sum, z[k]);
    if (!sum) kd_host_unwind(w->L);
    if (w->run->nteachers == 1) return sum;
    KdValue *share = kd_constant_like(&t->b, sum, 1.0 / w->run->nteachers);
    t->b.name = "teachers.mean";
    return kd_binary(&t->b, KD_OP_MUL, sum, share);
}

/* Calls the run's function `augment`, if it has one, on the batch. */
static KdValue *augmented(Lowering *w, KdFunc *f, KdValue *x, KdValue *index, KdValue *epoch) {
    lua_State *L = w->L;
    if (lua_getfield(L, w->table, "augment") != LUA_TNIL) {
        KdTrace *t = w->h->trace = new_trace(w, f, NULL, NULL);
        t->index = index;
        t->epoch = epoch;
        kd_tensor_push(L, x);
        lua_call(L, 1, 1);
        x = kd_tensor_check(L, -1, "augment");
        w->h->trace = NULL;
        if (x->def) kd_value_rename(x, "augmented");
    }
    lua_pop(L, 1);
    return x;
}

/* What the run's function `combine`, on top of the stack, makes of a list of all logits. */
static KdValue *combined_logits(Lowering *w, KdFunc *f, KdValue *const *z, const Objective *o) {
    lua_State *L = w->L;
    KdTrace *t = w->h->trace = new_trace(w, f, NULL, "teacher");
    t->epoch = o->epoch;
    t->step = o->step;
    lua_createtable(L, w->run->nteachers, 0);
    for (int k = 0; k < w->run->nteachers; k++) {
        kd_tensor_push(L, z[k]);
        lua_rawseti(L, -2, k + 1);
    }
    lua_call(L, 1, 1);
    if (!kd_tensor_is(L, -1))
        kd_host_fail_at(L, w->run->loc, "'combine' must return a tensor, not a %s",
                        luaL_typename(L, -1));
    KdValue *v = kd_tensor_check(L, -1, "combine");
    char have[KD_TYPE_TEXT], want[KD_TYPE_TEXT];
    if (!kd_type_equal(v->type, z[0]->type))
        kd_host_fail_at(L, w->run->loc, "'combine' must return %s like each teacher, not %s",
                        kd_type_text(z[0]->type, want), kd_type_text(v->type, have));
    w->h->trace = NULL;
    return v;
}

/* The logits that teach: of the one teacher, or what is made of several. NULL without teachers.
 * With `teacher_dropout`, teachers are traced as when they train, by the student's index. */
static KdValue *lower_teachers(Lowering *w, KdFunc *f, Objective *o) {
    KdValue *z[KD_MAX_TEACHERS] = { 0 };
    int n = w->run->nteachers;
    if (n <= 0) return NULL;
    lua_getfield(w->L, w->table, "teacher_dropout");
    bool training = lua_toboolean(w->L, -1);
    lua_pop(w->L, 1);
    for (int k = 0; k < n; k++) {
        KdNetwork *network =
            (KdNetwork *)kd_script_network(&w->h->script, w->run->teachers[k]->network);
        KdTrace *t = new_trace(w, f, network, "teacher");
        t->training = training;
        t->index = o->index;
        t->epoch = o->epoch;
        z[k] = kd_network_trace(w->L, t, network, o->x);
        o->teacher[k] = t;
    }
    bool scripted = lua_getfield(w->L, w->table, "combine") != LUA_TNIL;
    KdValue *taught = scripted ? combined_logits(w, f, z, o) : mean_logits(w, f, z);
    lua_pop(w->L, 1);
    return mark_site(w, taught, "teacher", "teacher");
}

/* The student's input, x; a copy that noise can reach where the run wants it there. */
static KdValue *student_input(Lowering *w, KdFunc *f, KdValue *x) {
    if (strcmp(kd_attr_str(w->m->program, "noise.site", ""), "student.input") != 0) return x;
    KdBuilder b = kd_builder(f, w->h->d);
    b.loc = w->run->loc;
    b.role = "student";
    b.name = "student.input";
    KdValue *copy = kd_reshape(&b, x, x->type.rank, x->type.dim);
    if (!copy) kd_host_unwind(w->L);
    copy->def->site = "student.input";
    return copy;
}

/* Pushes a table of what a network's function named by kd.site. */
static void push_sites(lua_State *L, const KdTrace *t) {
    lua_createtable(L, 0, t->sites.n);
    for (int k = 0; k < t->sites.n; k++) {
        KdValue *v = t->sites.item[k];
        kd_tensor_push(L, v);
        lua_setfield(L, -2, v->def->site);
    }
}

/* Pushes { input, epoch, student, teachers }: the batch as the networks see it, the epoch as i32,
 * and what the networks named: lua/kd/places.lua makes of it what losses see. */
static void push_places(Lowering *w, const Objective *o) {
    lua_State *L = w->L;
    lua_createtable(L, 0, 4);
    kd_tensor_push(L, o->x);
    lua_setfield(L, -2, "input");
    kd_tensor_push(L, o->epoch);
    lua_setfield(L, -2, "epoch");
    push_sites(L, o->student);
    lua_setfield(L, -2, "student");
    lua_createtable(L, w->run->nteachers, 0);
    for (int k = 0; k < w->run->nteachers; k++) {
        push_sites(L, o->teacher[k]);
        lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "teachers");
}

/* Calls the loss function on (s, t, y, places); a loss per sample is averaged over the batch. */
static KdValue *lower_loss(Lowering *w, KdFunc *f, KdValue *s, KdValue *teach, Objective *o) {
    lua_State *L = w->L;
    KdTrace *t = new_trace(w, f, NULL, "loss");
    t->auxiliary = w->network->name;
    t->training = true; /* its layers drop values as the student's do */
    t->index = o->index;
    t->epoch = o->epoch;
    w->h->trace = t;
    lua_getfield(L, w->table, "loss");
    kd_tensor_push(L, s);
    if (teach)
        kd_tensor_push(L, teach);
    else
        lua_pushnil(L);
    kd_tensor_push(L, o->y);
    push_places(w, o);
    lua_call(L, 4, 1);
    if (!kd_tensor_is(L, -1))
        kd_host_fail(L, "the loss must return a tensor, not a %s", luaL_typename(L, -1));
    KdValue *v = kd_tensor_check(L, -1, "loss");
    lua_pop(L, 1);
    bool rows = v->type.rank == 1 && v->type.dim[0] == KD_BATCH;
    if (v->type.dtype != KD_F32 || !(v->type.rank == 0 || rows)) {
        char text[KD_TYPE_TEXT];
        kd_error(w->h->d, w->run->loc,
                 "the loss must be a scalar, or one number per sample, f32[B]; it is %s",
                 kd_type_text(v->type, text));
        kd_note(w->h->d, v->loc, "made here");
        kd_host_unwind(L);
    }
    KdBuilder *b = kd_trace_builder(L, "loss");
    int batch_axis = 0;
    if (rows)
        v = kd_binary(b, KD_OP_DIV, kd_reduce(b, KD_OP_REDUCE_SUM, v, 1, &batch_axis), kd_rows(b));
    w->h->trace = NULL;
    if (!v) kd_host_unwind(L);
    if (v->def) kd_value_rename(v, "loss");
    return v;
}

static void lower_objective(Lowering *w) {
    KdFunc *f = kd_func_create(w->m, "objective", w->run->batch);
    f->loc = w->run->loc;
    Objective *o = KD_NEW(w->h->arena, Objective);
    o->x = lower_batch(w, f, &o->index);
    o->y = o->x ? lower_labels(w, f, o->index) : NULL;
    if (!o->y) kd_host_unwind(w->L);
    o->epoch = kd_func_add_arg(f, "epoch", kd_scalar(KD_I32), KD_ARG_EPOCH);
    o->step = kd_func_add_arg(f, "step", kd_scalar(KD_I32), KD_ARG_STEP);
    o->x = augmented(w, f, o->x, o->index, o->epoch);
    KdValue *teach = lower_teachers(w, f, o);
    KdTrace *t = o->student = new_trace(w, f, w->network, "student");
    t->training = t->renewing = true;
    t->index = o->index;
    t->epoch = o->epoch;
    KdValue *s = kd_network_trace(w->L, t, w->network, student_input(w, f, o->x));
    s = mark_site(w, s, "student", "student");
    KdValue **results = KD_NEW_ARRAY(w->h->arena, KdValue *, 1 + t->renewed.n);
    results[0] = lower_loss(w, f, s, teach, o);
    for (int k = 0; k < t->renewed.n; k++) results[1 + k] = t->renewed.item[k];
    kd_func_set_results(f, 1 + t->renewed.n, results);
}

static void lower_evaluate(Lowering *w) {
    KdFunc *f = kd_func_create(w->m, "evaluate", w->run->batch);
    f->loc = w->run->loc;
    KdValue *index;
    KdValue *x = lower_batch(w, f, &index);
    if (!x) kd_host_unwind(w->L);
    KdTrace *t = new_trace(w, f, w->network, "student");
    KdValue *logits = kd_network_trace(w->L, t, w->network, x);
    kd_func_set_results(f, 1, &logits);
}

/* --- runs
 * ------------------------------------------------------------------------------------------ */

/* An array of { name, value } pairs, handed to `each`. */
static void each_pair(Lowering *w, const char *field,
                      void (*each)(Lowering *w, const char *name, int value)) {
    lua_State *L = w->L;
    lua_getfield(L, w->table, field);
    luaL_checktype(L, -1, LUA_TTABLE);
    int list = lua_gettop(L), n = (int)lua_rawlen(L, list);
    for (int k = 1; k <= n; k++) {
        lua_rawgeti(L, list, k);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        each(w, kd_arena_string(w->m->arena, luaL_checkstring(L, -2)), lua_gettop(L));
        lua_pop(L, 3);
    }
    lua_pop(L, 1);
}

static void add_program_key(Lowering *w, const char *name, int value) {
    KdArena *a = w->m->arena;
    if (lua_isinteger(w->L, value))
        kd_attr_set_int(a, &w->m->program, name, lua_tointeger(w->L, value));
    else if (lua_type(w->L, value) == LUA_TNUMBER)
        kd_attr_set_num(a, &w->m->program, name, lua_tonumber(w->L, value));
    else
        kd_attr_set_str(a, &w->m->program, name, luaL_checkstring(w->L, value));
}

static void add_hyper(Lowering *w, const char *name, int value) {
    kd_module_add_hyper(w->m, name, luaL_checknumber(w->L, value), w->run->loc);
}

/* A number from 1 to n, as the description's fields have them, less 1. */
static int place_check(lua_State *L, int64_t number, int n, const char *what) {
    if (number < 1 || number > n) kd_host_fail(L, "%s: %lld of %d", what, (long long)number, n);
    return (int)number - 1;
}

static void read_teachers(Lowering *w) {
    int64_t numbers[KD_MAX_TEACHERS];
    lua_getfield(w->L, w->table, "teachers");
    w->run->nteachers = kd_ints_check(w->L, lua_gettop(w->L), KD_MAX_TEACHERS, numbers, "teachers");
    lua_pop(w->L, 1);
    w->run->teachers = KD_NEW_ARRAY(w->h->arena, KdRun *, w->run->nteachers + 1);
    for (int k = 0; k < w->run->nteachers; k++)
        w->run->teachers[k] =
            w->h->script.runs[place_check(w->L, numbers[k], w->h->script.nruns, "teachers")];
}

static void check_shapes(Lowering *w) {
    const KdDataSpec *s = w->run->data;
    char have[KD_TYPE_TEXT], want[KD_TYPE_TEXT];
    for (int k = -1; k < w->run->nteachers; k++) {
        const char *name = k < 0 ? w->network->name : w->run->teachers[k]->network;
        const KdNetwork *n = kd_script_network(&w->h->script, name);
        if (!kd_shape_equal(n->input, s->input))
            kd_host_fail_at(w->L, w->run->loc,
                            "network '%s' takes %s, and the data set '%s' has %s", name,
                            kd_type_text(n->input, want), s->name, kd_type_text(s->input, have));
        if (n->output.dim[1] != s->classes)
            kd_host_fail_at(w->L, w->run->loc,
                            "network '%s' returns %s, and the data set '%s' has %d classes", name,
                            kd_type_text(n->output, have), s->name, s->classes);
    }
}

static KdRun *lower_run(lua_State *L, int table) {
    KdHost *h = kd_host(L);
    Lowering w = { .L = L, .h = h, .table = table, .run = KD_NEW(h->arena, KdRun) };
    KdRun *run = w.run;
    h->instructions = 0; /* a study of many runs may take as many for each; seconds count on */
    run->name = kd_field_text(L, table, "name");
    run->role = kd_field_text(L, table, "role");
    run->weights = kd_field_text(L, table, "weights");
    run->batch = kd_field_integer(L, table, "batch");
    run->epochs = kd_field_integer(L, table, "epochs");
    run->seed = kd_field_integer(L, table, "seed");
    run->patience = kd_field_integer(L, table, "patience");
    run->min_epochs = kd_field_integer(L, table, "min_epochs");
    run->loc = kd_field_loc(L, table);
    w.network =
        h->networks
            .item[place_check(L, kd_field_integer(L, table, "network"), h->networks.n, "network")];
    run->network = w.network->name;
    lua_getfield(L, table, "data");
    run->data = kd_data_read(L);
    w.m = run->module = kd_host_module(L);
    read_teachers(&w);
    check_shapes(&w);
    each_pair(&w, "program", add_program_key);
    each_pair(&w, "hypers", add_hyper);
    lower_inference(&w, w.network);
    for (int k = 0; k < run->nteachers; k++)
        lower_inference(&w, (KdNetwork *)kd_script_network(&h->script, run->teachers[k]->network));
    lower_objective(&w);
    lower_evaluate(&w);
    return run;
}

int kd_lower_runs(lua_State *L) {
    KdHost *h = kd_host(L);
    KdScript *s = &h->script;
    int n = (int)lua_rawlen(L, 1);
    s->networks = (KdNetwork **)h->networks.item; /* kd_script_network reads them from here on */
    s->nnetworks = h->networks.n;
    s->runs = KD_NEW_ARRAY(h->arena, KdRun *, n + 1);
    s->listed = KD_NEW_ARRAY(h->arena, KdRun *, n + 1);
    for (int k = 1; k <= n; k++) {
        lua_rawgeti(L, 1, k);
        int table = lua_gettop(L);
        s->runs[s->nruns] = lower_run(L, table);
        s->nruns++;
        lua_settop(L, 1);
    }
    lua_getfield(L, 1, "listed");
    int64_t *listed = KD_NEW_ARRAY(h->arena, int64_t, n + 1);
    s->nlisted = kd_ints_check(L, lua_gettop(L), n, listed, "runs");
    for (int k = 0; k < s->nlisted; k++)
        s->listed[k] = s->runs[place_check(L, listed[k], s->nruns, "runs")];
    lua_getfield(L, 1, "study");
    if (lua_istable(L, -1)) s->study = kd_study_read(L, s);
    return 0;
}
