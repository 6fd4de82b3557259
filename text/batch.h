/* One batch of sentence pairs in host memory, padded and time-major, as the model reads it. A
 * language model's has targets alone.
 *
 * Usage: batch_start(), batch_add() for each pair, batch_finish(). The memory is the batch's own
 * and is kept from one filling to the next, so after the largest batch nothing is allocated.
 * Letters: B sentences, S longest source, T longest target. */
#ifndef MIXT_TEXT_BATCH_H
#define MIXT_TEXT_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    BATCH_SOURCE_PAD = 0, /* a valid id: padded places are read, and masked by the lengths */
    BATCH_TARGET_PAD = -1 /* in target_out: no loss here */
};

/* A pair on its way into the batch; ids borrowed until batch_finish(). */
struct batch_pair {
    const int32_t *source, *target;
    int64_t source_length, target_length;
};

struct batch {
    int64_t n_sentences;      /* B */
    int64_t source_length;    /* S; 0 without sources */
    int64_t target_length;    /* T; 0 without targets */
    int64_t n_source_tokens;  /* sum of source_lengths */
    int64_t n_target_tokens;  /* sum of target_lengths */
    int32_t *source;          /* [S, B] ids, BATCH_SOURCE_PAD behind the end */
    int32_t *target_in;       /* [T, B] bos, then the target without its last id; padded with
                                * BATCH_SOURCE_PAD */
    int32_t *target_out;      /* [T, B] the target; padded with BATCH_TARGET_PAD */
    int32_t *source_lengths;  /* [B] */
    int32_t *target_lengths;  /* [B] */
    int32_t *source_rows;     /* [n_source_tokens] s * B + b of the places that are not padding,
                                * ascending */
    int32_t *target_rows;     /* [n_target_tokens] t * B + b likewise */
    int32_t *sentences;       /* [B] place of each sentence in the whole update, for random keys */
    struct batch_pair *pairs; /* [B], owned; source_length descending is the caller's business */
    int64_t pairs_capacity;
    int32_t *storage;    /* owned; holds all arrays above but pairs */
    size_t storage_size; /* numbers in storage */
};

/* Empties the batch and keeps its memory; a zeroed batch is empty. */
void batch_start(struct batch *batch);

/* Adds a pair. Ids stay borrowed until batch_finish(). One side may be NULL with length 0 in all
 * pairs: the target in translation, the source for a language model. STATUS_MEMORY. */
enum status batch_add(struct batch *batch, const int32_t *source, int64_t source_length,
                      const int32_t *target, int64_t target_length) STATUS_CHECKED;

/* Lays the pairs out. Sentence b gets the number first_sentence + b. STATUS_MEMORY. */
enum status batch_finish(struct batch *batch, int32_t bos, int64_t first_sentence) STATUS_CHECKED;

/* The same for a share of a batch: sentence b gets the number first_sentence + b * stride. */
enum status batch_finish_share(struct batch *batch, int32_t bos, int64_t first_sentence,
                               int64_t stride) STATUS_CHECKED;

/* Gives the memory back and zeroes the batch. */
void batch_free(struct batch *batch);

#endif
