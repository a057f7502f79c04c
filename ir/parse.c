/*
 * The parser of the IR text: recursive descent over the grammar of ir/README.md. This file reads
 * modules, declarations and functions; instructions are in parse_instr.c. The first error ends it.
 * Recursion is bounded: a kernel's body holds no kernel, and nothing else nests.
 */
#include "ir/parse.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "ir/text.h"
#include "ir/verify.h"

/* --- declarations --------------------------------------------------------------------------- */

static const char not_ir[] = "not IR text: it must begin with 'kdc-ir 1'";

static bool parse_header(KdParser *p) {
    KdToken at = p->t;
    bool good =
        kd_parse_accept_word(p, "kdc") && kd_parse_accept(p, '-') && kd_parse_accept_word(p, "ir");
    if (!good) return kd_parse_error(p, &at, not_ir);
    KdToken version = p->t;
    int64_t number = 0;
    if (!kd_parse_int(p, &number)) return false;
    if (number == 1) return true;
    return kd_parse_error(p, &version, "this is version %" PRId64 " of the IR; known is 1", number);
}

/* `{ name = value, … }` with names of `spec` (NULL: any). */
static bool parse_attr_list(KdParser *p, const char *spec, KdAttr **list) {
    if (!kd_parse_expect(p, '{', "before the attributes")) return false;
    bool more = !kd_parse_accept(p, '}');
    while (more) {
        if (!kd_parse_attr(p, spec, list) || !kd_parse_more(p, '}', &more)) return false;
    }
    return true;
}

static bool target_int(KdParser *p, const KdToken *at, const KdAttr *list, const char *name,
                       int *out) {
    int64_t value = kd_attr_int(list, name, *out);
    if (value < 1 || value > INT_MAX) {
        return kd_parse_error(p, at, "target: '%s' is at least 1 and below 2^31", name);
    }
    *out = (int)value;
    return true;
}

static bool parse_target(KdParser *p) {
    KdToken at = p->t;
    kd_parse_advance(p);
    KdAttr *list = NULL;
    if (!parse_attr_list(p, "cpu:str,vector:int,registers:int,l1:int,l2:int", &list)) return false;
    KdTarget *t = &p->m->target;
    t->cpu = kd_attr_str(list, "cpu", t->cpu);
    if (!target_int(p, &at, list, "vector", &t->vector_bits) ||
        !target_int(p, &at, list, "registers", &t->registers) ||
        !target_int(p, &at, list, "l1", &t->l1_bytes) ||
        !target_int(p, &at, list, "l2", &t->l2_bytes)) {
        return false;
    }
    int bits = t->vector_bits;
    if (bits == 128 || bits == 256 || bits == 512) return true;
    return kd_parse_error(p, &at, "target: 'vector' must be 128, 256 or 512");
}

static bool parse_source(KdParser *p) {
    kd_parse_advance(p);
    if (p->t.kind != KD_TOKEN_STRING) return kd_parse_expected(p, "the script's name, a string");
    p->m->source = kd_arena_string(p->m->arena, p->t.text);
    kd_parse_advance(p);
    return true;
}

static bool parse_hyper(KdParser *p) {
    kd_parse_advance(p);
    KdToken at = p->t;
    if (p->t.kind != KD_TOKEN_VALUE) return kd_parse_expected(p, "a name such as %sigma");
    if (kd_module_hyper(p->m, p->t.text) >= 0) {
        return kd_parse_error(p, &at, "hyperparameter %%%.80s is given twice", at.text);
    }
    kd_parse_advance(p);
    double value = 0;
    KdLoc loc;
    if (!kd_parse_expect(p, '=', "and a value")) return false;
    if (!kd_parse_number(p, &value) || !kd_parse_loc(p, &loc)) return false;
    kd_module_add_hyper(p->m, at.text, value, loc);
    return true;
}

#define PARAM_ATTRS                                                                              \
    "init:str?,fan_in:int?,fan_out:int?,value:num?,running:int?,auxiliary:int?,zero_rows:ints?," \
    "zero_columns:ints?,negative:ints?"

static void take_facts(KdArena *a, KdParam *x, const KdAttr *list) {
    for (; list; list = list->next)
        if (list->kind == KD_ATTR_INTS)
            kd_attr_set_ints(a, &x->facts, list->name, list->nints, list->ints);
}

