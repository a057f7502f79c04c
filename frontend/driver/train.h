/* Training one compiled run: epochs, validation, early stopping, checkpoints. */
#ifndef KD_FRONTEND_DRIVER_TRAIN_H
#define KD_FRONTEND_DRIVER_TRAIN_H

#include "frontend/driver/output.h"
#include "frontend/driver/session.h"
#include "runtime/host/dataset.h"
#include "runtime/host/progress.h"

#define KD_MAX_STATES         4
#define KD_CHECKPOINT_SECONDS 300 /* between checkpoints within an epoch */

/* Everything that changes while a run trains: what a checkpoint holds, and memory around it. */
typedef struct KdTraining {
    const KdCompiled *c;
    const KdrtDataset *data;
    KdArena *arena;
    KdBindings bindings;
    int64_t elements; /* of a slab */
    float *params, *best;
    int nstates;
    float *states[KD_MAX_STATES]; /* the optimiser's slabs, in the order of @step's arguments */
    int32_t *order;
    int32_t epoch, step; /* epochs finished, steps done */
    int64_t done;        /* samples used in the epoch under way */
    double loss_sum;     /* over those samples */
    double final_loss;   /* mean of the last whole epoch */
    double best_error;   /* lowest validation error so far, 0 … 1; 2 before the first */
    int32_t best_epoch;
    double seconds; /* spent in training steps */
    int64_t images; /* samples trained on */
    bool resumed;   /* a checkpoint was looked for */
} KdTraining;

typedef enum KdOutcome { KD_FINISHED, KD_INTERRUPTED, KD_FAILED } KdOutcome;

/* Allocates parameters, initialised from the run's seed, and zeroed optimiser state. */
bool kd_training_create(KdTraining *t, const KdCompiled *c, const KdrtDataset *data, KdDiag *d);
void kd_training_destroy(KdTraining *t);

/* Trains to the last epoch, to the patience's end or to a signal; at the end t->params holds the
 * weights of the last step and t->best those that were best on validation. Checkpoints and weights
 * go to `out`. An error (a loss that is not finite, a full disk) was said when it is KD_FAILED. */
KdOutcome kd_train(KdTraining *t, KdOutput *out, KdrtProgress *progress, const KdDriveOptions *o,
                   KdDiag *d);

/* Has the last epoch been, by their number or by the run's patience? */
bool kd_training_is_over(const KdTraining *t);

/* Fraction of those rows of the data that `params` get wrong; NaN when there are none. The logits
 * [rows, classes] go to `logits` unless it is NULL. */
double kd_training_error(KdTraining *t, float *params, KdrtSplit rows, float *logits, KdDiag *d);

/* Are all parameters and running statistics finite? */
bool kd_training_is_finite(const KdTraining *t);

#endif
