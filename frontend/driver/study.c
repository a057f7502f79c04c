/*
 * Points of a grid compared over their seeds. Runs of one seed are pairs: what a seed does to all
 * of them (the order of the images, the first weights) falls out of the difference to the baseline.
 */
#include "frontend/driver/study.h"

#include "frontend/driver/rows.h"
#include "frontend/outfile.h"
#include "frontend/process.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* More than nine digits of errors leave open, less than a sample is worth. */
#define ROUNDING 1e-8

/* What the runs of one configuration came to. */
typedef struct Point {
    const KdStudyRun *first; /* of its runs; NULL: none ended */
    KdrtMean val, test, difference;
} Point;

static const KdRow *row_of(const KdOutput *out, const KdStudyRun *r) {
    return kd_output_finished(out, r->run->name);
}

/* The row of that configuration with that seed, or NULL. */
static const KdRow *find(const KdOutput *out, const KdStudy *study, int configuration, int seed) {
    for (int k = 0; k < study->nruns; k++)
        if (study->runs[k].configuration == configuration && study->runs[k].seed == seed)
            return row_of(out, &study->runs[k]);
    return NULL;
}

static int count_points(const KdStudy *study) {
    int most = 0;
    for (int k = 0; k < study->nruns; k++)
        if (study->runs[k].configuration > most) most = study->runs[k].configuration;
    return most + 1;
}

/* An error as study.csv keeps it: a row counts the same whether it was trained here or kept. */
static double kept_digits(double error) {
    char text[32];
    snprintf(text, sizeof text, "%.9g", error);
    return strtod(text, NULL);
}

static Point point_of(const KdOutput *out, const KdStudy *study, int configuration, KdArena *a) {
    Point p = { 0 };
    double *val = KD_NEW_ARRAY(a, double, study->nruns);
    double *test = KD_NEW_ARRAY(a, double, study->nruns);
    double *difference = KD_NEW_ARRAY(a, double, study->nruns);
    int n = 0, pairs = 0;
    for (int k = 0; k < study->nruns; k++) {
        const KdStudyRun *r = &study->runs[k];
        const KdRow *row = r->configuration == configuration ? row_of(out, r) : NULL;
        if (!row) continue;
        if (!p.first) p.first = r;
        val[n] = kept_digits(row->val_error);
        test[n++] = kept_digits(row->test_error);
        const KdRow *base = configuration ? find(out, study, 0, r->seed) : NULL;
        if (base) difference[pairs++] = test[n - 1] - kept_digits(base->test_error);
    }
    p.val = kdrt_mean(val, n);
    p.test = kdrt_mean(test, n);
    p.difference = kdrt_mean(difference, pairs);
    return p;
}

static Point *all_points(const KdOutput *out, const KdStudy *study, int n, KdArena *a) {
    Point *points = KD_NEW_ARRAY(a, Point, n);
    for (int k = 0; k < n; k++) points[k] = point_of(out, study, k, a);
    return points;
}

/* The point of the grid that validation prefers, the first of those that differ by rounding alone;
 * 0: there is none, or nothing validates. */
static int chosen(const Point *points, int n) {
    int best = 0;
    for (int k = 1; k < n; k++)
        if (points[k].first && !points[k].first->label && !isnan(points[k].val.mean) &&
            (!best || points[k].val.mean < points[best].val.mean - ROUNDING))
            best = k;
    return best;
}

/* --- study.csv ------------------------------------------------------------------------------ */

/* Writes what `print` prints to a file of the output folder. */
static bool write_text(const KdOutput *out, const KdStudy *study, const char *name,
                       void (*print)(const KdOutput *, const KdStudy *, FILE *), KdDiag *d) {
    char *text = NULL;
    size_t size = 0;
    KdrtError error;
    FILE *memory = open_memstream(&text, &size);
    if (!memory) kd_out_of_memory(0);
    print(out, study, memory);
    if (fclose(memory) != 0) kd_out_of_memory(size);
    const char *path = kd_arena_format(out->arena, "%s/%s", out->folder, name);
    bool ok = kdrt_file_write(path, &(KdrtPiece){ text, size }, 1, &error);
    free(text);
    return ok || kd_file_error(d, path, &error);
}

