/*
 * The text of a pipeline, such as
 *
 *     canonicalize,inject-noise{site="teacher.logits",sigma=%sigma},autodiff
 *
 * It is read whole before anything runs, so that a wrong name costs nothing. Names, options and
 * their kinds come from passes/passes.def.
 */
#include "passes/pipeline.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORD 256

typedef struct Reader {
    const char *at;
    KdArena *a;
    KdDiag *d;
} Reader;

static const KdLoc nowhere = { NULL, 0 };

static void skip_space(Reader *r) {
    while (isspace((unsigned char)*r->at)) r->at++;
}

static bool accept(Reader *r, char c) {
    skip_space(r);
    if (*r->at != c) return false;
    r->at++;
    return true;
}

/* Letters, digits and the marks of names and numbers; NULL where there is none. */
static const char *read_word(Reader *r) {
    skip_space(r);
    size_t length = 0;
    while (isalnum((unsigned char)r->at[length]) ||
           (r->at[length] && strchr("_-.%+", r->at[length])))
        length++;
    if (length == 0 || length >= MAX_WORD) return NULL;
    char *word = kd_arena_copy(r->a, r->at, length + 1);
    word[length] = 0;
    r->at += length;
    return word;
}

static const char *read_quoted(Reader *r) {
    const char *end = strchr(r->at, '"');
    if (!end) return NULL;
    size_t length = (size_t)(end - r->at);
    char *text = kd_arena_copy(r->a, r->at, length + 1);
    text[length] = 0;
    r->at = end + 1;
    return text;
}

/* The kind letter of option `key` in "site:str?,redzone:int?": 's', 'i', 'I' (ints), or 0.
 */
static char option_kind(const char *spec, const char *key) {
    size_t length = strlen(key);
    for (const char *at = spec; *at;) {
        const char *colon = strchr(at, ':');
        if ((size_t)(colon - at) == length && !strncmp(at, key, length))
            return !strncmp(colon + 1, "ints", 4) ? 'I' : colon[1];
        at = strchr(colon, ',');
        if (!at) break;
        at++;
    }
    return 0;
}

