/*
 * Which neighbouring dims of an iteration space can be walked as one. Dims k and k + 1 join when no
 * access needs one of them without the other: then reading at both is reading at their joint index,
 * and a kernel of elementwise ops becomes one flat loop. Found by following the body backwards with
 * a symbolic point, per dim of a value: a run of iteration dims in row-major order, or something
 * else.
 */
#include "backend/nest.h"

#include <string.h>

/* The index of one dim: iteration dims first … last in one (first > last: a constant), or (mixed)
 * some function of the dims in `uses`. */
typedef struct Run {
    int first, last;
    unsigned mixed;
    unsigned uses;
} Run;

typedef struct Symbolic {
    Run dim[KD_MAX_RANK];
} Symbolic;

typedef struct Analysis {
    KdEmit *e;
    int rank;
    unsigned apart; /* bit k: dims k and k + 1 must stay apart */
    int nseen, capacity;
    struct Seen {
        const KdValue *v;
        Symbolic at;
    } *seen;
} Analysis;

static Run constant_run(void) {
    return (Run){ .first = 1, .last = 0 };
}

/* A dim's own number is needed: nothing joins it to a neighbour. */
static void needs_alone(Analysis *x, unsigned uses) {
    for (int k = 0; k < x->rank; k++) {
        if (uses >> k & 1u) {
            x->apart |= 1u << k | (k ? 1u << (k - 1) : 0);
        }
    }
}

/* Runs of neighbouring dims in order put together where they continue each other. */
static int merge_runs(const Run *dims, int n, Run *out) {
    int count = 0;
    for (int k = 0; k < n; k++) {
        bool empty = !dims[k].mixed && dims[k].first > dims[k].last;
        if (empty) {
            continue;
        }
        Run *before = count ? &out[count - 1] : NULL;
        if (before && !before->mixed && !dims[k].mixed && before->last + 1 == dims[k].first) {
            before->last = dims[k].last;
            before->uses |= dims[k].uses;
        } else {
            out[count++] = dims[k];
        }
    }
    return count;
}

/* A tensor is read in memory at these indices: a run's dims may join each other, but the run's ends
 * are borders. */
static void read_memory(Analysis *x, const Run *dims, int n) {
    Run runs[KD_MAX_RANK];
    int count = merge_runs(dims, n, runs);
    for (int k = 0; k < count; k++) {
        if (runs[k].mixed) {
            needs_alone(x, runs[k].uses);
            continue;
        }
        if (runs[k].first > 0) {
            x->apart |= 1u << (runs[k].first - 1);
        }
        x->apart |= 1u << runs[k].last;
    }
}

static Run view_run(Analysis *x, const KdInstr *i, int dim, const Symbolic *at) {
    const KdIndex *index = &i->access->dim[dim];
    KdType from = i->results[0]->type;
    if (index->nterms == 0) {
        return constant_run();
    }
    int only = index->term[0].iter;
    if (index->nterms == 1 && kd_index_is_iter(index, only) &&
        from.dim[only] == i->args[0]->type.dim[dim]) {
        return at->dim[only];
    }
    Run run = { .mixed = 1 };
    for (int k = 0; k < index->nterms; k++) {
        run.uses |= at->dim[index->term[k].iter].uses;
    }
    needs_alone(x, run.uses);
    return run;
}

/* Dims map one to one where the extents agree from outside in; else the rest is one group. */
static Symbolic reshape_runs(KdType from, KdType to, const Symbolic *at) {
    Symbolic out = { 0 };
    int k = 0;
    while (k < from.rank && k < to.rank && from.dim[k] == to.dim[k]) {
        out.dim[k] = at->dim[k];
        k++;
    }
    if (k == to.rank) {
        return out;
    }
    Run merged[KD_MAX_RANK], run = constant_run();
    int count = merge_runs(at->dim + k, from.rank - k, merged);
    if (count == 1) {
        run = merged[0];
    }
    for (int m = 0; count > 1 && m < count; m++) {
        run.mixed = 1;
        run.uses |= merged[m].uses;
    }
    if (to.rank - k == 1) {
        out.dim[k] = run;
        return out;
    }
    for (int d = k; d < to.rank; d++) {
        out.dim[d] = (Run){ .mixed = 1, .uses = run.uses };
    }
    return out;
}

static void follow(Analysis *x, const KdValue *v, const Symbolic *at);

