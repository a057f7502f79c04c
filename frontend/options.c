/*
 * Reading the command line with getopt_long, over tables made from frontend/options.def. An option
 * that does not exist, or belongs to another command, names the nearest one.
 */
#include "frontend/options.h"

#include "frontend/ship.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Id {
#define KD_OPTION(id, name, letter, argument, where, help) ID_##id,
#include "frontend/options.def"
    NUM_OPTIONS
} Id;

typedef struct Row {
    const char *name;
    char letter;
    const char *argument;
    int where;
    const char *help;
} Row;

static const Row rows[NUM_OPTIONS] = {
#define KD_OPTION(id, name, letter, argument, where, help) { name, letter, argument, where, help },
#include "frontend/options.def"
};

enum { FIRST_VALUE = 256 };

static const KdLoc nowhere = { NULL, 0 };

/* --- help ---------------------------------------------------------------------------------- */

static const char script_head[] =
    "usage: kdc FILE.lua [options]          check a script; its layers, sizes and memory\n"
    "       kdc FILE.lua --jit [options]    train what it describes\n"
    "       kdc opt FILE.kir --passes=LIST  run passes over IR text\n"
    "       kdc run FILE.kir [options]      run one function of an IR text\n"
    "       kdc info FILE.safetensors       what a file of weights holds\n"
    "       kdc explain FILE.lua            what each run minimises, as a formula\n"
    "       kdc reduce FILE.kir --check=…   the smallest module that still fails a check\n"
    "       kdc bisect FILE.kir --check=…   the pass that breaks a module\n"
    "\n"
    "kdc compiles knowledge distillation: a Lua script names a teacher, a student, a loss and a\n"
    "noise; kdc turns the training loop into machine code and runs it.\n";

static const char script_tail[] =
    "examples:\n"
    "  kdc models/student.lua --jit                       train all runs; weights in out/student\n"
    "  kdc models/student.lua --jit --run noisy --set sigma=0.3\n"
    "  kdc models/student.lua --run noisy --dump-ir=autodiff\n"
    "  kdc models/student.lua --eval out/student/noisy/best.safetensors --run noisy\n"
    "  kdc models/student.lua --run noisy --emit=obj -o student.o \\\n"
    "      --weights out/student/noisy/best.safetensors   an object file and student.h for C\n"
    "\n"
    "exit codes: 0 done, 1 the script or its data is wrong, 2 wrong usage, 3 a fault of kdc\n"
    "colours only on a terminal, and not when NO_COLOR is set\n";

static const char opt_head[] = "usage: kdc opt FILE.kir --passes=a,b{option=value} [options]\n"
                               "\n"
                               "Reads IR text ('-': standard input), runs the passes, verifies "
                               "after each, prints the result.\n";

static const char run_head[] =
    "usage: kdc run FILE.kir [--fn NAME] [options]\n"
    "\n"
    "Runs one function and prints its results. Arguments that no --input gives are filled: element "
    "k\n"
    "of argument number a is ((7k + 3a) mod 17 - 8) / 8 for f32, (7k + 3a) mod 256 for u8, k mod 2 "
    "for\n"
    "bool, k mod the number of rows for an i32 index, 0 for epoch and step, k mod 3 for other "
    "i32.\n"
    "A data set has twice the batch's rows. Without --batch the batch is the function's bound.\n";

static const char info_head[] = "usage: kdc info FILE.safetensors\n"
                                "\n"
                                "Lists names, types and shapes of the tensors, and the metadata.\n";

static const char explain_head[] =
    "usage: kdc explain FILE.lua [--run NAME]\n"
    "\n"
    "What each run minimises, read off its compiled objective. A value that is read twice has a\n"
    "line of its own; sum_row is over what belongs to one sample, mean over the mini-batch.\n";

