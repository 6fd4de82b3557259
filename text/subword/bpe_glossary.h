/* Glossaries of subword-nmt: words and regular expressions whose matches stay in one piece.
 *
 * subword-nmt takes Python's regular expressions; here it is PCRE2, which reads the common ones
 * alike: literal text, ".", classes, \d \w \s \b and their opposites (by Unicode), groups, named
 * groups, back references, alternatives, all quantifiers, look-ahead and look-behind. What the two
 * read differently is refused. \s lacks U+001C to U+001F, and the words of \w are letters, numbers
 * and "_" up to PCRE2 10.42, then also marks. */
#ifndef MIXT_TEXT_SUBWORD_BPE_GLOSSARY_H
#define MIXT_TEXT_SUBWORD_BPE_GLOSSARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct bpe_glossaries; /* compiled; may be used by several threads */
struct bpe_matcher;    /* one thread's working memory */

/* A part of a word: borrowed bytes. */
struct bpe_segment {
    const char *bytes;
    size_t size;
};

/* Compiles patterns [n]; n >= 1. STATUS_USAGE, with the pattern, for one that is not understood;
 * STATUS_MEMORY. On error *glossaries is NULL. */
enum status bpe_glossaries_open(struct bpe_glossaries **glossaries, const char *const *patterns,
                                size_t n, bool is_bytes) STATUS_CHECKED;
void bpe_glossaries_close(struct bpe_glossaries *glossaries);

enum status bpe_matcher_open(struct bpe_matcher **matcher,
                             const struct bpe_glossaries *glossaries) STATUS_CHECKED;
void bpe_matcher_close(struct bpe_matcher *matcher);

/* Cuts a word so that matches stand alone: the glossaries one after the other, each on what the
 * earlier ones left, matches included; a segment that one matches as a whole is left alone.
 *
 * *segments [*n] are borrowed from word and matcher until its next call; none is empty. As in
 * subword-nmt, the groups of a pattern come as segments again, behind the match that they lie in.
 *
 * STATUS_DATA when a match takes too long; STATUS_MEMORY. */
enum status bpe_matcher_cut(struct bpe_matcher *matcher, const char *word, size_t size,
                            const struct bpe_segment **segments, size_t *n) STATUS_CHECKED;

/* Sets *is_whole where a segment is a match of some glossary from end to end. */
enum status bpe_matcher_is_whole(struct bpe_matcher *matcher, struct bpe_segment segment,
                                 bool *is_whole) STATUS_CHECKED;

#endif
