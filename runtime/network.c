/*
 * Training a shipped network in memory that the caller gives: the same generated functions that
 * kdc's own driver calls, on the same arguments, so the same bits.
 *
 *   state    KdrtState | parameters and running statistics | slabs of the optimiser
 *   scratch  arguments | results | rows of a batch | its logits | arena | a part a worker | order
 */
#include "runtime/network.h"

#include "runtime/init.h"

#include <stdbool.h>
#include <string.h>

/* Generated code has the offsets of the machine that kdc runs on. */
_Static_assert(sizeof(KdrtState) == 64 && sizeof(KdrtFrame) == 80, "structs of generated code");
_Static_assert(offsetof(KdrtFrame, n) == 64 && sizeof(KdrtEpoch) == 160, "members of both");
_Static_assert(sizeof(KdrtBinding) == 16 && sizeof(KdrtParameter) == 128 &&
                   sizeof(KdrtLayout) == 160,
               "tables of a KdrtNetwork");

/* --- memory ---------------------------------------------------------------------------------- */

/* Where parts of the scratch lie. */
typedef struct Places {
    int64_t results, rows, logits, arena, workers;
} Places;

static int64_t aligned(int64_t bytes) {
    return (bytes + KDRT_SLACK + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static Places place(const KdrtLayout *l) {
    int64_t slot = sizeof(uint64_t); /* a pointer on any machine */
    int64_t args = most(l->step.nargs, most(l->evaluate.nargs, l->teacher.nargs));
    Places p = { .results = aligned(args * slot) };
    p.rows = p.results + aligned(most(l->step.nresults, 1) * slot);
    p.logits = p.rows + aligned(l->batch * (int64_t)sizeof(int32_t));
    int64_t row = most(l->classes, l->teacher_width) * (int64_t)sizeof(float);
    p.arena = p.logits + aligned(l->batch * row);
    p.workers = p.arena + aligned(l->arena_bytes);
    return p;
}

int64_t kdrt_network_scratch(const KdrtLayout *l) {
    return place(l).workers;
}

static int32_t check_memory(const void *p) {
    if (!p) return KDRT_BAD_ARGUMENT;
    return (uintptr_t)p % KDRT_ALIGN ? KDRT_MISALIGNED : KDRT_OK;
}

int32_t kdrt_network_known(const KdrtNetwork *net) {
    return net->layout->version == KDRT_NETWORK_VERSION ? KDRT_OK : KDRT_OTHER_VERSION;
}

/* Memory of the caller, for a network that is known to this library. */
static int32_t check_given(const KdrtNetwork *net, const void *p) {
    int32_t status = kdrt_network_known(net);
    return status == KDRT_OK ? check_memory(p) : status;
}

int32_t kdrt_network_check(const KdrtNetwork *net, const void *state) {
    int32_t status = check_given(net, state);
    if (status != KDRT_OK) return status;
    return ((const KdrtState *)state)->check == net->layout->check ? KDRT_OK : KDRT_BAD_STATE;
}

/* --- first values ---------------------------------------------------------------------------- */

static int32_t begin_state(const KdrtNetwork *net, void *memory, uint64_t seed) {
    int32_t status = check_given(net, memory);
    if (status != KDRT_OK) return status;
    memset(memory, 0, (size_t)net->layout->state_bytes);
    KdrtState *state = memory;
    state->check = net->layout->check;
    state->seed = seed;
    return KDRT_OK;
}

/* n parameters of the table, from the first one on, as the script says. */
static void begin_parameters(const KdrtNetwork *net, void *state, int first, int n) {
    for (int k = first; k < first + n; k++) {
        const KdrtParameter *p = &net->parameters[k];
        KdrtInit init = {
            .network = net->text + p->network,
            .parameter = net->text + p->name,
            .kind = net->text + p->kind,
            .fan_in = p->fan_in,
            .fan_out = p->fan_out,
            .value = p->value,
        };
        float *data = (float *)((char *)state + p->offset);
        if (p->elements) kdrt_init(&init, ((KdrtState *)state)->seed, data, p->elements);
    }
}

/* What a loss has beside the network. */
static void begin_auxiliary(const KdrtNetwork *net, void *state) {
    const KdrtLayout *l = net->layout;
    begin_parameters(net, state, l->nparameters + l->nteachers, l->nauxiliary);
}

int32_t kdrt_network_init(const KdrtNetwork *net, void *state, uint64_t seed) {
    int32_t status = begin_state(net, state, seed);
    if (status != KDRT_OK) return status;
    begin_parameters(net, state, 0, net->layout->nparameters);
    begin_auxiliary(net, state);
    return KDRT_OK;
}

int32_t kdrt_network_init_shipped(const KdrtNetwork *net, void *state, uint64_t seed) {
    if (!net->weights) return KDRT_BAD_ARGUMENT;
    int32_t status = begin_state(net, state, seed);
    if (status != KDRT_OK) return status;
    memcpy((char *)state + net->layout->weights, net->weights, (size_t)net->layout->weight_bytes);
    begin_auxiliary(net, state);
    return KDRT_OK;
}

/* --- calls of generated functions ------------------------------------------------------------ */

/* One call of an entry: what it was given, and the parts of its scratch. */
typedef struct Call {
    const KdrtNetwork *net;
    const KdrtTraining *t;
    const KdrtData *data;
    KdrtState *state;
    const float *table; /* the teacher's logits, if they are read */
    int32_t epoch;      /* as generated code is told */
    void **args, **results;
    int32_t *rows;
    float *logits;
    KdrtFrame frame;
} Call;

static int32_t begin_call(Call *c, const KdrtNetwork *net, const KdrtTraining *t,
                          const KdrtData *data) {
    if (!t || !data || data->rows < 1 || data->rows > INT32_MAX) return KDRT_BAD_ARGUMENT;
    int32_t status = kdrt_network_check(net, t->state);
    if (status == KDRT_OK) status = check_memory(t->scratch);
    if (status != KDRT_OK) return status;
    const KdrtLayout *l = net->layout;
    Places p = place(l);
    unsigned char *scratch = t->scratch;
    KdrtState *state = t->state;
    *c = (Call){ .net = net, .t = t, .data = data, .state = state, .epoch = state->epoch };
    c->table = l->logits >= 0 ? data->array[l->logits] : NULL;
    c->args = (void **)scratch;
    c->results = (void **)(scratch + p.results);
    c->rows = (int32_t *)(scratch + p.rows);
    c->logits = (float *)(scratch + p.logits);
    c->frame = (KdrtFrame){
        .args = c->args,
        .results = c->results,
        .arena = scratch + p.arena,
        .scratch = scratch + p.workers,
        .scratch_stride = (uint64_t)l->worker_bytes,
        .hyper = t->hyper ? t->hyper : net->hyper,
        .seed = state->seed,
        .pool = t->pool,
    };
    return KDRT_OK;
}

/* The memory of an argument; NULL where the caller should have given it. */
static const void *argument(const Call *c, const KdrtBinding *b) {
    const void *teacher = c->net->teacher ? c->net->teacher : c->t->teacher;
    switch ((KdrtArgument)b->kind) {
    case KDRT_ARG_DATA:
        return b->number == c->net->layout->logits ? c->table : c->data->array[b->number];
    case KDRT_ARG_INDEX: return c->rows;
    case KDRT_ARG_EPOCH: return &c->epoch;
    case KDRT_ARG_STEP: return &c->state->step;
    case KDRT_ARG_STATE: return (char *)c->state + b->offset;
    case KDRT_ARG_TEACHER: return teacher ? (const char *)teacher + b->offset : NULL;
    }
    return NULL;
}

/* Generated functions write only to what is theirs to change: the state. */
static int32_t bind(Call *c, const KdrtSignature *s) {
    for (int k = 0; k < s->nargs; k++) {
        const void *p = argument(c, &c->net->bindings[s->first + k]);
        if (!p) return KDRT_BAD_ARGUMENT;
        c->args[k] = (void *)(uintptr_t)p;
    }
    for (int k = 0; k < s->nresults; k++) c->results[k] = NULL;
    return KDRT_OK;
}

/* Rows first … of the data, as many as a batch holds; how many that is. */
static int32_t take_rows(Call *c, int64_t first) {
    int64_t left = c->data->rows - first, batch = c->net->layout->batch;
    int32_t n = (int32_t)(left < batch ? left : batch);
    for (int32_t k = 0; k < n; k++) c->rows[k] = (int32_t)first + k;
    return c->frame.n = n;
}

/* --- labels ---------------------------------------------------------------------------------- */

static int32_t label_at(const Call *c, int64_t row) {
    const void *labels = c->data->array[1];
    return c->net->layout->wide_labels ? ((const int32_t *)labels)[row]
                                       : ((const uint8_t *)labels)[row];
}

static bool reads_labels(const Call *c, const KdrtSignature *s) {
    bool reads = false;
    for (int k = 0; k < s->nargs; k++) {
        const KdrtBinding *b = &c->net->bindings[s->first + k];
        reads |= b->kind == KDRT_ARG_DATA && b->number == 1;
    }
    return reads;
}

/* Those of n rows, the first ones or those listed, are classes. */
static int32_t check_labels(const Call *c, const int32_t *rows, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        int32_t label = label_at(c, rows ? rows[k] : k);
        if (label < 0 || label >= c->net->layout->classes) return KDRT_BAD_ARGUMENT;
    }
    return KDRT_OK;
}

static int64_t count_errors(const Call *c, const float *logits, int64_t first, int32_t n) {
    int classes = c->net->layout->classes;
    int64_t errors = 0;
    for (int64_t k = 0; k < n; k++)
        errors += kdrt_argmax(logits + k * classes, classes) != label_at(c, first + k);
    return errors;
}

/* --- entries --------------------------------------------------------------------------------- */

int32_t kdrt_network_evaluate(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                              float *logits, double *error) {
    Call c;
    int64_t errors = 0;
    int32_t status = begin_call(&c, net, t, data);
    if (status == KDRT_OK) status = bind(&c, &net->layout->evaluate);
    if (status == KDRT_OK && error && !data->array[1]) status = KDRT_BAD_ARGUMENT;
    if (status == KDRT_OK && error) status = check_labels(&c, NULL, data->rows);
    if (status != KDRT_OK) return status;
    for (int64_t first = 0; first < data->rows; first += c.frame.n) {
        take_rows(&c, first);
        float *to = logits ? logits + first * net->layout->classes : c.logits;
        c.results[0] = to;
        net->evaluate(&c.frame);
        if (error) errors += count_errors(&c, to, first, c.frame.n);
    }
    if (error) *error = (double)errors / (double)data->rows;
    return KDRT_OK;
}

int32_t kdrt_network_teach(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                           float *logits) {
    Call c;
    int32_t status = begin_call(&c, net, t, data);
    if (status == KDRT_OK) status = bind(&c, &net->layout->teacher);
    if (status != KDRT_OK || !logits) return status != KDRT_OK ? status : KDRT_BAD_ARGUMENT;
    for (int64_t first = 0; first < data->rows; first += c.frame.n) {
        take_rows(&c, first);
        c.results[0] = logits + first * net->layout->teacher_width;
        net->teach(&c.frame);
    }
    return KDRT_OK;
}

/* The rows of a batch; a batch of its own, without `rows`, is the first n and is drawn for as if
 * each step were an epoch. */
static int32_t choose_rows(Call *c, const int32_t *rows, int32_t n) {
    if (n < 1 || n > c->net->layout->batch) return KDRT_BAD_ARGUMENT;
    for (int32_t k = 0; k < n; k++) {
        c->rows[k] = rows ? rows[k] : k;
        if (c->rows[k] < 0 || c->rows[k] >= c->data->rows) return KDRT_BAD_ARGUMENT;
    }
    if (!rows) c->epoch = c->state->step;
    c->frame.n = n;
    return KDRT_OK;
}

int32_t kdrt_network_step(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                          const int32_t *rows, int32_t n, float *loss) {
    Call c;
    int32_t status = begin_call(&c, net, t, data);
    if (status == KDRT_OK) status = choose_rows(&c, rows, n);
    if (status == KDRT_OK && net->teach && !c.table && !rows) { /* the teacher is at hand */
        status = bind(&c, &net->layout->teacher);
        if (status != KDRT_OK) return status;
        c.results[0] = c.logits;
        net->teach(&c.frame);
        c.table = c.logits;
    }
    if (status == KDRT_OK) status = bind(&c, &net->layout->step);
    if (status == KDRT_OK && reads_labels(&c, &net->layout->step))
        status = check_labels(&c, c.rows, n);
    if (status != KDRT_OK) return status;
    c.results[0] = &c.state->loss;
    status = net->step(&c.frame);
    c.state->step += status == KDRT_OK;
    if (loss) *loss = c.state->loss;
    return status;
}

/* The loop's counters are the state's from here on; a whole epoch is counted. */
static void take_over(KdrtState *state, const KdrtEpoch *e, double *loss) {
    state->done = e->done;
    state->sum = e->loss_sum;
    state->step = e->step;
    state->loss = e->loss;
    if (loss && e->done) *loss = e->loss_sum / (double)e->done;
    if (e->done < e->samples) return;
    state->done = 0;
    state->sum = 0;
    state->epoch++;
}

int32_t kdrt_network_epoch(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                           double *loss) {
    Call c;
    int32_t status = begin_call(&c, net, t, data);
    if (status == KDRT_OK) status = bind(&c, &net->layout->step);
    if (status == KDRT_OK && reads_labels(&c, &net->layout->step))
        status = check_labels(&c, NULL, data->rows);
    if (status != KDRT_OK) return status;
    int64_t workers = kdrt_pool_threads(t->pool) * net->layout->worker_bytes;
    int32_t *order = (int32_t *)(c.frame.scratch + workers);
    if (c.state->done < 0 || c.state->done >= data->rows) return KDRT_BAD_ARGUMENT;
    kdrt_shuffle(order, data->rows, c.state->seed, (uint32_t)c.state->epoch);
    if (net->layout->resample) kdrt_resample(order, data->rows, c.state->seed);
    c.results[0] = &c.state->loss;
    KdrtEpoch e = {
        .frame = c.frame,
        .args = c.args,
        .order = order,
        .samples = data->rows,
        .done = c.state->done,
        .batch = net->layout->batch,
        .epoch = c.state->epoch,
        .step = c.state->step,
        .progress_every = t->progress_every,
        .loss_sum = c.state->sum,
        .progress = t->progress,
        .user = t->user,
    };
    status = net->epoch(&e);
    take_over(c.state, &e, loss);
    return status;
}
