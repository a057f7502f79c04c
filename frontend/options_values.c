/* The options' values: numbers, words, lists, each checked as it is read. */
#include "frontend/options_table.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const KdLoc nowhere = { NULL, 0 };

static bool read_number(KdOptionId id, const char *text, int64_t least, int64_t *value, KdDiag *d) {
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < least || n > INT32_MAX) {
        return kd_error(d, nowhere, "--%s wants a whole number from %d to %d, found '%s'",
                        kd_option_rows[id].name, (int)least, INT32_MAX, text);
    }
    *value = n;
    return true;
}

/* One of the words in `words` (NULL-ended). */
static bool read_word(KdOptionId id, const char *text, const char *const *words, const char **value,
                      KdDiag *d) {
    int n = 0;
    for (; words[n]; n++) {
        if (strcmp(words[n], text) == 0) {
            *value = text;
            return true;
        }
    }
    const char *near = kd_nearest(text, words, n);
    char list[128] = "";
    for (int k = 0; k < n; k++) {
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", k ? (k + 1 < n ? ", " : " or ") : "",
                 words[k]);
    }
    return kd_error(d, nowhere, "--%s wants %s, found '%s'%s%s%s", kd_option_rows[id].name, list,
                    text, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool read_pair(KdOptionId id, const char *text, const char **list, int *n, KdDiag *d) {
    const char *sign = strchr(text, '=');
    if (!sign || sign == text || !sign[1]) {
        return kd_error(d, nowhere, "--%s wants %s, found '%s'", kd_option_rows[id].name,
                        kd_option_rows[id].argument, text);
    }
    list[(*n)++] = text;
    return true;
}

/* NAME=NUMBER. */
static bool read_set(KdOptions *o, const char *text, KdDiag *d) {
    if (!read_pair(ID_SET, text, o->sets, &o->nsets, d)) return false;
    const char *value = strchr(text, '=') + 1;
    char *end;
    double number = strtod(value, &end);
    if (*end || !isfinite(number))
        return kd_error(d, nowhere, "--set %s: '%s' is not a number", text, value);
    return true;
}

/* "60" or "60s": seconds; "100steps". */
static bool read_period(KdOptions *o, const char *text, KdDiag *d) {
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    bool steps = strcmp(end, "steps") == 0, seconds = !*end || strcmp(end, "s") == 0;
    if (end == text || errno || n < 1 || n > INT32_MAX || (!steps && !seconds)) {
        return kd_error(d, nowhere, "--%s wants seconds as 60, or steps as 100steps, found '%s'",
                        kd_option_rows[ID_CHECKPOINT_EVERY].name, text);
    }
    o->checkpoint_seconds = steps ? -1 : n;
    o->checkpoint_steps = steps ? n : -1;
    return true;
}

/* N passes, or N.M: of the last of them M steps. */
static bool read_stop(KdOptions *o, const char *text, KdDiag *d) {
    int passes, steps, end = 0;
    /* Widths bound what is read.
     * NOLINTBEGIN(bugprone-unchecked-string-to-number-conversion,cert-err34-c) */
    bool both = sscanf(text, "%6d.%9d%n", &passes, &steps, &end) == 2 && !text[end];
    bool one = !both && sscanf(text, "%6d%n", &passes, &end) == 1 && !text[end];
    /* NOLINTEND(bugprone-unchecked-string-to-number-conversion,cert-err34-c) */
    if ((!both && !one) || passes < 1 || (both && steps < 0))
        return kd_error(d, nowhere, "--%s wants N passes, or N.M: M steps of the last, found '%s'",
                        kd_option_rows[ID_STOP_AFTER].name, text);
    o->stop_after = passes;
    if (both) o->stop_steps = steps;
    return true;
}

/* A name for C. */
static bool read_symbol(KdOptions *o, const char *text, KdDiag *d) {
    static const char letters[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    o->symbol = text;
    if (*text && !text[strspn(text, letters)] && !strchr("0123456789", *text)) return true;
    return kd_error(d, nowhere, "--symbol wants a C identifier, found '%s'", text);
}

static bool read_debug(KdOptions *o, const char *text, KdDiag *d) {
    static const char *const readers[] = { "gdb", "perf", NULL };
    const char *reader = readers[0];
    if (!read_word(ID_DEBUG_INFO, text, readers, &reader, d)) return false;
    o->debug = strcmp(reader, "perf") == 0 ? KD_DEBUG_PERF : KD_DEBUG_GDB;
    return true;
}

/* 16, or 1,16,128: what objects are compiled for. */
static bool read_batches(KdOptions *o, const char *text, KdDiag *d) {
    int most = (int)(sizeof o->batches / sizeof *o->batches);
    o->nbatches = 0;
    do {
        char one[32];
        size_t length = strcspn(text, ",");
        int64_t *to = &o->batches[o->nbatches];
        if (o->nbatches == most)
            return kd_error(d, nowhere, "--batch wants at most %d numbers", most);
        snprintf(one, sizeof one, "%.*s", (int)(length < sizeof one ? length : sizeof one), text);
        if (!read_number(ID_BATCH, one, 1, to, d)) return false;
        if (o->nbatches && to[0] <= to[-1])
            return kd_error(d, nowhere, "--batch wants ascending numbers, found %s behind %lld",
                            one, (long long)to[-1]);
        o->nbatches++;
        text += length;
    } while (*text++ == ',');
    o->batch = o->nbatches == 1 ? o->batches[0] : -1;
    return true;
}

/* "predict,step" */
static bool read_entries(KdOptions *o, const char *text, KdDiag *d) {
    static const char *const names[] = { "predict", "step", "epoch", "evaluate", NULL };
    const char *found;
    o->entries = 0;
    do {
        char word[32];
        size_t n = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), text);
        if (!read_word(ID_ENTRY, word, names, &found, d)) return false;
        for (int k = 0; names[k]; k++)
            if (strcmp(names[k], word) == 0) o->entries |= 1u << k;
        text += n;
    } while (*text++ == ',');
    return true;
}

