/* The command line of mixt bleu: the table, what may stand beside what, and what it means for the
 * metrics. */
#ifndef MIXT_TOOLS_BLEU_OPTIONS_H
#define MIXT_TOOLS_BLEU_OPTIONS_H

#include <stdint.h>

#include "text/metric/metric.h"
#include "tools/options.h"

/* As given; strings are borrowed from argv. */
struct bleu_options {
    struct option_list input;
    struct option_list metrics;
    struct option_list echo;
    const char *test_set;
    const char *language_pair;
    const char *origlang;
    const char *subset;
    bool is_list;
    int64_t num_refs;
    const char *encoding;
    bool is_stdin_systems; /* tabs on standard input separate systems */
    bool is_sentence_level;
    const char *smooth_method;
    double smooth_value; /* negative: not given */
    const char *tokenize;
    const char *spm_model;
    bool is_lowercase;
    bool is_forced;
    int64_t chrf_char_order;
    int64_t chrf_word_order;
    int64_t chrf_beta;
    bool chrf_whitespace;
    bool chrf_lowercase;
    bool chrf_eps_smoothing;
    bool has_confidence;
    int64_t confidence_n;
    bool is_paired_ar;
    bool is_paired_bs;
    int64_t paired_ar_n;
    int64_t paired_bs_n;
    int64_t jobs;
    bool is_quiet;
    bool is_short;
    bool is_score_only;
    int64_t width;
    bool is_detailed;
    bool no_color;
    const char *format; /* "json", "text" or "latex" */
    bool is_multi_bleu;
    int64_t threads;
    bool is_version;
};

enum { BLEU_MAX_METRICS = 2 };

/* The metrics asked for, in the order of the command line, each once. */
struct bleu_metrics {
    struct metric items[BLEU_MAX_METRICS];
    size_t count;
    struct subword *subword; /* owned; what a tokenizer among them uses */
};

extern const struct options_command bleu_command;

struct bleu_options bleu_options_default(void);

/* Applies SACREBLEU_FORMAT and checks what can be said before any file is opened. STATUS_USAGE for
 * what sacreBLEU's parser would refuse, and for what only sacreBLEU can do; STATUS_FAILED for what
 * it refuses later. */
enum status bleu_options_check(struct bleu_options *options,
                               const struct option_list *references) STATUS_CHECKED;

/* Fills metrics (to be freed also on error), warns on stderr where sacreBLEU warns, and loads the
 * model that a tokenizer wants. STATUS_USAGE, STATUS_FAILED; STATUS_IO and STATUS_FORMAT for the
 * model; STATUS_MEMORY. */
enum status bleu_metrics_choose(struct bleu_metrics *metrics,
                                const struct bleu_options *options) STATUS_CHECKED;
void bleu_metrics_free(struct bleu_metrics *metrics);

/* True for a test of several systems against the first. */
bool bleu_options_are_paired(const struct bleu_options *options);

#endif
