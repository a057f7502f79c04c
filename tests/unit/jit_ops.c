/*
 * Every op of the op table, compiled and run, against the interpreter in double precision, over odd
 * batch sizes. Elementwise ops are written here by their arity; the others have cases below. An op
 * without a case fails the walk over the table.
 */
#include "jit_support.h"

#include <math.h>

#include "ir/half.h"
#include "ir/interp.h"

#define ROWS 9 /* of tables [N,…] */

typedef struct Case {
    KdOp op;
    const char *kind;
    const char *text; /* without the first line */
    double tolerance; /* 0: 1e-6 */
} Case;

static const Case cases[] = {
    { KD_OP_NOT, "map",
      "func @f(%x: bool[B<=100,13]) -> (bool[B,13]) {\n %r = not %x : bool[B,13]\n return %r\n}",
      0 },
    { KD_OP_AND, "map",
      "func @f(%x: bool[B<=100,13], %y: bool[B,13]) -> (bool[B,13]) {\n"
      " %r = and %x, %y : bool[B,13]\n return %r\n}",
      0 },
    { KD_OP_OR, "map",
      "func @f(%x: bool[B<=100,13], %y: bool[B,13]) -> (bool[B,13]) {\n"
      " %r = or %x, %y : bool[B,13]\n return %r\n}",
      0 },
    { KD_OP_SELECT, "map",
      "func @f(%c: bool[B<=100,13], %x: f32[B,13], %y: f32[B,13]) -> (f32[B,13]) {\n"
      " %r = select %c, %x, %y : f32[B,13]\n return %r\n}",
      0 },
    { KD_OP_CAST, "map",
      "func @f(%x: u8[B<=100,13], %f: f32[B,13], %i: i32[B,13], %b: bool[B,13])"
      " -> (f32[B,13], i32[B,13], f32[B,13], f32[B,13], bool[B,13], i32[B,13], u8[B,13]) {\n"
      " %1 = cast %x : f32[B,13]\n %2 = cast %f : i32[B,13]\n %3 = cast %i : f32[B,13]\n"
      " %4 = cast %b : f32[B,13]\n %5 = cast %f : bool[B,13]\n %6 = cast %x : i32[B,13]\n"
      " %7 = cast %i : u8[B,13]\n"
      " return %1, %2, %3, %4, %5, %6, %7\n}",
      0 },
    { KD_OP_CAST, "map", /* of stored weights */
      "func @f(%x: f16[B<=100,13], %y: i8[B,13]) -> (f32[B,13], f32[B,13]) {\n"
      " %1 = cast %x : f32[B,13]\n %2 = cast %y : f32[B,13]\n return %1, %2\n}",
      0 },
    { KD_OP_ADD, "map", /* integers; floats come with the others */
      "func @f(%x: i32[B<=100,13], %y: i32[B,13])"
      " -> (i32[B,13], i32[B,13], i32[B,13], i32[B,13], bool[B,13], i32[B,13]) {\n"
      " %1 = add %x, %y : i32[B,13]\n %2 = mul %x, %y : i32[B,13]\n"
      " %3 = max %x, %y : i32[B,13]\n %4 = sub %x, %y : i32[B,13]\n"
      " %5 = lt %x, %y : bool[B,13]\n %6 = abs %4 : i32[B,13]\n"
      " return %1, %2, %3, %4, %5, %6\n}",
      0 },
    { KD_OP_CONSTANT, "map",
      "func @f(%x: f32[B<=100,5]) -> (f32[B,5]) {\n %c = constant { value = 0.3 } : f32[B,5]\n"
      " %r = add %x, %c : f32[B,5]\n return %r\n}",
      0 },
    { KD_OP_IOTA, "map",
      "func @f(%x: i32[B<=100,3,5]) -> (i32[B,3,5], i32[B,3,5], i32[B,3,5]) {\n"
      " %a = iota { axis = 0 } : i32[B,3,5]\n %b = iota { axis = 1 } : i32[B,3,5]\n"
      " %c = iota { axis = 2 } : i32[B,3,5]\n %r = add %x, %c : i32[B,3,5]\n"
      " return %a, %b, %r\n}",
      0 },
    { KD_OP_ROWS, "map",
      "func @f(%x: f32[B<=100]) -> (f32[B]) {\n %n = rows : f32\n %v = view %n { at = [] } : "
      "f32[B]\n"
      " %r = div %x, %v : f32[B]\n return %r\n}",
      0 },
    { KD_OP_HYPER, "map",
      "hyper %sigma = 0.6\nhyper %rate = 0.25\nfunc @f(%x: f32[B<=100]) -> (f32[B]) {\n"
      " %h = hyper { name = \"rate\" } : f32\n %v = view %h { at = [] } : f32[B]\n"
      " %r = mul %x, %v : f32[B]\n return %r\n}",
      0 },
    { KD_OP_RNG_UNIFORM, "map",
      "func @f(%i: i32[B<=100] index, %e: i32 epoch) -> (f32[B,4,7]) {\n"
      " %r = rng.uniform %i, %e { stream = \"s\" } : f32[B,4,7]\n return %r\n}",
      0 },
    { KD_OP_RNG_NORMAL, "map",
      "func @f(%i: i32 step, %e: i32 epoch) -> (f32[4,70]) {\n"
      " %r = rng.normal %i, %e { stream = \"s\" } : f32[4,70]\n return %r\n}",
      2e-6 },
    { KD_OP_RESHAPE, "map",
      "func @f(%x: f32[B<=100,6,5,4], %y: f32[B,120]) -> (f32[B,120]) {\n"
      " %e = neg %x : f32[B,6,5,4]\n %v = view %e { at = [d0, d1, d3, d2] } : f32[B,6,4,5]\n"
      " %r = reshape %v : f32[B,120]\n %s = add %r, %y : f32[B,120]\n return %s\n}",
      0 },
    { KD_OP_RESHAPE, "map",
      "func @f(%x: f32[B<=100,12,12]) -> (f32[B,144]) {\n"
      " %e = neg %x : f32[B,12,12]\n %r = reshape %e : f32[B,144]\n return %r\n}",
      0 },
    { KD_OP_VIEW, "map", /* broadcast, transpose, slice with steps, pad */
      "func @f(%x: f32[B<=100,7], %w: f32[5,7], %s: f32) -> (f32[B,7], f32[B,7]) {\n"
      " %a = view %w { at = [2, d1] } : f32[B,7]\n %b = view %x { at = [d0, -d1 + 6] } : f32[B,7]\n"
      " %c = view %x { at = [d0, d1 + 2], fill = 0.5 } : f32[B,7]\n"
      " %d = view %x { at = [d0, (d1 - 1)/2], fill = -3 } : f32[B,7]\n"
      " %v = view %s { at = [] } : f32[B,7]\n"
      " %1 = add %a, %b : f32[B,7]\n %2 = add %c, %d : f32[B,7]\n %3 = mul %2, %v : f32[B,7]\n"
      " return %1, %3\n}",
      0 },
    { KD_OP_VIEW, "map", /* B inside, as in transposes for weight gradients */
      "func @f(%x: f32[B<=100,7], %y: f32[B,7]) -> (f32[B,7]) {\n"
      " %t = view %x { at = [d1, d0] } : f32[7,B]\n %e = neg %t : f32[7,B]\n"
      " %u = view %e { at = [d1, d0] } : f32[B,7]\n %r = add %u, %y : f32[B,7]\n return %r\n}",
      0 },
    { KD_OP_REDUCE_MAX, "map", /* max pooling 2x2 */
      "func @f(%x: f32[B<=100,3,24,24]) -> (f32[B,3,12,12]) {\n"
      " %w = view %x { at = [d0, d1, 2*d2 + d4, 2*d3 + d5] } : f32[B,3,12,12,2,2]\n"
      " %r = reduce_max %w { axes = [4, 5] } : f32[B,3,12,12]\n return %r\n}",
      0 },
    { KD_OP_REDUCE_SUM, "map", /* adjoint of pooling: spread over windows */
      "func @f(%g: f32[B<=100,3,4,4], %x: f32[B,3,8,8]) -> (f32[B,3,8,8]) {\n"
      " %s = view %g { at = [d0, d1, (d2 - d4)/2, (d3 - d5)/2] } : f32[B,3,8,8,2,2]\n"
      " %t = reduce_sum %s { axes = [4, 5] } : f32[B,3,8,8]\n"
      " %r = mul %t, %x : f32[B,3,8,8]\n return %r\n}",
      0 },
    { KD_OP_REDUCE_SUM, "map", /* 3x3 windows with padding, odd width */
      "func @f(%x: f32[B<=100,2,7,5]) -> (f32[B,2,7,5]) {\n"
      " %w = view %x { at = [d0, d1, d2 + d4 - 1, d3 + d5 - 1] } : f32[B,2,7,5,3,3]\n"
      " %r = reduce_sum %w { axes = [4, 5] } : f32[B,2,7,5]\n return %r\n}",
      0 },
    { KD_OP_CONCAT, "map",
      "func @f(%x: f32[B<=100,3,5], %y: f32[B,4,5]) -> (f32[B,7,5]) {\n"
      " %r = concat %x, %y { axis = 1 } : f32[B,7,5]\n return %r\n}",
      0 },
    { KD_OP_CONCAT, "map",
      "func @f(%x: f32[B<=100,13], %y: f32[B,24]) -> (f32[B,37]) {\n"
      " %r = concat %x, %y { axis = 1 } : f32[B,37]\n return %r\n}",
      0 },
    { KD_OP_GATHER, "map",
      "func @f(%t: u8[N,1,5,7] data, %i: i32[B<=100] index) -> (f32[B,35]) {\n"
      " %g = gather %t, %i : u8[B,1,5,7]\n %c = cast %g : f32[B,1,5,7]\n"
      " %r = reshape %c : f32[B,35]\n return %r\n}",
      0 },
    { KD_OP_GATHER, "map",
      "func @f(%t: i32[N] data, %i: i32[B<=100] index) -> (i32[B]) {\n"
      " %g = gather %t, %i : i32[B]\n return %g\n}",
      0 },
    { KD_OP_SCATTER_ADD, "single",
      "func @f(%x: f32[B<=100,5,7], %i: i32[B]) -> (f32[9,5,7]) {\n"
      " %r = scatter_add %x, %i { rows = 9 } : f32[9,5,7]\n return %r\n}",
      1e-5 },
    { KD_OP_SLAB, "single",
      "func @f(%x: f32[5,7], %y: f32[3], %z: f32) -> (f32[80]) {\n"
      " %r = slab %x, %y, %z : f32[80]\n return %r\n}",
      0 },
    { KD_OP_PRINT, "single",
      "func @f(%x: f32[3,2]) -> (f32[3,2]) {\n"
      " %r = print %x { label = \"x\" } : f32[3,2]\n return %r\n}",
      0 },
    { KD_OP_PRINT, "single",
      "func @f(%x: f32) -> (f32) {\n %r = print %x { label = \"x\" } : f32\n return %r\n}", 0 },
    { KD_OP_REDUCE_SUM, "reduce",
      "func @f(%x: f32[B<=100,13], %y: f32[B,13]) -> (f32[13], f32[13]) {\n"
      " %p = mul %x, %y : f32[B,13]\n %s = reduce_sum %p { axes = [0] } : f32[13]\n"
      " %n = rows : f32\n %v = view %n { at = [] } : f32[13]\n %r = div %s, %v : f32[13]\n"
      " return %s, %r\n}",
      1e-5 },
    { KD_OP_REDUCE_SUM, "reduce",
      "func @f(%x: f32[B<=100,5,6,7]) -> (f32[5]) {\n"
      " %r = reduce_sum %x { axes = [0, 2, 3] } : f32[5]\n return %r\n}",
      1e-4 },
    { KD_OP_REDUCE_SUM, "reduce",
      "func @f(%x: f32[B<=100,10], %y: f32[B,10]) -> (f32) {\n"
      " %d = sub %x, %y : f32[B,10]\n %q = mul %d, %d : f32[B,10]\n"
      " %r = reduce_sum %q { axes = [0, 1] } : f32\n return %r\n}",
      1e-4 },
    { KD_OP_REDUCE_MAX, "reduce",
      "func @f(%x: f32[B<=100]) -> (f32) {\n %r = reduce_max %x { axes = [0] } : f32\n return "
      "%r\n}",
      0 },
    { KD_OP_ARGMAX, "row",
      "func @f(%x: f32[B<=100,37]) -> (i32[B]) {\n %r = argmax %x { axes = [1] } : i32[B]\n"
      " return %r\n}",
      0 },
    { KD_OP_ARGMAX, "row", /* pooling, as the fuser makes it */
      "func @f(%x: f32[B<=100,5,8,8]) -> (f32[B,5,4,4], i32[B,5,4,4]) {\n"
      " %s = reshape %x : f32[B,5,4,2,4,2]\n"
      " %w = view %s { at = [d0, d1, d2, d4, d3, d5] } : f32[B,5,4,4,2,2]\n"
      " %m = reduce_max %w { axes = [4, 5] } : f32[B,5,4,4]\n"
      " %r = argmax %w { axes = [4, 5] } : i32[B,5,4,4]\n return %m, %r\n}",
      0 },
    { KD_OP_ARGMAX, "map",
      "func @f(%x: f32[B<=100,4,5]) -> (i32[B,5]) {\n %r = argmax %x { axes = [1] } : i32[B,5]\n"
      " return %r\n}",
      0 },
    { KD_OP_REDUCE_MAX, "row", /* log-softmax of long rows, and its sum */
      "func @f(%x: f32[B<=100,333]) -> (f32[B,333], f32[B]) {\n"
      " %m = reduce_max %x { axes = [1] } : f32[B]\n %mb = view %m { at = [d0] } : f32[B,333]\n"
      " %c = sub %x, %mb : f32[B,333]\n %e = exp %c : f32[B,333]\n"
      " %s = reduce_sum %e { axes = [1] } : f32[B]\n %l = log %s : f32[B]\n"
      " %lb = view %l { at = [d0] } : f32[B,333]\n %r = sub %c, %lb : f32[B,333]\n"
      " return %r, %s\n}",
      1e-4 },
    { KD_OP_REDUCE_SUM, "row",
      "func @f(%x: f32[B<=100,3,4,5]) -> (f32[B,3], f32[B,3,4,5]) {\n"
      " %s = reduce_sum %x { axes = [2, 3] } : f32[B,3]\n"
      " %v = view %s { at = [d0, d1] } : f32[B,3,4,5]\n %r = sub %x, %v : f32[B,3,4,5]\n"
      " return %s, %r\n}",
      1e-5 },
    { KD_OP_CONTRACT, "contract",
      "func @f(%x: f32[B<=100,19], %w: f32[13,19]) -> (f32[B,13]) {\n"
      " %r = contract %x, %w { over = [19], a = [d0, d2], b = [d1, d2] } : f32[B,13]\n"
      " return %r\n}",
      1e-4 },
    { KD_OP_CONTRACT, "contract", /* of bytes, in words of four */
      "func @f(%x: u8[B<=100,19,4], %w: i8[13,19,4]) -> (i32[B,13]) {\n"
      " %r = contract %x, %w { over = [19,4], a = [d0, d2, d3], b = [d1, d2, d3] } : i32[B,13]\n"
      " return %r\n}",
      1e-9 },
    { KD_OP_CONTRACT, "contract", /* a convolution, whose bytes feed the lanes */
      "func @f(%x: u8[B<=100,3,6,9,4], %w: i8[5,3,3,3,4]) -> (f32[B,5,6,9]) {\n"
      " %c = contract %x, %w { over = [3,3,3,4], a = [d0, d4, d2 + d5 - 1, d3 + d6 - 1, d7], "
      "b = [d1, d4, d5, d6, d7] } : i32[B,5,6,9]\n %r = cast %c : f32[B,5,6,9]\n"
      " return %r\n}",
      1e-6 },
    { KD_OP_CONTRACT, "contract", /* bytes in any order */
      "func @f(%x: i8[B<=100,7,3], %w: u8[7,13]) -> (i32[B,13,3]) {\n"
      " %r = contract %x, %w { over = [7], a = [d0, d3, d2], b = [d3, d1] } : i32[B,13,3]\n"
      " return %r\n}",
      1e-9 },
};

