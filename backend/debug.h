/*
 * Inside the backend: DWARF that leads from machine code to the script. Each function is a
 * subprogram named after its symbol, so after its layer; each instruction has the line of the op
 * that it was emitted for. Without --debug-info all of this does nothing.
 */
#ifndef KD_BACKEND_DEBUG_H
#define KD_BACKEND_DEBUG_H

#include "backend/emit.h"

/* Around the emission of a module. */
void kd_debug_open(KdEmit *e);
void kd_debug_close(KdEmit *e);

/* e->fn, without code yet, stands for what the script says at `loc`. */
void kd_debug_function(KdEmit *e, const char *name, KdLoc loc);

/* From here on code is for `loc` (where it is known); returns what it was for until now, for
 * kd_debug_leave. */
LLVMMetadataRef kd_debug_enter(KdEmit *e, KdLoc loc);
void kd_debug_leave(KdEmit *e, LLVMMetadataRef before);

#endif
