/*
 * Instructions:  results = op operands { attributes } : types role site @ place loc { body }
 *
 * The text's types serve as hint to the shape rule where it needs one; then what the rule gives is
 * compared with what the text says, so a module that was parsed has the types of its rules.
 */
#include "ir/parse.h"

#include <inttypes.h>
#include <string.h>

#include "ir/attrspec.h"

/* --- names of values ------------------------------------------------------------------------ */

static uint64_t hash(const char *s) {
    uint64_t h = 14695981039346656037u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return h;
}

/* The slot of that name: its value, or where it would go. */
static KdValue **slot_of(const KdNames *names, const char *name) {
    uint64_t at = hash(name);
    for (;; at++) {
        KdValue **slot = &names->slot[at & (uint64_t)(names->room - 1)];
        if (!*slot || strcmp((*slot)->name, name) == 0) return slot;
    }
}

KdValue *kd_names_find(const KdNames *names, const char *name) {
    return names->room ? *slot_of(names, name) : NULL;
}

bool kd_names_add(KdNames *names, KdArena *a, KdValue *v) {
    if (kd_names_find(names, v->name)) return false;
    if ((names->used + 1) * 2 > names->room) {
        KdNames old = *names;
        names->room = old.room ? old.room * 2 : 64;
        names->slot = KD_NEW_ARRAY(a, KdValue *, names->room);
        for (int k = 0; k < old.room; k++) {
            if (old.slot[k]) *slot_of(names, old.slot[k]->name) = old.slot[k];
        }
    }
    *slot_of(names, v->name) = v;
    names->used++;
    return true;
}

/* While a function is read, its values have the text's names, which this lexer knows to differ; the
 * function's own set of names is made anew from them. */
void kd_parse_settle_names(KdFunc *f) {
    f->names = NULL;
    for (int k = 0; k < f->nargs; k++) {
        f->args[k]->name = kd_func_unique_name(f, f->args[k]->name);
    }
    KD_EACH_INSTR(i, f) {
        for (int k = 0; k < i->nresults; k++) {
            i->results[k]->name = kd_func_unique_name(f, i->results[k]->name);
        }
    }
}

/* --- pieces of an instruction --------------------------------------------------------------- */

/* What was read of an instruction before it exists. */
typedef struct Line {
    KdToken op_at;
    KdOp op;
    int nresults;
    KdToken *result; /* names and where they stand */
    KdToken *type_at;
    KdType *type;
    int nargs;
    KdValue **args;
    KdAttr *attrs;
    bool has_at, has_over, has_a, has_b;
    KdAccess at;
    KdContract contract;
} Line;

static bool unknown_value(KdParser *p) {
    int n = 0;
    const char **names = KD_NEW_ARRAY(p->scratch, const char *, p->names.used + 1);
    for (int k = 0; k < p->names.room; k++) {
        if (p->names.slot[k]) names[n++] = p->names.slot[k]->name;
    }
    const char *near = kd_nearest(p->t.text, names, n);
    if (near) {
        return kd_parse_error(p, &p->t, "unknown value %%%.80s; did you mean %%%.80s?", p->t.text,
                              near);
    }
    if (p->f != p->outer) {
        return kd_parse_error(p, &p->t,
                              "unknown value %%%.80s; a kernel's body sees its own arguments only",
                              p->t.text);
    }
    return kd_parse_error(p, &p->t, "unknown value %%%.80s", p->t.text);
}

bool kd_parse_operands(KdParser *p, int *n, KdValue ***out) {
    int room = 4;
    *n = 0;
    *out = KD_NEW_ARRAY(p->scratch, KdValue *, room);
    if (p->t.kind != KD_TOKEN_VALUE) return true;
    do {
        if (p->t.kind != KD_TOKEN_VALUE) return kd_parse_expected(p, "a value");
        KdValue *v = kd_names_find(&p->names, p->t.text);
        if (!v) return unknown_value(p);
        if (*n == room) {
            KdValue **bigger = KD_NEW_ARRAY(p->scratch, KdValue *, room * 2);
            memcpy(bigger, *out, (size_t)*n * sizeof(KdValue *));
            *out = bigger;
            room *= 2;
        }
        (*out)[(*n)++] = v;
        kd_parse_advance(p);
    } while (kd_parse_accept(p, ','));
    return true;
}

/* `%a, %b =`, possibly nothing. */
static bool parse_result_names(KdParser *p, Line *x) {
    int room = 2;
    x->result = KD_NEW_ARRAY(p->scratch, KdToken, room);
    if (p->t.kind != KD_TOKEN_VALUE) return true;
    do {
        if (p->t.kind != KD_TOKEN_VALUE) return kd_parse_expected(p, "a result's name");
        KdValue *old = kd_names_find(&p->names, p->t.text);
        if (old) {
            kd_parse_error(p, &p->t, "%%%.80s is defined already", p->t.text);
            kd_note(p->diag, old->loc, "here");
            return false;
        }
        if (x->nresults == room) {
            KdToken *bigger = KD_NEW_ARRAY(p->scratch, KdToken, room * 2);
            memcpy(bigger, x->result, (size_t)room * sizeof(KdToken));
            x->result = bigger;
            room *= 2;
        }
        x->result[x->nresults++] = p->t;
        kd_parse_advance(p);
    } while (kd_parse_accept(p, ','));
    return kd_parse_expect(p, '=', "behind the results");
}

