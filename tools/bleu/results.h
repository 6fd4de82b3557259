/* Writes what came of the counts: one system's scores, a table of systems, scores by original
 * language. */
#ifndef MIXT_TOOLS_BLEU_RESULTS_H
#define MIXT_TOOLS_BLEU_RESULTS_H

#include "tools/bleu/tally.h"

struct bleu_results {
    const struct bleu_options *options;
    const struct bleu_inputs *inputs;
    const struct bleu_metrics *metrics;
    const struct bleu_tally *tally;
    const char *seed;      /* of resampling: decimal digits, or NULL for none */
    const char *seed_name; /* what signatures call it */
    bool has_colors;
};

/* Appends a line or JSON object for each metric of one system, with its interval if asked for.
 * STATUS_MEMORY. */
enum status bleu_results_append_single(const struct bleu_results *results,
                                       struct buffer *out) STATUS_CHECKED;

/* Appends several systems: JSON, or a table with what the signatures are and what a paired test
 * means. STATUS_MEMORY. */
enum status bleu_results_append_systems(const struct bleu_results *results,
                                        struct buffer *out) STATUS_CHECKED;

/* Appends the one system's scores by original language and domain; the counts must be those of all
 * lines. STATUS_FAILED, STATUS_MEMORY. */
enum status bleu_results_append_details(const struct bleu_results *results,
                                        struct buffer *out) STATUS_CHECKED;

#endif
