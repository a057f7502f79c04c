/*
 * Students of one kind that train together, by one loop whose graph batch-students made of theirs.
 * Each has the bits that it has alone: they share seed, batches and teachers, and differ in
 * settings that only their losses read.
 */
#ifndef KD_FRONTEND_DRIVER_TOGETHER_H
#define KD_FRONTEND_DRIVER_TOGETHER_H

#include "frontend/driver/train.h"

#define KD_MOST_TOGETHER 16

typedef struct KdTogether {
    KdModule *m;
    KdCompiled *c;  /* of m */
    KdTraining all; /* what the loop works on: parameter by parameter, every student's numbers */
    int n;
    KdTraining **of;   /* [n] the students, which have their numbers while the loop stands still */
    bool *over;        /* [n] its training has ended: it keeps what it had then */
    float *settings;   /* what varies, as parameters of KD_SETTINGS */
    const float *loss; /* [n] of the last step */
    double *loss_sum;  /* [n] as in KdTraining */
    double seconds;    /* all.seconds and all.images as the students have heard of them */
    int64_t images;
} KdTogether;

/* Equal for runs that may train together, as far as their modules say: those of one graph, seed and
 * program, whatever their hyperparameters are. To be asked before any pass. */
uint64_t kd_run_kind(const KdRun *run);

/* Makes n >= 2 trainings of one kind, whose teachers are bound, train together from where they
 * stand, which is the same epoch and step. g->n is 0 where their graph has no such form. False
 * after an error. */
bool kd_together_create(KdTogether *g, KdTraining *const *of, int n, const KdDriveOptions *o,
                        KdEngine *engine, KdArena *a, KdDiag *d);
void kd_together_destroy(KdTogether *g);

/* Trains them until half of them are over, or a loss is not finite: kd_train goes on with those
 * that are not over (train.c). */
KdOutcome kd_train_together(KdTogether *g, KdOutput *out, KdrtProgress *progress,
                            const KdDriveOptions *o, KdDiag *d);

/* For train.c: the last step's losses, of so many samples, join the sums; students take their
 * numbers over; an epoch is over; are more than half of them at work? */
void kd_together_add_losses(KdTogether *g, int32_t samples);
void kd_together_take(KdTogether *g);
void kd_together_next_epoch(KdTogether *g);
bool kd_together_goes_on(KdTogether *g);

#endif
