/* chrF and chrF++ (Popovic 2015, 2017), number for number as sacreBLEU 2.6.0 computes them.
 *
 * A character is a code point. The words of chrF++ are separated by white space, and one ASCII
 * punctuation mark at the end of a word, or else at its start, is a word of its own. */
#ifndef MIXT_TEXT_METRIC_CHRF_H
#define MIXT_TEXT_METRIC_CHRF_H

#include "text/metric/bleu.h"

/* The tools refuse more; sacreBLEU knows no limit. */
enum { CHRF_MAX_CHAR_ORDER = 32, CHRF_MAX_WORD_ORDER = 32, CHRF_MAX_BETA = 1 << 24 };

/* Most counts of a segment: n-grams of the hypothesis, of the reference and of both, each order. */
enum { CHRF_MAX_COUNTS = 3 * (CHRF_MAX_CHAR_ORDER + CHRF_MAX_WORD_ORDER) };

struct chrf_config {
    int64_t char_order; /* 1..CHRF_MAX_CHAR_ORDER */
    int64_t word_order; /* 0..CHRF_MAX_WORD_ORDER; 2 is chrF++ */
    int64_t beta;       /* weight of recall over precision, -CHRF_MAX_BETA..CHRF_MAX_BETA */
    bool is_whitespace; /* white space counts as a character */
    bool is_lowercase;
    bool is_epsilon_smoothing; /* instead of averaging over the orders that exist */
};

/* Characters to 6, no words, beta 2: what a published chrF2 means. */
struct chrf_config chrf_config_default(void);

struct chrf_counter; /* working memory for counting; not to be used by two threads at once */

/* Makes a counter. On error *counter is NULL: STATUS_MEMORY, or STATUS_FAILED when the tables of
 * lower case cannot be loaded. */
enum status chrf_counter_open(struct chrf_counter **counter,
                              const struct chrf_config *config) STATUS_CHECKED;

/* NULL is allowed. */
void chrf_counter_close(struct chrf_counter *counter);

/* Counts one segment against the reference that scores best; of equals, the first.
 *
 * references  in   [n_references]  at least one
 * counts      out  [3 * (char_order + word_order)]  for each order, characters first: n-grams of
 *                  the hypothesis (0 where the reference has none), of the reference, and of both
 *
 * STATUS_MEMORY; STATUS_DATA for a text over 2^28 bytes or with over 2^30 n-grams. */
enum status chrf_count(struct chrf_counter *counter, struct bleu_text hypothesis,
                       const struct bleu_text *references, size_t n_references,
                       int64_t *counts) STATUS_CHECKED;

/* A score, and whether sacreBLEU holds it as a float (from float sums) or as a double. */
struct chrf_score {
    double score; /* 0..100 */
    bool is_float;
};

/* Computes the score of sums of counts. With is_float as NumPy 2 does from sums that are floats,
 * which the sums here must be exact in. */
struct chrf_score chrf_compute(const int64_t *sums, const struct chrf_config *config,
                               bool is_float);

#endif
