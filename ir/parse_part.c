/*
 * The small parts of the grammar: types, numbers, attributes, affine accesses, locations, places.
 * Everything is bounded here: ranks, extents, iterators and terms are checked against the limits of
 * ir/type.h and ir/access.h, and a tensor's elements against KD_MAX_ELEMENTS.
 */
#include "ir/parse.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "ir/attrspec.h"

void kd_parse_advance(KdParser *p) {
    p->behind = p->t.at + p->t.length;
    p->behind_line = p->t.line;
    p->t = kd_lex(&p->lex);
}

bool kd_parse_error(const KdParser *p, const KdToken *t, const char *format, ...) {
    if (t->kind == KD_TOKEN_BAD) return false; /* the lexer said it */
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return kd_lex_error(&p->lex, t->at, t->line, "%s", text);
}

bool kd_parse_expected(const KdParser *p, const char *what) {
    if (p->t.kind == KD_TOKEN_BAD) return false;
    if (p->t.kind == KD_TOKEN_END) {
        return kd_lex_error(&p->lex, p->behind, p->behind_line,
                            "expected %s, found the end of the text", what);
    }
    if (p->t.line > p->behind_line) { /* the fault is on the line before */
        return kd_lex_error(&p->lex, p->behind, p->behind_line,
                            "expected %s, found the end of the line", what);
    }
    int length = p->t.length > 40 ? 40 : (int)p->t.length;
    return kd_lex_error(&p->lex, p->t.at, p->t.line, "expected %s, found '%.*s'", what, length,
                        p->t.at);
}

bool kd_parse_at(const KdParser *p, char punct) {
    return p->t.kind == KD_TOKEN_PUNCT && p->t.punct == punct;
}

bool kd_parse_accept(KdParser *p, char punct) {
    if (!kd_parse_at(p, punct)) return false;
    kd_parse_advance(p);
    return true;
}

bool kd_parse_expect(KdParser *p, char punct, const char *where) {
    if (kd_parse_accept(p, punct)) return true;
    char what[96];
    snprintf(what, sizeof what, "'%c' %s", punct, where);
    return kd_parse_expected(p, what);
}

bool kd_parse_at_word(const KdParser *p, const char *word) {
    return p->t.kind == KD_TOKEN_NAME && strcmp(p->t.text, word) == 0;
}

bool kd_parse_accept_word(KdParser *p, const char *word) {
    if (!kd_parse_at_word(p, word)) return false;
    kd_parse_advance(p);
    return true;
}

bool kd_parse_more(KdParser *p, char close, bool *more) {
    *more = kd_parse_accept(p, ',');
    if (*more || kd_parse_accept(p, close)) return true;
    char what[32];
    snprintf(what, sizeof what, "',' or '%c'", close);
    return kd_parse_expected(p, what);
}

KdLoc kd_parse_place(const KdParser *p, const KdToken *t) {
    return kd_lex_loc(&p->lex, t->at, t->line);
}

void kd_parse_fixup(KdParser *p, KdLoc *where, KdLoc loc) {
    KdFixup *x = KD_NEW(p->scratch, KdFixup);
    *x = (KdFixup){ where, loc, p->fixups };
    p->fixups = x;
}

/* --- numbers -------------------------------------------------------------------------------- */

bool kd_parse_int(KdParser *p, int64_t *out) {
    bool minus = kd_parse_accept(p, '-');
    if (p->t.kind != KD_TOKEN_INT) return kd_parse_expected(p, "a whole number");
    *out = minus ? -p->t.i : p->t.i;
    kd_parse_advance(p);
    return true;
}

bool kd_parse_number(KdParser *p, double *out) {
    double sign = kd_parse_accept(p, '-') ? -1 : 1;
    if (p->t.kind == KD_TOKEN_INT || p->t.kind == KD_TOKEN_NUM) {
        *out = sign * p->t.num;
    } else if (kd_parse_at_word(p, "inf")) {
        *out = sign * (double)INFINITY;
    } else if (kd_parse_at_word(p, "nan")) {
        *out = (double)NAN;
    } else {
        return kd_parse_expected(p, "a number");
    }
    kd_parse_advance(p);
    return true;
}

/* --- types ---------------------------------------------------------------------------------- */

