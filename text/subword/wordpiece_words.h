/* The words that wordpieces are pieces of: what white space separates, or what BERT's basic
 * tokenisation makes of a text. */
#ifndef MIXT_TEXT_SUBWORD_WORDPIECE_WORDS_H
#define MIXT_TEXT_SUBWORD_WORDPIECE_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct wordpiece_words_options {
    bool is_basic;     /* drop control characters and U+FFFD; Chinese characters and punctuation
                          (Unicode's, and every ASCII symbol) are words of their own */
    bool is_lowercase; /* basic, and lower case without accents: Unicode's non-spacing marks are
                          taken off after canonical decomposition */
};

struct wordpiece_words; /* working memory; not to be used by two threads at once */

/* On error *words is NULL: STATUS_MEMORY, STATUS_FAILED when Unicode's tables cannot be loaded. */
enum status wordpiece_words_open(struct wordpiece_words **words,
                                 const struct wordpiece_words_options *options) STATUS_CHECKED;

/* NULL is allowed. */
void wordpiece_words_close(struct wordpiece_words *words);

/* Splits a line.
 *
 * line  in   [size]  valid UTF-8
 * text  out  the words with single spaces between; borrowed until the next call
 *
 * White space is what Python's str.split() takes for it. STATUS_MEMORY; STATUS_DATA for a line over
 * 2^26 bytes that is not only split at white space. */
enum status wordpiece_words_split(struct wordpiece_words *words, const char *line, size_t size,
                                  const struct buffer **text) STATUS_CHECKED;

#endif