bool kd_study_csv(const KdOutput *out, const KdStudy *study, KdDiag *d) {
    return write_text(out, study, "study.csv", kd_rows_print, d);
}

/* --- the table ------------------------------------------------------------------------------ */

static const char *label_of(const KdStudy *study, const Point *p, KdArena *a) {
    if (p->first->label) return p->first->label;
    const char *label = "";
    for (int k = 0; k < study->naxes; k++)
        label = kd_arena_format(a, "%s%s%s %g", label, k ? ", " : "", study->axes[k],
                                p->first->values[k]);
    return label;
}

/* Is the row one of the study's runs, and not one of the teachers that they learn from? */
static bool is_of_study(const KdStudy *study, const KdRow *row) {
    for (int k = 0; k < study->nruns; k++)
        if (strcmp(study->runs[k].run->name, row->name) == 0) return true;
    return false;
}

/* "1.28 ± 0.05 %", in columns that count letters, not bytes. */
static void print_mean(FILE *to, const KdrtMean *m, const char *sign) {
    char format[32], text[64];
    if (isnan(m->mean)) {
        fprintf(to, "  %16s", "-");
        return;
    }
    snprintf(format, sizeof format, "%%%s.2f", sign);
    int length = snprintf(text, sizeof text, format, 100 * m->mean);
    fprintf(to, "  %*s%s", 7 - length, "", text);
    if (isnan(m->half_width))
        fputs("         %", to);
    else
        fprintf(to, " ± %4.2f %%", 100 * m->half_width);
}

void kd_study_table(const KdOutput *out, const KdStudy *study, FILE *to) {
    KdArena *a = kd_arena_create();
    int n = count_points(study), width = 13;
    Point *points = all_points(out, study, n, a);
    int best = chosen(points, n);
    for (int k = 0; k < n; k++) {
        int length = points[k].first ? (int)strlen(label_of(study, &points[k], a)) + 2 : 0;
        width = length > width ? length : width;
    }
    fprintf(to, "%-*s  seeds  %16s  %16s", width, "configuration", "val. error", "test error");
    fputs(points[0].first ? "       to baseline       p\n" : "\n", to);
    for (int k = 0; k < out->nrows; k++) {
        const KdRow *row = &out->rows[k];
        if (is_of_study(study, row)) continue;
        const KdrtMean val = kdrt_mean(&row->val_error, 1), test = kdrt_mean(&row->test_error, 1);
        fprintf(to, "%-*s  %5s", width, row->name, "");
        print_mean(to, &val, "");
        print_mean(to, &test, "");
        fputc('\n', to);
    }
    for (int k = 0; k < n; k++) {
        const Point *p = &points[k];
        if (!p->first) continue;
        const char *mark = k && k == best ? " *" : "";
        fprintf(to, "%-*s  %5d", width, kd_arena_format(a, "%s%s", label_of(study, p, a), mark),
                p->test.n);
        print_mean(to, &p->val, "");
        print_mean(to, &p->test, "");
        if (p->difference.n) print_mean(to, &p->difference, "+");
        if (p->difference.p < 0.001)
            fputs("  <0.001", to);
        else if (!isnan(p->difference.p))
            fprintf(to, "  %6.3f", p->difference.p);
        fputc('\n', to);
    }
    if (best)
        fputs("* lowest mean validation error; ± is the 95 % interval over seeds (Student's t), p "
              "of a paired t-test\n",
              to);
    kd_arena_destroy(a);
}

/* --- the plot ------------------------------------------------------------------------------- */

