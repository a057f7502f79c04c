/*
 * Canonicalisation: one shape for what means the same. Rounds of three sweeps over a function,
 * until none changes anything:
 *
 *   1. the rules of rules.c and rules_movement.c, tried on each instruction in order
 *   2. common subexpressions, found by structural hash, are computed once
 *   3. what nobody reads is dropped, but for instructions with an effect
 *
 * An instruction that bears a site is never replaced, seen through or made to stand for another:
 * other passes look for it, and change what it gives to those who read it.
 */
#include "passes/canonicalize.h"

#include <stdint.h>
#include <string.h>

#define MAX_ROUNDS 64

/* --- 1. rules ------------------------------------------------------------------------------- */

static KdValue *apply_rules(KdRewrite *r, KdInstr *i, const KdRuleInfo *rules) {
    for (const KdRuleInfo *row = rules; row->rule; row++) {
        bool suits = row->op == i->op || (row->op == KD_NUM_OPS && kd_op_has(i->op, row->traits));
        KdValue *by = suits ? row->rule(r, i) : NULL;
        if (by) return by;
    }
    return NULL;
}

static bool sweep_rules(KdFunc *f, bool drop_detach, KdDiag *d) {
    KdRewrite r = { .b = kd_builder(f, d), .drop_detach = drop_detach };
    bool changed = false;
    for (KdInstr *i = f->first, *next; i; i = next) {
        next = i->next;
        if (i->nresults != 1 || i->site) continue;
        if (!kd_steps_left(d)) break;
        r.b.before = i;
        r.b.loc = i->loc;
        r.b.role = i->role;
        int known = f->nvalues;
        KdValue *old = i->results[0];
        KdValue *by = apply_rules(&r, i, kd_rules_algebra);
        if (!by) by = apply_rules(&r, i, kd_rules_movement);
        if (!by) continue;
        kd_step(d);
        kd_replace_uses(old, by);
        const char *name = old->name;
        kd_instr_remove(i);
        if (by->id >= known) kd_value_rename(by, name);
        changed = true;
    }
    return changed;
}

/* --- 2. common subexpressions --------------------------------------------------------------- */

/* 0 and -0 differ by them, and a NaN equals itself. */
static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static bool attr_equal(const KdAttr *x, const KdAttr *y) {
    for (; x && y; x = x->next, y = y->next) {
        if (strcmp(x->name, y->name) != 0 || x->kind != y->kind) return false;
        if (x->kind == KD_ATTR_INT && x->i != y->i) return false;
        if (x->kind == KD_ATTR_NUM && bits_of(x->num) != bits_of(y->num)) return false;
        if (x->kind == KD_ATTR_STR && strcmp(x->str, y->str) != 0) return false;
        if (x->kind != KD_ATTR_INTS) continue;
        if (x->nints != y->nints ||
            memcmp(x->ints, y->ints, (size_t)x->nints * sizeof *x->ints) != 0)
            return false;
    }
    return !x && !y;
}

static bool contract_equal(const KdContract *x, const KdContract *y) {
    if (!x || !y) return x == y;
    return x->nover == y->nover && !memcmp(x->over, y->over, (size_t)x->nover * sizeof *x->over) &&
           kd_access_equal(&x->a, &y->a) && kd_access_equal(&x->b, &y->b);
}

static bool computes_the_same(const KdInstr *x, const KdInstr *y) {
    if (x->op != y->op || x->nargs != y->nargs) return false;
    for (int k = 0; k < x->nargs; k++)
        if (x->args[k] != y->args[k]) return false;
    if (!x->access != !y->access || (x->access && !kd_access_equal(x->access, y->access)))
        return false;
    return kd_type_equal(x->results[0]->type, y->results[0]->type) &&
           attr_equal(x->attrs, y->attrs) && contract_equal(x->contract, y->contract);
}

static uint64_t hash_of(const KdInstr *i) {
    uint64_t h = 14695981039346656037u ^ (uint64_t)i->op;
    for (int k = 0; k < i->nargs; k++) h = (h ^ (uint64_t)i->args[k]->id) * 1099511628211u;
    for (int k = 0; k < i->results[0]->type.rank; k++)
        h = (h ^ (uint64_t)i->results[0]->type.dim[k]) * 1099511628211u;
    h = (h ^ bits_of(kd_attr_num(i->attrs, "value", 0))) * 1099511628211u; /* constants */
    return h ^ h >> 32;
}