static bool say_unknown_option(Reader *r, const KdPassInfo *pass, const char *key) {
    const char *names[16];
    int n = 0;
    char *spec = kd_arena_string(r->a, pass->options);
    for (char *at = spec; at && *at && n < 16;) {
        char *colon = strchr(at, ':'), *comma = strchr(at, ',');
        *colon = 0;
        names[n++] = at;
        at = comma ? comma + 1 : NULL;
    }
    const char *near = kd_nearest(key, names, n);
    return kd_error(r->d, nowhere, "passes: %s has no option '%s'%s%s%s", pass->name, key,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool read_ints(Reader *r, const KdPassInfo *pass, const char *key, KdAttr **to) {
    int64_t *values = KD_NEW_ARRAY(r->a, int64_t, strlen(r->at) + 1); /* more than there are */
    int n = 0;
    bool ok = accept(r, '[');
    while (ok && !accept(r, ']')) {
        const char *word = read_word(r);
        char *end = NULL;
        if (word) values[n++] = strtoll(word, &end, 10);
        ok = word && *end == 0;
        accept(r, ',');
    }
    if (!ok)
        return kd_error(r->d, nowhere, "passes: %s: option '%s' wants integers, such as [0,1]",
                        pass->name, key);
    kd_attr_set_ints(r->a, to, key, n, values);
    return true;
}

static bool read_option(Reader *r, KdStep *step) {
    const char *pass = step->pass->name;
    const char *key = read_word(r);
    if (!key || !accept(r, '='))
        return kd_error(r->d, nowhere, "passes: %s: expected 'option=value' at '%s'", pass, r->at);
    char kind = option_kind(step->pass->options, key);
    if (!kind) return say_unknown_option(r, step->pass, key);
    if (kd_attr_find(step->options, key))
        return kd_error(r->d, nowhere, "passes: %s: option '%s' is given twice", pass, key);
    if (kind == 'I') return read_ints(r, step->pass, key, &step->options);

    const char *value = accept(r, '"') ? read_quoted(r) : read_word(r);
    if (!value) return kd_error(r->d, nowhere, "passes: %s: option '%s' lacks a value", pass, key);
    if (kind == 's') {
        kd_attr_set_str(r->a, &step->options, key, value);
        return true;
    }
    char *end;
    errno = 0;
    kd_attr_set_int(r->a, &step->options, key, strtoll(value, &end, 10));
    return (!*end && end != value && !errno) ||
           kd_error(r->d, nowhere, "passes: %s: option '%s' wants an integer, not '%s'", pass, key,
                    value);
}

bool kd_say_unknown_pass(KdDiag *d, const char *name) {
    const char *names[KD_MAX_STEPS];
    for (int n = 0; n < kd_pass_count(); n++) names[n] = kd_pass_at(n)->name;
    const char *near = kd_nearest(name, names, kd_pass_count());
    return kd_error(d, nowhere, "passes: there is no pass '%s'%s%s%s", name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

bool kd_check_remarks(const char *list, KdDiag *d) {
    for (const char *at = list; at && *at; at += strspn(at, ",")) {
        char name[MAX_WORD];
        size_t n = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (strcmp(name, "codegen") != 0 && !kd_pass_find(name))
            return kd_say_unknown_pass(d, name);
        at += n;
    }
    return true;
}

static bool is_skipped(const KdPipeline *p, const char *name) {
    for (const char *const *s = p->skip; s && *s; s++)
        if (!strcmp(*s, name)) return true;
    return false;
}

static bool check_skipped(const KdPipeline *p, KdDiag *d) {
    for (const char *const *s = p->skip; s && *s; s++) {
        const KdPassInfo *pass = kd_pass_find(*s);
        if (!pass) return kd_say_unknown_pass(d, *s);
        if (!pass->optional) return kd_error(d, nowhere, "passes: '%s' cannot be left out", *s);
    }
    return true;
}

bool kd_steps_read(const KdModule *m, const KdPipeline *p, KdSteps *steps, KdArena *a, KdDiag *d) {
    Reader r = { p->passes ? p->passes : kd_default_passes(m, a), a, d };
    steps->n = 0;
    if (!check_skipped(p, d)) return false;
    skip_space(&r);
    if (!*r.at) return true;
    do {
        KdStep step = { 0 };
        const char *name = read_word(&r);
        if (!name) return kd_error(d, nowhere, "passes: expected a pass name at '%s'", r.at);
        step.pass = kd_pass_find(name);
        if (!step.pass) return kd_say_unknown_pass(d, name);
        if (accept(&r, '{') && !accept(&r, '}')) {
            do {
                if (!read_option(&r, &step)) return false;
            } while (accept(&r, ','));
            if (!accept(&r, '}'))
                return kd_error(d, nowhere, "passes: %s: expected ',' or '}' at '%s'", name, r.at);
        }
        if (is_skipped(p, name)) continue;
        if (steps->n == KD_MAX_STEPS)
            return kd_error(d, nowhere, "passes: more than %d passes", KD_MAX_STEPS);
        steps->step[steps->n++] = step;
    } while (accept(&r, ','));
    if (*r.at) return kd_error(d, nowhere, "passes: expected ',' at '%s'", r.at);
    return true;
}

int kd_pipeline_length(const KdModule *m, const KdPipeline *p) {
    KdArena *a = kd_arena_create();
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    KdSteps steps;
    int n = kd_steps_read(m, p, &steps, a, &quiet) ? steps.n : -1;
    kd_arena_destroy(a);
    return n;
}

const char *kd_pipeline_name(const KdModule *m, const KdPipeline *p, int k) {
    KdArena *a = kd_arena_create();
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    KdSteps steps;
    bool ok = kd_steps_read(m, p, &steps, a, &quiet) && k >= 0 && k < steps.n;
    const char *name = ok ? steps.step[k].pass->name : NULL;
    kd_arena_destroy(a);
    return name;
}

/* --- the default pipeline ------------------------------------------------------------------- */

/* A module that trains has @objective; any other is only made ready to run. Noise, several
 * students and another precision come in where the program asks for them. Passes that are not in
 * the table are left out.
 */
const char *kd_default_passes(const KdModule *m, KdArena *a) {
    static const char *const training[] = {
        "canonicalize",   "inject-noise", "hoist-teacher", "autodiff",
        "batch-students", "optimize",     "zero-sums",     "canonicalize{drop_detach=1}",
        "precision",      "fuse",         "layout",        "plan-memory",
        NULL
    };
    static const char *const running[] = { "canonicalize{drop_detach=1}", "fuse", "layout",
                                           "plan-memory", NULL };
    static const struct {
        const char *pass, *key;
    } where_asked[] = { { "inject-noise", "noise.kind" },
                        { "batch-students", "students" },
                        { "precision", "precision" } };
    const char *text = "";
    for (const char *const *s = kd_module_func(m, "objective") ? training : running; *s; s++) {
        size_t length = strcspn(*s, "{");
        char *name = kd_arena_copy(a, *s, length + 1);
        name[length] = 0;
        bool wanted = kd_pass_find(name) != NULL;
        for (int k = 0; k < 3; k++)
            wanted &= strcmp(name, where_asked[k].pass) != 0 ||
                      kd_attr_find(m->program, where_asked[k].key);
        if (!wanted) continue;
        text = kd_arena_format(a, "%s%s%s", text, *text ? "," : "", *s);
    }
    return text;
}
