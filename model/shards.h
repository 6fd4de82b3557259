/* A state that several ranks save: what each has of its own goes to a file beside the state's, a
 * shard, and what all have to the state itself, which is written last and lists the shards, each
 * with its size and hash (a text of its metadata, "shards"). So the state's rename makes all of it
 * valid at once, and what one rank saves is a state without shards.
 *
 *   last/state.safetensors           {"saving":7,"files":[{"name":..,"bytes":..,"hash":..}, ..]}
 *   last/state-7-1-of-4.safetensors  tensors of rank 0, and in "starts" which number of the whole
 *                                    tensor each begins with
 *
 * Savings are counted, so that the shards of one never take the place of those that the state still
 * lists. Any number of ranks reads such a state, each what it wants. */
#ifndef MIXT_MODEL_SHARDS_H
#define MIXT_MODEL_SHARDS_H

#include "model/inventory.h"

#define SHARDS_KEY "shards" /* of the state's metadata */

/* Writes this rank's shard of the state at path and appends the list of all ranks' to list.
 * Collective, one status for all; also where rank 0 does not see the files of the others. own: of
 * INVENTORY_OWN. On error the new shards are removed. */
enum status shards_write(struct inventory *own, const char *path,
                         struct buffer *list) STATUS_CHECKED;

/* Removes the shards of the state at path that the list, or NULL for none, does not name, and what
 * is left of those that were never finished. Nobody may be writing any. */
void shards_clean(const char *path, const char *list);

struct shards;

/* Opens the shards that the list of the state at path names, and compares size and hash with it.
 * STATUS_IO and STATUS_FORMAT name the shard. On error *shards is NULL. */
enum status shards_open(struct shards **shards, const char *path, const char *list) STATUS_CHECKED;
void shards_close(struct shards *shards);

/* Reads numbers of a tensor, in the type and the size of `whole`, that the range touches, verified:
 * the sink gets bytes by their place in the whole tensor, more of them than the range where a shard
 * has more. STATUS_FORMAT where the shards do not hold it, or not all of it. */
enum status shards_read(const struct shards *shards, const struct safetensors_tensor *whole,
                        struct run_range range, const struct safetensors_sink *sink) STATUS_CHECKED;

/* How many there are, none in NULL, and one of them. */
size_t shards_count(const struct shards *shards);
const struct safetensors *shards_get(const struct shards *shards, size_t index);

#endif
