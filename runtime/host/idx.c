/*
 * IDX, the format of MNIST's files: two zero bytes, a type, a rank, big-endian u32 extents, then
 * the elements in row-major order. zlib reads plain files as they are and gzipped ones unpacked,
 * and verifies the checksum of the latter at their end.
 */
#include "runtime/host/array.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define IDX_U8  0x08
#define IDX_I32 0x0C
#define IDX_F32 0x0D

typedef struct IdxFile {
    gzFile stream;
    const char *path;
    KdrtError *error;
} IdxFile;

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Exactly `bytes`, or an error that says at which byte of `what` the file ended. */
static bool read_exactly(IdxFile *f, void *to, size_t bytes, const char *what) {
    size_t got = 0;
    while (got < bytes) {
        size_t left = bytes - got;
        unsigned chunk = left < 1u << 30 ? (unsigned)left : 1u << 30;
        int n = gzread(f->stream, (unsigned char *)to + got, chunk);
        if (n < 0) break;
        got += (size_t)n;
        if (n == 0) break;
    }
    int code;
    const char *reason = gzerror(f->stream, &code);
    if (code != Z_OK && code != Z_STREAM_END) {
        return kdrt_fail(f->error, "%s: damaged gzip data in the %s: %s", f->path, what,
                         code == Z_ERRNO ? strerror(errno) : reason);
    }
    if (got < bytes) {
        return kdrt_fail(f->error, "%s: expected %zu bytes of %s, found %zu", f->path, bytes, what,
                         got);
    }
    return true;
}

static bool read_header(IdxFile *f, KdrtArray *array) {
    unsigned char magic[4] = { 0 }, extents[4 * KDRT_MAX_RANK] = { 0 };
    if (!read_exactly(f, magic, sizeof magic, "IDX header")) return false;
    int type = magic[2], rank = magic[3];
    bool known = type == IDX_U8 || type == IDX_I32 || type == IDX_F32;
    if (magic[0] || magic[1] || !known || rank < 1 || rank > KDRT_MAX_RANK) {
        return kdrt_fail(f->error,
                         "%s: expected an IDX file (magic 0x00000801 for labels, 0x00000803 for "
                         "images), found magic 0x%08x%s",
                         f->path, big_endian(magic),
                         magic[0] == '<' ? ": text that begins with '<', such as a web page" : "");
    }
    array->dtype = type == IDX_U8 ? KDRT_U8 : type == IDX_I32 ? KDRT_I32 : KDRT_F32;
    array->rank = rank;
    if (!read_exactly(f, extents, 4 * (size_t)rank, "IDX extents")) return false;
    for (int k = 0; k < rank; k++) array->dim[k] = big_endian(extents + (size_t)4 * (size_t)k);
    return true;
}

/* Could the file hold that many? A shape may lie, and its memory is taken before its elements are
 * read: deflate makes at most 1032 bytes of one. */
static bool check_room(const IdxFile *f, const KdrtArray *array, size_t bytes) {
    struct stat status = { 0 };
    char shape[KDRT_SHAPE_TEXT];
    if (stat(f->path, &status) == 0 && bytes / 1032 <= (size_t)status.st_size) return true;
    return kdrt_fail(f->error, "%s: its shape %s takes %zu bytes, too many for a file of %zu",
                     f->path, kdrt_shape_text(array->rank, array->dim, shape), bytes,
                     (size_t)status.st_size);
}

static bool read_elements(IdxFile *f, KdrtArray *array) {
    char shape[KDRT_SHAPE_TEXT];
    int64_t count = kdrt_array_elements(array);
    size_t width = kdrt_dtype_bytes(array->dtype);
    if (count < 0) {
        return kdrt_fail(f->error, "%s: its shape %s is too large", f->path,
                         kdrt_shape_text(array->rank, array->dim, shape));
    }
    size_t bytes = (size_t)count * width;
    if (!check_room(f, array, bytes)) return false;
    array->data = kdrt_alloc(bytes);
    if (!array->data) {
        return kdrt_fail(f->error, "%s: no memory for %zu bytes of shape %s", f->path, bytes,
                         kdrt_shape_text(array->rank, array->dim, shape));
    }
    if (!read_exactly(f, array->data, bytes, "elements")) return false;
    if (width == 4) {
        unsigned char *p = array->data;
        for (int64_t k = 0; k < count; k++, p += 4) {
            uint32_t word = big_endian(p);
            memcpy(p, &word, 4);
        }
    }
    unsigned char extra;
    int n = gzread(f->stream, &extra, 1);
    if (n > 0) {
        return kdrt_fail(f->error, "%s: expected %zu bytes of elements for shape %s, found more",
                         f->path, bytes, kdrt_shape_text(array->rank, array->dim, shape));
    }
    return n == 0 || read_exactly(f, &extra, 1, "end"); /* n < 0: says why */
}

bool kdrt_idx_read(const char *path, KdrtArray *array, KdrtError *error) {
    memset(array, 0, sizeof *array);
    errno = 0;
    IdxFile f = { gzopen(path, "rb"), path, error };
    if (!f.stream) {
        return kdrt_fail(error, "%s: cannot open: %s", path, errno ? strerror(errno) : "no memory");
    }
    gzbuffer(f.stream, 1u << 18);
    bool done = read_header(&f, array) && read_elements(&f, array);
    int closed = gzclose_r(f.stream);
    if (done && closed != Z_OK) {
        /* Z_BUF_ERROR: the file ends inside its gzip trailer */
        done = kdrt_fail(error, "%s: the gzip data end early or their checksum is wrong", path);
    }
    if (!done) kdrt_array_free(array);
    return done;
}
