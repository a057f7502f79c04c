/*
 * The verifier: what must hold of a module at any time. Each check says one error and goes on with
 * the next instruction, so that one bad rewrite shows all of its damage.
 */
#include "ir/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ir/infer.h"
#include "ir/verify_rules.h"

typedef struct Verifier {
    const KdModule *m;
    const KdFunc *f;      /* function or body under check */
    const KdFunc *outer;  /* f, or the function its kernel is in */
    const KdValue **seen; /* by value id: defined so far */
    KdArena *scratch;
    KdDiag *d;
} Verifier;

/* --- values and types ----------------------------------------------------------------------- */

/* N stands only outermost and in arguments; so does B in arguments of functions, which others bind.
 */
static bool check_type(const Verifier *v, const KdValue *x, bool argument) {
    char text[KD_TYPE_TEXT];
    const char *wrong = NULL;
    if (!kd_type_valid(x->type, v->outer->max_batch)) wrong = "is no tensor";
    for (int k = 0; k < x->type.rank; k++) {
        bool bound = argument && v->f == v->outer;
        if (k && bound && x->type.dim[k] == KD_BATCH) wrong = "has B behind the outermost dim";
        if (!argument && x->type.dim[k] == KD_ROWS) wrong = "has N, which only arguments may";
    }
    if (!wrong) return kd_verify_pad(x, v->f != v->outer, v->d);
    return kd_error(v->d, x->loc, "@%s: %%%s: type %s %s", v->outer->name, x->name,
                    kd_type_text(x->type, text), wrong);
}

static bool define(Verifier *v, const KdValue *x) {
    if (x->func != v->f) {
        return kd_error(v->d, x->loc, "@%s: %%%s belongs to another function", v->outer->name,
                        x->name);
    }
    if (x->id < 0 || x->id >= v->f->nvalues || v->seen[x->id]) {
        return kd_error(v->d, x->loc, "@%s: %%%s has the number of another value", v->outer->name,
                        x->name);
    }
    v->seen[x->id] = x;
    return true;
}

static bool is_defined(const Verifier *v, const KdValue *x) {
    return x && x->id >= 0 && x->id < v->f->nvalues && v->seen[x->id] == x;
}

