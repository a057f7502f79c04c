/*
 * Inference as one relocatable object that needs nothing but memcpy and memset: no runtime, no
 * threads, no allocation, no state. See emit_predict.c for the function it exports.
 */
#ifndef KD_BACKEND_PREDICT_H
#define KD_BACKEND_PREDICT_H

#include "ir/ir.h"

enum { KD_PREDICT_ABI = 3, KD_PREDICT_VARIANTS = 8 };

/* What SYMBOL_predict returns. */
enum {
    KD_PREDICT_OK = 0,
    KD_PREDICT_BAD_ARGUMENT = 1,
    KD_PREDICT_MISALIGNED = 2,
    KD_PREDICT_UNSUPPORTED_CPU = 3,
    KD_PREDICT_NOT_PACKED = 4
};

/* What its functions compute. */
enum { KD_PREDICT_LOGITS, KD_PREDICT_PROBABILITIES, KD_PREDICT_CLASSES, KD_PREDICT_OUTPUTS };

typedef struct KdPredict {
    const char *symbol;
    /* The network's function (x, its parameters) -> (logits), planned, for ascending bounds of the
     * batch: a block of rows runs in the first that holds it, or in the last. */
    int nvariants; /* 0: the object trains only, there is no SYMBOL_predict */
    const KdFunc *variant[KD_PREDICT_VARIANTS];
    /* How outputs follow from logits: functions of them, planned, of at least the last variant's
     * bound. NULL: not wanted, and for the logits themselves. */
    const KdFunc *of_logits[KD_PREDICT_OUTPUTS];
    const char *network;  /* whose slab the weights are: kd_slab_elements of them */
    const float *weights; /* a slab to embed, or NULL: the caller passes one, */
    bool packs;           /* which SYMBOL_pack has packed */
    /* Of a sample's shape: the network reads (x - mean) * rate, and the object exports both, as
     * SYMBOL_mean and SYMBOL_rate, with KDRT_SLACK behind them. NULL: it reads x. */
    const float *mean, *rate;
    int64_t inputs; /* elements of each */
    /* Machines of one family, the most able first: code for each, the first that runs is taken.
     * None: the module's target alone. */
    int nlevels;
    const KdTarget *level;
} KdPredict;

/* SYMBOL_predict, SYMBOL_probabilities, SYMBOL_classes, by output. */
char *kd_predict_name(const KdPredict *p, int output, KdArena *a);

/* SYMBOL_pack. */
char *kd_pack_name(const KdPredict *p, KdArena *a);

/* SYMBOL_mean, SYMBOL_rate. */
enum { KD_PREDICT_MEAN, KD_PREDICT_RATE, KD_PREDICT_STATISTICS };
char *kd_statistic_name(const KdPredict *p, int which, KdArena *a);

/* Is there a time before p (may be NULL) runs at which weights are packed? */
bool kd_predict_packs(const KdPredict *p);

/* Is f one of its functions (p may be NULL)? They run without a runtime, their tasks one after the
 * other. */
bool kd_predict_has(const KdPredict *p, const KdFunc *f);

/* Bytes that the caller's scratch must have, KDRT_ALIGN-aligned; kernels' bytes as
 * kd_object_scratch says. */
int64_t kd_predict_scratch(const KdPredict *p, int64_t kernel_bytes);

#endif
