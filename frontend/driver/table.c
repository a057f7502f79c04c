/*
 * The table that ends the main job. Columns are as wide as their widest cell, and one that is empty
 * is left out; errors carry the 95 % Wilson interval of the test set's size, so that nobody reads
 * noise as a result.
 */
#include "frontend/driver/output.h"
#include "runtime/host/metrics.h"

#include <math.h>
#include <string.h>

#define COLUMNS 11
#define CELL    96 /* room for a name of 64 letters, and "(reused)" */
#define AUC     6  /* a column only where some run has two classes */

typedef char Line[COLUMNS][CELL];

static void percent(char *cell, double fraction) {
    if (isnan(fraction)) {
        snprintf(cell, CELL, "-");
    } else {
        snprintf(cell, CELL, "%.2f %%", 100 * fraction);
    }
}

/* 1234567 as "1,234,567". */
static void grouped(char *cell, int64_t n) {
    char digits[CELL];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int k = 0; k < length && at < CELL - 2; k++) {
        if (k && (length - k) % 3 == 0) cell[at++] = ',';
        cell[at++] = digits[k];
    }
    cell[at] = '\0';
}

static void fill(Line line, const KdRow *r) {
    snprintf(line[0], CELL, "%s%s", r->name,
             !r->reused  ? ""
             : r->epochs ? " (reused)"
                         : " (loaded)");
    grouped(line[1], r->params);
    grouped(line[2], r->bytes);
    grouped(line[3], r->macs);
    percent(line[4], r->val_error);
    if (isnan(r->test_error)) {
        snprintf(line[5], CELL, "-");
    } else {
        double low, high;
        kdrt_wilson(llround(r->test_error * (double)r->test_samples), r->test_samples, &low, &high);
        snprintf(line[5], CELL, "%.2f %% [%.2f, %.2f]", 100 * r->test_error, 100 * low, 100 * high);
    }
    if (!isnan(r->test_auc)) snprintf(line[AUC], CELL, "%.4f", r->test_auc);
    percent(line[7], r->agreement);
    snprintf(line[8], CELL, "%lld", (long long)r->epochs);
    snprintf(line[9], CELL, "%.1f", r->seconds);
    if (r->epochs && !isnan(r->images_per_second))
        grouped(line[10], (int64_t)llround(r->images_per_second));
    else
        snprintf(line[10], CELL, "-");
}

static void show(FILE *to, Line line, const size_t *width, const char *on, const char *off) {
    fputs(on, to);
    for (size_t c = 0; c < COLUMNS; c++) {
        if (width[c] == 0) continue;
        int pad = (int)(width[c] - strlen(line[c]));
        if (c == 0) {
            fprintf(to, "%s%*s", line[c], pad, "");
        } else {
            fprintf(to, "  %*s%s", pad, "", line[c]);
        }
    }
    fprintf(to, "%s\n", off);
}

void kd_output_table(const KdOutput *out, FILE *to, bool color) {
    KdArena *a = kd_arena_create();
    Line *line = kd_arena_array(a, (size_t)out->nrows + 1, sizeof *line);
    static const char *const heads[COLUMNS] = {
        "run", "parameters", "bytes",  "mult.",   "val. error", "test error [95 % interval]",
        "AUC", "agrees",     "epochs", "seconds", "images/s",
    };
    size_t width[COLUMNS] = { 0 };
    for (size_t c = 0; c < COLUMNS; c++) snprintf(line[0][c], CELL, "%s", heads[c]);
    for (int r = 0; r < out->nrows; r++) fill(line[r + 1], &out->rows[r]);
    bool any = false; /* a run of two classes */
    for (int r = 0; r < out->nrows; r++) any |= !isnan(out->rows[r].test_auc);
    if (!any) line[0][AUC][0] = '\0';
    for (int r = 0; r <= out->nrows; r++)
        for (size_t c = 0; c < COLUMNS; c++)
            if (strlen(line[r][c]) > width[c]) width[c] = strlen(line[r][c]);
    show(to, line[0], width, color ? "\033[1m" : "", color ? "\033[0m" : "");
    for (int r = 0; r < out->nrows; r++) show(to, line[r + 1], width, "", "");
    kd_arena_destroy(a);
}
