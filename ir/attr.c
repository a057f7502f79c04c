/* Attributes: small lists in the order in which they were set, and their check against a row such
 * as "axis:int,fill:num?" of the op or the pass table. */
#include "ir/infer.h"

#include <string.h>

const KdAttr *kd_attr_find(const KdAttr *list, const char *name) {
    while (list && strcmp(list->name, name) != 0) list = list->next;
    return list;
}

int64_t kd_attr_int(const KdAttr *list, const char *name, int64_t absent) {
    const KdAttr *x = kd_attr_find(list, name);
    return x && x->kind == KD_ATTR_INT ? x->i : absent;
}

double kd_attr_num(const KdAttr *list, const char *name, double absent) {
    const KdAttr *x = kd_attr_find(list, name);
    if (!x) return absent;
    return x->kind == KD_ATTR_NUM ? x->num : x->kind == KD_ATTR_INT ? (double)x->i : absent;
}

const char *kd_attr_str(const KdAttr *list, const char *name, const char *absent) {
    const KdAttr *x = kd_attr_find(list, name);
    return x && x->kind == KD_ATTR_STR ? x->str : absent;
}

/* The attribute of that name, emptied, or a new one at the end. */
static KdAttr *slot(KdArena *a, KdAttr **list, const char *name, KdAttrKind kind) {
    KdAttr **at = list;
    while (*at && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    KdAttr *x = *at;
    if (!x) {
        x = *at = KD_NEW(a, KdAttr);
        x->name = kd_arena_string(a, name);
    } else {
        *x = (KdAttr){ .name = x->name, .next = x->next };
    }
    x->kind = kind;
    return x;
}

void kd_attr_set_int(KdArena *a, KdAttr **list, const char *name, int64_t value) {
    slot(a, list, name, KD_ATTR_INT)->i = value;
}

void kd_attr_set_num(KdArena *a, KdAttr **list, const char *name, double value) {
    slot(a, list, name, KD_ATTR_NUM)->num = value;
}

void kd_attr_set_str(KdArena *a, KdAttr **list, const char *name, const char *value) {
    const char *copy = kd_arena_string(a, value); /* first: value may be the old attribute's */
    slot(a, list, name, KD_ATTR_STR)->str = copy;
}

void kd_attr_set_ints(KdArena *a, KdAttr **list, const char *name, int n, const int64_t *value) {
    const int64_t *copy = KD_COPY_ARRAY(a, value, n);
    KdAttr *x = slot(a, list, name, KD_ATTR_INTS);
    x->nints = n;
    x->ints = copy;
}

KdAttr *kd_attr_clone(KdArena *a, const KdAttr *list) {
    KdAttr *first = NULL, **end = &first;
    for (; list; list = list->next) {
        KdAttr *x = kd_arena_copy(a, list, sizeof *list);
        x->name = kd_arena_string(a, list->name);
        if (list->str) x->str = kd_arena_string(a, list->str);
        if (list->nints) x->ints = KD_COPY_ARRAY(a, list->ints, list->nints);
        x->next = NULL;
        *end = x;
        end = &x->next;
    }
    return first;
}

/* --- checking against a row ---------------------------------------------------------------- */

/* One entry of a row: "axis:int" or "fill:num?". */
typedef struct Entry {
    char name[32];
    char kind[8];
    bool optional;
} Entry;

enum { MOST_ENTRIES = 32 };

static int read_row(const char *row, Entry entry[MOST_ENTRIES]) {
    int n = 0;
    while (*row && n < MOST_ENTRIES) {
        Entry *e = &entry[n++];
        *e = (Entry){ 0 };
        size_t letters = strcspn(row, ":");
        if (letters >= sizeof e->name) kd_bug(NULL, "attribute row \"%s\" is too long", row);
        memcpy(e->name, row, letters);
        row += letters + (row[letters] == ':');
        letters = strcspn(row, "?,");
        if (letters >= sizeof e->kind) kd_bug(NULL, "attribute row \"%s\" is malformed", row);
        memcpy(e->kind, row, letters);
        row += letters;
        e->optional = *row == '?';
        row += strspn(row, "?, ");
    }
    return n;
}

static bool kind_fits(KdAttrKind kind, const char *wanted) {
    switch (kind) {
    case KD_ATTR_INT: return strcmp(wanted, "int") == 0 || strcmp(wanted, "num") == 0;
    case KD_ATTR_NUM: return strcmp(wanted, "num") == 0;
    case KD_ATTR_STR: return strcmp(wanted, "str") == 0;
    case KD_ATTR_INTS: return strcmp(wanted, "ints") == 0;
    }
    return false;
}

static const char *kind_text(const char *kind) {
    return !strcmp(kind, "int")   ? "an integer"
           : !strcmp(kind, "num") ? "a number"
           : !strcmp(kind, "str") ? "a string"
                                  : "a list of integers";
}

bool kd_check_attr_list(const KdAttr *list, const char *row, const char *what, KdLoc loc,
                        KdDiag *d) {
    Entry entry[MOST_ENTRIES];
    int n = read_row(row, entry);
    for (const KdAttr *x = list; x; x = x->next) {
        const char *names[MOST_ENTRIES];
        int at = 0;
        for (int k = 0; k < n; k++) names[k] = entry[k].name;
        while (at < n && strcmp(names[at], x->name) != 0) at++;
        if (at == n) {
            const char *near = kd_nearest(x->name, names, n);
            return kd_error(d, loc, "%s: unknown attribute '%s'%s%s%s", what, x->name,
                            near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
        if (!kind_fits(x->kind, entry[at].kind)) {
            return kd_error(d, loc, "%s: attribute '%s' must be %s", what, x->name,
                            kind_text(entry[at].kind));
        }
    }
    for (int k = 0; k < n; k++) {
        if (!entry[k].optional && !kd_attr_find(list, entry[k].name)) {
            return kd_error(d, loc, "%s: attribute '%s' is missing", what, entry[k].name);
        }
    }
    return true;
}

bool kd_check_attrs(const KdInstr *i, KdDiag *d) {
    const KdOpInfo *info = kd_op_info(i->op);
    return kd_check_attr_list(i->attrs, info->attrs, info->text, i->loc, d);
}
