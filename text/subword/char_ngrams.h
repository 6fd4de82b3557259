/* Cuts words that a list lacks into runs of characters, as segment-char-ngrams of subword-nmt. */
#ifndef MIXT_TEXT_SUBWORD_CHAR_NGRAMS_H
#define MIXT_TEXT_SUBWORD_CHAR_NGRAMS_H

#include <stdint.h>

#include "text/lines.h"
#include "text/subword/strings.h"

struct char_ngrams {
    struct strings words; /* of the list */
    int64_t *ranks;       /* owned, [words.size] place in the list, from 0; the last one counts */
    size_t capacity;
    int64_t shortlist;     /* words up to this rank stay whole */
    int64_t length;        /* characters a run, at least 1 */
    const char *separator; /* behind all runs of a word but the last; borrowed */
};

/* Reads the list: lines of two words with white space between count, the first one is taken.
 * STATUS_IO, STATUS_FORMAT, STATUS_MEMORY. */
enum status char_ngrams_read(struct char_ngrams *ngrams, struct lines *lines) STATUS_CHECKED;

/* Appends the runs of a line's words, with a space behind each. White space of all kinds divides
 * words. Invalid UTF-8 counts as it would if repaired, but stays. STATUS_MEMORY. */
enum status char_ngrams_apply(const struct char_ngrams *ngrams, const char *bytes, size_t size,
                              struct buffer *output) STATUS_CHECKED;

/* Gives the memory back; a zeroed one may be freed. */
void char_ngrams_free(struct char_ngrams *ngrams);

#endif
