/*
 * Weights in and out. A network's parameters are stored under their names without the network's, so
 * that a PyTorch state dict of the same architecture loads as it is.
 */
#include "frontend/driver/weights.h"
#include "frontend/outfile.h"

#include <string.h>

#define MOST_FACTS 11

/* What a file says of the weights in it. */
typedef struct KdWeightsFile {
    bool best;           /* those of the best epoch, else of the last */
    bool timing;         /* the whole training too */
    int32_t epoch, step; /* behind which */
} KdWeightsFile;

/* A loss's own parameters are in no file. */
static bool of_network(const KdParam *p, const char *network) {
    return strcmp(p->network, network) == 0 && !p->auxiliary;
}

/* PyTorch counts the batches that a running variance has seen; we write that number, and pass over
 * it when we read. */
#define COUNTER ".num_batches_tracked"

static KdrtTensor counter_of(const KdParam *p, const int64_t *batches, KdArena *a) {
    const char *name = strrchr(p->name, '.');
    int layer = name ? (int)(name - p->name) : 0;
    return (KdrtTensor){
        .name = kd_arena_format(a, "%.*s" COUNTER, layer, p->name),
        .dtype = "I64",
        .data = batches,
        .bytes = sizeof *batches,
    };
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_counter(const KdrtTensor *x) {
    return x->rank == 0 && strcmp(x->dtype, "I64") == 0 && ends_with(x->name, COUNTER);
}

KdrtTensors kd_weights_tensors(const KdModule *m, const char *network, const float *slab,
                               const int64_t *batches, KdArena *a) {
    KdrtTensors file = { .tensors = KD_NEW_ARRAY(a, KdrtTensor, 2 * m->nparams + 1) };
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (!of_network(p, network)) continue;
        KdrtTensor *to = &file.tensors[file.ntensors++];
        *to = (KdrtTensor){
            .name = p->name,
            .dtype = "F32",
            .rank = p->type.rank,
            .data = slab + kd_slab_offset(m, p),
            .bytes = (size_t)kd_type_bytes(p->type, 0, 0),
        };
        memcpy(to->dim, p->type.dim, sizeof to->dim);
        if (p->running && ends_with(p->name, ".running_var"))
            file.tensors[file.ntensors++] = counter_of(p, batches, a);
    }
    return file;
}

/* How weights came about, in `pair`; returns how many. */
static int facts_of(const KdTraining *t, const KdWeightsFile *f, KdrtPair *pair, KdArena *a) {
    const KdRun *run = t->c->run;
    int n = 0;
    pair[n++] = (KdrtPair){ "kdc", KD_VERSION };
    pair[n++] = (KdrtPair){ "network", run->network };
    pair[n++] = (KdrtPair){ "run", run->name };
    pair[n++] = (KdrtPair){ "seed", kd_arena_format(a, "%lld", (long long)run->seed) };
    pair[n++] = (KdrtPair){ "epoch", kd_arena_format(a, "%d", f->epoch) };
    pair[n++] = (KdrtPair){ "step", kd_arena_format(a, "%d", f->step) };
    if (f->best && t->best_error <= 1)
        pair[n++] = (KdrtPair){ "val_error", kd_arena_format(a, "%.9g", t->best_error) };
    pair[n++] = (KdrtPair){ "final_loss", kd_arena_format(a, "%.9g", t->final_loss) };
    if (!f->timing) return n;
    pair[n++] = (KdrtPair){ "best_epoch", kd_arena_format(a, "%d", t->best_epoch) };
    pair[n++] = (KdrtPair){ "seconds", kd_arena_format(a, "%.9g", t->seconds) };
    pair[n++] = (KdrtPair){ "images", kd_arena_format(a, "%lld", (long long)t->images) };
    return n;
}

