/*
 * The training entries of an object, SYMBOL_step and its like:
 *
 *   int SYMBOL_step(t, data, rows, n, loss) { return kdrt_network_step(&network, t, data, …); }
 *
 * where `network` is a constant KdrtNetwork: tables, and the generated functions themselves.
 */
#include "backend/debug.h"
#include "backend/entry.h"
#include "backend/func.h"

#include <llvm-c/Target.h>
#include <string.h>

/* p a pointer, i an int, l a uint64_t, z a size_t. */
typedef struct Wrapper {
    const char *name, *params;
    unsigned entries; /* that bring it */
} Wrapper;

enum {
    TRAINING = KD_ENTRY_STEP | KD_ENTRY_EPOCH | KD_ENTRY_EVALUATE,
    LEARNING = KD_ENTRY_STEP | KD_ENTRY_EPOCH
};

static const Wrapper wrappers[] = {
    { "init", "pl", TRAINING },
    { "init_shipped", "pl", TRAINING },
    { "save", "pp", TRAINING },
    { "load", "ppz", TRAINING },
    { "load_teacher", "pipz", LEARNING },
    { "teach", "ppp", LEARNING },
    { "step", "pppip", KD_ENTRY_STEP },
    { "epoch", "ppp", KD_ENTRY_EPOCH },
    { "evaluate", "pppp", KD_ENTRY_EVALUATE },
};
enum { NUM_WRAPPERS = sizeof wrappers / sizeof *wrappers };

static bool is_wanted(const KdTrainer *t, const Wrapper *w) {
    if (strcmp(w->name, "init_shipped") == 0) return t->weights;
    if (strcmp(w->name, "load_teacher") == 0) return t->layout.teacher_bytes && !t->teacher_weights;
    if (strcmp(w->name, "teach") == 0) return t->teacher;
    return w->entries & t->entries;
}

int kd_trainer_symbols(const KdTrainer *t, KdArena *a, const char *names[KD_MAX_TRAINER_SYMBOLS]) {
    int n = 0;
    for (int k = 0; k < NUM_WRAPPERS; k++) {
        if (is_wanted(t, &wrappers[k]))
            names[n++] = kd_arena_format(a, "%s_%s", t->symbol, wrappers[k].name);
    }
    return n;
}

/* --- the table ------------------------------------------------------------------------------- */

/* Constant bytes, with readable slack behind them; a null pointer for none. All levels share what
 * has the same name. */
static LLVMValueRef constant(KdEmit *e, const char *what, const void *bytes, int64_t n) {
    if (!bytes) return LLVMConstNull(e->ptr);
    const char *name = kd_arena_format(e->arena, "trainer.%s", what);
    LLVMValueRef known = LLVMGetNamedGlobal(e->mod, name);
    if (known) return known;
    char *data = kd_arena_alloc(e->arena, (size_t)n + KDRT_SLACK);
    memset(data, 0, (size_t)n + KDRT_SLACK);
    memcpy(data, bytes, (size_t)n);
    return kd_emit_bytes(e, name, data, n + KDRT_SLACK);
}

/* A generated function, or a null pointer. */
static LLVMValueRef function(KdEmit *e, const KdFunc *f, const char *ending) {
    if (!f) return LLVMConstNull(e->ptr);
    LLVMValueRef fn = LLVMGetNamedFunction(
        e->mod, kd_arena_format(e->arena, "%s%s%s", f->name, ending, e->suffix));
    if (!fn) kd_bug(e->diag, "@%s%s was not emitted", f->name, ending);
    return fn;
}

/* As KdrtNetwork has its members. */
LLVMValueRef kd_emit_network(KdEmit *e, const KdTrainer *t) {
    KdrtLayout layout = t->layout;
    layout.worker_bytes = (int64_t)(e->scratch + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN;
    int64_t bindings = t->nbindings * (int64_t)sizeof *t->bindings;
    int64_t parameters = t->nparameters * (int64_t)sizeof *t->parameters;
    LLVMValueRef members[] = {
        constant(e, kd_arena_format(e->arena, "layout%s", e->suffix), &layout, sizeof layout),
        constant(e, "bindings", t->bindings, bindings),
        constant(e, "parameters", t->parameters, parameters),
        constant(e, "text", t->text, t->text_bytes),
        constant(e, "header", t->header, layout.saved_header),
        constant(e, "hyper", t->hyper, e->m->nhypers * (int64_t)sizeof *t->hyper),
        constant(e, "weights", t->weights, layout.weight_bytes),
        constant(e, "teacher", t->teacher_weights, layout.teacher_bytes),
        function(e, t->step, ""),
        function(e, t->evaluate, ""),
        function(e, t->teacher, ""),
        function(e, t->step, "_epoch"),
    };
    unsigned n = sizeof members / sizeof *members;
    _Static_assert(sizeof members / sizeof *members * sizeof(void *) == sizeof(KdrtNetwork),
                   "a member each");
    LLVMValueRef value = LLVMConstStructInContext(e->cx, members, n, 0);
    LLVMValueRef global = LLVMAddGlobal(e->mod, LLVMTypeOf(value), "network");
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    return global;
}

/* --- the wrappers ---------------------------------------------------------------------------- */

static LLVMTypeRef param_type(KdEmit *e, char kind) {
    switch (kind) {
    case 'i': return e->i32;
    case 'l': return e->i64;
    case 'z': return LLVMIntPtrTypeInContext(e->cx, LLVMGetModuleDataLayout(e->mod));
    default: return e->ptr;
    }
}

LLVMValueRef kd_emit_entry(KdEmit *e, const KdTrainer *t, const char *symbol, LLVMValueRef network,
                           const char *name) {
    const Wrapper *w = wrappers;
    while (strcmp(w->name, symbol + strlen(t->symbol) + 1) != 0) w++;
    LLVMTypeRef type[8] = { e->ptr };
    LLVMValueRef args[8] = { network };
    unsigned n = (unsigned)strlen(w->params);
    for (unsigned k = 0; k < n; k++) type[k + 1] = param_type(e, w->params[k]);
    const char *inner = kd_arena_format(e->arena, "kdrt_network_%s", w->name);
    LLVMTypeRef inner_type = LLVMFunctionType(e->i32, type, n + 1, 0);
    LLVMValueRef callee = kd_emit_c_function(e, inner, inner_type);
    e->fn = kd_emit_c_function(e, name, LLVMFunctionType(e->i32, type + 1, n, 0));
    kd_emit_attributes(e, e->fn);
    for (unsigned k = 0; k < n; k++) args[k + 1] = LLVMGetParam(e->fn, k);
    e->entry = LLVMAppendBasicBlockInContext(e->cx, e->fn, "entry");
    kd_debug_function(e, name, (t->step ? t->step : t->evaluate)->loc);
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMBuildRet(e->b, LLVMBuildCall2(e->b, inner_type, callee, args, n + 1, ""));
    return e->fn;
}
