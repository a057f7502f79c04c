/*
 * The pass manager: reads a pipeline such as
 *
 *     canonicalize,inject-noise{site="teacher.logits",sigma=%sigma},autodiff
 *
 * and runs it, verifying the module after each pass. The text is read whole before anything runs,
 * so that a wrong name costs nothing. Names, options and their kinds come from passes/passes.def.
 */
#include "passes/pass.h"

#include "ir/text.h"
#include "ir/verify.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const KdPassInfo table[] = {
#define KD_PASS(function, text, optional, options, meaning) \
    { text, function, optional, options, meaning },
#include "passes/passes.def"
};
#define NUM_PASSES ((int)(sizeof table / sizeof table[0]))
#define MAX_STEPS  64
#define MAX_WORD   256

int kd_pass_count(void) {
    return NUM_PASSES;
}

const KdPassInfo *kd_pass_at(int n) {
    return &table[n];
}

const KdPassInfo *kd_pass_find(const char *name) {
    for (int n = 0; n < NUM_PASSES; n++)
        if (!strcmp(table[n].name, name)) return &table[n];
    return NULL;
}

/* --- the text of a pipeline ----------------------------------------------------------------- */

typedef struct Step {
    const KdPassInfo *pass;
    KdAttr *options;
} Step;

typedef struct Steps {
    int n;
    Step step[MAX_STEPS];
} Steps;

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

/* The kind letter of option `key` in "site:str?,sigma:num?": 's', 'n', 'i' (int), 'I' (ints), or 0.
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
    int64_t values[KD_MAX_ITERS];
    int n = 0;
    bool ok = accept(r, '[');
    while (ok && !accept(r, ']')) {
        const char *word = read_word(r);
        char *end = NULL;
        if (!word || n == KD_MAX_ITERS)
            ok = false;
        else
            values[n++] = strtoll(word, &end, 10);
        ok = ok && *end == 0;
        accept(r, ',');
    }
    if (!ok)
        return kd_error(r->d, nowhere, "passes: %s: option '%s' wants integers, such as [0,1]",
                        pass->name, key);
    kd_attr_set_ints(r->a, to, key, n, values);
    return true;
}

static bool read_option(Reader *r, Step *step) {
    const char *pass = step->pass->name;
    const char *key = read_word(r);
    if (!key || !accept(r, '='))
        return kd_error(r->d, nowhere, "passes: %s: expected 'option=value' at '%s'", pass, r->at);
    char kind = option_kind(step->pass->options, key);
    if (!kind) return say_unknown_option(r, step->pass, key);
    if (kind == 'I') return read_ints(r, step->pass, key, &step->options);

    const char *value = accept(r, '"') ? read_quoted(r) : read_word(r);
    if (!value) return kd_error(r->d, nowhere, "passes: %s: option '%s' lacks a value", pass, key);
    char *end = NULL;
    errno = 0;
    if (kind == 's') {
        kd_attr_set_str(r->a, &step->options, key, value);
    } else if (kind == 'i') {
        kd_attr_set_int(r->a, &step->options, key, strtoll(value, &end, 10));
    } else {
        kd_attr_set_num(r->a, &step->options, key, strtod(value, &end));
    }
    if (end && (*end || end == value || errno))
        return kd_error(r->d, nowhere, "passes: %s: option '%s' wants %s, not '%s'", pass, key,
                        kind == 'i' ? "an integer" : "a number", value);
    return true;
}

static bool say_unknown_pass(KdDiag *d, const char *name) {
    const char *names[NUM_PASSES];
    for (int n = 0; n < NUM_PASSES; n++) names[n] = table[n].name;
    const char *near = kd_nearest(name, names, NUM_PASSES);
    return kd_error(d, nowhere, "passes: there is no pass '%s'%s%s%s", name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool is_skipped(const KdPipeline *p, const char *name) {
    for (const char *const *s = p->skip; s && *s; s++)
        if (!strcmp(*s, name)) return true;
    return false;
}

static bool check_skipped(const KdPipeline *p, KdDiag *d) {
    for (const char *const *s = p->skip; s && *s; s++) {
        const KdPassInfo *pass = kd_pass_find(*s);
        if (!pass) return say_unknown_pass(d, *s);
        if (!pass->optional) return kd_error(d, nowhere, "passes: '%s' cannot be left out", *s);
    }
    return true;
}

/* Reads the pipeline's text into steps, without those that are to be skipped. */
static bool read_steps(const KdModule *m, const KdPipeline *p, Steps *steps, KdArena *a,
                       KdDiag *d) {
    Reader r = { p->passes ? p->passes : kd_default_passes(m, a), a, d };
    steps->n = 0;
    if (!check_skipped(p, d)) return false;
    skip_space(&r);
    if (!*r.at) return true;
    do {
        Step step = { 0 };
        const char *name = read_word(&r);
        if (!name) return kd_error(d, nowhere, "passes: expected a pass name at '%s'", r.at);
        step.pass = kd_pass_find(name);
        if (!step.pass) return say_unknown_pass(d, name);
        if (accept(&r, '{') && !accept(&r, '}')) {
            do {
                if (!read_option(&r, &step)) return false;
            } while (accept(&r, ','));
            if (!accept(&r, '}'))
                return kd_error(d, nowhere, "passes: %s: expected ',' or '}' at '%s'", name, r.at);
        }
        if (is_skipped(p, name)) continue;
        if (steps->n == MAX_STEPS)
            return kd_error(d, nowhere, "passes: more than %d passes", MAX_STEPS);
        steps->step[steps->n++] = step;
    } while (accept(&r, ','));
    if (*r.at) return kd_error(d, nowhere, "passes: expected ',' at '%s'", r.at);
    return true;
}

