/*
 * The header of an object that ships: all that a caller must know. What it says of training is
 * ship_train_header.c's.
 */
#include "frontend/ship_header.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* --- C ---------------------------------------------------------------------------------------- */

const char *kd_c_float(double x, KdArena *a) {
    float value = (float)x;
    if (isnan(value)) return "NAN";
    if (isinf(value)) return value > 0 ? "INFINITY" : "-INFINITY";
    const char *text = kd_arena_format(a, "%.9g", (double)value);
    return kd_arena_format(a, strpbrk(text, ".e") ? "%sf" : "%s.0f", text);
}

static bool is_taken(const KdCName *given, const char *name) {
    while (given && strcmp(given->text, name) != 0) given = given->before;
    return given != NULL;
}

const char *kd_c_unique(const KdCName **given, const char *wanted, KdArena *a) {
    char *plain = kd_arena_string(a, wanted);
    for (char *c = plain; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    KdCName *name = KD_NEW(a, KdCName);
    *name = (KdCName){ .text = plain, .before = *given };
    for (int k = 2; is_taken(*given, name->text); k++)
        name->text = kd_arena_format(a, "%s_%d", plain, k);
    *given = name;
    return name->text;
}

const char *kd_c_upper(KdArena *a, const char *text) {
    char *copy = kd_arena_string(a, text);
    for (char *p = copy; *p; p++) *p = (char)toupper((unsigned char)*p);
    return copy;
}

/* --- parts ------------------------------------------------------------------------------------ */

static void print_weights(const KdShip *s, const char *name, FILE *out) {
    int64_t bytes = kd_slab_elements(s->m, s->run->network) * 4 + KDRT_SLACK;
    if (s->predict.weights) {
        fprintf(out,
                "/* The weights are part of the object: pass NULL for them. */\n"
                "#define %s_WEIGHT_BYTES 0\n\n",
                name);
        return;
    }
    fprintf(
        out,
        "/* The weights: f32, row-major, each parameter at its offset in bytes. What lies behind "
        "them is\n"
        " * %s. */\n"
        "#define %s_WEIGHT_BYTES %lld\n",
        s->predict.packs ? "for what packs them" : "never used, but may be read", name,
        (long long)(s->predict.packs ? s->weight_bytes : bytes));
    const KdCName *parts = NULL;
    for (int k = 0; k < s->m->nparams; k++) {
        const KdParam *p = s->m->params[k];
        char type[KD_TYPE_TEXT];
        if (p->auxiliary || strcmp(p->network, s->run->network) != 0) continue;
        const char *part = kd_c_unique(&parts, kd_c_upper(s->arena, p->name), s->arena);
        fprintf(out, "#define %s_OFFSET_%s %lld /* %s, %s */\n", name, part,
                (long long)kd_slab_offset(s->m, p) * 4, p->name, kd_type_text(p->type, type));
    }
    fputc('\n', out);
}

/* As the elements of an array of strings, without trigraphs; one null pointer where the script
 * gives none. */
static void print_class_names(const KdShip *s, const char *name, FILE *out) {
    const KdDataSpec *data = s->run->data;
    fprintf(out, "#define %s_CLASS_NAMES ", name);
    for (int k = 0; data->class_names && k < data->classes; k++) {
        fputs(k ? ", \"" : "\"", out);
        for (const char *c = data->class_names[k]; *c; c++) {
            if (strchr("\"\\?", *c)) fputc('\\', out);
            if ((unsigned char)*c >= ' ') fputc(*c, out);
        }
        fputc('"', out);
    }
    fputs(data->class_names ? "\n" : "0\n", out);
}

/* What the object was compiled for. */
static const char *machines(const KdShip *s) {
    const char *list = s->m->target.cpu;
    for (int k = s->predict.nlevels - 2; k >= 0; k--)
        list = kd_arena_format(s->arena, "%s, %s", list, s->predict.level[k].cpu);
    return list;
}

static void print_top(const KdShip *s, const char *name, FILE *out) {
    fprintf(out,
            "/* Network \"%s\" of run \"%s\", compiled by kdc %s for %s. */\n"
            "#ifndef %s_H\n#define %s_H\n\n",
            s->run->network, s->run->name, kd_version(), machines(s), name, name);
    if (s->trainer) fputs("#include <kdrt.h>\n#include <math.h>\n\n", out);
    fprintf(out, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n#define %s_ABI %d\n", name,
            KD_PREDICT_ABI);
}

/* Who does it. */
static void print_normalization(const KdShip *s, const char *name, FILE *out) {
    const KdDataSpec *data = s->run->data;
    bool inside = s->predict.mean != NULL;
    fprintf(out,
            "#define %s_NORMALIZE %d /* 0: there is nothing to do, 1: it is done inside, 2: it is "
            "the caller's */\n",
            name,
            !kd_ship_is_normalized(s) ? 0
            : inside                  ? 1
                                      : 2);
    if (inside)
        fprintf(out,
                "/* normalize = \"%s\": (x - mean) * rate, element by element, with these of the "
                "training\n"
                " * samples; behind them %d bytes may be read. */\n"
                "extern const float %s_mean[%s_INPUTS], %s_rate[%s_INPUTS];\n",
                data->normalize, KDRT_SLACK, s->predict.symbol, name, s->predict.symbol, name);
    else if (data->normalize)
        fprintf(
            out,
            "/* normalize = \"%s\": the caller passes (x - mean) * rate, element by element, with "
            "those of\n"
            " * the training samples, which were not at hand when this was compiled. */\n",
            data->normalize);
    else if (data->contrast)
        fputs("/* normalize = \"local\": the caller passes the local contrast of images, as kdc "
              "makes it "
              "from\n"
              " * the file's (Jarrett et al. 2009: 9 x 9 pixels, deviation 2). */\n",
              out);
}

/* What samples and logits are. */
static void print_shapes(const KdShip *s, const char *name, FILE *out) {
    char type[KD_TYPE_TEXT];
    KdType x = s->input;
    fprintf(out, "#define %s_INPUTS %lld /* a sample: %s", name,
            (long long)kd_type_elements(x, 1, 1), kd_type_text(x, type));
    if (s->run->data->scale != 1)
        fprintf(out, ", the file's values times %.9g", s->run->data->scale);
    fprintf(out, " */\n#define %s_INPUT_SHAPE ", name);
    for (int k = 1; k < x.rank; k++) fprintf(out, "%s%lld", k > 1 ? ", " : "", (long long)x.dim[k]);
    fprintf(out, "\n#define %s_INPUT_SCALE %s\n", name, kd_c_float(s->run->data->scale, s->arena));
    print_normalization(s, name, out);
    print_class_names(s, name, out);
    fprintf(out, "#define %s_CLASSES %lld\n", name, (long long)kd_type_elements(s->output, 1, 1));
    fprintf(out, "#define %s_ALIGN %d /* of all memory that is handed over, in bytes */\n\n", name,
            KDRT_ALIGN);
}

static void print_predict(const KdShip *s, const char *name, FILE *out) {
    const char *symbol = s->predict.symbol;
    if (s->predict.packs)
        fprintf(
            out,
            "/* Call it when the parameters are in their places, and after each change of them: it "
            "writes\n"
            " * behind them the order in which %s_predict reads them, which else returns "
            "%s_NOT_PACKED. */\n"
            "int %s_pack(void *weights);\n\n",
            symbol, name, symbol);
    fprintf(out, "#define %s_SCRATCH_BYTES %lld /* of %s_predict */\n\n", name,
            (long long)s->scratch, symbol);
    fprintf(
        out,
        "/* The logits of n samples: x is n times %s_INPUTS floats, row-major, logits n\n"
        " * times %s_CLASSES. %s_probabilities: their softmax, in the same form; %s_classes: the\n"
        " * first largest of each sample, from 0. They allocate nothing, keep nothing, start no\n"
        " * threads and may run in several threads at once, each with a scratch of its own. */\n",
        name, name, symbol, symbol);
    fprintf(out,
            "int %s_predict(const float *x, int n, float *logits, const void *weights, void "
            "*scratch);\n"
            "int %s_probabilities(const float *x, int n, float *p, const void *weights, void "
            "*scratch);\n"
            "int %s_classes(const float *x, int n, int *classes, const void *weights, void "
            "*scratch);\n\n",
            symbol, symbol, symbol);
}

/* Where no code asks the CPU: what the caller can ask. */
static void print_machine(const KdShip *s, const char *name, FILE *out) {
    const KdTarget *t = &s->m->target;
    uint64_t hwcap[2];
    const char *untold;
    if (!kd_target_hwcaps(t, hwcap, &untold, s->arena, s->d)) return;
    if (t->vector_bits > 128)
        untold = kd_arena_format(s->arena, "%s%svectors of %d bits", untold, *untold ? ", " : "",
                                 t->vector_bits);
    fprintf(
        out,
        "/* Whether a CPU has what the code needs, which nothing asks%s%s%s. On Linux, before the "
        "first\n"
        " * call: %s_RUNS_ON(getauxval(AT_HWCAP), getauxval(AT_HWCAP2)). */\n"
        "#define %s_RUNS_ON(hwcap, hwcap2) \\\n"
        "    (((hwcap) & 0x%llxul) == 0x%llxul && ((hwcap2) & 0x%llxul) == 0x%llxul)\n\n",
        *untold ? " (but for " : "", untold, *untold ? ")" : "", name, name,
        (unsigned long long)hwcap[0], (unsigned long long)hwcap[0], (unsigned long long)hwcap[1],
        (unsigned long long)hwcap[1]);
}

void kd_ship_print_header(const KdShip *s, FILE *out) {
    const char *name = kd_c_upper(s->arena, s->predict.symbol);
    print_top(s, name, out);
    print_shapes(s, name, out);
    print_weights(s, name, out);
    fprintf(out,
            "#define %s_OK %d\n"
            "#define %s_BAD_ARGUMENT %d /* a null pointer, or a number out of range */\n"
            "#define %s_MISALIGNED %d   /* weights or other memory */\n"
            "#define %s_UNSUPPORTED_CPU %d /* it lacks what the code needs: on x86-64 */\n",
            name, KD_PREDICT_OK, name, KD_PREDICT_BAD_ARGUMENT, name, KD_PREDICT_MISALIGNED, name,
            KD_PREDICT_UNSUPPORTED_CPU);
    if (s->predict.packs) fprintf(out, "#define %s_NOT_PACKED %d\n", name, KD_PREDICT_NOT_PACKED);
    fputc('\n', out);
    print_machine(s, name, out);
    if (s->predict.nvariants) print_predict(s, name, out);
    if (s->trainer) kd_trainer_print(s->trainer, s->run, name, s->workers, s->arena, out);
    fprintf(out, "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