/* --- one case -----------------------------------------------------------------------------------
 */

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Values that suit every op: floats in (-3, 3), some equal; integers 0 … ROWS - 1. */
static double sample(KdDtype dtype, bool positive, uint32_t *state) {
    uint32_t x = next_random(state);
    switch (dtype) {
    case KD_F32: {
        double value = (double)(x % 601) / 100 - 3;
        return (double)(float)(positive ? fabs(value) + 0.01 : value);
    }
    case KD_I32: return x % ROWS;
    case KD_U8: return x % 256;
    case KD_I8: return (double)(x % 256) - 128;
    case KD_F16: return kd_half_value((uint16_t)(x % 0x7c00 | (x >> 8 & 0x8000)));
    case KD_BOOL:
    case KD_NUM_DTYPES: break;
    }
    return x % 2;
}

static void store(void *memory, KdDtype dtype, int64_t k, double value) {
    if (dtype == KD_F32) {
        ((float *)memory)[k] = (float)value;
    } else if (dtype == KD_I32) {
        ((int32_t *)memory)[k] = (int32_t)value;
    } else if (dtype == KD_I8) {
        ((int8_t *)memory)[k] = (int8_t)value;
    } else if (dtype == KD_F16) {
        ((uint16_t *)memory)[k] = kd_half_from(value);
    } else {
        ((uint8_t *)memory)[k] = (uint8_t)value;
    }
}