/* The axis to draw along: the one with the most values. */
static int drawn_axis(const KdStudy *study) {
    int best = 0, most = 0;
    for (int axis = 0; axis < study->naxes; axis++) {
        int distinct = 0;
        for (int k = 0; k < study->nruns; k++) {
            bool first = !study->runs[k].label;
            for (int j = 0; j < k && first; j++)
                first = study->runs[j].values[axis] != study->runs[k].values[axis];
            distinct += first;
        }
        if (distinct > most) best = axis;
        if (distinct > most) most = distinct;
    }
    return best;
}

/* Do a and b differ in that axis alone? */
static bool same_series(const KdStudy *study, const KdStudyRun *a, const KdStudyRun *b, int axis) {
    for (int k = 0; k < study->naxes; k++)
        if (k != axis && a->values[k] != b->values[k]) return false;
    return true;
}

static const char *series_title(const KdStudy *study, const KdStudyRun *r, int axis, KdArena *a) {
    const char *title = "";
    for (int k = 0; k < study->naxes; k++)
        if (k != axis)
            title = kd_arena_format(a, "%s%s%s = %g", title, *title ? ", " : "", study->axes[k],
                                    r->values[k]);
    return *title ? title : "students";
}

static double half(const KdrtMean *m) {
    return isnan(m->half_width) ? 0 : m->half_width;
}

/* The measured points of the series that `first` is of, along the axis, to `of`; how many. */
static int series_points(const KdStudy *study, const Point *points, int n, const KdStudyRun *first,
                         const Point **of) {
    int count = 0, axis = drawn_axis(study);
    for (int k = 1; k < n; k++) {
        const Point *p = &points[k];
        if (!p->first || p->first->label || isnan(p->test.mean) ||
            !same_series(study, first, p->first, axis))
            continue;
        int at = count++;
        for (; at > 0 && of[at - 1]->first->values[axis] > p->first->values[axis]; at--)
            of[at] = of[at - 1];
        of[at] = p;
    }
    return count;
}

/* A block of data for each series: axis, mean, half width, in per cent. */
static int print_blocks(const KdStudy *study, const Point *points, int n, FILE *to,
                        const KdStudyRun **series, KdArena *a) {
    int count = 0, axis = drawn_axis(study);
    const Point **of = KD_NEW_ARRAY(a, const Point *, n);
    for (int k = 1; k < n; k++) {
        bool known = !points[k].first || points[k].first->label;
        for (int s = 0; s < count && !known; s++)
            known = same_series(study, series[s], points[k].first, axis);
        if (known) continue;
        fprintf(to, "$series%d << EOD\n", count);
        int measured = series_points(study, points, n, points[k].first, of);
        for (int j = 0; j < measured; j++)
            fprintf(to, "%.9g %.6f %.6f\n", of[j]->first->values[axis], 100 * of[j]->test.mean,
                    100 * half(&of[j]->test));
        fputs("EOD\n", to);
        series[count++] = points[k].first;
    }
    return count;
}

typedef struct Range {
    double low, high;
} Range;

static void extend(Range *r, double x) {
    if (!(r->low <= x)) r->low = x;
    if (!(r->high >= x)) r->high = x;
}

/* Around all values; around a single one gnuplot warns unless it is told how much to show. */
static void print_range(FILE *to, const char *axis, Range r) {
    double margin = r.low < r.high ? (r.high - r.low) * 0.08 : r.low == 0 ? 1 : fabs(r.low) / 10;
    if (r.low <= r.high)
        fprintf(to, "set %srange [%.9g:%.9g]\n", axis, r.low - margin, r.high + margin);
}

/* The baseline, points[0], is drawn beside the data, of which alone gnuplot takes its ranges. */
static void print_ranges(const KdStudy *study, const Point *points, int n, FILE *to) {
    Range x = { NAN, NAN }, y = { NAN, NAN };
    for (int k = 0; k < n; k++) {
        const Point *p = &points[k];
        if (!p->first || (k > 0 && p->first->label) || isnan(p->test.mean)) continue;
        if (k > 0) extend(&x, p->first->values[drawn_axis(study)]);
        extend(&y, 100 * (p->test.mean - half(&p->test)));
        extend(&y, 100 * (p->test.mean + half(&p->test)));
    }
    print_range(to, "x", x);
    print_range(to, "y", y);
}

