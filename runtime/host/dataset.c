/*
 * Checks what a data set's files hold against the spec and each against its partner, and lays the
 * train and the test samples behind one another.
 */
#include "runtime/host/dataset_files.h"

#include "runtime/host/hash.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <math.h>
#include <string.h>

/* Extents other than 1, so that [28,28] fits [1,28,28]. */
static int squeeze(int rank, const int64_t *dim, int64_t *out) {
    int n = 0;
    for (int k = 0; k < rank; k++) {
        if (dim[k] != 1) out[n++] = dim[k];
    }
    return n;
}

/* The samples' shape is the spec's, but for extents of 1, or flat. */
static bool check_samples(KdrtReading *r, const KdrtArray *x) {
    const KdrtDatasetSpec *spec = r->spec;
    char expected[KDRT_SHAPE_TEXT], found[KDRT_SHAPE_TEXT];
    int64_t wanted[KDRT_MAX_RANK], here[KDRT_MAX_RANK];
    int rank = x->rank > 0 ? x->rank - 1 : 0;
    int nwanted = squeeze(spec->rank, spec->dim, wanted);
    int nhere = squeeze(rank, x->dim + (x->rank > 0), here);
    size_t width = kdrt_dtype_bytes(spec->dtype);
    bool same = nwanted == nhere && !memcmp(wanted, here, (size_t)nhere * sizeof *here);
    bool flat = rank <= 1 && kdrt_shape_elements(nwanted, wanted, width) ==
                                 kdrt_shape_elements(nhere, here, width);
    if (x->rank == 0 || x->dtype != spec->dtype || (!same && !flat)) {
        return kdrt_fail(r->error, "%s: expected samples of %s%s, found an array of %s%s",
                         r->from[0], kdrt_dtype_text(spec->dtype),
                         kdrt_shape_text(spec->rank, spec->dim, expected),
                         kdrt_dtype_text(x->dtype), kdrt_shape_text(x->rank, x->dim, found));
    }
    if (x->dtype != KDRT_F32) return true;
    int64_t count = kdrt_array_elements(x), each = x->dim[0] ? count / x->dim[0] : 1;
    for (int64_t k = 0; k < count; k++) {
        float value = ((const float *)x->data)[k];
        if (isfinite(value)) continue;
        return kdrt_fail(r->error, "%s: expected finite numbers, found %g in sample %lld",
                         r->from[0], (double)value, (long long)(k / each));
    }
    return true;
}

static int32_t label_at(const KdrtArray *y, int64_t k) {
    return y->dtype == KDRT_U8 ? ((const uint8_t *)y->data)[k] : ((const int32_t *)y->data)[k];
}

static bool check_labels(KdrtReading *r, const KdrtArray *y, int64_t samples) {
    char found[KDRT_SHAPE_TEXT];
    if (y->rank != 1 || y->dtype == KDRT_F32) {
        return kdrt_fail(
            r->error, "%s: expected one whole number per sample, found an array of %s%s",
            r->from[1], kdrt_dtype_text(y->dtype), kdrt_shape_text(y->rank, y->dim, found));
    }
    if (y->dim[0] != samples) {
        return kdrt_fail(r->error, "%s: expected %lld labels, one per sample, found %lld",
                         r->from[1], (long long)samples, (long long)y->dim[0]);
    }
    int classes = r->spec->classes;
    for (int64_t k = 0; k < samples && classes > 0; k++) {
        int32_t label = label_at(y, k);
        if (label >= 0 && label < classes) continue;
        return kdrt_fail(r->error, "%s: expected labels 0 to %d, found %d for sample %lld",
                         r->from[1], classes - 1, label, (long long)k);
    }
    return true;
}

/* A sample whose last two dims were stored the other way round; they are equal in length. */
static void transpose(const KdrtDatasetSpec *spec, KdrtArray *x) {
    int64_t n = spec->dim[spec->rank - 1];
    size_t each = kdrt_dtype_bytes(x->dtype);
    char *square = x->data, swap[8];
    for (int64_t k = kdrt_array_elements(x) / (n * n); k > 0; k--, square += (size_t)(n * n) * each)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < i; j++) {
                char *a = square + (size_t)(i * n + j) * each,
                     *b = square + (size_t)(j * n + i) * each;
                memcpy(swap, a, each);
                memcpy(a, b, each);
                memcpy(b, swap, each);
            }
}

/* Labels counted from first_label on become labels from 0. */
static bool count_from_zero(KdrtReading *r, KdrtArray *y) {
    int32_t first = r->spec->first_label;
    for (int64_t k = 0; k < kdrt_array_elements(y); k++) {
        int32_t label = label_at(y, k);
        if (label < first || label - first >= r->spec->classes)
            return kdrt_fail(r->error, "%s: expected labels %d to %d, found %d for sample %lld",
                             r->from[1], first, first + r->spec->classes - 1, label, (long long)k);
        if (y->dtype == KDRT_U8)
            ((uint8_t *)y->data)[k] = (uint8_t)(label - first);
        else
            ((int32_t *)y->data)[k] = label - first;
    }
    return true;
}

