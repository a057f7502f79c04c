/*
 * Students in one graph against each of them alone: the same losses and gradients, to the bit in
 * compiled code and in the interpreter, whatever their shapes, how many they are, how many threads
 * work and how full the batch is.
 */
#include "ir/interp.h"
#include "jit_support.h"
#include "passes/pass.h"

enum { ROWS = 90, BATCH = 70, SEED = 0x1234567 };

/* A network of two layers, which learns noisy logits and labels. */
typedef struct Shape {
    int inputs, hidden, classes, students;
    const char *activation;
} Shape;

static const Shape shapes[] = {
    { 28, 8, 2, 3, "tanh %hs" },      { 28, 8, 2, 16, "max %hs, %z" },
    { 33, 30, 10, 8, "max %hs, %z" }, { 20, 16, 10, 2, "max %hs, %z" },
    { 5, 1, 3, 5, "tanh %hs" },       { 40, 37, 17, 4, "tanh %hs" },
    { 19, 24, 1, 7, "max %hs, %z" },
};

/* The objective: ½ Σ (noisy teacher - logits)² and the cross-entropy of their first class. $I, $H
 * and $C are sizes, $S is sigma, $A the activation. */
static const char objective[] =
    "kdc-ir 1\nhyper %sigma = $S\nhyper %alpha = 0.5\n"
    "param %net.w1 : f32[$H,$I]\nparam %net.b1 : f32[$H]\n"
    "param %net.w2 : f32[$C,$H]\nparam %net.b2 : f32[$C]\n"
    "program { trained = \"net\" }\n"
    "func @objective(%x: f32[N,$I] data, %t.logits: f32[N,$C] data, %index: i32[B<=70] index, "
    "%epoch: i32 epoch, %net.w1: f32[$H,$I] param, %net.b1: f32[$H] param, "
    "%net.w2: f32[$C,$H] param, %net.b2: f32[$C] param) -> (f32) {\n"
    "  %rows = gather %x, %index : f32[B,$I]\n"
    "  %c1 = contract %rows, %net.w1 { over = [$I], a = [d0, d2], b = [d1, d2] } : f32[B,$H]\n"
    "  %v1 = view %net.b1 { at = [d1] } : f32[B,$H]\n"
    "  %hs = add %c1, %v1 : f32[B,$H]\n"
    "  %z = constant { value = 0 } : f32[B,$H]\n"
    "  %h = $A\n"
    "  %c2 = contract %h, %net.w2 { over = [$H], a = [d0, d2], b = [d1, d2] } : f32[B,$C]\n"
    "  %v2 = view %net.b2 { at = [d1] } : f32[B,$C]\n"
    "  %y = add %c2, %v2 : f32[B,$C]\n"
    "  %t = gather %t.logits, %index : f32[B,$C]\n"
    "  %xi = rng.normal %index, %epoch { stream = \"xi\" } : f32[B,$C]\n"
    "  %sigma = hyper { name = \"sigma\" } : f32\n"
    "  %vs = view %sigma { at = [] } : f32[B,$C]\n"
    "  %part = mul %xi, %vs : f32[B,$C]\n"
    "  %one = constant { value = 1 } : f32[B,$C]\n"
    "  %factor = add %one, %part : f32[B,$C]\n"
    "  %far = mul %t, %factor : f32[B,$C]\n"
    "  %u = rng.uniform %index, %epoch { stream = \"u\" } : f32[B]\n"
    "  %alpha = hyper { name = \"alpha\" } : f32\n"
    "  %va = view %alpha { at = [] } : f32[B]\n"
    "  %chosen = lt %u, %va : bool[B]\n"
    "  %vc = view %chosen { at = [d0] } : bool[B,$C]\n"
    "  %noisy = select %vc, %far, %t : f32[B,$C]\n"
    "  %d = sub %y, %noisy : f32[B,$C]\n"
    "  %d2 = mul %d, %d : f32[B,$C]\n"
    "  %sum = reduce_sum %d2 { axes = [1] } : f32[B]\n"
    "  %half = constant { value = 0.5 } : f32[B]\n"
    "  %soft = mul %sum, %half : f32[B]\n"
    "  %m = reduce_max %y { axes = [1] } : f32[B]\n"
    "  %md = detach %m : f32[B]\n"
    "  %mb = view %md { at = [d0] } : f32[B,$C]\n"
    "  %less = sub %y, %mb : f32[B,$C]\n"
    "  %e = exp %less : f32[B,$C]\n"
    "  %se = reduce_sum %e { axes = [1] } : f32[B]\n"
    "  %lse = log %se : f32[B]\n"
    "  %first = view %less { at = [d0, 0] } : f32[B]\n"
    "  %ce = sub %lse, %first : f32[B]\n"
    "  %both = add %soft, %ce : f32[B]\n"
    "  %all = reduce_sum %both { axes = [0] } : f32\n"
    "  %n = rows : f32\n"
    "  %loss = div %all, %n : f32\n"
    "  return %loss\n}\n";

