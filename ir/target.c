/* The machine that texts without a `target` line and tests assume. */
#include "ir/target.h"

KdTarget kd_target_default(void) {
    return (KdTarget){
        .cpu = "x86-64-v4",
        .vector_bits = 512,
        .registers = 32,
        .l1_bytes = 32 << 10,
        .l2_bytes = 1 << 20,
    };
}
