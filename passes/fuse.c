/*
 * fuse: tensor level to kernel level. Every instruction that is not an alias ends in a kernel; the
 * kinds of kernels are those of ir/README.md.
 *
 * The order of work: calls are inlined, updates are split by parameter (fuse_slabs.c), reshapes
 * move to where kernels will end, the function becomes a graph of nodes (fuse_node.c), nodes are
 * grouped greedily by the memory traffic that a merge saves as long as the group stays a legal
 * kernel (fuse_kind.c, fuse_group.c), and groups become kernels (fuse_emit.c). No value changes:
 * operations and their order stay as they are.
 */
#include "passes/fuse.h"

#include "passes/pass.h"

static void fuse_func(KdFunc *f, bool merge, KdDiag *d) {
    KdArena *a = kd_arena_create();
    if (merge) kd_fuse_split_slabs(f, d);
    kd_fuse_move_reshapes(f, d);
    KdFuse s = { .f = f, .d = d, .a = a };
    kd_fuse_build_nodes(&s);
    kd_fuse_single_groups(&s);
    if (merge) kd_fuse_merge_groups(&s);
    kd_fuse_remarks(&s);
    kd_fuse_emit(&s);
    kd_arena_destroy(a);
}

bool kd_pass_fuse(KdModule *m, const KdAttr *options, KdDiag *d) {
    bool merge = kd_attr_int(options, "merge", 1) != 0;
    if (!kd_fuse_inline(m, d)) return false;
    KD_EACH_FUNC(f, m)
    fuse_func(f, merge, d);
    return true;
}
