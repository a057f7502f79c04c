/*
 * The layout of an archive:
 *
 *   "!<arch>\n"
 *   header "/"         count, then per symbol the offset of its member's header (32 bits, the most
 *                      significant byte first), then the names, each with a zero behind it
 *   header "NAME/"     the object's bytes
 *
 * Headers are 60 characters of text and begin at even offsets. Dates and owners are zero, so that
 * equal objects make equal archives. libarchive writes such headers too, but no index: its bytes,
 * with the offsets of headers that it has yet to write, would still be made here.
 */
#include "frontend/archive.h"

#include <stdint.h>
#include <string.h>

static const char magic[] = "!<arch>\n";
enum { HEADER = 60 };

static void put_header(FILE *out, const char *name, size_t size) {
    fprintf(out, "%-16s%-12d%-6d%-6d%-8o%-10zu`\n", name, 0, 0, 0, 0644, size);
}

static void put_word(FILE *out, size_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) fputc((int)(word >> shift & 0xff), out);
}

void kd_archive_write(FILE *out, const char *member, int n, const char *const *symbols,
                      const void *bytes, size_t size) {
    size_t index = (size_t)(1 + n) * sizeof(uint32_t), names = 0;
    for (int k = 0; k < n; k++) names += strlen(symbols[k]) + 1;
    index += names + names % 2; /* a second zero behind the last name */
    char ended[17];
    fputs(magic, out);
    put_header(out, "/", index);
    put_word(out, (size_t)n);
    for (int k = 0; k < n; k++) put_word(out, strlen(magic) + HEADER + index);
    for (int k = 0; k < n; k++) fwrite(symbols[k], 1, strlen(symbols[k]) + 1, out);
    if (names % 2) fputc(0, out);
    snprintf(ended, sizeof ended, "%.15s/", member);
    put_header(out, ended, size);
    fwrite(bytes, 1, size, out);
    if (size % 2) fputc('\n', out);
}