/* A flat table of cases. NOLINTNEXTLINE(readability-function-size) */
bool kd_option_value(KdOptions *o, KdOptionId id, const char *text, KdDiag *d) {
    static const char *const gemms[] = { "native", "direct", "openblas", "auto", NULL };
    static const char *const emits[] = { "kir", "llvm-ir", "asm",    "dot", "svg",
                                         "obj", "lib",     "shared", "exe", NULL };
    static const char *const precisions[] = { "f32", "bf16", NULL };
    static const char *const checks[] = { "off", "loss", "all", NULL };
    static const char *const stored[] = { "f32", "f16", "int8", "int8-stored", NULL };
    switch (id) {
    case ID_JIT: return o->jit = true;
    case ID_VERIFY_ROUNDTRIP: return o->verify_roundtrip = true;
    case ID_UNOPTIMIZED: return o->unoptimized = true;
    case ID_RESUME: return o->resume = true;
    case ID_FINGERPRINT: return o->fingerprint = true;
    case ID_CHECKPOINT_EVERY: return read_period(o, text, d);
    case ID_FORCE: return o->force = true;
    case ID_PROFILE: o->profile_file = text; return o->profile = true;
    case ID_QUIET: return o->quiet = true;
    case ID_TIME_PASSES: return o->time_passes = true;
    case ID_INTERPRET: return o->interpret = true;
    case ID_VERIFY: return o->verify = true;
    case ID_PRINT_PASSES: return o->print_passes = true;
    case ID_VERSION: return o->version = true;
    case ID_HELP: return o->help = true;
    case ID_EPOCHS: return read_number(id, text, 1, &o->epochs, d);
    case ID_BATCH: return read_batches(o, text, d);
    case ID_SEED: return read_number(id, text, 0, &o->seed, d);
    case ID_THREADS: return read_number(id, text, 1, &o->threads, d);
    case ID_LIMIT: return read_number(id, text, 1, &o->limit, d);
    case ID_GEMM: return read_word(id, text, gemms, &o->gemm, d);
    case ID_PRECISION: return read_word(id, text, precisions, &o->precision, d);
    case ID_EMIT: return read_word(id, text, emits, &o->emit, d);
    case ID_SET: return read_set(o, text, d);
    case ID_INPUT: return read_pair(id, text, o->inputs, &o->ninputs, d);
    case ID_NO_PASS: o->skips[o->nskips++] = text; return true;
    case ID_DEBUG_INFO: return read_debug(o, text ? text : "gdb", d);
    case ID_REMARKS: o->remarks = text ? text : ""; return true;
    case ID_DUMP_IR: o->dump_ir = text ? text : "final"; return true;
    case ID_ENTRY: return read_entries(o, text, d);
    case ID_TEACHER: o->teachers[o->nteachers++] = text; return true;
    case ID_WEIGHTS: o->weights = text; return true;
    case ID_WEIGHTS_TYPE: return read_word(id, text, stored, &o->weights_type, d);
    case ID_TARGET:
        o->target = text;
        o->print_targets = strcmp(text, "list") == 0;
        return true;
    case ID_CPU: o->cpu = text; return true;
    case ID_FEATURES: o->features = text; return true;
    case ID_MULTIVERSION: return o->multiversion = true;
    case ID_SYMBOL: return read_symbol(o, text, d);
    case ID_CHECK: o->check = text; return true;
    case ID_FINITE: return read_word(id, text, checks, &o->finite, d);
    case ID_DUMP_DIR: o->dump_dir = text; return true;
    case ID_STOP_AFTER: return read_stop(o, text, d);
    case ID_DATA: o->data = text; return true;
    case ID_OUT: o->out = text; return true;
    case ID_RUN: o->run = text; return true;
    case ID_ROWS: o->rows = text; return true;
    case ID_EVAL: o->eval = text; return true;
    case ID_OUTPUT: o->output = text; return true;
    case ID_PASSES: o->passes = text; return true;
    case ID_FN: o->fn = text; return true;
    case NUM_OPTIONS: break;
    }
    return false;
}
