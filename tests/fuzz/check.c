/*
 * The checks of one random graph. Every function returns false with a reason in the Run's `why`.
 */
#include "tests/fuzz/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "ir/guard.h"
#include "ir/half.h"
#include "ir/interp.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/pass.h"
#include "runtime/host/blas.h"

/* --- configurations -------------------------------------------------------------------------- */

enum { MOST_THREADS = 3, MOST_RESULTS = 8 };

#define MOST_PRODUCTS 2e7 /* of the interpreter's contractions, which run some sixty times */

/* One of 0 to values - 1. */
static int draw(uint64_t *from, int values) {
    int drawn = (int)(*from % (uint64_t)values);
    *from /= (uint64_t)values;
    return drawn;
}

GraphConfig graph_config(uint64_t seed, int k) {
    uint64_t from = ((seed + 1) * 0x9e3779b97f4a7c15u) >> 33;
    GraphConfig config = { 0 };
    config.canonicalize = (draw(&from, 2) + k) % 2 == 0;
    config.merge = (draw(&from, 2) + k / 2) % 2 == 0;
    config.openblas = (draw(&from, 2) + k / 3) % 2 == 1;
    config.redzone = (draw(&from, 2) + (k + 1) / 2) % 2 ? 64 : 0;
    config.machine = &test_machines[(draw(&from, TEST_MACHINES) + k) % TEST_MACHINES];
    config.threads = 1 + (draw(&from, MOST_THREADS) + k) % MOST_THREADS;
    config.form = (GraphForm)((draw(&from, GRAPH_FORMS) + k) % GRAPH_FORMS);
    config.padded = (draw(&from, 2) + k) % 2 == 0;
    return config;
}

void graph_config_text(const GraphConfig *c, char text[GRAPH_CONFIG_TEXT]) {
    snprintf(text, GRAPH_CONFIG_TEXT,
             "form=%s canonicalize=%d merge=%d padded=%d redzone=%d cpu=%s vector=%d threads=%d "
             "gemm=%s",
             graph_form_text(c->form), c->canonicalize, c->merge, c->padded, c->redzone,
             c->machine->cpu ? c->machine->cpu : "host", c->machine->vector_bits, c->threads,
             c->openblas ? "openblas" : "native");
}

/* --- one run --------------------------------------------------------------------------------- */

typedef struct Run {
    Graph g;
    KdDiag diag;
    const GraphConfig *config;
    FILE *show;
    char *why;
    KdArena *arena;
    GraphCall call;
    int nwanted;
    KdTensor wanted[MOST_RESULTS];
} Run;

