/*
 * SVHN's cropped digits through libmatio, which takes a file's word for sizes before anybody can
 * look at them: so it is called in a process of its own. MATLAB stores columns first, so that with
 * rows of an image as h, columns as w:
 *
 *   X[h, w, c, n] at h + H (w + W (c + C n))     becomes     x[n, c, h, w]
 */
#include "runtime/host/formats.h"

#include "runtime/host/apart.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <errno.h>
#include <limits.h>
#include <matio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LEAST_MEMORY ((size_t)64 << 20)
#define MOST_RATIO   ((size_t)32) /* memory for a byte of the file */

typedef struct Svhn {
    mat_t *file;
    const char *path;
    KdrtError *error;
} Svhn;

/* Could the file hold that many? A shape may lie; deflate makes at most 1032 bytes of one. Where
 * one extent is none, the others could be anything. */
static bool check_room(const Svhn *s, const matvar_t *v) {
    struct stat status = { 0 };
    size_t bytes = v->data_size > 0 ? (size_t)v->data_size : 1;
    for (int k = 0; k < v->rank; k++) {
        if (v->dims[k] == 0)
            return kdrt_fail(s->error, "%s: %s: its dimension %d has no extent", s->path, v->name,
                             k + 1);
        if (bytes > SIZE_MAX / v->dims[k])
            return kdrt_fail(s->error, "%s: %s: its shape is too large", s->path, v->name);
        bytes *= v->dims[k];
    }
    if (stat(s->path, &status) == 0 && bytes / 1032 <= (size_t)status.st_size) return true;
    return kdrt_fail(s->error, "%s: %s: its shape takes %zu bytes, too many for a file of %zu",
                     s->path, v->name, bytes, (size_t)status.st_size);
}

/* Into zeroed memory: what matio does not understand, it leaves as it is, and says nothing. */
static bool read_data(const Svhn *s, matvar_t *v) {
    size_t n = 1;
    bool good;
    for (int k = 0; k < v->rank; k++) n *= v->dims[k];
    if (Mat_GetVersion(s->file) != MAT_FT_MAT5) {
        good = !Mat_VarReadDataAll(s->file, v) && v->data;
    } else {
        v->data_size = (int)Mat_SizeOfClass((int)v->class_type);
        v->nbytes = n * (size_t)v->data_size;
        v->data = calloc(n + 1, (size_t)v->data_size + 1);
        if (!v->data)
            return kdrt_fail(s->error, "%s: %s: no memory for %zu numbers", s->path, v->name, n);
        good = n <= INT_MAX && !Mat_VarReadDataLinear(s->file, v, v->data, 0, 1, (int)n);
    }
    return good ||
           kdrt_fail(s->error, "%s: %s: its data are cut short or damaged", s->path, v->name);
}

/* Of bytes, or of doubles where those will do. Cells and structs hold pointers of matio's. */
static bool check_type(const Svhn *s, const matvar_t *v, bool doubles) {
    if (v->class_type == MAT_C_UINT8 || (doubles && v->class_type == MAT_C_DOUBLE)) return true;
    return kdrt_fail(s->error, "%s: %s: expected %s, found another type", s->path, v->name,
                     doubles ? "numbers" : "bytes");
}

/* The variable with its data, of that rank; NULL after an error. */
static matvar_t *read_variable(const Svhn *s, const char *name, int rank, bool doubles) {
    matvar_t *v = Mat_VarReadInfo(s->file, name);
    if (!v) {
        kdrt_fail(s->error, "%s: expected variables X and y, found no %s", s->path, name);
        return NULL;
    }
    bool fits = v->rank == rank && v->dims && !v->isComplex;
    if (!fits)
        kdrt_fail(s->error, "%s: %s: expected %d dimensions of real numbers, found %d", s->path,
                  name, rank, v->rank);
    if (fits && check_type(s, v, doubles) && check_room(s, v) && read_data(s, v)) return v;
    Mat_VarFree(v);
    return NULL;
}