static const char reduce_head[] = "usage: kdc reduce FILE.kir --check=COMMAND [-o FILE]\n"
                                  "\n"
                                  "The smallest module on which the COMMAND still fails. It gets "
                                  "the path of a module as its last\n"
                                  "argument, and succeeds on a good one: --check='kdc opt "
                                  "--passes=fuse' finds what fuse fails on.\n";

static const char bisect_head[] = "usage: kdc bisect FILE.kir --check=COMMAND [--passes=LIST]\n"
                                  "\n"
                                  "The first pass after which the COMMAND fails, and the "
                                  "step of it that brings this on. The\n"
                                  "COMMAND gets the path of a module as its last argument, and "
                                  "succeeds on a good one: with\n"
                                  "--check='kdc run --fn f --verify' what its code computes "
                                  "is what the interpreter does.\n";

/* The first row is for scripts, which need no command's name. */
static const struct {
    const char *name;
    int command;
    const char *file, *head;
} commands[] = {
    { "", KD_IN_SCRIPT, "FILE.lua", script_head },
    { "opt", KD_IN_OPT, "FILE.kir", opt_head },
    { "run", KD_IN_RUN, "FILE.kir", run_head },
    { "explain", KD_IN_EXPLAIN, "FILE.lua", explain_head },
    { "info", KD_IN_INFO, "FILE.safetensors", info_head },
    { "reduce", KD_IN_REDUCE, "FILE.kir", reduce_head },
    { "bisect", KD_IN_BISECT, "FILE.kir", bisect_head },
};
enum { NUM_COMMANDS = sizeof commands / sizeof *commands };

/* Its row in `commands`. */
static int row_of(int command) {
    int k = 0;
    while (commands[k].command != command) k++;
    return k;
}

void kd_options_help(int command, FILE *out) {
    fputs(commands[row_of(command)].head, out);
    fputs("\noptions:\n", out);
    for (int k = 0; k < NUM_OPTIONS; k++) {
        const Row *r = &rows[k];
        if (!(r->where & command)) continue;
        bool optional = r->argument && r->argument[0] == '[';
        char left[64], letter[8] = "    ";
        if (r->letter) snprintf(letter, sizeof letter, "-%c, ", r->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, r->name,
                 r->argument && !optional ? "=" : "", r->argument ? r->argument : "");
        fprintf(out, "  %-27s %s\n", left, r->help);
    }
    if (command == KD_IN_SCRIPT) fprintf(out, "\n%s", script_tail);
}

const char *kd_version(void) {
    return KD_VERSION;
}

/* --- values -------------------------------------------------------------------------------- */

static bool read_number(Id id, const char *text, int64_t least, int64_t *value, KdDiag *d) {
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < least || n > INT32_MAX) {
        return kd_error(d, nowhere, "--%s wants a whole number from %d to %d, found '%s'",
                        rows[id].name, (int)least, INT32_MAX, text);
    }
    *value = n;
    return true;
}

