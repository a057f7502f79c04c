/* IDX files of bytes, as MNIST's are when unpacked: 00 00 08 RANK, extents of 32 bits, big-endian.
 */
#include <kdrt.h>

#include <stdio.h>

/* The bytes of `rows` rows of `size` each, in kdrt_alloc's memory; *rows is 0 at first, or what is
 * expected. NULL after an error that was said. */
static uint8_t *read_idx(const char *path, int64_t *rows, int64_t size) {
    unsigned char word[4];
    int64_t count = 0, row = 1;
    uint8_t *bytes = NULL;
    FILE *in = fopen(path, "rb");
    int good = in && fread(word, 1, 4, in) == 4 && word[2] == 8, rank = good ? word[3] : 0;
    for (int k = 0; k < rank && good; k++) {
        good = fread(word, 1, 4, in) == 4 && row < INT32_MAX;
        int64_t extent = (int64_t)word[0] << 24 | word[1] << 16 | word[2] << 8 | word[3];
        if (k == 0)
            count = extent;
        else
            row *= extent;
    }
    good = good && count > 0 && row == size && (*rows == 0 || *rows == count);
    good = good && (uint64_t)count <= SIZE_MAX / (uint64_t)size; /* 32 bits may be too few */
    if (good) bytes = (uint8_t *)kdrt_alloc((size_t)(count * size));
    if (bytes && fread(bytes, (size_t)size, (size_t)count, in) != (size_t)count) {
        kdrt_free(bytes);
        bytes = NULL;
    }
    if (in) fclose(in);
    if (bytes)
        *rows = count;
    else
        fprintf(stderr, "%s: no IDX file of bytes, of the network's size and as many rows\n", path);
    return bytes;
}
