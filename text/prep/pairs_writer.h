/* Writes a corpus (text/prep/pairs.h), pair after pair, in memory that does not grow with it.
 *
 * All files are made in the subdirectory PAIRS_UNFINISHED of the corpus and moved when they are
 * complete, the manifest last: until then an earlier corpus in the directory stays as it was. What
 * a killed run left in the subdirectory is removed by the next one. */
#ifndef MIXT_TEXT_PREP_PAIRS_WRITER_H
#define MIXT_TEXT_PREP_PAIRS_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "text/prep/pairs.h"

#define PAIRS_UNFINISHED ".mixt-unfinished"

struct pairs_writer_options {
    const char *directory;   /* made where it is missing */
    const char *source_name; /* of the sides: 1 to PAIRS_NAME_BYTES - 1 bytes of UTF-8 */
    const char *target_name;
    int64_t shard_bytes; /* of text a shard, 1..PAIRS_MAX_TEXT; 0: PAIRS_SHARD_TEXT */
    bool overwrite;      /* an existing corpus may be replaced */
    bool writes_text;    /* also "source.NAME" and "target.NAME", a line a pair */
};

struct pairs_writer; /* not to be used by two threads at once */

/* Begins. Strings are copied. On error *writer is NULL and nothing is left behind: STATUS_CONFIG
 * when the directory holds a corpus and overwrite is false, or another process is writing to it;
 * STATUS_IO, STATUS_MEMORY. */
enum status pairs_writer_open(struct pairs_writer **writer,
                              const struct pairs_writer_options *options) STATUS_CHECKED;

/* A new file in the directory without a name, for working storage: it is gone when it is closed or
 * the process ends. STATUS_IO. */
enum status pairs_writer_temporary(struct pairs_writer *writer, FILE **stream) STATUS_CHECKED;

/* Adds a pair. The texts must end with a NUL and be UTF-8 without "\n" and NUL. STATUS_IO,
 * STATUS_MEMORY, STATUS_DATA for a text over PAIRS_MAX_TEXT. */
enum status pairs_writer_add(struct pairs_writer *writer, const struct pair *pair) STATUS_CHECKED;

int64_t pairs_writer_count(const struct pairs_writer *writer);

/* Finishes: syncs and moves everything to its place, the manifest with the report (JSON text, kept
 * as it is) last. Closes the writer in any case; after an error nothing new is left behind, unless
 * moving itself failed: then the directory has no manifest. */
enum status pairs_writer_commit(struct pairs_writer *writer, const char *report) STATUS_CHECKED;

/* Gives up: removes all that was made, directories too. NULL is allowed. */
void pairs_writer_discard(struct pairs_writer *writer);

#endif
