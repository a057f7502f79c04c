/*
 * The IR as text. One line an instruction, in the order in which ir/README.md gives the grammar's
 * parts; nothing here depends on the machine or the locale, so that print(parse(print(m))) gives
 * the same bytes and goldens do not vary.
 */
#include "ir/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/lex.h"

/* What a function's types are printed against: the bound of B is said at its first use only. */
typedef struct Printer {
    FILE *out;
    const KdModule *m;
    int64_t bound; /* still to be said behind the next B, or 0 */
    bool bare;     /* values by number; without places, roles, sites and lines */
} Printer;

static void print_string(FILE *out, const char *s) {
    fputc('"', out);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c == '\n') {
            fputs("\\n", out);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(out, "\\x%02x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

/* `%name`, or `%"any name"` when the name is not a plain one. */
static void print_name(FILE *out, char sigil, const char *name) {
    fputc(sigil, out);
    if (kd_lex_is_plain_name(name)) {
        fputs(name, out);
    } else {
        print_string(out, name);
    }
}

static void print_value(const Printer *p, const KdValue *v) {
    if (p->bare)
        fprintf(p->out, "%%%d", v->id);
    else
        print_name(p->out, '%', v->name);
}

/* Whole numbers as such, so that an i32 survives; others in 9 digits, so that an f32 does. */
static void print_number(FILE *out, double x) {
    if (isnan(x)) {
        fputs("nan", out);
    } else if (isinf(x)) {
        fputs(x < 0 ? "-inf" : "inf", out);
    } else if (x == floor(x) && fabs(x) < 1e15) {
        fprintf(out, "%.0f", x); /* keeps the sign of -0 */
    } else {
        fprintf(out, "%.9g", x);
    }
}

static void print_extent(Printer *p, int64_t extent) {
    if (extent == KD_BATCH) {
        fputc('B', p->out);
        if (p->bound) fprintf(p->out, "<=%" PRId64, p->bound);
        p->bound = 0;
    } else if (extent == KD_ROWS) {
        fputc('N', p->out);
    } else {
        fprintf(p->out, "%" PRId64, extent);
    }
}

static void print_type(Printer *p, KdType t) {
    fputs(kd_dtype_name(t.dtype), p->out);
    if (t.rank == 0) return;
    for (int k = 0; k < t.rank; k++) {
        fputc(k ? ',' : '[', p->out);
        print_extent(p, t.dim[k]);
    }
    fputc(']', p->out);
    if (t.pad) fprintf(p->out, "+%" PRId64, t.pad);
}

static void print_loc(Printer *p, KdLoc loc) {
    if (loc.line <= 0 || p->bare) return;
    const char *source = p->m->source;
    if (!loc.file || (source && strcmp(loc.file, source) == 0)) {
        fprintf(p->out, " loc(%d)", loc.line);
    } else {
        fputs(" loc(", p->out);
        print_string(p->out, loc.file);
        fprintf(p->out, ":%d)", loc.line);
    }
}

static void print_index(FILE *out, const KdIndex *x) {
    if (x->divisor > 1) fputc('(', out);
    for (int k = 0; k < x->nterms; k++) {
        int64_t c = x->term[k].coeff;
        if (k) fputs(c < 0 ? " - " : " + ", out);
        if (!k && c < 0) fputc('-', out);
        uint64_t size = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
        if (size != 1) fprintf(out, "%" PRIu64 "*", size);
        fprintf(out, "d%d", x->term[k].iter);
    }
    if (x->nterms == 0) {
        fprintf(out, "%" PRId64, x->offset);
    } else if (x->offset) {
        uint64_t size = x->offset < 0 ? 0 - (uint64_t)x->offset : (uint64_t)x->offset;
        fprintf(out, " %c %" PRIu64, x->offset < 0 ? '-' : '+', size);
    }
    if (x->divisor > 1) fprintf(out, ")/%" PRId64, x->divisor);
}

static void print_access(FILE *out, const char *name, const KdAccess *x) {
    fprintf(out, "%s = [", name);
    for (int k = 0; k < x->rank; k++) {
        if (k) fputs(", ", out);
        print_index(out, &x->dim[k]);
    }
    fputc(']', out);
}

static void print_attr(FILE *out, const KdAttr *x) {
    fprintf(out, "%s = ", x->name);
    switch (x->kind) {
    case KD_ATTR_INT: fprintf(out, "%" PRId64, x->i); break;
    case KD_ATTR_NUM: print_number(out, x->num); break;
    case KD_ATTR_STR: print_string(out, x->str); break;
    case KD_ATTR_INTS:
        for (int k = 0; k < x->nints; k++) {
            fprintf(out, "%s%" PRId64, k ? ", " : "[", x->ints[k]);
        }
        fputs(x->nints ? "]" : "[]", out);
        break;
    }
}

static void print_attrs(FILE *out, const KdAttr *list) {
    for (const KdAttr *x = list; x; x = x->next) {
        if (x != list) fputs(", ", out);
        print_attr(out, x);
    }
}

/* ` { over = …, a = …, b = …, attributes }`, or nothing. */
static void print_braces(Printer *p, const KdInstr *i) {
    if (!i->attrs && !i->access && !i->contract) return;
    fputs(" { ", p->out);
    if (i->contract) {
        fputs("over = [", p->out);
        for (int k = 0; k < i->contract->nover; k++) {
            if (k) fputs(", ", p->out);
            print_extent(p, i->contract->over[k]);
        }
        fputs("], ", p->out);
        print_access(p->out, "a", &i->contract->a);
        fputs(", ", p->out);
        print_access(p->out, "b", &i->contract->b);
    }
    if (i->access) print_access(p->out, "at", i->access);
    if ((i->contract || i->access) && i->attrs) fputs(", ", p->out);
    print_attrs(p->out, i->attrs);
    fputs(" }", p->out);
}

static void print_place(FILE *out, const KdBuffer *x) {
    switch (x->place) {
    case KD_PLACE_NONE: fputs("none", out); return;
    case KD_PLACE_ARENA: fputs("arena", out); break;
    case KD_PLACE_ARG: fprintf(out, "arg(%d)", x->base); break;
    case KD_PLACE_RESULT: fprintf(out, "result(%d)", x->base); break;
    }
    fprintf(out, "+%" PRId64, x->offset);
}

static void print_places(const Printer *p, int n, KdValue *const *values) {
    FILE *out = p->out;
    bool any = false;
    if (p->bare) return;
    for (int k = 0; k < n; k++) any |= values[k]->buffer.place != KD_PLACE_NONE;
    for (int k = 0; any && k < n; k++) {
        fputs(k ? ", " : " @ ", out);
        print_place(out, &values[k]->buffer);
    }
}

static void print_values(const Printer *p, int n, KdValue *const *values) {
    for (int k = 0; k < n; k++) {
        fputs(k ? ", " : " ", p->out);
        print_value(p, values[k]);
    }
}

static void print_args(Printer *p, const KdFunc *f) {
    fputc('(', p->out);
    for (int k = 0; k < f->nargs; k++) {
        const KdValue *v = f->args[k];
        if (k) fputs(", ", p->out);
        print_value(p, v);
        fputs(": ", p->out);
        print_type(p, v->type);
        if (v->kind) fprintf(p->out, " %s", v->kind);
        print_places(p, 1, &f->args[k]);
        /* A parameter's line is printed with the parameter. */
        if (!v->kind || strcmp(v->kind, KD_ARG_PARAM) != 0) print_loc(p, v->loc);
    }
    fputc(')', p->out);
}

static void print_instr(Printer *p, const KdInstr *i, int indent);

static void print_body(Printer *p, const KdFunc *body, int indent) {
    fprintf(p->out, " {\n%*s", indent + 2, "");
    print_args(p, body);
    fputc('\n', p->out);
    KD_EACH_INSTR(i, body) print_instr(p, i, indent + 2);
    fprintf(p->out, "%*syield", indent + 2, "");
    print_values(p, body->nresults, body->results);
    fprintf(p->out, "\n%*s}", indent, "");
}

static void print_instr(Printer *p, const KdInstr *i, int indent) {
    FILE *out = p->out;
    fprintf(out, "%*s", indent, "");
    for (int k = 0; k < i->nresults; k++) {
        if (k) fputs(", ", out);
        print_value(p, i->results[k]);
    }
    fprintf(out, "%s%s", i->nresults ? " = " : "", kd_op_text(i->op));
    print_values(p, i->nargs, i->args);
    print_braces(p, i);
    for (int k = 0; k < i->nresults; k++) {
        fputs(k ? ", " : " : ", out);
        print_type(p, i->results[k]->type);
    }
    if (i->role && !p->bare) fprintf(out, " role(%s)", i->role);
    if (i->site && !p->bare) {
        fputs(" site(", out);
        print_string(out, i->site);
        fputc(')', out);
    }
    print_places(p, i->nresults, i->results);
    print_loc(p, i->loc);
    if (i->body) print_body(p, i->body, indent);
    fputc('\n', out);
}

static void print_results(Printer *p, const KdFunc *f) {
    fputs(" -> (", p->out);
    for (int k = 0; k < f->nresults; k++) {
        if (k) fputs(", ", p->out);
        print_type(p, f->results[k]->type);
    }
    fputc(')', p->out);
}

static void print_func(const KdFunc *f, FILE *out) {
    Printer p = { .out = out, .m = f->module, .bound = f->max_batch };
    fputs("func ", out);
    print_name(out, '@', f->name);
    print_args(&p, f);
    print_results(&p, f);
    if (p.bound) fprintf(out, " batch = %" PRId64, p.bound);
    p.bound = 0;
    for (int k = 0; f->in_place && k < f->nresults; k++) {
        fprintf(out, "%s%d", k ? ", " : " in_place = [", f->in_place[k]);
    }
    if (f->in_place) fputs(f->nresults ? "]" : " in_place = []", out);
    if (f->planned) fprintf(out, " arena = %" PRId64, f->arena_bytes);
    print_loc(&p, f->loc);
    fputs(" {\n", out);
    KD_EACH_INSTR(i, f) print_instr(&p, i, 2);
    fputs("  return", out);
    print_values(&p, f->nresults, f->results);
    fputs("\n}\n", out);
}

/* Returns what stands in front of the next. */
static const char *print_flag(FILE *out, const char *between, const char *name) {
    fprintf(out, "%s%s = 1", between, name);
    return ", ";
}

static void print_param(Printer *p, const KdParam *x) {
    KdArena *scratch = kd_arena_create();
    fputs("param ", p->out);
    print_name(p->out, '%', kd_arena_format(scratch, "%s.%s", x->network, x->name));
    fputs(" : ", p->out);
    print_type(p, x->type);
    const char *between = " { ";
    if (x->init) {
        fputs(" { init = ", p->out);
        print_string(p->out, x->init);
        between = ", ";
        if (x->fan_in) fprintf(p->out, ", fan_in = %" PRId64, x->fan_in);
        if (x->fan_out) fprintf(p->out, ", fan_out = %" PRId64, x->fan_out);
        if (strcmp(x->init, "constant") == 0) {
            fputs(", value = ", p->out);
            print_number(p->out, x->value);
        }
    }
    if (x->running) between = print_flag(p->out, between, "running");
    if (x->auxiliary) between = print_flag(p->out, between, "auxiliary");
    if (x->facts) {
        fputs(between, p->out);
        print_attrs(p->out, x->facts);
        between = ", ";
    }
    if (*between == ',') fputs(" }", p->out);
    print_loc(p, x->loc);
    fputc('\n', p->out);
    kd_arena_destroy(scratch);
}

static void print_target(const KdTarget *t, FILE *out) {
    fputs("target { cpu = ", out);
    print_string(out, t->cpu);
    fprintf(out, ", vector = %d, registers = %d, l1 = %d, l2 = %d }\n", t->vector_bits,
            t->registers, t->l1_bytes, t->l2_bytes);
}

/* The function alone, as a module's text shows it. */
void kd_print_func(const KdFunc *f, FILE *out) {
    print_func(f, out);
}

/* The whole module; kd_parse_module reads it back. */
void kd_print_module(const KdModule *m, FILE *out) {
    Printer p = { .out = out, .m = m };
    fputs("kdc-ir 1\n", out);
    print_target(&m->target, out);
    if (m->source) {
        fputs("source ", out);
        print_string(out, m->source);
        fputc('\n', out);
    }
    for (int k = 0; k < m->nhypers; k++) {
        fputs("hyper ", out);
        print_name(out, '%', m->hypers[k]->name);
        fputs(" = ", out);
        print_number(out, m->hypers[k]->value);
        print_loc(&p, m->hypers[k]->loc);
        fputc('\n', out);
    }
    for (int k = 0; k < m->nparams; k++) print_param(&p, m->params[k]);
    if (m->program) {
        fputs("program { ", out);
        print_attrs(out, m->program);
        fputs(" }\n", out);
    }
    KD_EACH_FUNC(f, m) {
        fputc('\n', out);
        print_func(f, out);
    }
}

/* Text that is printed into memory. */
typedef struct Memory {
    char *text;
    size_t size;
} Memory;

static FILE *open_memory(Memory *memory) {
    *memory = (Memory){ 0 };
    FILE *out = open_memstream(&memory->text, &memory->size);
    if (!out) kd_out_of_memory(0);
    return out;
}

static char *take_text(Memory *memory, FILE *out, KdArena *a) {
    if (fclose(out) != 0) kd_out_of_memory(0);
    char *text = kd_arena_string(a, memory->text);
    free(memory->text);
    return text;
}

char *kd_module_text(const KdModule *m, KdArena *a) {
    Memory memory;
    FILE *out = open_memory(&memory);
    kd_print_module(m, out);
    return take_text(&memory, out, a);
}

char *kd_func_text(const KdFunc *f, KdArena *a) {
    Memory memory;
    FILE *out = open_memory(&memory);
    kd_print_func(f, out);
    return take_text(&memory, out, a);
}

char *kd_kernel_signature(const KdInstr *kernel, KdArena *a) {
    Memory memory;
    FILE *out = open_memory(&memory);
    Printer p = { .out = out, .m = kernel->func->module, .bare = true };
    fprintf(out, "batch <= %" PRId64 ", operands", kernel->func->max_batch);
    for (int k = 0; k < kernel->nargs; k++) {
        int same = 0;
        while (kernel->args[same] != kernel->args[k]) same++;
        fprintf(out, " %d", same);
    }
    fputs(", results", out);
    for (int k = 0; k < kernel->nresults; k++) {
        fputc(' ', out);
        print_type(&p, kernel->results[k]->type);
    }
    print_braces(&p, kernel);
    print_body(&p, kernel->body, 0);
    return take_text(&memory, out, a);
}
