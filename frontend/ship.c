/*
 * `--emit=obj`, lib, shared and exe: the network alone, in inference form, once for single rows and
 * once for blocks, goes through the passes and becomes one object file; that in an archive; that
 * linked by the system's compiler. Files are written whole or not at all.
 */
#include "frontend/ship.h"

#include "backend/backend.h"
#include "frontend/archive.h"
#include "frontend/commands.h"
#include "frontend/driver/weights.h"
#include "frontend/host.h"
#include "frontend/linker.h"
#include "frontend/outfile.h"
#include "frontend/ship_header.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const KdLoc nowhere = { NULL, 0 };

static bool is_kind(const KdShip *s, const char *kind) {
    return strcmp(s->o->emit, kind) == 0;
}

/* A C name: what --symbol says, else the network's name. */
static void choose_symbol(KdShip *s) {
    char *symbol = kd_arena_string(s->arena, s->o->symbol ? s->o->symbol : s->run->network);
    s->predict.symbol = symbol;
    for (char *p = symbol; *p; p++) {
        if (!isalnum((unsigned char)*p)) *p = '_';
    }
}

/* --multiversion: machines that one object is made for, the most able first. */
static bool choose_levels(KdShip *s) {
    static const char *const cpus[] = { "x86-64-v4", "x86-64-v3", "x86-64-v2" };
    enum { LEVELS = sizeof cpus / sizeof *cpus };
    KdTarget *level = KD_NEW_ARRAY(s->m->arena, KdTarget, LEVELS);
    if (s->o->target && strncmp(s->o->target, "x86_64", 6) != 0)
        return kd_error(s->d, nowhere, "--multiversion is for x86_64, not for %s", s->o->target);
    for (int k = 0; k < LEVELS; k++) {
        const KdTargetName name = { s->o->target, cpus[k], s->o->features };
        if (!kd_target_of(&name, s->m->arena, &level[k], s->d)) return false;
    }
    s->predict.nlevels = LEVELS;
    s->predict.level = level;
    s->m->target = level[LEVELS - 1];
    return true;
}

/* The machine: this one, or what --target, --cpu and --features say. */
static bool choose_target(KdShip *s) {
    KdModule *m = s->m;
    const KdTargetName name = { s->o->target, s->o->cpu, s->o->features };
    if (s->o->multiversion) return choose_levels(s);
    if (name.triple || name.cpu || name.features)
        return kd_target_of(&name, m->arena, &m->target, s->d);
    m->target = kd_target_host(m->arena);
    return true;
}

static bool wants_predict(const KdShip *s) {
    return !s->o->entries || (s->o->entries & KD_ENTRY_PREDICT);
}

/* Leaves nothing in the module but the network and what trains: a variant may have the name of
 * another network. */
static void keep_shipped(const KdShip *s, const KdFunc *network) {
    for (KdFunc *f = s->m->first, *next; f; f = next) {
        next = f->next;
        bool trains = s->trainer && kd_trainer_needs(s->trainer, f->name);
        if (f != network && !trains) kd_func_remove(s->m, f);
    }
}

/* Leaves nothing in the module but the network's variants and what trains, planned. */
static bool make_variants(KdShip *s) {
    KdFunc *network = kd_module_func(s->m, s->run->network);
    if (!network) kd_bug(s->d, "no function @%s", s->run->network);
    s->input = network->args[0]->type;
    s->output = network->results[0]->type;
    int64_t bounds[KD_PREDICT_VARIANTS];
    int n = wants_predict(s) ? kd_ship_bounds(s->o, bounds) : 0;
    const char *names[KD_PREDICT_VARIANTS];
    KdFunc *last = NULL;
    keep_shipped(s, network);
    for (int k = 0; k < n; k++) {
        names[k] = kd_arena_format(s->m->arena, "%s_%d", s->run->network, (int)bounds[k]);
        last = kd_func_clone(network, names[k]);
        last->max_batch = bounds[k];
    }
    kd_func_remove(s->m, network);
    if (last) kd_ship_outputs(s->m, last, s->predict.of_logits, s->d);
    if (!choose_target(s)) return false;
    if (!kd_run_passes(s->m, s->o, NULL, stderr, s->d)) return false;
    for (int k = 0; k < n; k++) s->predict.variant[k] = kd_module_func(s->m, names[k]);
    s->predict.nvariants = kd_ship_worthwhile(s->o, n, s->predict.variant);
    if (!s->trainer) return true;
    return kd_trainer_plan(s->trainer, s->run, s->o, s->arena, s->d) &&
           (!is_kind(s, "exe") || kd_trainer_check_program(s->trainer, s->run, s->d));
}

bool kd_ship_is_normalized(const KdShip *s) {
    return s->run->data->normalize || s->run->data->contrast;
}

