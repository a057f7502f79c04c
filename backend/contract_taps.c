/*
 * Long sums of few products in many groups, such as gradients of a depthwise convolution's weights:
 *
 *     dW[c,i,j] = Σ_{n,y,x} dY[n,c,y,x] · X[n,c,y+i,x+j]
 *
 * A tile would have one row and a vector of taps (i, j), which are no neighbours. Here vectors run
 * along the sum instead, an accumulator for each tap, so that a vector of dY is read once for all
 * of them; in the end the lanes' partial sums meet in a fixed tree:
 *
 *     for n:  for c:  for y, x by lanes:  acc[c,tap] += dY[n,c,y,x …] · X[n,c,y+i,x+j …]
 *     for c:  dW[c,tap] = tree(acc[c,tap])
 *
 * A task has some neighbouring c, whose images lie side by side.
 */
#include "backend/arith.h"
#include "backend/contract.h"
#include "backend/nest.h"

#define LEAST_STEPS 256 /* of the sum, for the tree to be of no weight */
#define MOST_TAPS   64
#define MOST_LINES  4 /* to be fetched for a vector */

typedef struct Taps {
    const KdInstr *kernel, *op;
    const KdPlan *plan;
    KdSpace kept, image; /* dims of the groups, all in one; of what is summed, */
    int64_t samples;     /* but for the first one, of this extent, where there are several */
    int64_t width;       /* groups of a task */
    LLVMValueRef lo, hi; /* these groups */
    int first, n;        /* taps that are summed now */
    LLVMValueRef acc[MOST_TAPS]; /* a vector for each group of the task */
    /* Where code stands. */
    KdPoint group; /* lanes 1 */
    LLVMValueRef nth;
    KdIdx sample;
} Taps;

static int64_t count_taps(const KdPlan *p) {
    return kd_flat_most(p, &p->outer) * kd_flat_most(p, &p->inner);
}

/* Accumulators beside the vectors of both factors and masks; tests/unit/contract_spills.c has the
 * last word. */
static int most_at_once(const KdEmit *e) {
    return e->target->registers >= 32 ? 25 : 3;
}

bool kd_contract_taps(KdEmit *e, const KdInstr *kernel) {
    const KdInstr *op = kd_contraction_of(kernel);
    if (op->results[0]->type.dtype != KD_F32 || op->contract->nover == 0 || kd_has_sums(kernel) ||
        kd_has_pooling(kernel))
        return false;
    const KdPlan *p = kd_plan_create(e, kernel, 0);
    int last = p->sum.iter[p->sum.n - 1];
    return !p->empty && kd_stride_phases(op) == 1 && kd_flat_most(p, &p->rows) == 1 &&
           kd_flat_most(p, &p->group) > 1 && kd_flat_is_static(p, &p->outer) &&
           kd_flat_is_static(p, &p->inner) && count_taps(p) <= MOST_TAPS &&
           kd_flat_most(p, &p->sum) >= LEAST_STEPS && p->s.lin[last] == 1 && p->v.lin[last] > 0;
}

static bool has(const KdFlat *x, int iter) {
    for (int k = 0; k < x->n; k++)
        if (x->iter[k] == iter) return true;
    return false;
}

static int64_t groups_of_task(const Taps *t) {
    int64_t cost = kd_flat_most(t->plan, &t->plan->sum) * count_taps(t->plan), bytes = 4;
    for (int k = 0; k < t->image.shape.rank; k++) bytes *= t->image.shape.dim[k];
    return kd_task_slices(cost, bytes, t->kept.group[0].extent);
}

static Taps taps_of(KdEmit *e, const KdInstr *kernel) {
    Taps t = { .kernel = kernel,
               .op = kd_contraction_of(kernel),
               .plan = kd_plan_create(e, kernel, 0) };
    const KdContract *c = t.op->contract;
    KdType result = t.op->results[0]->type, kept = { 0 }, image = { 0 };
    bool apart[KD_MAX_RANK] = { false };
    for (int d = 0; d < result.rank; d++)
        if (has(&t.plan->group, d)) kept.dim[kept.rank++] = result.dim[d];
    for (int k = c->nover > 1; k < c->nover; k++) image.dim[image.rank++] = c->over[k];
    t.kept = kd_space_flat(kept);
    t.image = kd_space(image, apart);
    t.samples = c->nover > 1 ? c->over[0] : 1;
    t.width = groups_of_task(&t);
    return t;
}

