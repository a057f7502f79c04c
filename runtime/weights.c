/*
 * The weights of a shipped network as the bytes of a safetensors file. Written ones begin with a
 * header that kdc made; one that is read may have its tensors in any order. It is scanned once for
 * its form, and once for each parameter: no memory is needed.
 *
 *   u64 length | {"NAME":{"dtype":"F32","shape":[10,784],"data_offsets":[0,31360]}, …} | data
 */
#include "runtime/network.h"

#include <stdbool.h>
#include <string.h>

#define COUNTER ".num_batches_tracked" /* PyTorch counts the steps of a batch norm */

/* --- JSON, as much as there is of it here ---------------------------------------------------- */

typedef struct Text {
    const char *at, *end;
} Text;

static void skip_blanks(Text *t) {
    while (t->at < t->end && strchr(" \t\r\n", *t->at) && *t->at) t->at++;
}

/* Passes over blanks and that character. */
static bool take(Text *t, char c) {
    skip_blanks(t);
    if (t->at == t->end || *t->at != c) return false;
    t->at++;
    return true;
}

/* A string's characters as they stand: no name of ours has an escape. */
static bool take_string(Text *t, Text *string) {
    *string = (Text){ NULL, NULL };
    if (!take(t, '"')) return false;
    string->at = t->at;
    for (; t->at < t->end && *t->at != '"'; t->at++) {
        if (*t->at != '\\') continue;
        t->at++;
        if (t->at == t->end) return false;
    }
    string->end = t->at;
    return take(t, '"');
}

static bool is(const Text *string, const char *name) {
    size_t n = (size_t)(string->end - string->at);
    return strlen(name) == n && memcmp(string->at, name, n) == 0;
}

static bool ends_with(const Text *string, const char *end) {
    size_t n = strlen(end);
    return (size_t)(string->end - string->at) > n && memcmp(string->end - n, end, n) == 0;
}

static bool take_number(Text *t, int64_t *x) {
    skip_blanks(t);
    const char *start = t->at;
    for (*x = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
        if (*x > INT64_MAX / 16) return false;
        *x = 10 * *x + (*t->at - '0');
    }
    return t->at > start;
}

/* [1, 2]: how many, or -1. */
static int take_numbers(Text *t, int64_t *x, int most) {
    int n = 0;
    if (!take(t, '[')) return -1;
    if (take(t, ']')) return 0;
    do {
        if (n == most || !take_number(t, &x[n])) return -1;
        n++;
    } while (take(t, ','));
    return take(t, ']') ? n : -1;
}

/* An object of strings. */
static bool take_metadata(Text *t) {
    Text key, value;
    if (!take(t, '{')) return false;
    if (take(t, '}')) return true;
    do {
        if (!take_string(t, &key) || !take(t, ':') || !take_string(t, &value)) return false;
    } while (take(t, ','));
    return take(t, '}');
}

/* --- the header ------------------------------------------------------------------------------ */

typedef struct Entry {
    Text name, dtype;
    int rank;
    int64_t dim[KDRT_PARAMETER_RANK], place[2];
} Entry;

static bool take_entry(Text *t, Entry *e) {
    Text key;
    e->rank = -1;
    e->place[1] = -1;
    e->dtype = (Text){ NULL, NULL };
    if (!take(t, '{')) return false;
    do {
        if (!take_string(t, &key) || !take(t, ':')) return false;
        if (is(&key, "dtype")) {
            if (e->dtype.at || !take_string(t, &e->dtype)) return false;
        } else if (is(&key, "shape")) {
            if (e->rank >= 0) return false;
            e->rank = take_numbers(t, e->dim, KDRT_PARAMETER_RANK);
            if (e->rank < 0) return false;
        } else if (!is(&key, "data_offsets") || e->place[1] >= 0 ||
                   take_numbers(t, e->place, 2) != 2) {
            return false;
        }
    } while (take(t, ','));
    return take(t, '}') && e->dtype.at && e->rank >= 0 && e->place[1] >= 0;
}

/* Looks at every tensor but counters: how many there are, or -1 where this is no header. The one
 * called `name` is left in *found, whose rank is -1 where there is none. */
static int scan(Text t, const char *name, Entry *found) {
    int n = 0;
    *found = (Entry){ .rank = -1 };
    if (!take(&t, '{')) return -1;
    if (take(&t, '}')) return 0;
    do {
        Entry e;
        if (!take_string(&t, &e.name) || !take(&t, ':')) return -1;
        if (is(&e.name, "__metadata__")) {
            if (!take_metadata(&t)) return -1;
            continue;
        }
        if (!take_entry(&t, &e)) return -1;
        if (e.rank == 0 && ends_with(&e.name, COUNTER)) continue;
        if (is(&e.name, name)) *found = e;
        n++;
    } while (take(&t, ','));
    if (!take(&t, '}')) return -1;
    skip_blanks(&t);
    return t.at == t.end ? n : -1;
}

