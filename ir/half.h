/* IEEE half precision, in which weights may be stored: 1 sign bit, 5 of exponent, 10 of fraction.
 */
#ifndef KD_IR_HALF_H
#define KD_IR_HALF_H

#include <stdint.h>

#define KD_HALF_MOST 65504.0

/* The nearest half, ties to even; beyond KD_HALF_MOST infinity. */
uint16_t kd_half_from(double x);
double kd_half_value(uint16_t bits);

#endif
