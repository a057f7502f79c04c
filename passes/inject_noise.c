/*
 * Noise at a named point of @objective (Sau & Balasubramanian 2016, arXiv 1610.09650): a sample of
 * the mini-batch is chosen with probability alpha, and its value z at the site is replaced by
 *
 *     multiplicative   z' = (1 + sigma · xi) · z        xi ~ N(0, 1)
 *     additive         z' = z + sigma · xi
 *
 * scope class draws a xi per class (per element of a sample), scalar one for all of them; draw
 * sample draws anew for each sample, batch shares xi among the batch. The choice is always per
 * sample. sigma is a standard deviation: a number, a hyperparameter, uniform on [sigma_lo,
 * sigma_hi] and drawn per batch, or going from sigma_from to sigma_to within sigma_epochs epochs.
 * Streams are named after the site, so that two runs of one seed that differ elsewhere draw the
 * same noise.
 */
#include "passes/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Noise {
    KdModule *m;
    KdBuilder *b;
    const KdAttr *options;
    const char *site;
    KdValue *z;
    KdValue *epoch, *step;
    KdValue *index; /* NULL when the function has none */
} Noise;

static const char *stream(const Noise *s, const char *what) {
    return kd_arena_format(s->m->arena, "%s.%s", s->site, what);
}

/* An option of the pass, or else the program's key `noise.<name>`. */
static const KdAttr *setting(const Noise *s, const char *name) {
    const KdAttr *found = kd_attr_find(s->options, name);
    return found ? found
                 : kd_attr_find(s->m->program, kd_arena_format(s->m->arena, "noise.%s", name));
}

/* One of two words; the first is what is meant when nothing is said. */
static bool choose(const Noise *s, const char *name, const char *first, const char *second,
                   bool *is_second) {
    const KdAttr *word = setting(s, name);
    *is_second = word && word->kind == KD_ATTR_STR && !strcmp(word->str, second);
    if (!word || *is_second || (word->kind == KD_ATTR_STR && !strcmp(word->str, first)))
        return true;
    return kd_error(s->b->diag, s->z->loc, "inject-noise: %s is '%s' or '%s'%s%s%s", name, first,
                    second, word->kind == KD_ATTR_STR ? ", not '" : "",
                    word->kind == KD_ATTR_STR ? word->str : "",
                    word->kind == KD_ATTR_STR ? "'" : "");
}

/* A scalar given as a number, or as a hyperparameter's name with or without '%'. NULL without an
 * error where nothing is said. */
static KdValue *scalar(const Noise *s, const char *name) {
    const KdAttr *given = setting(s, name);
    if (!given) return NULL;
    s->b->name = name;
    if (given->kind != KD_ATTR_STR)
        return kd_constant(s->b, kd_scalar(KD_F32), kd_attr_num(given, given->name, 0));
    const char *hyper = given->str + (*given->str == '%');
    char *end = NULL;
    double number = strtod(given->str, &end);
    if (*given->str && !*end) return kd_constant(s->b, kd_scalar(KD_F32), number);
    if (kd_module_hyper(s->m, hyper) >= 0) return kd_hyper(s->b, hyper);
    kd_error(s->b->diag, s->z->loc,
             "inject-noise: %s is neither a number nor a hyperparameter: "
             "'%s'",
             name, given->str);
    return NULL;
}

/* Are both options given? One alone is an error. */
static bool both(const Noise *s, const char *one, const char *other, bool *given) {
    bool first = setting(s, one) != NULL, second = setting(s, other) != NULL;
    *given = first && second;
    return first == second ||
           kd_error(s->b->diag, s->z->loc, "inject-noise: %s is given without %s",
                    first ? one : other, first ? other : one);
}

