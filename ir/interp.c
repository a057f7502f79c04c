/*
 * The interpreter's walk: values in order, each by the rule that the op table names. A call and a
 * kernel run the function they stand for in the same way, so both levels have one meaning.
 * Intermediate tensors live in a scratch pool of the call; results are copied out of it.
 */
#include "ir/interp.h"

#include <inttypes.h>
#include <string.h>

#include "ir/interp_rules.h"

typedef bool Rule(const KdEval *e);

static Rule *const rules[KD_NUM_OPS] = {
#define KD_OP(e, text, nargs, infer, adjoint, emit, eval, traits, attrs, meaning) \
    [KD_OP_##e] = kd_eval_##eval,
#include "ir/ops.def"
};

/* A zeroed tensor of that type in the pool. */
KdTensor kd_tensor_create(KdArena *a, KdType t, int64_t n, int64_t rows) {
    KdTensor x = { .type = t, .n = n, .rows = rows, .count = kd_type_elements(t, n, rows) };
    x.data = kd_arena_array(a, (size_t)x.count + 1, sizeof(double));
    return x;
}

/* --- ops that run or show something --------------------------------------------------------- */

bool kd_eval_call(const KdEval *e) {
    const char *name = kd_attr_str(e->i->attrs, "callee", "");
    const KdFunc *callee = kd_module_func(e->i->func->module, name);
    if (!callee) return kd_error(e->d, e->i->loc, "call: no function @%s", name);
    return kd_interpret(e->in, callee, e->arg, e->out, e->d);
}

bool kd_eval_kernel(const KdEval *e) {
    return kd_interpret(e->in, e->i->body, e->arg, e->out, e->d);
}

bool kd_eval_print(const KdEval *e) {
    enum { SHOWN = 16 };
    const KdTensor *x = &e->arg[0];
    memcpy(e->out->data, x->data, (size_t)x->count * sizeof(double));
    FILE *out = e->in->print;
    if (!out) return true;
    char text[KD_TYPE_TEXT];
    fprintf(out, "%s %s:", kd_attr_str(e->i->attrs, "label", ""), kd_type_text(x->type, text));
    for (int64_t k = 0; k < x->count && k < SHOWN; k++) fprintf(out, " %.6g", x->data[k]);
    fputs(x->count > SHOWN ? " ...\n" : "\n", out);
    return true;
}

/* --- the walk ------------------------------------------------------------------------------- */

static bool check_args(const KdInterp *in, const KdFunc *f, const KdTensor *args, KdDiag *d) {
    for (int k = 0; k < f->nargs; k++) {
        KdType wanted = f->args[k]->type;
        char has[KD_TYPE_TEXT], want[KD_TYPE_TEXT];
        if (!kd_type_equal(args[k].type, wanted)) {
            return kd_error(d, f->loc, "@%s: %%%s takes %s, given %s", f->name, f->args[k]->name,
                            kd_type_text(wanted, want), kd_type_text(args[k].type, has));
        }
        if (kd_type_has(wanted, KD_BATCH) && args[k].n != in->n) {
            return kd_error(d, f->loc, "@%s: %%%s has %" PRId64 " rows in a batch of %" PRId64,
                            f->name, f->args[k]->name, args[k].n, in->n);
        }
    }
    if (f->max_batch && (in->n < 1 || in->n > f->max_batch)) {
        return kd_error(d, f->loc, "@%s: a batch of %" PRId64 ", at least 1 and at most %" PRId64,
                        f->name, in->n, f->max_batch);
    }
    return true;
}

/* i32 results as 32 bits hold them; f32 results as floats would be, where that is asked for. */
static void round_result(const KdInterp *in, KdTensor *t) {
    bool whole = t->type.dtype == KD_I32, real = in->round_f32 && t->type.dtype == KD_F32;
    for (int64_t k = 0; whole && k < t->count; k++)
        t->data[k] = (double)(int32_t)(uint32_t)(int64_t)t->data[k];
    for (int64_t k = 0; real && k < t->count; k++) t->data[k] = (double)(float)t->data[k];
}

static bool run_instr(const KdInterp *in, const KdInstr *i, KdTensor *value, KdDiag *d) {
    KdTensor *arg = KD_NEW_ARRAY(in->arena, KdTensor, i->nargs + 1);
    KdTensor *out = KD_NEW_ARRAY(in->arena, KdTensor, i->nresults + 1);
    for (int k = 0; k < i->nargs; k++) arg[k] = value[i->args[k]->id];
    for (int k = 0; k < i->nresults; k++) {
        out[k] = kd_tensor_create(in->arena, i->results[k]->type, in->n, 0);
    }
    const KdEval e = { .in = in, .i = i, .arg = arg, .out = out, .d = d };
    if (!rules[i->op](&e)) return false;
    for (int k = 0; k < i->nresults; k++) {
        round_result(in, &out[k]);
        value[i->results[k]->id] = out[k];
        if (in->watch && !in->watch(in->user, i, &out[k])) return false;
    }
    return true;
}

bool kd_interpret(const KdInterp *in, const KdFunc *f, const KdTensor *args, KdTensor *results,
                  KdDiag *d) {
    if (!check_args(in, f, args, d)) return false;
    KdInterp inside = *in;
    inside.arena = kd_arena_create();
    KdTensor *value = KD_NEW_ARRAY(inside.arena, KdTensor, f->nvalues + 1);
    for (int k = 0; k < f->nargs; k++) value[f->args[k]->id] = args[k];
    bool good = true;
    for (const KdInstr *i = f->first; i && good; i = i->next)
        good = run_instr(&inside, i, value, d);
    for (int k = 0; good && k < f->nresults; k++) {
        const KdTensor *from = &value[f->results[k]->id];
        results[k] = *from;
        results[k].data = kd_arena_array(in->arena, (size_t)from->count + 1, sizeof(double));
        memcpy(results[k].data, from->data, (size_t)from->count * sizeof(double));
    }
    kd_arena_destroy(inside.arena);
    return good;
}
