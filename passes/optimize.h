/* Shared by optimize*.c and schedule.c; private to passes/. */
#ifndef KD_PASSES_OPTIMIZE_H
#define KD_PASSES_OPTIMIZE_H

#include "passes/pass.h"

/* What an optimiser's rule works on: it replaces p, and its states in place. */
typedef struct KdUpdate {
    KdBuilder *b;
    const char *network;
    KdValue *p, *g;
    KdValue *batches; /* before this one: what schedules count */
    KdValue *step;    /* updates before this one: fewer, where gradients are accumulated */
    KdValue *lr;      /* a scalar, or a slab */
    KdValue *decay;   /* a slab where groups have their own, else NULL: the one hyperparameter */
    double default_decay; /* where nothing says which */
    KdValue *state[2];
} KdUpdate;

/* The learning rate of the step, from the base rate and the program's schedule keys; both f32
 * scalars, step an i32 scalar. NULL after an error. */
KdValue *kd_append_schedule(KdBuilder *b, KdValue *step, KdValue *lr);

/* The momentum of the step, of a program with momentum.steps > 0: from one f32 scalar to another by
 * equal steps (Sutskever et al. 2013 raise it so). */
KdValue *kd_append_momentum(KdBuilder *b, KdValue *step, KdValue *from, KdValue *to);

/* The parameter's part of the slab, in its shape; the slab begins at offset `base` of the
 * network's. */
KdValue *kd_slice_param(KdBuilder *b, KdValue *slab, const KdParam *p, int64_t base);

/* First of all: u->g divided by the hyperparameter loss_scale, if there is one. */
void kd_unscale_gradients(KdUpdate *u);

/* Before the rule: u->g clipped as the module's hyperparameters say; u->lr and u->decay as slabs,
 * where the program has groups of parameters (false after an error). */
void kd_clip_gradients(KdUpdate *u);
bool kd_append_groups(KdUpdate *u);

/* Behind the rule: weights no longer than the hyperparameter max_norm, if there is one. */
bool kd_limit_norms(KdUpdate *u);

/* Around all of it: gradients are added to `sum`, and what the update did counts at each `steps`-th
 * step alone. The end returns the new sum. */
typedef struct KdAccumulation {
    KdUpdate old;
    KdValue *total, *last;
} KdAccumulation;
void kd_begin_accumulation(KdUpdate *u, KdAccumulation *acc, int64_t steps, KdValue *sum);
KdValue *kd_end_accumulation(KdUpdate *u, const KdAccumulation *acc);

#endif
