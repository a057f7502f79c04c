/* From what a script says of its data to arrays in memory. */
#include "frontend/driver/data.h"

#include "runtime/host/contrast.h"
#include "runtime/host/normalize.h"
#include "runtime/kdrt.h"

#include <math.h>
#include <string.h>

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Of lists that end in NULL; NULL: an empty one. */
static bool same_list(const char *const *a, const char *const *b) {
    for (; a && b && *a && same_text(*a, *b); a++) b++;
    return !(a && *a) && !(b && *b);
}

/* Do both name the same files, to be checked by the same sums, and splits? `take` may differ. */
static bool same_files(const KdDataSpec *a, const KdDataSpec *b) {
    return same_text(a->format, b->format) && same_text(a->train_x, b->train_x) &&
           same_text(a->train_y, b->train_y) && same_text(a->test_x, b->test_x) &&
           same_text(a->test_y, b->test_y) && same_text(a->archive, b->archive) &&
           same_text(a->inside, b->inside) && same_list(a->md5, b->md5) &&
           same_text(a->normalize, b->normalize) && a->scale == b->scale && a->label == b->label &&
           a->contrast == b->contrast && a->stored == b->stored && a->labels == b->labels &&
           a->header == b->header && same_text(a->dirs[0], b->dirs[0]) && a->train == b->train &&
           a->transposed == b->transposed && a->first_label == b->first_label &&
           a->validation == b->validation && a->test == b->test && a->classes == b->classes &&
           kd_type_equal(a->input, b->input);
}

static KdrtDatasetSpec host_spec(const KdDataSpec *spec, const char *dir) {
    KdrtDatasetSpec s = {
        .name = spec->name,
        .format = spec->format,
        .package = spec->package,
        .archive = spec->archive,
        .inside = spec->inside,
        .label = spec->label,
        .labels = spec->labels,
        .header = spec->header,
        .transposed = spec->transposed,
        .first_label = spec->first_label,
        .md5 = spec->md5,
        .train_x = spec->train_x,
        .train_y = spec->train_y,
        .test_x = spec->test_x,
        .test_y = spec->test_y,
        .train = spec->train,
        .validation = spec->validation,
        .test = spec->test,
        .dtype = spec->stored == KD_U8 ? KDRT_U8 : KDRT_F32,
        .rank = spec->input.rank - 1,
        .classes = spec->classes,
    };
    int n = 0;
    if (dir) s.folders[n++] = dir;
    for (int k = 0; !dir && k < 4 && spec->dirs[k]; k++) s.folders[n++] = spec->dirs[k];
    for (int k = 0; k < s.rank; k++) s.dim[k] = spec->input.dim[k + 1];
    return s;
}

static int32_t label_at(const KdrtArray *y, int64_t k) {
    return y->dtype == KDRT_U8 ? ((const uint8_t *)y->data)[k] : ((const int32_t *)y->data)[k];
}

/* Of 64 classes and more, those that `omit` has no bit for stay. */
static bool is_left_out(const KdDataSpec *spec, int32_t label) {
    return label < 64 && (spec->omit >> label & 1);
}

/* The training samples whose class the script did not leave out, found once. */
static bool keep_classes(KdDatasets *all, const KdDataSpec *spec, KdrtDataset *data, KdDiag *d) {
    int k = 0;
    while (k < all->nsubsets && all->subset[k].spec != spec) k++;
    if (k == KD_MAX_DATASETS)
        return kd_error(d, spec->loc, "a script may use at most %d data sets", KD_MAX_DATASETS);
    if (k == all->nsubsets) {
        int32_t *kept = kdrt_alloc((size_t)data->train.count * sizeof *kept);
        int64_t n = 0;
        if (!kept) return kd_error(d, spec->loc, "%s: no memory", spec->name);
        for (int64_t row = 0; row < data->train.count; row++)
            if (!is_left_out(spec, label_at(&data->y, row))) kept[n++] = (int32_t)row;
        all->subset[k].spec = spec;
        all->subset[k].kept = kept;
        all->subset[k].count = n;
        all->nsubsets++;
    }
    data->kept = all->subset[k].kept;
    data->train.count = all->subset[k].count;
    return data->train.count > 0 ||
           kd_error(d, spec->loc, "%s: no training sample is of the classes that are left",
                    spec->name);
}

bool kd_data_open(KdDatasets *all, const KdDataSpec *spec, const char *dir, KdrtDataset *data,
                  KdDiag *d) {
    int k = 0;
    while (k < all->n && !same_files(all->entry[k].spec, spec)) k++;
    if (k == KD_MAX_DATASETS)
        return kd_error(d, spec->loc, "a script may use at most %d data sets", KD_MAX_DATASETS);
    if (k == all->n) {
        KdrtError error;
        KdrtDatasetSpec from = host_spec(spec, dir);
        if (!kdrt_dataset_read(&from, &all->entry[k].data, &error))
            return kd_error(d, spec->loc, "%s", error.text);
        if ((spec->contrast && !kdrt_dataset_contrast(&all->entry[k].data, &error)) ||
            !kdrt_dataset_normalize(&all->entry[k].data, spec->normalize, spec->scale, &error)) {
            kdrt_dataset_free(&all->entry[k].data);
            return kd_error(d, spec->loc, "%s", error.text);
        }
        all->entry[k].spec = spec;
        all->n++;
    }
    *data = all->entry[k].data;
    if (spec->take > 0 && spec->take < data->train.count) data->train.count = spec->take;
    return !spec->omit || keep_classes(all, spec, data, d);
}

void kd_data_schedule(const KdRun *run, const KdrtDataset *data) {
    static const char *const keys[] = { "schedule.every", "schedule.steps", "warmup",
                                        "momentum.steps" };
    KdModule *m = run->module;
    double steps = ceil((double)data->train.count / (double)run->batch);
    if (strcmp(kd_attr_str(m->program, "schedule.unit", "step"), "epoch") != 0) return;
    kd_attr_set_str(m->arena, &m->program, "schedule.unit", "step");
    for (int k = 0; k < (int)(sizeof keys / sizeof keys[0]); k++) {
        double epochs = kd_attr_num(m->program, keys[k], 0);
        if (epochs > 0) kd_attr_set_int(m->arena, &m->program, keys[k], llround(epochs * steps));
    }
}

bool kd_data_is_counted(const KdModule *m, KdLoc loc, KdDiag *d) {
    if (strcmp(kd_attr_str(m->program, "schedule.unit", "step"), "epoch") != 0) return true;
    return kd_error(d, loc, "the schedule counts epochs of data that were not read; %s",
                    kd_attr_int(m->program, "omit", 0)
                        ? "only the files tell how many samples data:without leaves: --jit reads "
                          "them, code is written of a run without schedule"
                        : "say how many samples train, train = N in the data set");
}

void kd_data_close(KdDatasets *all) {
    for (int k = 0; k < all->n; k++) kdrt_dataset_free(&all->entry[k].data);
    for (int k = 0; k < all->nsubsets; k++) kdrt_free(all->subset[k].kept);
    all->n = all->nsubsets = 0;
}
