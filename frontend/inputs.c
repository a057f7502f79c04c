/*
 * Arguments for `kdc run`: read from .npy files, or filled by a pattern that needs no explanation
 * to be repeated elsewhere. Random numbers would hide what a golden's values come from.
 */
#include "frontend/inputs.h"
#include "frontend/outfile.h"

#include "ir/half.h"

#include "runtime/host/array.h"
#include "runtime/kdrt.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const KdLoc nowhere = { NULL, 0 };

KdBlock kd_block_create(KdType t, int64_t n, int64_t rows, KdDiag *d) {
    KdBlock b = { .type = t, .n = n, .rows = rows, .count = kd_type_elements(t, n, rows) };
    b.data = kdrt_alloc((size_t)b.count * kd_dtype_size(t.dtype));
    if (!b.data) {
        char text[KD_TYPE_TEXT];
        kd_error(d, nowhere, "no memory for %s", kd_type_text(t, text));
    }
    return b;
}

void kd_block_free(KdBlock *b) {
    kdrt_free(b->data);
    b->data = NULL;
}

double kd_block_get(const KdBlock *b, int64_t k) {
    switch (b->type.dtype) {
    case KD_F32: return (double)((const float *)b->data)[k];
    case KD_I32: return (double)((const int32_t *)b->data)[k];
    case KD_U8:
    case KD_BOOL: return (double)((const uint8_t *)b->data)[k];
    case KD_I8: return (double)((const int8_t *)b->data)[k];
    case KD_F16: return kd_half_value(((const uint16_t *)b->data)[k]);
    case KD_NUM_DTYPES: break;
    }
    return 0;
}

static void put(KdBlock *b, int64_t k, int64_t value) {
    switch (b->type.dtype) {
    case KD_F32: ((float *)b->data)[k] = (float)(value % 17 - 8) / 8; return;
    case KD_I32: ((int32_t *)b->data)[k] = (int32_t)value; return;
    case KD_U8: ((uint8_t *)b->data)[k] = (uint8_t)(value % 256); return;
    case KD_BOOL: ((uint8_t *)b->data)[k] = (uint8_t)(value % 2); return;
    case KD_I8: ((int8_t *)b->data)[k] = (int8_t)(value % 17 - 8); return;
    case KD_F16: ((uint16_t *)b->data)[k] = kd_half_from((double)(value % 17 - 8) / 8); return;
    case KD_NUM_DTYPES: return;
    }
}

static bool is_kind(const KdValue *v, const char *kind) {
    return v->kind && strcmp(v->kind, kind) == 0;
}

/* The gaps between the parameters of a slab hold zeros. */
static void clear_gaps(KdBlock *b, const KdValue *v) {
    const KdModule *m = v->func->module;
    const char *network = kd_attr_str(m->program, "trained", NULL);
    if (!is_kind(v, KD_ARG_SLAB) || !network) return;
    int64_t trained = kd_slab_trained(m, network), end = 0;
    bool running = b->count == kd_slab_elements(m, network) - trained;
    if (!running && b->count != trained) return;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        if (p->running != running || strcmp(p->network, network) != 0) continue;
        int64_t from = kd_slab_offset(m, p) - (running ? trained : 0);
        memset((float *)b->data + end, 0, (size_t)(from - end) * sizeof(float));
        end = from + kd_type_elements(p->type, 1, 1);
    }
    memset((float *)b->data + end, 0, (size_t)(b->count - end) * sizeof(float));
}

/* Element k of argument number a, as `kdc run --help` says. */
static void fill(KdBlock *b, const KdValue *v, int64_t rows) {
    bool counter = is_kind(v, KD_ARG_EPOCH) || is_kind(v, KD_ARG_STEP);
    bool number =
        v->type.dtype == KD_F32 || v->type.dtype == KD_U8 || kd_dtype_is_stored(v->type.dtype);
    for (int64_t k = 0; k < b->count; k++) {
        int64_t value = number                     ? 7 * k + (int64_t)3 * v->index
                        : counter                  ? 0
                        : is_kind(v, KD_ARG_INDEX) ? k % rows
                        : v->type.dtype == KD_I32  ? k % 3
                                                   : k;
        put(b, k, value);
    }
    clear_gaps(b, v);
}