int kd_pipeline_length(const KdModule *m, const KdPipeline *p) {
    KdArena *a = kd_arena_create();
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    Steps steps;
    int n = read_steps(m, p, &steps, a, &quiet) ? steps.n : -1;
    kd_arena_destroy(a);
    return n;
}

const char *kd_pipeline_name(const KdModule *m, const KdPipeline *p, int k) {
    KdArena *a = kd_arena_create();
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    Steps steps;
    bool ok = read_steps(m, p, &steps, a, &quiet) && k >= 0 && k < steps.n;
    const char *name = ok ? steps.step[k].pass->name : NULL;
    kd_arena_destroy(a);
    return name;
}

/* Names in `dump` must be known, lest a typing error dump nothing in silence. */
static bool check_dump(const char *dump, KdArena *a, KdDiag *d) {
    for (const char *at = dump; at && *at;) {
        size_t length = strcspn(at, ",");
        char *name = kd_arena_copy(a, at, length + 1);
        name[length] = 0;
        if (strcmp(name, "all") && strcmp(name, "final") && !kd_pass_find(name))
            return say_unknown_pass(d, name);
        at += length + (at[length] == ',');
    }
    return true;
}

bool kd_check_pipeline(const KdPipeline *p, KdDiag *d) {
    KdArena *a = kd_arena_create();
    Steps steps;
    KdPipeline named = *p;
    if (!named.passes) named.passes = "";
    bool ok = read_steps(NULL, &named, &steps, a, d) && check_dump(p->dump, a, d);
    kd_arena_destroy(a);
    return ok;
}

/* --- running -------------------------------------------------------------------------------- */

static bool wants_dump(const char *dump, const char *name, bool last) {
    if (!dump) return false;
    for (const char *at = dump; *at;) {
        size_t length = strcspn(at, ",");
        if (length == 3 && !strncmp(at, "all", 3)) return true;
        if (length == 5 && !strncmp(at, "final", 5) && last) return true;
        if (length == strlen(name) && !strncmp(at, name, length)) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One pass and the check behind it. The module's text is kept meanwhile: a fault of the pass is
 * reproduced from what the pass was given, not from what it left. */
static bool run_step(KdModule *m, const Step *step, KdDiag *d) {
    KdArena *a = kd_arena_create();
    d->pass = step->pass->name;
    d->before = kd_module_text(m, a);
    bool ok = step->pass->run(m, step->options, d);
    if (ok && !kd_verify(m, d)) kd_bug(d, "the module is not valid after %s", step->pass->name);
    d->pass = d->before = NULL;
    kd_arena_destroy(a);
    return ok;
}

static bool run_steps(KdModule *m, const KdPipeline *p, const Steps *steps, KdDiag *d) {
    for (int k = 0; k < steps->n; k++) {
        const Step *step = &steps->step[k];
        double start = now();
        if (!run_step(m, step, d)) return false;
        if (p->time && p->seconds) p->seconds[k] = now() - start;
        if (!wants_dump(p->dump, step->pass->name, k == steps->n - 1)) continue;
        fprintf(p->dump_to ? p->dump_to : stdout, "// after %s\n", step->pass->name);
        kd_print_module(m, p->dump_to ? p->dump_to : stdout);
    }
    return true;
}

bool kd_run_pipeline(KdModule *m, const KdPipeline *p, KdDiag *d) {
    KdArena *a = kd_arena_create();
    Steps steps;
    const void *outer = d->module;
    bool ok = read_steps(m, p, &steps, a, d) && check_dump(p->dump, a, d);
    if (ok) {
        d->module = m;
        ok = run_steps(m, p, &steps, d);
        d->pass = NULL;
        d->module = outer;
    }
    kd_arena_destroy(a);
    return ok;
}

/* --- the default pipeline ------------------------------------------------------------------- */

/* A module that trains has @objective; any other is only made ready to run. Noise is injected
 * where the program asks for some. Passes that are not in the table are left out. */
const char *kd_default_passes(const KdModule *m, KdArena *a) {
    static const char *const training[] = {
        "canonicalize", "inject-noise", "hoist-teacher",
        "autodiff",     "optimize",     "canonicalize{drop_detach=1}",
        "fuse",         "plan-memory",  NULL
    };
    static const char *const running[] = { "canonicalize{drop_detach=1}", "fuse", "plan-memory",
                                           NULL };
    bool noisy = kd_attr_find(m->program, "noise.kind") != NULL;
    const char *text = "";
    for (const char *const *s = kd_module_func(m, "objective") ? training : running; *s; s++) {
        size_t length = strcspn(*s, "{");
        char *name = kd_arena_copy(a, *s, length + 1);
        name[length] = 0;
        if (!kd_pass_find(name) || (!strcmp(name, "inject-noise") && !noisy)) continue;
        text = kd_arena_format(a, "%s%s%s", text, *text ? "," : "", *s);
    }
    return text;
}
