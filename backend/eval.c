/*
 * The elemental evaluator: the value of any instruction of a kernel's body at a point, by asking
 * its op's rule, which asks for its operands at the points it needs. Values are remembered per
 * point, so what several users share is computed once. A point that is the same in all lanes is
 * computed as a scalar and broadcast.
 *
 *   kd_eval(relu, p) -> kd_eval(add, p) -> load x at p
 *                                       -> kd_eval(view bias, p) -> load bias at p.dim[1]
 */
#include "backend/eval.h"
#include "backend/debug.h"

bool kd_point_is_uniform(const KdPoint *at) {
    for (int k = 0; k < at->rank; k++) {
        if (!kd_idx_is_uniform(&at->dim[k])) {
            return false;
        }
    }
    return true;
}

bool kd_point_equal(const KdPoint *a, const KdPoint *b) {
    if (a->lanes != b->lanes || a->rank != b->rank || a->mask != b->mask || a->dead != b->dead) {
        return false;
    }
    for (int k = 0; k < a->rank; k++) {
        if (!kd_idx_equal(&a->dim[k], &b->dim[k], a->lanes)) {
            return false;
        }
    }
    return true;
}

KdPoint kd_point_scalar(const KdPoint *at) {
    KdPoint scalar = *at;
    scalar.lanes = 1;
    scalar.mask = NULL;
    scalar.prefix = false;
    scalar.dead = NULL;
    return scalar;
}

/* --- memory of values ------------------------------------------------------------------------ */

static int slot_of(const KdEval *ev, int key) {
    return key >= 0 ? key : ev->body->nvalues + (-1 - key);
}

KdMemo *kd_memo_find(KdEval *ev, int key, const KdPoint *at) {
    for (int k = ev->latest[slot_of(ev, key)]; k >= 0; k = ev->memo[k].older) {
        if (kd_point_equal(&ev->memo[k].at, at)) {
            return &ev->memo[k];
        }
    }
    return NULL;
}

KdMemo *kd_memo_add(KdEval *ev, int key, const KdPoint *at, LLVMValueRef value) {
    if (ev->nmemo == ev->capacity) {
        int capacity = ev->capacity ? 2 * ev->capacity : 256;
        KdMemo *bigger = KD_NEW_ARRAY(ev->e->arena, KdMemo, capacity);
        for (int k = 0; k < ev->nmemo; k++) {
            bigger[k] = ev->memo[k];
        }
        ev->memo = bigger;
        ev->capacity = capacity;
    }
    KdMemo *m = &ev->memo[ev->nmemo];
    *m = (KdMemo){ .key = key, .at = *at, .value = value };
    m->older = ev->latest[slot_of(ev, key)];
    ev->latest[slot_of(ev, key)] = ev->nmemo++;
    return m;
}

int kd_eval_mark(KdEval *ev) {
    return ev->nmemo;
}

void kd_eval_release(KdEval *ev, int mark) {
    while (ev->nmemo > mark) {
        const KdMemo *m = &ev->memo[--ev->nmemo];
        ev->latest[slot_of(ev, m->key)] = m->older;
    }
}

/* --- evaluation ------------------------------------------------------------------------------ */

/* What depends on no loop: rank 0 all the way to arguments, constants and hyperparameters. An
 * effect happens where its kernel puts it. */
static bool is_free_scalar(const KdValue *v, bool *known, const KdInstr *i) {
    if (v->type.rank != 0 || kd_op_has(i->op, KD_T_REDUCTION) ||
        kd_op_has(i->op, KD_T_CONTRACTION) || kd_op_has(i->op, KD_T_EFFECT)) {
        return false;
    }
    for (int k = 0; k < i->nargs; k++) {
        const KdValue *arg = i->args[k];
        if (arg->type.rank != 0 || (arg->def && !known[arg->id])) {
            return false;
        }
    }
    return true;
}

KdEval *kd_eval_create(KdEmit *e, const KdInstr *kernel) {
    KdEval *ev = KD_NEW(e->arena, KdEval);
    *ev = (KdEval){ .e = e, .kernel = kernel, .body = kernel->body };
    int keys = 2 * kernel->body->nvalues;
    ev->latest = KD_NEW_ARRAY(e->arena, int, keys + 1);
    for (int k = 0; k < keys; k++) {
        ev->latest[k] = -1;
    }
    bool *known = KD_NEW_ARRAY(e->arena, bool, kernel->body->nvalues + 1);
    const KdPoint scalar = { .lanes = 1 };
    KD_EACH_INSTR(i, kernel->body) {
        if (is_free_scalar(i->results[0], known, i)) {
            known[i->results[0]->id] = true;
            kd_eval(ev, i->results[0], &scalar);
        }
    }
    return ev;
}

void kd_eval_bind(KdEval *ev, const KdValue *v, const KdPoint *at, LLVMValueRef value) {
    kd_memo_add(ev, v->id, at, value);
}

LLVMValueRef kd_eval_arg(KdEval *ev, const KdInstr *i, int k, const KdPoint *at) {
    return kd_eval(ev, i->args[k], at);
}

LLVMValueRef kd_eval(KdEval *ev, const KdValue *v, const KdPoint *at) {
    KdEmit *e = ev->e;
    if (at->rank != v->type.rank) {
        kd_bug(e->diag, "%%%s is asked for at a point of rank %d", v->name, at->rank);
    }
    KdMemo *m = kd_memo_find(ev, v->id, at);
    if (m) {
        return m->value;
    }
    if (at->lanes > 1 && kd_point_is_uniform(at)) {
        KdPoint scalar = kd_point_scalar(at);
        LLVMValueRef value = kd_emit_splat(e, kd_eval(ev, v, &scalar), at->lanes);
        kd_memo_add(ev, v->id, at, value);
        return value;
    }
    LLVMValueRef value;
    if (v == ev->held) {
        KdPoint local = *at;
        local.dim[0] = kd_idx_constant(0);
        value = kd_emit_load_at(e, ev->held_type, ev->held_base, &local);
    } else if (v->def) {
        LLVMMetadataRef before = kd_debug_enter(e, v->def->loc);
        value = kd_emit_op(ev, v->def, at);
        kd_debug_leave(e, before);
    } else {
        const KdValue *operand = ev->kernel->args[v->index];
        value = kd_emit_load_at(e, v->type, kd_emit_base(e, operand), at);
    }
    kd_memo_add(ev, v->id, at, value);
    return value;
}