static const char *text_of(KdArena *a, const Shape *s, double sigma) {
    const char *text = "", *at = objective;
    for (const char *next; (next = strchr(at, '$')); at = next + 2) {
        text = kd_arena_format(a, "%s%.*s", text, (int)(next - at), at);
        switch (next[1]) {
        case 'I': text = kd_arena_format(a, "%s%d", text, s->inputs); break;
        case 'H': text = kd_arena_format(a, "%s%d", text, s->hidden); break;
        case 'C': text = kd_arena_format(a, "%s%d", text, s->classes); break;
        case 'S': text = kd_arena_format(a, "%s%.9g", text, sigma); break;
        default: text = kd_arena_format(a, "%s%s : f32[B,%d]", text, s->activation, s->hidden);
        }
    }
    return kd_arena_format(a, "%s%s", text, at);
}

/* --- what is read ----------------------------------------------------------------------------- */

static float number(uint32_t k, uint32_t salt) {
    uint32_t state = (k + 977 * salt) * 1664525u + 1013904223u;
    state ^= state >> 13;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8 & 4095) / 2048 - 1;
}

static double sigma_of(int student) {
    return 0.125 * (student + 1); /* exactly, in text too */
}

/* Element k of a parameter of student s. */
static float weight(const char *name, int student, int64_t k) {
    return 0.4F * number((uint32_t)k, (uint32_t)(name[strlen(name) - 1] + 7 * student + name[4]));
}

typedef struct Memory {
    float *data[2]; /* x and the teacher's logits */
    int32_t *index, epoch;
    const Shape *s;
} Memory;

static Memory memory_of(KdArena *a, const Shape *s) {
    Memory m = { .s = s, .epoch = 3 };
    int64_t width[] = { s->inputs, s->classes };
    for (int k = 0; k < 2; k++) {
        m.data[k] = kdrt_alloc((size_t)(ROWS * width[k]) * sizeof(float));
        for (int64_t j = 0; j < ROWS * width[k]; j++)
            m.data[k][j] = number((uint32_t)j, 3 + (uint32_t)k);
    }
    m.index = KD_NEW_ARRAY(a, int32_t, BATCH + KDRT_SLACK);
    for (int k = 0; k < BATCH; k++) m.index[k] = (int32_t)((k * 37 + 5) % ROWS);
    return m;
}

static void free_memory(Memory *m) {
    for (int k = 0; k < 2; k++) kdrt_free(m->data[k]);
}

/* A parameter, of one student or of all of them. */
static float *param_memory(KdArena *a, const KdValue *v, int from, int n) {
    int64_t count = kd_type_elements(v->type, 0, 0);
    float *to = KD_NEW_ARRAY(a, float, count + KDRT_SLACK);
    for (int s = 0; s < n; s++)
        for (int64_t k = 0; k < count / n; k++)
            to[s * (count / n) + k] = strcmp(v->name, KD_SETTINGS ".sigma") == 0
                                          ? (float)sigma_of(from + s)
                                          : weight(v->name, from + s, k);
    return to;
}

static void *argument(KdArena *a, Memory *m, const KdValue *v, int from, int n) {
    if (strcmp(v->name, "x") == 0) return m->data[0];
    if (strcmp(v->name, "t.logits") == 0) return m->data[1];
    if (strcmp(v->name, "index") == 0) return m->index;
    if (strcmp(v->name, "epoch") == 0) return &m->epoch;
    return param_memory(a, v, from, n);
}

/* --- running ---------------------------------------------------------------------------------- */

typedef struct Graph {
    KdModule *m;
    const KdFunc *f;
    int from, students;
    KdObject *object;
    KdJit *jit;
    KdrtFunction *run;
} Graph;

static void open_graph(Graph *g, const char *text, const char *passes, int from, int students) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    *g = (Graph){ .from = from, .students = students };
    g->m = kd_parse_module(text, strlen(text), "t.kir", &d);
    assert_non_null(g->m);
    g->m->target = kd_target_host(g->m->arena);
    KdPipeline p = { .passes = passes };
    assert_true(kd_run_pipeline(g->m, &p, &d));
    g->f = kd_module_func(g->m, "gradients");
    const KdEntry entry = { (KdFunc *)g->f, false };
    KdBackendOptions options = { .threads = 2 };
    g->object = kd_compile(g->m, 1, &entry, &options, &d);
    assert_non_null(g->object);
    g->jit = kd_jit_create(g->object, &d);
    assert_non_null(g->jit);
    void *symbol = kd_jit_symbol(g->jit, "gradients");
    assert_non_null(symbol);
    memcpy(&g->run, &symbol, sizeof symbol);
}

static void close_graph(Graph *g) {
    kd_jit_destroy(g->jit);
    kd_object_destroy(g->object);
    kd_module_destroy(g->m);
}