/* min(epoch / (epochs - 1), 1): 0 in the first epoch, 1 from the last of sigma_epochs on. */
static KdValue *progress(const Noise *s) {
    const KdAttr *epochs = setting(s, "sigma_epochs");
    KdBuilder *b = s->b;
    if (!epochs || epochs->kind != KD_ATTR_INT || epochs->i < 1) {
        kd_error(b->diag, s->z->loc,
                 "inject-noise: sigma_from and sigma_to go with sigma_epochs, at least 1");
        return NULL;
    }
    double last = epochs->i > 1 ? (double)epochs->i - 1 : 1;
    KdValue *epoch = kd_cast(b, s->epoch, KD_F32);
    KdValue *part = kd_binary(b, KD_OP_DIV, epoch, kd_constant_like(b, epoch, last));
    return kd_binary(b, KD_OP_MIN, part, kd_constant_like(b, part, 1));
}

/* The standard deviation, f32 scalar: fixed, or between two: uniform per batch, or by epochs. */
static KdValue *sigma(const Noise *s) {
    KdBuilder *b = s->b;
    bool drawn, falling;
    if (!both(s, "sigma_lo", "sigma_hi", &drawn) || !both(s, "sigma_from", "sigma_to", &falling))
        return NULL;
    if (!drawn && !falling) {
        if (setting(s, "sigma")) return scalar(s, "sigma");
        kd_error(b->diag, s->z->loc,
                 "inject-noise: sigma, or sigma_lo and sigma_hi, must be given");
        return NULL;
    }
    KdValue *from = scalar(s, drawn ? "sigma_lo" : "sigma_from");
    KdValue *to = from ? scalar(s, drawn ? "sigma_hi" : "sigma_to") : NULL;
    if (!to) return NULL;
    KdValue *u = drawn ? kd_rng(b, KD_OP_RNG_UNIFORM, s->step, s->epoch, kd_scalar(KD_F32),
                                stream(s, "sigma"))
                       : progress(s);
    if (!u) return NULL;
    KdValue *part = kd_binary(b, KD_OP_MUL, kd_binary(b, KD_OP_SUB, to, from), u);
    b->name = "sigma";
    return kd_binary(b, KD_OP_ADD, from, part);
}

/* xi in the smallest shape that holds what differs, and in map where its dims lie in z. */
static KdValue *draw_xi(const Noise *s, bool per_sample, bool one, int map[KD_MAX_RANK]) {
    KdType t = s->z->type, drawn = kd_scalar(KD_F32);
    for (int k = 0; k < t.rank; k++) {
        if (k == 0 ? !per_sample : one) continue;
        map[drawn.rank] = k;
        drawn.dim[drawn.rank++] = t.dim[k];
    }
    s->b->name = "xi";
    return kd_rng(s->b, KD_OP_RNG_NORMAL, per_sample ? s->index : s->step, s->epoch, drawn,
                  stream(s, "xi"));
}

/* z with the noise on every sample. */
static KdValue *perturb(const Noise *s, bool additive, bool one, bool per_batch) {
    KdBuilder *b = s->b;
    int map[KD_MAX_RANK] = { 0 };
    KdValue *deviation = sigma(s);
    if (!deviation) return NULL;
    KdValue *xi = draw_xi(s, !per_batch, one, map);
    KdValue *noise = kd_binary(b, KD_OP_MUL, xi, deviation);
    if (!additive && noise) noise = kd_binary(b, KD_OP_ADD, kd_constant_like(b, noise, 1), noise);
    if (noise && !kd_type_equal(noise->type, s->z->type))
        noise = kd_broadcast(b, noise, s->z->type, map);
    b->name = "perturbed";
    return kd_binary(b, additive ? KD_OP_ADD : KD_OP_MUL, s->z, noise);
}

