/* Static archives of one object file, as ar and ranlib make them (System V, GNU). */
#ifndef KD_FRONTEND_ARCHIVE_H
#define KD_FRONTEND_ARCHIVE_H

#include <stddef.h>
#include <stdio.h>

/* `member` (at most 15 characters) holds the object, which defines the n symbols. Errors show in
 * ferror(out). */
void kd_archive_write(FILE *out, const char *member, int n, const char *const *symbols,
                      const void *bytes, size_t size);

#endif