/* Its results: compiled code's, in memory of the arena. */
static float **run_graph(KdArena *a, const Graph *g, Memory *m, int n, KdrtPool *pool) {
    const KdFunc *f = g->f;
    void **args = KD_NEW_ARRAY(a, void *, f->nargs);
    float **results = KD_NEW_ARRAY(a, float *, f->nresults);
    float hyper[2];
    for (int k = 0; k < 2; k++) hyper[k] = (float)g->m->hypers[k]->value;
    for (int k = 0; k < f->nargs; k++) args[k] = argument(a, m, f->args[k], g->from, g->students);
    for (int k = 0; k < f->nresults; k++)
        results[k] =
            KD_NEW_ARRAY(a, float, kd_type_elements(f->results[k]->type, 0, 0) + KDRT_SLACK);
    KdrtFrame frame = { .args = args,
                        .results = (void **)results,
                        .hyper = hyper,
                        .seed = SEED,
                        .pool = pool,
                        .n = n,
                        .scratch_stride = kd_object_scratch(g->object) };
    frame.arena = kdrt_alloc((size_t)f->arena_bytes);
    frame.scratch = kdrt_alloc(2 * (size_t)frame.scratch_stride);
    assert_int_equal(g->run(&frame), KDRT_OK);
    kdrt_free(frame.arena);
    kdrt_free(frame.scratch);
    return results;
}

static KdTensor *interpret(KdArena *a, const Graph *g, Memory *m, int n) {
    const KdFunc *f = g->f;
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs);
    KdTensor *results = KD_NEW_ARRAY(a, KdTensor, f->nresults);
    for (int k = 0; k < f->nargs; k++) {
        const KdValue *v = f->args[k];
        args[k] = kd_tensor_create(a, v->type, n, ROWS);
        const void *from = argument(a, m, v, g->from, g->students);
        bool whole = v->type.dtype == KD_I32;
        for (int64_t j = 0; j < args[k].count; j++)
            args[k].data[j] =
                whole ? (double)((const int32_t *)from)[j] : (double)((const float *)from)[j];
    }
    KdInterp in = { .arena = a, .seed = SEED, .n = n };
    assert_true(kd_interpret(&in, f, args, results, &d));
    return results;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Student s of n: its part of the slab, and its loss. */
static void expect_same(const Graph *all, const Graph *one, int s, float *const *together,
                        float *const *alone) {
    assert_memory_equal(&together[2][s], alone[0], sizeof(float));
    for (int k = 0; k < one->m->nparams; k++) {
        const KdParam *p = one->m->params[k];
        int64_t count = kd_type_elements(p->type, 0, 0);
        int64_t at = kd_slab_offset(all->m, kd_module_param(all->m, p->network, p->name));
        assert_memory_equal(together[1] + at + s * count, alone[1] + kd_slab_offset(one->m, p),
                            (size_t)count * sizeof(float));
    }
}

static void expect_same_meaning(const Graph *all, const Graph *one, int s, const KdTensor *together,
                                const KdTensor *alone) {
    assert_true(together[2].data[s] == alone[0].data[0]);
    for (int k = 0; k < one->m->nparams; k++) {
        const KdParam *p = one->m->params[k];
        int64_t count = kd_type_elements(p->type, 0, 0), from = kd_slab_offset(one->m, p);
        int64_t at = kd_slab_offset(all->m, kd_module_param(all->m, p->network, p->name));
        for (int64_t j = 0; j < count; j++)
            assert_true(together[1].data[at + s * count + j] == alone[1].data[from + j]);
    }
}

/* Alone, rows have padding: it changes no bit either. */
#define BEHIND "canonicalize{drop_detach=1},fuse,layout,plan-memory"
#define ALONE  "canonicalize{drop_detach=1},fuse,layout{all=1},plan-memory"

static void check_shape(const Shape *shape) {
    KdArena *a = kd_arena_create();
    Memory m = memory_of(a, shape);
    Graph all, one;
    KdrtPool *pool;
    assert_int_equal(kdrt_pool_create(2, &pool), KDRT_OK);
    open_graph(&all, text_of(a, shape, 9),
               kd_arena_format(a, "autodiff,batch-students{students=%d,vary=\"sigma\"}," BEHIND,
                               shape->students),
               0, shape->students);
    assert_int_equal(all.f->nresults, 3);
    for (int s = 0; s < shape->students; s++) {
        open_graph(&one, text_of(a, shape, sigma_of(s)), "autodiff," ALONE, s, 1);
        static const int sizes[] = { BATCH, 33, 1 };
        for (int k = 0; k < 3; k++) {
            float **alone = run_graph(a, &one, &m, sizes[k], NULL);
            expect_same(&all, &one, s, run_graph(a, &all, &m, sizes[k], NULL), alone);
            expect_same(&all, &one, s, run_graph(a, &all, &m, sizes[k], pool), alone);
        }
        if (s < 3)
            expect_same_meaning(&all, &one, s, interpret(a, &all, &m, 33),
                                interpret(a, &one, &m, 33));
        close_graph(&one);
    }
    close_graph(&all);
    kdrt_pool_destroy(pool);
    free_memory(&m);
    kd_arena_destroy(a);
}

static void test_same_as_alone(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) check_shape(&shapes[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_as_alone) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
