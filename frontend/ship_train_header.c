/*
 * What the header of an object says of training: sizes, the structs that a caller fills, and the
 * functions, each with all that one must know to call it.
 */
#include "frontend/ship.h"
#include "frontend/ship_train.h"

#include <ctype.h>
#include <string.h>

typedef struct Header {
    const KdTrainer *t;
    const KdRun *run;
    const char *name; /* of macros; functions and types begin with t->symbol */
    KdArena *arena;
    FILE *out;
} Header;

/* --- structs --------------------------------------------------------------------------------- */

/* The next member's name: one '_' goes behind C's and C++'s own words. */
static const char *member(const Header *h, const KdCName **members, const char *name) {
    static const char words[] =
        " alignas alignof and and_eq asm auto bitand bitor bool break case catch char "
        "char16_t char32_t char8_t class co_await co_return co_yield compl concept "
        "const const_cast consteval constexpr constinit continue decltype default "
        "delete do double dynamic_cast else enum explicit export extern false float for "
        "friend goto if inline int long mutable namespace new noexcept not not_eq "
        "nullptr operator or or_eq private protected public register reinterpret_cast "
        "requires restrict return short signed sizeof static static_assert static_cast "
        "struct switch template this thread_local throw true try typedef typeid "
        "typename typeof typeof_unqual union unsigned using virtual void volatile "
        "wchar_t while xor xor_eq ";
    if (isdigit((unsigned char)*name)) name = kd_arena_format(h->arena, "_%s", name);
    if (strstr(words, kd_arena_format(h->arena, " %s ", name)))
        name = kd_arena_format(h->arena, "%s_", name);
    return kd_c_unique(members, name, h->arena);
}

/* Is the hyperparameter read by @step? Others keep their place only. */
static bool is_read(const KdFunc *f, const char *name) {
    KD_EACH_INSTR(i, f) {
        if (i->op == KD_OP_HYPER && strcmp(kd_attr_str(i->attrs, "name", ""), name) == 0)
            return true;
        if (i->body && is_read(i->body, name)) return true;
    }
    return false;
}

static void print_hyper(const Header *h) {
    const KdModule *m = h->run->module;
    const char *s = h->t->symbol;
    if (!h->t->step) return;
    fprintf(h->out,
            "/* Hyperparameters: changing one compiles nothing anew%s. */\ntypedef struct {\n",
            h->t->entries & KD_ENTRY_PREDICT ? ". What predict reads is the script's" : "");
    const KdCName *members = NULL;
    for (int k = 0; k < m->nhypers; k++)
        fprintf(h->out, "    float %s;%s\n", member(h, &members, m->hypers[k]->name),
                is_read(h->t->step, m->hypers[k]->name) ? "" : " /* not used here */");
    if (!m->nhypers) fprintf(h->out, "    float none;\n");
    fprintf(h->out, "} %s_hyper;\n#define %s_HYPER { ", s, h->name);
    for (int k = 0; k < m->nhypers; k++)
        fprintf(h->out, "%s%s", k ? ", " : "", kd_c_float(m->hypers[k]->value, h->arena));
    fprintf(h->out, "%s } /* the script's */\n\n", m->nhypers ? "" : "0");
}

static const char *element_type(KdDtype t) {
    return t == KD_U8 ? "uint8_t" : t == KD_I32 ? "int32_t" : "float";
}

static const char *array_comment(const Header *h, const char *name) {
    const KdDataSpec *data = h->run->data;
    if (strcmp(name, "images") == 0 && data->scale != 1)
        return kd_arena_format(h->arena, ", the file's values: times %.9g is done inside",
                               data->scale);
    if (strcmp(name, "images") == 0 && data->normalize) return ", not yet normalised";
    if (strcmp(name, "mean") == 0)
        return kd_arena_format(h->arena,
                               ": taken from each sample (normalize = \"%s\"), see %s_NORMALIZE",
                               data->normalize, h->name);
    if (strcmp(name, "rate") == 0) return ": each sample is multiplied by it then";
    if (strcmp(name, "teacher_logits") != 0) return "";
    return h->t->teacher ? kd_arena_format(h->arena, ": %s_teach makes them", h->t->symbol)
                         : ": or what else the loss reads of the teacher";
}

/* The k-th array's name: logits of one teacher need no other. */
static const char *array_name(const Header *h, const KdCName **members, int k) {
    const KdTrainer *t = h->t;
    int tables = 0;
    for (int j = 2; j < t->narrays; j++) tables += strstr(t->array[j]->name, ".logits") != NULL;
    const char *name = k == 0 ? "images" : k == 1 ? "labels" : t->array[k]->name;
    if (k == t->layout.logits && tables == 1) name = "teacher_logits";
    return kd_c_unique(members, name, h->arena);
}

