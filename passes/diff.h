/* The difference of two texts, line by line. */
#ifndef KD_PASSES_DIFF_H
#define KD_PASSES_DIFF_H

#include <stdio.h>

/* Prints the hunks of a unified diff, three lines of context each; nothing for equal texts. */
void kd_diff_print(const char *before, const char *after, FILE *out);

#endif