/* Does the file's array fit the argument? An extent N takes what the file has. */
static bool fits(const KdrtArray *x, KdType t, int64_t n) {
    static const KdDtype dtypes[] = { [KDRT_F32] = KD_F32, [KDRT_I32] = KD_I32, [KDRT_U8] = KD_U8 };
    bool bytes = x->dtype == KDRT_U8 && t.dtype == KD_BOOL;
    if (x->rank != t.rank || (dtypes[x->dtype] != t.dtype && !bytes)) return false;
    for (int k = 0; k < t.rank; k++) {
        int64_t wanted = t.dim[k] == KD_BATCH ? n : t.dim[k] == KD_ROWS ? x->dim[k] : t.dim[k];
        if (x->dim[k] != wanted || wanted < 1) return false;
    }
    return true;
}

static bool read_file(KdBlock *b, const KdValue *v, const char *path, int64_t n, KdDiag *d) {
    KdrtArray x;
    KdrtError error;
    if (!kdrt_npy_read(path, &x, &error)) return kd_file_error(d, path, &error);
    char wanted[KD_TYPE_TEXT], found[KDRT_SHAPE_TEXT];
    if (!fits(&x, v->type, n)) {
        kd_error(d, (KdLoc){ path, 0 }, "argument %%%s is %s with B = %" PRId64 ", found %s%s",
                 v->name, kd_type_text(v->type, wanted), n, kdrt_dtype_text(x.dtype),
                 kdrt_shape_text(x.rank, x.dim, found));
        kdrt_array_free(&x);
        return false;
    }
    *b = kd_block_create(v->type, n, x.rank ? x.dim[0] : 0, d);
    if (b->data) memcpy(b->data, x.data, (size_t)b->count * kd_dtype_size(v->type.dtype));
    for (int64_t k = 0; b->data && v->type.dtype == KD_BOOL && k < b->count; k++) {
        uint8_t *bytes = b->data;
        bytes[k] = bytes[k] != 0;
    }
    kdrt_array_free(&x);
    return b->data != NULL;
}

/* The path given for v, or NULL. */
static const char *path_of(const KdValue *v, int ninputs, const char *const *inputs) {
    size_t letters = strlen(v->name);
    for (int k = 0; k < ninputs; k++) {
        if (strncmp(inputs[k], v->name, letters) == 0 && inputs[k][letters] == '=') {
            return inputs[k] + letters + 1;
        }
    }
    return NULL;
}

