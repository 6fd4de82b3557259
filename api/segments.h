/* Lines as the sequences that the model translates: encoded, and cut where they are too long. */
#ifndef MIXT_API_SEGMENTS_H
#define MIXT_API_SEGMENTS_H

#include "text/ids.h"
#include "text/subword/sentencepiece.h"

/* A line, or a part of one, that is translated on its own. */
struct segment {
    size_t line;   /* index of its line */
    size_t start;  /* of its ids in segments.ids */
    size_t length; /* ids, prefix and eos included */
};

struct segments {
    struct ids ids;        /* of all segments, one after another, each with prefix and eos */
    struct segment *items; /* owned [count], in the order of lines */
    size_t count, capacity;
    struct ids scratch;
    int32_t prefix; /* that each segment begins with, -1: none; the caller's to set */
};

/* Appends the segments of a line, each of at most max_len pieces: none for a line without a piece,
 * one for most. *n_added tells how many. */
enum status segments_add(struct segments *segments, const struct subword *subword, size_t line,
                         const struct subword_text *text, size_t max_len,
                         size_t *n_added) STATUS_CHECKED;

/* Empties and keeps the memory. */
void segments_clear(struct segments *segments);
void segments_free(struct segments *segments);

/* Where to cut pieces [n > max_len] so that the first part has at most max_len: behind the last
 * piece that ends a sentence, else a clause, else before the last start of a word, in the second
 * half of what fits; else at max_len. */
size_t segments_cut(const struct subword *subword, const int32_t *ids, size_t n, size_t max_len);

#endif
