/*
 * The machine that code is made for, as data in the module: passes and `kdc opt` read this and
 * never the host, so that dumps do not differ from machine to machine.
 */
#ifndef KD_IR_TARGET_H
#define KD_IR_TARGET_H

/* What it has for sums of products of bytes: see backend/dot.c. */
typedef enum KdDot { KD_DOT_PLAIN, KD_DOT_PAIRS, KD_DOT_VNNI, KD_DOT_SDOT, KD_DOT_USDOT } KdDot;

typedef struct KdTarget {
    const char *triple; /* LLVM's, as "aarch64-linux-gnu"; NULL: the host's. Not part of the text */
    const char *cpu;    /* LLVM's name: "znver4", "x86-64-v3", … */
    const char
        *features;   /* beyond the CPU's, as "+v,-f"; with a triple only. Not part of the text */
    int vector_bits; /* 128, 256 or 512 */
    int registers;   /* vector registers: 16 or 32; 8 stand for 32 scalar ones */
    KdDot dot;       /* not part of the text */
    int l1_bytes;    /* data cache of a core */
    int l2_bytes;    /* second-level cache of a core */
} KdTarget;

/* What `kdc opt` and tests assume when the text names no target: 512 bits, 32 registers,
 * 32 KiB and 1 MiB. */
KdTarget kd_target_default(void);

#endif
