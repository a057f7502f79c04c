/*
 * Metrics against values worked out by hand; initialisers against their variances; OpenBLAS against
 * plain loops; the progress line and JSON reports as a reader sees them.
 */
#include "runtime/host/metrics.h"
#include "runtime/host/blas.h"
#include "runtime/host/progress.h"
#include "runtime/host/report.h"
#include "runtime/init.h"
#include "runtime/kdrt.h"

#include "tests/unit/host_files.h"

#include <math.h>

static const float logits[] = { 1, 3, 2, 0, 0, 0, -1, -2, 5, 4, 1, 4 };
static uint8_t label_bytes[] = { 9, 1, 2, 2, 2 }; /* rows begin at 1 */
static const KdrtArray labels = { KDRT_U8, 1, { 5 }, label_bytes };

static void errors(void **state) {
    (void)state;
    assert_int_equal(kdrt_argmax(logits, 3), 1);
    assert_int_equal(kdrt_argmax(logits + 3, 3), 0); /* a tie: the first */
    assert_int_equal(kdrt_argmax((const float[]){ NAN, -1, NAN }, 3), 1);
    assert_int_equal(kdrt_count_errors(logits, &labels, 1, 4, 3), 2);
    int64_t confusion[9];
    kdrt_confusion(logits, &labels, 1, 4, 3, confusion);
    const int64_t expected[9] = { 0, 0, 0, 0, 1, 0, 2, 0, 1 };
    assert_memory_equal(confusion, expected, sizeof expected);
    const float other[] = { 0, 1, 0, 9, 0, 0, 9, 0, 0, 9, 0, 0 };
    assert_true(fabs(kdrt_agreement(logits, other, 4, 3) - 0.75) < 1e-12);
    int32_t wide[] = { 1, 2 };
    const KdrtArray words = { KDRT_I32, 1, { 2 }, wide };
    assert_int_equal(kdrt_count_errors(logits, &words, 0, 2, 3), 1);
}

/* Logits (0, s): pairs of a one above a zero are counted by hand, ties half. */
static void area_under_curve(void **state) {
    (void)state;
    const float scores[] = { 0, 3, 0, 1, 0, 2, 0, 2, 0, -1 };
    uint8_t bytes[] = { 7, 1, 0, 1, 0, 0 }, same[] = { 1, 1 };
    const KdrtArray five = { KDRT_U8, 1, { 6 }, bytes }, ones = { KDRT_U8, 1, { 2 }, same };
    assert_true(fabs(kdrt_auc(scores, &five, 1, 5) - 5.5 / 6) < 1e-12);
    bytes[1] = 0;
    bytes[2] = 1; /* ones at 1 and 2, zeros at 3, 2, -1: they win 1 and 1.5 */
    assert_true(fabs(kdrt_auc(scores, &five, 1, 5) - 2.5 / 6) < 1e-12);
    assert_true(isnan(kdrt_auc(scores, &ones, 0, 2)));
}

static void intervals(void **state) {
    (void)state;
    double low, high;
    kdrt_wilson(10, 100, &low, &high); /* published: 0.0552 to 0.1744 */
    assert_true(fabs(low - 0.05523) < 1e-4 && fabs(high - 0.17437) < 1e-4);
    kdrt_wilson(0, 10, &low, &high);
    assert_true(low == 0 && fabs(high - 0.27753) < 1e-4);
    kdrt_wilson(10, 10, &low, &high);
    assert_true(high == 1 && fabs(low - 0.72247) < 1e-4);
    kdrt_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 1);
}

static double variance(const float *x, int64_t n, double *top) {
    double sum = 0;
    *top = 0;
    for (int64_t k = 0; k < n; k++) {
        sum += (double)x[k] * (double)x[k];
        if (fabs((double)x[k]) > *top) *top = fabs((double)x[k]);
    }
    return sum / (double)n;
}

static void initialisers(void **state) {
    (void)state;
    const int64_t n = 40000;
    float *x = malloc((size_t)n * 4), *y = malloc((size_t)n * 4);
    static const struct {
        const char *kind;
        double variance, bound;
    } cases[] = { { "he_normal", 2.0 / 50, 9 },
                  { "he_uniform", 2.0 / 50, 0.34642 },
                  { "glorot_normal", 2.0 / 80, 9 },
                  { "glorot_uniform", 2.0 / 80, 0.27387 },
                  { "fan_uniform", 1.0 / 150, 0.14143 } };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        KdrtInit init = { "net", "fc1.weight", cases[k].kind, 50, 30, 0 };
        double top;
        assert_true(kdrt_init(&init, 7, x, n));
        assert_true(fabs(variance(x, n, &top) / cases[k].variance - 1) < 0.03);
        assert_true(top <= cases[k].bound);
        init.parameter = "fc2.weight"; /* another stream */
        assert_true(kdrt_init(&init, 7, y, n));
        assert_memory_not_equal(x, y, (size_t)n * 4);
    }
    KdrtInit init = { "net", "fc1.bias", "constant", 0, 0, 0.25 };
    assert_true(kdrt_init(&init, 7, x, n));
    assert_true(x[0] == 0.25f && x[n - 1] == 0.25f);
    init.kind = "he_triangular";
    assert_false(kdrt_init(&init, 7, x, n));
    init.kind = "orthogonal";
    assert_false(kdrt_init(&init, 7, x, n));
    free(x);
    free(y);
}