static void print_data(const Header *h) {
    const KdTrainer *t = h->t;
    const KdCName *members = NULL;
    fprintf(h->out,
            "/* What is trained on, or tested. Behind each array %d bytes must be readable, as\n"
            " * kdrt_alloc has them. */\n"
            "typedef struct {\n"
            "    int64_t rows;\n",
            KDRT_SLACK);
    for (int k = 0; k < t->narrays; k++) {
        const KdValue *v = t->array[k];
        KdDtype labels = t->layout.wide_labels ? KD_I32 : KD_U8;
        const char *name = array_name(h, &members, k);
        char text[KD_TYPE_TEXT] = "one a row";
        if (v) kd_type_text(v->type, text);
        const char *bound = k == 1 ? kd_arena_format(h->arena, ", below %s_CLASSES", h->name) : "";
        fprintf(h->out, "    const %s *%s; /* %s%s%s%s */\n",
                element_type(v ? v->type.dtype : labels), name, text, bound, array_comment(h, name),
                k == 1 && !(t->step && kd_func_arg(t->step, "labels"))
                    ? "; evaluate alone reads them: may be NULL otherwise"
                    : "");
    }
    fprintf(h->out, "} %s_data;\n\n", t->symbol);
}

static void print_training(const Header *h) {
    const char *s = h->t->symbol, *n = h->name;
    bool block = h->t->layout.teacher_bytes && !h->t->teacher_weights;
    fprintf(h->out,
            "/* Memory, which is the caller's, and how it is to go. What trains at the same time\n"
            " * has a state and a scratch of its own. Results do not depend on the threads. */\n"
            "typedef struct {\n"
            "    void *state; /* %s_STATE_BYTES: a KdrtState, the weights, the optimiser's */\n"
            "    void *scratch; /* %s_TRAINING_BYTES(threads, rows); nothing is kept in it */\n",
            n, n);
    fprintf(h->out, "    const void *teacher; /* %s%s */\n", block ? n : "not used here",
            block ? "_TEACHER_BYTES of weights" : "");
    fprintf(h->out,
            "    const %s%s *hyper; /* NULL: the script's values */\n"
            "    KdrtPool *pool; /* of kdrt_pool_create; NULL: the calling thread alone */\n"
            "    /* Called each progress_every steps of an epoch; not 0: stop. May be NULL. */\n"
            "    int32_t (*progress)(void *user, KdrtEpoch *now);\n"
            "    void *user;\n"
            "    int32_t progress_every;\n"
            "} %s_training;\n\n",
            h->t->step ? s : "float", h->t->step ? "_hyper" : "", s);
}

/* --- sizes ----------------------------------------------------------------------------------- */

static void print_teacher(const Header *h) {
    const KdTrainer *t = h->t;
    bool block = t->layout.teacher_bytes && !t->teacher_weights;
    fprintf(h->out, "#define %s_TEACHER_BYTES %lld /* of weights that the caller gives */\n",
            h->name, block ? (long long)t->layout.teacher_bytes : 0);
    fprintf(h->out, "#define %s_TEACHER_LOGITS %d /* are they part of the data? */\n", h->name,
            t->layout.logits >= 0);
    fprintf(h->out, "#define %s_TEACHER_WIDTH %d /* floats of a row of them */\n", h->name,
            t->layout.teacher_width);
    fprintf(h->out, "#define %s_TEACH %d /* is there %s_teach? */\n", h->name, t->teacher != NULL,
            t->symbol);
}

