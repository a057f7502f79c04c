/*
 * Where a data set lies and what reads it. Formats of one array a file (idx, npy) are read one by
 * one; cifar and whatever lies in an archive is read as a whole first, an archive in one pass.
 */
#include "runtime/host/dataset_files.h"

#include "runtime/host/atomic_file.h"
#include "runtime/host/formats.h"
#include "runtime/host/internal.h"
#include "runtime/host/md5.h"
#include "runtime/kdrt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool set_path(KdrtReading *r, const char *file, size_t length) {
    int n = snprintf(r->path, sizeof r->path, "%s/%.*s", r->data->folder, (int)length, file);
    if (n > 0 && (size_t)n < sizeof r->path) return true;
    return kdrt_fail(r->error, "%.*s: the path of its folder is too long", (int)length, file);
}

/* --- where --------------------------------------------------------------------------------- */

/* Is this the folder? `below` it, or NULL. Sets r->too_long where no path can say so. */
static bool try_folder(KdrtReading *r, const char *folder, const char *below, const char *file) {
    int n = snprintf(r->data->folder, sizeof r->data->folder, "%s%s%s", folder, below ? "/" : "",
                     below ? below : "");
    bool fits = n >= 0 && (size_t)n < sizeof r->data->folder;
    fits = fits && set_path(r, file, strcspn(file, ","));
    r->too_long |= !fits;
    return fits && access(r->path, F_OK) == 0;
}

/* The files themselves come first, but an archive of arrays is what the script names. */
static bool try_both(KdrtReading *r, const char *folder) {
    const KdrtDatasetSpec *spec = r->spec;
    bool first = spec->archive && !strcmp(spec->format, "npy");
    r->packed = first && try_folder(r, folder, NULL, spec->archive);
    if (r->packed || try_folder(r, folder, NULL, spec->train_x)) return true;
    if (spec->inside && try_folder(r, folder, spec->inside, spec->train_x)) return true;
    r->packed = spec->archive && try_folder(r, folder, NULL, spec->archive);
    return r->packed;
}

static bool find_folder(KdrtReading *r) {
    const KdrtDatasetSpec *spec = r->spec;
    char tried[300] = "";
    size_t used = 0;
    for (int k = 0; k < KDRT_MAX_FOLDERS && spec->folders[k]; k++) {
        const char *folder = spec->folders[k];
        if (try_both(r, folder)) return true;
        if (r->too_long)
            return kdrt_fail(r->error, "%s: the path %.40s... is too long", spec->name, folder);
        if (used < sizeof tried) {
            used += (size_t)snprintf(tried + used, sizeof tried - used, "%s%s", used ? ", " : "",
                                     folder);
        }
    }
    return kdrt_fail(
        r->error, "%s: no %.*s%s%s in %s%s%s%s", spec->name, (int)strcspn(spec->train_x, ","),
        spec->train_x, spec->archive ? " or " : "", spec->archive ? spec->archive : "",
        used ? tried : "any folder", spec->package ? " (install the package " : "",
        spec->package ? spec->package : "",
        spec->package ? ", or give its folder with --data)" : " (give its folder with --data)");
}

/* Each "FILE=SUM" of which FILE is used. */
static bool check_sums(KdrtReading *r) {
    for (const char *const *sum = r->spec->md5; sum && *sum; sum++) {
        size_t length = strcspn(*sum, "=");
        const char *archive = r->spec->archive ? r->spec->archive : "";
        bool is_archive = strlen(archive) == length && !strncmp(archive, *sum, length);
        if (is_archive != r->packed) continue;
        if (!set_path(r, *sum, length)) return false;
        if (!kdrt_md5_check(r->path, *sum + length + 1, r->error)) return false;
    }
    return true;
}

bool kdrt_files_find(KdrtReading *r) {
    return find_folder(r) && check_sums(r);
}

/* --- whole files --------------------------------------------------------------------------- */

static int length_of(const char *list) {
    int n = 1;
    for (; *list; list++) n += *list == ',';
    return n;
}

