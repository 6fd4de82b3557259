/* manifest.json of a corpus (text/prep/pairs.h) in memory. */
#ifndef MIXT_TEXT_PREP_MANIFEST_H
#define MIXT_TEXT_PREP_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "text/prep/pairs.h"

enum { MANIFEST_FILE_BYTES = 32, MANIFEST_HASH_BYTES = 33 };

struct manifest_shard {
    int64_t pairs;
    int64_t bytes;                  /* of the file */
    char hash[MANIFEST_HASH_BYTES]; /* XXH3-128 of the file as 32 hexadecimal digits */
};

/* Zeroed is empty. */
struct manifest {
    char names[2][PAIRS_NAME_BYTES]; /* of the sides, by enum pairs_side */
    int64_t pairs;                   /* of all shards */
    struct manifest_shard *shards;   /* [n_shards] owned; number i is manifest_shard_file(i) */
    size_t n_shards;
    char *report; /* JSON text, owned */
};

/* Writes "pairs-00017.bin" for shard 17. */
void manifest_shard_file(size_t number, char file[MANIFEST_FILE_BYTES]);

/* Whether a name can be one of a side: 1 to PAIRS_NAME_BYTES - 1 bytes of UTF-8 that can end a file
 * name, so without control characters and "/". */
bool manifest_is_name(const char *name);

/* Adds a shard and its pairs. STATUS_MEMORY. */
enum status manifest_add(struct manifest *manifest,
                         const struct manifest_shard *shard) STATUS_CHECKED;

/* Reads and checks the manifest of a directory. On error the manifest is empty: STATUS_IO,
 * STATUS_FORMAT (also where there is none), STATUS_MEMORY. */
enum status manifest_read(struct manifest *manifest, const char *directory) STATUS_CHECKED;

/* Appends it as JSON with a final line end. STATUS_MEMORY; STATUS_FORMAT when the report is not
 * JSON. */
enum status manifest_append(const struct manifest *manifest, struct buffer *text) STATUS_CHECKED;

/* Gives the memory back and zeroes the manifest. */
void manifest_free(struct manifest *manifest);

#endif
