/* `kdc FILE.lua`: check, train or test a script, or write what one of its runs compiles to. */
#include "frontend/commands.h"
#include "frontend/drawing.h"
#include "frontend/outfile.h"

#include "backend/backend.h"
#include "frontend/driver/data.h"
#include "frontend/driver/driver.h"
#include "frontend/script.h"
#include "frontend/ship.h"
#include "ir/text.h"

#include <string.h>
#include <unistd.h>

static const KdLoc nowhere = { NULL, 0 };

/* --- writing what a run compiles to -------------------------------------------------------- */

static bool write_code(const KdModule *m, const KdOptions *o, FILE *out, KdDiag *d) {
    const KdFunc *step = kd_module_func(m, "step"), *evaluate = kd_module_func(m, "evaluate");
    const KdFunc *teacher = kd_module_func(m, "teacher_logits");
    KdEntry entry[3];
    int n = 0;
    if (step) entry[n++] = (KdEntry){ .f = step, .epoch = true };
    if (evaluate) entry[n++] = (KdEntry){ .f = evaluate };
    if (teacher) entry[n++] = (KdEntry){ .f = teacher };
    if (!kd_data_is_counted(m, nowhere, d)) return false;
    if (!n) return kd_error(d, nowhere, "the passes leave neither @step nor @evaluate to compile");
    const KdBackendOptions options = {
        .gemm = o->gemm, .debug = o->debug, .unoptimized = o->unoptimized, .threads = 1
    };
    d->module = m; /* what a fault of the backend is reproduced from */
    bool good = kd_compile_text(m, n, entry, &options, o->emit, out, d);
    d->module = NULL;
    return good;
}

/* --dump-ir prints while the passes run; --emit writes what they leave. */
static bool write_run(KdRun *run, const KdOptions *o, KdArena *a, KdDiag *d) {
    KdModule *m = run->module;
    KdOutFile out;
    if (kd_ships(o->emit)) return kd_ship(run, o, a, d);
    m->target = kd_target_host(m->arena);
    if (!o->emit) return kd_run_passes(m, o, NULL, stdout, d);
    if (!kd_run_passes(m, o, NULL, stderr, d) || !kd_outfile_open(&out, o->output, a, d))
        return false;
    bool good = true;
    if (strcmp(o->emit, "kir") == 0) {
        kd_print_module(m, out.stream);
    } else if (strcmp(o->emit, "dot") == 0) {
        kd_print_dot(m, out.stream);
    } else if (strcmp(o->emit, "svg") == 0) {
        good = kd_draw_svg(m, out.stream, d);
    } else {
        good = write_code(m, o, out.stream, d);
    }
    return kd_outfile_close(&out, good, d);
}

/* --- the command --------------------------------------------------------------------------- */

static int dispatch(KdScript *s, const KdOptions *o, KdArena *a, KdDiag *d) {
    if (o->emit || o->dump_ir || o->dump_dir) {
        KdRun *run = kd_script_choose(s, o->run, d);
        return run && write_run(run, o, a, d) ? KD_EXIT_DONE : KD_EXIT_WRONG;
    }
    KdRun *only = o->run ? kd_script_choose(s, o->run, d) : NULL;
    if (o->run && !only) return KD_EXIT_WRONG;
    const KdDriveOptions drive = {
        .command = o->line,
        .again = o->again,
        .data_dir = o->data,
        .out_dir = o->out,
        .run = o->run,
        .rows = o->rows,
        .gemm = o->gemm,
        .skip = o->skips,
        .passes = o->passes,
        .debug = o->debug,
        .threads = o->threads > 0 ? (int)o->threads : 0,
        .force = o->force,
        .resume = o->resume,
        .fingerprint = o->fingerprint,
        .checkpoint_seconds = o->checkpoint_seconds,
        .checkpoint_steps = o->checkpoint_steps,
        .quiet = o->quiet,
        .color = d->color && isatty(STDOUT_FILENO), /* the table goes there */
        .time_passes = o->time_passes,
        .profile = o->profile,
        .profile_file = o->profile_file,
    };
    if (o->jit) return kd_drive_train(s, &drive, d);
    if (o->eval) return kd_drive_evaluate(s, &drive, o->eval, d);
    if (only) kd_script_narrow(s, only);
    const KdPipeline passes = { .passes = o->passes, .skip = o->skips };
    return kd_print_layers(s, &passes, o->time_passes ? stderr : NULL, stdout, d) ? KD_EXIT_DONE
                                                                                  : KD_EXIT_WRONG;
}

/* What the products of every run's training are computed in; f32 need not be said. */
static void set_precision(KdScript *s, const char *type, KdDiag *d) {
    bool plain = !type || strcmp(type, "f32") == 0;
    if (!plain && !kd_target_has_bf16())
        kd_warning(d, (KdLoc){ 0 }, "this CPU has no bf16 products (AVX512_BF16): slower than f32");
    for (int k = 0; !plain && k < s->nruns; k++) {
        KdModule *m = s->runs[k]->module;
        kd_attr_set_str(m->arena, &m->program, "precision", type);
    }
}

int kd_command_script(const KdOptions *o, KdDiag *d) {
    const KdScriptOptions options = {
        .epochs = o->epochs,
        .batch = o->batch,
        .seed = o->seed,
        .limit = o->limit,
        .nsets = o->nsets,
        .sets = o->sets,
        .data = o->data,
    };
    KdScript *s = kd_script_load(o->file, &options, d);
    if (!s) return KD_EXIT_WRONG;
    set_precision(s, o->precision, d);
    KdArena *a = kd_arena_create();
    for (int k = 0; o->finite && k < s->nruns; k++) {
        KdModule *m = s->runs[k]->module;
        kd_attr_set_str(m->arena, &m->program, "check", o->finite);
    }
    int code = dispatch(s, o, a, d);
    kd_arena_destroy(a);
    kd_script_destroy(s);
    return code;
}
