/*
 * What differs between LLVM 19 and 22 in the parts of the C API that we use, in one place.
 *
 *   masked loads and stores   up to 21 the alignment is an operand, from 22 on an attribute
 *   ORC contexts              not used: we hand ORC finished objects, never modules
 */
#ifndef KD_BACKEND_COMPAT_H
#define KD_BACKEND_COMPAT_H

#include <llvm-c/Core.h>
#include <llvm/Config/llvm-config.h>

#if LLVM_VERSION_MAJOR < 19 || LLVM_VERSION_MAJOR > 22
#error "kdc supports LLVM 19 to 22"
#endif

/* Do llvm.masked.* (load, store, gather, scatter) take their alignment as an i32 operand? */
#define KD_MASKED_ALIGN_OPERAND (LLVM_VERSION_MAJOR < 22)

#endif
