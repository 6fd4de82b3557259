/* Learns merges from the words of a text: byte pair encoding as subword-nmt 0.3.8 does it, to the
 * byte of its codes.
 *
 * Source: Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with Subword
 * Units", algorithm 1. A word is its characters, the last one with "</w>". The most frequent pair
 * of neighbours becomes one symbol everywhere; in a tie the largest pair, left before right, by
 * code points.
 *
 * Also reproduced is what happens in words with white space other than U+0020, as U+00A0: a pair is
 * found there too where it stands beside white space in the middle of a symbol. */
#ifndef MIXT_TEXT_SUBWORD_BPE_LEARN_H
#define MIXT_TEXT_SUBWORD_BPE_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "text/subword/bpe_codes.h"
#include "text/subword/bpe_counts.h"

struct bpe_learn_options {
    int64_t n_merges;
    int64_t min_frequency;     /* stop when no pair occurs so often */
    bool is_bytes;             /* merge bytes instead of characters; words may be any bytes */
    bool subtracts_characters; /* take the number of different characters off n_merges */

    /* Told what happens, where not NULL; context is handed on. */
    void *context;
    void (*on_characters)(void *context, int64_t n_inside, int64_t n_final);
    void (*on_merge)(void *context, int64_t number, const struct bpe_codes *codes,
                     int64_t frequency); /* the last merge of codes */
    void (*on_stop)(void *context);      /* no pair is frequent enough */
};

/* Fills empty codes. counts holds words of valid UTF-8, or of any bytes where options say so.
 *
 * Memory grows with the words, not with their counts. STATUS_DATA when no word has two characters;
 * STATUS_MEMORY. */
enum status bpe_learn(const struct bpe_counts *counts, const struct bpe_learn_options *options,
                      struct bpe_codes *codes) STATUS_CHECKED;

#endif
