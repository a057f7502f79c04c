/*
 * Changing functions: linking instructions in and out, replacing uses, copying. Copies look their
 * operands up in a map from the old value's id to the new value; what the map does not hold is used
 * as it is, which is right inside of one function only.
 */
#include "ir/func.h"

#include <string.h>

void kd_instr_insert(KdInstr *i, KdInstr *where) {
    KdFunc *f = i->func;
    i->next = where;
    i->prev = where ? where->prev : f->last;
    if (i->prev) {
        i->prev->next = i;
    } else {
        f->first = i;
    }
    if (where) {
        where->prev = i;
    } else {
        f->last = i;
    }
}

static void unlink_instr(KdInstr *i) {
    KdFunc *f = i->func;
    if (i->prev) {
        i->prev->next = i->next;
    } else {
        f->first = i->next;
    }
    if (i->next) {
        i->next->prev = i->prev;
    } else {
        f->last = i->prev;
    }
    i->prev = i->next = NULL;
}

void kd_instr_remove(KdInstr *i) {
    unlink_instr(i);
    for (int k = 0; k < i->nresults; k++) kd_func_release_name(i->func, i->results[k]->name);
}

void kd_instr_move_before(KdInstr *i, KdInstr *where) {
    if (i == where) return;
    unlink_instr(i);
    kd_instr_insert(i, where);
}

void kd_replace_uses(KdValue *old, KdValue *by) {
    KdFunc *f = old->func;
    KD_EACH_INSTR(i, f) {
        for (int k = 0; k < i->nargs; k++) {
            if (i->args[k] == old) i->args[k] = by;
        }
    }
    for (int k = 0; k < f->nresults; k++) {
        if (f->results[k] == old) f->results[k] = by;
    }
}

int *kd_count_uses(const KdFunc *f, KdArena *a) {
    int *uses = KD_NEW_ARRAY(a, int, f->nvalues);
    KD_EACH_INSTR(i, f) {
        for (int k = 0; k < i->nargs; k++) uses[i->args[k]->id]++;
    }
    for (int k = 0; k < f->nresults; k++) uses[f->results[k]->id]++;
    return uses;
}

void kd_func_drop_dead(KdFunc *f, KdArena *a) {
    int *uses = kd_count_uses(f, a);
    for (KdInstr *i = f->last, *before; i; i = before) {
        before = i->prev;
        bool used = kd_op_has(i->op, KD_T_EFFECT);
        for (int k = 0; k < i->nresults; k++) used |= uses[i->results[k]->id] > 0;
        if (used) continue;
        for (int k = 0; k < i->nargs; k++) uses[i->args[k]->id]--;
        kd_instr_remove(i);
    }
    uses = kd_count_uses(f, a);
    int n = 0;
    for (int k = 0; k < f->nargs; k++) {
        KdValue *v = f->args[k];
        const char *kind = v->kind ? v->kind : "";
        bool may_go = strcmp(kind, KD_ARG_DATA) == 0 || strcmp(kind, KD_ARG_PARAM) == 0;
        if (may_go && uses[v->id] == 0) continue;
        v->index = n;
        f->args[n++] = v;
    }
    f->nargs = n;
}

/* --- copying ------------------------------------------------------------------------------- */

static KdValue *mapped(KdValue *const *map, KdValue *v) {
    return map && map[v->id] ? map[v->id] : v;
}

/* Copies arguments, instructions and results of `from` into the empty function `to`. */
static void copy_contents(KdFunc *to, const KdFunc *from);

static KdFunc *clone_body(const KdInstr *i, KdFunc *outer) {
    KdFunc *body = kd_body_create(outer);
    body->loc = i->body->loc;
    copy_contents(body, i->body);
    return body;
}

static KdInstr *clone_under(KdBuilder *b, const KdInstr *i, KdValue **map, const char *prefix) {
    KdArena *a = b->f->module->arena;
    KdInstr *c = kd_arena_copy(a, i, sizeof *i);
    c->func = b->f;
    c->prev = c->next = NULL;
    if (b->role) c->role = b->role;
    c->attrs = kd_attr_clone(a, i->attrs);
    c->args = KD_NEW_ARRAY(a, KdValue *, i->nargs);
    for (int k = 0; k < i->nargs; k++) c->args[k] = mapped(map, i->args[k]);
    if (i->access) c->access = kd_arena_copy(a, i->access, sizeof *i->access);
    if (i->contract) c->contract = kd_arena_copy(a, i->contract, sizeof *i->contract);
    if (i->body) {
        c->body = clone_body(i, b->f);
        c->body->owner = c;
    }
    c->results = KD_NEW_ARRAY(a, KdValue *, i->nresults);
    for (int k = 0; k < i->nresults; k++) {
        const KdValue *old = i->results[k];
        const char *name = b->name && k == 0 ? b->name : old->name;
        if (prefix) name = kd_arena_format(a, "%s.%s", prefix, name);
        KdValue *v = c->results[k] = kd_value_create(b->f, name, old->type, old->loc);
        v->def = c;
        v->index = k;
        if (map) map[old->id] = v;
    }
    b->name = NULL;
    kd_instr_insert(c, b->before);
    return c;
}