static void print_gnuplot(const KdOutput *out, const KdStudy *study, FILE *to) {
    KdArena *a = kd_arena_create();
    int n = count_points(study);
    Point *points = all_points(out, study, n, a);
    const KdStudyRun **series = KD_NEW_ARRAY(a, const KdStudyRun *, n);
    fputs("# gnuplot study.gp > study.svg\n"
          "set terminal svg size 720,440 background 'white' font 'sans-serif,14'\n"
          "set border 3 lc rgb '#555555'\nset tics nomirror out\nset grid ytics lc rgb '#dddddd'\n"
          "set key outside top center horizontal\nset ylabel 'test error [%], mean and 95 % "
          "interval over seeds'\n",
          to);
    fprintf(to, "set xlabel '%s' noenhanced\n", study->axes[drawn_axis(study)]);
    print_ranges(study, points, n, to);
    int count = print_blocks(study, points, n, to, series, a);
    bool base = points[0].first && !isnan(points[0].test.mean);
    if (base) {
        double mean = 100 * points[0].test.mean, width = 100 * half(&points[0].test);
        fprintf(to,
                "set object 1 rectangle from graph 0, first %.6f to graph 1, first %.6f behind "
                "fc rgb '#4c72b0' fs transparent solid 0.15 noborder\n"
                "set arrow 1 from graph 0, first %.6f to graph 1, first %.6f nohead lw 2 "
                "lc rgb '#4c72b0'\n",
                mean - width, mean + width, mean, mean);
    }
    fputs("plot ", to);
    if (base) fputs("NaN with lines lw 2 lc rgb '#4c72b0' title 'baseline', ", to);
    for (int s = 0; s < count; s++)
        fprintf(to, "%s$series%d with yerrorlines lw 2 pt 7 ps 0.6 title '%s' noenhanced",
                s ? ", " : "", s, series_title(study, series[s], drawn_axis(study), a));
    fputc('\n', to);
    kd_arena_destroy(a);
}

/* Draws the script into study.svg, which is made only when gnuplot succeeds. */
static int draw(const char *script, const char *picture, KdArena *a, KdDiag *d) {
    KdOutFile svg;
    FILE *in = fopen(script, "r");
    if (!in) return KD_PROCESS_FAILED;
    int status = KD_PROCESS_FAILED;
    if (kd_outfile_open(&svg, picture, a, d)) {
        status = kd_process_filter((const char *const[]){ "gnuplot", NULL }, in, svg.stream);
        if (!kd_outfile_close(&svg, status == 0, d) && status == 0) status = KD_PROCESS_FAILED;
    }
    fclose(in);
    return status;
}

bool kd_study_plot(const KdOutput *out, const KdStudy *study, FILE *to, KdDiag *d) {
    bool measured = false;
    for (int k = 0; k < study->nruns; k++) {
        const KdRow *row = study->runs[k].label ? NULL : row_of(out, &study->runs[k]);
        measured |= row && !isnan(row->test_error);
    }
    if (!measured) return true; /* data without a test set: nothing to draw */
    if (!write_text(out, study, "study.gp", print_gnuplot, d)) return false;
    const char *script = kd_arena_format(out->arena, "%s/study.gp", out->folder);
    const char *picture = kd_arena_format(out->arena, "%s/study.svg", out->folder);
    int status = draw(script, picture, out->arena, d);
    if (status != 0 && status != KD_PROCESS_MISSING)
        return kd_error(d, (KdLoc){ script, 0 }, "gnuplot failed");
    if (status == 0)
        fprintf(to, "plot: %s\n", picture);
    else
        fprintf(to, "plot: %s, by gnuplot, which is not installed (Debian's gnuplot-nox)\n",
                script);
    return true;
}