/* One file of samples and one of labels, checked. */
static bool read_pair(KdrtReading *r, const char *x_file, const char *y_file, KdrtArray pair[2]) {
    bool done =
        kdrt_files_read(r, x_file, y_file, pair) && check_samples(r, &pair[0]) &&
        (!r->spec->first_label || pair[1].dtype == KDRT_F32 || count_from_zero(r, &pair[1])) &&
        check_labels(r, &pair[1], pair[0].dim[0]);
    if (done && r->spec->transposed) transpose(r->spec, &pair[0]);
    for (int k = 0; k < 2 && done; k++) {
        size_t bytes = (size_t)kdrt_array_elements(&pair[k]) * kdrt_dtype_bytes(pair[k].dtype);
        r->data->hash = kdrt_hash(pair[k].data, bytes, r->data->hash);
    }
    if (done) return true;
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    return false;
}

/* Where the splits lie; `train` and `test` are the rows of either file. */
static bool split(KdrtReading *r, int64_t train, int64_t test) {
    const KdrtDatasetSpec *spec = r->spec;
    KdrtDataset *data = r->data;
    int64_t last = spec->test_x ? 0 : spec->test; /* tests that the train file gives */
    int64_t held = spec->validation + last;
    int64_t wanted = spec->train ? spec->train : 1;
    if (spec->train < 0 || spec->validation < 0 || spec->test < 0 || wanted > train ||
        held > train - wanted) {
        return kdrt_fail(r->error,
                         "%s: expected %lld training, %lld validation and %lld test samples in %s, "
                         "found %lld",
                         spec->name, (long long)wanted, (long long)spec->validation,
                         (long long)last, spec->train_x, (long long)train);
    }
    if (spec->test_x && spec->test > test) {
        return kdrt_fail(r->error, "%s: expected %lld test samples in %s, found %lld", spec->name,
                         (long long)spec->test, spec->test_x, (long long)test);
    }
    data->train = (KdrtSplit){ 0, spec->train ? spec->train : train - held };
    data->validation = (KdrtSplit){ train - held, spec->validation };
    data->test = spec->test_x ? (KdrtSplit){ train, spec->test ? spec->test : test }
                              : (KdrtSplit){ train - last, last };
    return true;
}

/* Samples and labels of both files into the data set's arrays. */
static bool join(KdrtReading *r, KdrtArray train[2], KdrtArray test[2]) {
    const KdrtDatasetSpec *spec = r->spec;
    KdrtDataset *data = r->data;
    int64_t ntrain = train[0].dim[0], ntest = test[0].data ? test[0].dim[0] : 0;
    int64_t rows = ntrain + ntest;
    size_t each = kdrt_dtype_bytes(spec->dtype);
    for (int k = 0; k < spec->rank; k++) each *= (size_t)spec->dim[k];
    bool narrow = spec->classes > 0 && spec->classes <= 256;
    if (rows > INT32_MAX) {
        return kdrt_fail(r->error, "%s: expected fewer than 2^31 samples, found %lld", spec->name,
                         (long long)rows);
    }
    data->x = (KdrtArray){ .dtype = spec->dtype, .rank = spec->rank + 1, .dim = { rows } };
    memcpy(data->x.dim + 1, spec->dim, (size_t)spec->rank * sizeof *spec->dim);
    data->y = (KdrtArray){ .dtype = narrow ? KDRT_U8 : KDRT_I32, .rank = 1, .dim = { rows } };
    data->x.data = train[0].data; /* grown, not copied: it may be most of what memory holds */
    train[0].data = NULL;
    if (ntest > 0) {
        data->x.data = kdrt_grow(data->x.data, (size_t)ntrain * each, (size_t)rows * each);
        if (!data->x.data)
            return kdrt_fail(r->error, "%s: no memory for %lld samples", spec->name,
                             (long long)rows);
        memcpy((char *)data->x.data + (size_t)ntrain * each, test[0].data, (size_t)ntest * each);
    }
    data->y.data = kdrt_alloc((size_t)rows * kdrt_dtype_bytes(data->y.dtype));
    if (!data->y.data)
        return kdrt_fail(r->error, "%s: no memory for %lld labels", spec->name, (long long)rows);
    for (int64_t k = 0; k < rows; k++) {
        int32_t label = k < ntrain ? label_at(&train[1], k) : label_at(&test[1], k - ntrain);
        if (narrow)
            ((uint8_t *)data->y.data)[k] = (uint8_t)label;
        else
            ((int32_t *)data->y.data)[k] = label;
    }
    return true;
}

bool kdrt_dataset_read(const KdrtDatasetSpec *spec, KdrtDataset *data, KdrtError *error) {
    memset(data, 0, sizeof *data);
    KdrtReading r = { .spec = spec, .data = data, .error = error };
    if (spec->rank < 0 || spec->rank >= KDRT_MAX_RANK) {
        return kdrt_fail(error, "%s: expected samples of rank at most %d, found %d", spec->name,
                         KDRT_MAX_RANK - 1, spec->rank);
    }
    KdrtArray train[2] = { 0 }, test[2] = { 0 };
    bool done = kdrt_files_find(&r) && read_pair(&r, spec->train_x, spec->train_y, train) &&
                (!spec->test_x || read_pair(&r, spec->test_x, spec->test_y, test)) &&
                split(&r, train[0].dim[0], test[0].data ? test[0].dim[0] : 0) &&
                join(&r, train, test);
    for (int k = 0; k < 2; k++) {
        kdrt_array_free(&train[k]);
        kdrt_array_free(&test[k]);
    }
    kdrt_archive_free(r.member, r.nmembers);
    if (!done) kdrt_dataset_free(data);
    return done;
}

void kdrt_dataset_free(KdrtDataset *data) {
    kdrt_array_free(&data->x);
    kdrt_array_free(&data->y);
    kdrt_free(data->mean);
    kdrt_free(data->rate);
    data->mean = data->rate = NULL;
}
