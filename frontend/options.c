/*
 * Reading the command line with getopt_long, over tables made from frontend/options.def. An option
 * that does not exist, or belongs to another command, names the nearest one.
 */
#include "frontend/options_table.h"

#include "backend/entry.h"
#include "frontend/ship.h"

#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

const KdOptionRow kd_option_rows[NUM_OPTIONS] = {
#define KD_OPTION(id, name, letter, argument, where, help) { name, letter, argument, where, help },
#include "frontend/options.def"
};

enum { FIRST_VALUE = 256 };

static const KdLoc nowhere = { NULL, 0 };

static bool say_unknown(const char *word, int command, KdDiag *d) {
    const char *names[NUM_OPTIONS];
    char bare[64];
    int n = 0;
    if (word[0] != '-' || word[1] != '-') return kd_error(d, nowhere, "unknown option '%s'", word);
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    for (int k = 0; k < NUM_OPTIONS; k++) {
        if (kd_option_rows[k].where & command) names[n++] = kd_option_rows[k].name;
    }
    for (int k = 0; k < NUM_OPTIONS; k++) {
        if (strcmp(kd_option_rows[k].name, bare) != 0) continue;
        return kd_option_rows[k].where & command
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
    const char *wanted = kd_command_row(o->command)->file;
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
    for (int k = 1; k < NUM_COMMANDS; k++) names[k - 1] = kd_command_rows[k].name;
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
static bool say_misplaced(const KdOptionRow *r, KdDiag *d) {
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

/* Would the result take the place of a file that is read? */
static bool check_output(const KdOptions *o, KdDiag *d) {
    struct stat out, in;
    if (!o->output || stat(o->output, &out) || !S_ISREG(out.st_mode)) return true;
    for (int k = -2; k < o->nteachers; k++) {
        const char *path = k == -2 ? o->file : k == -1 ? o->weights : o->teachers[k];
        if (path && stat(path, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
            return kd_error(d, nowhere, "-o %s would write over a file that is read", o->output);
    }
    return true;
}

static bool check_entries(const KdOptions *o, KdDiag *d) {
    unsigned learns = KD_ENTRY_STEP | KD_ENTRY_EPOCH;
    if (o->nteachers && !(o->entries & learns))
        return kd_error(d, nowhere, "--teacher is for --entry=step and epoch");
    return o->nbatches < 2 || !o->entries || (o->entries & KD_ENTRY_PREDICT) ||
           kd_error(d, nowhere, "--batch with several numbers is for --entry=predict");
}

/* Do the options that were given go together? */
static bool check_together(const KdOptions *o, const bool given[NUM_OPTIONS], KdDiag *d) {
    bool checks = o->command == KD_IN_REDUCE || o->command == KD_IN_BISECT;
    if (o->help || o->version || o->print_passes || o->print_targets) return true;
    if (checks && !o->check)
        return kd_error(d, nowhere, "kdc %s needs --check=COMMAND",
                        kd_command_row(o->command)->name);
    if (o->gemm && strcmp(o->gemm, "auto") == 0 && !o->jit && !o->eval)
        return kd_error(d, nowhere, "--gemm=auto is for --jit and --eval");
    if (o->verify && o->interpret)
        return kd_error(d, nowhere, "--verify and --interpret cannot be combined");
    if (o->command != KD_IN_SCRIPT) return true;
    int mode = asked_for(o, d);
    if (!mode) return false;
    for (int k = 0; k < NUM_OPTIONS; k++)
        if (given[k] && !(kd_option_rows[k].where & mode))
            return say_misplaced(&kd_option_rows[k], d);
    if (o->resume && o->force) return kd_error(d, nowhere, "--resume and --force contradict");
    if (o->weights_type && !o->weights)
        return kd_error(d, nowhere, "--weights-type is for --weights: it stores what that names");
    if (o->multiversion && (o->cpu || o->features))
        return kd_error(d, nowhere, "--multiversion and --%s cannot be combined",
                        o->cpu ? "cpu" : "features");
    if (o->nbatches > 1 && mode != KD_IN_SHIP)
        return kd_error(d, nowhere,
                        "--batch with several numbers is for --emit=obj, lib, shared and exe");
    if (o->rows && o->run) return kd_error(d, nowhere, "--rows and --run cannot be combined");
    if (!check_output(o, d) || !check_entries(o, d)) return false;
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
    if (kd_option_rows[row].where & command) return false;
    for (int k = 0; k < NUM_OPTIONS; k++)
        if (k != row && strcmp(kd_option_rows[k].name, kd_option_rows[row].name) == 0) return true;
    return false;
}

/* Such a value is never empty but where a shell's variable was not set. */
static bool wants_path(const KdOptionRow *r) {
    return !strcmp(r->argument, "DIR") || !strcmp(r->argument, "FILE") ||
           !strcmp(r->argument, "WEIGHTS");
}

static bool read_options(KdOptions *o, int argc, char **argv, KdDiag *d) {
    struct option longs[NUM_OPTIONS + 1] = { 0 };
    char shorts[2 * NUM_OPTIONS + 2] = ":";
    bool given[NUM_OPTIONS] = { false };
    for (int k = 0, at = 1; k < NUM_OPTIONS; k++) {
        const KdOptionRow *r = &kd_option_rows[k];
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
            if (kd_option_rows[k].letter == got) id = k;
        }
        if (got == '?') return say_unknown(argv[optind - 1], o->command, d);
        if (got == ':') return kd_error(d, nowhere, "option '%s' lacks a value", argv[optind - 1]);
        if (!(kd_option_rows[id].where & o->command)) {
            return kd_error(d, nowhere, "option '--%s' does not belong to this command",
                            kd_option_rows[id].name);
        }
        if (id == ID_PROFILE && !optarg && optind < argc && has_ending(argv[optind], ".json"))
            optarg = argv[optind++]; /* nothing else here is JSON */
        if (optarg && !*optarg && wants_path(&kd_option_rows[id]))
            return kd_error(d, nowhere, "--%s wants %s, found ''", kd_option_rows[id].name,
                            kd_option_rows[id].argument);
        given[id] = true;
        if (!kd_option_value(o, (KdOptionId)id, optarg, d)) return false;
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
        if (strcmp(argv[1], kd_command_rows[k].name) != 0) continue;
        o->command = kd_command_rows[k].command;
        argc--;
        argv++; /* the command takes the place of the program's name */
        break;
    }
    return read_options(o, argc, argv, d);
}