static bool check_names(const KdFunc *f, int ninputs, const char *const *inputs, KdArena *a,
                        KdDiag *d) {
    const char **names = KD_NEW_ARRAY(a, const char *, f->nargs);
    for (int k = 0; k < f->nargs; k++) names[k] = f->args[k]->name;
    for (int k = 0; k < ninputs; k++) {
        size_t letters = strcspn(inputs[k], "=");
        const char *name = kd_arena_format(a, "%.*s", (int)letters, inputs[k]);
        if (kd_func_arg(f, name)) continue;
        const char *near = kd_nearest(name, names, f->nargs);
        return kd_error(d, nowhere, "@%s has no argument %%%s%s%s%s", f->name, name,
                        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return true;
}

KdBlock *kd_inputs_read(const KdFunc *f, int64_t n, int ninputs, const char *const *inputs,
                        KdArena *a, KdDiag *d) {
    KdBlock *blocks = KD_NEW_ARRAY(a, KdBlock, f->nargs + 1);
    int64_t rows = 2 * n;
    bool good = check_names(f, ninputs, inputs, a, d);
    for (int k = 0; k < f->nargs && good; k++) {
        const char *path = path_of(f->args[k], ninputs, inputs);
        if (!path) continue;
        good = read_file(&blocks[k], f->args[k], path, n, d);
        if (good && kd_type_has(f->args[k]->type, KD_ROWS) && blocks[k].rows < rows) {
            rows = blocks[k].rows; /* indices stay within the smallest array */
        }
    }
    for (int k = 0; k < f->nargs && good; k++) {
        if (blocks[k].data) continue;
        blocks[k] = kd_block_create(f->args[k]->type, n, rows, d);
        good = blocks[k].data != NULL;
        if (good) fill(&blocks[k], f->args[k], rows);
    }
    if (good) return blocks;
    for (int k = 0; k < f->nargs; k++) kd_block_free(&blocks[k]);
    return NULL;
}

/* --- indices --------------------------------------------------------------------------------- */

/* The argument of the function around all kernels whose elements v has, or NULL. */
static const KdValue *argument_behind(const KdValue *v) {
    for (;;) {
        const KdInstr *i = v->def ? v->def : v->func->owner;
        if (!i) return v;
        if (!v->def)
            v = i->args[v->index];
        else if (i->op == KD_OP_KERNEL)
            v = i->body->results[v->index];
        else if (i->op == KD_OP_RESHAPE)
            v = i->args[0];
        else
            return NULL;
    }
}

/* How many rows there are for the index of a gather or a scatter_add. */
static int64_t rows_below(const KdInstr *i, const KdBlock *args) {
    const KdValue *table = i->op == KD_OP_GATHER ? i->args[0] : i->results[0];
    const KdValue *data = argument_behind(table);
    int64_t rows = table->type.dim[0];
    if (rows >= 0) return rows;
    return !data ? INT64_MAX : rows == KD_ROWS ? args[data->index].rows : args[data->index].n;
}

bool kd_inputs_check_rows(const KdFunc *f, const KdBlock *args, KdDiag *d) {
    KD_EACH_INSTR(i, f) {
        if (i->body && !kd_inputs_check_rows(i->body, args, d)) return false;
        if (i->op != KD_OP_GATHER && i->op != KD_OP_SCATTER_ADD) continue;
        const KdValue *index = argument_behind(i->args[1]);
        int64_t rows = rows_below(i, args);
        for (int64_t k = 0; index && k < args[index->index].count; k++) {
            int64_t row = ((const int32_t *)args[index->index].data)[k];
            if (row < 0 || row >= rows)
                return kd_error(d, i->loc,
                                "%s: index %" PRId64 " is %" PRId64 ", out of the %" PRId64 " rows",
                                kd_op_text(i->op), k, row, rows);
        }
    }
    return true;
}

/* --- blocks ---------------------------------------------------------------------------------- */

KdTensor kd_block_tensor(const KdBlock *b, KdArena *a) {
    KdTensor t = kd_tensor_create(a, b->type, b->n, b->rows);
    for (int64_t k = 0; k < b->count; k++) t.data[k] = kd_block_get(b, k);
    return t;
}

void kd_block_print(const KdBlock *b, const char *name, FILE *out) {
    enum { MOST = 4096 };
    char text[KD_TYPE_TEXT];
    fprintf(out, "%%%s: %s", name, kd_type_text(b->type, text));
    if (kd_type_has(b->type, KD_BATCH)) fprintf(out, ", B = %" PRId64, b->n);
    int last = b->type.rank - 1;
    int64_t row = b->type.rank < 2                ? b->count
                  : b->type.dim[last] == KD_BATCH ? b->n
                                                  : b->type.dim[last];
    for (int64_t k = 0; k < b->count && k < MOST; k++) {
        double x = kd_block_get(b, k); /* a NaN's sign says nothing; a zero's no more */
        int digits = b->type.dtype == KD_I32 ? 10 : 6;
        fprintf(out, "%s%.*g", k % row == 0 ? "\n  " : " ", digits,
                isnan(x) ? (double)NAN : x + 0.0);
    }
    if (b->count > MOST) fprintf(out, "\n  … %" PRId64 " more", b->count - MOST);
    fputc('\n', out);
}