/* `B`, and at its first use in a function `B<=64`. */
static bool parse_batch(KdParser *p) {
    KdToken at = p->t;
    kd_parse_advance(p);
    if (!p->outer) return kd_parse_error(p, &at, "the batch B has a meaning in functions only");
    int64_t bound = p->outer->max_batch;
    if (p->t.kind == KD_TOKEN_BOUND) {
        kd_parse_advance(p);
        KdToken number = p->t;
        if (!kd_parse_int(p, &bound)) return false;
        if (bound < 1 || bound > INT32_MAX) {
            return kd_parse_error(p, &number, "the batch must be at least 1 and below 2^31");
        }
        if (p->outer->max_batch && p->outer->max_batch != bound) {
            return kd_parse_error(p, &number, "B is bounded by %" PRId64 " in this function",
                                  p->outer->max_batch);
        }
    }
    if (!bound) {
        return kd_parse_error(p, &at, "B needs its bound at its first use, such as B<=64");
    }
    p->outer->max_batch = bound;
    p->f->max_batch = bound;
    return true;
}

bool kd_parse_extent(KdParser *p, int64_t *out) {
    if (kd_parse_at_word(p, "B")) {
        *out = KD_BATCH;
        return parse_batch(p);
    }
    if (kd_parse_accept_word(p, "N")) {
        *out = KD_ROWS;
        return true;
    }
    if (p->t.kind != KD_TOKEN_INT) return kd_parse_expected(p, "an extent");
    *out = p->t.i;
    if (*out < 1) return kd_parse_error(p, &p->t, "an extent must be at least 1");
    if (*out > KD_MAX_ELEMENTS) return kd_parse_error(p, &p->t, "the extent is too large");
    kd_parse_advance(p);
    return true;
}

static bool parse_dtype(KdParser *p, KdDtype *out) {
    const char *names[KD_NUM_DTYPES];
    for (int k = 0; k < KD_NUM_DTYPES; k++) names[k] = kd_dtype_name((KdDtype)k);
    if (p->t.kind != KD_TOKEN_NAME) return kd_parse_expected(p, "a type");
    for (int k = 0; k < KD_NUM_DTYPES; k++) {
        if (strcmp(names[k], p->t.text) != 0) continue;
        *out = (KdDtype)k;
        kd_parse_advance(p);
        return true;
    }
    return kd_parse_error(
        p, &p->t, "unknown type '%.40s'; there are f32, i32, u8, bool, f16 and i8", p->t.text);
}

static bool parse_pad(KdParser *p, KdType *out) {
    KdToken at = p->t;
    if (!kd_parse_int(p, &out->pad)) return false;
    bool good = out->pad > 0 && out->pad <= KD_MAX_PAD;
    return good || kd_parse_error(p, &at, "padding is of 1 to %d elements", KD_MAX_PAD);
}

bool kd_parse_type(KdParser *p, KdType *out) {
    KdToken start = p->t;
    KdDtype dtype = KD_F32;
    if (!parse_dtype(p, &dtype)) return false;
    *out = kd_scalar(dtype);
    if (!kd_parse_accept(p, '[')) return true;
    int64_t elements = 1;
    for (bool more = true; more;) {
        if (out->rank == KD_MAX_RANK) {
            return kd_parse_error(p, &p->t, "a tensor has at most %d dims", KD_MAX_RANK);
        }
        int64_t extent = 1;
        if (!kd_parse_extent(p, &extent)) return false;
        out->dim[out->rank++] = extent;
        int64_t size = extent == KD_BATCH ? p->outer->max_batch : extent == KD_ROWS ? 1 : extent;
        if (size > KD_MAX_ELEMENTS / elements) {
            return kd_parse_error(p, &start, "the tensor has more than 2^40 elements");
        }
        elements *= size;
        if (!kd_parse_more(p, ']', &more)) return false;
    }
    return !kd_parse_accept(p, '+') || parse_pad(p, out);
}

/* --- affine accesses ------------------------------------------------------------------------ */

/* `3`, `d2` or `3*d2`, with the sign read before. */
static bool parse_term(KdParser *p, int64_t sign, KdIndex *x) {
    KdToken start = p->t;
    int64_t coeff = 1;
    if (p->t.kind == KD_TOKEN_INT) {
        coeff = p->t.i;
        if (coeff > KD_MAX_ELEMENTS) return kd_parse_error(p, &start, "the number is too large");
        kd_parse_advance(p);
        if (!kd_parse_accept(p, '*')) {
            x->offset += sign * coeff;
            if (x->offset > KD_MAX_ELEMENTS || x->offset < -KD_MAX_ELEMENTS) {
                return kd_parse_error(p, &start, "the offset is too large");
            }
            return true;
        }
    }
    const char *s = p->t.kind == KD_TOKEN_NAME ? p->t.text : "";
    size_t length = strlen(s);
    if (s[0] != 'd' || length < 2 || length > 3 || strspn(s + 1, "0123456789") != length - 1) {
        return kd_parse_expected(p, "an iterator such as d0");
    }
    int iter = s[1] - '0';
    if (length == 3) iter = iter * 10 + (s[2] - '0');
    if (iter >= KD_MAX_ITERS) {
        return kd_parse_error(p, &p->t, "there are at most %d iterators", KD_MAX_ITERS);
    }
    if (coeff == 0) return kd_parse_error(p, &start, "a coefficient must not be 0");
    if (!kd_index_add(x, iter, sign * coeff)) {
        return kd_parse_error(p, &p->t, "an index has at most %d terms", KD_MAX_TERMS);
    }
    for (int k = 0; k < x->nterms; k++) {
        if (x->term[k].coeff > KD_MAX_ELEMENTS || x->term[k].coeff < -KD_MAX_ELEMENTS) {
            return kd_parse_error(p, &start, "the coefficient is too large");
        }
    }
    kd_parse_advance(p);
    return true;
}

