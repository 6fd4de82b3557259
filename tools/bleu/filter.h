/* Which lines of a test set count, by original language and domain. */
#ifndef MIXT_TOOLS_BLEU_FILTER_H
#define MIXT_TOOLS_BLEU_FILTER_H

#include "tools/bleu/inputs.h"

/* Fills is_kept of inputs where the options restrict the lines, and the languages and domains where
 * they ask for details. STATUS_FAILED where a set does not say what is asked; STATUS_IO,
 * STATUS_MEMORY. */
enum status bleu_filter_read(struct bleu_inputs *inputs,
                             const struct bleu_options *options) STATUS_CHECKED;

/* What a line must be to count; NULL: anything. */
struct bleu_filter {
    const char *origlang; /* "de", or "non-de" */
    const char *subset;   /* extended regular expression, perhaps after "country:" */
};

/* Sets is_kept[i] for each of the n lines; domains may be empty. STATUS_FAILED for a bad regular
 * expression. */
enum status bleu_filter_apply(const struct bleu_filter *filter,
                              const struct testset_names *origlangs,
                              const struct testset_names *domains, size_t n,
                              bool *is_kept) STATUS_CHECKED;

#endif
