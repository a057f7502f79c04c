/* MD5 (RFC 1321): four rounds of sixteen steps over blocks of 64 bytes. */
#include "runtime/host/md5.h"

#include "runtime/host/internal.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CHUNK (64 * 1024)

typedef struct Md5 {
    uint32_t state[4], table[64];
} Md5;

/* table[k] = floor(2^32 |sin(k + 1)|), as the standard defines it. */
static void begin(Md5 *m) {
    static const uint32_t start[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    memcpy(m->state, start, sizeof start);
    for (int k = 0; k < 64; k++) m->table[k] = (uint32_t)(fabs(sin(k + 1)) * 4294967296.0);
}

static void add_block(Md5 *m, const unsigned char *block) {
    static const int turns[4][4] = {
        { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 }
    };
    uint32_t word[16], a = m->state[0], b = m->state[1], c = m->state[2], d = m->state[3];
    for (int k = 0; k < 16; k++) {
        const unsigned char *p = block + 4 * k;
        word[k] = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    }
    for (int k = 0; k < 64; k++) {
        int round = k / 16, turn = turns[round][k % 4];
        const uint32_t mixed[4] = { (b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d,
                                    c ^ (b | ~d) };
        const int place[4] = { k, 5 * k + 1, 3 * k + 5, 7 * k };
        uint32_t sum = a + mixed[round] + m->table[k] + word[place[round] % 16];
        a = d;
        d = c;
        c = b;
        b += sum << turn | sum >> (32 - turn);
    }
    m->state[0] += a;
    m->state[1] += b;
    m->state[2] += c;
    m->state[3] += d;
}

/* The last bytes, a one bit, zeros, the length in bits. */
static void finish(Md5 *m, const unsigned char *rest, size_t n, uint64_t bytes) {
    unsigned char block[128] = { 0 };
    size_t blocks = n < 56 ? 1 : 2;
    memcpy(block, rest, n);
    block[n] = 0x80;
    for (size_t k = 0; k < 8; k++) block[64 * blocks - 8 + k] = (unsigned char)(bytes * 8 >> 8 * k);
    for (size_t k = 0; k < blocks; k++) add_block(m, block + 64 * k);
}

static void to_hex(const Md5 *m, char hex[33]) {
    for (int k = 0; k < 16; k++) {
        unsigned byte = m->state[k / 4] >> 8 * (k % 4) & 255;
        snprintf(hex + 2 * k, 3, "%02x", byte);
    }
}

bool kdrt_md5_check(const char *path, const char *expected, KdrtError *error) {
    Md5 m;
    unsigned char chunk[CHUNK];
    char found[33];
    uint64_t bytes = 0;
    size_t got = 0;
    FILE *file = fopen(path, "rb");
    if (!file) return kdrt_fail(error, "%s: cannot open: %s", path, strerror(errno));
    begin(&m);
    while ((got = fread(chunk, 1, CHUNK, file)) == CHUNK) {
        for (size_t at = 0; at < CHUNK; at += 64) add_block(&m, chunk + at);
        bytes += CHUNK;
    }
    bool whole = !ferror(file);
    int reason = errno;
    fclose(file);
    if (!whole) return kdrt_fail(error, "%s: cannot read: %s", path, strerror(reason));
    size_t at = 0;
    for (; got - at >= 64; at += 64) add_block(&m, chunk + at);
    finish(&m, chunk + at, got - at, bytes + got);
    to_hex(&m, found);
    return strcmp(found, expected) == 0 ||
           kdrt_fail(error, "%s: expected the MD5 sum %s, found %s: another or a damaged file",
                     path, expected, found);
}
