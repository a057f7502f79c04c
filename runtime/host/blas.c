/* OpenBLAS behind a signature of our own; see the header. */
#include "runtime/host/blas.h"

#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <cblas.h>
#include <math.h>

void kdrt_sgemm(int32_t transpose_a, int32_t transpose_b, int64_t m, int64_t n, int64_t k,
                const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                int64_t ldc) {
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0f,
                a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

const char *kdrt_blas_name(void) {
    return openblas_get_config();
}

#define TEST_MAX 67

typedef struct BlasTest {
    float a[TEST_MAX * TEST_MAX], b[TEST_MAX * TEST_MAX], c[TEST_MAX * TEST_MAX];
} BlasTest;

/* Element (row, column) of op(X), X row-major with rows of ld. */
static double at(const float *x, int ld, int transpose, int row, int column) {
    return (double)(transpose ? x[column * ld + row] : x[row * ld + column]);
}

/* The largest difference from plain sums over a product of that size. */
static double worst_error(BlasTest *t, int m, int n, int k, int transposes) {
    int ta = transposes & 1, tb = transposes >> 1;
    int lda = ta ? m : k, ldb = tb ? k : n;
    for (int e = 0; e < m * n; e++) t->c[e] = NAN; /* beta 0 must not read it */
    kdrt_sgemm(ta, tb, m, n, k, t->a, lda, t->b, ldb, 0.0f, t->c, n);
    double worst = 0;
    for (int row = 0; row < m; row++) {
        for (int column = 0; column < n; column++) {
            double sum = 0;
            for (int e = 0; e < k; e++) {
                sum += at(t->a, lda, ta, row, e) * at(t->b, ldb, tb, e, column);
            }
            double error = fabs(sum - (double)t->c[row * n + column]);
            if (!(error <= worst)) worst = error; /* a NaN wins */
        }
    }
    return worst;
}

bool kdrt_blas_start(KdrtError *error) {
    static const int sizes[][3] = { { 1, 1, 1 }, { 67, 10, 33 }, { 17, 67, 64 }, { 64, 48, 67 } };
    openblas_set_num_threads(1);
    BlasTest *t = kdrt_alloc(sizeof *t);
    if (!t) return kdrt_fail(error, "no memory to test OpenBLAS");
    uint32_t stream = kdrt_stream("blas.test");
    for (uint32_t k = 0; k < TEST_MAX * TEST_MAX; k++) {
        t->a[k] = kdrt_uniform(1, k, 0, 0, stream) - 0.5f;
        t->b[k] = kdrt_uniform(1, k, 1, 0, stream) - 0.5f;
    }
    bool done = true;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes && done; s++) {
        for (int transposes = 0; transposes < 4 && done; transposes++) {
            const int *size = sizes[s];
            double worst = worst_error(t, size[0], size[1], size[2], transposes);
            if (worst < 1e-4) continue;
            done = kdrt_fail(error, "OpenBLAS (%s) is wrong by %g in a %d x %d x %d product",
                             kdrt_blas_name(), worst, size[0], size[1], size[2]);
        }
    }
    kdrt_free(t);
    return done;
}