static void blas(void **state) {
    (void)state;
    KdrtError error = { "" };
    assert_true(kdrt_blas_start(&error));
    assert_non_null(strstr(kdrt_blas_name(), "OpenBLAS"));
    const float a[] = { 1, 2, 3, 4, 5, 6 }, b[] = { 1, 0, 2, 0, 1, 1 }; /* [2,3], [2,3] */
    float c[] = { 1, 1, 1, 1 };
    kdrt_sgemm(0, 1, 2, 2, 3, a, 3, b, 3, 1.0f, c, 2); /* a b^T + 1 */
    assert_true(c[0] == 8 && c[1] == 6 && c[2] == 17 && c[3] == 12);
}

static void progress_lines(void **state) {
    (void)state;
    char *folder = make_folder(), path[600], time[KDRT_TIME_TEXT];
    snprintf(path, sizeof path, "%s/progress", folder);
    FILE *out = fopen(path, "wb");
    KdrtProgress p;
    const KdrtProgressNow now = { 1, 500, 0.25 };
    kdrt_progress_begin(&p, out, false, "noisy");
    kdrt_progress_size(&p, 4, 1000, 64, 0);
    p.began -= 10; /* ten seconds ago */
    kdrt_progress_show(&p, &now);
    p.shown -= 10;
    kdrt_progress_show(&p, &now);
    kdrt_progress_note(&p, "epoch %d done", 2);
    kdrt_progress_end(&p);
    kdrt_progress_begin(&p, out, true, "silent");
    p.shown -= 10;
    kdrt_progress_show(&p, &now);
    kdrt_progress_note(&p, "nothing");
    fclose(out);
    size_t bytes;
    char *text = (char *)get_bytes(path, &bytes);
    text[bytes] = 0;
    assert_string_equal(
        text, "noisy        epoch 2/4  batch  8/16  loss 0.2500  150 images/s  17 s left\n"
              "epoch 2 done\n");
    free(text);
    remove_folder(folder);
    assert_string_equal(kdrt_time_text(12.4, time), "12 s");
    assert_string_equal(kdrt_time_text(245, time), "4:05");
    assert_string_equal(kdrt_time_text(5025, time), "1:23:45");
    assert_string_equal(kdrt_time_text(NAN, time), "0 s");
}

static void reports(void **state) {
    (void)state;
    char *folder = make_folder(), path[600];
    snprintf(path, sizeof path, "%s/summary.json", folder);
    KdrtError error = { "" };
    KdrtJson *json = kdrt_json_object();
    KdrtJson *run = kdrt_json_append(kdrt_json_array(json, "runs"));
    kdrt_json_string(run, "name", "a \"b\"\n");
    kdrt_json_number(run, "loss", NAN);
    kdrt_json_number(run, "error", 0.125);
    kdrt_json_integer(json, "large", INT64_MAX);
    kdrt_json_hash(json, "hash", 0xabcu);
    kdrt_json_bool(kdrt_json_child(json, "of"), "yes", true);
    assert_true(kdrt_json_write(path, json, &error));
    KdrtJson *again = kdrt_json_read(path, &error);
    assert_non_null(again);
    assert_true(kdrt_json_equal(json, again));
    assert_string_equal(kdrt_json_get_string(again, "hash", ""), "0000000000000abc");
    assert_string_equal(kdrt_json_get_string(again, "large", ""), "9223372036854775807");
    assert_string_equal(kdrt_json_get_string(again, "none", "absent"), "absent");
    assert_true(kdrt_json_get_number(again, "hash", -1) == -1);
    kdrt_json_integer(again, "more", 1);
    assert_false(kdrt_json_equal(json, again));
    kdrt_json_free(again);

    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    assert_true(kdrt_json_append_line(path, run, &error));
    assert_true(kdrt_json_append_line(path, run, &error));
    size_t bytes;
    char *text = (char *)get_bytes(path, &bytes);
    text[bytes] = 0;
    const char *line = "{\"name\":\"a \\\"b\\\"\\n\",\"loss\":null,\"error\":0.125}\n";
    assert_int_equal(bytes, 2 * strlen(line));
    assert_memory_equal(text, line, strlen(line));
    free(text);
    put_bytes(path, "{\"a\": 1", 7);
    assert_null(kdrt_json_read(path, &error));
    assert_non_null(strstr(error.text, "expected JSON"));
    kdrt_json_free(json);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),    cmocka_unit_test(area_under_curve),
        cmocka_unit_test(intervals), cmocka_unit_test(initialisers),
        cmocka_unit_test(blas),      cmocka_unit_test(progress_lines),
        cmocka_unit_test(reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
