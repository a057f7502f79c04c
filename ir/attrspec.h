/*
 * What attributes something takes, as a string: "axis:int,fill:num?" — name:kind with kind one of
 * int, num, str, ints; `?` marks an optional one. The op table and the pass table use it.
 */
#ifndef KD_IR_ATTRSPEC_H
#define KD_IR_ATTRSPEC_H

#include "ir/ir.h"

typedef struct KdAttrSpec {
    char name[32];
    KdAttrKind kind;
    bool optional;
} KdAttrSpec;

/* Takes the next entry off *spec; false at the end. */
bool kd_attr_spec_next(const char **spec, KdAttrSpec *out);
bool kd_attr_spec_find(const char *spec, const char *name, KdAttrSpec *out);
/* The name in `spec` nearest to `name`, in the pool, or NULL. */
const char *kd_attr_spec_nearest(const char *spec, const char *name, KdArena *a);

#endif
