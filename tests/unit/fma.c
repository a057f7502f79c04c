/* a b + c in software against libm's fma, to the bit: floats of all kinds, and doubles as the
 * elementary functions have them. */
#include <llvm-c/Core.h>
#include <math.h>

#include "backend/emit.h"
#include "backend/machine.h"
#include "jit_support.h"

enum { LANES = 4 };

typedef void Fma(const void *a, const void *b, const void *c, void *r);

typedef struct Fixture {
    KdDiag d;
    KdObject *object;
    KdJit *jit;
    Fma *floats, *doubles;
} Fixture;

/* NAME(a, b, c, r): LANES elements each, on a machine that cannot fuse. */
static void add_function(KdEmit *e, const char *name, LLVMTypeRef element) {
    LLVMTypeRef params[] = { e->ptr, e->ptr, e->ptr, e->ptr }, vector;
    e->fn = LLVMAddFunction(e->mod, name, LLVMFunctionType(e->none, params, 4, 0));
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->cx, e->fn, ""));
    LLVMValueRef x[3];
    vector = kd_vector_type(element, LANES);
    for (unsigned k = 0; k < 3; k++) {
        x[k] = LLVMBuildLoad2(e->b, vector, LLVMGetParam(e->fn, k), "");
        LLVMSetAlignment(x[k], 4);
    }
    LLVMValueRef r = kd_emit_fma(e, x[0], x[1], x[2]);
    LLVMSetAlignment(LLVMBuildStore(e->b, r, LLVMGetParam(e->fn, 3)), 4);
    LLVMBuildRetVoid(e->b);
}

static KdEmit open_emitter(KdArena *a, const KdTarget *t, KdDiag *d) {
    KdEmit e = { .cx = LLVMContextCreate(), .arena = a, .diag = d, .target = t };
    e.mod = LLVMModuleCreateWithNameInContext("fma", e.cx);
    e.b = LLVMCreateBuilderInContext(e.cx);
    e.f32 = LLVMFloatTypeInContext(e.cx);
    e.i32 = LLVMInt32TypeInContext(e.cx);
    e.i64 = LLVMInt64TypeInContext(e.cx);
    e.ptr = LLVMPointerTypeInContext(e.cx, 0);
    e.none = LLVMVoidTypeInContext(e.cx);
    LLVMSetTarget(e.mod, "x86_64");
    e.fuses = -1;
    return e;
}

static void open_fixture(Fixture *t) {
    *t = (Fixture){ 0 };
    kd_diag_init(&t->d, stderr, false);
    kd_machine_initialize();
    KdArena *a = kd_arena_create();
    KdTarget target = kd_target_host(a);
    KdEmit e = open_emitter(a, &target, &t->d);
    add_function(&e, "floats", e.f32);
    add_function(&e, "doubles", LLVMDoubleTypeInContext(e.cx));
    LLVMTargetMachineRef machine =
        kd_machine_create(&target, kd_machine_features(&target, a), &t->d);
    char *triple = LLVMGetTargetMachineTriple(machine), *message = NULL;
    LLVMSetTarget(e.mod, triple);
    LLVMMemoryBufferRef bytes;
    assert_false(
        LLVMTargetMachineEmitToMemoryBuffer(machine, e.mod, LLVMObjectFile, &message, &bytes));
    const KdObjectFile file = { LLVMGetBufferStart(bytes), LLVMGetBufferSize(bytes) };
    assert_non_null(t->object = kd_object_restore(1, &file, 0, NULL));
    assert_non_null(t->jit = kd_jit_create(t->object, &t->d));
    void *floats = kd_jit_symbol(t->jit, "floats"), *doubles = kd_jit_symbol(t->jit, "doubles");
    assert_true(floats && doubles);
    memcpy(&t->floats, &floats, sizeof floats);
    memcpy(&t->doubles, &doubles, sizeof doubles);
    LLVMDisposeMessage(triple);
    LLVMDisposeMemoryBuffer(bytes);
    LLVMDisposeTargetMachine(machine);
    LLVMDisposeBuilder(e.b);
    LLVMDisposeModule(e.mod);
    LLVMContextDispose(e.cx);
    kd_arena_destroy(a);
}

static void close_fixture(Fixture *t) {
    kd_jit_destroy(t->jit);
    kd_object_destroy(t->object);
}

static uint64_t state = 1;

static uint32_t draw(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/* The same number, 0 with its sign. */
static bool same(double x, double y) {
    return isnan(x) ? isnan(y) : x == y && !signbit(x) == !signbit(y);
}

static void check_floats(const Fixture *t, const float *a, const float *b, const float *c) {
    float r[LANES];
    t->floats(a, b, c, r);
    for (int k = 0; k < LANES; k++) {
        float want = fmaf(a[k], b[k], c[k]);
        if (!same((double)want, (double)r[k]))
            fail_msg("%a * %a + %a is %a, not %a", (double)a[k], (double)b[k], (double)c[k],
                     (double)r[k], (double)want);
    }
}

/* Of any bits; and sums that nearly cancel, or lie so near the middle between two floats that a
 * double does not tell. */
static void test_floats(void **unused) {
    (void)unused;
    Fixture t;
    open_fixture(&t);
    for (int round = 0; round < 200000; round++) {
        float a[LANES], b[LANES], c[LANES];
        for (int k = 0; k < LANES; k++) {
            uint32_t bits[3] = { draw(), draw(), draw() };
            memcpy(&a[k], &bits[0], 4);
            memcpy(&b[k], &bits[1], 4);
            memcpy(&c[k], &bits[2], 4);
            if (round % 3 == 0) continue;
            if (round % 3 == 1) {
                c[k] = -a[k] * b[k] * (1 + ldexpf((float)(draw() % 8), -23));
                continue;
            }
            a[k] = 1 + ldexpf((float)(draw() % 4096), -12);
            b[k] = 1 + ldexpf((float)(draw() % 4096), -12);
            c[k] = ldexpf(draw() % 2 ? 1 : -1, -(int)(draw() % 149));
            b[k] = ldexpf(b[k], -(int)(draw() % 2) * 140); /* and what becomes denormal */
        }
        check_floats(&t, a, b, c);
    }
    close_fixture(&t);
}

static void test_doubles(void **unused) {
    (void)unused;
    Fixture t;
    open_fixture(&t);
    for (int round = 0; round < 200000; round++) {
        double a[LANES], b[LANES], c[LANES], r[LANES];
        for (int k = 0; k < LANES; k++) {
            a[k] = (double)draw() - 0x1p31;
            if (round % 2) a[k] = trunc(a[k] / 0x1p21); /* n ln 2 */
            b[k] = round % 2 ? 0.693147180559945309417 : 1 + ldexp((double)draw(), -32);
            c[k] = draw() % 2 ? -a[k] * b[k] * (1 + ldexp((double)(draw() % 8), -52))
                              : ldexp((double)draw(), -(int)(draw() % 120));
        }
        t.doubles(a, b, c, r);
        for (int k = 0; k < LANES; k++) {
            double want = fma(a[k], b[k], c[k]);
            if (!same(want, r[k]))
                fail_msg("%a * %a + %a is %a, not %a", a[k], b[k], c[k], r[k], want);
        }
    }
    close_fixture(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_floats),
                                        cmocka_unit_test(test_doubles) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