/* One of the words in `words` (NULL-ended). */
static bool read_word(Id id, const char *text, const char *const *words, const char **value,
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
    return kd_error(d, nowhere, "--%s wants %s, found '%s'%s%s%s", rows[id].name, list, text,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool read_pair(Id id, const char *text, const char **list, int *n, KdDiag *d) {
    const char *sign = strchr(text, '=');
    if (!sign || sign == text || !sign[1]) {
        return kd_error(d, nowhere, "--%s wants %s, found '%s'", rows[id].name, rows[id].argument,
                        text);
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
                        rows[ID_CHECKPOINT_EVERY].name, text);
    }
    o->checkpoint_seconds = steps ? -1 : n;
    o->checkpoint_steps = steps ? n : -1;
    return true;
}

/* N passes, or N.M: of the last of them M steps. */
static bool read_stop(KdOptions *o, const char *text, KdDiag *d) {
    int passes, steps, end = 0;
    bool both = sscanf(text, "%6d.%9d%n", &passes, &steps, &end) == 2 && !text[end];
    bool one = !both && sscanf(text, "%6d%n", &passes, &end) == 1 && !text[end];
    if ((!both && !one) || passes < 1 || (both && steps < 0))
        return kd_error(d, nowhere, "--%s wants N passes, or N.M: M steps of the last, found '%s'",
                        rows[ID_STOP_AFTER].name, text);
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

static bool read_value(KdOptions *o, Id id, const char *text, KdDiag *d) {
    static const char *const gemms[] = { "native", "openblas", "auto", NULL };
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

/* --- the line as a whole ------------------------------------------------------------------- */

static bool say_unknown(const char *word, int command, KdDiag *d) {
    const char *names[NUM_OPTIONS];
    char bare[64];
    int n = 0;
    if (word[0] != '-' || word[1] != '-') return kd_error(d, nowhere, "unknown option '%s'", word);
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    for (int k = 0; k < NUM_OPTIONS; k++) {
        if (rows[k].where & command) names[n++] = rows[k].name;
    }
    for (int k = 0; k < NUM_OPTIONS; k++) {
        if (strcmp(rows[k].name, bare) != 0) continue;
        return rows[k].where & command
                   ? kd_error(d, nowhere, "option '--%s' takes no value", bare)
                   : kd_error(d, nowhere, "option '--%s' does not belong to this command", bare);
    }
    const char *near = kd_nearest(bare, names, n);
    return kd_error(d, nowhere, "unknown option '--%s'%s%s%s", bare,
                    near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
}

static bool has_ending(const char *file, const char *ending) {
    size_t n = strlen(file), m = strlen(ending);
    return n > m && strcmp(file + n - m, ending) == 0;
}

static bool check_file(KdOptions *o, int n, char **files, KdDiag *d) {
    const char *wanted = commands[row_of(o->command)].file;
    o->file = n ? files[0] : NULL;
    if (o->help || o->version || o->print_passes || o->print_targets) return true;
    if (!n) return kd_error(d, nowhere, "no %s given", wanted);
    if (n > 1 && (o->command != KD_IN_SCRIPT || has_ending(o->file, ".lua"))) {
        return kd_error(d, nowhere, "one %s at a time, found '%s' too", wanted, files[1]);
    }
    if (o->command != KD_IN_SCRIPT || has_ending(o->file, ".lua")) return true;
    if (has_ending(o->file, ".kir")) {
        return kd_error(d, nowhere, "'%s' is IR text: use 'kdc opt' or 'kdc run'", o->file);
    }
    const char *names[NUM_COMMANDS];
    for (int k = 1; k < NUM_COMMANDS; k++) names[k - 1] = commands[k].name;
    const char *near = kd_nearest(o->file, names, NUM_COMMANDS - 1);
    return kd_error(d, nowhere, "'%s' is neither a command nor a .lua file%s%s%s", o->file,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* What a script is asked for, one of KD_IN_…; 0 after an error: for two things at once. */
static int asked_for(const KdOptions *o, KdDiag *d) {
    int emit = !o->emit                                                 ? 0
               : kd_ships(o->emit)                                      ? KD_IN_SHIP
               : !strcmp(o->emit, "llvm-ir") || !strcmp(o->emit, "asm") ? KD_IN_CODE
                                                                        : KD_IN_TEXT;
    const struct {
        int mode;
        const char *option;
    } asked[] = { { o->jit ? KD_IN_TRAIN : 0, "--jit" },
                  { o->eval ? KD_IN_EVAL : 0, "--eval" },
                  { emit, "--emit" },
                  { o->dump_ir ? KD_IN_DUMP : 0, "--dump-ir" } };
    int mode = 0;
    const char *first = NULL;
    for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
        if (!asked[k].mode) continue;
        if (first) {
            kd_error(d, nowhere, "%s and %s cannot be combined", first, asked[k].option);
            return 0;
        }
        mode = asked[k].mode;
        first = asked[k].option;
    }
    return mode ? mode : o->dump_dir ? KD_IN_DUMP : KD_IN_CHECK;
}

/* An option that would have no effect: what it is for. */
static bool say_misplaced(const Row *r, KdDiag *d) {
    static const struct {
        int modes;
        const char *words;
    } uses[] = { { KD_IN_TRAIN, "--jit" },
                 { KD_IN_EVAL, "--eval" },
                 { KD_IN_DUMP, "--dump-ir" },
                 { KD_IN_EMITS, "--emit" },
                 { KD_IN_CODE, "--emit=llvm-ir and asm" },
                 { KD_IN_SHIP, "--emit=obj, lib, shared and exe" } };
    char list[128] = "";
    int left = r->where & KD_IN_SCRIPT;
    for (size_t k = 0; k < sizeof uses / sizeof *uses; k++) {
        size_t at = strlen(list);
        if ((left & uses[k].modes) != uses[k].modes) continue;
        snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", uses[k].words);
        left &= ~uses[k].modes;
    }
    return kd_error(d, nowhere, "--%s is for %s%s", r->name, list,
                    strcmp(r->name, "output") == 0 ? "; --out names a folder" : "");
}

/* Do the options that were given go together? */
static bool check_together(const KdOptions *o, const bool given[NUM_OPTIONS], KdDiag *d) {
    bool checks = o->command == KD_IN_REDUCE || o->command == KD_IN_BISECT;
    if (o->help || o->version || o->print_passes || o->print_targets) return true;
    if (checks && !o->check)
        return kd_error(d, nowhere, "kdc %s needs --check=COMMAND",
                        commands[row_of(o->command)].name);
    if (o->gemm && strcmp(o->gemm, "auto") == 0 && !o->jit && !o->eval)
        return kd_error(d, nowhere, "--gemm=auto is for --jit and --eval");
    if (o->verify && o->interpret)
        return kd_error(d, nowhere, "--verify and --interpret cannot be combined");
    if (o->command != KD_IN_SCRIPT) return true;
    int mode = asked_for(o, d);
    if (!mode) return false;
    for (int k = 0; k < NUM_OPTIONS; k++)
        if (given[k] && !(rows[k].where & mode)) return say_misplaced(&rows[k], d);
    if (o->resume && o->force) return kd_error(d, nowhere, "--resume and --force contradict");
    if (o->weights_type && !o->weights)
        return kd_error(d, nowhere, "--weights-type is for --weights: it stores what that names");
    if (o->multiversion && o->cpu)
        return kd_error(d, nowhere, "--multiversion and --cpu cannot be combined");
    if (o->nbatches > 1 && mode != KD_IN_SHIP)
        return kd_error(d, nowhere,
                        "--batch with several numbers is for --emit=obj, lib, shared and exe");
    if (o->rows && o->run) return kd_error(d, nowhere, "--rows and --run cannot be combined");
    if (mode != KD_IN_SHIP || o->output) return true;
    const char *ending = strcmp(o->emit, "obj") == 0   ? ".o"
                         : strcmp(o->emit, "lib") == 0 ? ".a"
                                                       : ".so";
    return strcmp(o->emit, "exe") == 0
               ? kd_error(d, nowhere, "--emit=exe wants -o FILE")
               : kd_error(d, nowhere, "--emit=%s wants -o FILE%s: it writes FILE.h too", o->emit,
                          ending);
}

/* Has another row this one's name, and is it that which the command takes? */
static bool is_shadowed(int row, int command) {
    if (rows[row].where & command) return false;
    for (int k = 0; k < NUM_OPTIONS; k++)
        if (k != row && strcmp(rows[k].name, rows[row].name) == 0) return true;
    return false;
}

static bool read_options(KdOptions *o, int argc, char **argv, KdDiag *d) {
    struct option longs[NUM_OPTIONS + 1] = { 0 };
    char shorts[2 * NUM_OPTIONS + 2] = ":";
    bool given[NUM_OPTIONS] = { false };
    for (int k = 0, at = 1; k < NUM_OPTIONS; k++) {
        const Row *r = &rows[k];
        longs[k].name = is_shadowed(k, o->command) ? "" : r->name;
        longs[k].has_arg = !r->argument          ? no_argument
                           : *r->argument == '[' ? optional_argument
                                                 : required_argument;
        longs[k].val = FIRST_VALUE + k;
        if (!r->letter) continue;
        shorts[at++] = r->letter;
        if (r->argument) shorts[at++] = ':';
    }
    opterr = 0;
    optind = 1;
    for (int got; (got = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        int id = got - FIRST_VALUE;
        for (int k = 0; k < NUM_OPTIONS && got < FIRST_VALUE; k++) {
            if (rows[k].letter == got) id = k;
        }
        if (got == '?') return say_unknown(argv[optind - 1], o->command, d);
        if (got == ':') return kd_error(d, nowhere, "option '%s' lacks a value", argv[optind - 1]);
        if (!(rows[id].where & o->command)) {
            return kd_error(d, nowhere, "option '--%s' does not belong to this command",
                            rows[id].name);
        }
        if (id == ID_PROFILE && !optarg && optind < argc && has_ending(argv[optind], ".json"))
            optarg = argv[optind++]; /* nothing else here is JSON */
        given[id] = true;
        if (!read_value(o, (Id)id, optarg, d)) return false;
    }
    return check_file(o, argc - optind, argv + optind, d) && check_together(o, given, d);
}

/* `word` as a shell reads it back: in single quotes where it has to be. */
static const char *quoted(const char *word, KdArena *a) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=,:+@%^";
    if (*word && !word[strspn(word, plain)]) return word;
    const char *text = "'";
    while (*word) {
        int n = (int)strcspn(word, "'");
        text = kd_arena_format(a, "%s%.*s%s", text, n, word, word[n] ? "'\\''" : "");
        word += n + (word[n] != 0);
    }
    return kd_arena_format(a, "%s'", text);
}

/* The command line; to go on, without the words of which --resume is one and --force contradicts
 * it, however they were shortened. */
static const char *join(int argc, char **argv, bool going_on, KdArena *a) {
    const char *line = argc ? quoted(argv[0], a) : "kdc";
    for (int k = 1; k < argc; k++) {
        size_t n = strlen(argv[k]);
        bool restart =
            n > 3 && (!strncmp("--resume", argv[k], n) || !strncmp("--force", argv[k], n));
        if (going_on && restart) continue;
        line = kd_arena_format(a, "%s %s", line, quoted(argv[k], a));
    }
    return going_on ? kd_arena_format(a, "%s --resume", line) : line;
}

bool kd_options_read(KdOptions *o, int argc, char **argv, KdArena *a, KdDiag *d) {
    *o = (KdOptions){ .command = KD_IN_SCRIPT,
                      .line = join(argc, argv, false, a),
                      .again = join(argc, argv, true, a),
                      .epochs = -1,
                      .batch = -1,
                      .seed = -1,
                      .threads = -1,
                      .limit = -1,
                      .stop_steps = -1,
                      .checkpoint_seconds = -1,
                      .checkpoint_steps = -1 };
    o->sets = KD_NEW_ARRAY(a, const char *, argc + 1);
    o->inputs = KD_NEW_ARRAY(a, const char *, argc + 1);
    o->skips = KD_NEW_ARRAY(a, const char *, argc + 1);
    o->teachers = KD_NEW_ARRAY(a, const char *, argc + 1);
    for (int k = 1; argc > 1 && k < NUM_COMMANDS; k++) {
        if (strcmp(argv[1], commands[k].name) != 0) continue;
        o->command = commands[k].command;
        argc--;
        argv++; /* the command takes the place of the program's name */
        break;
    }
    return read_options(o, argc, argv, d);
}