static bool read_images(const Svhn *s, KdrtArray *x) {
    matvar_t *v = read_variable(s, "X", 4, false);
    if (!v) return false;
    int64_t h = (int64_t)v->dims[0], w = (int64_t)v->dims[1], c = (int64_t)v->dims[2];
    int64_t n = (int64_t)v->dims[3], bytes = h * w * c * n;
    bool fits = v->data_size == 1 && (int64_t)v->nbytes == bytes;
    if (!fits) kdrt_fail(s->error, "%s: X: its data are not of its shape", s->path);
    *x = (KdrtArray){ .dtype = KDRT_U8, .rank = 4, .dim = { n, c, h, w } };
    if (fits) x->data = kdrt_alloc((size_t)bytes);
    if (fits && !x->data)
        kdrt_fail(s->error, "%s: no memory for %lld images", s->path, (long long)n);
    uint8_t *to = x->data;
    for (int64_t plane = 0; to && plane < n * c; plane++) {
        const uint8_t *from = (const uint8_t *)v->data + plane * h * w;
        for (int64_t row = 0; row < h; row++)
            for (int64_t column = 0; column < w; column++) *to++ = from[column * h + row];
    }
    Mat_VarFree(v);
    return x->data != NULL;
}

static bool read_labels(const Svhn *s, KdrtArray *y) {
    matvar_t *v = read_variable(s, "y", 2, true);
    if (!v) return false;
    size_t n = v->dims[0] * v->dims[1];
    bool wide = v->class_type == MAT_C_DOUBLE;
    bool good = v->nbytes == n * (wide ? sizeof(double) : 1);
    *y = (KdrtArray){ .dtype = KDRT_U8, .rank = 1, .dim = { (int64_t)n } };
    if (!good) kdrt_fail(s->error, "%s: y: its data are not of its shape", s->path);
    y->data = good ? kdrt_alloc(n) : NULL;
    if (good && !y->data) good = kdrt_fail(s->error, "%s: no memory for %zu labels", s->path, n);
    for (size_t k = 0; good && k < n; k++) {
        double label = wide ? ((const double *)v->data)[k] : ((const uint8_t *)v->data)[k];
        good = label == (int)label && label >= 1 && label <= 10;
        if (!good)
            kdrt_fail(s->error, "%s: y: expected labels 1 to 10, found %g for sample %zu", s->path,
                      label, k);
        else
            ((uint8_t *)y->data)[k] = (uint8_t)((int)label % 10);
    }
    Mat_VarFree(v);
    return good;
}

static bool read_pair(const char *path, KdrtArray pair[2], KdrtError *error) {
    memset(pair, 0, 2 * sizeof *pair);
    Svhn s = { Mat_Open(path, MAT_ACC_RDONLY), path, error };
    if (!s.file) return kdrt_fail(error, "%s: expected a MATLAB file (level 5 or 7.3)", path);
    bool done = read_images(&s, &pair[0]) && read_labels(&s, &pair[1]);
    Mat_Close(s.file);
    if (done) return true;
    kdrt_array_free(&pair[0]);
    kdrt_array_free(&pair[1]);
    return false;
}

/* Photographs do not deflate to a sixteenth; twice their bytes are at hand while they are turned.
 */
bool kdrt_svhn_read(const char *path, KdrtArray pair[2], KdrtError *error) {
    struct stat status;
    memset(pair, 0, 2 * sizeof *pair);
    if (stat(path, &status)) return kdrt_fail(error, "%s: cannot open: %s", path, strerror(errno));
    size_t bytes = LEAST_MEMORY + MOST_RATIO * (size_t)status.st_size;
    if (!kdrt_read_apart(read_pair, path, bytes, pair, error)) return false;
    long long images = pair[0].dim[0], labels = pair[1].dim[0];
    if (images == labels) return true;
    for (int k = 0; k < 2; k++) kdrt_array_free(&pair[k]);
    return kdrt_fail(error, "%s: expected %lld labels, as many as images, found %lld", path, images,
                     labels);
}
