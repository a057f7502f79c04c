/*
 * What becomes of a graph before it is compiled: nothing, or what a network that ships or a
 * training step goes through. Each form ends with a function whose arguments, found from the
 * graph's own, are at hand, and whose results are known.
 */
#ifndef KD_FUZZ_FORM_H
#define KD_FUZZ_FORM_H

#include "ir/interp.h"
#include "tests/fuzz/graph.h"

typedef enum GraphForm {
    GRAPH_PLAIN,
    GRAPH_FOLDED,    /* what parameters alone decide is computed before: fold */
    GRAPH_HALVES,    /* weights stored as f16: compress */
    GRAPH_BYTES,     /* weights stored as int8 with scales: compress */
    GRAPH_QUANTIZED, /* products of bytes: quantize */
    GRAPH_TRAINED,   /* the graph is a loss; noise, gradients and an optimiser make a step of it */
    GRAPH_TOGETHER,  /* the graph is the loss of students in one graph, where it has such a form */
    GRAPH_FORMS
} GraphForm;

const char *graph_form_text(GraphForm form);

/* A function of a module, and the arguments that it is called with. */
typedef struct GraphCall {
    KdModule *m;
    const char *name;
    KdTensor *args;
    KdArena *arena;
    int64_t n;
    bool noisy; /* noise was added: results are not those of the graph */
    KdDiag *diag;
} GraphCall;

/* Before anything is computed: weights take values that the form can store. */
void graph_form_round(GraphCall *c, GraphForm form);

/* Does the form compute what the graph did? */
bool graph_form_keeps_results(GraphForm form);

/* How many times compiled code may be tried before it is wrong, and the arguments of the next time:
 * a byte that lies between two numbers may become either, but hardly at every scale. */
int graph_form_turns(GraphForm form);
void graph_form_turn(GraphCall *c, int turn);

/* Runs the form's passes over c->m; c->name and c->args become those of the function to call. False
 * after an error. A trained graph's first result is the loss that it had, but for noise. */
bool graph_form_apply(GraphCall *c, Graph *g, GraphForm form);

#endif