static double fetch(const void *memory, KdDtype dtype, int64_t k) {
    if (dtype == KD_F32) {
        return (double)((const float *)memory)[k];
    }
    if (dtype == KD_I8) {
        return (double)((const int8_t *)memory)[k];
    }
    if (dtype == KD_F16) {
        return kd_half_value(((const uint16_t *)memory)[k]);
    }
    return dtype == KD_I32 ? ((const int32_t *)memory)[k] : ((const uint8_t *)memory)[k];
}

static bool near(double got, double want, double tolerance) {
    if (isnan(want) || isinf(want)) {
        return (isnan(want) && isnan(got)) || got == want;
    }
    return fabs(got - want) <= tolerance * (1 + fabs(want));
}

static int compare_results(const Jit *j, const KdTensor *want, const Case *c, int n) {
    double tolerance = c->tolerance > 0 ? c->tolerance : 1e-6;
    for (int r = 0; r < j->tensor->nresults; r++) {
        for (int64_t k = 0; k < want[r].count; k++) {
            double got = fetch(j->results[r], want[r].type.dtype, k);
            if (!near(got, want[r].data[k], tolerance)) {
                print_error("%s, n = %d, result %d, element %lld: %.9g, not %.9g\n%s\n",
                            kd_op_text(c->op), n, r, (long long)k, got, want[r].data[k], c->text);
                return 1;
            }
        }
    }
    return 0;
}