/* The first of the list's members, which lie in a row; NULL where they are not there yet. */
static KdrtMember *find_list(KdrtReading *r, const char *list) {
    int n = length_of(list);
    for (int k = 0; k + n <= r->nmembers; k++) {
        const char *name = list;
        int same = 0;
        for (; same < n; same++, name += strcspn(name, ",") + 1) {
            size_t length = strcspn(name, ",");
            const char *have = r->member[k + same].name;
            if (strlen(have) != length || strncmp(have, name, length) != 0) break;
        }
        if (same == n) return &r->member[k];
    }
    return NULL;
}

/* Adds the names of a list with commas to the members, but for a list that is there already; true
 * unless there are too many. */
static bool add_members(KdrtReading *r, const char *list, size_t *used) {
    const KdrtMember *known = list ? find_list(r, list) : NULL;
    for (int k = 0; known && k < length_of(list); k++) r->uses[known - r->member + k]++;
    while (list && *list && !known) {
        size_t length = strcspn(list, ",");
        if (r->nmembers == KDRT_MAX_FILES || *used + length + 1 > sizeof r->names)
            return kdrt_fail(r->error, "%s: too many files", r->spec->name);
        memcpy(r->names + *used, list, length);
        r->names[*used + length] = 0;
        r->uses[r->nmembers] = 1;
        r->member[r->nmembers++] = (KdrtMember){ .name = r->names + *used };
        *used += length + 1;
        list += length + (list[length] == ',');
    }
    return true;
}

static bool read_members(KdrtReading *r) {
    const KdrtDatasetSpec *spec = r->spec;
    size_t used = 0;
    if (r->nmembers) return true;
    if (!add_members(r, spec->train_x, &used) || !add_members(r, spec->train_y, &used) ||
        !add_members(r, spec->test_x, &used) || !add_members(r, spec->test_y, &used))
        return false;
    if (r->packed) {
        if (!set_path(r, spec->archive, strlen(spec->archive))) return false;
        return kdrt_archive_read(r->path, r->member, r->nmembers, r->error);
    }
    for (int k = 0; k < r->nmembers; k++) {
        KdrtMember *m = &r->member[k];
        if (!set_path(r, m->name, strlen(m->name))) return false;
        m->data = kdrt_file_read(r->path, (size_t)1 << 33, &m->bytes, r->error);
        if (!m->data) return false;
    }
    return set_path(r, "", 0);
}

/* The first of the list's members, with their data; NULL after an error. */
static KdrtMember *find_members(KdrtReading *r, const char *list) {
    KdrtMember *m = find_list(r, list);
    for (int j = 0; m && j < length_of(list); j++) {
        if (m[j].data) continue;
        kdrt_fail(r->error, "%s: expected a file %s in it, found none", r->path, m[j].name);
        return NULL;
    }
    return m;
}

/* Frees what no other list names. */
static void release_members(KdrtReading *r, KdrtMember *m, int n) {
    for (; n-- > 0; m++)
        if (--r->uses[m - r->member] == 0) kdrt_archive_free(m, 1);
}

static bool read_cifar(KdrtReading *r, const char *files, KdrtArray pair[2]) {
    const KdrtDatasetSpec *spec = r->spec;
    KdrtCifar layout = { .labels = spec->labels, .label = spec->label, .classes = spec->classes };
    KdrtMember *m = read_members(r) ? find_members(r, files) : NULL;
    if (!m) return false;
    int n = length_of(files);
    layout.rank = spec->rank;
    memcpy(layout.dim, spec->dim, sizeof layout.dim);
    bool done = kdrt_cifar_read(r->path, m, n, &layout, pair, r->error);
    release_members(r, m, n);
    return done;
}

/* --- arrays -------------------------------------------------------------------------------- */

static bool read_packed(KdrtReading *r, const char *file, KdrtArray *array) {
    if (!read_members(r) || !set_path(r, r->spec->archive, strlen(r->spec->archive))) return false;
    KdrtMember *m = find_members(r, file);
    if (!m) return false;
    size_t used = strlen(r->path);
    snprintf(r->path + used, sizeof r->path - used, ": %s", m->name);
    bool done = kdrt_npy_parse(r->path, m->data, m->bytes, array, r->error);
    release_members(r, m, 1);
    return done;
}

