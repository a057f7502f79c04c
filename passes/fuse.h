/*
 * Inside of the fuse pass: the function as a graph of nodes, and the nodes in groups.
 *
 * A node is an instruction. Cheap ones (leaves, views, casts of data) are COPIED into every kernel
 * that reads them and have no place in the graph of groups; aliases are KEPT between the kernels;
 * all others are CORE and end in exactly one kernel. What a node reads is seen through copied
 * nodes: a KdRead names the value that will be a kernel operand, or lie in the same kernel.
 */
#ifndef KD_PASSES_FUSE_H
#define KD_PASSES_FUSE_H

#include "ir/ir.h"

typedef enum KdNodeClass { KD_NODE_DEAD, KD_NODE_CORE, KD_NODE_COPIED, KD_NODE_KEPT } KdNodeClass;

typedef struct KdRead {
    KdValue *v;
    int from;           /* node that defines v; -1: an argument of the function */
    int moves;          /* movement ops on the way; 0: v is read at the reader's own index */
    const KdInstr *via; /* the movement op, where moves is 1 */
    bool plain;         /* all of them are broadcasts and gathers: a run stays a run */
} KdRead;

typedef struct KdNode {
    KdInstr *i;
    KdNodeClass class;
    bool needs_value; /* must be whole in memory */
    int depth;        /* copied nodes: of the copied nodes that they read, and so on */
    int nreads;
    KdRead *read;
    int nusers;
    int *user;   /* core and kept nodes that read this one */
    int after;   /* effects: the effect before this one; -1: none */
    int group;   /* core and kept nodes */
    bool spread; /* it, or what is computed of it element by element, is read for more elements */
} KdNode;

typedef enum KdKind {
    KD_KIND_NONE, /* not a kernel */
    KD_KIND_MAP,
    KD_KIND_REDUCE,
    KD_KIND_ROW,
    KD_KIND_NORM,
    KD_KIND_CONTRACT,
    KD_KIND_SINGLE
} KdKind;

typedef struct KdGroup {
    KdKind kind; /* NONE: a kept node */
    int n;
    int *member; /* nodes, ascending; n is 0 after the group was merged into another */
    int changed; /* the round of merging that made it, from 1; 0: a single node */
    bool emitted;
} KdGroup;

typedef struct KdFuse {
    KdFunc *f;
    KdDiag *d;
    KdArena *a; /* scratch */
    int nnodes;
    KdNode *node; /* in program order */
    int nvalues;  /* of f before kernels were made */
    int *node_of; /* by value id; -1: an argument */
    int ngroups;
    KdGroup *group;
    int *mark; /* by node: equals stamp when in the set looked at */
    int stamp;
    int *counted; /* by value id: equals count when it was counted already */
    int count;
} KdFuse;

/* fuse_prepare.c: calls inlined, reshapes moved to where kernels end. */
bool kd_fuse_inline(KdModule *m, KdDiag *d);
void kd_fuse_move_reshapes(KdFunc *f, KdDiag *d);

/* fuse_slabs.c: an update of whole slabs, by the parts of the gradients' one. */
void kd_fuse_split_slabs(KdFunc *f, KdDiag *d);

/* Is the value an argument or a slab, or a part of one? */
bool kd_fuse_in_memory(const KdValue *v);

/* Does each dim of the view read one iterator, in ascending order, or a constant? */
bool kd_view_is_broadcast(const KdInstr *view);

/* fuse_node.c: fills node, node_of. */
void kd_fuse_build_nodes(KdFuse *s);
int kd_fuse_node(const KdFuse *s, const KdValue *v);
static inline KdType kd_node_type(const KdNode *n) {
    return n->i->results[0]->type;
}

/* fuse_kind.c: what kernel the marked nodes make (`member`, ascending). */
KdKind kd_fuse_classify(const KdFuse *s, int n, const int *member);
void kd_fuse_mark(KdFuse *s, int n, const int *member);
bool kd_fuse_marked(const KdFuse *s, int node);
bool kd_fuse_escapes(const KdFuse *s, int node); /* is a marked node read outside of the set? */
const char *kd_kind_name(KdKind k);
/* Does a sample of that type stay in a part of a core's second-level cache, to be pooled there? */
bool kd_fuse_keeps_sample(const KdFunc *f, KdType t);

/* fuse_group.c: a group per node, then merged. */
void kd_fuse_single_groups(KdFuse *s);
void kd_fuse_merge_groups(KdFuse *s);
/* Bytes that a kernel of the marked members writes and reads. */
double kd_fuse_traffic(KdFuse *s, int n, const int *member);
/* What `n` groups save as one kernel; 0 when they make none. Its members come in *both. */
double kd_fuse_gain(KdFuse *s, int n, const int *groups, KdGroup *both);

/* fuse_remark.c: what was fused and what was not, for --remarks. */
void kd_fuse_remarks(KdFuse *s);

/* fuse_emit.c: replaces the nodes by kernels. */
void kd_fuse_emit(KdFuse *s);

#endif
