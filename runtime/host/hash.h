/*
 * Content hashes: XXH64 (Yann Collet's xxHash, 64 bit), which names files, weights and scripts in
 * manifests and caches. Not a defence against forgery.
 */
#ifndef KDRT_HOST_HASH_H
#define KDRT_HOST_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Hashes of several pieces are chained by giving the last one as the seed of the next. */
uint64_t kdrt_hash(const void *data, size_t bytes, uint64_t seed);

#endif
