/*
 * Training entries of an object: wrappers that hand a table of all there is to know of the network
 * to libkdrt, which calls the generated functions. See emit_entry.c and runtime/network.h.
 */
#ifndef KD_BACKEND_ENTRY_H
#define KD_BACKEND_ENTRY_H

#include "ir/ir.h"
#include "runtime/network.h"

enum { KD_ENTRY_PREDICT = 1, KD_ENTRY_STEP = 2, KD_ENTRY_EPOCH = 4, KD_ENTRY_EVALUATE = 8 };
enum { KD_TRAINER_ARRAYS = 8 };

typedef struct KdTrainer {
    const char *symbol;
    unsigned entries;                        /* KD_ENTRY_…; init, save and load are always there */
    const KdFunc *step, *evaluate, *teacher; /* planned; NULL: not wanted */
    int narrays; /* the data arrays, in the order of KdrtData; NULL: no function reads it */
    const KdValue *array[KD_TRAINER_ARRAYS];
    KdrtLayout layout; /* all but worker_bytes */
    int nbindings, nparameters, text_bytes;
    KdrtBinding *bindings;
    KdrtParameter *parameters;
    const char *text, *header;
    const float *hyper;
    const void *weights, *teacher_weights; /* to embed, or NULL */
} KdTrainer;

enum { KD_MAX_TRAINER_SYMBOLS = 16 };
/* The names that the object exports for training; returns how many. */
int kd_trainer_symbols(const KdTrainer *t, KdArena *a, const char *names[KD_MAX_TRAINER_SYMBOLS]);

#endif
