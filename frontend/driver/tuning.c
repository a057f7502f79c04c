/*
 * One file a machine: {"machine", "choices": [{"contraction", "gemm", "native_us",
 * "openblas_us"}]}. The file's name is a hash of the machine, which is compared as well.
 */
#include "frontend/driver/tuning.h"

#include "frontend/driver/cache.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/blas.h"
#include "runtime/host/hash.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const char *machine(const KdTarget *target, int threads, KdArena *a) {
    return kd_arena_format(a, "%s, %d bits, %d threads, %s, kdc " KD_VERSION, target->cpu,
                           target->vector_bits, threads, kdrt_blas_name());
}

/* The file's path, or NULL. */
static const char *file_of(const char *machine_text, KdArena *a) {
    const char *folder = kd_cache_folder("tuning", a);
    if (!folder) return NULL;
    return kd_arena_format(a, "%s/%016" PRIx64 ".json", folder,
                           kdrt_hash(machine_text, strlen(machine_text), 0));
}

KdrtJson *kd_tuning_json(const KdTuning *t) {
    KdrtJson *json = kdrt_json_object();
    KdrtJson *choices = kdrt_json_array(json, "choices");
    for (int k = 0; k < t->n; k++) {
        const KdChoice *c = &t->choice[k];
        KdrtJson *entry = kdrt_json_append(choices);
        kdrt_json_string(entry, "contraction", c->key);
        kdrt_json_string(entry, "gemm", c->openblas ? "openblas" : "native");
        kdrt_json_number(entry, "native_us", 1e6 * c->native_seconds);
        kdrt_json_number(entry, "openblas_us", 1e6 * c->openblas_seconds);
    }
    return json;
}

bool kd_tuning_read(KdTuning *t, const KdrtJson *json) {
    const KdrtJson *choices = kdrt_json_get(json, "choices");
    if (!choices) return false;
    for (int k = 0; k < kdrt_json_length(choices); k++) {
        const KdrtJson *entry = kdrt_json_at(choices, k);
        const char *gemm = kdrt_json_get_string(entry, "gemm", "");
        KdChoice choice = {
            .key = kdrt_json_get_string(entry, "contraction", ""),
            .openblas = strcmp(gemm, "openblas") == 0,
            .native_seconds = 1e-6 * kdrt_json_get_number(entry, "native_us", 0),
            .openblas_seconds = 1e-6 * kdrt_json_get_number(entry, "openblas_us", 0),
        };
        if (!*choice.key || (!choice.openblas && strcmp(gemm, "native") != 0)) return false;
        kd_tuning_add(t, &choice);
    }
    return true;
}

void kd_tuning_recall(KdTuning *t, const KdTarget *target, int threads, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdrtError error;
    const char *text = machine(target, threads, a), *path = file_of(text, a);
    KdrtJson *json = path && access(path, F_OK) == 0 ? kdrt_json_read(path, &error) : NULL;
    bool same = json && strcmp(kdrt_json_get_string(json, "machine", ""), text) == 0;
    if (path && access(path, F_OK) == 0 && (!same || !kd_tuning_read(t, json))) {
        kd_warning(d, (KdLoc){ path, 0 }, "not a table of measured contractions; measuring anew");
        t->n = 0;
    }
    if (json) kdrt_json_free(json);
    kd_arena_destroy(a);
}

void kd_tuning_remember(const KdTuning *t, const KdTarget *target, int threads) {
    KdArena *a = kd_arena_create();
    KdrtError error;
    const char *text = machine(target, threads, a), *path = file_of(text, a);
    if (path) {
        KdrtJson *json = kd_tuning_json(t);
        kdrt_json_string(json, "machine", text);
        if (kd_cache_make_room(path, a)) kdrt_json_write(path, json, &error);
        kdrt_json_free(json);
    }
    kd_arena_destroy(a);
}
