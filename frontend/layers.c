/*
 * The layer table of `kdc FILE.lua`: per network, what the first trace noted of each layer; per
 * run, what memory planning gave its functions. No data file is touched.
 */
#include "frontend/script.h"

#include "frontend/commands.h"

#include <inttypes.h>

KdNetworkCost kd_network_cost(const KdNetwork *n) {
    KdNetworkCost cost = { 0, 0, 0 };
    for (int k = 0; k < n->nparams; k++)
        if (!n->params[k]->running) cost.params += kd_type_elements(n->params[k]->type, 1, 1);
    for (int k = 0; k < n->nlayers; k++) {
        cost.multiplications += n->layers[k]->multiplications;
        cost.activation_bytes += kd_type_bytes(n->layers[k]->type, 1, 1);
    }
    return cost;
}

static void print_network(const KdNetwork *n, FILE *out) {
    char text[KD_TYPE_TEXT];
    fprintf(out, "network %s, input %s\n", n->name, kd_type_text(n->input, text));
    fprintf(out, "  %-14s %-12s %-20s %11s %15s %17s\n", "layer", "kind", "shape", "parameters",
            "multiplications", "activation bytes");
    for (int k = 0; k < n->nlayers; k++) {
        const KdLayer *l = n->layers[k];
        fprintf(out, "  %-14s %-12s %-20s %11" PRId64 " %15" PRId64 " %17" PRId64 "\n", l->name,
                l->kind, kd_type_text(l->type, text), l->params, l->multiplications,
                kd_type_bytes(l->type, 1, 1));
    }
    KdNetworkCost cost = kd_network_cost(n);
    fprintf(out, "  %-14s %-12s %-20s %11" PRId64 " %15" PRId64 " %17" PRId64 "\n", "total", "", "",
            cost.params, cost.multiplications, cost.activation_bytes);
    fprintf(out,
            "  (multiplications and activation bytes for one sample; parameters take %" PRId64
            " bytes)\n\n",
            cost.params * 4);
}

static void print_bytes(FILE *out, int64_t bytes) {
    if (bytes >= 1 << 20)
        fprintf(out, "%.1f MiB", (double)bytes / (1 << 20));
    else
        fprintf(out, "%.1f KiB", (double)bytes / (1 << 10));
}

/* Planned bytes of each function that a driver would compile. */
static void print_memory(const KdRun *run, FILE *out) {
    if (run->weights) {
        fprintf(out, "run %-12s loads %s from %s\n", run->name, run->network, run->weights);
        return;
    }
    fprintf(out, "run %-12s trains %s, batch %" PRId64 ", %" PRId64 " epochs; planned memory:",
            run->name, run->network, run->batch, run->epochs);
    static const char *const names[] = { "step", "evaluate", "teacher_logits" };
    bool any = false;
    for (int k = 0; k < 3; k++) {
        const KdFunc *f = kd_module_func(run->module, names[k]);
        if (!f || !f->planned) continue;
        fprintf(out, "%s %s ", any ? "," : "", names[k]);
        print_bytes(out, f->arena_bytes);
        fputs(" (live at once ", out);
        print_bytes(out, kd_live_lower_bound(f));
        fputc(')', out);
        any = true;
    }
    fprintf(out, "%s\n", any ? "" : " none");
}

bool kd_print_layers(KdScript *s, const KdPipeline *passes, FILE *times, FILE *out, KdDiag *d) {
    for (int k = 0; k < s->nnetworks; k++) print_network(s->networks[k], out);
    for (int k = 0; k < s->nlisted; k++) {
        KdPipeline p = *passes;
        if (s->study && s->study->runs[k].seed > 1) continue; /* the same code again */
        if (!kd_run_timed(s->listed[k]->module, &p, times, d)) return false;
        print_memory(s->listed[k], out);
    }
    if (s->study)
        fprintf(out, "study: %d runs, each configuration with %d seeds\n", s->study->nruns,
                s->study->runs[s->study->nruns - 1].seed);
    return true;
}