static void print_sizes(const Header *h, int64_t worker_bytes) {
    const KdrtLayout *l = &h->t->layout;
    const char *n = h->name;
    FILE *out = h->out;
    int64_t worker = (worker_bytes + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
    fprintf(out, "#define %s_BATCH %d /* rows of a step, at most */\n", n, l->batch);
    fprintf(out, "#define %s_SEED %lld /* the script's, as */\n#define %s_EPOCHS %lld\n", n,
            (long long)h->run->seed, n, (long long)h->run->epochs);
    fprintf(out, "#define %s_STATE_BYTES %lld\n", n, (long long)l->state_bytes);
    fprintf(out,
            "/* Without %s_epoch, rows is 0. */\n"
            "#define %s_TRAINING_BYTES(threads, rows) \\\n"
            "    ((size_t)%lld + (size_t)(threads) * %lld + (size_t)(rows) * 4 + %d)\n",
            h->t->symbol, n, (long long)kdrt_network_scratch(l), (long long)worker, KDRT_SLACK);
    fprintf(out,
            "#define %s_STATE_WEIGHTS %lld /* their place in the state */\n"
            "#define %s_WEIGHTS(state) ((void *)((char *)(state) + %s_STATE_WEIGHTS))\n"
            "#define %s_SAVED_BYTES %lld /* of a safetensors file */\n",
            n, (long long)l->weights, n, n, n, (long long)l->saved_bytes);
    print_teacher(h);
    fputc('\n', out);
}

/* --- functions ------------------------------------------------------------------------------- */

static void print_codes(const Header *h) {
    fprintf(h->out,
            "/* Besides %s_OK, BAD_ARGUMENT and MISALIGNED: codes of KdrtStatus. */\n"
            "#define %s_STOPPED %d     /* by progress; the next call goes on */\n"
            "#define %s_NOT_FINITE %d  /* the loss is NaN or infinite: nothing was updated */\n"
            "#define %s_BAD_STATE %d   /* not initialised, or of another network */\n"
            "#define %s_BAD_WEIGHTS %d /* no safetensors file of exactly these parameters */\n"
            "#define %s_OTHER_VERSION %d /* libkdrt is older or newer than this object */\n\n",
            h->name, h->name, KDRT_STOPPED, h->name, KDRT_NOT_FINITE, h->name, KDRT_BAD_STATE,
            h->name, KDRT_BAD_WEIGHTS, h->name, KDRT_OTHER_VERSION);
}

static void print_state_functions(const Header *h) {
    const char *s = h->t->symbol;
    fprintf(
        h->out,
        "/* A new state: weights drawn as the script says, as kdc draws them for that seed. */\n"
        "int %s_init(void *state, uint64_t seed);\n",
        s);
    if (h->t->weights)
        fprintf(h->out,
                "/* From the weights that are part of the object; the optimiser starts anew%s. */\n"
                "int %s_init_shipped(void *state, uint64_t seed);\n",
                h->t->layout.nauxiliary ? ", and what the loss has of its own" : "", s);
    fprintf(
        h->out,
        "/* The weights as a safetensors file of %s_SAVED_BYTES, under PyTorch's names. */\n"
        "int %s_save(const void *state, void *bytes);\n"
        "/* And back, from any file that has them and no others; the optimiser's part of the\n"
        " * state and its counters stay. To resume a training to the same bits, keep all bytes\n"
        " * of the state as they are. */\n"
        "int %s_load(void *state, const void *bytes, size_t size);\n",
        h->name, s, s);
    if (h->t->layout.teacher_bytes && !h->t->teacher_weights)
        fprintf(h->out,
                "/* A safetensors file into the weights of teacher `number`, from 0. */\n"
                "int %s_load_teacher(void *teacher, int number, const void *bytes, size_t size);\n",
                s);
}

static void print_step(const Header *h) {
    const char *s = h->t->symbol;
    fprintf(
        h->out,
        "/* One training step on n rows of the data (at most %s_BATCH): those that `rows`\n"
        " * numbers; noise and the like are drawn by row and by the epoch in the state, which\n"
        " * is the caller's to count. rows NULL: the first n, as if never seen before, with\n"
        " * draws of their own in each step. loss (or NULL) is the mean over the batch, before\n"
        " * the update.%s */\n",
        h->name,
        h->t->teacher ? " Without rows teacher_logits may be NULL: the teacher is asked." : "");
    fprintf(h->out,
            "int %s_step(const %s_training *t, const %s_data *data, const int32_t *rows, int n,\n"
            "    float *loss);\n",
            s, s, s);
}

static void print_functions(const Header *h) {
    const KdTrainer *t = h->t;
    const char *s = t->symbol;
    if (t->teacher)
        fprintf(h->out,
                "/* The teacher's logits of all rows, once for all epochs. */\n"
                "int %s_teach(const %s_training *t, const %s_data *data, float *teacher_logits);\n",
                s, s, s);
    if (t->entries & KD_ENTRY_STEP) print_step(h);
    if (t->entries & KD_ENTRY_EPOCH)
        fprintf(h->out,
                "/* An epoch: %s; or the rest of one\n"
                " * that was stopped. loss (or NULL) is the mean over its rows. */\n"
                "int %s_epoch(const %s_training *t, const %s_data *data, double *loss);\n",
                t->layout.resample ? "as many rows as there are, drawn with repetition by the seed"
                                   : "every row once, in the order that the seed gives",
                s, s, s);
    if (t->entries & KD_ENTRY_EVALUATE)
        fprintf(h->out,
                "/* The logits of all rows (or NULL), and the share of rows that are classified\n"
                " * wrongly (or NULL), by the weights in the state. */\n"
                "int %s_evaluate(const %s_training *t, const %s_data *data, float *logits,\n"
                "    double *error);\n",
                s, s, s);
}

void kd_trainer_print(const KdTrainer *t, const KdRun *run, const char *name, int64_t worker_bytes,
                      KdArena *a, FILE *out) {
    const Header h = { .t = t, .run = run, .name = name, .arena = a, .out = out };
    fprintf(out, "/* --- training: link with libkdrt, pkg-config --libs kdrt */\n\n");
    print_sizes(&h, worker_bytes);
    print_codes(&h);
    print_hyper(&h);
    print_data(&h);
    print_training(&h);
    print_state_functions(&h);
    print_functions(&h);
    fputc('\n', out);
}
