/*
 * A module as a drawing for Graphviz: a box for each instruction with its shape, bytes and
 * multiplications, a list of ops in the box of a fused kernel, a cluster for each role within a
 * function. Leaves are left out: a constant at every user would hide the graph.
 */
#include "ir/text.h"

#include <inttypes.h>
#include <string.h>

typedef struct Dot {
    FILE *out;
    int function; /* its number: names of nodes begin with it */
} Dot;

static const char *const roles[] = { "teacher", "student", "loss", "noise", "gradient", "update" };
static const char *const colors[] = { "#dbe9f6", "#dcf0dc", "#f7e3d0",
                                      "#f6dcdc", "#ebe1f5", "#eeeeee" };
enum { NUM_ROLES = sizeof roles / sizeof *roles };

/* Quotes and backslashes escaped; Graphviz takes the rest as it is. */
static void print_text(const Dot *g, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', g->out);
        fputc(*text, g->out);
    }
}

enum { OPS_IN_LINE = 6 };

static bool is_leaf(const KdInstr *i) {
    return kd_op_has(i->op, KD_T_LEAF);
}

/* Multiplications of a contraction for a full batch, also of the one inside a kernel. */
static int64_t multiplications(const KdInstr *i) {
    int64_t total = 0;
    if (i->body) {
        KD_EACH_INSTR(k, i->body) total += multiplications(k);
    } else if (i->contract) {
        int64_t bound = i->func->max_batch;
        total = kd_type_elements(i->results[0]->type, bound, 1);
        for (int k = 0; k < i->contract->nover; k++) {
            total *= i->contract->over[k] == KD_BATCH ? bound : i->contract->over[k];
        }
    }
    return total;
}

/* 12 B, 3.4 kB, 5.6 M mult. … */
static void print_count(const Dot *g, int64_t n, const char *unit) {
    static const char *const scale[] = { "", "k", "M", "G", "T" };
    double x = (double)n;
    int k = 0;
    for (; x >= 10000 && k < 4; k++) x /= 1000;
    fprintf(g->out, "\\n%.*f %s%s", k && x < 100 ? 1 : 0, x, scale[k],
            unit + (k == 0 && *unit == ' '));
}

static void print_value(const Dot *g, const KdValue *v) {
    char text[KD_TYPE_TEXT];
    fputs("\\n%", g->out);
    print_text(g, v->name);
    fprintf(g->out, " %s", kd_type_text(v->type, text));
}

/* Its ops in order, some to a line. */
static void print_body(const Dot *g, const KdInstr *kernel) {
    int n = 0;
    KD_EACH_INSTR(i, kernel->body) {
        if (is_leaf(i)) continue;
        fputs(n == 0 ? "\\l    " : n % OPS_IN_LINE == 0 ? ",\\l    " : ", ", g->out);
        fputs(kd_op_info(i->op)->text, g->out);
        n++;
    }
    fputs("\\l", g->out);
}

static void print_node(const Dot *g, const KdInstr *i) {
    fprintf(g->out, "    f%dv%d [label=\"", g->function, i->results[0]->id);
    if (i->body) {
        fprintf(g->out, "%s kernel", kd_attr_str(i->attrs, "kind", ""));
        print_body(g, i);
    } else {
        fputs(kd_op_info(i->op)->text, g->out);
    }
    int64_t bytes = 0;
    for (int k = 0; k < i->nresults; k++) {
        print_value(g, i->results[k]);
        bytes += kd_type_bytes(i->results[k]->type, i->func->max_batch, 1);
    }
    if (!kd_op_has(i->op, KD_T_ALIAS)) print_count(g, bytes, "B");
    if (multiplications(i)) print_count(g, multiplications(i), " mult.");
    fprintf(g->out, "\"%s];\n", i->body ? ", penwidth=2" : "");
}

static void print_cluster(const Dot *g, const KdFunc *f, int role) {
    bool open = false;
    KD_EACH_INSTR(i, f) {
        bool here = role < NUM_ROLES ? i->role && strcmp(i->role, roles[role]) == 0 : !i->role;
        if (!here || is_leaf(i)) continue;
        if (!open && role < NUM_ROLES) {
            fprintf(g->out,
                    "  subgraph cluster_f%d_%s { label=\"%s\"; style=filled; color=\"%s\";\n",
                    g->function, roles[role], roles[role], colors[role]);
        }
        open = true;
        print_node(g, i);
    }
    if (open && role < NUM_ROLES) fputs("  }\n", g->out);
}

static void print_edges(const Dot *g, const KdInstr *i) {
    for (int k = 0; k < i->nargs; k++) {
        const KdValue *v = i->args[k];
        if (v->def && is_leaf(v->def)) continue;
        int from = v->def ? v->def->results[0]->id : v->id;
        fprintf(g->out, "  f%dv%d -> f%dv%d;\n", g->function, from, g->function, i->results[0]->id);
    }
}

static void print_function(const Dot *g, const KdFunc *f) {
    fprintf(g->out, " subgraph cluster_f%d { label=\"@", g->function);
    print_text(g, f->name);
    fputs("\"; color=\"#888888\";\n", g->out);
    for (int k = 0; k < f->nargs; k++) {
        fprintf(g->out, "    f%dv%d [shape=ellipse, label=\"%s", g->function, f->args[k]->id,
                f->args[k]->kind ? f->args[k]->kind : "");
        print_value(g, f->args[k]);
        fputs("\"];\n", g->out);
    }
    for (int role = 0; role <= NUM_ROLES; role++) print_cluster(g, f, role);
    KD_EACH_INSTR(i, f) {
        if (!is_leaf(i)) print_edges(g, i);
    }
    for (int k = 0; k < f->nresults; k++) {
        const KdValue *v = f->results[k];
        int from = v->def ? v->def->results[0]->id : v->id;
        fprintf(g->out, "    f%dr%d [shape=ellipse, label=\"result %d\"];\n", g->function, k, k);
        if (!v->def || !is_leaf(v->def))
            fprintf(g->out, "  f%dv%d -> f%dr%d;\n", g->function, from, g->function, k);
    }
    fputs(" }\n", g->out);
}

void kd_print_dot(const KdModule *m, FILE *out) {
    Dot g = { out, 0 };
    fputs("digraph kdc {\n node [shape=box, fontname=\"Helvetica\", fontsize=10, style=filled, "
          "fillcolor=white];\n graph [fontname=\"Helvetica\", fontsize=12];\n edge "
          "[color=\"#555555\", "
          "arrowsize=0.6];\n",
          out);
    KD_EACH_FUNC(f, m) {
        print_function(&g, f);
        g.function++;
    }
    fputs("}\n", out);
}
