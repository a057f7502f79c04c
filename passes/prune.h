/* Inside `prune`: the way of a layer's channels from the product that makes them to the one that
 * sums them up. */
#ifndef KD_PASSES_PRUNE_H
#define KD_PASSES_PRUNE_H

#include "ir/ir.h"

enum { KD_MAX_LINKS = 16 };

/* An instruction that treats each channel alone. The channels lie in dim `dim` of its result, each
 * in `block` elements one after the other. */
typedef struct KdLink {
    KdInstr *i;
    int dim;
    int64_t block;
    int chain; /* which operand they come by */
    KdValue
        *vector; /* the other operand: f32[channels], seen by a view; NULL: a constant, or none */
} KdLink;

typedef struct KdChain {
    KdInstr *product, *reader;
    int weights, reader_weights; /* which operand of each; parameters [out, in, …] */
    int dim;                     /* of the channels in product's result */
    int over;                    /* which of reader's summed iterators runs over them */
    int64_t channels, block;     /* as reader sees them */
    int n;
    KdLink link[KD_MAX_LINKS];
    bool constant; /* does a channel that is the same number everywhere stay so? */
} KdChain;

/* The channels of that product; `uses` by value id. False: they go somewhere else too, or something
 * mixes them. */
bool kd_chain_find(KdInstr *product, const int *uses, KdChain *c);

#endif
