/* BLEU (Papineni et al. 2002) of a corpus, number for number as sacreBLEU 2.6.0 computes it.
 *
 * Segments are counted one by one, counts are added up, and a score is computed from the sum; only
 * the counts of a corpus are ever in memory. */
#ifndef MIXT_TEXT_METRIC_BLEU_H
#define MIXT_TEXT_METRIC_BLEU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct subword; /* text/subword/sentencepiece.h */

enum { BLEU_ORDER = 4 }; /* longest n-gram */

/* text/metric/tokenizer.h; the last three take the pieces of a SentencePiece model for tokens
 * (spBLEU), white space in them separating too. */
enum bleu_tokenizer {
    BLEU_TOKENIZER_13A,
    BLEU_TOKENIZER_NONE,
    BLEU_TOKENIZER_INTL,
    BLEU_TOKENIZER_CHAR,
    BLEU_TOKENIZER_ZH,
    BLEU_TOKENIZER_FLORES101,
    BLEU_TOKENIZER_FLORES200,
    BLEU_TOKENIZER_SPBLEU_1K
};

/* "13a", "none", "intl", "char", "zh", "flores101", "flores200", "spBLEU-1K". */
const char *bleu_tokenizer_name(enum bleu_tokenizer tokenizer);

/* Finds a tokenizer by that name, or by sacreBLEU's old "spm" for flores101; false where there is
 * none. */
bool bleu_tokenizer_find(const char *name, enum bleu_tokenizer *tokenizer);

/* True for those that want bleu_config.subword. */
bool bleu_tokenizer_wants_subword(enum bleu_tokenizer tokenizer);

/* What stands in for a precision of 0 (Chen and Cherry 2014, methods 1 to 3). */
enum bleu_smoothing {
    BLEU_SMOOTHING_EXP,   /* 1/2, 1/4, ... of one n-gram: the first zero, the second, ... */
    BLEU_SMOOTHING_FLOOR, /* `value` of one n-gram; sacreBLEU's default is 0.1 */
    BLEU_SMOOTHING_ADD_K, /* adds `value` to counts and totals above one word; default 1 */
    BLEU_SMOOTHING_NONE
};

struct bleu_config {
    enum bleu_tokenizer tokenizer;
    const struct subword *subword; /* borrowed; of the tokenizers that want one, else unused */
    enum bleu_smoothing smoothing;
    double smoothing_value;  /* >= 0; of floor and add-k only */
    bool is_lowercase;       /* compare in lower case, text/metric/lowercase.h */
    bool is_effective_order; /* leave out orders no n-gram of which exists; for single segments */
};

/* 13a, exp, mixed case: what a published BLEU means. */
struct bleu_config bleu_config_default(void);

/* sacreBLEU's value for a smoothing that wants one: 0.1 or 1; 0 for the others. */
double bleu_default_smoothing_value(enum bleu_smoothing smoothing);

/* Counts of a segment, or of segments added up; a zeroed one is that of no segment. */
struct bleu_stats {
    int64_t hypothesis_length; /* tokens */
    int64_t reference_length;  /* tokens of the reference nearest in length; of two, the shorter */
    int64_t correct[BLEU_ORDER]; /* n-grams found, each as often as in one reference at most */
    int64_t total[BLEU_ORDER];   /* n-grams of the hypothesis */
};

void bleu_add(struct bleu_stats *sum, const struct bleu_stats *segment);

/* A text to compare: valid UTF-8 without a line end, borrowed; NUL is a character like others. */
struct bleu_text {
    const char *bytes;
    size_t size;
};

struct bleu_counter; /* working memory for counting; not to be used by two threads at once */

/* Makes a counter for the tokenizer and case of config, whose subword model must outlive it. On
 * error *counter is NULL: STATUS_MEMORY, or STATUS_FAILED when the tables of lower case cannot be
 * loaded. */
enum status bleu_counter_open(struct bleu_counter **counter,
                              const struct bleu_config *config) STATUS_CHECKED;

/* NULL is allowed. */
void bleu_counter_close(struct bleu_counter *counter);

/* Counts one segment against its references.
 *
 * references  in   [n_references]  at least one; an empty one counts as a reference of no words
 * stats       out  overwritten
 *
 * STATUS_MEMORY; STATUS_DATA for a text over 2^28 bytes. */
enum status bleu_count(struct bleu_counter *counter, struct bleu_text hypothesis,
                       const struct bleu_text *references, size_t n_references,
                       struct bleu_stats *stats) STATUS_CHECKED;

/* Counts another hypothesis of the segment that the last bleu_count() was about, whose references
 * are not gone through again. The same errors. */
enum status bleu_count_again(struct bleu_counter *counter, struct bleu_text hypothesis,
                             struct bleu_stats *stats) STATUS_CHECKED;

/* Counts one segment whose texts are tokens already, joined by single spaces. Tokens may hold any
 * bytes but spaces; tokenizer and case do not matter. As bleu_count(), but of no reference at all
 * every count is 0 except those of the hypothesis. */
enum status bleu_count_tokens(struct bleu_counter *counter, struct bleu_text hypothesis,
                              const struct bleu_text *references, size_t n_references,
                              struct bleu_stats *stats) STATUS_CHECKED;

struct bleu_score {
    double score;                  /* 0..100, up to rounding in the last place */
    double precisions[BLEU_ORDER]; /* percent, after smoothing */
    double brevity_penalty;        /* 0..1 */
    double ratio;                  /* hypothesis to reference length; 0 without a reference */
    int64_t hypothesis_length;
    int64_t reference_length;
};

/* Computes the score of counts; a corpus without any common word scores 0 without smoothing. */
struct bleu_score bleu_compute(const struct bleu_stats *stats, const struct bleu_config *config);

/* How sums and precisions are kept; logarithms always are double. */
enum bleu_arithmetic {
    BLEU_ARITHMETIC_DOUBLE,
    BLEU_ARITHMETIC_FLOAT, /* as float; the counts must be exact in it */
    BLEU_ARITHMETIC_TRIAL  /* as double, but sums of add-k are truncated */
};

/* The same in another arithmetic. */
struct bleu_score bleu_compute_in(const struct bleu_stats *stats, const struct bleu_config *config,
                                  enum bleu_arithmetic arithmetic);

#endif
