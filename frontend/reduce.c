/*
 * `kdc reduce`: the smallest module that still fails its check. A list of simplifications is tried
 * one by one, each on a module parsed anew; what stays valid and still fails is kept, until a whole
 * round changes nothing.
 */
#include "frontend/check_command.h"
#include "frontend/commands.h"
#include "frontend/outfile.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <string.h>

static const KdLoc nowhere = { NULL, 0 };

static bool is_called(const KdModule *m, const KdFunc *f) {
    KD_EACH_FUNC(g, m) {
        KD_EACH_INSTR(i, g) {
            if (i->op == KD_OP_CALL && !strcmp(kd_attr_str(i->attrs, "callee", ""), f->name))
                return true;
        }
    }
    return false;
}

/* Drops what nobody uses, but for effects. */
static void sweep(KdModule *m) {
    KdArena *a = kd_arena_create();
    KD_EACH_FUNC(f, m) {
        const int *uses = NULL;
        for (KdInstr *i = f->last, *before; i; i = before) {
            before = i->prev;
            uses = kd_count_uses(f, a);
            bool used = i->op == KD_OP_PRINT;
            for (int k = 0; k < i->nresults; k++) used |= uses[i->results[k]->id] > 0;
            if (!used) kd_instr_remove(i);
        }
    }
    kd_arena_destroy(a);
}

/* --- simplifications, numbered ---------------------------------------------------------------- */

/* Each of these counts *n down for every place where it could be done, and does it at 0. */

static bool remove_function(KdModule *m, int *n) {
    for (KdFunc *f = m->first; f && m->first->next; f = f->next) {
        if (is_called(m, f) || (*n)-- > 0) continue;
        kd_func_remove(m, f);
        return true;
    }
    return false;
}

static bool drop_result(KdModule *m, int *n) {
    KD_EACH_FUNC(f, m) {
        for (int k = 0; f->nresults > 1 && !f->in_place && k < f->nresults; k++) {
            if (is_called(m, f) || (*n)-- > 0) continue;
            memmove(f->results + k, f->results + k + 1,
                    sizeof *f->results * (size_t)(f->nresults - k - 1));
            f->nresults--;
            return true;
        }
    }
    return false;
}

/* A value becomes one of its operands, or an argument of its type. */
static bool replace_value(KdModule *m, int *n) {
    KD_EACH_FUNC(f, m) {
        for (KdInstr *i = f->last; i; i = i->prev) {
            for (int k = 0; i->nresults == 1 && k <= i->nargs; k++) {
                KdValue *v = i->results[0], *by = k < i->nargs ? i->args[k] : NULL;
                if (by && !kd_type_equal(by->type, v->type)) continue;
                if (!by && (i->nargs == 0 || is_called(m, f))) continue;
                if ((*n)-- > 0) continue;
                if (!by)
                    by = kd_func_add_arg(f, kd_func_unique_name(f, "any"), v->type, KD_ARG_INPUT);
                kd_replace_uses(v, by);
                return true;
            }
        }
    }
    return false;
}

/* Arguments that nothing reads, all of one function at once. */
static bool drop_arguments(KdModule *m, int *n) {
    KdArena *a = kd_arena_create();
    bool dropped = false;
    for (KdFunc *f = m->first; f && !dropped; f = f->next) {
        const int *uses = kd_count_uses(f, a);
        int kept = 0;
        for (int k = 0; k < f->nargs; k++) kept += uses[f->args[k]->id] > 0;
        if (kept == f->nargs || f->planned || f->in_place || is_called(m, f) || (*n)-- > 0)
            continue;
        kept = 0;
        for (int k = 0; k < f->nargs; k++) {
            if (uses[f->args[k]->id] == 0) continue;
            f->args[k]->index = kept;
            f->args[kept++] = f->args[k];
        }
        f->nargs = kept;
        dropped = true;
    }
    kd_arena_destroy(a);
    return dropped;
}

static bool has_argument(const KdModule *m, const KdParam *p) {
    KD_EACH_FUNC(f, m)
    for (int k = 0; k < f->nargs; k++)
        if (kd_param_of_value(m, f->args[k]) == p) return true;
    return false;
}

/* Parameters that no function takes, all at once. */
static bool drop_params(KdModule *m, int *n) {
    int kept = 0;
    for (int k = 0; k < m->nparams; k++) kept += has_argument(m, m->params[k]);
    if (kept == m->nparams || (*n)-- > 0) return false;
    kept = 0;
    for (int k = 0; k < m->nparams; k++)
        if (has_argument(m, m->params[k])) m->params[kept++] = m->params[k];
    m->nparams = kept;
    return true;
}

/* The text after the n-th simplification; NULL when there are fewer. An invalid result is "". */
static const char *simplified(const char *text, int n, KdArena *a) {
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    KdModule *m = kd_parse_module(text, strlen(text), "reduced", &quiet);
    if (!m) return NULL;
    const char *out = NULL;
    if (remove_function(m, &n) || drop_result(m, &n) || replace_value(m, &n) ||
        drop_arguments(m, &n) || drop_params(m, &n)) {
        sweep(m);
        out = kd_verify(m, &quiet) ? kd_module_text(m, a) : "";
    }
    kd_module_destroy(m);
    return out;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Tries every simplification once; those kept change *text. False after an error. */
static bool run_round(const char *check, const char **text, int *kept, KdArena *a, KdDiag *d) {
    for (int n = 0;;) {
        const char *next = simplified(*text, n, a);
        if (!next) return true;
        bool tried = *next && strlen(next) < strlen(*text);
        KdVerdict verdict = tried ? kd_check_text(check, next, d) : KD_GOOD;
        if (verdict == KD_NO_VERDICT) return false;
        if (verdict == KD_BROKEN) {
            *text = next;
            ++*kept; /* what had number n is gone: the next one has it now */
        } else {
            n++;
        }
    }
}

int kd_command_reduce(const KdOptions *o, KdDiag *d) {
    KdArena *a = kd_arena_create();
    KdOutFile out;
    KdModule *m = kd_load_module(o->file, a, d);
    bool ok = m != NULL;
    const char *text = ok ? kd_module_text(m, a) : "";
    kd_module_destroy(m);
    size_t before = strlen(text);
    KdVerdict first = ok ? kd_check_text(o->check, text, d) : KD_NO_VERDICT;
    if (first == KD_GOOD) kd_error(d, nowhere, "%s: the check does not fail on it", o->file);
    ok = first == KD_BROKEN;
    int kept = 0, last = -1;
    while (ok && kept != last) {
        last = kept;
        ok = run_round(o->check, &text, &kept, a, d);
    }
    ok = ok && kd_outfile_open(&out, o->output, a, d);
    if (ok) ok = kd_outfile_close(&out, fputs(text, out.stream) >= 0, d);
    if (ok) fprintf(stderr, "%d simplifications, %zu -> %zu bytes\n", kept, before, strlen(text));
    kd_arena_destroy(a);
    return ok ? KD_EXIT_DONE : KD_EXIT_WRONG;
}
