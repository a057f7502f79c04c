/*
 * Between libkdrt and the training entries that kdc emits. An object holds one constant KdrtNetwork
 * that says all there is to know of its network; NAME_step and the others hand it to the function
 * here that does the work. Everything but pointers has the same size and place on each machine.
 */
#ifndef KDRT_NETWORK_H
#define KDRT_NETWORK_H

#include "runtime/kdrt.h"

enum { KDRT_PARAMETER_RANK = 8 };

/* What an argument of a generated function is. */
typedef enum KdrtArgument {
    KDRT_ARG_DATA,   /* array `number` of the caller's data */
    KDRT_ARG_INDEX,  /* the rows of the batch */
    KDRT_ARG_EPOCH,  /* counters */
    KDRT_ARG_STEP,   /* */
    KDRT_ARG_STATE,  /* at `offset` bytes in the state */
    KDRT_ARG_TEACHER /* at `offset` bytes in the teachers' weights */
} KdrtArgument;

typedef struct KdrtBinding {
    int64_t offset;
    int32_t kind, number;
} KdrtBinding;

/* A parameter, of the network that is trained or of a teacher. */
typedef struct KdrtParameter {
    int64_t offset;          /* bytes: in the state, or in the teachers' weights */
    int64_t saved;           /* bytes: in the data of the file that NAME_save makes */
    int64_t elements;        /* 0: no parameter, but the number of steps as an I64 of that file */
    int64_t fan_in, fan_out; /* as in init.h, and so on: */
    double value;
    int32_t kind, name, network; /* offsets in the text */
    int32_t rank;
    int64_t dim[KDRT_PARAMETER_RANK];
} KdrtParameter;

/* A generated function's arguments: bindings first … first + nargs - 1. */
typedef struct KdrtSignature {
    int32_t first, nargs, nresults, unused;
} KdrtSignature;

/* Of what this header says; an object that has another one is refused. */
enum { KDRT_NETWORK_VERSION = 3 };

typedef struct KdrtLayout {
    uint64_t check;                             /* of KdrtState */
    int32_t version;                            /* KDRT_NETWORK_VERSION */
    int32_t teacher_width;                      /* floats of a row of the array `logits` */
    int64_t state_bytes, weights, weight_bytes; /* the weights' place in the state */
    int64_t teacher_bytes;
    int64_t arena_bytes, worker_bytes; /* of all functions; scratch of a worker */
    int64_t saved_bytes, saved_header; /* of NAME_save's file, and of what comes before its data */
    int32_t batch, classes;
    int32_t nparameters, nteachers; /* parameters of the network; behind them the teachers', */
    int32_t logits;                 /* number of the data array of teacher's logits, or -1 */
    int32_t wide_labels;            /* labels are i32, else u8 */
    int32_t resample;               /* an epoch's rows are drawn with repetition */
    int32_t nauxiliary;             /* and behind those the loss's own, which are in no file */
    KdrtSignature step, evaluate, teacher;
} KdrtLayout;

typedef struct KdrtNetwork {
    const KdrtLayout *layout;
    const KdrtBinding *bindings;
    const KdrtParameter *parameters;
    const char *text;              /* names, a zero behind each */
    const char *header;            /* what NAME_save's file begins with */
    const float *hyper;            /* the script's values */
    const void *weights, *teacher; /* that are part of the object, or NULL */
    KdrtFunction *step, *evaluate, *teach;
    KdrtEpochFunction *epoch;
} KdrtNetwork;

/* What the caller trains on: data arrays 0 (inputs), 1 (labels) …, of `rows` rows each. */
typedef struct KdrtData {
    int64_t rows;
    const void *array[];
} KdrtData;

/* What NAME_training is, for every NAME. */
typedef struct KdrtTraining {
    void *state, *scratch;
    const void *teacher;
    const float *hyper;
    KdrtPool *pool;
    int32_t (*progress)(void *user, KdrtEpoch *now);
    void *user;
    int32_t progress_every;
} KdrtTraining;

/* Bytes of scratch but for the workers' own and the order of the rows. */
int64_t kdrt_network_scratch(const KdrtLayout *l);

/* All of them return a KdrtStatus. The generated headers say what they do. */
int32_t kdrt_network_init(const KdrtNetwork *net, void *state, uint64_t seed);
int32_t kdrt_network_init_shipped(const KdrtNetwork *net, void *state, uint64_t seed);
int32_t kdrt_network_save(const KdrtNetwork *net, const void *state, void *bytes);
int32_t kdrt_network_load(const KdrtNetwork *net, void *state, const void *bytes, size_t size);
int32_t kdrt_network_load_teacher(const KdrtNetwork *net, void *teacher, int32_t number,
                                  const void *bytes, size_t size);
int32_t kdrt_network_step(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                          const int32_t *rows, int32_t n, float *loss);
int32_t kdrt_network_epoch(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                           double *loss);
int32_t kdrt_network_evaluate(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                              float *logits, double *error);
int32_t kdrt_network_teach(const KdrtNetwork *net, const KdrtTraining *t, const KdrtData *data,
                           float *logits);

/* Does this library read the object's tables as they were written? KDRT_OK, or KDRT_OTHER_VERSION.
 */
int32_t kdrt_network_known(const KdrtNetwork *net);

/* Is it the state of that network? KDRT_OK, or why not. */
int32_t kdrt_network_check(const KdrtNetwork *net, const void *state);

#endif
