/*
 * `--eval WEIGHTS`: the test error of a weights file in a run's network, and the confusion matrix
 * by class name: a row per true class, a column per predicted one.
 */
#include "frontend/driver/data.h"
#include "frontend/driver/train.h"
#include "frontend/driver/weights.h"
#include "runtime/host/metrics.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* The text's bytes up to its letter number `most` (UTF-8), and how many letters those are. */
static int cut(const char *text, int most, int *letters) {
    int bytes = 0;
    for (*letters = 0; text[bytes]; bytes++) {
        bool begins = ((unsigned char)text[bytes] & 0xC0) != 0x80;
        if (begins && *letters == most) break;
        *letters += begins;
    }
    return bytes;
}

/* The text, or so much of it as there is room for, at the right of a column. */
static void print_right(const char *text, int width) {
    int letters, bytes = cut(text, width, &letters);
    printf("%*s%.*s", width - letters, "", bytes, text);
}

/* Width of the column of class names. */
static int name_width(const KdDataSpec *spec) {
    int width = 5, letters;
    for (int k = 0; spec->class_names && k < spec->classes; k++) {
        cut(spec->class_names[k], INT_MAX, &letters);
        if (letters > width) width = letters;
    }
    return width;
}

static const char *class_name(const KdDataSpec *spec, int k, char buf[16]) {
    if (spec->class_names) return spec->class_names[k];
    snprintf(buf, 16, "%d", k);
    return buf;
}

static void print_confusion(const KdDataSpec *spec, const int64_t *count) {
    int n = spec->classes, width = name_width(spec);
    char buf[16];
    printf("\n%*s   predicted\n%*s  ", width, "", width, "true");
    for (int c = 0; c < n; c++) {
        putchar(' ');
        print_right(class_name(spec, c, buf), 6);
    }
    printf("   error\n");
    for (int r = 0; r < n; r++) {
        int64_t sum = 0;
        print_right(class_name(spec, r, buf), width);
        printf("  ");
        for (int c = 0; c < n; c++) {
            sum += count[r * n + c];
            printf(" %6lld", (long long)count[r * n + c]);
        }
        double wrong = sum ? 1 - (double)count[r * n + r] / (double)sum : 0;
        printf("  %5.1f %%\n", 100 * wrong);
    }
}

static void print_auc(double auc) {
    if (isnan(auc))
        puts("AUC not known: all samples are of one class");
    else
        printf("AUC %.4f\n", auc);
}

static bool report(KdTraining *t, const char *weights, KdDiag *d) {
    const KdRun *run = t->c->run;
    const KdDataSpec *spec = run->data;
    KdrtSplit rows = t->data->test.count ? t->data->test : t->data->validation;
    if (rows.count == 0) return kd_error(d, spec->loc, "%s has no samples to test on", spec->name);
    if (!kd_weights_load(t->c->m, run->network, t->params, weights, d)) return false;
    float *logits = KD_NEW_ARRAY(t->arena, float, rows.count * spec->classes);
    int64_t *count = KD_NEW_ARRAY(t->arena, int64_t, spec->classes * spec->classes);
    double low, high, error = kd_training_error(t, t->params, rows, logits, d);
    int64_t wrong = kdrt_count_errors(logits, &t->data->y, rows.first, rows.count, spec->classes);
    kdrt_wilson(wrong, rows.count, &low, &high);
    kdrt_confusion(logits, &t->data->y, rows.first, rows.count, spec->classes, count);
    printf("%s in network %s, run %s\n", weights, run->network, run->name);
    printf("%s error %.2f %% (95 %% interval %.2f to %.2f), %lld of %lld samples wrong\n",
           t->data->test.count ? "test" : "validation", 100 * error, 100 * low, 100 * high,
           (long long)wrong, (long long)rows.count);
    if (spec->classes == 2) print_auc(kdrt_auc(logits, &t->data->y, rows.first, rows.count));
    print_confusion(spec, count);
    return true;
}

/* The run that was named, else the last one that is listed: the student of the script. */
static const KdRun *chosen(const KdScript *s, const KdDriveOptions *o, KdDiag *d) {
    if (!o->run) return s->listed[s->nlisted - 1];
    const KdRun *run = kd_script_run(s, o->run);
    if (!run) kd_error(d, (KdLoc){ s->path, 0 }, "no run is called '%s'", o->run);
    return run;
}

int kd_drive_evaluate(const KdScript *s, const KdDriveOptions *o, const char *weights, KdDiag *d) {
    const KdRun *run = chosen(s, o, d);
    if (!run) return 1;
    KdArena *a = kd_arena_create();
    KdDatasets all = { 0 };
    KdrtDataset data;
    KdEngine engine = { 0 };
    KdTraining t = { 0 };
    KdCompiled *c = NULL;
    bool ok =
        kd_data_open(&all, run->data, o->data_dir, &data, d) && kd_engine_create(&engine, o, a, d);
    if (ok) kd_data_schedule(run, &data);
    if (ok) c = kd_compile_run(run, o, &engine, a, d);
    ok = c && kd_training_create(&t, c, &data, d) && report(&t, weights, d);
    kd_training_destroy(&t);
    kd_compiled_destroy(c);
    kd_engine_destroy(&engine);
    kd_data_close(&all);
    kd_arena_destroy(a);
    return ok ? 0 : 1;
}
