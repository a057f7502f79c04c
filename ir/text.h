/* The IR as text. ir/README.md owns the grammar; print(parse(print(m))) is byte-identical. */
#ifndef KD_IR_TEXT_H
#define KD_IR_TEXT_H

#include "ir/ir.h"

void kd_print_module(const KdModule *m, FILE *out);
/* A drawing for Graphviz: instructions, their shapes and costs, clustered by role. */
void kd_print_dot(const KdModule *m, FILE *out);
/* The function's first result as a formula, a line for each part that is read twice. */
void kd_print_formula(const KdFunc *f, FILE *out);
void kd_print_func(const KdFunc *f, FILE *out);
char *kd_module_text(const KdModule *m, KdArena *a);
char *kd_func_text(const KdFunc *f, KdArena *a);
/* A kernel's text without names, lines, roles and places: kernels with equal ones do the same to
 * their operands, which lie elsewhere. */
char *kd_kernel_signature(const KdInstr *kernel, KdArena *a);

/* The verified module; NULL after errors, which name `file`, line and column. */
KdModule *kd_parse_module(const char *text, size_t size, const char *file, KdDiag *d);

#endif
