/*
 * A deep network is much the same layer again and again: kernels that differ in nothing but where
 * their operands lie are compiled once. The signature (ir/text.h) holds all that the emitters look
 * at.
 */
#include "backend/pieces.h"

#include "backend/predict.h"
#include "ir/text.h"

#include <string.h>

/* The piece with that signature, or NULL. */
static KdPiece *find(const KdPieces *p, const char *const *signatures, const char *signature) {
    for (int k = 0; k < p->n; k++)
        if (strcmp(signatures[k], signature) == 0) return &p->piece[k];
    return NULL;
}

static void append(KdPiece *first, KdPiece *same) {
    while (first->same) first = first->same;
    first->same = same;
}

/* Inference is cut for one thread. Where weights are packed beforehand, code that reads a parameter
 * is not for other operands. */
static const char *signature_of(const KdInstr *kernel, const KdFunc *f, const KdPredict *predict,
                                KdArena *a) {
    const char *signature = kd_kernel_signature(kernel, a);
    bool packed = kd_predict_packs(predict);
    if (kd_predict_has(predict, f)) signature = kd_arena_format(a, "%s inference ", signature);
    for (int k = 0; packed && k < kernel->nargs; k++)
        signature = kd_arena_format(a, "%s%c", signature, kernel->args[k]->def ? '-' : 'p');
    return signature;
}

KdPieces kd_pieces_collect(int n, const KdEntry *entries, bool share, const KdPredict *predict,
                           KdArena *a) {
    int kernels = 0;
    for (int k = 0; k < n; k++) {
        KD_EACH_INSTR(i, entries[k].f) kernels += i->op == KD_OP_KERNEL;
    }
    KdPieces p = { .piece = KD_NEW_ARRAY(a, KdPiece, kernels + 1) };
    const char **signatures = KD_NEW_ARRAY(a, const char *, kernels + 1);
    for (int k = 0; k < n; k++) {
        KD_EACH_INSTR(i, entries[k].f) {
            if (i->op != KD_OP_KERNEL) continue;
            const char *signature = share ? signature_of(i, entries[k].f, predict, a) : "";
            KdPiece *known = share ? find(&p, signatures, signature) : NULL;
            KdPiece *piece = known ? KD_NEW(a, KdPiece) : &p.piece[p.n];
            bool contract = strcmp(kd_attr_str(i->attrs, "kind", ""), "contract") == 0;
            *piece = (KdPiece){ .f = entries[k].f, .kernel = i, .contract = contract };
            if (known)
                append(known, piece);
            else
                signatures[p.n++] = signature;
        }
    }
    return p;
}