static bool read_array(KdrtReading *r, const char *file, KdrtArray *array) {
    if (r->packed) return read_packed(r, file, array);
    if (!set_path(r, file, strlen(file))) return false;
    return !strcmp(r->spec->format, "idx") ? kdrt_idx_read(r->path, array, r->error)
                                           : kdrt_npy_read(r->path, array, r->error);
}

static bool read_csv(KdrtReading *r, const char *file, KdrtArray pair[2]) {
    const KdrtDatasetSpec *spec = r->spec;
    const KdrtCsv layout = {
        .columns = kdrt_shape_elements(spec->rank, spec->dim, sizeof(float)),
        .label = spec->label,
        .classes = spec->classes,
        .header = spec->header,
    };
    return set_path(r, file, strlen(file)) && kdrt_csv_read(r->path, &layout, pair, r->error);
}

/* Puts the samples of `more`, which goes, behind those of `to`. */
static bool append(KdrtReading *r, KdrtArray *to, KdrtArray *more) {
    size_t element = kdrt_dtype_bytes(to->dtype);
    size_t first = (size_t)kdrt_array_elements(to) * element;
    size_t second = (size_t)kdrt_array_elements(more) * element;
    bool same = to->rank == more->rank && to->dtype == more->dtype;
    for (int k = 1; same && k < to->rank; k++) same = to->dim[k] == more->dim[k];
    char *data = same ? kdrt_alloc(first + second) : NULL;
    if (data) {
        memcpy(data, to->data, first);
        memcpy(data + first, more->data, second);
        kdrt_free(to->data);
        to->data = data;
        to->dim[0] += more->dim[0];
    }
    kdrt_array_free(more);
    if (!same)
        return kdrt_fail(r->error, "%s: expected samples of the shape of the files before",
                         r->path);
    return data || kdrt_fail(r->error, "%s: no memory to add its samples", r->path);
}

/* SVHN's files, one behind the other. */
static bool read_svhn(KdrtReading *r, const char *files, KdrtArray pair[2]) {
    size_t length = strcspn(files, ",");
    if (!set_path(r, files, length) || !kdrt_svhn_read(r->path, pair, r->error)) return false;
    while (files[length]) {
        KdrtArray more[2];
        files += length + 1;
        length = strcspn(files, ",");
        if (!set_path(r, files, length) || !kdrt_svhn_read(r->path, more, r->error)) return false;
        bool images = append(r, &pair[0], &more[0]);
        if (!images) kdrt_array_free(&more[1]);
        if (!images || !append(r, &pair[1], &more[1])) return false;
    }
    return true;
}

/* Both from one file; false for a format that has two. */
static bool read_both(KdrtReading *r, const char *file, KdrtArray pair[2], bool *done) {
    const char *format = r->spec->format;
    bool cifar = !strcmp(format, "cifar"), csv = !strcmp(format, "csv");
    if (!cifar && !csv && strcmp(format, "svhn") != 0) return false;
    *done = cifar ? read_cifar(r, file, pair)
            : csv ? read_csv(r, file, pair)
                  : read_svhn(r, file, pair);
    memcpy(r->from[0], r->path, sizeof r->path);
    memcpy(r->from[1], r->path, sizeof r->path);
    return true;
}

bool kdrt_files_read(KdrtReading *r, const char *x_file, const char *y_file, KdrtArray pair[2]) {
    const char *format = r->spec->format;
    bool done = false;
    memset(pair, 0, 2 * sizeof *pair);
    if (read_both(r, x_file, pair, &done)) return done;
    if (strcmp(format, "idx") != 0 && strcmp(format, "npy") != 0) {
        return kdrt_fail(r->error, "%s: expected format idx, npy, cifar, csv or svhn, found %s",
                         r->spec->name, format);
    }
    if (!y_file) return kdrt_fail(r->error, "%s: no labels belong to %s", r->spec->name, x_file);
    if (!read_array(r, x_file, &pair[0])) return false;
    memcpy(r->from[0], r->path, sizeof r->path);
    done = read_array(r, y_file, &pair[1]);
    memcpy(r->from[1], r->path, sizeof r->path);
    return done;
}
