/* Inside ship*.c: a network on its way into an object, and the header that says what became of it.
 */
#ifndef KD_FRONTEND_SHIP_HEADER_H
#define KD_FRONTEND_SHIP_HEADER_H

#include "backend/predict.h"
#include "frontend/ship.h"
#include "frontend/ship_train.h"

typedef struct KdShip {
    const KdRun *run;
    KdModule *m;
    const KdOptions *o;
    KdPredict predict;        /* no variants: predict is not wanted */
    KdTrainer *trainer;       /* NULL: nothing that trains or evaluates is wanted */
    KdShipData data;          /* read where something is to be learnt from them */
    KdType input, output;     /* of the network */
    int64_t weight_bytes;     /* of the block that predict reads, where it is the caller's */
    int64_t scratch, workers; /* bytes: predict's, and what each worker of the trainer needs */
    KdArena *arena;
    KdDiag *d;
} KdShip;

/* Does its network read samples that are not as the file has them? */
bool kd_ship_is_normalized(const KdShip *s);

void kd_ship_print_header(const KdShip *s, FILE *out);

#endif