static bool broken(Run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool broken(Run *r, const char *format, ...) {
    va_list list;
    va_start(list, format);
    char said[512];
    vsnprintf(said, sizeof said, format, list);
    va_end(list);
    snprintf(r->why, GRAPH_WHY, "%s%s%s", said, r->diag.errors ? ": " : "", r->diag.last);
    return false;
}

/* Arguments in [-2, 2], as floats; whole numbers that are rows of the table. */
static void fill_args(Run *r) {
    r->call.args = KD_NEW_ARRAY(r->arena, KdTensor, r->g.f->nargs);
    for (int k = 0; k < r->g.f->nargs; k++) {
        KdTensor *t = &r->call.args[k];
        *t = kd_tensor_create(r->arena, r->g.f->args[k]->type, r->call.n, 1);
        for (int64_t j = 0; j < t->count; j++) {
            double x = (double)(graph_pick(&r->g, 1 << 20) - (1 << 19)) / (1 << 18);
            bool real = t->type.dtype == KD_F32;
            t->data[j] = real ? (double)(float)x : (double)(j * 7 % GRAPH_TABLE_ROWS);
        }
    }
}

static const KdFunc *function(const Run *r) {
    return kd_module_func(r->g.m, r->call.name);
}

static bool interpret(Run *r, KdTensor *results) {
    KdInterp in = { .arena = r->arena, .n = r->call.n, .seed = 99 };
    const KdFunc *f = function(r);
    if (f->nresults > MOST_RESULTS) return broken(r, "%d results", f->nresults);
    return kd_interpret(&in, f, r->call.args, results, &r->diag) || broken(r, "not interpreted");
}

static bool interpret_wanted(Run *r) {
    r->nwanted = function(r)->nresults;
    return interpret(r, r->wanted);
}

static bool check_close(Run *r, const KdTensor *found, double tolerance, const char *what) {
    for (int k = 0; k < r->nwanted; k++) {
        const KdTensor *wanted = &r->wanted[k];
        if (found[k].count != wanted->count) return broken(r, "%s: result %d's size", what, k);
        for (int64_t j = 0; j < wanted->count; j++) {
            double x = found[k].data[j], y = wanted->data[j];
            if (fabs(x - y) <= tolerance * (1 + fabs(y))) continue;
            return broken(r, "%s: result %d[%" PRId64 "] is %.9g, not %.9g", what, k, j, x, y);
        }
    }
    return true;
}

static bool check_text(Run *r, const char *after) {
    const char *once = kd_module_text(r->g.m, r->arena);
    if (r->show) fprintf(r->show, "// %s\n%s\n", after, once);
    KdModule *m = kd_parse_module(once, strlen(once), "graph.kir", &r->diag);
    if (!m) return broken(r, "after %s: the text does not parse", after);
    bool same = strcmp(once, kd_module_text(m, r->arena)) == 0;
    kd_module_destroy(m);
    return same || broken(r, "after %s: the text does not come back", after);
}

/* --- gradients against differences ----------------------------------------------------------- */

/* The loss with argument a moved by h in a direction. */
static bool loss_at(Run *r, KdTensor *a, const double *direction, double h, double *loss) {
    KdTensor results[MOST_RESULTS] = { 0 }, here = *a;
    *a = kd_tensor_create(r->arena, here.type, here.n, here.rows);
    for (int64_t j = 0; j < here.count; j++) a->data[j] = here.data[j] + h * direction[j];
    bool ok = interpret(r, results) && results[0].data;
    *a = here;
    if (ok) *loss = results[0].data[0];
    return ok;
}

/* The slope of the loss along a direction. Where it differs from side to side, or from near to
 * nearer, there is a kink and nothing to compare. */
static bool check_slope(Run *r, KdTensor *a, const KdTensor *gradient, const double *direction) {
    const double h = 1e-5;
    double at[4], found = 0, here = r->wanted[0].data[0];
    const double moves[] = { -h, h, -h / 4, h / 4 };
    for (int k = 0; k < 4; k++) {
        if (!loss_at(r, a, direction, moves[k], &at[k])) return false;
    }
    for (int64_t j = 0; j < gradient->count; j++) found += gradient->data[j] * direction[j];
    double left = (here - at[0]) / h, right = (at[1] - here) / h, slope = (left + right) / 2;
    double nearer = (at[3] - at[2]) / (h / 2), room = 1e-3 * (1 + fabs(slope));
    if (fabs(left - right) > room || fabs(nearer - slope) > room / 10) return true;
    if (fabs(found - slope) <= room) return true;
    return broken(r, "along some direction the gradient is %.9g, the slope %.9g", found, slope);
}

/* Along each of a few axes, and along directions that touch every element. */
static bool check_gradients(Run *r) {
    if (!r->g.gradients || !r->g.smooth) return true;
    for (int k = 0; k < 2; k++) {
        KdTensor *a = &r->call.args[r->g.wrt[k]];
        double *direction = KD_NEW_ARRAY(r->arena, double, a->count);
        for (int tries = 0; tries < 6; tries++) {
            for (int64_t j = 0; j < a->count; j++) {
                direction[j] = tries < 3 ? (double)graph_pick(&r->g, 201) / 100 - 1 : 0;
            }
            if (tries >= 3) direction[graph_pick(&r->g, a->count)] = 1;
            if (!check_slope(r, a, &r->wanted[1 + k], direction)) return false;
        }
    }
    return true;
}

/* --- passes and compiled code ---------------------------------------------------------------- */

static bool check_passes(Run *r) {
    char fuse[64], plan[64];
    snprintf(fuse, sizeof fuse, "fuse{merge=%d}", r->config->merge);
    snprintf(plan, sizeof plan, "plan-memory{redzone=%d}", r->config->redzone);
    const char *layout = r->config->padded ? "layout{all=1}" : "layout";
    const char *passes[] = { "zero-sums,canonicalize", fuse, layout, plan };
    for (int k = r->config->canonicalize ? 0 : 1; k < 4; k++) {
        const KdPipeline pipeline = { .passes = passes[k] };
        KdTensor now[MOST_RESULTS] = { 0 };
        if (!kd_run_pipeline(r->g.m, &pipeline, &r->diag)) return broken(r, "%s", passes[k]);
        if (!kd_verify(r->g.m, &r->diag)) return broken(r, "not valid after %s", passes[k]);
        if (!check_text(r, passes[k]) || !interpret(r, now)) return false;
        if (!check_close(r, now, 1e-6, passes[k])) return false; /* folded constants are f32 */
    }
    return true;
}

/* As generated code reads them. */
static void *memory_of(const KdTensor *t) {
    size_t size = kd_dtype_size(t->type.dtype);
    char *data = kdrt_alloc((size_t)(t->count + 1) * size);
    if (!data) abort();
    for (int64_t j = 0; j < t->count; j++) {
        int32_t whole = (int32_t)t->data[j];
        int8_t byte = (int8_t)whole;
        float number = (float)t->data[j];
        uint16_t half = kd_half_from(t->data[j]);
        const void *from = t->type.dtype == KD_F32   ? (void *)&number
                           : t->type.dtype == KD_I32 ? (void *)&whole
                           : t->type.dtype == KD_F16 ? (void *)&half
                                                     : (void *)&byte;
        memcpy(data + (size_t)j * size, from, size);
    }
    return data;
}

/* Where result k goes: to memory of its own, or over the argument whose place it takes. */
static void *result_memory(const KdFunc *f, int k, void *const *args, const KdTensor *like) {
    int over = f->in_place ? f->in_place[k] : -1;
    return over >= 0 ? args[over] : memory_of(like);
}

/* Calls the function on copies of the arguments; its results replace those in `results`. */
static bool call(Run *r, KdJit *jit, size_t scratch, KdTensor *results) {
    const KdFunc *f = function(r);
    void *symbol = kd_jit_symbol(jit, f->name), *out[MOST_RESULTS];
    void **args = KD_NEW_ARRAY(r->arena, void *, f->nargs + 1);
    KdrtFunction *run;
    memcpy(&run, &symbol, sizeof symbol);
    float *hyper = KD_NEW_ARRAY(r->arena, float, r->g.m->nhypers + 1);
    for (int k = 0; k < r->g.m->nhypers; k++) hyper[k] = (float)r->g.m->hypers[k]->value;
    KdrtFrame frame = { .args = args, .results = out, .seed = 99, .n = (int32_t)r->call.n };
    frame.hyper = hyper;
    if (kdrt_pool_create(r->config->threads, &frame.pool) != KDRT_OK) return broken(r, "no pool");
    for (int k = 0; k < f->nargs; k++) args[k] = memory_of(&r->call.args[k]);
    for (int k = 0; k < r->nwanted; k++) out[k] = result_memory(f, k, args, &results[k]);
    frame.arena = kdrt_alloc((size_t)f->arena_bytes + 64);
    kd_arena_guard(f, frame.arena, (size_t)f->arena_bytes + 64);
    frame.scratch_stride = scratch;
    frame.scratch = kdrt_alloc(scratch * (size_t)r->config->threads + 64);
    int32_t status = run(&frame);
    for (int k = 0; k < r->nwanted; k++) {
        for (int64_t j = 0; j < results[k].count; j++) {
            results[k].data[j] = (double)((float *)out[k])[j];
        }
        if (!f->in_place || f->in_place[k] < 0) kdrt_free(out[k]);
    }
    for (int k = 0; k < f->nargs; k++) kdrt_free(args[k]);
    kdrt_free(frame.arena);
    kdrt_free(frame.scratch);
    kdrt_pool_destroy(frame.pool);
    return status == KDRT_OK || broken(r, "the compiled function returned %d", status);
}

/* The form's turns: results of code and interpreter agree in one of them. */
static bool check_turns(Run *r, KdJit *jit, size_t scratch) {
    KdTensor now[MOST_RESULTS] = { 0 };
    bool ok = false;
    for (int turn = 0; !ok && turn < graph_form_turns(r->config->form); turn++) {
        if (turn > 0) graph_form_turn(&r->call, turn);
        if (turn > 0 && !interpret_wanted(r)) return false;
        ok = interpret(r, now) && call(r, jit, scratch, now) &&
             check_close(r, now, 5e-4, "compiled code");
    }
    return ok;
}

static bool check_code(Run *r) {
    KdModule *m = r->g.m;
    const KdEntry entry = { function(r), false };
    const KdBackendOptions options = { .threads = r->config->threads,
                                       .gemm = r->config->openblas ? "openblas" : "native",
                                       .sgemm = r->config->openblas ? kdrt_sgemm : NULL,
                                       .sanitize = KD_SANITIZE };
    KdObject *object = kd_compile(m, 1, &entry, &options, &r->diag);
    if (!object) return broken(r, "not compiled");
    KdJit *jit = kd_jit_create(object, &r->diag);
    bool ok = jit || broken(r, "not loaded");
    ok = ok && check_turns(r, jit, kd_object_scratch(object));
    if (jit) kd_jit_destroy(jit);
    kd_object_destroy(object);
    return ok;
}

/* --- all of it ------------------------------------------------------------------------------- */

static double products(const KdFunc *f, int64_t n) {
    double sum = 0;
    for (const KdInstr *i = f->first; i; i = i->next) {
        if (i->op != KD_OP_CONTRACT) continue;
        double over = 1;
        for (int k = 0; k < i->contract->nover; k++) {
            over *= i->contract->over[k] == KD_BATCH ? (double)n : (double)i->contract->over[k];
        }
        sum += over * (double)kd_type_elements(i->results[0]->type, n, 1);
    }
    return sum;
}

/* Any number of samples, but fewer where gradients of sums over samples cost their square. */
static int32_t pick_rows(Run *r) {
    int32_t n = 1 + (int32_t)graph_pick(&r->g, r->g.f->max_batch);
    while (n > 1 && products(r->g.f, n) > MOST_PRODUCTS) n = (n + 1) / 2;
    return n;
}

static bool prepare(Run *r, uint64_t seed) {
    if (!graph_make(&r->g, seed, &r->diag)) return broken(r, "not made");
    r->g.m->target = kd_target_host(r->g.m->arena);
    test_machine_set(r->config->machine, &r->g.m->target);
    r->call = (GraphCall){ .m = r->g.m, .name = "f", .arena = r->arena, .diag = &r->diag };
    r->call.n = pick_rows(r);
    fill_args(r);
    if (!kd_verify(r->g.m, &r->diag)) return broken(r, "not valid");
    return check_text(r, "making") && interpret_wanted(r);
}

/* Behind the gradients' check: weights rounded alike tie, and kinks can hide each other there. */
static bool round_args(Run *r) {
    graph_form_round(&r->call, r->config->form);
    return interpret_wanted(r);
}

/* Weights that are stored otherwise change no result; products of bytes and a training step have
 * others. The step's first is the loss as it was, where there is no noise. */
static bool check_form(Run *r) {
    GraphForm form = r->config->form;
    const char *text = graph_form_text(form);
    KdTensor now[MOST_RESULTS] = { 0 };
    bool trains = form == GRAPH_TRAINED || form == GRAPH_TOGETHER;
    if (form == GRAPH_PLAIN || (trains && r->g.calls)) return true;
    double loss = r->wanted[0].data[0];
    if (!graph_form_apply(&r->call, &r->g, form)) return broken(r, "not %s", text);
    if (!kd_verify(r->g.m, &r->diag)) return broken(r, "not valid when %s", text);
    if (!check_text(r, text)) return false;
    if (graph_form_keeps_results(form)) return interpret(r, now) && check_close(r, now, 1e-6, text);
    if (!interpret_wanted(r)) return false;
    if (form != GRAPH_TRAINED) return true;
    double found = r->wanted[0].data[0];
    bool same = !r->g.gradients || r->call.noisy || fabs(found - loss) <= 1e-6 * (1 + fabs(loss));
    return same || broken(r, "the step's loss is %.9g, not %.9g", found, loss);
}

bool graph_check(uint64_t seed, const GraphConfig *config, FILE *show, char why[GRAPH_WHY]) {
    Run r = { .config = config, .show = show, .why = why, .arena = kd_arena_create() };
    kd_diag_init(&r.diag, NULL, false);
    bool ok = prepare(&r, seed) && check_gradients(&r) && round_args(&r) && check_form(&r) &&
              check_passes(&r) && check_code(&r);
    graph_destroy(&r.g);
    kd_arena_destroy(r.arena);
    return ok;
}
