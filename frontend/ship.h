/* Shipping a trained network: an object file for inference and the C header that goes with it. */
#ifndef KD_FRONTEND_SHIP_H
#define KD_FRONTEND_SHIP_H

#include "frontend/options.h"
#include "frontend/script.h"
#include "frontend/ship_data.h"

/* Is this (or NULL) what --emit says to ship a network: obj, lib, shared or exe? */
bool kd_ships(const char *emit);

/* Writes o->output (FILE.o, .a or .so) and FILE.h beside it: SYMBOL_predict for the network that
 * the run trains, with o->weights embedded, if given; or a program that classifies images. Empties
 * the run's module of everything else. False after an error, and then neither file is new. */
bool kd_ship(KdRun *run, const KdOptions *o, KdArena *a, KdDiag *d);

/* ship_variants.c: the bounds of the batch to compile for, ascending; how many. */
int kd_ship_bounds(const KdOptions *o, int64_t *bounds);
/* How many of the n variants, planned, to keep: the first ones. */
int kd_ship_worthwhile(const KdOptions *o, int n, const KdFunc *const *variant);
/* Functions of logits as the network, a variant of it, returns them: softmax, f32[B,C], and the
 * first largest, i32[B]. As KdPredict has them. */
void kd_ship_outputs(KdModule *m, const KdFunc *network, const KdFunc **of_logits, KdDiag *d);

/* ship_header.c: the text in capitals, from a. */
const char *kd_c_upper(KdArena *a, const char *text);
/* A float constant of C: "0.5f", from a; INFINITY and NAN need math.h. */
const char *kd_c_float(double x, KdArena *a);
/* Names of C that were given, the last one first. */
typedef struct KdCName {
    const char *text;
    const struct KdCName *before;
} KdCName;
/* `wanted` with '_' for what no name of C has, and a number behind it where another one is that
 * already; from a. *given is NULL at first. */
const char *kd_c_unique(const KdCName **given, const char *wanted, KdArena *a);

/* Folds weights that are known into one another: leaves in m @network alone, with the parameters it
 * needs then, and returns their slab. NULL after an error. */
float *kd_fold_weights(KdModule *m, const char *network, float *slab, KdArena *a, KdDiag *d);

/* The same for units that these weights leave dead; *dead counts them. */
float *kd_prune_weights(KdModule *m, const char *network, float *slab, int *dead, KdArena *a,
                        KdDiag *d);

/* Stores the weights of the run's network, alone in its module and with that slab, as
 * o->weights_type says: the module's parameters change their types, and their new slab is returned.
 * Says on standard error what it costs by the validation samples, if there are any. NULL after an
 * error. */
float *kd_compress_weights(const KdRun *run, const float *slab, const KdOptions *o,
                           const KdShipData *samples, KdArena *a, KdDiag *d);

#endif