static bool parse_op(KdParser *p, Line *x) {
    if (p->t.kind != KD_TOKEN_NAME) {
        return kd_parse_expected(p, x->nresults ? "an op" : "an instruction or 'return'");
    }
    x->op_at = p->t;
    x->op = kd_op_find(p->t.text);
    if (x->op == KD_NUM_OPS) {
        const char *names[KD_NUM_OPS];
        for (int k = 0; k < KD_NUM_OPS; k++) names[k] = kd_op_text((KdOp)k);
        const char *near = kd_nearest(p->t.text, names, KD_NUM_OPS);
        if (!near) return kd_parse_error(p, &p->t, "unknown op '%.60s'", p->t.text);
        return kd_parse_error(p, &p->t, "unknown op '%.60s'; did you mean '%s'?", p->t.text, near);
    }
    if (x->op == KD_OP_KERNEL && p->f != p->outer) {
        return kd_parse_error(p, &p->t, "a kernel's body may not hold a kernel");
    }
    kd_parse_advance(p);
    return true;
}

static bool parse_over(KdParser *p, KdContract *c) {
    if (!kd_parse_expect(p, '[', "before the extents")) return false;
    if (kd_parse_accept(p, ']')) return true;
    for (bool more = true; more;) {
        if (c->nover == KD_MAX_ITERS) {
            return kd_parse_error(p, &p->t, "there are at most %d iterators", KD_MAX_ITERS);
        }
        if (!kd_parse_extent(p, &c->over[c->nover++])) return false;
        if (!kd_parse_more(p, ']', &more)) return false;
    }
    return true;
}

/* `at`, `over`, `a` and `b` of view and contract: *mine says whether it was one of them. */
static bool parse_special(KdParser *p, Line *x, bool *mine) {
    bool view = x->op == KD_OP_VIEW, contract = x->op == KD_OP_CONTRACT;
    struct {
        const char *name;
        bool *seen;
        KdAccess *access;
    } const table[] = {
        { view ? "at" : "", &x->has_at, &x->at },
        { contract ? "a" : "", &x->has_a, &x->contract.a },
        { contract ? "b" : "", &x->has_b, &x->contract.b },
        { contract ? "over" : "", &x->has_over, NULL },
    };
    *mine = false;
    for (int k = 0; k < 4 && !*mine; k++) {
        if (!kd_parse_at_word(p, table[k].name)) continue;
        if (*table[k].seen) {
            return kd_parse_error(p, &p->t, "'%s' is given twice", table[k].name);
        }
        *mine = *table[k].seen = true;
        kd_parse_advance(p);
        if (!kd_parse_expect(p, '=', "behind an attribute's name")) return false;
        return table[k].access ? kd_parse_access(p, table[k].access) : parse_over(p, &x->contract);
    }
    return true;
}

static bool parse_braces(KdParser *p, Line *x) {
    const char *spec = kd_op_info(x->op)->attrs;
    bool more = kd_parse_accept(p, '{') && !kd_parse_accept(p, '}');
    while (more) {
        bool mine;
        if (!parse_special(p, x, &mine)) return false;
        if (!mine && !kd_parse_attr(p, spec, &x->attrs)) return false;
        if (!kd_parse_more(p, '}', &more)) return false;
    }
    if (x->op == KD_OP_VIEW && !x->has_at) {
        return kd_parse_error(p, &x->op_at, "view needs its access: { at = [d0, …] }");
    }
    if (x->op == KD_OP_CONTRACT && !(x->has_over && x->has_a && x->has_b)) {
        return kd_parse_error(p, &x->op_at, "contract needs 'over', 'a' and 'b'");
    }
    KdAttrSpec s;
    while (kd_attr_spec_next(&spec, &s)) {
        if (s.optional || kd_attr_find(x->attrs, s.name)) continue;
        return kd_parse_error(p, &x->op_at, "%s needs attribute '%s'", kd_op_text(x->op), s.name);
    }
    return true;
}

static bool parse_types(KdParser *p, Line *x) {
    x->type = KD_NEW_ARRAY(p->scratch, KdType, x->nresults + 1);
    x->type_at = KD_NEW_ARRAY(p->scratch, KdToken, x->nresults + 1);
    if (x->nresults == 0) return true;
    if (!kd_parse_expect(p, ':', "and the result's type")) return false;
    for (int k = 0; k < x->nresults; k++) {
        if (k && !kd_parse_expect(p, ',', "and a type for each result")) return false;
        x->type_at[k] = p->t;
        if (!kd_parse_type(p, &x->type[k])) return false;
    }
    return true;
}