static void follow_reduction(Analysis *x, const KdInstr *i, const Symbolic *at) {
    bool reduced[KD_MAX_RANK];
    Symbolic to = { 0 };
    kd_reduced_axes(i, reduced);
    for (int k = 0, kept = 0; k < i->args[0]->type.rank; k++) {
        /* A constant while unrolled, an inner loop's index otherwise: no iteration dim. */
        to.dim[k] = reduced[k] ? (Run){ .mixed = 1 } : at->dim[kept++];
    }
    follow(x, i->args[0], &to);
}

static unsigned all_uses(const Symbolic *at, int rank) {
    unsigned uses = 0;
    for (int k = 0; k < rank; k++) {
        uses |= at->dim[k].uses;
    }
    return uses;
}

/* Is the operand of a reshape read as it lies in memory, whatever its shape? */
static bool is_memory(const KdValue *v) {
    while (v->def && v->def->op == KD_OP_RESHAPE) {
        v = v->def->args[0];
    }
    return !v->def && !v->type.pad;
}

/* The same of v as it is; padding is a border behind its first dim. */
static void read_argument(Analysis *x, const KdValue *v, const Run *dims) {
    int rows = v->type.pad ? 1 : 0;
    read_memory(x, dims, rows);
    read_memory(x, dims + rows, v->type.rank - rows);
}

static void follow_instr(Analysis *x, const KdInstr *i, const Symbolic *at) {
    int rank = i->results[0]->type.rank;
    if (kd_op_has(i->op, KD_T_ELEMENTWISE)) {
        for (int k = 0; k < i->nargs; k++) {
            follow(x, i->args[k], at);
        }
    } else if (i->op == KD_OP_VIEW) {
        Symbolic to = { 0 };
        for (int k = 0; k < i->args[0]->type.rank; k++) {
            to.dim[k] = view_run(x, i, k, at);
        }
        follow(x, i->args[0], &to);
    } else if (i->op == KD_OP_RESHAPE && is_memory(i->args[0])) {
        read_memory(x, at->dim, rank);
    } else if (i->op == KD_OP_RESHAPE) {
        Symbolic to = reshape_runs(i->results[0]->type, i->args[0]->type, at);
        follow(x, i->args[0], &to);
    } else if (i->op == KD_OP_GATHER) {
        needs_alone(x, at->dim[0].uses);
        Symbolic to = *at;
        to.dim[0] = (Run){ .mixed = 1 };
        follow(x, i->args[0], &to);
    } else if (kd_op_has(i->op, KD_T_REDUCTION)) {
        follow_reduction(x, i, at);
    } else if (kd_op_has(i->op, KD_T_RANDOM)) {
        int rows = i->args[0]->type.rank; /* 1: the index of each */
        if (rows == 1) needs_alone(x, at->dim[0].uses);
        read_memory(x, at->dim + rows, rank - rows);
    } else if (i->op != KD_OP_CONSTANT) {
        needs_alone(x, all_uses(at, rank));
    }
}

static void follow(Analysis *x, const KdValue *v, const Symbolic *at) {
    for (int k = 0; k < x->nseen; k++) {
        if (x->seen[k].v == v && memcmp(&x->seen[k].at, at, sizeof *at) == 0) {
            return;
        }
    }
    if (x->nseen == x->capacity) {
        int capacity = x->capacity ? 2 * x->capacity : 64;
        struct Seen *bigger = KD_NEW_ARRAY(x->e->arena, struct Seen, capacity);
        for (int k = 0; k < x->nseen; k++) {
            bigger[k] = x->seen[k];
        }
        x->seen = bigger;
        x->capacity = capacity;
    }
    x->seen[x->nseen++] = (struct Seen){ v, *at };
    if (v->def) {
        follow_instr(x, v->def, at);
    } else {
        read_argument(x, v, at->dim);
    }
}

void kd_joinable(KdEmit *e, const KdInstr *kernel, int n, KdValue *const *roots,
                 bool join[KD_MAX_RANK]) {
    Analysis x = { .e = e };
    for (int r = 0; r < n; r++) {
        KdType t = roots[r]->type;
        Symbolic at;
        memset(&at, 0, sizeof at);
        x.rank = t.rank;
        for (int k = 0; k < t.rank; k++) {
            at.dim[k].first = at.dim[k].last = k;
            at.dim[k].uses = 1u << k;
        }
        follow(&x, roots[r], &at);
    }
    for (int k = 0; k < kernel->nresults; k++) {
        if (kernel->results[k]->type.pad) x.apart |= 1u;
    }
    for (int k = 0; k < KD_MAX_RANK; k++) {
        join[k] = k + 1 < x.rank && !(x.apart >> k & 1u);
    }
}