/* Nobody knows here what by. False after an error: the caller cannot do it, or did not mean to. */
static bool leave_normalization(const KdShip *s) {
    const KdDataSpec *data = s->run->data;
    const char *kind = data->contrast ? "local" : data->normalize;
    bool good = false;
    if (is_kind(s, "exe")) {
        kd_error(s->d, data->loc,
                 "--emit=exe reads plain images: it cannot normalise them by '%s'%s", kind,
                 data->contrast ? "" : " without the training samples");
    } else if (data->normalize && s->o->data) {
        kd_error(s->d, data->loc,
                 "samples are normalised by '%s' of data that --data does not hold", kind);
    } else {
        kd_warning(s->d, data->loc, "samples are normalised by '%s': that is left to the caller",
                   kind);
        good = true;
    }
    if (data->normalize) kd_ship_data_why(&s->data, s->d);
    return good;
}

static bool find_normalization(KdShip *s) {
    if (!kd_ship_is_normalized(s)) return true;
    s->predict.mean = s->data.data.mean;
    s->predict.rate = s->data.data.rate;
    s->predict.inputs = kd_type_elements(s->run->data->input, 1, 1);
    return s->predict.mean || leave_normalization(s);
}

/* The network alone prints nothing: that takes a runtime. (What trains is as it is.) */
static void drop_prints(KdFunc *f) {
    for (KdInstr *i = f ? f->first : NULL, *next; i; i = next) {
        next = i->next;
        if (i->op != KD_OP_PRINT) continue;
        kd_replace_uses(i->results[0], i->args[0]);
        kd_instr_remove(i);
    }
}

/* Where nothing learns, the loss and its own parameters go, before weights get their places. */
static void drop_loss(const KdShip *s) {
    KdFunc *loss = kd_module_func(s->m, "objective");
    if (s->o->entries & (KD_ENTRY_STEP | KD_ENTRY_EPOCH)) return;
    if (loss) kd_func_remove(s->m, loss);
    kd_module_drop_auxiliary(s->m);
}

/* Do the weights change their type? */
static bool is_stored(const KdShip *s) {
    return s->o->weights && s->o->weights_type && strcmp(s->o->weights_type, "f32") != 0;
}

/* Weights change their type for the network alone. */
static void keep_network(const KdShip *s) {
    for (KdFunc *f = s->m->first, *next; f; f = next) {
        next = f->next;
        if (strcmp(f->name, s->run->network) != 0) kd_func_remove(s->m, f);
    }
}

static bool load_weights(KdShip *s) {
    s->predict.network = s->run->network;
    if (kd_entries_train(s->o->entries)) { /* predict reads the weights that change */
        s->trainer = kd_trainer_create(s->run, s->o, s->predict.symbol, s->arena, s->d);
        return s->trainer != NULL;
    }
    s->predict.packs = !s->o->weights;
    if (!s->o->weights) return true;
    keep_network(s);
    float *slab = KD_NEW_ARRAY(s->arena, float, kd_slab_elements(s->m, s->run->network));
    if (!kd_weights_load(s->m, s->run->network, slab, s->o->weights, s->d)) return false;
    slab = kd_fold_weights(s->m, s->run->network, slab, s->arena, s->d);
    int dead = 0;
    if (slab) slab = kd_prune_weights(s->m, s->run->network, slab, &dead, s->arena, s->d);
    if (dead) fprintf(stderr, "%d dead unit%s removed\n", dead, dead == 1 ? "" : "s");
    if (slab && is_stored(s))
        slab = kd_compress_weights(s->run, slab, s->o, &s->data, s->arena, s->d);
    s->predict.weights = slab;
    return slab != NULL;
}

/* --- files ----------------------------------------------------------------------------------- */

/* student.o -> student.h; where no ordinary file is written (a pipe, a device) there is none */
static const char *header_path(const KdShip *s) {
    const char *path = s->o->output, *dot = strrchr(path, '.');
    if (!dot || strchr(dot, '/')) dot = path + strlen(path);
    return kd_arena_format(s->arena, "%.*s.h", (int)(dot - path), path);
}

static bool write_header(const KdShip *s, const char *path) {
    KdOutFile header;
    if (!kd_outfile_open(&header, path, s->arena, s->d)) return false;
    kd_ship_print_header(s, header.stream);
    return kd_outfile_close(&header, true, s->d);
}

