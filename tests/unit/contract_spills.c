/*
 * No register tile may spill: the assembly of every kernel of the standard networks, for AVX-512,
 * AVX2 and SSE, and in bf16 where this machine multiplies pairs of it, is searched for loops of
 * multiply-adds, and none of them may touch the stack.
 *
 * A loop is what lies between a label and the first jump back to it. Innermost ones that hold at
 * least four vector multiply-adds, and no more sums beside them, are register tiles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "frontend/script.h"
#include "ir/guard.h"
#include "passes/pass.h"

enum { TILE_LEAST = 4 };

typedef struct Machine {
    const char *cpu; /* NULL: this one */
    int bits, registers;
    const char *multiply_add; /* begins the instruction that a tile is made of */
    const char *precision;
} Machine;

static const Machine machines[] = {
    { "x86-64-v4", 512, 32, "vfmadd", "f32" },
    { "x86-64-v3", 256, 16, "vfmadd", "f32" },
    { "x86-64", 128, 16, "mulps", "f32" },
    { NULL, 512, 32, "vdpbf16ps", "bf16" },
};
enum { MACHINES = sizeof machines / sizeof *machines };

/* --- searching assembly ----------------------------------------------------------------------- */

typedef struct Count {
    int tiles, spills;
} Count;

static const char *skip_blanks(const char *s) {
    return s + strspn(s, " \t");
}

/* Does the instruction move a vector to or from the stack? */
static bool is_spill(const char *line, size_t length) {
    char copy[256];
    snprintf(copy, sizeof copy, "%.*s", (int)(length < 255 ? length : 255), line);
    bool vector = strstr(copy, "%xmm") || strstr(copy, "%ymm") || strstr(copy, "%zmm");
    return vector && strstr(copy, "(%rsp)");
}

/* Is it a sum or difference of vectors, as the transforms of convolutions have them? */
static bool is_sum(const char *word) {
    word += *word == 'v';
    return strncmp(word, "addps", 5) == 0 || strncmp(word, "subps", 5) == 0;
}

/* Is the line a jump to `label`, whose name is `size` long? */
static bool jumps_to(const char *line, const char *label, size_t size) {
    const char *at = skip_blanks(line);
    if (*at != 'j') return false;
    at += strcspn(at, " \t");
    at = skip_blanks(at);
    return strncmp(at, label, size) == 0 && (at[size] == '\n' || at[size] == '\0');
}

/* The loop that begins behind the label: counts, or nothing when another label comes first. */
static void count_loop(const char *label, const char *multiply_add, Count *count) {
    size_t size = strcspn(label, ":");
    int tile = 0, spills = 0, sums = 0;
    const char *line = strchr(label, '\n');
    while (line && *++line) {
        size_t length = strcspn(line, "\n");
        const char *word = skip_blanks(line);
        if (*line == '.' && strncmp(line, ".L", 2) == 0) return; /* not the innermost */
        tile += strncmp(word, multiply_add, strlen(multiply_add)) == 0;
        spills += is_spill(line, length);
        sums += is_sum(word);
        if (jumps_to(line, label, size)) break;
        line = strchr(line, '\n');
    }
    if (tile < TILE_LEAST || sums > tile) return;
    count->tiles++;
    count->spills += spills;
}

static Count count_spills(const char *assembly, const char *multiply_add) {
    Count count = { 0 };
    for (const char *line = assembly; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, ".LBB", 4) == 0) count_loop(line, multiply_add, &count);
    }
    return count;
}

static void test_search(void **state) {
    (void)state;
    const char *clean = ".LBB0_1:\n\tvfmadd231ps %zmm1, %zmm2, %zmm3\n\tvfmadd231ps (%rax), %zmm2, "
                        "%zmm4\n\tvfmadd231ps %zmm1, %zmm2, %zmm5\n\tvfmadd231ps %zmm1, %zmm2, "
                        "%zmm6\n\tjne\t.LBB0_1\n\tvmovups %zmm3, 64(%rsp)\n";
    Count count = count_spills(clean, "vfmadd");
    assert_int_equal(count.tiles, 1);
    assert_int_equal(count.spills, 0);
    const char *bad = "f:\n.LBB0_1:\n\tvfmadd231ps %zmm1, %zmm2, %zmm3\n\tvfmadd231ps 64(%rsp), "
                      "%zmm2, %zmm4\n\tvfmadd231ps %zmm1, %zmm2, %zmm5\n\tvfmadd231ps %zmm1, "
                      "%zmm2, %zmm6\n\tmovq 8(%rsp), %rax\n\tvmovups %zmm3, 128(%rsp)\n"
                      "\tjne\t.LBB0_1\n";
    count = count_spills(bad, "vfmadd");
    assert_int_equal(count.tiles, 1);
    assert_int_equal(count.spills, 2);
    const char *transform = ".LBB0_1:\n\tmovaps 16(%rsp), %xmm7\n\tsubps %xmm2, %xmm3\n"
                            "\tmulps %xmm1, %xmm2\n\taddps %xmm2, %xmm3\n"
                            "\tmulps %xmm1, %xmm2\n\taddps %xmm2, %xmm3\n"
                            "\tmulps %xmm1, %xmm2\n\taddps %xmm2, %xmm3\n"
                            "\tmulps %xmm1, %xmm2\n\taddps %xmm2, %xmm3\n\tjne\t.LBB0_1\n";
    assert_int_equal(count_spills(transform, "mulps").tiles, 0);
}

/* --- networks --------------------------------------------------------------------------------- */

static char *assembly_of(KdRun *run, const Machine *machine, KdDiag *d) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    KdModule *m = run->module;
    m->target.cpu = machine->cpu ? machine->cpu : kd_target_host(m->arena).cpu;
    m->target.vector_bits = machine->bits;
    m->target.registers = machine->registers;
    kd_attr_set_str(m->arena, &m->program, "precision", machine->precision);
    const KdPipeline pipeline = { 0 };
    assert_true(kd_run_pipeline(m, &pipeline, d));
    const KdEntry entry = { .f = kd_module_func(m, "step"), .epoch = true };
    assert_non_null(entry.f);
    assert_true(kd_compile_text(m, 1, &entry, NULL, "asm", out, d));
    fclose(out);
    return text;
}

static void test_tiles(void **state) {
    (void)state;
    if (KD_SANITIZE) skip(); /* what watches every access takes registers too */
    KdDiag d;
    kd_diag_init(&d, stderr, false);
    for (int k = 0; k < MACHINES; k++) {
        if (!machines[k].cpu && !kd_target_has_bf16()) {
            print_message("this CPU has no products of bf16 to look at\n");
            continue;
        }
        const KdScriptOptions o = { -1, -1, -1, -1, 0, NULL, NULL };
        KdScript *script = kd_script_load(KD_BENCH_DIR "/contract.lua", &o, &d);
        assert_non_null(script);
        for (int r = 0; r < script->nlisted; r++) {
            char *text = assembly_of(script->listed[r], &machines[k], &d);
            Count count = count_spills(text, machines[k].multiply_add);
            free(text);
            if (count.tiles == 0 || count.spills)
                print_message("%s %s: %d tiles, %d spills\n", machines[k].cpu,
                              script->listed[r]->name, count.tiles, count.spills);
            assert_true(count.tiles > 0);
            assert_int_equal(count.spills, 0);
        }
        kd_script_destroy(script);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_search),
                                        cmocka_unit_test(test_tiles) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
