/* Inside the backend: what job.c asks of emit_func.c. e->f is the function being compiled. */
#ifndef KD_BACKEND_FUNC_H
#define KD_BACKEND_FUNC_H

#include "backend/emit.h"

const KdKernelKind *kd_kernel_kind(KdEmit *e, const KdInstr *kernel);
int kd_kernel_phases(KdEmit *e, const KdInstr *kernel);
/* The machine's features, and that nothing is thrown. */
void kd_emit_attributes(KdEmit *e, LLVMValueRef fn);
void kd_emit_kernel(KdEmit *e, const KdInstr *kernel, int phase);
/* The same in two parts: code that is given where its operands lie, and for each kernel of that
 * signature a call of it. e->f is the function of the kernel at hand. */
LLVMValueRef kd_emit_shared_kernel(KdEmit *e, const KdInstr *kernel, int phase);
void kd_emit_kernel_call(KdEmit *e, const KdInstr *kernel, int phase, LLVMValueRef code);
/* Behind kd_emit_kernel of all its phases: what became of it, where remarks are wanted. */
void kd_remark_kernel(KdEmit *e, const KdInstr *kernel);
/* That it runs the code of another one, which is called `code`. */
void kd_remark_shared(KdEmit *e, const KdInstr *kernel, const char *code);
void kd_emit_function(KdEmit *e);
/* f's first result must be an f32 scalar, the loss. */
void kd_emit_epoch(KdEmit *e);
/* What f is called in the code for the target at hand. */
char *kd_function_symbol(KdEmit *e, const KdFunc *f);
/* NAME with SYMBOL_predict's parameters, for that output, over functions which have been emitted;
 * `predict`: that of logits, for others. */
struct KdPredict;
LLVMValueRef kd_emit_predict(KdEmit *e, const struct KdPredict *p, int output, LLVMValueRef predict,
                             const char *name);
/* SYMBOL_mean or SYMBOL_rate, by KD_PREDICT_MEAN and KD_PREDICT_RATE: made when first asked for. */
LLVMValueRef kd_emit_statistic(KdEmit *e, const struct KdPredict *p, int which);
/* Begins NAME, a function of C programs that inference has; returns KD_PREDICT_BAD_ARGUMENT or
 * KD_PREDICT_MISALIGNED for a pointer that is NULL, or not aligned. */
void kd_predict_begin(KdEmit *e, const char *name, LLVMTypeRef type);
void kd_predict_check_pointer(KdEmit *e, LLVMValueRef p, bool align);
/* A function of C programs, or for them: its integers are extended to registers as theirs are. */
LLVMValueRef kd_emit_c_function(KdEmit *e, const char *name, LLVMTypeRef type);
/* Is the function at hand part of SYMBOL_predict, which has no runtime? */
bool kd_is_inference(const KdEmit *e);
/* SYMBOL_step and the others, over functions that have been emitted: the table that they hand over,
 * and the one that is called SYMBOL_what, as NAME. */
struct KdTrainer;
LLVMValueRef kd_emit_network(KdEmit *e, const struct KdTrainer *t);
LLVMValueRef kd_emit_entry(KdEmit *e, const struct KdTrainer *t, const char *symbol,
                           LLVMValueRef network, const char *name);

#endif
