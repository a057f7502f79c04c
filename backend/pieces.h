/* Inside the backend: the kernels to compile, equal ones together. */
#ifndef KD_BACKEND_PIECES_H
#define KD_BACKEND_PIECES_H

#include "backend/backend.h"

typedef struct KdPiece KdPiece;
struct KdPiece {
    const KdFunc *f;
    const KdInstr *kernel;
    KdPiece *same; /* the next kernel of equal signature, or NULL: it runs this one's code */
    bool contract; /* takes long to compile */
};

typedef struct KdPieces {
    int n;
    KdPiece *piece; /* different ones */
} KdPieces;

/* The kernels of the entries in order; with `share` each signature once. Those of `predict` (or
 * NULL) are not for others, and its weights may be constants of the object. */
struct KdPredict;
KdPieces kd_pieces_collect(int n, const KdEntry *entries, bool share,
                           const struct KdPredict *predict, KdArena *a);

#endif