static bool parse_init(KdParser *p, KdParam *x) {
    KdToken at = p->t;
    KdAttr *list = NULL;
    if (!parse_attr_list(p, PARAM_ATTRS, &list)) return false;
    static const char *const inits[] = { "he_normal",      "he_uniform",  "glorot_normal",
                                         "glorot_uniform", "fan_uniform", "constant" };
    x->init = kd_attr_str(list, "init", NULL);
    x->running = kd_attr_int(list, "running", 0) != 0;
    x->auxiliary = kd_attr_int(list, "auxiliary", 0) != 0;
    take_facts(p->m->arena, x, list);
    if (!x->init && (x->facts || x->running || x->auxiliary)) return true;
    if (!x->init) return kd_parse_error(p, &at, "a parameter's attributes need 'init'");
    bool known = false;
    for (int k = 0; k < 6; k++) known |= strcmp(x->init, inits[k]) == 0;
    if (!known) {
        const char *near = kd_nearest(x->init, inits, 6);
        return kd_parse_error(p, &at, "unknown initialiser '%.60s'%s%s%s", x->init,
                              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    x->fan_in = kd_attr_int(list, "fan_in", 0);
    x->fan_out = kd_attr_int(list, "fan_out", 0);
    x->value = kd_attr_num(list, "value", 0);
    return true;
}

static bool parse_param(KdParser *p) {
    kd_parse_advance(p);
    KdToken at = p->t;
    if (p->t.kind != KD_TOKEN_VALUE) return kd_parse_expected(p, "a name such as %net.fc1.bias");
    const char *dot = strchr(at.text, '.');
    if (!dot || dot == at.text || !dot[1]) {
        return kd_parse_error(p, &at, "a parameter is named %%<network>.<name>");
    }
    size_t length = (size_t)(dot - at.text);
    char *network = kd_arena_alloc(p->m->arena, length + 1);
    memcpy(network, at.text, length);
    if (kd_module_param(p->m, network, dot + 1)) {
        return kd_parse_error(p, &at, "parameter %%%.80s is given twice", at.text);
    }
    kd_parse_advance(p);
    KdType t;
    if (!kd_parse_expect(p, ':', "and a type") || !kd_parse_type(p, &t)) return false;
    KdParam *x = kd_module_add_param(p->m, network, dot + 1, t);
    if (kd_parse_at(p, '{') && !parse_init(p, x)) return false;
    return kd_parse_loc(p, &x->loc);
}

/* --- functions ------------------------------------------------------------------------------ */

static bool parse_arg(KdParser *p) {
    static const char *const kinds[] = { KD_ARG_INPUT, KD_ARG_DATA,  KD_ARG_INDEX, KD_ARG_EPOCH,
                                         KD_ARG_STEP,  KD_ARG_PARAM, KD_ARG_SLAB };
    KdToken at = p->t;
    if (p->t.kind != KD_TOKEN_VALUE) return kd_parse_expected(p, "an argument's name");
    if (kd_names_find(&p->names, at.text)) {
        return kd_parse_error(p, &at, "%%%.80s is defined already", at.text);
    }
    kd_parse_advance(p);
    KdType t;
    if (!kd_parse_expect(p, ':', "and a type") || !kd_parse_type(p, &t)) return false;
    const char *kind = NULL;
    if (p->t.kind == KD_TOKEN_NAME && !kd_parse_at_word(p, "loc")) {
        for (int k = 0; k < 7; k++) {
            if (kd_parse_at_word(p, kinds[k])) kind = kinds[k];
        }
        if (!kind) {
            const char *near = kd_nearest(p->t.text, kinds, 7);
            return kd_parse_error(p, &p->t, "unknown kind of argument '%.60s'%s%s%s", p->t.text,
                                  near ? "; did you mean '" : "", near ? near : "",
                                  near ? "'?" : "");
        }
        kd_parse_advance(p);
    }
    KdValue *v = kd_func_add_arg(p->f, at.text, t, kind);
    v->name = kd_arena_string(p->m->arena, at.text);
    kd_names_add(&p->names, p->scratch, v);
    KdLoc loc;
    if (!kd_parse_places(p, 1, &v) || !kd_parse_loc(p, &loc)) return false;
    const KdParam *param = kd_param_of_value(p->m, v);
    if (kind && strcmp(kind, KD_ARG_PARAM) == 0 && param) loc = param->loc;
    v->loc = kd_parse_place(p, &at);
    kd_parse_fixup(p, &v->loc, loc);
    return true;
}

bool kd_parse_args(KdParser *p) {
    if (!kd_parse_expect(p, '(', "before the arguments")) return false;
    bool more = !kd_parse_accept(p, ')');
    while (more) {
        if (!parse_arg(p) || !kd_parse_more(p, ')', &more)) return false;
    }
    return true;
}

/* What a function's head says of its results. */
typedef struct Head {
    int nresults;
    KdType *type;
    KdToken *type_at;
    KdAttr *in_place; /* one list attribute, or NULL */
    KdToken in_place_at;
} Head;

static bool parse_result_types(KdParser *p, Head *h) {
    int room = 4;
    h->type = KD_NEW_ARRAY(p->scratch, KdType, room);
    h->type_at = KD_NEW_ARRAY(p->scratch, KdToken, room);
    if (p->t.kind != KD_TOKEN_ARROW) return kd_parse_expected(p, "'->' and the results' types");
    kd_parse_advance(p);
    if (!kd_parse_expect(p, '(', "before the results' types")) return false;
    bool more = !kd_parse_accept(p, ')');
    while (more) {
        if (h->nresults == room) {
            KdType *types = KD_NEW_ARRAY(p->scratch, KdType, room * 2);
            KdToken *tokens = KD_NEW_ARRAY(p->scratch, KdToken, room * 2);
            memcpy(types, h->type, (size_t)room * sizeof *types);
            memcpy(tokens, h->type_at, (size_t)room * sizeof *tokens);
            h->type = types;
            h->type_at = tokens;
            room *= 2;
        }
        h->type_at[h->nresults] = p->t;
        if (!kd_parse_type(p, &h->type[h->nresults++])) return false;
        if (!kd_parse_more(p, ')', &more)) return false;
    }
    return true;
}

/* `batch = 64 in_place = [-1, 5] arena = 4096 loc(3)` */
static bool parse_clauses(KdParser *p, Head *h) {
    int64_t value = 0;
    if (kd_parse_accept_word(p, "batch")) {
        KdToken at = p->t;
        if (!kd_parse_expect(p, '=', "and a bound") || !kd_parse_int(p, &value)) return false;
        bool other = p->f->max_batch && p->f->max_batch != value;
        if (other || value < 1 || value > INT32_MAX) {
            return kd_parse_error(p, &at, "the batch must be at least 1, below 2^31, and one");
        }
        p->f->max_batch = value;
    }
    if (kd_parse_at_word(p, "in_place")) {
        h->in_place_at = p->t;
        if (!kd_parse_attr(p, "in_place:ints", &h->in_place)) return false;
    }
    if (kd_parse_accept_word(p, "arena")) {
        KdToken at = p->t;
        if (!kd_parse_expect(p, '=', "and its bytes") || !kd_parse_int(p, &value)) return false;
        if (value < 0) return kd_parse_error(p, &at, "an arena has at least 0 bytes");
        p->f->planned = true;
        p->f->arena_bytes = value;
    }
    KdLoc loc;
    if (!kd_parse_loc(p, &loc)) return false;
    p->f->loc = kd_parse_place(p, &p->t);
    kd_parse_fixup(p, &p->f->loc, loc);
    return true;
}

static bool set_in_place(KdParser *p, const Head *h) {
    if (!h->in_place) return true;
    if (h->in_place->nints != h->nresults) {
        return kd_parse_error(p, &h->in_place_at, "in_place has %d entries for %d results",
                              h->in_place->nints, h->nresults);
    }
    p->f->in_place = KD_NEW_ARRAY(p->m->arena, int, h->nresults + 1);
    for (int k = 0; k < h->nresults; k++) {
        int64_t arg = h->in_place->ints[k];
        if (arg < -1 || arg >= p->f->nargs) {
            return kd_parse_error(p, &h->in_place_at, "in_place: there is no argument %" PRId64,
                                  arg);
        }
        p->f->in_place[k] = (int)arg;
    }
    return true;
}

static bool parse_return(KdParser *p, const Head *h) {
    KdToken at = p->t;
    kd_parse_advance(p);
    int n;
    KdValue **results;
    if (!kd_parse_operands(p, &n, &results)) return false;
    if (n != h->nresults) {
        return kd_parse_error(p, &at, "%d values are returned, the signature has %d", n,
                              h->nresults);
    }
    for (int k = 0; k < n; k++) {
        if (kd_type_equal(results[k]->type, h->type[k])) continue;
        char has[KD_TYPE_TEXT], said[KD_TYPE_TEXT];
        return kd_parse_error(p, &h->type_at[k], "result %d is %s, the signature says %s", k,
                              kd_type_text(results[k]->type, has), kd_type_text(h->type[k], said));
    }
    kd_func_set_results(p->f, n, results);
    return set_in_place(p, h);
}

static bool parse_func(KdParser *p) {
    kd_parse_advance(p);
    if (p->t.kind != KD_TOKEN_FUNC) return kd_parse_expected(p, "a function's name such as @step");
    if (kd_module_func(p->m, p->t.text)) {
        return kd_parse_error(p, &p->t, "function @%.80s is given twice", p->t.text);
    }
    p->outer = p->f = kd_func_create(p->m, p->t.text, 0);
    p->names = (KdNames){ 0 };
    kd_parse_advance(p);
    Head h = { 0 };
    if (!kd_parse_args(p) || !parse_result_types(p, &h) || !parse_clauses(p, &h)) return false;
    if (!kd_parse_expect(p, '{', "before the function's instructions")) return false;
    while (!kd_parse_at_word(p, "return")) {
        if (!kd_parse_instr(p)) return false;
    }
    if (!parse_return(p, &h)) return false;
    kd_parse_settle_names(p->f);
    if (!kd_parse_expect(p, '}', "at the end of the function")) return false;
    p->outer = p->f = NULL;
    return true;
}

/* --- modules -------------------------------------------------------------------------------- */

static bool parse_declaration(KdParser *p) {
    static const char *const words[] = { "target", "source", "hyper", "param", "program", "func" };
    if (kd_parse_at_word(p, "target")) return parse_target(p);
    if (kd_parse_at_word(p, "source")) return parse_source(p);
    if (kd_parse_at_word(p, "hyper")) return parse_hyper(p);
    if (kd_parse_at_word(p, "param")) return parse_param(p);
    if (kd_parse_at_word(p, "func")) return parse_func(p);
    if (kd_parse_accept_word(p, "program")) return parse_attr_list(p, NULL, &p->m->program);
    if (p->t.kind != KD_TOKEN_NAME) return kd_parse_expected(p, "a declaration such as 'func'");
    const char *near = kd_nearest(p->t.text, words, 6);
    if (!near) return kd_parse_expected(p, "a declaration such as 'func'");
    return kd_parse_error(p, &p->t, "unknown declaration '%.60s'; did you mean '%s'?", p->t.text,
                          near);
}

static bool parse_all(KdParser *p) {
    if (!kd_lex_begins(&p->lex, "kdc")) /* before any complaint about its bytes */
        return kd_lex_error(&p->lex, p->lex.next, p->lex.line, "%s", not_ir);
    kd_parse_advance(p);
    if (!parse_header(p)) return false;
    while (p->t.kind != KD_TOKEN_END) {
        if (!parse_declaration(p)) return false;
    }
    return true;
}

KdModule *kd_parse_module(const char *text, size_t size, const char *file, KdDiag *d) {
    KdArena *scratch = kd_arena_create();
    KdModule *m = kd_module_create(NULL);
    KdParser p = { .lex = kd_lexer(text, size, file, scratch, d),
                   .behind = text,
                   .behind_line = 1,
                   .scratch = scratch,
                   .diag = d,
                   .m = m };
    p.t = (KdToken){ .at = text, .line = 1 };
    /* Verified while locations still point into the text. */
    bool good = parse_all(&p) && kd_verify(m, d);
    for (KdFixup *x = p.fixups; x; x = x->next) *x->where = x->loc;
    kd_arena_destroy(scratch);
    if (good) return m;
    d->last_loc = (KdLoc){ file, p.t.line }; /* the other one's texts go with the pools */
    kd_module_destroy(m);
    return NULL;
}