/* Where tap number `tap` of the group lies in the result. */
static KdPoint tap_point(const Taps *t, int64_t tap) {
    KdType result = t->op->results[0]->type;
    KdPoint at = t->group;
    at.rank = result.rank;
    for (int d = result.rank - 1, kept = t->group.rank; d >= 0; d--) {
        if (has(&t->plan->group, d)) {
            at.dim[d] = t->group.dim[--kept];
        } else {
            at.dim[d] = kd_idx_constant(tap % result.dim[d]);
            tap /= result.dim[d];
        }
    }
    return at;
}

static LLVMValueRef factor(KdEval *ev, const Taps *t, int k, const KdIterators *iters,
                           const KdPoint *at) {
    const KdContract *c = t->op->contract;
    LLVMValueRef x = kd_eval_access(ev, t->op->args[k], k == 0 ? &c->a : &c->b, iters, at);
    if (t->plan->rounded) x = kd_emit_round_bf16(ev->e, x);
    return kd_emit_active(ev->e, at, x, LLVMConstNull(kd_vector_type(ev->e->f32, at->lanes)));
}

/* Planes of a channel lie apart, and each is short: what the next sample has at the same place is
 * asked for now, of a factor with so many times the elements. */
static void fetch_next(KdEmit *e, const Taps *t, const KdFactor *f, const KdPoint *over,
                       int64_t times) {
    const KdPlan *p = t->plan;
    if (!f->memory || !f->linear || p->extent[p->sum.iter[0]] != KD_BATCH || times > MOST_LINES ||
        !kd_is_large(e, f->type))
        return;
    KdIdx at[KD_PLAN_ITERS] = { 0 };
    KdPoint group = tap_point(t, 0);
    for (int d = 0; d < p->rank; d++) at[d] = group.dim[d];
    for (int k = 0; k < over->rank; k++) {
        if (over->dim[k].vector || over->dim[k].whole) return;
        at[p->rank + k] = over->dim[k];
        at[p->rank + k].lane = NULL;
    }
    at[p->sum.iter[0]].offset++;
    const KdFlat batch = { .n = 1, .iter = { p->sum.iter[0] } };
    KdFlat plane = { .n = p->sum.n - 1 };
    for (int k = 0; k < plane.n; k++) plane.iter[k] = p->sum.iter[k + 1];
    LLVMValueRef first =
        add(e, kd_flat_offset(e, &p->group, at, f->lin), kd_flat_offset(e, &batch, at, f->lin));
    first = add(e, first, scaled(e, kd_flat_offset(e, &plane, at, p->s.lin), times));
    for (int64_t k = 0; k < times; k++) {
        LLVMValueRef line = add(e, first, kd_emit_i64(e, k * e->lanes));
        kd_emit_prefetch(e, kd_emit_element(e, e->f32, kd_emit_base(e, f->memory), line));
    }
}

static LLVMValueRef accumulator(KdEmit *e, const Taps *t, int k) {
    return kd_emit_element(e, kd_vector_type(e->f32, e->lanes), t->acc[k], t->nth);
}

/* One vector of what is summed joins all accumulators. */
static void accumulate(KdEval *ev, const KdPoint *image, void *user) {
    const Taps *t = user;
    KdEmit *e = ev->e;
    const KdContract *c = t->op->contract;
    KdPoint at = *image, *over = &at;
    at.rank = c->nover;
    for (int k = 0; k < at.rank && at.rank > 1; k++)
        at.dim[k] = k == 0 ? t->sample : image->dim[k - 1];
    KdType result = t->op->results[0]->type;
    KdIterators iters = { .n = result.rank + c->nover };
    for (int k = 0; k < c->nover; k++) {
        iters.at[result.rank + k] = over->dim[k];
        iters.extent[result.rank + k] = c->over[k];
    }
    const KdFactor *dy = &t->plan->s, *x = &t->plan->v;
    fetch_next(e, t, dy, over, 1);
    fetch_next(e, t, x, over, kd_type_bytes(x->type, 1, 0) / kd_type_bytes(dy->type, 1, 0));
    LLVMTypeRef type = kd_vector_type(e->f32, e->lanes);
    for (int k = 0; k < t->n; k++) {
        KdPoint tap = tap_point(t, t->first + k);
        for (int d = 0; d < result.rank; d++) {
            iters.at[d] = tap.dim[d];
            iters.extent[d] = result.dim[d];
        }
        LLVMValueRef a = factor(ev, t, 0, &iters, over), b = factor(ev, t, 1, &iters, over);
        LLVMValueRef place = accumulator(e, t, k);
        LLVMValueRef so_far = LLVMBuildLoad2(e->b, type, place, "");
        LLVMBuildStore(e->b, kd_emit_multiply_add(e, a, b, so_far), place);
    }
}