static int compare_names(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static bool check_names(const Verifier *v) {
    const char **names = KD_NEW_ARRAY(v->scratch, const char *, v->f->nvalues + 1);
    size_t n = 0;
    for (int k = 0; k < v->f->nvalues; k++) {
        if (v->seen[k]) names[n++] = v->seen[k]->name;
    }
    qsort(names, n, sizeof *names, compare_names);
    bool good = true;
    for (size_t k = 1; k < n; k++) {
        if (strcmp(names[k], names[k - 1]) != 0) continue;
        good = kd_error(v->d, v->outer->loc, "@%s: two values are named %%%s", v->outer->name,
                        names[k]);
    }
    return good;
}

/* --- instructions --------------------------------------------------------------------------- */

static bool check_marks(const Verifier *v, const KdInstr *i) {
    static const char *const roles[] = {
        "teacher", "student", "loss", "noise", "gradient", "update"
    };
    if (!i->role) return true;
    bool known = false;
    for (int k = 0; k < 6; k++) known |= strcmp(i->role, roles[k]) == 0;
    if (!known) {
        const char *near = kd_nearest(i->role, roles, 6);
        return kd_error(v->d, i->loc, "%s: unknown role '%s'%s%s%s", kd_op_text(i->op), i->role,
                        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    bool draws = kd_op_has(i->op, KD_T_RANDOM) && strcmp(i->role, "teacher") == 0;
    if (draws && !kd_attr_int(v->m->program, "teacher_dropout", 0)) {
        return kd_error(v->d, i->loc,
                        "%s: a teacher is in inference form, it draws no random numbers",
                        kd_op_text(i->op));
    }
    return true;
}

/* A callee stands before its caller, so there is no recursion. */
static bool check_callee(const Verifier *v, const KdInstr *i) {
    const char *callee = kd_attr_str(i->attrs, "callee", "");
    KD_EACH_FUNC(g, v->m) {
        if (g == v->outer) break;
        if (strcmp(g->name, callee) == 0) return true;
    }
    return kd_error(v->d, i->loc, "call: no function @%s stands before @%s", callee,
                    v->outer->name);
}

static bool check_operands(const Verifier *v, const KdInstr *i) {
    const KdOpInfo *info = kd_op_info(i->op);
    if (info->nargs >= 0 && i->nargs != info->nargs) {
        return kd_error(v->d, i->loc, "%s takes %d operands, not %d", info->text, info->nargs,
                        i->nargs);
    }
    for (int k = 0; k < i->nargs; k++) {
        if (is_defined(v, i->args[k])) continue;
        return kd_error(v->d, i->loc, "%s: operand %%%s is used before it is defined", info->text,
                        i->args[k] ? i->args[k]->name : "(none)");
    }
    return true;
}

/* The types that the shape rule gives are those the results have. */
static bool check_results(const Verifier *v, KdInstr *i) {
    int n = kd_infer_count(i);
    if (n != i->nresults) {
        return kd_error(v->d, i->loc, "%s: %d results where its rule gives %d", kd_op_text(i->op),
                        i->nresults, n);
    }
    KdType *types = KD_NEW_ARRAY(v->scratch, KdType, n + 1);
    if (!kd_infer(i, n ? &i->results[0]->type : NULL, types, v->d)) return false;
    for (int k = 0; k < n; k++) {
        if (kd_type_equal(types[k], i->results[k]->type)) continue;
        char has[KD_TYPE_TEXT], rule[KD_TYPE_TEXT];
        return kd_error(v->d, i->loc, "%s: %%%s has type %s, its rule gives %s", kd_op_text(i->op),
                        i->results[k]->name, kd_type_text(i->results[k]->type, has),
                        kd_type_text(types[k], rule));
    }
    return true;
}

static bool check_body(Verifier *parent, const KdFunc *f, const KdFunc *outer);

static bool check_instr(Verifier *v, KdInstr *i) {
    if (!check_operands(v, i) || !kd_check_attrs(i, v->d) || !check_marks(v, i)) return false;
    if (i->op == KD_OP_CALL && !check_callee(v, i)) return false;
    if (i->op == KD_OP_KERNEL) {
        if (v->f != v->outer) {
            return kd_error(v->d, i->loc, "kernel: a kernel's body may not hold a kernel");
        }
        if (!i->body || !check_body(v, i->body, v->outer)) return false;
    }
    if (!check_results(v, i)) return false;
    if (i->op == KD_OP_KERNEL && !kd_verify_kernel(i, v->d)) return false;
    for (int k = 0; k < i->nresults; k++) {
        if (!check_type(v, i->results[k], false)) return false;
    }
    return kd_verify_pads(i, v->f != v->outer, v->d);
}

/* --- functions ------------------------------------------------------------------------------ */

/* Arguments, instructions and results of f, a function or a kernel's body in `outer`. */
static bool check_body(Verifier *parent, const KdFunc *f, const KdFunc *outer) {
    Verifier v = *parent;
    v.f = f;
    v.outer = outer;
    v.seen = KD_NEW_ARRAY(v.scratch, const KdValue *, f->nvalues + 1);
    bool good = true;
    for (int k = 0; k < f->nargs; k++) {
        good &= define(&v, f->args[k]) && check_type(&v, f->args[k], true) &&
                kd_verify_argument(v.m, f, f->args[k], v.d);
    }
    KD_EACH_INSTR(i, f) {
        good &= check_instr(&v, i);
        for (int k = 0; k < i->nresults; k++) good &= define(&v, i->results[k]);
    }
    for (int k = 0; k < f->nresults; k++) {
        if (is_defined(&v, f->results[k])) continue;
        good = kd_error(v.d, f->loc, "@%s: result %d is not defined in it", outer->name, k);
    }
    for (int k = 0; good && f == outer && k < f->nresults; k++)
        if (f->results[k]->type.pad)
            good = kd_error(v.d, f->loc, "@%s: result %d has padding", outer->name, k);
    return check_names(&v) && good;
}

/* A result that takes over an argument's memory has its type, and no other result has it too. */
static bool check_in_place(const Verifier *v, const KdFunc *f) {
    for (int k = 0; f->in_place && k < f->nresults; k++) {
        int arg = f->in_place[k];
        if (arg == -1) continue;
        if (arg < -1 || arg >= f->nargs) {
            return kd_error(v->d, f->loc, "@%s: in_place: there is no argument %d", f->name, arg);
        }
        if (!kd_type_equal(f->args[arg]->type, f->results[k]->type)) {
            return kd_error(v->d, f->loc, "@%s: in_place: result %d and %%%s differ in type",
                            f->name, k, f->args[arg]->name);
        }
        for (int other = 0; other < k; other++) {
            if (f->in_place[other] != arg) continue;
            return kd_error(v->d, f->loc, "@%s: in_place: two results take over %%%s", f->name,
                            f->args[arg]->name);
        }
    }
    return true;
}

/* The teacher is a constant: the slab of @gradients has the trained network's parameters alone. */
static bool check_gradients(const Verifier *v, const KdFunc *f) {
    const char *trained = kd_attr_str(v->m->program, "trained", NULL);
    if (strcmp(f->name, "gradients") != 0 || !trained || f->nresults < 2) return true;
    int64_t wanted = kd_slab_trained(v->m, trained);
    KdType t = f->results[1]->type;
    if (t.dtype == KD_F32 && t.rank == 1 && t.dim[0] == wanted) return true;
    char text[KD_TYPE_TEXT];
    return kd_error(v->d, f->loc,
                    "@gradients: result 1 is %s; the gradients of network '%s' alone, which is "
                    "trained, are f32[%" PRId64 "]",
                    kd_type_text(t, text), trained, wanted);
}

/* The first operand of i that is computed from what is trained, or NULL; `learned` by value id. */
static const KdValue *learned_operand(const Verifier *v, const KdInstr *i, const bool *learned) {
    const char *trained = kd_attr_str(v->m->program, "trained", "");
    for (int k = 0; k < i->nargs; k++) {
        const KdValue *x = i->args[k];
        const KdParam *p = x->def ? NULL : kd_param_of_value(v->m, x);
        if (learned[x->id] || (p && strcmp(p->network, trained) == 0)) return x;
    }
    return NULL;
}

/* The teacher is a constant: nothing of its role comes from parameters that are trained. A kernel
 * mixes what was fused into it, so this is for functions of tensors. */
static bool check_teacher(const Verifier *v, const KdFunc *f) {
    bool *learned = KD_NEW_ARRAY(v->scratch, bool, f->nvalues + 1);
    KD_EACH_INSTR(i, f) {
        if (i->op == KD_OP_KERNEL) return true;
        const KdValue *from = learned_operand(v, i, learned);
        if (!from) continue;
        for (int k = 0; k < i->nresults; k++) learned[i->results[k]->id] = true;
        if (!i->role || strcmp(i->role, "teacher") != 0) continue;
        return kd_error(v->d, i->loc,
                        "%s: a teacher is a constant, %%%s depends on what is trained",
                        kd_op_text(i->op), from->name);
    }
    return true;
}

static bool check_func(Verifier *v, const KdFunc *f) {
    for (const KdFunc *g = v->m->first; g != f; g = g->next) {
        if (strcmp(g->name, f->name) != 0) continue;
        return kd_error(v->d, f->loc, "@%s is the name of two functions", f->name);
    }
    bool good = check_body(v, f, f);
    good = good && check_in_place(v, f) && check_gradients(v, f) && check_teacher(v, f);
    return good && (!f->planned || kd_verify_memory(f, v->d));
}

bool kd_verify(const KdModule *m, KdDiag *d) {
    Verifier v = { .m = m, .scratch = kd_arena_create(), .d = d };
    bool good = kd_verify_parameters(m, d);
    KD_EACH_FUNC(f, m) good &= check_func(&v, f);
    kd_arena_destroy(v.scratch);
    return good;
}
