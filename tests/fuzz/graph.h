/*
 * Random well-typed graphs: a module with a function @f(x, y, z, net.w, net.u, net.k, net.table,
 * index, row, epoch) -> (3 results), made from a seed by steps that each add an op or two; those
 * named net.… are parameters of a network. Every second graph is a loss with its gradients, every
 * eighth one with gradients of gradients.
 *
 * Values stay within about [-4, 4], since every op that could let them grow is followed by one that
 * does not, and no op jumps where a computed value rounds (choices depend on arguments alone).
 */
#ifndef KD_FUZZ_GRAPH_H
#define KD_FUZZ_GRAPH_H

#include "ir/ir.h"

enum { GRAPH_VALUES = 64, GRAPH_RESULTS = 3, GRAPH_ARGS = 10, GRAPH_TABLE_ROWS = 11 };

typedef struct Graph {
    uint64_t seed, state;
    KdDiag *diag;
    KdModule *m;
    KdFunc *f;
    KdBuilder b;
    int n, nargs;                 /* values to choose operands from, and how many are arguments */
    KdValue *value[GRAPH_VALUES]; /* f32 */
    KdValue *index, *row, *epoch; /* of the samples; rows of the table; a number */
    KdValue *u, *k, *table;       /* filters of one and of two dims, rows to gather */
    bool
        gradients; /* result 0 is a loss, the others its gradients by arguments wrt[0] and wrt[1] */
    int wrt[2];
    bool smooth; /* nothing is detached: differences must find the gradients */
    bool
        calls; /* there are functions that @f calls: passes behind fuse's inlining alone see into */
} Graph;

/* Makes the graph of that seed. False after an error, which is a fault of the graph's maker. */
bool graph_make(Graph *g, uint64_t seed, KdDiag *d);
void graph_destroy(Graph *g);

/* The sum of the means of @f's results, as a new value. */
KdValue *graph_loss(Graph *g, KdValue *const *results);

/* A number below n, and one of the values, later ones more often so that graphs are deep too. */
int64_t graph_pick(Graph *g, int64_t n);
KdValue *graph_any(Graph *g);
void graph_keep(Graph *g, KdValue *v);
/* x or a function of it that stays small. */
KdValue *graph_tame(Graph *g, KdValue *x, double scale);
/* The same of a sum of x. */
KdValue *graph_tame_sum(Graph *g, KdValue *sum, const KdValue *x);

/* Steps of growth; each adds a value or, where its operands do not suit, none. */
void graph_grow_movement(Graph *g);
void graph_grow_reshape(Graph *g);
void graph_grow_concat(Graph *g);
void graph_grow_gather(Graph *g);
void graph_grow_scatter(Graph *g);
void graph_grow_slab(Graph *g);
void graph_grow_matmul(Graph *g);
void graph_grow_convolution(Graph *g);
void graph_grow_contract(Graph *g);

#endif