/* The object, or an archive of it. */
static void fill_object(const KdShip *s, FILE *out, bool archive, const KdObject *object) {
    size_t size;
    const void *bytes = kd_object_bytes(object, 0, &size);
    const char *symbols[KD_PREDICT_OUTPUTS + KD_MAX_TRAINER_SYMBOLS + 1 + KD_PREDICT_STATISTICS];
    int n = s->trainer ? kd_trainer_symbols(s->trainer, s->arena, symbols) : 0;
    for (int k = 0; k < KD_PREDICT_OUTPUTS && s->predict.nvariants; k++)
        symbols[n++] = kd_predict_name(&s->predict, k, s->arena);
    if (s->predict.packs) symbols[n++] = kd_pack_name(&s->predict, s->arena);
    for (int k = 0; k < KD_PREDICT_STATISTICS && s->predict.mean; k++)
        symbols[n++] = kd_statistic_name(&s->predict, k, s->arena);
    if (archive)
        kd_archive_write(out, s->trainer ? "train.o" : "predict.o", n, symbols, bytes, size);
    else
        fwrite(bytes, 1, size, out);
}

static bool write_object(const KdShip *s, const char *path, const KdObject *object) {
    KdOutFile code;
    if (!kd_outfile_open(&code, path, s->arena, s->d)) return false;
    fill_object(s, code.stream, false, object);
    return kd_outfile_close(&code, true, s->d);
}

static const char *compiler(const KdShip *s) {
    return s->o->target ? kd_arena_format(s->arena, "%s-gcc", s->o->target) : "cc";
}

/* The example program with this network, examples/classify.c or train.c: see their own text. */
static bool link_program(const KdShip *s, const char *folder, const char *output) {
    const char *library = kd_library_folder(s->arena), *p = s->predict.symbol;
    if (!library) return kd_error(s->d, nowhere, "kdc's own files are not where they should be");
    KdRuntime runtime = kd_link_runtime(s->o->target, s->arena);
    const char *args[24] = { "-O2",
                             "-include",
                             kd_arena_format(s->arena, "%s/net.h", folder),
                             kd_arena_format(s->arena, "-DNET_PREDICT=%s_predict", p),
                             kd_arena_format(s->arena, "-DNET_SYMBOL=%s", p),
                             kd_arena_format(s->arena, "-DNET_PREFIX=%s_", kd_c_upper(s->arena, p)),
                             kd_arena_format(s->arena, "%s/../examples/%s.c", library,
                                             s->trainer ? "train" : "classify"),
                             kd_arena_format(s->arena, "%s/net.o", folder),
                             "-o",
                             output };
    const char *train[] = { runtime.archive,
                            runtime.include,
                            "-pthread",
                            "-lm",
                            s->o->weights ? "-DNET_SHIPPED" : NULL,
                            NULL };
    if (s->trainer) memcpy(args + 10, train, sizeof train);
    return kd_link(compiler(s), args, s->d);
}

/* What trains needs libkdrt at run time. */
static bool link_shared(const KdShip *s, const char *folder, const char *output) {
    const char *runtime = kd_link_runtime(s->o->target, s->arena).shared;
    const char *args[] = { "-shared",
                           kd_arena_format(s->arena, "%s/net.o", folder),
                           "-o",
                           output,
                           s->trainer ? runtime : NULL,
                           NULL };
    return kd_link(compiler(s), args, s->d);
}

/* The linker may have put a file of its own in the place of the one that is open, or nothing. */
static bool sync_linked(const KdShip *s, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    bool done = fd >= 0 && fsync(fd) == 0 && fstat(fd, &info) == 0;
    if (!done) kd_error(s->d, (KdLoc){ s->o->output, 0 }, "cannot write: %s", strerror(errno));
    if (fd >= 0) close(fd);
    return done && (info.st_size > 0 || kd_error(s->d, (KdLoc){ s->o->output, 0 },
                                                 "the linker ended well, but wrote nothing"));
}

/* By way of files in a folder of their own. */
static bool fill_linked(const KdShip *s, const KdOutFile *out, const KdObject *object) {
    static const char *const parts[] = { "net.o", "net.h", NULL };
    if (!out->temporary)
        return kd_error(s->d, (KdLoc){ s->o->output, 0 }, "the linker writes ordinary files only");
    const char *folder = kd_link_folder(s->arena, s->d);
    bool ok = folder != NULL;
    ok = ok && write_object(s, kd_arena_format(s->arena, "%s/net.o", folder), object);
    ok = ok && write_header(s, kd_arena_format(s->arena, "%s/net.h", folder));
    ok = ok && (is_kind(s, "exe") ? link_program(s, folder, out->temporary)
                                  : link_shared(s, folder, out->temporary));
    ok = ok && sync_linked(s, out->temporary);
    if (folder) kd_link_cleanup(folder, parts);
    return ok;
}

static bool fill_code(const KdShip *s, const KdOutFile *out, const KdObject *object) {
    if (is_kind(s, "shared") || is_kind(s, "exe")) return fill_linked(s, out, object);
    fill_object(s, out->stream, is_kind(s, "lib"), object);
    return true;
}

