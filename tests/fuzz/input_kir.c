/*
 * libFuzzer on IR text: whatever the bytes are, the parser ends with a module or an error; what it
 * accepts comes back to the byte, and goes through the passes without a fault of kdc.
 */
#include <stdlib.h>
#include <string.h>

#include "ir/text.h"
#include "passes/pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    KdDiag d;
    kd_diag_init(&d, NULL, false);
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    KdModule *m = kd_parse_module(text, size, "input.kir", &d);
    free(text);
    if (!m) return 0;
    KdArena *a = kd_arena_create();
    const char *once = kd_module_text(m, a);
    KdModule *again = kd_parse_module(once, strlen(once), "printed.kir", &d);
    if (!again || strcmp(kd_module_text(again, a), once) != 0) abort();
    const KdPipeline pipeline = { .passes = "zero-sums,canonicalize,fuse,plan-memory" };
    kd_run_pipeline(again, &pipeline, &d);
    kd_module_destroy(again);
    kd_module_destroy(m);
    kd_arena_destroy(a);
    return 0;
}
