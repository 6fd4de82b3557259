/* The binary corpus: sentence pairs in shards that are memory-mapped.
 *
 * A corpus is a directory. manifest.json names the sides, the number of pairs, the shards with
 * their sizes and hashes, and holds the report on how the corpus was made; it is written last, so a
 * directory without one is unfinished. A shard pairs-NNNNN.bin is little-endian:
 *
 *   offset  bytes
 *        0  8          "mixtPAIR"
 *        8  4          version, 1
 *       12  4          0
 *       16  8          n, pairs in the shard
 *       24  8          t, bytes of text
 *       32  t          text: source, NUL, target, NUL of each pair, one pair after another
 *           0..3       zero bytes, up to a multiple of 4
 *           4 (2n+1)   u32 offsets into text: of source 0, target 0, source 1, ... and at last t
 *
 * Text is UTF-8 without "\n" and NUL. */
#ifndef MIXT_TEXT_PREP_PAIRS_H
#define MIXT_TEXT_PREP_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PAIRS_MANIFEST "manifest.json"

enum {
    PAIRS_VERSION = 1,
    PAIRS_MAX_TEXT = 1 << 30,        /* longest side of a pair, in bytes */
    PAIRS_SHARD_TEXT = 1 << 28,      /* usual text of a shard, in bytes */
    PAIRS_MAX_SHARD_PAIRS = 1 << 22, /* keeps the index of the shard being written small */
    PAIRS_NAME_BYTES = 64            /* longest name of a side, with its final NUL */
};

enum pairs_side { PAIRS_SOURCE, PAIRS_TARGET };

struct pair_text {
    const char *bytes; /* bytes[size] is '\0' */
    size_t size;       /* bytes */
};

struct pair {
    struct pair_text source;
    struct pair_text target;
};

struct pairs; /* an open corpus; may be read by several threads at once */

/* Maps a corpus. Compares manifest, headers and file sizes, which takes a moment whatever the size;
 * hashes are for pairs_verify(). On error *pairs is NULL: STATUS_IO; STATUS_FORMAT for a directory
 * without a manifest, a foreign or damaged one; STATUS_MEMORY. */
enum status pairs_open(struct pairs **pairs, const char *directory) STATUS_CHECKED;

/* NULL is allowed. */
void pairs_close(struct pairs *pairs);

/* True where the directory holds a manifest: a finished corpus, or what once was one. */
bool pairs_exist(const char *directory);

int64_t pairs_count(const struct pairs *pairs);

/* Bytes of text of both sides, without the NULs. */
int64_t pairs_text_bytes(const struct pairs *pairs);

/* The language or other name of a side; borrowed. */
const char *pairs_name(const struct pairs *pairs, enum pairs_side side);

/* A hash of names, text and order, made of the shards' hashes as the manifest states them: two
 * corpora with the same hash are the same. */
uint64_t pairs_hash(const struct pairs *pairs);

/* The report of the manifest as JSON text; borrowed. */
const char *pairs_report(const struct pairs *pairs);

/* Pair i of 0..count-1; the texts are borrowed from the map until pairs_close(). STATUS_FORMAT,
 * with the shard's name, when its index is damaged. */
enum status pairs_get(const struct pairs *pairs, int64_t i, struct pair *pair) STATUS_CHECKED;

/* Lets the system take back the memory of what was read so far; the texts stay valid, and are read
 * again when they are touched. For those who go through a corpus larger than their memory. */
void pairs_forget(const struct pairs *pairs);

/* Reads all of it: hashes, index, UTF-8. STATUS_FORMAT names the shard. */
enum status pairs_verify(const struct pairs *pairs) STATUS_CHECKED;

/* The i-th pair of a shuffled corpus: place i of a pseudo-random permutation of 0..count-1, a pure
 * function of its arguments that needs no memory. */
int64_t pairs_shuffled(int64_t count, uint64_t seed, int64_t i);

#endif
