/* Half precision by scaling: a half is a whole number of at most 11 bits times a power of two. */
#include "ir/half.h"

#include <math.h>

enum { LEAST_EXPONENT = -14, FRACTION = 10, INFINITE = 0x7c00 };

uint16_t kd_half_from(double x) {
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double size = fabs(x);
    if (isnan(x)) return (uint16_t)(sign | INFINITE | 1);
    if (size == 0) return sign;
    int exponent = size < INFINITY ? ilogb(size) : 16;
    if (exponent > 15) return (uint16_t)(sign | INFINITE);
    if (exponent < LEAST_EXPONENT) exponent = LEAST_EXPONENT;
    double units = nearbyint(ldexp(size, FRACTION - exponent)); /* 0 … 2048 */
    /* The leading bit of a normal number adds one to the exponent below; so does a carry. */
    int bits = ((exponent - LEAST_EXPONENT) << FRACTION) + (int)units;
    return (uint16_t)(sign | (bits < INFINITE ? bits : INFINITE));
}

double kd_half_value(uint16_t bits) {
    int exponent = bits >> FRACTION & 0x1f, fraction = bits & 0x3ff;
    double size = exponent == 0x1f ? (fraction ? NAN : INFINITY)
                  : exponent ? ldexp(fraction + 1024, exponent - 1 + LEAST_EXPONENT - FRACTION)
                             : ldexp(fraction, LEAST_EXPONENT - FRACTION);
    return bits & 0x8000 ? -size : size;
}