static int run_size(Jit *j, const Case *c, int n) {
    KdArena *a = kd_arena_create();
    KdTensor args[JIT_MAX], results[JIT_MAX];
    uint32_t state = 7;
    bool positive = c->op == KD_OP_LOG || c->op == KD_OP_SQRT || c->op == KD_OP_POW;
    for (int k = 0; k < j->tensor->nargs; k++) {
        args[k] = kd_tensor_create(a, j->tensor->args[k]->type, n, ROWS);
        j->args[k] = kdrt_alloc((size_t)args[k].count * 4);
        for (int64_t x = 0; x < args[k].count; x++) {
            args[k].data[x] = sample(args[k].type.dtype, positive, &state);
            store(j->args[k], args[k].type.dtype, x, args[k].data[x]);
        }
    }
    for (int k = 0; k < j->tensor->nresults; k++) {
        KdType t = j->tensor->results[k]->type;
        j->results[k] = kdrt_alloc((size_t)kd_type_bytes(t, n, ROWS));
        memset(j->results[k], 0x5a, (size_t)kd_type_bytes(t, n, ROWS));
    }
    float hyper[JIT_MAX];
    for (int k = 0; k < j->m->nhypers; k++) {
        hyper[k] = (float)j->m->hypers[k]->value;
    }
    j->frame.hyper = hyper;
    j->frame.n = n;
    const KdInterp in = { .arena = a, .seed = j->frame.seed, .n = n, .round_f32 = true };
    assert_true(kd_interpret(&in, j->tensor, args, results, &j->diag));
    assert_int_equal(j->run(&j->frame), KDRT_OK);
    int bad = compare_results(j, results, c, n);
    for (int k = 0; k < JIT_MAX; k++) {
        kdrt_free(j->args[k]);
        kdrt_free(j->results[k]);
        j->args[k] = j->results[k] = NULL;
    }
    kd_arena_destroy(a);
    return bad;
}