/* The perturbed value where the sample is chosen, with probability alpha, else z. */
static KdValue *choose_samples(const Noise *s, KdValue *perturbed) {
    KdBuilder *b = s->b;
    if (!setting(s, "alpha")) return perturbed;
    KdValue *alpha = scalar(s, "alpha");
    if (!alpha) return NULL;
    KdType batch = kd_type(KD_F32, 1, (int64_t[]){ KD_BATCH });
    KdValue *u = kd_rng(b, KD_OP_RNG_UNIFORM, s->index, s->epoch, batch, stream(s, "select"));
    b->name = "chosen";
    KdValue *chosen = kd_binary(b, KD_OP_LT, u, alpha);
    if (!chosen) return NULL;
    KdType like = kd_type_with_dtype(s->z->type, KD_BOOL);
    KdValue *each = like.rank == 1 ? chosen : kd_broadcast(b, chosen, like, (int[]){ 0 });
    b->name = kd_arena_format(s->m->arena, "%s.noisy", s->z->name);
    return kd_select(b, each, perturbed, s->z);
}

static KdInstr *find_site(KdFunc *f, const char *site) {
    KdInstr *found = NULL;
    KD_EACH_INSTR(i, f)
    if (i->site && i->nresults && !strcmp(i->site, site)) found = i;
    return found;
}

static bool say_no_site(const KdFunc *f, const char *site, KdDiag *d) {
    const char *names[32];
    int n = 0;
    KD_EACH_INSTR(i, f)
    if (i->site && n < 32) names[n++] = i->site;
    const char *near = kd_nearest(site, names, n);
    return kd_error(d, f->loc, "inject-noise: @%s has no site \"%s\"%s%s%s", f->name, site,
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* An i32 scalar argument of that kind, added where the function has none. */
static KdValue *counter_arg(KdFunc *f, const char *kind) {
    KdValue *v = kd_func_arg_kind(f, kind);
    return v ? v : kd_func_add_arg(f, kind, kd_scalar(KD_I32), kind);
}

/* Uses of z behind the noise, and the function's results, read the noisy value instead. */
static void use_instead(KdFunc *f, KdValue *z, KdValue *noisy) {
    for (KdInstr *i = noisy->def->next; i; i = i->next)
        for (int k = 0; k < i->nargs; k++)
            if (i->args[k] == z) i->args[k] = noisy;
    for (int k = 0; k < f->nresults; k++)
        if (f->results[k] == z) f->results[k] = noisy;
}

bool kd_pass_inject_noise(KdModule *m, const KdAttr *options, KdDiag *d) {
    KdFunc *f = kd_module_func(m, "objective");
    if (!f) return kd_error(d, (KdLoc){ m->source, 0 }, "inject-noise: there is no @objective");
    KdBuilder b = kd_builder(f, d);
    Noise s = { .m = m, .b = &b, .options = options };
    const KdAttr *site = setting(&s, "site");
    s.site = site && site->kind == KD_ATTR_STR ? site->str : "teacher.logits";
    KdInstr *at = find_site(f, s.site);
    if (!at) return say_no_site(f, s.site, d);

    b.before = at->next;
    b.loc = at->loc;
    b.role = "noise";
    s.z = at->results[0];
    s.epoch = counter_arg(f, KD_ARG_EPOCH);
    s.step = counter_arg(f, KD_ARG_STEP);
    s.index = kd_func_arg_kind(f, KD_ARG_INDEX);
    char text[KD_TYPE_TEXT];
    if (s.z->type.dtype != KD_F32 || s.z->type.rank < 1 || s.z->type.dim[0] != KD_BATCH)
        return kd_error(d, at->loc, "inject-noise: site \"%s\" is %s; noise wants f32[B,...]",
                        s.site, kd_type_text(s.z->type, text));
    bool additive, one, per_batch;
    if (!choose(&s, "kind", "multiplicative", "additive", &additive) ||
        !choose(&s, "scope", "class", "scalar", &one) ||
        !choose(&s, "draw", "sample", "batch", &per_batch))
        return false;
    if (!s.index && (!per_batch || setting(&s, "alpha")))
        return kd_error(d, at->loc, "inject-noise: @objective has no index to draw samples by");

    KdValue *perturbed = perturb(&s, additive, one, per_batch);
    KdValue *noisy = perturbed ? choose_samples(&s, perturbed) : NULL;
    if (!noisy) return false;
    use_instead(f, s.z, noisy);
    return true;
}