KdInstr *kd_instr_clone(KdBuilder *b, const KdInstr *i, KdValue **map) {
    return clone_under(b, i, map, NULL);
}

void kd_inline(KdBuilder *b, const KdFunc *callee, KdValue *const *args, const char *prefix,
               KdValue **results) {
    KdArena *scratch = kd_arena_create();
    KdValue **map = KD_NEW_ARRAY(scratch, KdValue *, callee->nvalues);
    const KdInstr *last = callee->last; /* the callee may be b->f itself: stop at its old end */
    for (int k = 0; k < callee->nargs; k++) map[callee->args[k]->id] = args[k];
    b->name = NULL;
    for (const KdInstr *i = callee->first; i; i = i == last ? NULL : i->next) {
        clone_under(b, i, map, prefix);
    }
    for (int k = 0; k < callee->nresults; k++) results[k] = map[callee->results[k]->id];
    kd_arena_destroy(scratch);
}

/* A step that is trained has some hundreds; functions that call each other twice at each level have
 * no end. */
#define MOST_VALUES 200000

static void inline_call(KdInstr *call, const KdFunc *callee, const char *prefix, KdDiag *d) {
    KdBuilder b = kd_builder(call->func, d);
    KdValue **results = KD_NEW_ARRAY(call->func->module->arena, KdValue *, call->nresults);
    b.before = call;
    kd_inline(&b, callee, call->args, prefix, results);
    for (int k = 0; k < call->nresults; k++) kd_replace_uses(call->results[k], results[k]);
    kd_instr_remove(call);
}

bool kd_inline_calls(KdFunc *f, bool prefixed, KdDiag *d) {
    for (KdInstr *i = f->first, *next; i; i = next) {
        next = i->next;
        if (i->op != KD_OP_CALL) continue;
        const KdFunc *callee = kd_module_func(f->module, kd_attr_str(i->attrs, "callee", ""));
        KdInstr *before = i->prev;
        if (!callee) kd_bug(d, "call of an unknown function in @%s", f->name);
        if (f->nvalues + callee->nvalues > MOST_VALUES)
            return kd_error(d, i->loc, "call: @%s has more than %d values with those of @%s",
                            f->name, MOST_VALUES, callee->name);
        inline_call(i, callee, prefixed ? callee->name : NULL, d);
        next = before ? before->next : f->first; /* the callee's may be calls too */
    }
    return true;
}

static void copy_contents(KdFunc *to, const KdFunc *from) {
    KdArena *a = to->module->arena;
    KdArena *scratch = kd_arena_create();
    KdValue **map = KD_NEW_ARRAY(scratch, KdValue *, from->nvalues);
    for (int k = 0; k < from->nargs; k++) {
        const KdValue *old = from->args[k];
        KdValue *v = kd_func_add_arg(to, old->name, old->type, old->kind);
        v->loc = old->loc;
        v->buffer = old->buffer;
        map[old->id] = v;
    }
    KdBuilder b = kd_builder(to, NULL);
    KD_EACH_INSTR(i, from) {
        KdInstr *c = clone_under(&b, i, map, NULL);
        for (int k = 0; k < i->nresults; k++) c->results[k]->buffer = i->results[k]->buffer;
    }
    KdValue **results = KD_NEW_ARRAY(scratch, KdValue *, from->nresults);
    for (int k = 0; k < from->nresults; k++) results[k] = map[from->results[k]->id];
    kd_func_set_results(to, from->nresults, results);
    if (from->in_place) to->in_place = KD_COPY_ARRAY(a, from->in_place, from->nresults);
    to->arena_bytes = from->arena_bytes;
    to->planned = from->planned;
    kd_arena_destroy(scratch);
}

KdFunc *kd_func_clone(KdFunc *f, const char *name) {
    KdFunc *g = kd_func_create(f->module, name, f->max_batch);
    g->loc = f->loc;
    copy_contents(g, f);
    return g;
}