static bool parse_index(KdParser *p, KdIndex *x) {
    *x = kd_index_constant(0);
    bool divided = kd_parse_accept(p, '(');
    int64_t sign = kd_parse_accept(p, '-') ? -1 : 1;
    for (;;) {
        if (!parse_term(p, sign, x)) return false;
        if (kd_parse_accept(p, '+')) {
            sign = 1;
        } else if (kd_parse_accept(p, '-')) {
            sign = -1;
        } else {
            break;
        }
    }
    if (!divided) return true;
    if (!kd_parse_expect(p, ')', "behind the dividend")) return false;
    if (!kd_parse_expect(p, '/', "and a divisor behind ')'")) return false;
    KdToken at = p->t;
    if (!kd_parse_int(p, &x->divisor)) return false;
    if (x->divisor >= 1 && x->divisor <= KD_MAX_ELEMENTS) return true;
    return kd_parse_error(p, &at, "a divisor must be at least 1 and at most 2^40");
}

bool kd_parse_access(KdParser *p, KdAccess *out) {
    *out = (KdAccess){ 0 };
    if (!kd_parse_expect(p, '[', "before the indices")) return false;
    if (kd_parse_accept(p, ']')) return true;
    for (bool more = true; more;) {
        if (out->rank == KD_MAX_RANK) {
            return kd_parse_error(p, &p->t, "a tensor has at most %d dims", KD_MAX_RANK);
        }
        if (!parse_index(p, &out->dim[out->rank++])) return false;
        if (!kd_parse_more(p, ']', &more)) return false;
    }
    return true;
}

/* --- attributes ----------------------------------------------------------------------------- */

static bool parse_ints(KdParser *p, const char *name, KdAttr **list) {
    int n = 0, room = 8;
    int64_t *value = KD_NEW_ARRAY(p->scratch, int64_t, room);
    kd_parse_advance(p); /* [ */
    bool more = !kd_parse_accept(p, ']');
    while (more) {
        if (n == room) {
            int64_t *bigger = KD_NEW_ARRAY(p->scratch, int64_t, room * 2);
            memcpy(bigger, value, (size_t)n * sizeof *value);
            value = bigger;
            room *= 2;
        }
        if (!kd_parse_int(p, &value[n++])) return false;
        if (!kd_parse_more(p, ']', &more)) return false;
    }
    kd_attr_set_ints(p->m->arena, list, name, n, value);
    return true;
}

/* An int where the literal is whole and nothing else is asked for; -0 is a num. */
static bool parse_numeric(KdParser *p, const char *name, bool as_num, KdAttr **list) {
    KdToken at = p->t;
    bool minus = kd_parse_at(p, '-');
    double value = 0;
    if (!kd_parse_number(p, &value)) return false;
    const char *digits = at.at + (minus ? 1 : 0);
    while (minus && (*digits == ' ' || *digits == '\t')) digits++;
    bool whole = true;
    for (const char *c = digits; c < p->behind; c++) whole &= *c >= '0' && *c <= '9';
    if (as_num || !whole || (minus && value == 0)) {
        kd_attr_set_num(p->m->arena, list, name, value);
        return true;
    }
    int64_t integer = 0;
    for (const char *c = digits; c < p->behind; c++) integer = integer * 10 + (*c - '0');
    kd_attr_set_int(p->m->arena, list, name, minus ? -integer : integer);
    return true;
}

static bool wrong_kind(const KdParser *p, const KdToken *at, const char *name, KdAttrKind kind) {
    static const char *const texts[] = { "a whole number", "a number", "a string",
                                         "a list of whole numbers" };
    return kd_parse_error(p, at, "attribute '%.60s' must be %s", name, texts[kind]);
}

