/* What --help says: a head for each command, and the rows of options.def that it takes. */
#include "frontend/options_table.h"

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

const KdCommandRow kd_command_rows[NUM_COMMANDS] = {
    { "", KD_IN_SCRIPT, "FILE.lua", script_head },
    { "opt", KD_IN_OPT, "FILE.kir", opt_head },
    { "run", KD_IN_RUN, "FILE.kir", run_head },
    { "explain", KD_IN_EXPLAIN, "FILE.lua", explain_head },
    { "info", KD_IN_INFO, "FILE.safetensors", info_head },
    { "reduce", KD_IN_REDUCE, "FILE.kir", reduce_head },
    { "bisect", KD_IN_BISECT, "FILE.kir", bisect_head },
};

const KdCommandRow *kd_command_row(int command) {
    const KdCommandRow *row = kd_command_rows;
    while (row->command != command) row++;
    return row;
}

void kd_options_help(int command, FILE *out) {
    fputs(kd_command_row(command)->head, out);
    fputs("\noptions:\n", out);
    for (int k = 0; k < NUM_OPTIONS; k++) {
        const KdOptionRow *r = &kd_option_rows[k];
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