/* A file in memory. */
typedef struct File {
    Text header;
    const char *data;
    int64_t bytes; /* of data */
} File;

static bool open_file(File *f, const void *bytes, size_t size) {
    const unsigned char *b = bytes;
    uint64_t length = 0;
    if (size < 8) return false;
    for (int k = 7; k >= 0; k--) length = length << 8 | b[k];
    if (length > size - 8) return false;
    f->header = (Text){ (const char *)bytes + 8, (const char *)bytes + 8 + length };
    f->data = f->header.end;
    f->bytes = (int64_t)(size - 8 - length);
    return true;
}

/* Where the parameter's values begin in the data, or -1 where it is not there as it should be. */
static int64_t find(const File *f, const KdrtNetwork *net, const KdrtParameter *p) {
    Entry e;
    if (scan(f->header, net->text + p->name, &e) < 0 || e.rank != p->rank || !is(&e.dtype, "F32") ||
        memcmp(e.dim, p->dim, (size_t)p->rank * sizeof *e.dim) != 0)
        return -1;
    int64_t bytes = p->elements * (int64_t)sizeof(float);
    bool fits = e.place[0] <= e.place[1] && e.place[1] <= f->bytes;
    return fits && e.place[1] - e.place[0] == bytes ? e.place[0] : -1;
}

/* All n parameters, and nothing else, into `memory`; nothing is written unless all are right. */
static int32_t load(const KdrtNetwork *net, const KdrtParameter *p, int n, char *memory,
                    const void *bytes, size_t size) {
    File f;
    Entry none;
    int wanted = 0;
    if (!bytes) return KDRT_BAD_ARGUMENT;
    if (!open_file(&f, bytes, size)) return KDRT_BAD_WEIGHTS;
    for (int k = 0; k < n; k++) {
        if (p[k].elements == 0) continue;
        wanted++;
        if (find(&f, net, &p[k]) < 0) return KDRT_BAD_WEIGHTS;
    }
    if (scan(f.header, "", &none) != wanted) return KDRT_BAD_WEIGHTS;
    for (int k = 0; k < n; k++) {
        if (p[k].elements == 0) continue;
        memcpy(memory + p[k].offset, f.data + find(&f, net, &p[k]),
               (size_t)p[k].elements * sizeof(float));
    }
    return KDRT_OK;
}

/* --- entries --------------------------------------------------------------------------------- */

int32_t kdrt_network_save(const KdrtNetwork *net, const void *state, void *bytes) {
    int32_t status = kdrt_network_check(net, state);
    if (status != KDRT_OK || !bytes) return status != KDRT_OK ? status : KDRT_BAD_ARGUMENT;
    char *data = (char *)bytes + net->layout->saved_header;
    const int64_t steps = ((const KdrtState *)state)->step;
    memcpy(bytes, net->header, (size_t)net->layout->saved_header);
    for (int k = 0; k < net->layout->nparameters; k++) {
        const KdrtParameter *p = &net->parameters[k];
        if (p->elements)
            memcpy(data + p->saved, (const char *)state + p->offset,
                   (size_t)p->elements * sizeof(float));
        else
            memcpy(data + p->saved, &steps, sizeof steps);
    }
    return KDRT_OK;
}

int32_t kdrt_network_load(const KdrtNetwork *net, void *state, const void *bytes, size_t size) {
    int32_t status = kdrt_network_check(net, state);
    if (status != KDRT_OK) return status;
    return load(net, net->parameters, net->layout->nparameters, state, bytes, size);
}

int32_t kdrt_network_load_teacher(const KdrtNetwork *net, void *teacher, int32_t number,
                                  const void *bytes, size_t size) {
    int32_t status = kdrt_network_known(net);
    if (status != KDRT_OK) return status;
    if (!teacher || number < 0) return KDRT_BAD_ARGUMENT;
    const KdrtParameter *p = net->parameters + net->layout->nparameters;
    int first = 0, n = net->layout->nteachers;
    for (int k = 0; k < n; number--) { /* each teacher's parameters lie together */
        for (first = k; k < n && p[k].network == p[first].network; k++) continue;
        if (number == 0) return load(net, p + first, k - first, teacher, bytes, size);
    }
    return KDRT_BAD_ARGUMENT;
}
