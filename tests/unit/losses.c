/*
 * The losses of kd.loss against numbers from tests/numeric/kd_losses.py, which computes them in
 * NumPy by loops over samples and classes. Networks here only cut one input in two, so that logits
 * are what the formula says: x[b, k] = 3 sin((10 b + k) · 12.9898), the first five the student's.
 */
#include "frontend/script.h"
#include "ir/interp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 4, INPUTS = 10, CLASSES = 5 };

/* Element k of the argument, by its name; any other is a parameter of the loss. */
static double argument(const char *name, int64_t k) {
    if (strcmp(name, "images") == 0) return 3 * sin((double)k * 12.9898);
    if (strcmp(name, "epoch") == 0) return 3;
    if (strstr(name, ".loss.")) return cos(7 * (double)k) / 2;
    if (strcmp(name, "index") == 0) return (double)k;
    return strcmp(name, "labels") == 0 ? (double)((2 * k + 1) % CLASSES) : 0;
}

/* The script of one run with this loss, in a file that is gone when it returns. */
static KdScript *load(const char *teacher, const char *loss, KdDiag *d) {
    char path[] = "/tmp/kdc-losses-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fprintf(file,
            "local kd = require 'kd'\n"
            "local d = kd.data.npy { train_x = 'x', train_y = 'y', classes = 5, input = { 10 } }\n"
            "local t = kd.network('teacher', d.input, function(x) return x:slice(2, 6, 5) end)\n"
            "local u = kd.network('second', d.input, function(x) return x:slice(2, 3, 5) end)\n"
            "local one = kd.train { network = t, data = d }\n"
            "local two = { one, kd.train { network = u, data = d } }\n"
            "local s = kd.network('student', d.input, function(x) return x:slice(2, 1, 5) end)\n"
            "local function bent(first, map, n)\n"
            "  return function(x)\n"
            "    kd.site(x:slice(2, map, n):reshape { n // 2, 1, 2 }:tanh(), 'map')\n"
            "    local z = kd.site(kd.tanh(x:slice(2, first, 5)), 'cut')\n"
            "    return z * (1 + z:sum(2, { keep = true }))\n"
            "  end\n"
            "end\n"
            "local bent_student = kd.network('student_b', d.input, bent(1, 1, 4))\n"
            "local bent_teacher = kd.train { data = d,\n"
            "  network = kd.network('teacher_b', d.input, bent(6, 3, 8)) }\n"
            "return kd.distill { student = %s, data = d, teacher = %s, loss = %s }\n",
            strncmp(teacher, "bent", 4) == 0 ? "bent_student" : "s", teacher, loss);
    fclose(file);
    KdScript *s = kd_script_load(path, NULL, d);
    unlink(path);
    assert_non_null(s);
    return s;
}

static void check_taught(const char *teacher, const char *loss, double expected) {
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    KdScript *s = load(teacher, loss, &d);
    KdFunc *f = kd_module_func(s->runs[s->nruns - 1]->module, "objective");
    KdArena *a = kd_arena_create();
    KdTensor *args = KD_NEW_ARRAY(a, KdTensor, f->nargs), result;
    for (int k = 0; k < f->nargs; k++) {
        args[k] = kd_tensor_create(a, f->args[k]->type, ROWS, ROWS);
        for (int64_t j = 0; j < args[k].count; j++) args[k].data[j] = argument(f->args[k]->name, j);
    }
    KdInterp in = { .arena = a, .n = ROWS };
    assert_true(kd_interpret(&in, f, args, &result, &d));
    if (!(fabs(result.data[0] - expected) < 1e-6 * fabs(expected)))
        fail_msg("%s: %.12g, expected %.12g", loss, result.data[0], expected);
    kd_arena_destroy(a);
    kd_script_destroy(s);
}

static void check(const char *loss, double expected) {
    check_taught("one", loss, expected);
}

static void label_losses(void **state) {
    (void)state;
    check("kd.loss.cross_entropy()", 1.589497221989);
    check("kd.loss.cross_entropy { smoothing = 0.1 }", 1.644187331516);
}

static void teacher_losses(void **state) {
    (void)state;
    check("kd.loss.logits()", 31.577759932660);
    check("kd.loss.kl { temperature = 4 }", 2.422715581541);
    check("kd.loss.kl { temperature = 2, standardise = true }", 1.225346792157);
    check("kd.loss.dkd()", 21.377291366960);
    check("kd.loss.dkd { alpha = 2, beta = 0.5, temperature = 1 }", 1.450492502822);
    check("kd.loss.dist()", 2.978400817824);
    check("kd.loss.dist { beta = 2, gamma = 0.5, temperature = 4 }", 61.666869061355);
}

static void weighted_sum(void **state) {
    (void)state;
    check("0.3 * kd.loss.cross_entropy() + kd.loss.kl { temperature = 4 }",
          0.3 * 1.589497221989 + 2.422715581541);
}

/* Two teachers: the second's logits are x[b, 2 … 6]. */
static void ensembles(void **state) {
    (void)state;
    const char *kl = "kd.loss.kl()";
    check_taught("two", kl, 0.867494275349);
    check_taught("two, combine = kd.ensemble.logits { weights = { 3, 1 } }", kl, 1.341071028725);
    check_taught("two, combine = kd.ensemble.geometric()", kl, 0.867494275349);
    check_taught("two, combine = kd.ensemble.arithmetic()", kl, 0.908057111766);
    check_taught("two, combine = kd.ensemble.arithmetic { weights = { 3, 1 } }", kl,
                 1.327879731751);
    check_taught("two, combine = function(z) return z[2] end", kl, 0.334026977517);
    check_taught("two, combine = kd.ensemble.drawn { weights = { 1e9, 1 } }", kl, 1.842870655594);
    check_taught("two, combine = kd.ensemble.drawn { weights = { 1, 1e9 } }", kl, 0.334026977517);
}

/* Hidden layers and derivatives: z = tanh of the cut, logits z (1 + Σ z), maps of two pixels. */
static void check_bent(const char *loss, double expected) {
    check_taught("bent_teacher", loss, expected);
}

static void hidden_layers(void **state) {
    (void)state;
    check_bent("kd.loss.hint { student = 'cut', teacher = 'cut', regressor = false }",
               5.138800645099);
    check_bent("kd.loss.hint { student = 'cut', teacher = 'cut' }", 4.144130356254);
    check_bent("kd.loss.hint { student = 'map', teacher = 'map' }", 3.128854545127);
    check_bent("kd.loss.attention { student = 'map', teacher = 'map' }", 0.024257086995);
    check_bent("0.5 * kd.loss.attention { student = { 'map', 'cut' }, teacher = { 'map', 'cut' } }",
               0.118737809405);
    check_bent("function(s, t, y, at) return (4 - at.epoch) * kd.sum(at.student.cut, 2) end",
               0.970205324946);
}

static void derivatives(void **state) {
    (void)state;
    check_bent("kd.loss.gradient_attention()", 0.236592349575);
    check_bent("kd.loss.derivatives()", 1.892367870060);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_losses),  cmocka_unit_test(teacher_losses),
        cmocka_unit_test(weighted_sum),  cmocka_unit_test(ensembles),
        cmocka_unit_test(hidden_layers), cmocka_unit_test(derivatives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
