/* The layout of a shard's file, for its reader and its writer (text/prep/pairs.h describes it). */
#ifndef MIXT_TEXT_PREP_SHARD_H
#define MIXT_TEXT_PREP_SHARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <xxhash.h>

#include "text/prep/manifest.h"

#define SHARD_MAGIC "mixtPAIR"

/* All little-endian. */
struct shard_header {
    char magic[8];
    uint32_t version;
    uint32_t reserved; /* 0 */
    uint64_t n_pairs;
    uint64_t text_bytes; /* with the NULs */
};

_Static_assert(sizeof(struct shard_header) == 32, "the header has no holes");

/* Where the index begins: behind the text, at a multiple of 4. */
static inline uint64_t shard_index_start(uint64_t text_bytes)
{
    return sizeof(struct shard_header) + (text_bytes + 3) / 4 * 4;
}

static inline uint64_t shard_file_bytes(uint64_t n_pairs, uint64_t text_bytes)
{
    return shard_index_start(text_bytes) + (2 * n_pairs + 1) * sizeof(uint32_t);
}

/* The hash as 32 hexadecimal digits, as xxhsum -H2 prints it. */
static inline void shard_hash_text(XXH128_hash_t hash, char text[MANIFEST_HASH_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        snprintf(text + 2 * i, 3, "%02x", canonical.digest[i]);
}

#endif
