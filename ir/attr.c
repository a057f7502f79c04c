/* Attributes: small lists in the order in which they were set, and their check against a row such
 * as "axis:int,fill:num?" of the op or the pass table. */
#include "ir/attrspec.h"
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

static bool kind_fits(KdAttrKind kind, KdAttrKind wanted) {
    return kind == wanted || (kind == KD_ATTR_INT && wanted == KD_ATTR_NUM);
}

static const char *kind_text(KdAttrKind kind) {
    switch (kind) {
    case KD_ATTR_INT: return "an integer";
    case KD_ATTR_NUM: return "a number";
    case KD_ATTR_STR: return "a string";
    case KD_ATTR_INTS: return "a list of integers";
    }
    return "an attribute";
}

static bool unknown_attr(const char *name, const char *row, const char *what, KdLoc loc,
                         KdDiag *d) {
    KdArena *a = kd_arena_create();
    const char *near = kd_attr_spec_nearest(row, name, a);
    kd_error(d, loc, "%s: unknown attribute '%s'%s%s%s", what, name, near ? ", did you mean '" : "",
             near ? near : "", near ? "'?" : "");
    kd_arena_destroy(a);
    return false;
}

bool kd_check_attr_list(const KdAttr *list, const char *row, const char *what, KdLoc loc,
                        KdDiag *d) {
    KdAttrSpec spec;
    for (const KdAttr *x = list; x; x = x->next) {
        if (!kd_attr_spec_find(row, x->name, &spec))
            return unknown_attr(x->name, row, what, loc, d);
        if (!kind_fits(x->kind, spec.kind)) {
            return kd_error(d, loc, "%s: attribute '%s' must be %s", what, x->name,
                            kind_text(spec.kind));
        }
    }
    while (kd_attr_spec_next(&row, &spec)) {
        if (spec.optional || kd_attr_find(list, spec.name)) continue;
        return kd_error(d, loc, "%s: attribute '%s' is missing", what, spec.name);
    }
    return true;
}

bool kd_check_attrs(const KdInstr *i, KdDiag *d) {
    const KdOpInfo *info = kd_op_info(i->op);
    return kd_check_attr_list(i->attrs, info->attrs, info->text, i->loc, d);
}