static bool parse_attr_value(KdParser *p, const char *name, const KdAttrSpec *spec, KdAttr **list) {
    KdToken at = p->t;
    if (p->t.kind == KD_TOKEN_STRING) {
        if (spec && spec->kind != KD_ATTR_STR) return wrong_kind(p, &at, name, spec->kind);
        kd_attr_set_str(p->m->arena, list, name, p->t.text);
        kd_parse_advance(p);
        return true;
    }
    if (kd_parse_at(p, '[')) {
        if (spec && spec->kind != KD_ATTR_INTS) return wrong_kind(p, &at, name, spec->kind);
        return parse_ints(p, name, list);
    }
    if (spec && (spec->kind == KD_ATTR_STR || spec->kind == KD_ATTR_INTS)) {
        return wrong_kind(p, &at, name, spec->kind);
    }
    if (!parse_numeric(p, name, spec && spec->kind == KD_ATTR_NUM, list)) return false;
    bool is_int = kd_attr_find(*list, name)->kind == KD_ATTR_INT;
    if (spec && spec->kind == KD_ATTR_INT && !is_int) return wrong_kind(p, &at, name, KD_ATTR_INT);
    return true;
}

bool kd_parse_attr(KdParser *p, const char *spec, KdAttr **list) {
    if (p->t.kind != KD_TOKEN_NAME) return kd_parse_expected(p, "an attribute's name");
    KdToken at = p->t;
    const char *name = p->t.text;
    KdAttrSpec known;
    if (spec && !kd_attr_spec_find(spec, name, &known)) {
        const char *near = kd_attr_spec_nearest(spec, name, p->scratch);
        if (near) {
            return kd_parse_error(p, &at, "no attribute '%.60s' here; did you mean '%s'?", name,
                                  near);
        }
        return kd_parse_error(p, &at, "no attribute '%.60s' here", name);
    }
    if (kd_attr_find(*list, name)) {
        return kd_parse_error(p, &at, "attribute '%.60s' is given twice", name);
    }
    kd_parse_advance(p);
    if (!kd_parse_expect(p, '=', "behind an attribute's name")) return false;
    return parse_attr_value(p, name, spec ? &known : NULL, list);
}

/* --- locations and places ------------------------------------------------------------------- */

bool kd_parse_loc(KdParser *p, KdLoc *out) {
    *out = (KdLoc){ NULL, 0 };
    if (!kd_parse_accept_word(p, "loc")) return true;
    if (!kd_parse_expect(p, '(', "behind 'loc'")) return false;
    out->file = p->m->source;
    if (p->t.kind == KD_TOKEN_STRING) {
        out->file = kd_arena_string(p->m->arena, p->t.text);
        kd_parse_advance(p);
        if (!kd_parse_expect(p, ':', "behind the file's name")) return false;
    }
    int64_t line = 0;
    KdToken at = p->t;
    if (!kd_parse_int(p, &line)) return false;
    if (line < 1 || line > INT_MAX)
        return kd_parse_error(p, &at, "a line is at least 1 and below 2^31");
    out->line = (int)line;
    return kd_parse_expect(p, ')', "behind the line");
}

/* `none`, `arena+64`, `arg(2)+0`, `result(0)+0` */
static bool parse_place(KdParser *p, KdBuffer *x) {
    static const char *const words[] = { "none", "arena", "arg", "result" };
    static const KdPlace places[] = { KD_PLACE_NONE, KD_PLACE_ARENA, KD_PLACE_ARG,
                                      KD_PLACE_RESULT };
    int k = 0;
    while (k < 4 && !kd_parse_at_word(p, words[k])) k++;
    if (k == 4) return kd_parse_expected(p, "a place: none, arena, arg(…) or result(…)");
    kd_parse_advance(p);
    *x = (KdBuffer){ .place = places[k] };
    if (x->place == KD_PLACE_NONE) return true;
    if (x->place != KD_PLACE_ARENA) {
        int64_t base = 0;
        if (!kd_parse_expect(p, '(', "and a number")) return false;
        KdToken at = p->t;
        if (!kd_parse_int(p, &base)) return false;
        if (base < 0 || base > INT_MAX) return kd_parse_error(p, &at, "no such place");
        x->base = (int)base;
        if (!kd_parse_expect(p, ')', "behind the number")) return false;
    }
    if (!kd_parse_expect(p, '+', "and an offset")) return false;
    return kd_parse_int(p, &x->offset);
}

bool kd_parse_places(KdParser *p, int n, KdValue *const *values) {
    if (!kd_parse_accept(p, '@')) return true;
    for (int k = 0; k < n; k++) {
        if (k && !kd_parse_expect(p, ',', "and a place for each result")) return false;
        if (!parse_place(p, &values[k]->buffer)) return false;
    }
    return true;
}
