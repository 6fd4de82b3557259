/* Counts all systems against the references, on all cores, in one pass over the lines. */
#ifndef MIXT_TOOLS_BLEU_TALLY_H
#define MIXT_TOOLS_BLEU_TALLY_H

#include "tools/bleu/inputs.h"

/* The counts of one system under one metric. */
struct bleu_sums {
    int64_t sums[METRIC_MAX_COUNTS]; /* over the lines that count */
    struct buffer rows;              /* int32_t [n_scored, metric_width], if kept */
    struct buffer all_rows;          /* int32_t [n_lines, metric_width], if kept */
};

struct bleu_tally {
    struct bleu_sums *items; /* [n_systems, n_metrics] */
    size_t n_items;
    int64_t n_lines;       /* read */
    int64_t n_scored;      /* of these, left by --origlang and --subset */
    int64_t *n_tokenized;  /* [n_systems] lines that end in " ." */
    int64_t first_return;  /* first line of standard input with "\r" inside, or 0 */
    int64_t first_tab;     /* the same for a tab */
    bool is_cjk;           /* most of the references' start is Chinese, Japanese or Korean */
    bool has_wrong_fields; /* counting failed for a line with too few references */
};

enum bleu_rows {
    BLEU_ROWS_NONE,
    BLEU_ROWS_SCORED, /* of the lines that count: for tests by resampling */
    BLEU_ROWS_ALL     /* those and of every line: for --detail */
};

/* Counts to the end of the inputs; with --sentence-level prints each line's score on stdout as soon
 * as it is known. To be freed also on error. STATUS_DATA for unequal line counts, invalid UTF-8 and
 * lines with too few references; STATUS_FAILED where nothing is left to score; STATUS_IO,
 * STATUS_FORMAT, STATUS_MEMORY. */
enum status bleu_tally_run(struct bleu_tally *tally, const struct bleu_inputs *inputs,
                           const struct bleu_metrics *metrics, const struct bleu_options *options,
                           enum bleu_rows rows) STATUS_CHECKED;
void bleu_tally_free(struct bleu_tally *tally);

#endif