static bool save(const KdTraining *t, const KdWeightsFile *f, const char *path, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdrtPair pair[MOST_FACTS];
    const int64_t batches = f->step;
    const float *slab = f->best ? t->best : t->params;
    KdrtTensors file = kd_weights_tensors(t->c->m, t->c->run->network, slab, &batches, a);
    file.metadata = pair;
    file.nmetadata = facts_of(t, f, pair, a);
    KdrtError error;
    bool ok = kdrt_tensors_write(path, &file, &error);
    kd_arena_destroy(a);
    return ok || kd_file_error(d, path, &error);
}

bool kd_weights_save_best(const KdTraining *t, const char *path, KdDiag *d) {
    int32_t epoch = t->best_epoch, steps = t->epoch ? t->step / t->epoch : 0; /* of an epoch */
    return save(t, &(KdWeightsFile){ true, false, epoch, epoch * steps }, path, d);
}

bool kd_weights_save_last(const KdTraining *t, const char *path, KdDiag *d) {
    bool same = memcmp(t->params, t->best, (size_t)t->elements * sizeof(float)) == 0;
    if (same) return kd_weights_save_best(t, path, d); /* also of a teacher that was not trained */
    return save(t, &(KdWeightsFile){ .epoch = t->epoch, .step = t->step }, path, d);
}

bool kd_weights_keep(const KdTraining *t, const char *path, KdDiag *d) {
    return save(t, &(KdWeightsFile){ true, true, t->epoch, t->step }, path, d);
}

/* --- loading ------------------------------------------------------------------------------- */

static const char *shape_text(KdArena *a, int rank, const int64_t *dim) {
    const char *text = "[";
    for (int k = 0; k < rank; k++)
        text = kd_arena_format(a, "%s%s%lld", text, k ? "," : "", (long long)dim[k]);
    return kd_arena_format(a, "%s]", text);
}

static bool same_shape(const KdParam *p, const KdrtTensor *x) {
    return strcmp(x->dtype, "F32") == 0 && x->rank == p->type.rank &&
           memcmp(x->dim, p->type.dim, sizeof(int64_t) * (size_t)x->rank) == 0;
}

/* A line per parameter that the file lacks or has otherwise, and per tensor that nobody asked for;
 * returns how many. */
static int differences(const KdModule *m, const char *network, const KdrtTensors *file, bool say,
                       KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdLoc loc = { 0 };
    int n = 0;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (!of_network(p, network)) continue;
        const KdrtTensor *x = kdrt_tensors_find(file, p->name);
        if (x && same_shape(p, x)) continue;
        n++;
        const char *want = shape_text(a, p->type.rank, p->type.dim);
        if (say && !x) kd_note(d, p->loc, "missing: %s F32 %s", p->name, want);
        if (say && x)
            kd_note(d, p->loc, "differs: %s is %s %s, the network's is F32 %s", p->name, x->dtype,
                    shape_text(a, x->rank, x->dim), want);
    }
    for (int k = 0; k < file->ntensors; k++) {
        const KdrtTensor *x = &file->tensors[k];
        if (kd_module_param(m, network, x->name) || is_counter(x)) continue;
        n++;
        if (say)
            kd_note(d, loc, "extra: %s %s %s", x->name, x->dtype, shape_text(a, x->rank, x->dim));
    }
    kd_arena_destroy(a);
    return n;
}

bool kd_weights_load(const KdModule *m, const char *network, float *slab, const char *path,
                     KdDiag *d) {
    KdrtTensors file;
    KdrtError error;
    if (!kdrt_tensors_read(path, &file, &error)) return kd_file_error(d, path, &error);
    bool ok = differences(m, network, &file, false, d) == 0;
    if (!ok) {
        kd_error(d, (KdLoc){ path, 0 }, "these are not the weights of network %s:", network);
        differences(m, network, &file, true, d);
    }
    for (int k = 0; ok && k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (!of_network(p, network)) continue;
        const KdrtTensor *x = kdrt_tensors_find(&file, p->name);
        memcpy(slab + kd_slab_offset(m, p), x->data, x->bytes);
    }
    kdrt_tensors_free(&file);
    return ok;
}