static int run_case(const Case *c, int bits) {
    static const int sizes[] = { 1, 7, 17, 33, 64, 100 };
    char text[4096];
    snprintf(text, sizeof text, "kdc-ir 1\n%s\n", c->text);
    Jit j;
    jit_open(&j, text, c->kind, bits);
    int bad = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        bad += run_size(&j, c, sizes[s]);
    }
    jit_close(&j);
    return bad;
}

/* --- the walks ----------------------------------------------------------------------------------
 */

static bool is_comparison(KdOp op) {
    return op == KD_OP_EQ || op == KD_OP_NE || op == KD_OP_LT || op == KD_OP_LE;
}

static bool is_logical(KdOp op) {
    return op == KD_OP_NOT || op == KD_OP_AND || op == KD_OP_OR;
}

/* An elementwise op of one or two float operands, by its name. */
static int run_elementwise(KdOp op) {
    char text[512];
    const char *type = is_comparison(op) ? "bool" : "f32";
    snprintf(text, sizeof text,
             "func @f(%%x: f32[B<=100,13], %%y: f32[B,13]) -> (%s[B,13]) {\n"
             " %%r = %s %%x%s : %s[B,13]\n return %%r\n}",
             type, kd_op_text(op), kd_op_info(op)->nargs == 2 ? ", %y" : "", type);
    const Case c = { op, "map", text, 0 };
    return run_case(&c, 0);
}

