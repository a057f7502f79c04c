/*
 * Attribute specs: one walk over "name:kind?,…", and what is asked of it. Specs are written by us
 * in .def tables, so a malformed one is a bug, not an error.
 */
#include "ir/attrspec.h"

#include <string.h>

static const char *const kind_names[] = { "int", "num", "str", "ints" };

bool kd_attr_spec_next(const char **spec, KdAttrSpec *out) {
    const char *s = *spec;
    if (!s || !*s) return false;
    size_t length = strcspn(s, ",");
    const char *colon = memchr(s, ':', length);
    if (!colon || (size_t)(colon - s) >= sizeof out->name) kd_bug(NULL, "attribute spec '%s'", s);
    *out = (KdAttrSpec){ .optional = s[length - 1] == '?' };
    memcpy(out->name, s, (size_t)(colon - s));
    size_t kind_length = length - (size_t)(colon + 1 - s) - (out->optional ? 1 : 0);
    bool known = false;
    for (int k = 0; k < 4 && !known; k++) {
        known = strlen(kind_names[k]) == kind_length &&
                memcmp(kind_names[k], colon + 1, kind_length) == 0;
        out->kind = (KdAttrKind)k;
    }
    if (!known) kd_bug(NULL, "attribute spec '%s'", s);
    *spec = s + length + (s[length] == ',' ? 1 : 0);
    return true;
}

bool kd_attr_spec_find(const char *spec, const char *name, KdAttrSpec *out) {
    while (kd_attr_spec_next(&spec, out)) {
        if (strcmp(out->name, name) == 0) return true;
    }
    return false;
}

const char *kd_attr_spec_nearest(const char *spec, const char *name, KdArena *a) {
    enum { MAX_NAMES = 64 };
    const char *names[MAX_NAMES];
    int n = 0;
    KdAttrSpec s;
    while (n < MAX_NAMES && kd_attr_spec_next(&spec, &s)) names[n++] = kd_arena_string(a, s.name);
    return kd_nearest(name, names, n);
}