static bool may_merge(const KdInstr *i) {
    return i->nresults == 1 && !i->site && !kd_op_has(i->op, KD_T_EFFECT) &&
           !kd_op_has(i->op, KD_T_STRUCTURE);
}

/* Chained hash table of the instructions seen so far; an equal one before dominates. A bucket a
 * value: chains stay short. */
static bool merge_equal(KdFunc *f, KdDiag *d) {
    typedef struct Seen Seen;
    struct Seen {
        KdInstr *i;
        Seen *next;
    };
    KdArena *a = kd_arena_create();
    uint64_t buckets = (uint64_t)f->nvalues + 1;
    Seen **bucket = KD_NEW_ARRAY(a, Seen *, buckets);
    bool changed = false;
    for (KdInstr *i = f->first, *next; i; i = next) {
        next = i->next;
        if (!may_merge(i)) continue;
        Seen **head = &bucket[hash_of(i) % buckets], *same = *head;
        while (same && !computes_the_same(same->i, i)) same = same->next;
        if (same && kd_step(d)) {
            kd_replace_uses(i->results[0], same->i->results[0]);
            kd_instr_remove(i);
            changed = true;
        } else if (!same) {
            Seen *fresh = KD_NEW(a, Seen);
            *fresh = (Seen){ i, *head };
            *head = fresh;
        }
    }
    kd_arena_destroy(a);
    return changed;
}

/* --- 3. dead code --------------------------------------------------------------------------- */

/* Functions whose calls may be dropped. A callee stands before its caller, so what it calls is
 * known when it is looked at. */
typedef struct Pure {
    int n;
    const KdFunc **f;
} Pure;

static bool is_pure(const Pure *pure, const char *name) {
    for (int k = 0; k < pure->n; k++)
        if (strcmp(pure->f[k]->name, name) == 0) return true;
    return false;
}

static bool has_effect(const Pure *pure, const KdFunc *f);

static bool must_stay(const Pure *pure, const KdInstr *i) {
    if (kd_op_has(i->op, KD_T_EFFECT)) return true;
    if (!kd_op_has(i->op, KD_T_STRUCTURE)) return false;
    if (i->body) return has_effect(pure, i->body);
    return !is_pure(pure, kd_attr_str(i->attrs, "callee", ""));
}

static bool has_effect(const Pure *pure, const KdFunc *f) {
    KD_EACH_INSTR(i, f)
    if (must_stay(pure, i)) return true;
    return false;
}

static bool drop_dead(const Pure *pure, KdFunc *f) {
    KdArena *a = kd_arena_create();
    int *uses = kd_count_uses(f, a);
    bool changed = false;
    for (KdInstr *i = f->last, *prev; i; i = prev) {
        prev = i->prev;
        bool used = must_stay(pure, i);
        for (int k = 0; k < i->nresults; k++) used = used || uses[i->results[k]->id] > 0;
        if (used) continue;
        for (int k = 0; k < i->nargs; k++) uses[i->args[k]->id]--;
        kd_instr_remove(i);
        changed = true;
    }
    kd_arena_destroy(a);
    return changed;
}

/* canonicalize{drop_detach=1}: rewrites every function; `detach` goes only when asked, since
 * autodiff needs it. */
bool kd_pass_canonicalize(KdModule *m, const KdAttr *options, KdDiag *d) {
    bool drop_detach = kd_attr_int(options, "drop_detach", 0) != 0;
    int errors = d->errors;
    KdArena *a = kd_arena_create();
    Pure pure = { 0 };
    KD_EACH_FUNC(f, m) {
        bool changed = true;
        for (int round = 0; changed && round < MAX_ROUNDS; round++) {
            changed = sweep_rules(f, drop_detach, d);
            changed = merge_equal(f, d) || changed;
            changed = drop_dead(&pure, f) || changed;
        }
        if (has_effect(&pure, f)) continue;
        pure.f = KD_GROW_ARRAY(a, pure.f, pure.n);
        pure.f[pure.n++] = f;
    }
    kd_arena_destroy(a);
    return d->errors == errors;
}
