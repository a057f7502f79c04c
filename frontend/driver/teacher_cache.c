/*
 * A teacher is trained once: changing σ in the script must not cost ten epochs of LeNet. Whatever
 * could change a bit of its weights is hashed into the file's name.
 */
#include "frontend/driver/teacher_cache.h"

#include "frontend/driver/cache.h"
#include "frontend/driver/text_hash.h"
#include "frontend/driver/weights.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/hash.h"
#include "runtime/host/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *kd_teacher_path(const KdTraining *t, uint64_t teachers, KdArena *a) {
    const KdRun *run = t->c->run;
    const char *cache = kd_cache_folder("teachers", a);
    if (!cache) return NULL;
    const int64_t facts[] = {
        run->seed,
        run->epochs,
        run->batch,
        run->patience,
        run->min_epochs,
        t->data->train.first,
        t->data->train.count,
        t->data->validation.first,
        t->data->validation.count,
        (int64_t)t->data->hash,
        (int64_t)teachers,
    };
    uint64_t hash = kdrt_hash(facts, sizeof facts, 0);
    hash = kdrt_hash(KD_VERSION, strlen(KD_VERSION), hash);
    hash = kdrt_hash(t->c->how, strlen(t->c->how), hash);
    hash = kdrt_hash(t->c->m->target.cpu, strlen(t->c->m->target.cpu), hash);
    return kd_arena_format(a, "%s/%016llx.safetensors", cache,
                           (unsigned long long)kd_text_hash(t->c->text, hash));
}

static double number(const KdrtTensors *file, const char *key, double missing) {
    const char *text = kdrt_tensors_meta(file, key);
    return text ? strtod(text, NULL) : missing;
}

bool kd_teacher_recall(KdTraining *t, const char *path) {
    KdrtTensors file;
    KdrtError error;
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    if (access(path, R_OK) != 0) return false;
    if (!kd_weights_load(t->c->m, t->c->run->network, t->best, path, &quiet)) return false;
    if (!kdrt_tensors_read(path, &file, &error)) return false;
    memcpy(t->params, t->best, (size_t)t->elements * sizeof(float));
    t->epoch = (int32_t)number(&file, "epoch", 0);
    t->step = (int32_t)number(&file, "step", 0);
    t->best_epoch = (int32_t)number(&file, "best_epoch", t->epoch);
    t->best_error = number(&file, "val_error", 2);
    t->final_loss = number(&file, "final_loss", 0);
    t->seconds = number(&file, "seconds", 0);
    t->images = (int64_t)number(&file, "images", 0);
    kdrt_tensors_free(&file);
    return true;
}

void kd_teacher_keep(const KdTraining *t, const char *path) {
    KdArena *a = kd_arena_create();
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    if (kd_cache_make_room(path, a)) kd_weights_keep(t, path, &quiet);
    kd_arena_destroy(a);
}