/* Is there room for all that was written? If not, closing it says why, while there is none. */
static bool is_whole(FILE *stream) {
    return fflush(stream) == 0 && !ferror(stream);
}

/* The code and its header, or neither: both are whole before the first gets its name. */
static bool write_files(const KdShip *s, const KdObject *object) {
    KdOutFile code, header;
    bool alone = is_kind(s, "exe");
    if (!kd_outfile_open(&code, s->o->output, s->arena, s->d)) return false;
    bool ok = fill_code(s, &code, object);
    alone |= !code.temporary;
    if (ok && (alone || !is_whole(code.stream))) return kd_outfile_close(&code, true, s->d);
    if (!ok || !kd_outfile_open(&header, header_path(s), s->arena, s->d))
        return kd_outfile_close(&code, false, s->d);
    kd_ship_print_header(s, header.stream);
    bool whole = is_whole(header.stream);
    if (!whole) kd_outfile_close(&header, true, s->d);
    ok = kd_outfile_close(&code, whole, s->d);
    return whole && kd_outfile_close(&header, ok, s->d);
}

/* Can this be asked for? */
static bool check(const KdShip *s) {
    const KdDataSpec *data = s->run->data;
    size_t n = strlen(s->o->output);
    if (!is_kind(s, "exe") && n >= 2 && strcmp(s->o->output + n - 2, ".h") == 0)
        return kd_error(s->d, (KdLoc){ s->o->output, 0 },
                        "is the name of the header; -o wants that of the code beside it");
    if (!isfinite((float)data->scale))
        return kd_error(s->d, data->loc, "'scale' is %g, which is more than an f32 holds",
                        data->scale);
    if (!is_kind(s, "exe") || kd_entries_train(s->o->entries)) return true;
    char type[KD_TYPE_TEXT];
    KdType x = data->input;
    if (x.rank != 4 || (x.dim[1] != 1 && x.dim[1] != 3))
        return kd_error(s->d, data->loc,
                        "--emit=exe classifies images of 1 or 3 channels, and samples are %s; use "
                        "--emit=lib",
                        kd_type_text(x, type));
    return s->o->weights ||
           kd_error(s->d, nowhere, "--emit=exe wants --weights FILE.safetensors: it has none");
}

bool kd_ships(const char *emit) {
    static const char *const kinds[] = { "obj", "lib", "shared", "exe" };
    for (size_t k = 0; emit && k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(kinds[k], emit) == 0) return true;
    return false;
}

/* Behind the passes: the object, and from it all files. */
static bool compile(KdShip *s) {
    KdEntry entry[3 + KD_PREDICT_VARIANTS + KD_PREDICT_OUTPUTS];
    int n = s->trainer ? kd_trainer_functions(s->trainer, entry) : 0;
    for (int k = 0; k < s->predict.nvariants; k++)
        entry[n++] = (KdEntry){ .f = s->predict.variant[k] };
    for (int k = 1; k < KD_PREDICT_OUTPUTS && s->predict.nvariants; k++)
        entry[n++] = (KdEntry){ .f = s->predict.of_logits[k] };
    bool direct = s->o->gemm && strcmp(s->o->gemm, "direct") == 0; /* an object has no OpenBLAS */
    const KdBackendOptions options = { .gemm = direct ? s->o->gemm : NULL,
                                       .threads = 1,
                                       .predict = &s->predict,
                                       .trainer = s->trainer,
                                       .debug = s->o->debug,
                                       .unoptimized = s->o->unoptimized };
    s->d->module = s->m; /* what a fault of the backend is reproduced from */
    KdObject *object = kd_compile(s->m, n, entry, &options, s->d);
    s->d->module = NULL;
    if (!object) return false;
    s->workers = (int64_t)kd_object_scratch(object);
    s->weight_bytes = kd_object_weight_bytes(object);
    if (s->predict.nvariants) s->scratch = kd_predict_scratch(&s->predict, s->workers);
    bool ok = write_files(s, object);
    kd_object_destroy(object);
    return ok;
}

bool kd_ship(KdRun *run, const KdOptions *o, KdArena *a, KdDiag *d) {
    KdShip s = { .run = run, .m = run->module, .o = o, .arena = a, .d = d };
    if (!check(&s)) return false;
    choose_symbol(&s);
    if (is_stored(&s) || run->data->normalize) kd_ship_data_open(&s.data, run, o);
    drop_prints(kd_module_func(s.m, run->network));
    drop_loss(&s);
    bool ok = find_normalization(&s) && load_weights(&s) && make_variants(&s) && compile(&s);
    kd_ship_data_close(&s.data);
    return ok;
}
