/*
 * Functions, their arguments, results and names. Each function keeps a hash set of the names in use
 * (open addressing, in the module's pool); an entry also counts the suffixes handed out behind its
 * name, so that thousands of values called "add" are named in linear time.
 */
#include "ir/func.h"

#include <ctype.h>
#include <string.h>

/* --- the set of names ---------------------------------------------------------------------- */

typedef struct Name {
    const char *text; /* NULL: a free slot */
    bool taken;       /* false: was released, may be taken again */
    int suffix;       /* the last one tried behind this name */
} Name;

typedef struct Names {
    size_t room; /* a power of two */
    size_t count;
    Name *slot;
} Names;

static size_t hash(const char *s) {
    size_t h = 14695981039346656037u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return h;
}

static Name *probe(const Names *set, const char *text) {
    size_t at = hash(text) & (set->room - 1);
    while (set->slot[at].text && strcmp(set->slot[at].text, text) != 0) {
        at = (at + 1) & (set->room - 1);
    }
    return &set->slot[at];
}

static void grow(KdArena *a, Names *set) {
    Names old = *set;
    set->room = old.room ? 2 * old.room : 32;
    set->slot = KD_NEW_ARRAY(a, Name, set->room);
    for (size_t k = 0; k < old.room; k++) {
        if (old.slot[k].text) *probe(set, old.slot[k].text) = old.slot[k];
    }
}

/* The entry of `text`, added free when there is none. */
static Name *entry(KdFunc *f, const char *text) {
    KdArena *a = f->module->arena;
    Names *set = f->names;
    if (!set) f->names = set = KD_NEW(a, Names);
    if (4 * set->count >= 3 * set->room) grow(a, set);
    Name *n = probe(set, text);
    if (!n->text) {
        *n = (Name){ .text = kd_arena_string(a, text) };
        set->count++;
    }
    return n;
}

/* A name as the text allows it: [A-Za-z_][A-Za-z0-9_.]* or a plain number. */
static const char *spelled(KdArena *a, const char *wanted) {
    if (!*wanted) return "v";
    bool number = wanted[strspn(wanted, "0123456789")] == '\0';
    if (number) return wanted;
    bool bad_start = !isalpha((unsigned char)*wanted) && *wanted != '_';
    char *s = kd_arena_format(a, "%s%s", bad_start ? "_" : "", wanted);
    for (char *c = s; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '.') *c = '_';
    }
    return s;
}

const char *kd_func_unique_name(KdFunc *f, const char *wanted) {
    KdArena *a = f->module->arena;
    wanted = spelled(a, wanted);
    Name *n = entry(f, wanted);
    while (n->taken) {
        int suffix = ++entry(f, wanted)->suffix; /* entries move when the set grows */
        n = entry(f, kd_arena_format(a, "%s.%d", wanted, suffix));
    }
    n->taken = true;
    return n->text;
}

void kd_func_release_name(KdFunc *f, const char *name) {
    entry(f, name)->taken = false;
}

void kd_value_rename(KdValue *v, const char *wanted) {
    kd_func_release_name(v->func, v->name);
    v->name = kd_func_unique_name(v->func, wanted);
}

/* --- functions ----------------------------------------------------------------------------- */

static KdFunc *create(KdModule *m, const char *name, int64_t max_batch) {
    KdFunc *f = KD_NEW(m->arena, KdFunc);
    f->module = m;
    f->name = kd_arena_string(m->arena, name);
    f->max_batch = max_batch;
    return f;
}

KdFunc *kd_func_create(KdModule *m, const char *name, int64_t max_batch) {
    KdFunc *f = create(m, name, max_batch);
    if (m->last) {
        m->last->next = f;
    } else {
        m->first = f;
    }
    m->last = f;
    return f;
}

KdFunc *kd_body_create(KdFunc *outer) {
    KdFunc *f = create(outer->module, "", outer->max_batch);
    f->loc = outer->loc;
    return f;
}

void kd_func_remove(KdModule *m, KdFunc *f) {
    KdFunc *before = NULL;
    for (KdFunc *g = m->first; g && g != f; g = g->next) before = g;
    if (before) {
        before->next = f->next;
    } else {
        m->first = f->next;
    }
    if (m->last == f) m->last = before;
    f->next = NULL;
}

KdValue *kd_value_create(KdFunc *f, const char *name, KdType t, KdLoc loc) {
    KdValue *v = KD_NEW(f->module->arena, KdValue);
    v->type = t;
    v->name = kd_func_unique_name(f, name);
    v->id = f->nvalues++;
    v->func = f;
    v->loc = loc;
    return v;
}

/* Arguments are bound by name, so an instruction's result that took the name gives way. */
static void free_name(KdFunc *f, const char *name) {
    KD_EACH_INSTR(i, f) {
        for (int k = 0; k < i->nresults; k++) {
            if (strcmp(i->results[k]->name, name) != 0) continue;
            i->results[k]->name = kd_func_unique_name(f, name);
            kd_func_release_name(f, name);
            return;
        }
    }
}

KdValue *kd_func_add_arg(KdFunc *f, const char *name, KdType t, const char *kind) {
    KdArena *a = f->module->arena;
    free_name(f, name);
    KdValue *v = kd_value_create(f, name, t, f->loc);
    v->index = f->nargs;
    v->kind = kind ? kd_arena_string(a, kind) : NULL;
    f->args = KD_GROW_ARRAY(a, f->args, f->nargs);
    f->args[f->nargs++] = v;
    return v;
}

KdValue *kd_func_arg(const KdFunc *f, const char *name) {
    for (int k = 0; k < f->nargs; k++) {
        if (strcmp(f->args[k]->name, name) == 0) return f->args[k];
    }
    return NULL;
}

KdValue *kd_func_arg_kind(const KdFunc *f, const char *kind) {
    for (int k = 0; k < f->nargs; k++) {
        if (f->args[k]->kind && strcmp(f->args[k]->kind, kind) == 0) return f->args[k];
    }
    return NULL;
}

KdValue *kd_func_param(KdFunc *f, const KdParam *p) {
    const char *name = kd_arena_format(f->module->arena, "%s.%s", p->network, p->name);
    KdValue *v = kd_func_arg(f, name);
    if (v) return v;
    v = kd_func_add_arg(f, name, p->type, KD_ARG_PARAM);
    v->loc = p->loc;
    return v;
}

void kd_func_set_results(KdFunc *f, int n, KdValue *const *values) {
    if (n != f->nresults) f->in_place = NULL;
    f->nresults = n;
    f->results = KD_COPY_ARRAY(f->module->arena, values, n);
}

bool kd_reduces(const KdInstr *i, int dim) {
    const KdAttr *axes = kd_attr_find(i->attrs, "axes");
    for (int k = 0; axes && k < axes->nints; k++) {
        if (axes->ints[k] == dim) return true;
    }
    return false;
}