static void finish_tap(KdEval *ev, const Taps *t, int k) {
    KdEmit *e = ev->e;
    const KdInstr *kernel = t->kernel;
    KdPoint at = tap_point(t, t->first + k);
    LLVMTypeRef type = kd_vector_type(e->f32, e->lanes);
    LLVMValueRef all = LLVMBuildLoad2(e->b, type, accumulator(e, t, k), "");
    kd_eval_bind(ev, t->op->results[0], &at, kd_emit_across(e, t->op, all));
    LLVMValueRef *value = KD_NEW_ARRAY(e->arena, LLVMValueRef, kernel->nresults);
    for (int r = 0; r < kernel->nresults; r++) /* before the first store, as in maps */
        value[r] = kd_eval(ev, kernel->body->results[r], &at);
    for (int r = 0; r < kernel->nresults; r++)
        kd_emit_store_at(e, kernel->results[r], &at, value[r]);
}

typedef void GroupBody(KdEval *ev, Taps *t);

static void each_group(KdEval *ev, Taps *t, GroupBody *body) {
    KdEmit *e = ev->e;
    KdLoop loop;
    kd_loop_begin(e, &loop, t->lo, t->hi, 1);
    int mark = kd_eval_mark(ev);
    KdIdx index = kd_idx_uniform(loop.index, 1);
    t->group = kd_space_point(e, &t->kept, &index, 1);
    t->nth = LLVMBuildSub(e->b, loop.index, t->lo, "");
    body(ev, t);
    kd_eval_release(ev, mark);
    kd_loop_end(e, &loop);
}

static void start_group(KdEval *ev, Taps *t) {
    LLVMValueRef zero = LLVMConstNull(kd_vector_type(ev->e->f32, ev->e->lanes));
    for (int k = 0; k < t->n; k++) LLVMBuildStore(ev->e->b, zero, accumulator(ev->e, t, k));
}

static void sum_image(KdEval *ev, Taps *t) {
    KdEmit *e = ev->e;
    LLVMValueRef end = kd_group_extent(e, &t->image.group[0]);
    kd_walk(ev, &t->image, kd_emit_i64(e, 0), end, accumulate, t);
}

static void finish_group(KdEval *ev, Taps *t) {
    for (int k = 0; k < t->n; k++) finish_tap(ev, t, k);
}

/* Some taps of the task's groups, in one pass over what is summed. */
static void sum_taps(KdEval *ev, Taps *t) {
    KdEmit *e = ev->e;
    for (int k = 0; k < t->n; k++)
        if (!t->acc[k])
            t->acc[k] = kd_emit_alloca(e, kd_vector_type(e->f32, e->lanes), t->width, KDRT_ALIGN);
    each_group(ev, t, start_group);
    KdLoop loop;
    kd_loop_begin(e, &loop, kd_emit_i64(e, 0), kd_emit_extent(e, t->samples), 1);
    int mark = kd_eval_mark(ev);
    t->sample = kd_idx_uniform(loop.index, 1);
    each_group(ev, t, sum_image);
    kd_eval_release(ev, mark);
    kd_loop_end(e, &loop);
    each_group(ev, t, finish_group);
}

LLVMValueRef kd_taps_tasks(KdEmit *e, const KdInstr *kernel) {
    Taps t = taps_of(e, kernel);
    return kd_task_count(e, kd_group_extent(e, &t.kept.group[0]), t.width);
}

void kd_taps_emit(KdEmit *e, const KdInstr *kernel) {
    Taps t = taps_of(e, kernel);
    KdEval *ev = kd_eval_create(e, kernel);
    int all = (int)count_taps(t.plan), most = most_at_once(e);
    kd_task_bounds(e, kd_group_extent(e, &t.kept.group[0]), t.width, &t.lo, &t.hi);
    for (t.first = 0; t.first < all; t.first += t.n) {
        int mark = kd_eval_mark(ev);
        t.n = all - t.first < most ? all - t.first : most;
        sum_taps(ev, &t);
        kd_eval_release(ev, mark);
    }
}
