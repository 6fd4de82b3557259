/* Learns wordpieces from text (Schuster and Nakajima 2012, as GNMT uses them): the units are at
 * first the characters, those that start a word and those inside one ("##"); then, until the
 * vocabulary is as large as wanted, the pair of neighbouring units is joined that raises the
 * likelihood of the text most (text/subword/wordpiece_pairs.h: the score and how ties are broken).
 * The result depends on the words and their counts alone, not on their order. */
#ifndef MIXT_TEXT_SUBWORD_WORDPIECE_LEARN_H
#define MIXT_TEXT_SUBWORD_WORDPIECE_LEARN_H

#include <stdint.h>

#include "base/buffer.h"
#include "text/subword/wordpiece_pairs.h"

struct wordpiece_learn_options {
    int64_t size;                /* pieces wanted, special ones included; 1 to 2^24 */
    const char *const *specials; /* [n_specials] the first pieces, borrowed; different, no white
                                    space in them */
    size_t n_specials;
    int64_t n_characters; /* most characters that get pieces, the most frequent ones; words with
                              others are unknown. Ties: the lower code point */
    enum wordpiece_score score;
    int64_t min_count;     /* a pair must occur so often; at least 1 */
    int64_t max_words;     /* different words kept at a time, at least 2 */
    int64_t max_word_size; /* characters of a word; longer ones are not learnt from */
};

/* 32,000 pieces; [PAD] [UNK] [CLS] [SEP] [MASK]; 1,000 characters. */
struct wordpiece_learn_options wordpiece_learn_defaults(void);

/* What became of the text. */
struct wordpiece_learn_report {
    int64_t words;           /* running words */
    int64_t different_words; /* at the end */
    int64_t long_words;      /* running words left out for their length */
    int64_t forgotten;       /* running words forgotten with rare words, for want of room */
    int64_t characters;      /* kept */
    int64_t rare_characters; /* different ones left out */
    int64_t pieces;          /* learnt, all in all; fewer than wanted where no pair was left */
};

struct wordpiece_learner;

/* On error *learner is NULL: STATUS_MEMORY. options is copied, what it points to is borrowed. */
enum status wordpiece_learner_open(struct wordpiece_learner **learner,
                                   const struct wordpiece_learn_options *options) STATUS_CHECKED;

/* NULL is allowed. */
void wordpiece_learner_close(struct wordpiece_learner *learner);

/* Counts the words of a line: valid UTF-8 [size], words with single spaces between. Where there are
 * more than max_words different words, the rarest are forgotten, until half as many are left.
 * STATUS_MEMORY, STATUS_DATA for more than 2^53 bytes of words. */
enum status wordpiece_learner_add(struct wordpiece_learner *learner, const char *words,
                                  size_t size) STATUS_CHECKED;

/* Learns, and appends the pieces to vocabulary, one a line: the special ones, the characters by
 * code point, first all that start a word, then all inside one, then the joined ones in the order
 * they were made. progress (or NULL) is called now and then with the pieces so far.
 *
 * To be called once. STATUS_MEMORY; STATUS_CONFIG when size has no room for specials and
 * characters; STATUS_DATA for a text without words. */
enum status wordpiece_learner_run(struct wordpiece_learner *learner,
                                  void (*progress)(void *context, int64_t pieces), void *context,
                                  struct buffer *vocabulary,
                                  struct wordpiece_learn_report *report) STATUS_CHECKED;

#endif