static void test_every_op(void **state) {
    (void)state;
    int bad = 0;
    for (int op = 0; op < KD_NUM_OPS; op++) {
        bool found = op == KD_OP_CALL || op == KD_OP_KERNEL; /* every test here is a kernel */
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            if (cases[k].op == (KdOp)op) {
                found = true;
                bad += run_case(&cases[k], 0);
            }
        }
        if (kd_op_has((KdOp)op, KD_T_ELEMENTWISE) && !is_logical((KdOp)op) && op != KD_OP_SELECT &&
            op != KD_OP_CAST) {
            found = true;
            bad += run_elementwise((KdOp)op);
        }
        if (!found) {
            print_error("no case for %s\n", kd_op_text((KdOp)op));
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

/* Narrower vectors take other paths through tails, tiles and windows. */
static void test_narrow_vectors(void **state) {
    (void)state;
    int bad = 0;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        bad += run_case(&cases[k], 128);
    }
    assert_int_equal(bad, 0);
}

/* The batch feeds the lanes, and panels are shared: of 3 vectors there are more panels than of 4.
 */
static void test_short_batches(void **state) {
    (void)state;
    static const int sizes[] = { 64, 48, 33, 17, 1 };
    const Case c = { KD_OP_CONTRACT, "contract",
                     "func @f(%x: f32[B<=64,800], %w: f32[500,800]) -> (f32[B,500]) {\n"
                     " %r = contract %x, %w { over = [800], a = [d0, d2], b = [d1, d2] }"
                     " : f32[B,500]\n return %r\n}",
                     1e-4 };
    char text[1024];
    snprintf(text, sizeof text, "kdc-ir 1\n%s\n", c.text);
    Jit j;
    jit_open(&j, text, c.kind, 0);
    int bad = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) bad += run_size(&j, &c, sizes[s]);
    jit_close(&j);
    assert_int_equal(bad, 0);
}

/* Products of bytes by each of this machine's ways. */
static void test_bytes(void **state) {
    (void)state;
    KdArena *a = kd_arena_create();
    KdTarget host = kd_target_host(a);
    kd_arena_destroy(a);
    bool x86 = host.dot == KD_DOT_PAIRS || host.dot == KD_DOT_VNNI;
    int bad = 0;
    for (jit_dot = KD_DOT_PLAIN; jit_dot <= (x86 ? KD_DOT_PAIRS : KD_DOT_PLAIN); jit_dot++)
        for (int bits = 128; bits <= host.vector_bits; bits *= 2)
            for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
                if (cases[k].op == KD_OP_CONTRACT) bad += run_case(&cases[k], bits);
    jit_dot = -1;
    assert_int_equal(bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op),
        cmocka_unit_test(test_narrow_vectors),
        cmocka_unit_test(test_short_batches),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