/* role(…) site("…") */
static bool parse_marks(KdParser *p, KdInstr *i) {
    if (kd_parse_accept_word(p, "role")) {
        if (!kd_parse_expect(p, '(', "behind 'role'")) return false;
        if (p->t.kind != KD_TOKEN_NAME) return kd_parse_expected(p, "a role");
        i->role = kd_arena_string(p->m->arena, p->t.text);
        kd_parse_advance(p);
        if (!kd_parse_expect(p, ')', "behind the role")) return false;
    }
    if (kd_parse_accept_word(p, "site")) {
        if (!kd_parse_expect(p, '(', "behind 'site'")) return false;
        if (p->t.kind != KD_TOKEN_STRING) return kd_parse_expected(p, "a site's name, a string");
        i->site = kd_arena_string(p->m->arena, p->t.text);
        kd_parse_advance(p);
        if (!kd_parse_expect(p, ')', "behind the site")) return false;
    }
    return true;
}

/* `{ (%x: f32[B]) … yield %r }` into i->body, whose names are its own. */
static bool parse_body(KdParser *p, KdInstr *i) {
    if (!kd_parse_expect(p, '{', "and the kernel's body")) return false;
    KdFunc *body = kd_body_create(p->outer);
    i->body = body;
    body->owner = i;
    KdNames outer_names = p->names;
    p->names = (KdNames){ 0 };
    p->f = body;
    bool good = kd_parse_args(p);
    while (good && !kd_parse_at_word(p, "yield")) good = kd_parse_instr(p);
    if (!good) return false;
    kd_parse_advance(p);
    int n;
    KdValue **results;
    if (!kd_parse_operands(p, &n, &results)) return false;
    kd_func_set_results(body, n, results);
    kd_parse_settle_names(body);
    if (!kd_parse_expect(p, '}', "at the end of the kernel's body")) return false;
    p->f = p->outer;
    p->names = outer_names;
    return true;
}

/* Runs the shape rule and holds its types against the text's. */
static bool finish(KdParser *p, KdBuilder *b, KdInstr *i, const Line *x) {
    int errors = p->diag->errors;
    kd_instr_finish(b, i, x->nresults ? &x->type[0] : NULL);
    if (p->diag->errors > errors) {
        kd_lex_caret(&p->lex, x->op_at.at);
        return false;
    }
    if (i->nresults != x->nresults) {
        return kd_parse_error(p, &x->op_at, "%s: there are %d results, the text names %d",
                              kd_op_text(i->op), i->nresults, x->nresults);
    }
    for (int k = 0; k < i->nresults; k++) {
        KdValue *v = i->results[k];
        if (!kd_type_equal(v->type, x->type[k])) {
            char rule[KD_TYPE_TEXT], said[KD_TYPE_TEXT];
            return kd_parse_error(p, &x->type_at[k], "%s: the result has type %s, the text says %s",
                                  kd_op_text(i->op), kd_type_text(v->type, rule),
                                  kd_type_text(x->type[k], said));
        }
        v->type.pad = x->type[k].pad;
        v->name = kd_arena_string(p->m->arena, x->result[k].text);
        v->loc = b->loc;
        if (!kd_names_add(&p->names, p->scratch, v)) {
            return kd_parse_error(p, &x->result[k], "%%%.80s is defined already", v->name);
        }
    }
    return true;
}

bool kd_parse_instr(KdParser *p) {
    Line x = { 0 };
    if (!parse_result_names(p, &x) || !parse_op(p, &x)) return false;
    if (!kd_parse_operands(p, &x.nargs, &x.args)) return false;
    int wanted = kd_op_info(x.op)->nargs;
    if (wanted >= 0 && x.nargs != wanted) {
        return kd_parse_error(p, &x.op_at, "%s takes %d operands, not %d", kd_op_text(x.op), wanted,
                              x.nargs);
    }
    if (!parse_braces(p, &x) || !parse_types(p, &x)) return false;

    KdBuilder b = kd_builder(p->f, p->diag);
    b.loc = kd_parse_place(p, &x.op_at);
    b.name = x.nresults ? x.result[0].text : NULL;
    KdInstr *i = kd_instr_create(&b, x.op, x.nargs, x.args);
    i->attrs = x.attrs;
    if (x.has_at) i->access = kd_arena_copy(p->m->arena, &x.at, sizeof x.at);
    if (x.has_over) i->contract = kd_arena_copy(p->m->arena, &x.contract, sizeof x.contract);
    if (!parse_marks(p, i)) return false;

    /* Results exist only once the rule has run, and a kernel's rule reads its body. */
    KdValue **places = KD_NEW_ARRAY(p->scratch, KdValue *, x.nresults + 1);
    for (int k = 0; k < x.nresults; k++) places[k] = KD_NEW(p->scratch, KdValue);
    KdLoc loc;
    if (!kd_parse_places(p, x.nresults, places) || !kd_parse_loc(p, &loc)) return false;
    if (x.op == KD_OP_KERNEL && !parse_body(p, i)) return false;
    if (!finish(p, &b, i, &x)) return false;
    for (int k = 0; k < x.nresults; k++) {
        i->results[k]->buffer = places[k]->buffer;
        kd_parse_fixup(p, &i->results[k]->loc, loc);
    }
    kd_parse_fixup(p, &i->loc, loc);
    return true;
}
